"""Small stores to ask: events in, rows out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from matrix.event import Event
from matrix.store import Store
from matrix.testing.stores import write_history
from tests.stories import deal, offers


def store_of(folder: Path, *shards: Iterable[Event], block_events: int = 1_000) -> Store:
    """A store that holds these events, a shard each."""
    write_history(folder, {n: list(events) for n, events in enumerate(shards, 1)}, block_events=block_events)
    return Store(folder)


def last_first(function: Callable[[Any], Any], items: Iterable[Any], *, threads: int) -> Iterator[Any]:
    """``in_order`` as threads may do it: the results in the order of the items, the last of them worked on first."""
    return reversed([function(item) for item in reversed(list(items))])


def deal_store(folder: Path) -> Store:
    """The story of alice's offer to bob."""
    return store_of(folder, deal())


def offers_store(folder: Path, *payloads: Mapping[str, Any]) -> Store:
    """Alice makes an offer with each of these payloads."""
    return store_of(folder, offers(payloads))


def column(store: Store, query: str, name: str, **parameters: Any) -> list[Any]:
    """One column of an answer."""
    return [row[name] for row in store.query(query, **parameters).rows()]


def ns(store: Store, condition: str, **parameters: Any) -> list[int]:
    """Which of the numbered offers meet a condition."""
    return column(store, f"events offer where {condition} | select .n as n", "n", **parameters)
