"""Goals, from the columns of a batch.

A goal that begins and ends in one batch, which most do, costs one INSERT. One that was begun before is updated.
The first end of a goal counts; an end or an action under a goal that never started is passed over.

Steps and turns are those that the goal's end recorded; where it recorded none, and while it runs, they are counted:
actions of the goal's own agent, up to its end, under it or under a goal nested in it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final

import cbor2
import numpy as np

from matrix.errors import StoreError
from matrix.event import GOAL_ENDS, GOAL_STARTED, is_action
from matrix.index.batch import SEQ_BITS, Batch, packed

_ABSENT: Final = -1  # of recorded steps and turns
_RUNNING: Final = 2**62  # the row in which a goal ends, when it does not end in this batch
_ENDED: Final = -1  # ... when it ended before this batch
_SEQ_MASK: Final = (1 << SEQ_BITS) - 1
_NOT_PARAMETERS: Final = ("name", "parent")
_NOT_EXTRAS: Final = ("steps", "turns")

_COLUMNS = "simulation, seq, name, agent, start, start_turn, parent, steps, turns"
_INSERT_RUNNING = f"""
    INSERT INTO goals ({_COLUMNS}, data, status, end_seq)
    VALUES (?, ?, nullif(?, 0), ?, ?, ?, ?, ?, ?, nullif(?, 0), 'running', 0) ON CONFLICT DO NOTHING
"""
_INSERT_ENDED = f"""
    INSERT INTO goals ({_COLUMNS}, data, status, "end", end_seq, reason)
    VALUES (?, ?, nullif(?, 0), ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, ?, nullif(?, 0)) ON CONFLICT DO NOTHING
"""
_UPDATE_STEPS = "UPDATE goals SET steps = steps + ? WHERE simulation = ? AND seq = ? AND status = 'running'"
_UPDATE_ENDED = """
    UPDATE goals SET status = ?, "end" = ?, end_seq = ?, reason = nullif(?, 0),
        steps = iif(? < 0, steps, ?), turns = iif(? < 0, ? - start_turn + 1, ?), data = ?
    WHERE simulation = ? AND seq = ? AND status = 'running'
"""
_UPDATE_TURNS = """
    UPDATE goals SET turns = a.turns - start_turn + 1 FROM temp.touched AS t JOIN agents AS a USING (simulation, number)
    WHERE goals.simulation = t.simulation AND goals.agent = t.number AND goals.status = 'running'
"""


@dataclass(slots=True)
class Started:
    """The goals that begin in a batch, by ascending key; ``places`` are theirs among all ``goal.started``."""

    keys: np.ndarray
    rows: np.ndarray
    places: np.ndarray
    parents: np.ndarray  # seq, 0 for none


@dataclass(slots=True)
class Ended:
    """The goals that end in a batch, by ascending key."""

    keys: np.ndarray
    rows: np.ndarray
    statuses: list[str]
    said: list[dict[str, Any]]
    steps: np.ndarray
    turns: np.ndarray


def write(connection: sqlite3.Connection, batch: Batch) -> None:
    """Bring the rows of the batch's goals up to date; the agents' must be already."""
    if int(batch.column("seq").max()) > _SEQ_MASK or int(batch.column("goal").max()) > _SEQ_MASK:
        raise StoreError(f"shard {batch.shard}: an event claims a seq beyond {_SEQ_MASK}: not a log of ours")
    started, ended = _started(batch), _ended(batch)
    steps, older, older_steps = _count_steps(connection, batch, started, ended)
    _update_steps(connection, batch, older, older_steps)
    _insert(connection, batch, started, ended, steps)
    _update_ended(connection, batch, started, ended)
    connection.execute(_UPDATE_TURNS)


# -- what began, what ended -------------------------------------------------------------------


def _started(batch: Batch) -> Started:
    rows = batch.kind_rows(GOAL_STARTED)
    seqs = batch.column("seq")[rows]
    keys, places = np.unique(batch.simulation_codes[rows] << SEQ_BITS | seqs, return_index=True)
    parents = _integers(batch.values(GOAL_STARTED, "parent"), absent=0) if len(rows) else rows
    parents = np.where(parents < seqs, parents, 0)  # what claims a later parent has none, so there are no circles
    return Started(keys, rows[places], places, parents[places])


def _ended(batch: Batch) -> Ended:
    parts = {status: batch.kind_rows(kind) for kind, status in GOAL_ENDS.items()}
    rows = np.concatenate(list(parts.values()))
    if not len(rows):
        return Ended(rows, rows, [], [], rows, rows)
    status_of = [status for status, found in parts.items() for _ in range(len(found))]
    said = [data for kind in GOAL_ENDS for data in batch.maps(kind, without=_NOT_EXTRAS)]
    steps = _recorded(batch, "steps")
    turns = _recorded(batch, "turns")
    goals = batch.column("goal")[rows]
    in_order = np.argsort(rows)
    is_sound = (goals > 0) & (goals < batch.column("seq")[rows])
    in_order = in_order[is_sound[in_order]]
    keys = batch.simulation_codes[rows] << SEQ_BITS | goals
    keys, first = np.unique(keys[in_order], return_index=True)
    places = in_order[first]
    listed = places.tolist()
    return Ended(
        keys,
        rows[places],
        [status_of[place] for place in listed],
        [said[place] for place in listed],
        steps[places],
        turns[places],
    )


def _recorded(batch: Batch, name: str) -> np.ndarray:
    return np.concatenate([_integers(batch.values(kind, name), absent=_ABSENT) for kind in GOAL_ENDS])


def _integers(values: list[Any], *, absent: int) -> np.ndarray:
    """The values as numbers of events; what is none, or not a sensible one, is ``absent``."""
    try:
        found = np.array(values, np.int64) if set(map(type, values)) == {int} else None
    except OverflowError:
        found = None
    if found is None:
        sensible = [value if type(value) is int and 0 <= value <= _SEQ_MASK else absent for value in values]
        return np.array(sensible, np.int64)
    return np.where((found >= 0) & (found <= _SEQ_MASK), found, absent)


# -- steps ------------------------------------------------------------------------------------


def _count_steps(
    connection: sqlite3.Connection, batch: Batch, started: Started, ended: Ended
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps of the goals begun in this batch; keys of older goals, and the steps they gained."""
    rows, action_keys = _actions(batch)
    keys, goal_agents, parents, ends = _goals_at_hand(connection, batch, started, action_keys)
    if not len(keys):
        return keys, keys, keys
    at, is_known = _find(keys, ended.keys)
    running = ends[at[is_known]] == _RUNNING
    ends[at[is_known][running]] = ended.rows[is_known][running]
    goals, is_known = _find(keys, action_keys)
    rows, goals = rows[is_known], goals[is_known]
    agents = batch.column("agent")[rows]
    counts = np.zeros(len(keys), np.int64)
    while len(rows):
        is_step = (goal_agents[goals] == agents) & (rows < ends[goals])
        counts += np.bincount(goals[is_step], minlength=len(keys))
        goals = parents[goals]
        is_nested = goals >= 0
        rows, goals, agents = rows[is_nested], goals[is_nested], agents[is_nested]
    new, _ = _find(keys, started.keys)
    is_older = np.ones(len(keys), np.bool_)
    is_older[new] = False
    return counts[new], keys[is_older], counts[is_older]


def _actions(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are actions under a goal, and the keys of those goals."""
    counts = np.array([is_action(kind) for kind in batch.kinds], np.bool_)
    goals = batch.column("goal")
    rows = np.flatnonzero(counts[batch.kind_codes] & (goals > 0) & (goals < batch.column("seq")))
    return rows, batch.simulation_codes[rows] << SEQ_BITS | goals[rows]


def _goals_at_hand(
    connection: sqlite3.Connection, batch: Batch, started: Started, action_keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All goals that steps of this batch may count for: key, agent, place of the parent (or -1), row of the end."""
    is_nested = started.parents > 0
    parent_keys = np.where(is_nested, (started.keys & ~_SEQ_MASK) | started.parents, -1)
    older = _older_goals(connection, batch, np.union1d(action_keys, parent_keys[is_nested]), started.keys)
    keys = np.concatenate((started.keys, older[:, 0]))
    order = np.argsort(keys)
    agents = np.concatenate((batch.column("agent")[started.rows], older[:, 1]))[order]
    ends = np.concatenate((np.full(len(started.keys), _RUNNING), older[:, 3]))[order]
    parents, is_known = _find(keys[order], np.concatenate((parent_keys, older[:, 2]))[order])
    return keys[order], agents, np.where(is_known, parents, -1), ends


def _older_goals(connection: sqlite3.Connection, batch: Batch, wanted: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Goals begun before this batch, with their ancestors: rows of key, agent, parent's key (or -1), row of the end."""
    waiting: list[int] = np.setdiff1d(wanted, new).tolist()
    found: dict[int, tuple[int, int, int, int]] = {}
    while waiting:
        key = waiting.pop()
        code, seq = key >> SEQ_BITS, key & _SEQ_MASK
        sql = "SELECT agent, parent, status FROM goals WHERE simulation = ? AND seq = ?"
        gid = batch.shard << 32 | int(batch.simulations[code])
        row = connection.execute(sql, (gid, seq)).fetchone()
        if row is None or key in found:
            continue
        agent, parent, status = row
        parent_key = code << SEQ_BITS | parent if parent else -1
        found[key] = (key, agent, parent_key, _RUNNING if status == "running" else _ENDED)
        if parent:
            waiting.append(parent_key)
    return np.array(list(found.values()), np.int64).reshape(-1, 4)


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each wanted key is among ascending ``keys``, and whether it is there at all."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return places, keys[places] == wanted


# -- rows -------------------------------------------------------------------------------------


def _update_steps(connection: sqlite3.Connection, batch: Batch, keys: np.ndarray, steps: np.ndarray) -> None:
    keys, steps = keys[steps > 0], steps[steps > 0]
    columns = (steps.tolist(), batch.gids(keys >> SEQ_BITS), (keys & _SEQ_MASK).tolist())
    connection.executemany(_UPDATE_STEPS, zip(*columns))


def _insert(connection: sqlite3.Connection, batch: Batch, started: Started, ended: Ended, counted: np.ndarray) -> None:
    """Add the goals that began in this batch, with their ends where they ended in it too."""
    if not len(started.keys):
        return
    at, has_ended = _find(ended.keys, started.keys)
    names = batch.values(GOAL_STARTED, "name")
    parameters = batch.maps(GOAL_STARTED, without=_NOT_PARAMETERS)
    steps, turns = counted.copy(), np.ones(len(started.keys), np.int64)
    end_turns = batch.column("turn")[ended.rows] if len(ended.rows) else ended.rows
    begun_turns = batch.column("turn")[started.rows]
    places = at[has_ended]
    steps[has_ended] = np.where(ended.steps[places] < 0, steps[has_ended], ended.steps[places])
    counted_turns = end_turns[places] - begun_turns[has_ended] + 1
    turns[has_ended] = np.where(ended.turns[places] < 0, counted_turns, ended.turns[places])
    listed = started.places.tolist()
    columns: tuple[list[Any], ...] = (
        batch.gids(started.keys >> SEQ_BITS),
        (started.keys & _SEQ_MASK).tolist(),
        [name if isinstance(name := names[place], str) else 0 for place in listed],
        batch.column("agent")[started.rows].tolist(),
        batch.column("time")[started.rows].tolist(),
        begun_turns.tolist(),
        started.parents.tolist(),
        steps.tolist(),
        turns.tolist(),
    )
    goal_parameters = [parameters[place] for place in listed]
    _insert_running(connection, columns, goal_parameters, ~has_ended)
    _insert_ended(connection, batch, columns, goal_parameters, has_ended, ended, places)


def _insert_running(
    connection: sqlite3.Connection, columns: tuple[list[Any], ...], parameters: list[dict[str, Any]], chosen: np.ndarray
) -> None:
    picks = chosen.tolist()
    data = [_packed_or_zero(one) for one in compress(parameters, picks)]
    connection.executemany(_INSERT_RUNNING, zip(*(compress(column, picks) for column in columns), data))


def _insert_ended(
    connection: sqlite3.Connection,
    batch: Batch,
    columns: tuple[list[Any], ...],
    parameters: list[dict[str, Any]],
    chosen: np.ndarray,
    ended: Ended,
    places: np.ndarray,
) -> None:
    picks, listed = chosen.tolist(), places.tolist()
    reasons, data = [], []
    for known, place in zip(compress(parameters, picks), listed):
        reason, extras = _split(ended.said[place])
        reasons.append(reason)
        data.append(_packed_or_zero(_merged(known, extras)))
    ends = (
        data,
        [ended.statuses[place] for place in listed],
        batch.column("time")[ended.rows[places]].tolist(),
        batch.column("seq")[ended.rows[places]].tolist(),
        reasons,
    )
    connection.executemany(_INSERT_ENDED, zip(*(compress(column, picks) for column in columns), *ends))


def _update_ended(connection: sqlite3.Connection, batch: Batch, started: Started, ended: Ended) -> None:
    """End the goals that began before this batch."""
    _, is_new = _find(started.keys, ended.keys)
    for place in np.flatnonzero(~is_new).tolist():
        key, row = int(ended.keys[place]), int(ended.rows[place])
        (gid,), seq = batch.gids(np.array([key >> SEQ_BITS])), key & _SEQ_MASK
        known = connection.execute("SELECT data FROM goals WHERE simulation = ? AND seq = ?", (gid, seq)).fetchone()
        if known is None:
            continue
        reason, extras = _split(ended.said[place])
        data = known[0] if not extras else packed(_merged(cbor2.loads(known[0]) if known[0] else {}, extras))
        steps, turns, turn = int(ended.steps[place]), int(ended.turns[place]), int(batch.column("turn")[row])
        head = (ended.statuses[place], int(batch.column("time")[row]), int(batch.column("seq")[row]), reason)
        connection.execute(_UPDATE_ENDED, (*head, steps, steps, turns, turn, turns, data, gid, seq))


def _split(said: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The reason, 0 for none, and everything else; a reason that is not text stays with the rest."""
    reason = said.get("reason")
    if isinstance(reason, str):
        return reason, {name: value for name, value in said.items() if name != "reason"}
    return 0, said


def _merged(parameters: dict[str, Any], extras: dict[str, Any]) -> dict[str, Any]:
    if not extras:
        return parameters
    both = parameters | extras
    return {name: both[name] for name in sorted(both)} if parameters else extras


def _packed_or_zero(data: dict[str, Any]) -> bytearray | int:
    return packed(data) if data else 0
