"""Steps: how many actions of its own agent each goal has, from the columns of a batch.

An action counts for the goal it happened under and for every goal that one is nested in, as long as the goal is its
agent's and has not ended. All actions walk up the goals together, one level at a time.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

import numpy as np

from matrix.event import is_action
from matrix.index.batch import SEQ_BITS, SEQ_MASK, Batch, find

_RUNNING: Final = 2**62  # the row in which a goal ends, when it does not end in this batch
_ENDED: Final = -1  # ... when it ended before this batch

# From the agents that did something to their running goals. CROSS JOIN fixes that order: left to itself, SQLite
# would look at every goal there is.
_OLDER = """
    SELECT g.simulation, g.seq, g.agent, g.parent, g.start_turn, g.steps, g.turns FROM temp.touched AS t
    CROSS JOIN goals AS g INDEXED BY goals_by_simulation_agent_status_name
        ON g.simulation = t.simulation AND g.agent = t.number AND g.status = 'running'
"""


@dataclass(frozen=True, slots=True)
class Goals:
    """Some goals by ascending key, one element of each array for each. ``parents`` are keys, -1 for none."""

    keys: np.ndarray
    agents: np.ndarray
    parents: np.ndarray
    start_turns: np.ndarray
    steps: np.ndarray
    turns: np.ndarray


def running_goals(connection: sqlite3.Connection, batch: Batch) -> Goals:
    """The goals begun before this batch and still running whose agents did something in it."""
    found = np.array(connection.execute(_OLDER).fetchall(), np.int64).reshape(-1, 7)
    codes = np.searchsorted(batch.simulations, found[:, 0] & 0xFFFF_FFFF) << SEQ_BITS
    keys = codes | found[:, 1]
    order = np.argsort(keys)
    parents = np.where(found[:, 3] > 0, codes | found[:, 3], -1)
    return Goals(keys[order], found[order, 2], parents[order], found[order, 4], found[order, 5], found[order, 6])


def count_steps(
    connection: sqlite3.Connection, batch: Batch, new: Goals, older: Goals, ended: np.ndarray, ended_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How many steps this batch adds to each new and each older goal; ``ended`` are the keys of those that end."""
    rows, under = _actions(batch)
    others = _other_goals(connection, batch, new, older, under)
    keys = np.concatenate((new.keys, older.keys, others[:, 0]))
    order = np.argsort(keys)
    keys = keys[order]
    agents = np.concatenate((new.agents, older.agents, others[:, 1]))[order]
    at, has_parent = find(keys, np.concatenate((new.parents, older.parents, others[:, 2]))[order])
    parents = np.where(has_parent, at, -1)
    ends = np.where(np.arange(len(keys)) < len(new.keys) + len(older.keys), _RUNNING, _ENDED)
    ends[len(new.keys) + len(older.keys) :] = others[:, 3]
    ends = ends[order]
    at, is_known = find(keys, ended)
    is_running = is_known & (ends[at] == _RUNNING) if len(keys) else is_known
    ends[at[is_running]] = ended_rows[is_running]
    at, is_known = find(keys, under)
    steps = _climb(batch, rows[is_known], at[is_known], agents, parents, ends)
    return steps[find(keys, new.keys)[0]], steps[find(keys, older.keys)[0]]


def _climb(
    batch: Batch, rows: np.ndarray, places: np.ndarray, agents: np.ndarray, parents: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    steps = np.zeros(len(agents), np.int64)
    actors = batch.column("agent")[rows]
    while len(rows):
        is_step = (agents[places] == actors) & (rows < ends[places])
        steps += np.bincount(places[is_step], minlength=len(steps))
        places = parents[places]
        is_nested = places >= 0
        rows, places, actors = rows[is_nested], places[is_nested], actors[is_nested]
    return steps


def _actions(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are actions under a goal, and the keys of those goals."""
    counts = np.array([is_action(kind) for kind in batch.kinds], np.bool_)
    goals = batch.column("goal")
    rows = np.flatnonzero(counts[batch.kind_codes] & (goals > 0) & (goals < batch.column("seq")))
    return rows, batch.keys(rows, goals[rows])


def _other_goals(
    connection: sqlite3.Connection, batch: Batch, new: Goals, older: Goals, under: np.ndarray
) -> np.ndarray:
    """Goals that are neither new nor running ones of agents at hand, but lie between an action and such a goal.

    Few: somebody else's goal, or one that had ended. Rows of key, agent, parent's key (or -1), row of the end.
    """
    wanted = np.concatenate((under, new.parents, older.parents))
    is_other = (wanted >= 0) & ~find(new.keys, wanted)[1] & ~find(older.keys, wanted)[1]
    waiting: list[int] = np.unique(wanted[is_other]).tolist()
    found: dict[int, tuple[int, int, int, int]] = {}
    known = {*new.keys.tolist(), *older.keys.tolist()} if waiting else set()
    gids = batch.gids(np.arange(len(batch.simulations)))
    sql = "SELECT agent, parent, status FROM goals WHERE simulation = ? AND seq = ?"
    while waiting:
        key = waiting.pop()
        code, seq = key >> SEQ_BITS, key & SEQ_MASK
        row = None if key in found else connection.execute(sql, (gids[code], seq)).fetchone()
        if row is None:
            continue
        agent, parent, status = row
        parent_key = code << SEQ_BITS | parent if parent else -1
        found[key] = (key, agent, parent_key, _RUNNING if status == "running" else _ENDED)
        if parent and parent_key not in known:
            waiting.append(parent_key)
    return np.array(list(found.values()), np.int64).reshape(-1, 4)
