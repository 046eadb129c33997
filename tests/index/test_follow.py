"""Followed in any steps, however the log is cut, compacted and shared: one index, and what the events say."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections import Counter
from collections.abc import Iterator
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.event import SIMULATION_FORKED, Event
from matrix.index import dump, follower, schema
from matrix.testing.forks import whole
from matrix.testing.strategies import Shards, histories
from tests.index.plain import expected_entities, expected_paths, found_entities, found_paths
from tests.index.shelf import Shelf

seeds = st.randoms(use_true_random=False)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@functools.cache
def empty() -> bytes:
    """An empty index as bytes, made once: thousands are needed."""
    connection = schema.connect(None)
    with contextlib.closing(connection):
        with schema.transaction(connection):
            schema.create(connection)
        return connection.serialize()


def new_index() -> sqlite3.Connection:
    """An empty index in memory."""
    connection = schema.connect(None)
    connection.deserialize(empty())
    return connection


def rebuilt_digest(shelf: Shelf) -> str:
    """The digest of a fresh index of the whole log."""
    fresh = new_index()
    follower.follow(fresh, shelf)
    digest = dump.dump_digest(fresh)
    fresh.close()
    return digest


def pieces(events: list[Event], random: Random) -> Iterator[list[Event]]:
    """The events in blocks of random size; a fork begins a block, as it waits for its parent's events."""
    block: list[Event] = []
    size = random.randint(1, 12)
    for event in events:
        if block and (len(block) == size or event.kind == SIMULATION_FORKED):
            yield block
            block, size = [], random.randint(1, 12)
        block.append(event)
    yield block


class Waiting:
    """Blocks of all shards that are not written yet."""

    def __init__(self, shards: Shards, random: Random) -> None:
        self._random = random
        self._left = {shard: list(pieces(events, random)) for shard, events in shards.items()}
        self._newest: dict[tuple[int, int], int] = {}
        forks = [(n, e) for n, events in shards.items() for e in events if e.kind == SIMULATION_FORKED]
        self._forked = {(shard, event.simulation): event for shard, event in forks}

    def __bool__(self) -> bool:
        return any(self._left.values())

    def pop(self) -> tuple[int, list[Event]]:
        """The next block of some shard; a fork comes after everything it shares with its parent."""
        shard = self._random.choice([shard for shard, left in self._left.items() if left and self._may_come(left[0])])
        block = self._left[shard].pop(0)
        for event in block:
            self._newest[shard, event.simulation] = event.seq
        return shard, block

    def _may_come(self, block: list[Event]) -> bool:
        newest = dict(self._newest)
        for event in block:
            if event.kind == SIMULATION_FORKED and not self._is_whole(event, newest):
                return False
            newest[self._shard_of(block), event.simulation] = event.seq
        return True

    def _shard_of(self, block: list[Event]) -> int:
        return next(shard for shard, left in self._left.items() if left and left[0] is block)

    def _is_whole(self, fork: Event, newest: dict[tuple[int, int], int]) -> bool:
        """Whether everything that a fork shares has been written: by its parent, or by whom that is a fork of."""
        at, forked = fork.data["at"], fork
        while True:
            parent = forked.data["parent_shard"], forked.data["parent_ordinal"]
            if newest.get(parent, 0) >= at:
                return True
            grand = self._forked.get(parent)
            if parent not in newest or grand is None or grand.data["at"] < at:
                return False
            forked = grand


@quick
@given(shards=histories(), random=seeds)
def test_an_index_followed_in_any_steps_says_what_the_events_say(shards: Shards, random: Random) -> None:
    shelf, index = Shelf(), new_index()
    waiting = Waiting(shards, random)
    while waiting:
        shelf.append(*waiting.pop())
        if random.random() < 0.4:
            follower.follow(index, shelf, batch_events=random.choice((1, 7, 10_000)))
    follower.follow(index, shelf)
    assert found_entities(index) == expected_entities(shards)
    assert found_paths(index) == expected_paths(shards)
    kinds = Counter(event.kind for events in whole(shards).values() for event in events)
    assert dict(index.execute("SELECT kind, events FROM kinds")) == kinds
    assert dump.dump_digest(index) == rebuilt_digest(shelf)
    index.close()


@quick
@given(shards=histories(), random=seeds)
def test_compaction_at_any_moment_changes_nothing_but_the_maps(shards: Shards, random: Random) -> None:
    live, shelf, index = Shelf(), Shelf(), new_index()
    waiting = Waiting(shards, random)
    while waiting:
        shard, block = waiting.pop()
        live.append(shard, block)
        shelf.append(shard, block)
        if random.random() < 0.3:
            follower.follow(index, shelf, batch_events=5)
        if random.random() < 0.3:
            shelf.roll(shard)
        sealed = shelf.log[shard][:-1]
        if sealed and random.random() < 0.3:
            shelf.compact(shard, random.choice(sealed).number, random.randint(1, 20))
    follower.follow(index, shelf)
    follower.follow(index, shelf)
    assert dump.dump_digest(index) == rebuilt_digest(live) == rebuilt_digest(shelf)
    fresh = new_index()
    follower.follow(fresh, shelf)
    for table in ("blocks", "segments"):
        assert index.execute(f"SELECT * FROM {table}").fetchall() == fresh.execute(f"SELECT * FROM {table}").fetchall()
    fresh.close()
    index.close()
