"""A round: one moment of a store, for all the watches that look at it.

Whoever holds many watches brings the index up once, and lets each look at what that shows. What always holds: inside a
round there is one transaction that only reads, so all looks see the same moment; what one of them has worked out
about it (which blocks are new, who wrote in them, the entities of those) the others need not work out again. It is
given up when a segment was compacted under a look: then the round begins anew, at a newer moment.

>>> with Round(source) as round:                                           # doctest: +SKIP
...     for watch in watches:
...         for row in watch.look(round):
...             print(row)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from matrix.limits import WATCH_NAMED_MAX
from matrix.query.engine.changes import Changes, newest
from matrix.query.engine.entities import Entities
from matrix.query.engine.scan import zones_behind
from matrix.query.engine.written import Written, named_by_events, written_between

if TYPE_CHECKING:
    import sqlite3

    from matrix.log.reader import LogReader
    from matrix.query.engine.changes import Vector
    from matrix.query.engine.scan import Source, Zone


_Key: TypeAlias = tuple[tuple[int, int], ...]  # a moment


class Round:
    """A source that is refreshed once, when the ``with`` block begins."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._forget()

    def _forget(self) -> None:
        self.newest: dict[int, int] = {}
        self.now_us = 0
        self._zones: dict[_Key, list[Zone]] = {}
        self._changes: dict[tuple[_Key, _Key], Changes] = {}
        self._between: dict[tuple[_Key, _Key], Changes] = {}
        self._written: dict[tuple[_Key, _Key], Mapping[int, Written]] = {}
        self._entities: dict[tuple[tuple[int, ...], tuple[_Key, _Key] | None], Entities] = {}

    @property
    def connection(self) -> sqlite3.Connection:
        """The index, in a transaction that reads."""
        return self._source.connection

    @property
    def reader(self) -> LogReader:
        """The log."""
        return self._source.reader

    def refresh(self) -> object:
        """Go on to the newest moment."""
        self._end()
        self._forget()
        followed = self._source.refresh()
        self.connection.execute("BEGIN")
        self.newest, self.now_us = newest(self.connection), time.time_ns() // 1_000
        return followed

    def __enter__(self) -> Round:
        self.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._forget()

    def _end(self) -> None:
        if self.connection.in_transaction:  # SQLite ends it by itself when the disk is full
            self.connection.execute("ROLLBACK")

    # -- what looks share -------------------------------------------------------------------------

    def zones_behind(self, first: Vector) -> Sequence[Zone]:
        """The zone maps of the blocks written behind a moment."""
        key = _key(first)
        if key not in self._zones:
            self._zones[key] = list(zones_behind(self.connection, first))
        return self._zones[key]

    def changes(self, first: Vector, second: Vector) -> Changes:
        """Who wrote what behind the first moment, and behind the second."""
        key = _key(first), _key(second)
        if key not in self._changes:
            self._changes[key] = Changes.read(self, first, second)
        return self._changes[key]

    def changes_between(self, first: Vector, second: Vector) -> Changes:
        """Who wrote what between two moments, of those who wrote something."""
        key = _key(first), _key(second)
        if key not in self._between:
            self._between[key] = Changes.between(self, first, second)
        return self._between[key]

    def written(self, first: Vector, second: Vector) -> Mapping[int, Written]:
        """What the events between two moments name, by simulation."""
        key = _key(first), _key(second)
        if key not in self._written:
            self._written[key] = written_between(self, first, second)
        return self._written[key]

    def entities(self, gids: Sequence[int], named_by: tuple[Vector, Vector] | None = None) -> Entities:
        """The entities of some simulations as they are at this moment; or those that events between two others name."""
        moments = None if named_by is None else (_key(named_by[0]), _key(named_by[1]))
        key = tuple(gids), moments
        if key not in self._entities:
            named = None if named_by is None else named_by_events(self.written(*named_by), gids)
            if named is not None and named.size > WATCH_NAMED_MAX:
                named = None
            self._entities[key] = Entities(self.connection, tuple(gids), named)
        return self._entities[key]


def _key(moment: Vector) -> tuple[tuple[int, int], ...]:
    return tuple(moment.items())
