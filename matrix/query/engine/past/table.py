"""What the tables of a cut log have in common: columns made from events instead of read from SQLite."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.entity_table import EntityTable
from matrix.query.engine.events import EventTable
from matrix.query.engine.scan import Needs, Wanted, scan
from matrix.query.engine.value import Array, Value, from_objects
from matrix.query.syntax import Relation

if TYPE_CHECKING:
    from matrix.query.engine.past.entities import PastEntities
    from matrix.query.engine.world import World

_MISSING = -1


class PastTable(EntityTable):
    """A table whose columns are made by ``made``: an array of whole numbers, or a list with None where missing."""

    @property
    def past(self) -> PastEntities:
        return cast("PastEntities", self.entities)

    def load(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._raw:
                continue
            column = self.made(name)
            if isinstance(column, np.ndarray):
                self._arrays[name] = column.astype(np.int64, copy=False)
                column = column.tolist()
            self._raw[name] = column

    @abstractmethod
    def made(self, name: str) -> Array | list[Any]:
        """A column."""

    def maps(self) -> list[dict[str, Any] | None]:
        """The data of every row; None where there is none."""
        if "@maps" not in self._raw:
            self._raw["@maps"] = self.made_maps()
        return self._raw["@maps"]

    @abstractmethod
    def made_maps(self) -> list[dict[str, Any] | None]:
        """The data of every row, with sorted keys and without nulls."""

    def data_at(self, rows: Array) -> Value:
        maps = self.maps() if len(rows) else []
        return from_objects([None if row < 0 else maps[row] for row in rows.tolist()])


def events_of(
    world: World,
    kinds: Collection[str],
    raw: Iterable[str] = (),
    payload: Iterable[str] = (),
    *,
    has_data: bool = False,
) -> EventTable:
    """All events of some kinds, with these columns."""
    patterns = tuple(q.KindPattern((0, 0), kind) for kind in kinds)
    fields = frozenset({"data"} if has_data else ())
    needs = Needs(frozenset(raw), frozenset(payload), fields)
    return scan(world, Relation.EVENTS, Wanted((patterns,)), lambda table: None, needs=needs)


def in_order(events: EventTable) -> Array:
    """The rows of events by simulation and seq."""
    return np.lexsort((events.raw("seq"), events.simulation_rows()))


def last_of_each(owners: Array, count: int) -> Array:
    """For each of ``count`` owners the place of the last one that is its; -1 for none."""
    last = np.full(count, _MISSING, np.int64)
    last[owners] = np.arange(len(owners))  # of several assignments to one element numpy keeps the last
    return last


def first_of_each(owners: Array, count: int) -> Array:
    """For each of ``count`` owners the place of the first one that is its; -1 for none."""
    first = np.full(count, _MISSING, np.int64)
    first[owners[::-1]] = np.arange(len(owners) - 1, -1, -1)
    return first


def where(places: Array, values: Array, otherwise: Any) -> Array:
    """``values`` at some places, and something else where the place is -1."""
    if not len(values):
        return np.full(len(places), otherwise, np.int64)
    return np.where(places >= 0, values[places], otherwise)


def without_nulls(data: dict[str, Any]) -> dict[str, Any]:
    """A map as the index keeps it."""
    return {name: data[name] for name in sorted(data) if data[name] is not None}
