"""Agents, from the columns of a batch.

An agent that acts without ever having been started (a foreign or damaged log) is there all the same, named by its
number and started with its first event. Agents that still wait when their simulation ends, end with it.

Whatever a batch says about an agent goes to SQLite once, into ``temp.touched``; from there it is joined. A large
society acts as a whole in every batch, so what each of its agents costs is what following costs.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import numpy as np

from matrix.event import AGENT_ENDS, AGENT_RESTARTED, AGENT_STARTED, GOAL_STARTED
from matrix.index.batch import NEVER, Batch, group
from matrix.index.simulations import first_and_last, text_or_none

_TOUCH = "INSERT INTO temp.touched (simulation, number, turns, goal, start, is_started) VALUES (?, ?, ?, ?, ?, 0)"
_TOUCH_STARTED = """
    INSERT INTO temp.touched (simulation, number, turns, goal, start, is_started, id, role, class, cause)
    VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?)
"""
_MEET = """
    INSERT INTO agents (simulation, number, id, status, start, turns, goal, cause)
    SELECT simulation, number, cast(number AS TEXT), 'running', start, turns, goal, 0
    FROM temp.touched WHERE number > 0 AND NOT is_started
    ON CONFLICT DO UPDATE SET turns = max(turns, excluded.turns), goal = max(goal, excluded.goal)
"""
_MEET_STARTED = """
    INSERT INTO agents (simulation, number, id, role, class, status, start, turns, goal, cause)
    SELECT simulation, number, coalesce(nullif(id, 0), cast(number AS TEXT)), nullif(role, 0), nullif(class, 0),
        'running', start, turns, goal, cause
    FROM temp.touched WHERE is_started
    ON CONFLICT DO UPDATE SET turns = max(turns, excluded.turns), goal = max(goal, excluded.goal),
        id = excluded.id, role = excluded.role, class = excluded.class, start = excluded.start, cause = excluded.cause
"""
_MORE_TURNS = """
    SELECT t.simulation, t.number, a.turns FROM temp.touched AS t
    CROSS JOIN agents AS a ON a.simulation = t.simulation AND a.number = t.number WHERE a.turns > t.turns
"""
_STATUS = f'UPDATE agents SET status = ?, "end" = nullif(?, {NEVER}) WHERE simulation = ? AND number = ?'
_END_WITH_SIMULATION = """
    UPDATE agents SET status = iif(s.status = 'finished', 'finished', 'cancelled'), "end" = s.ended_at
    FROM simulations AS s WHERE s.gid = ? AND s.ended_at IS NOT NULL
        AND agents.simulation = s.gid AND agents.status = 'running'
"""


@dataclass(frozen=True, slots=True)
class Touched:
    """The agents that did something in a batch, by ascending key, and how many turns each has begun by its end.

    The simulation itself is among them, under number 0: it has no turns and no row, but may have goals.
    """

    keys: np.ndarray  # simulation's code * stride + number
    stride: int
    turns: np.ndarray

    def turns_of(self, codes: np.ndarray, agents: np.ndarray) -> np.ndarray:
        """Turns of agents, which must be among these, of simulations given by their codes."""
        turns: np.ndarray = self.turns[np.searchsorted(self.keys, codes * self.stride + agents)]
        return turns


def write(connection: sqlite3.Connection, batch: Batch) -> Touched:
    """Bring the rows of the batch's agents up to date; ``temp.touched`` then holds those that did something."""
    connection.execute("DELETE FROM temp.touched")
    touched = _touch(connection, batch)
    connection.execute(_MEET)
    if len(batch.kind_rows(AGENT_STARTED)):
        connection.execute(_MEET_STARTED)
    for gid, number, turns in connection.execute(_MORE_TURNS):  # none, unless turns ran backwards
        code = int(np.searchsorted(batch.simulations, gid & 0xFFFF_FFFF))
        touched.turns[touched.keys == code * touched.stride + number] = turns
    _write_ends(connection, batch)
    gids = batch.gids(np.arange(len(batch.simulations)))
    connection.executemany(_END_WITH_SIMULATION, [(gid,) for gid in gids])
    return touched


def _touch(connection: sqlite3.Connection, batch: Batch) -> Touched:
    """Tell SQLite which agents did something: turns begun, newest goal, first time, and how they were started."""
    agents = batch.column("agent")
    stride = int(agents.max()) + 1
    keys, place_of = group(batch.simulation_codes * stride + agents)
    turns, goals = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    np.maximum.at(turns, place_of, batch.column("turn"))
    turns[keys % stride == 0] = 0
    took_up = batch.kind_rows(GOAL_STARTED)
    np.maximum.at(goals, place_of[took_up], batch.column("seq")[took_up])
    first, _ = first_and_last(place_of, len(keys))
    columns = (keys // stride, keys % stride, turns, goals, batch.column("time")[first])
    is_started = _touch_started(connection, batch, columns, place_of)
    codes, *others = (column[~is_started] for column in columns)
    connection.executemany(_TOUCH, zip(batch.gids(codes), *(other.tolist() for other in others)))
    return Touched(keys, stride, turns)


def _touch_started(
    connection: sqlite3.Connection, batch: Batch, columns: tuple[np.ndarray, ...], place_of: np.ndarray
) -> np.ndarray:
    """Add the agents with an ``agent.started``, the newest if there are several; returns which ones these are."""
    is_started = np.zeros(len(columns[0]), np.bool_)
    rows = batch.kind_rows(AGENT_STARTED)
    at = np.flatnonzero(batch.column("agent")[rows])
    if len(at):
        places, which = np.unique(place_of[rows[at]][::-1], return_index=True)
        at = at[::-1][which]
        is_started[places] = True
        codes, numbers, turns, goals, _ = (column[places].tolist() for column in columns)
        said = (_texts(batch, name, at.tolist()) for name in ("id", "role", "class"))
        starts, causes = batch.column("time")[rows[at]].tolist(), batch.column("cause")[rows[at]].tolist()
        head = (batch.gids(np.array(codes)), numbers, turns, goals, starts)
        connection.executemany(_TOUCH_STARTED, zip(*head, *said, causes))
    return is_started


def _texts(batch: Batch, name: str, places: list[int]) -> list[str | int]:
    """A field of some ``agent.started``, 0 where it is no text."""
    values = batch.values(AGENT_STARTED, name)
    return [text_or_none(values[place]) or 0 for place in places]


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
