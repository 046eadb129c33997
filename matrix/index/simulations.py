"""Simulations and states, from the columns of a batch.

Of several ``simulation.started``, or of several ends, the first one counts. A simulation whose
``simulation.started`` is missing is there all the same, under the name that its place gives it.

``simulation.forked`` says who a simulation is from there on: its id, its parent, its seed. Its parameters, and what
else it says, take the place of what its history said before. A fork started when its oldest parent did.
"""

from __future__ import annotations

import sqlite3
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple

import cbor2
import numpy as np

from matrix.event import AGENT_STARTED, SIMULATION_ENDS, SIMULATION_FORKED, SIMULATION_STARTED, STATE_CHANGED
from matrix.index.batch import Batch, group, packed

_TALLY = """
    INSERT INTO simulations (gid, shard, ordinal, id, status, started_seq, start, duration, events, agents, data)
    VALUES (?, ?, ?, ?, 'running', 0, ?, ?, ?, ?, x'a0')
    ON CONFLICT DO UPDATE SET duration = excluded.duration, events = events + excluded.events,
        agents = agents + excluded.agents
"""
_START = """
    UPDATE simulations SET id = coalesce(?, id), name = ?, seed = ?, parent = ?, started_seq = ?, start = ?, data = ?
    WHERE gid = ?
"""
_FORK = """
    UPDATE simulations SET id = coalesce(?, shard || '-' || ordinal), name = coalesce(?, name),
        seed = coalesce(?, seed), parent = ?, data = ? WHERE gid = ?
"""
_END = 'UPDATE simulations SET status = ?, "end" = ?, ended_at = ?, data = ? WHERE gid = ?'
_NOT_DATA = ("id", "name", "seed", "parent", "parent_shard", "parent_ordinal")  # fields, and where a parent lies
_INT64 = range(-(2**63), 2**63)


def write(connection: sqlite3.Connection, batch: Batch) -> None:
    """Bring the rows of the batch's simulations up to date."""
    _write_tallies(connection, batch)
    _write_lives(connection, batch)


def _write_tallies(connection: sqlite3.Connection, batch: Batch) -> None:
    codes, count = batch.simulation_codes, len(batch.simulations)
    first, last = first_and_last(codes, count)
    events = np.bincount(codes, minlength=count)
    agents = np.bincount(codes[batch.kind_rows(AGENT_STARTED)], minlength=count)
    ordinals = batch.simulations.tolist()
    columns = (
        batch.gids(np.arange(count)),
        [batch.shard] * count,
        ordinals,
        [f"{batch.shard}-{ordinal}" for ordinal in ordinals],
        batch.column("wall")[first].tolist(),
        batch.column("time")[last].tolist(),
        events.tolist(),
        agents.tolist(),
    )
    connection.executemany(_TALLY, zip(*columns))


def first_and_last(places: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``count`` places, the first and the last row that has it; each occurs."""
    rows = np.arange(len(places))
    first, last = np.empty(count, np.int64), np.empty(count, np.int64)
    last[places] = rows  # of several assignments to one element numpy keeps the last
    first[places[::-1]] = rows[::-1]
    return first, last


class _Turn(NamedTuple):
    """What an event says of its simulation: that it starts, is a fork, or ends."""

    row: int
    kind: str
    gid: int
    seq: int
    wall: int
    time: int
    said: dict[str, Any]


def _write_lives(connection: sqlite3.Connection, batch: Batch) -> None:
    """Starts, forks and ends in the order in which they happened."""
    turns: list[_Turn] = []
    for kind in (SIMULATION_STARTED, SIMULATION_FORKED, *SIMULATION_ENDS):
        rows = batch.kind_rows(kind)
        if len(rows):
            numbers = (batch.column(name)[rows].tolist() for name in ("seq", "wall", "time"))
            gids = batch.gids(batch.simulation_codes[rows])
            turns += map(_Turn, rows.tolist(), repeat(kind), gids, *numbers, batch.maps(kind))
    for turn in sorted(turns, key=itemgetter(0)):
        if turn.kind == SIMULATION_STARTED:
            _write_start(connection, turn)
        elif turn.kind == SIMULATION_FORKED:
            _write_fork(connection, turn)
        else:
            _write_end(connection, turn)


def _write_start(connection: sqlite3.Connection, turn: _Turn) -> None:
    started, known = _started_and_data(connection, turn.gid)
    if started:
        return
    said = turn.said
    data = {**configuration(said), **known}  # what is known is from an end that came first
    head = (text_or_none(said.get("id")), text_or_none(said.get("name")), number_or_none(said.get("seed")))
    parent = text_or_none(said.get("parent"))
    connection.execute(_START, (*head, parent, turn.seq, turn.wall, packed(_sorted(data)), turn.gid))


def _write_fork(connection: sqlite3.Connection, turn: _Turn) -> None:
    _, known = _started_and_data(connection, turn.gid)
    said = turn.said
    data = {**known, **configuration(said)}
    head = (text_or_none(said.get("id")), text_or_none(said.get("name")), number_or_none(said.get("seed")))
    parent = text_or_none(said.get("parent"))
    connection.execute(_FORK, (*head, parent, packed(_sorted(data)), turn.gid))


def _write_end(connection: sqlite3.Connection, turn: _Turn) -> None:
    (now,) = connection.execute("SELECT status FROM simulations WHERE gid = ?", (turn.gid,)).fetchone()
    if now == "running":
        _, known = _started_and_data(connection, turn.gid)
        data = packed(_sorted(known | turn.said))
        connection.execute(_END, (SIMULATION_ENDS[turn.kind], turn.wall, turn.time, data, turn.gid))


def configuration(said: dict[str, Any]) -> dict[str, Any]:
    """What an event says of how the simulation is run: its parameters by their names, and everything as it was said."""
    parameters = said.get("parameters")
    rest = {name: value for name, value in said.items() if name not in _NOT_DATA}
    return {**parameters, **rest} if isinstance(parameters, dict) else rest


def _started_and_data(connection: sqlite3.Connection, gid: int) -> tuple[int, dict[str, Any]]:
    row = connection.execute("SELECT started_seq, data FROM simulations WHERE gid = ?", (gid,)).fetchone()
    return int(row[0]), cbor2.loads(row[1])


def _sorted(data: dict[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in sorted(data) if data[name] is not None}


def text_or_none(value: Any) -> str | None:
    """The value if it is a text that says something."""
    return value if isinstance(value, str) and value else None


def number_or_none(value: Any) -> int | float | None:
    """A seed as SQLite can hold it: beyond 64 bits it is rounded."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isinstance(value, float) or value in _INT64 else float(value)


_STATE = "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?)"


def write_states(connection: sqlite3.Connection, batch: Batch) -> None:
    """Keep the newest ``state.changed`` of each agent, and of the simulation itself (agent 0)."""
    rows = batch.kind_rows(STATE_CHANGED)
    if not len(rows):
        return
    codes, agents = batch.simulation_codes[rows], batch.column("agent")[rows]
    _, places = group(codes * (int(agents.max()) + 1) + agents)
    _, newest = first_and_last(places, int(places.max()) + 1)
    columns = (
        batch.gids(codes[newest]),
        agents[newest].tolist(),
        batch.column("seq")[rows[newest]].tolist(),
        map(packed, batch.maps(STATE_CHANGED, picks=newest)),
    )
    connection.executemany(_STATE, zip(*columns))
