"""Rows: the events a writer is given, in columns.

A column is an integer array with one value per row, a ``Runs`` (run-length: what is constant within
a turn is said once per turn) or one int that holds for all rows. Payloads are grouped by kind, either
as one dict per row or as one column per field. Rows of one simulation come in the order of their
``seq``; positions are not part of rows, the writer gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from matrix.errors import UsageError
from matrix.event import Event

#: The numeric fixed columns, in the order in which a block stores them.
FIXED_COLUMNS = ("simulation", "seq", "time", "wall", "agent", "turn", "goal", "state", "cause")


class TooLarge(UsageError):
    """The rows do not fit a frame: pack fewer at once."""


class Runs(NamedTuple):
    """A run-length column: row ``starts[i]`` and those after it hold ``values[i]``.

    ``starts`` ascends and begins with 0; both have the same length.
    """

    starts: Sequence[int] | np.ndarray
    values: Sequence[int] | np.ndarray


Column: TypeAlias = np.ndarray | Runs | int


def gaps(starts: np.ndarray, stop: int) -> np.ndarray:
    """How long each run is: from its start to the next, the last to ``stop``."""
    lengths = np.empty_like(starts)  # np.diff with append= takes ten times as long for a short column
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = stop - starts[-1]
    return lengths


@dataclass(slots=True)
class KindRows:
    """The payloads of all events of one kind: ``rows`` are their row numbers, ascending.

    Give ``payloads`` (one dict per row) or ``columns`` (one array per field, each ``len(rows)`` long;
    numpy, Arrow with nulls for None, or a list that may hold None), not both.
    """

    rows: np.ndarray | range | Sequence[int]
    payloads: list[dict[str, Any]] | None = None
    columns: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Rows:
    """``count`` events in columns.

    ``time`` and ``wall`` are microseconds; ``kind`` holds codes into ``kinds``; ``to`` is the number
    of the first receiver, 0 for none, and ``to_many`` lists ALL receivers of the rows that have more
    than one. ``data`` is keyed by kind code; a kind whose events all have an empty payload may be absent.

    >>> offers = KindRows(range(2), [{"price": 40}, {"price": 41}])
    >>> Rows(2, simulation=1, seq=np.array([1, 2]), time=0, wall=0, agent=Runs([0], [1]), turn=1, goal=0,
    ...      state=0, cause=0, kinds=["offer"], kind=0, data={0: offers}).count
    2
    """

    count: int
    simulation: Column
    seq: Column
    time: Column
    wall: Column
    agent: Column
    turn: Column
    goal: Column
    state: Column
    cause: Column
    kinds: list[str]
    kind: Column
    to: Column = 0
    to_many: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    data: Mapping[int, KindRows] = field(default_factory=dict)


def rows_from_events(events: Iterable[Event]) -> Rows:
    """Rows from events one by one: the convenient slow way, for tests and small writers."""
    rows = list(events)
    kinds = list(dict.fromkeys(event.kind for event in rows))
    code_of = {kind: code for code, kind in enumerate(kinds)}
    codes = [code_of[event.kind] for event in rows]
    data: dict[int, KindRows] = {}
    for row, (code, event) in enumerate(zip(codes, rows, strict=True)):
        of_kind = data.setdefault(code, KindRows([], []))
        of_kind.rows.append(row)  # type: ignore[union-attr]  # made as a list just above
        of_kind.payloads.append(dict(event.data))  # type: ignore[union-attr]
    columns = {name: np.array([getattr(event, name) for event in rows], np.int64) for name in FIXED_COLUMNS}
    return Rows(
        count=len(rows),
        **columns,
        kinds=kinds,
        kind=np.array(codes, np.int64),
        to=np.array([event.to[0] if event.to else 0 for event in rows], np.int64),
        to_many={row: tuple(event.to) for row, event in enumerate(rows) if len(event.to) > 1},
        data={code: of_kind for code, of_kind in data.items() if any(of_kind.payloads or ())},
    )


def cut_rows(rows: Rows, start: int, stop: int) -> Rows:
    """Rows ``start`` to ``stop`` (exclusive) as rows of their own, numbered from 0."""
    fixed = {name: _cut_column(getattr(rows, name), start, stop) for name in (*FIXED_COLUMNS, "kind", "to")}
    data = {code: _cut_kind(of_kind, start, stop) for code, of_kind in rows.data.items()}
    return Rows(
        count=stop - start,
        kinds=rows.kinds,
        to_many={row - start: to for row, to in rows.to_many.items() if start <= row < stop},
        data={code: of_kind for code, of_kind in data.items() if len(of_kind.rows)},
        **fixed,
    )


def _cut_column(column: Column, start: int, stop: int) -> Column:
    if isinstance(column, Runs):
        starts, values = np.asarray(column.starts), np.asarray(column.values)
        first = int(np.searchsorted(starts, start, side="right")) - 1
        last = int(np.searchsorted(starts, stop, side="left"))
        return Runs(np.maximum(starts[first:last] - start, 0), values[first:last])
    return column if isinstance(column, int) else column[start:stop]


def _cut_kind(of_kind: KindRows, start: int, stop: int) -> KindRows:
    rows = np.asarray(of_kind.rows, np.int64)
    first, last = (int(place) for place in np.searchsorted(rows, [start, stop]))
    payloads, columns = of_kind.payloads, of_kind.columns
    return KindRows(
        rows[first:last] - start,
        None if payloads is None else payloads[first:last],
        None if columns is None else {name: values[first:last] for name, values in columns.items()},
    )
