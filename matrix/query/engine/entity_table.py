"""A table of the index, read column by column from SQLite.

It is whole, or restricted by a condition that SQLite decides; its rows come in the order of its key,
and a column is fetched when it is first needed (several at once when the caller knows them).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow.compute as pc

from matrix.index.data import decode_data
from matrix.query.engine.frame import Table
from matrix.query.engine.value import Array, Type, Value, from_objects, text_array

if TYPE_CHECKING:
    from matrix.query.engine.entities import Entities


@dataclass(frozen=True, slots=True)
class Restriction:
    """A condition in SQL on a table called t0, with its parameters."""

    where: str
    params: tuple[Any, ...] = ()


T = TypeVar("T", bound="EntityTable")


class EntityTable(Table):
    """A table of the index in key order."""

    table: str
    key: tuple[str, ...]
    texts: frozenset[str]

    def __init__(self, entities: Entities, only: Restriction | None) -> None:
        self.entities, self.only = entities, only
        self._raw: dict[str, list[Any]] = {}
        self._arrays: dict[str, Array] = {}
        self.load(dict.fromkeys((*self.key, *entities.prefetch.get(self.table, ()))))
        super().__init__(len(self._raw[self.key[0]]))

    def load(self, names: Iterable[str]) -> None:
        """Fetch those of these columns that are not here yet, in one pass over the table."""
        with self.entities.lock:
            missing = [name for name in names if name not in self._raw]
            if not missing:
                return
            order = ", ".join(self.key)
            sql, params = self.select(", ".join(f't0."{name}"' for name in missing))
            rows = self.entities.connection.execute(f"{sql} ORDER BY {order}", params).fetchall()
            columns = zip(*rows, strict=True) if rows else ([] for _ in missing)
            for name, column in zip(missing, columns, strict=True):
                self._raw[name] = list(column)

    def select(self, columns: str) -> tuple[str, tuple[Any, ...]]:
        """The SQL that reads columns of this table's rows."""
        sql = f"SELECT {columns} FROM {self.entities.source(self.table)} AS t0"
        return (sql, ()) if self.only is None else (f"{sql} WHERE {self.only.where}", self.only.params)

    def linked(self, kind: type[T], key: str, reference: str) -> T:
        """The table that a reference leads to; for a restricted table only the rows that its rows refer to."""
        if self.only is None or self.is_most():
            return self.entities.table(kind)
        sql, params = self.select(reference)
        return self.entities.table(kind, Restriction(f"({key}) IN ({sql})", params))

    def is_most(self) -> bool:
        """Whether a restricted table holds so much of the whole that restricting what it links to saves nothing."""
        return False

    def raw(self, name: str) -> list[Any]:
        self.load((name,))
        return self._raw[name]

    def array(self, name: str) -> Array:
        """A column of whole numbers without NULLs."""
        if name not in self._arrays:
            self._arrays[name] = np.array(self.raw(name), np.int64)
        return self._arrays[name]

    def text(self, name: str) -> Value:
        """A column of text: as it is when every row has its own (ids), else dictionary-coded."""
        values = text_array(self.raw(name))
        values = values if name == "id" else pc.dictionary_encode(values)
        present = None if not values.null_count else np.asarray(values.is_valid())
        return Value.of(Type.TEXT, values, present)

    def number(self, name: str, type: Type = Type.INT) -> Value:
        """A column of whole numbers, NULL where missing."""
        raw = self.raw(name)
        if None not in raw:
            return Value.of(type, self.array(name))
        present = np.array([value is not None for value in raw], bool)
        return Value.of(type, np.array([value or 0 for value in raw], np.int64), present)

    # -- open data ----------------------------------------------------------------------------

    def blobs(self) -> Sequence[bytes | None]:
        """The encoded data of every row; None for an empty map."""
        return self.raw("data")

    def has_data(self) -> Array | None:
        """Which rows have data at all; None: all."""
        return None

    def data_at(self, rows: Array) -> Value:
        """The maps of some rows (-1: missing)."""
        blobs, has = self.blobs(), self.has_data()
        there = rows >= 0 if has is None else (rows >= 0) & has[rows]
        found = zip(rows.tolist(), there.tolist(), strict=True)
        return from_objects([decode_data(blobs[row]) if is_there else None for row, is_there in found])

    def values(self, name: str, rows: Array | None) -> Value:
        if name == "data":
            return self.data_at(np.arange(self.count) if rows is None else rows)
        return super().values(name, rows)

    def read_payload(self, key: str) -> Value:
        maps = self.data_at(np.arange(self.count)).objects()
        return from_objects([None if data is None else data.get(key) for data in maps])

    def read_field(self, name: str) -> Value:
        return self.text(name) if name in self.texts else self.read_special(name)

    def read_special(self, name: str) -> Value:
        return self.number(name)

    # -- what agents and goals share ----------------------------------------------------------

    def simulation_rows(self) -> Array:
        """The row of each row's simulation."""
        if "@simulation" not in self._arrays:
            self._arrays["@simulation"] = self.entities.simulations.rows_of(self.array("simulation"))
        return self._arrays["@simulation"]

    def duration(self) -> Value:
        """From start to end, or to the simulation's newest event while it has not ended."""
        newest = self.entities.simulations.array("duration")[self.simulation_rows()]
        ends = [last if end is None else end for end, last in zip(self.raw("end"), newest.tolist(), strict=True)]
        return Value.of(Type.DURATION, np.array(ends, np.int64) - self.array("start"))
