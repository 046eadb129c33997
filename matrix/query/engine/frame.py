"""Tables of things, and frames: rows chosen from a table, in order.

A `Table` is all rows of a relation that a query may need; its columns are read when somebody asks
for them and kept. A `Frame` is a choice of its rows (each maybe several times), and reads columns by
taking those rows. Links lead from a table to rows of another one; -1 is a broken link. A `Scope` is
what a condition sees: its own row first, then the rows around it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from matrix.query.engine.paths import walk_path
from matrix.query.engine.value import Array, Value
from matrix.query.syntax import Field, PathPart, Relation


class Linked(NamedTuple):
    """Where a link leads: for each row, a row of ``table`` or -1."""

    table: Table
    rows: Array


class Table(ABC):
    """Rows of one relation with columns that are read on demand."""

    relation: Relation | None

    def __init__(self, count: int) -> None:
        self.count = count
        self._fields: dict[str, Value] = {}
        self._payload: dict[str, Value] = {}
        self._links: dict[str, Linked] = {}

    def field(self, name: str) -> Value:
        """A built-in field of every row."""
        if name not in self._fields:
            self._fields[name] = self.read_field(name)
        return self._fields[name]

    def payload(self, key: str) -> Value:
        """A top-level key of every row's data."""
        if key not in self._payload:
            self._payload[key] = self.read_payload(key)
        return self._payload[key]

    def link(self, name: str) -> Linked:
        """The rows a single link leads to."""
        if name not in self._links:
            self._links[name] = self.read_link(name)
        return self._links[name]

    def path(self, path: tuple[PathPart, ...], rows: Array | None) -> Value:
        """A path into the data of some rows (all when None)."""
        if not path or not isinstance(path[0], str):
            return walk_path(self.values("data", rows), path)
        value = self.payload(path[0])
        return walk_path(value if rows is None else value.take(rows), path[1:])

    def values(self, name: str, rows: Array | None) -> Value:
        """A built-in field of some rows (all when None; -1 is missing)."""
        value = self.field(name)
        return value if rows is None else value.take(rows)

    @abstractmethod
    def read_field(self, name: str) -> Value: ...

    @abstractmethod
    def read_payload(self, key: str) -> Value: ...

    @abstractmethod
    def read_link(self, name: str) -> Linked: ...

    @abstractmethod
    def order(self) -> tuple[Array, ...]:
        """Sort keys of the relation's own order, most significant first."""


class NoTable(Table):
    """What rows are made of once they are columns (after an aggregate): nothing else is left to read."""

    relation = None

    def read_field(self, name: str) -> Value:
        raise AssertionError(f"the checker let a query read {name} of rows that are only columns")

    def read_payload(self, key: str) -> Value:
        raise AssertionError("rows of columns have no data")

    def read_link(self, name: str) -> Linked:
        raise AssertionError("rows of columns have no links")

    def order(self) -> tuple[Array, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Seen:
    """Events reached from agents: whether one of those agents sent, or received, each of them.

    ``turns`` is there when each row is seen by one agent, in its stream: how many turns that agent had begun by then.
    """

    sent: Array
    received: Array
    turns: Array | None = None

    def take(self, rows: Array) -> Seen:
        return Seen(self.sent[rows], self.received[rows], None if self.turns is None else self.turns[rows])


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows of a table, and the columns that stages made of them.

    ``seen`` is there when the rows were reached from agents; ``steps`` are the events of a sequence that have a name,
    one for each row; ``agents`` are the rows of those agents that the rows were last reached from, if they were.
    """

    table: Table
    rows: Array | None = None  # None: all rows of the table, in its order
    seen: Seen | None = None
    columns: Mapping[str, Value] = field(default_factory=dict)
    steps: Mapping[str, Frame] = field(default_factory=dict)
    agents: Array | None = None

    @property
    def count(self) -> int:
        return self.table.count if self.rows is None else len(self.rows)

    def index(self) -> Array:
        """The table row of each row."""
        return np.arange(self.table.count) if self.rows is None else self.rows

    def take(self, rows: Array) -> Frame:
        """Some of these rows, by their place here."""
        return Frame(
            self.table,
            rows if self.rows is None else self.rows[rows],
            None if self.seen is None else self.seen.take(rows),
            {name: value.take(rows) for name, value in self.columns.items()},
            {name: step.take(rows) for name, step in self.steps.items()},
            self.agents,
        )

    def keep(self, mask: Array) -> Frame:
        """The rows for which the mask is true."""
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def field(self, name: str) -> Value:
        return self.table.values(name, self.rows)

    def ordered(self) -> Frame:
        """The same rows in the relation's own order."""
        keys = [key[self.index()] for key in self.table.order()]
        if is_sorted(keys):
            return self
        return self.take(np.lexsort(keys[::-1]))


def is_sorted(keys: list[Array]) -> bool:
    """Whether rows already ascend by these keys, most significant first."""
    if not keys or len(keys[0]) < 2:
        return True
    tied = np.ones(len(keys[0]) - 1, bool)
    for key in keys:
        step = key[1:] < key[:-1]
        if (step & tied).any():
            return False
        tied &= key[1:] == key[:-1]
    return True


@dataclass(frozen=True, slots=True)
class Scope:
    """The frames a condition sees, all of one length: ``frames[0]`` is the row itself, ``frames[1]`` the one around.

    ``given`` holds values of single nodes (by identity) that are known already: the elements of a
    many-valued field while a predicate is tried on each of them.
    """

    frames: tuple[Frame, ...]
    given: Mapping[int, Value] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return self.frames[0].count

    def frame_of(self, field: Field) -> Frame:
        """The rows that a field begins at: so many scopes out, or the events of the innermost step of its name."""
        if not field.step:
            return self.frames[field.up]
        return next(frame.steps[field.step] for frame in self.frames if field.step in frame.steps)

    def take(self, rows: Array) -> Scope:
        return Scope(
            tuple(frame.take(rows) for frame in self.frames),
            {key: value.take(rows) for key, value in self.given.items()},
        )

    def inside(self, inner: Frame) -> Scope:
        """The scope of a condition on ``inner``, whose rows belong to the rows here one by one."""
        return Scope((inner, *self.frames))


def expand(starts: Array, counts: Array) -> tuple[Array, Array]:
    """For each i the numbers ``starts[i] .. starts[i] + counts[i] - 1``: (i repeated, the numbers).

    >>> [a.tolist() for a in expand(np.array([5, 9]), np.array([2, 1]))]
    [[0, 0, 1], [5, 6, 9]]
    """
    owners = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    within = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)
    return owners, np.repeat(starts, counts) + within


def any_of(owners: Array, mask: Array, count: int) -> Array:
    """Which of ``count`` owners have a true element."""
    result = np.zeros(count, bool)
    result[owners[mask]] = True
    return result
