"""What is read from an index and kept between queries, for as long as the index has followed nothing new.

A store that is asked several questions reads each column of its entities, and each list of names, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary

from matrix.query.engine.entities import Entities
from matrix.query.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from matrix.log.reader import LogReader
    from matrix.query.engine.scan import Source

Kept = TypeVar("Kept", Entities, Vocabulary)
_KEPT: WeakKeyDictionary[LogReader, tuple[list[Any], dict[type, Any]]] = WeakKeyDictionary()


def kept_entities(source: Source, prefetch: Mapping[str, frozenset[str]]) -> Entities:
    """The tables of the store as its index is now; ``prefetch`` is what the query will ask of them."""
    entities = _kept(source, Entities)
    entities.prefetch = prefetch
    return entities


def kept_vocabulary(source: Source) -> Vocabulary:
    """The names of a store as its index is now."""
    return _kept(source, Vocabulary)


def _kept(source: Source, kind: type[Kept]) -> Kept:
    witnesses = source.connection.execute("SELECT * FROM witnesses ORDER BY shard").fetchall()
    known = _KEPT.get(source.reader)
    if known is None or known[0] != witnesses:
        known = _KEPT[source.reader] = witnesses, {}
    if kind not in known[1]:
        known[1][kind] = kind(source.connection)
    found = cast(Kept, known[1][kind])
    found.connection = source.connection  # a damaged index is replaced, and its connection with it
    return found
