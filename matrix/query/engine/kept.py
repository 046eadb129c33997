"""Entity tables kept between queries, for as long as the index has followed nothing new.

A store that is asked several questions reads each column of its entities once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from matrix.query.engine.entities import Entities

if TYPE_CHECKING:
    from matrix.log.reader import LogReader
    from matrix.query.engine.scan import Source

_KEPT: WeakKeyDictionary[LogReader, tuple[list[Any], Entities]] = WeakKeyDictionary()


def kept_entities(source: Source, prefetch: Mapping[str, frozenset[str]]) -> Entities:
    """The tables of the store as its index is now; ``prefetch`` is what the query will ask of them."""
    witnesses = source.connection.execute("SELECT * FROM witnesses ORDER BY shard").fetchall()
    known = _KEPT.get(source.reader)
    if known is None or known[0] != witnesses:
        known = witnesses, Entities(source.connection)
        _KEPT[source.reader] = known
    entities = known[1]
    entities.connection = source.connection  # a damaged index is replaced, and its connection with it
    entities.prefetch = prefetch
    return entities
