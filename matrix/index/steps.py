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
from matrix.index.batch import SEQ_BITS, SEQ_MASK, Batch

_RUNNING: Final = 2**62  # the row in which a goal ends, when it does not end in this batch
_ENDED: Final = -1  # ... when it ended before this batch


@dataclass(frozen=True, slots=True)
class Counted:
    """Steps of the goals begun in this batch, in the order of their keys; and what older, running ones gained."""

    new: np.ndarray
    older_steps: list[int]
    older_gids: list[int]
    older_seqs: list[int]


@dataclass(frozen=True, slots=True)
class _Goals:
    """All goals that actions of a batch may count for, by ascending key."""

    keys: np.ndarray
    agents: np.ndarray
    parents: np.ndarray  # places, -1 for none
    ends: np.ndarray  # rows of the batch


def count_steps(
    connection: sqlite3.Connection,
    batch: Batch,
    new: np.ndarray,
    new_rows: np.ndarray,
    new_parents: np.ndarray,
    ended: np.ndarray,
    ended_rows: np.ndarray,
) -> Counted:
    """Count the actions of a batch; ``new`` and ``ended`` are the keys of goals that begin and end in it."""
    rows, under = _actions(batch)
    goals = _goals_at_hand(connection, batch, new, new_rows, new_parents, under)
    if not len(goals.keys):
        return Counted(goals.keys, [], [], [])
    at, is_known = find(goals.keys, ended)
    is_running = is_known & (goals.ends[at] == _RUNNING)
    goals.ends[at[is_running]] = ended_rows[is_running]
    steps = _climb(batch, goals, rows, under)
    at, _ = find(goals.keys, new)
    has_gained = steps > 0
    has_gained[at] = False
    return Counted(steps[at], steps[has_gained].tolist(), *batch.gids_and_seqs(goals.keys[has_gained]))


def _climb(batch: Batch, goals: _Goals, rows: np.ndarray, under: np.ndarray) -> np.ndarray:
    steps = np.zeros(len(goals.keys), np.int64)
    places, is_known = find(goals.keys, under)
    rows, places = rows[is_known], places[is_known]
    agents = batch.column("agent")[rows]
    while len(rows):
        is_step = (goals.agents[places] == agents) & (rows < goals.ends[places])
        steps += np.bincount(places[is_step], minlength=len(steps))
        places = goals.parents[places]
        is_nested = places >= 0
        rows, places, agents = rows[is_nested], places[is_nested], agents[is_nested]
    return steps


def _actions(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are actions under a goal, and the keys of those goals."""
    counts = np.array([is_action(kind) for kind in batch.kinds], np.bool_)
    goals = batch.column("goal")
    rows = np.flatnonzero(counts[batch.kind_codes] & (goals > 0) & (goals < batch.column("seq")))
    return rows, batch.keys(rows, goals[rows])


def _goals_at_hand(
    connection: sqlite3.Connection,
    batch: Batch,
    new: np.ndarray,
    new_rows: np.ndarray,
    new_parents: np.ndarray,
    under: np.ndarray,
) -> _Goals:
    parent_keys = np.where(new_parents > 0, (new & ~SEQ_MASK) | new_parents, -1)
    wanted = np.concatenate((under[~find(new, under)[1]], parent_keys[new_parents > 0]))
    older = _older_goals(connection, batch, np.setdiff1d(wanted, new).tolist())
    keys = np.concatenate((new, older[:, 0]))
    order = np.argsort(keys)
    agents = np.concatenate((batch.column("agent")[new_rows], older[:, 1]))[order]
    ends = np.concatenate((np.full(len(new), _RUNNING), older[:, 3]))[order]
    keys = keys[order]
    parents, is_known = find(keys, np.concatenate((parent_keys, older[:, 2]))[order])
    return _Goals(keys, agents, np.where(is_known, parents, -1), ends)


def _older_goals(connection: sqlite3.Connection, batch: Batch, waiting: list[int]) -> np.ndarray:
    """Goals begun before this batch, with their ancestors: rows of key, agent, parent's key (or -1), row of the end."""
    found: dict[int, tuple[int, int, int, int]] = {}
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
        if parent:
            waiting.append(parent_key)
    return np.array(list(found.values()), np.int64).reshape(-1, 4)


def find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each wanted key is among ascending ``keys``, and whether it is there at all."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return places, keys[places] == wanted
