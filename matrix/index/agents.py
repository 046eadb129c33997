"""Agents, from the columns of a batch.

An agent that acts without ever having been started (a foreign or damaged log) is there all the same, named by its
number and started with its first event. Agents that still wait when their simulation ends, end with it.
"""

from __future__ import annotations

import sqlite3

import numpy as np

from matrix.event import AGENT_ENDS, AGENT_RESTARTED, AGENT_STARTED, GOAL_STARTED
from matrix.index.batch import NEVER, Batch, group
from matrix.index.simulations import first_and_last, text_or_none

_MEET = """
    INSERT INTO agents (simulation, number, id, status, start, turns, goal, cause)
    SELECT simulation, number, cast(number AS TEXT), 'running', start, turns, goal, 0 FROM temp.touched WHERE true
    ON CONFLICT DO UPDATE SET turns = max(turns, excluded.turns), goal = max(goal, excluded.goal)
"""
_START = """
    UPDATE agents SET id = coalesce(?, id), role = ?, class = nullif(?, 0), start = ?, cause = ?
    WHERE simulation = ? AND number = ?
"""
_STATUS = f'UPDATE agents SET status = ?, "end" = nullif(?, {NEVER}) WHERE simulation = ? AND number = ?'
_END_WITH_SIMULATION = """
    UPDATE agents SET status = iif(s.status = 'finished', 'finished', 'cancelled'), "end" = s.ended_at
    FROM simulations AS s WHERE s.gid = ? AND s.ended_at IS NOT NULL
        AND agents.simulation = s.gid AND agents.status = 'running'
"""


def write(connection: sqlite3.Connection, batch: Batch) -> None:
    """Bring the rows of the batch's agents up to date; ``temp.touched`` then holds the agents that did something."""
    _touch(connection, batch)
    connection.execute(_MEET)
    _write_starts(connection, batch)
    _write_ends(connection, batch)
    gids = batch.gids(np.arange(len(batch.simulations)))
    connection.executemany(_END_WITH_SIMULATION, [(gid,) for gid in gids])


def _touch(connection: sqlite3.Connection, batch: Batch) -> None:
    """Tell SQLite which agents did something: first time, largest turn, newest goal."""
    connection.execute("DELETE FROM temp.touched")
    agents = batch.column("agent")
    if not agents.any():
        return
    stride = int(agents.max()) + 1
    keys, places = group(batch.simulation_codes * stride + agents)
    first, _ = first_and_last(places, len(keys))
    turns = np.zeros(len(keys), np.int64)
    np.maximum.at(turns, places, batch.column("turn"))
    newest_goals = np.zeros(len(keys), np.int64)
    took_up = batch.kind_rows(GOAL_STARTED)
    np.maximum.at(newest_goals, places[took_up], batch.column("seq")[took_up])
    is_agent = keys % stride != 0  # 0 is the simulation itself
    columns = (
        batch.gids(keys[is_agent] // stride),
        (keys[is_agent] % stride).tolist(),
        batch.column("time")[first[is_agent]].tolist(),
        turns[is_agent].tolist(),
        newest_goals[is_agent].tolist(),
    )
    connection.executemany("INSERT INTO temp.touched VALUES (?, ?, ?, ?, ?)", zip(*columns))


def _write_starts(connection: sqlite3.Connection, batch: Batch) -> None:
    rows = batch.kind_rows(AGENT_STARTED)
    if not len(rows):
        return
    columns = (
        map(text_or_none, batch.values(AGENT_STARTED, "id")),
        map(text_or_none, batch.values(AGENT_STARTED, "role")),
        [text_or_none(value) or 0 for value in batch.values(AGENT_STARTED, "class")],
        batch.column("time")[rows].tolist(),
        batch.column("cause")[rows].tolist(),
        batch.gids(batch.simulation_codes[rows]),
        batch.column("agent")[rows].tolist(),
    )
    connection.executemany(_START, zip(*columns))


def _write_ends(connection: sqlite3.Connection, batch: Batch) -> None:
    """Ends and restarts in the order in which they happened: the last one counts."""
    statuses = {**AGENT_ENDS, AGENT_RESTARTED: "running"}
    by_kind = [(batch.kind_rows(kind), status) for kind, status in statuses.items()]
    rows = np.concatenate([found for found, _ in by_kind])
    if not len(rows):
        return
    status_of = [status for found, status in by_kind for _ in range(len(found))]
    order = np.argsort(rows)
    rows = rows[order]
    statuses_now = [status_of[place] for place in order.tolist()]
    times = batch.column("time")[rows].tolist()
    columns = (
        statuses_now,
        [NEVER if status == "running" else time for status, time in zip(statuses_now, times)],
        batch.gids(batch.simulation_codes[rows]),
        batch.column("agent")[rows].tolist(),
    )
    connection.executemany(_STATUS, zip(*columns))
