"""Goals, from the columns of a batch.

A goal that begins and ends in one batch, which most do, costs one INSERT. One that was begun before is updated.
The first end of a goal counts; an end of a goal that never started is passed over.

Steps and turns are those that the goal's end recorded; where it recorded none, and while it runs, they are counted
(see ``steps.py``).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

import cbor2
import numpy as np

from matrix.errors import StoreError
from matrix.event import GOAL_ENDS, GOAL_STARTED
from matrix.index.agents import Touched
from matrix.index.batch import SEQ_BITS, SEQ_MASK, Batch, find, packed, packed_maps
from matrix.index.steps import Goals, count_steps, running_goals

_ABSENT: Final = -1  # of recorded steps and turns
_NOT_PARAMETERS: Final = ("name", "parent")
_NOT_EXTRAS: Final = ("reason", "steps", "turns")

# 0 is bound where a text or blob is not there: sqlite3 asks an adapter about every None, at 0.5 us each.
_COLUMNS = "simulation, seq, name, agent, start, start_turn, parent, steps, turns"
_INSERT_RUNNING = f"""
    INSERT INTO goals ({_COLUMNS}, data, status, end_seq)
    VALUES (?, ?, nullif(?, 0), ?, ?, ?, ?, ?, ?, nullif(?, 0), 'running', 0) ON CONFLICT DO NOTHING
"""
_INSERT_ENDED = f"""
    INSERT INTO goals ({_COLUMNS}, data, status, "end", end_seq, reason)
    VALUES (?, ?, nullif(?, 0), ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, ?, nullif(?, 0)) ON CONFLICT DO NOTHING
"""
_UPDATE_RUNNING = "UPDATE goals SET steps = ?, turns = ? WHERE simulation = ? AND seq = ?"
_UPDATE_ENDED = """
    UPDATE goals SET status = ?, "end" = ?, end_seq = ?, reason = nullif(?, 0),
        steps = iif(? < 0, steps, ?), turns = iif(? < 0, ? - start_turn + 1, ?){data}
    WHERE simulation = ? AND seq = ? AND status = 'running'
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
    """The goals that end in a batch, by ascending key. ``reasons`` are text, or 0 for none."""

    keys: np.ndarray
    rows: np.ndarray
    statuses: list[str]
    reasons: list[Any]
    extras: dict[str, list[Any]]
    steps: np.ndarray
    turns: np.ndarray


def write(connection: sqlite3.Connection, batch: Batch, touched: Touched) -> None:
    """Bring the rows of the batch's goals up to date; the agents' must be already."""
    if int(batch.column("seq").max()) > SEQ_MASK or int(batch.column("goal").max()) > SEQ_MASK:
        raise StoreError(f"shard {batch.shard}: an event claims a seq beyond {SEQ_MASK}: not a log of ours")
    started, ended = _started(batch), _ended(batch)
    new, older = _begun(batch, started, touched), running_goals(connection, batch)
    new_steps, older_steps = count_steps(connection, batch, new, older, ended.keys, ended.rows)
    _update_running(connection, batch, older, older_steps, touched)
    _insert(connection, batch, started, ended, new, new_steps)
    _update_ended(connection, batch, started, ended)


# -- what began, what ended -------------------------------------------------------------------


def _started(batch: Batch) -> Started:
    rows = batch.kind_rows(GOAL_STARTED)
    if not len(rows):
        return Started(rows, rows, rows, rows)
    seqs = batch.column("seq")[rows]
    keys, places = np.unique(batch.keys(rows, seqs), return_index=True)
    parents = _numbers(batch.values(GOAL_STARTED, "parent"), absent=0)
    parents = np.where(parents < seqs, parents, 0)  # what claims a later parent has none, so there are no circles
    return Started(keys, rows[places], places, parents[places])


def _begun(batch: Batch, started: Started, touched: Touched) -> Goals:
    """What counting needs of the goals that begin in a batch; turns are those of one that is still running."""
    codes, agents = batch.simulation_codes[started.rows], batch.column("agent")[started.rows]
    parents = np.where(started.parents > 0, (started.keys & ~SEQ_MASK) | started.parents, -1)
    start_turns = batch.column("turn")[started.rows]
    turns = touched.turns_of(codes, agents) - start_turns + 1
    return Goals(started.keys, agents, parents, start_turns, np.zeros(len(codes), np.int64), turns)


def _ended(batch: Batch) -> Ended:
    parts = {status: batch.kind_rows(kind) for kind, status in GOAL_ENDS.items()}
    rows = np.concatenate(list(parts.values()))
    if not len(rows):
        return Ended(rows, rows, [], [], {}, rows, rows)
    goals = batch.column("goal")[rows]
    in_order = np.argsort(rows)
    is_sound = (goals > 0) & (goals < batch.column("seq")[rows])
    in_order = in_order[is_sound[in_order]]
    keys, first = np.unique(batch.keys(rows, goals)[in_order], return_index=True)
    places = in_order[first]
    picks = places.tolist()
    statuses = [status for status, found in parts.items() for _ in range(len(found))]
    said = {name: _pick(_ends(batch, name), picks) for name in _end_fields(batch) if name not in _NOT_EXTRAS}
    reasons = _pick(_ends(batch, "reason"), picks)
    if not set(map(type, reasons)) <= {str, type(None)}:
        said["reason"] = [None if isinstance(reason, str) else reason for reason in reasons]  # it stays with the rest
    steps, turns = (_numbers(_ends(batch, name), absent=_ABSENT)[places] for name in ("steps", "turns"))
    return Ended(keys, rows[places], _pick(statuses, picks), _texts(reasons), said, steps, turns)


def _end_fields(batch: Batch) -> set[str]:
    return {name for kind in GOAL_ENDS for name in batch.fields(kind)}


def _ends(batch: Batch, name: str) -> list[Any]:
    """One payload field of all goals' ends, kind after kind."""
    return [value for kind in GOAL_ENDS for value in batch.values(kind, name)]


def _pick(values: list[Any], places: list[int]) -> list[Any]:
    return list(map(values.__getitem__, places))


def _texts(values: list[Any]) -> list[Any]:
    """The values that are text, 0 for the others."""
    if set(map(type, values)) == {str}:
        return values
    return [value if isinstance(value, str) else 0 for value in values]


def _numbers(values: list[Any], *, absent: int) -> np.ndarray:
    """The values as numbers of events; what is none, or not a sensible one, is ``absent``."""
    try:
        found = np.array(values, np.int64) if set(map(type, values)) == {int} else None
    except OverflowError:
        found = None
    if found is None:
        sensible = [value if type(value) is int and 0 <= value <= SEQ_MASK else absent for value in values]
        return np.array(sensible, np.int64)
    return np.where((found >= 0) & (found <= SEQ_MASK), found, absent)


# -- rows -------------------------------------------------------------------------------------


def _update_running(
    connection: sqlite3.Connection, batch: Batch, older: Goals, gained: np.ndarray, touched: Touched
) -> None:
    """Count on in the goals that were running when the batch began."""
    turns = touched.turns_of(older.keys >> SEQ_BITS, older.agents) - older.start_turns + 1
    has_changed = (gained > 0) | (turns != older.turns)
    steps = (older.steps + gained)[has_changed].tolist()
    ids = batch.gids_and_seqs(older.keys[has_changed])
    connection.executemany(_UPDATE_RUNNING, zip(steps, turns[has_changed].tolist(), *ids))


def _insert(
    connection: sqlite3.Connection, batch: Batch, started: Started, ended: Ended, new: Goals, counted: np.ndarray
) -> None:
    """Add the goals that began in this batch, with their ends where they ended in it too."""
    if not len(started.keys):
        return
    at, has_ended = find(ended.keys, started.keys)
    running = np.flatnonzero(~has_ended)
    columns = _first_columns(batch, started, running)
    data = packed_maps(_parameters(batch, started, running), len(running))
    connection.executemany(_INSERT_RUNNING, zip(*columns, counted[running].tolist(), new.turns[running].tolist(), data))
    _insert_ended(connection, batch, started, np.flatnonzero(has_ended), ended, at[has_ended], counted[has_ended])


def _insert_ended(
    connection: sqlite3.Connection,
    batch: Batch,
    started: Started,
    chosen: np.ndarray,
    ended: Ended,
    places: np.ndarray,
    counted: np.ndarray,
) -> None:
    """Add goals that began and ended; of those at ``chosen`` the ends are at ``places``."""
    listed, rows = places.tolist(), ended.rows[places]
    columns = _first_columns(batch, started, chosen)
    data = _parameters(batch, started, chosen)
    for name, values in ended.extras.items():
        extras = _pick(values, listed)
        if name in data:
            extras = [mine if extra is None else extra for mine, extra in zip(data[name], extras)]
        data[name] = extras
    steps, turns = ended.steps[places], ended.turns[places]
    counted_turns = batch.column("turn")[rows] - batch.column("turn")[started.rows[chosen]] + 1
    ends = (
        np.where(steps == _ABSENT, counted, steps).tolist(),
        np.where(turns == _ABSENT, counted_turns, turns).tolist(),
        packed_maps(data, len(listed)),
        _pick(ended.statuses, listed),
        batch.column("time")[rows].tolist(),
        batch.column("seq")[rows].tolist(),
        _pick(ended.reasons, listed),
    )
    connection.executemany(_INSERT_ENDED, zip(*columns, *ends))


def _first_columns(batch: Batch, started: Started, chosen: np.ndarray) -> tuple[list[Any], ...]:
    """The first columns of a goal's row, which say how it began."""
    rows = started.rows[chosen]
    names = _pick(batch.values(GOAL_STARTED, "name"), started.places[chosen].tolist())
    return (
        *batch.gids_and_seqs(started.keys[chosen]),
        _texts(names),
        batch.column("agent")[rows].tolist(),
        batch.column("time")[rows].tolist(),
        batch.column("turn")[rows].tolist(),
        started.parents[chosen].tolist(),
    )


def _parameters(batch: Batch, started: Started, chosen: np.ndarray) -> dict[str, list[Any]]:
    names = [name for name in batch.fields(GOAL_STARTED) if name not in _NOT_PARAMETERS]
    places = started.places[chosen].tolist()
    return {name: _pick(batch.values(GOAL_STARTED, name), places) for name in names}


def _update_ended(connection: sqlite3.Connection, batch: Batch, started: Started, ended: Ended) -> None:
    """End the goals that began before this batch."""
    places = np.flatnonzero(~find(started.keys, ended.keys)[1])
    listed, rows = places.tolist(), ended.rows[places]
    steps, turns = ended.steps[places].tolist(), ended.turns[places].tolist()
    end_turns = batch.column("turn")[rows].tolist()
    columns = (
        _pick(ended.statuses, listed),
        batch.column("time")[rows].tolist(),
        batch.column("seq")[rows].tolist(),
        _pick(ended.reasons, listed),
        *(steps, steps, turns, end_turns, turns),
    )
    ids = batch.gids_and_seqs(ended.keys[places])
    if not ended.extras:
        connection.executemany(_UPDATE_ENDED.format(data=""), zip(*columns, *ids))
        return
    data = [_grown(connection, ended, place, gid, seq) for place, gid, seq in zip(listed, *ids)]
    connection.executemany(_UPDATE_ENDED.format(data=", data = nullif(?, 0)"), zip(*columns, data, *ids))


def _grown(connection: sqlite3.Connection, ended: Ended, place: int, gid: int, seq: int) -> bytearray | int:
    """The data of a goal begun before, with what its end adds."""
    row = connection.execute("SELECT data FROM goals WHERE simulation = ? AND seq = ?", (gid, seq)).fetchone()
    known = cbor2.loads(row[0]) if row and row[0] else {}
    both = known | {name: values[place] for name, values in ended.extras.items() if values[place] is not None}
    return packed({name: both[name] for name in sorted(both)}) if both else 0
