"""Forks in the index: what a fork has from its parent is as if it had been copied, however many there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.event import SIMULATION_FORKED, Event
from matrix.index import dump, follower, forks
from matrix.testing.forks import whole
from matrix.testing.telling import Telling
from tests.index.logs import trade
from tests.index.shelf import Shelf
from tests.index.test_follow import new_index, rebuilt_digest

ENTITIES = ("simulations", "agents", "goals", "states", "kinds", "paths")


def fork(parent: Sequence[Event], at: int, simulation: int, *, shard: int = 1, more: int = 2) -> list[Event]:
    """A fork's own events."""
    telling = Telling.forked(parent[:at], simulation=simulation)
    place = {"parent_shard": shard, "parent_ordinal": parent[0].simulation}
    telling.fork({"id": f"fork {simulation}", "parent": parent[0].data["id"], "seed": simulation, **place})
    for turn in range(more):
        telling.emit(1 + turn % 2, "offer", {"price": turn})
    return telling.events[at:]


def followed(shards: dict[int, list[Event]]) -> tuple[sqlite3.Connection, Shelf]:
    """An index of these events, a shard a block."""
    shelf, index = Shelf(), new_index()
    for shard, events in shards.items():
        shelf.append(shard, events)
    follower.follow(index, shelf)
    return index, shelf


def rows(index: sqlite3.Connection, table: str) -> list[Any]:
    return index.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()


def same_entities(shards: dict[int, list[Event]]) -> Iterator[bool]:
    """Whether a store and its copy have the same rows, table by table."""
    mine, theirs = followed(shards)[0], followed(whole(shards))[0]
    for table in ENTITIES:
        assert rows(mine, table) == rows(theirs, table), table
        yield True


def test_several_forks_at_one_place_have_the_same_rows_as_copies() -> None:
    parent = trade(1)
    own = [event for number in (2, 3, 4) for event in fork(parent, 20, number)]
    assert all(same_entities({1: parent + own + fork(parent, 14, 5)}))


def test_what_is_shared_is_applied_in_as_many_batches_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "FOLLOW_EVENTS_MAX", 3)
    parent = trade(1)
    shelf = Shelf()
    for at in range(0, len(parent), 2):
        shelf.append(1, parent[at : at + 2])
    own = fork(parent, 21, 2) + fork(parent, 21, 3)
    shelf.append(1, own)
    index, copied = new_index(), followed(whole({1: parent + own}))[0]
    follower.follow(index, shelf)
    for table in ENTITIES:
        assert rows(index, table) == rows(copied, table)


def test_a_parent_may_lie_in_a_shard_that_is_followed_later() -> None:
    parent = trade(1)
    index, shelf = followed({1: fork(parent, 20, 1, shard=2), 2: parent})
    gid, source = (1 << 32) | 1, (2 << 32) | 1
    assert rows(index, "forks") == [(gid, 1, 20, source)]
    assert dump.dump_digest(index) == rebuilt_digest(shelf)


def test_a_parent_may_be_compacted_while_its_fork_waits_to_be_followed() -> None:
    parent = trade(1)
    shelf, index = Shelf(), new_index()
    shelf.append(2, parent[:12])
    shelf.append(2, parent[12:])
    shelf.roll(2)
    follower.follow(index, shelf)
    shelf.append(1, fork(parent, 20, 1, shard=2))
    shelf.compact(2, 1, 5)
    follower.follow(index, shelf)
    assert dump.dump_digest(index) == rebuilt_digest(shelf)
    assert rows(index, "forks") == [((1 << 32) | 1, 1, 20, (2 << 32) | 1)]


def test_forks_of_forks_name_where_their_events_were_written() -> None:
    parent = trade(1)
    first = fork(parent, 20, 2)
    whole_first = whole({1: parent + first})[1][len(parent) :]
    second = fork(whole_first, 22, 3)
    inside = fork(whole_first, 9, 4)
    index, _ = followed({1: parent + first + second + inside})
    gid = 1 << 32
    assert rows(index, "forks") == [
        (gid | 2, 1, 20, gid | 1),
        (gid | 3, 1, 20, gid | 1),
        (gid | 3, 21, 22, gid | 2),
        (gid | 4, 1, 9, gid | 1),
    ]
    assert all(same_entities({1: parent + first + second + inside}))


def test_a_parent_with_a_hole_leaves_nothing_of_itself_in_its_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "FOLLOW_EVENTS_MAX", 1)
    parent = trade(1)
    own = fork(parent, 20, 2)
    shelf, index = Shelf(), new_index()
    for event in (*parent[:10], *parent[11:], *own):
        shelf.append(1, [event])
    follower.follow(index, shelf)
    gid = (1 << 32) | 2
    assert rows(index, "forks") == [(gid, 1, 20, None)]
    assert index.execute("SELECT events, agents FROM simulations WHERE gid = ?", (gid,)).fetchone() == (3, 0)
    assert index.execute("SELECT count(*) FROM goals WHERE simulation = ?", (gid,)).fetchone() == (0,)
    assert index.execute("SELECT events FROM kinds WHERE kind = 'agent.started'").fetchone() == (6,)


def test_a_long_line_of_forks_is_followed() -> None:
    events = line = trade(1, 2)
    for number in range(2, 80):
        own = fork(line, len(line), number, more=1)
        events, line = events + own, [*line, *own]
        line = [*line[: -len(own)], *own]
        line[0] = Event(number, *[getattr(line[0], name) for name in EVENT_FIELDS])
    index, _ = followed({1: events})
    assert index.execute("SELECT max(events) FROM simulations").fetchone() == (len(line),)
    assert index.execute("SELECT count(*) FROM forks WHERE source IS NULL").fetchone() == (0,)


EVENT_FIELDS = ("seq", "time", "wall", "agent", "turn", "goal", "state", "cause", "kind", "to", "data")


places = st.tuples(st.sampled_from((1, 1, 2, 9, -1, True, "x", None)), st.sampled_from((1, 2, 3, 4, 99, 0, 2**70, 1.5)))
wild = st.lists(st.tuples(places, st.integers(1, 12), st.integers(0, 3), st.sampled_from((1, 2))), max_size=8)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(told=wild, batch_events=st.sampled_from((1, 4, 10_000)))
def test_forks_of_anything_give_one_index_in_any_steps(told: list[Any], batch_events: int) -> None:
    shelf, index = Shelf(), new_index()
    events = {1: trade(1, 2), 2: trade(1, 2)}
    for number, ((shard_of_parent, ordinal), seq, more, shard) in enumerate(told, 2):
        data = {"parent_shard": shard_of_parent, "parent_ordinal": ordinal, "id": f"wild {number}"}
        own = [Event(number, seq, 900, 900, 0, 0, 0, 0, seq - 1, SIMULATION_FORKED, data=data)]
        own += [Event(number, seq + n, 900, 900, 1, 1, 3, 0, seq, "offer", (2,)) for n in range(1, more + 1)]
        events[shard] = events[shard] + own
    for shard in events:
        for at in range(0, len(events[shard]), 3):
            shelf.append(shard, events[shard][at : at + 3])
    follower.follow(index, shelf, batch_events=batch_events)
    assert dump.dump_digest(index) == rebuilt_digest(shelf)
    copied, _ = followed(whole(events))
    for table in ("agents", "goals", "states", "kinds", "paths"):
        assert rows(index, table) == rows(copied, table), table
    copied.close()
    index.close()
