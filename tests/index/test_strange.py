"""Logs that no writer of ours makes: foreign order, missing beginnings, nonsense in payloads. Never a crash."""

from __future__ import annotations

from random import Random
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.errors import StoreError
from matrix.event import BUILT_IN_KINDS, Event
from matrix.index import dump, follower
from matrix.index.index import Index
from tests.index.shelf import Shelf
from tests.index.test_follow import new_index, pieces, rebuilt_digest

numbers = st.sampled_from((0, 0, 1, 1, 2, 3, 5, 9))
values = st.one_of(st.none(), st.booleans(), st.integers(-2, 4), st.just(2**70), st.floats(), st.text(max_size=2))
payloads = st.dictionaries(
    st.sampled_from(("id", "name", "role", "class", "parent", "seed", "parameters", "reason", "steps", "turns", "x")),
    st.one_of(values, st.lists(values, max_size=2), st.dictionaries(st.text(max_size=2), values, max_size=2)),
    max_size=4,
)
ends = ("simulation.finished", "simulation.failed", "goal.succeeded", "goal.failed", "agent.finished")
kinds = st.sampled_from((*BUILT_IN_KINDS, *ends, *ends, "goal.started", "goal.started", "offer"))
happenings = st.tuples(st.sampled_from((1, 1, 1, 2)), kinds, numbers, numbers, numbers, payloads)


def junk(told: list[tuple[int, str, int, int, int, dict[str, Any]]]) -> list[Event]:
    """Events of any kind in any order; only seq is as it should be."""
    seqs: dict[int, int] = {}
    events = []
    for place, (simulation, kind, agent, turn, goal, data) in enumerate(told):
        seq = seqs[simulation] = seqs.get(simulation, 0) + 1
        goal = seq if kind == "goal.started" else goal
        events.append(Event(simulation, seq, place, 1_000 + place, agent, turn, goal, 0, 0, kind, data=data))
    return events


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told=st.lists(happenings, min_size=1, max_size=40), random=st.randoms(use_true_random=False))
def test_any_order_of_events_gives_one_index_however_it_is_followed(told: Any, random: Random) -> None:
    shelf, index = Shelf(), new_index()
    for block in pieces(junk(told), random):
        shelf.append(1, block)
        if random.random() < 0.5:
            follower.follow(index, shelf, batch_events=3)
        if random.random() < 0.2:
            shelf.roll(1)
    follower.follow(index, shelf)
    expected = rebuilt_digest(shelf)
    assert dump.dump_digest(index) == expected
    for segment in shelf.log[1][:-1]:
        shelf.compact(1, segment.number, 10)
    assert rebuilt_digest(shelf) == expected
    index.close()


def followed(*events: Event) -> Any:
    """A new index of these events."""
    shelf, index = Shelf(), new_index()
    shelf.append(1, events)
    follower.follow(index, shelf)
    return index


def test_a_simulation_without_a_beginning_is_named_by_its_place() -> None:
    index = followed(Event(7, 4, 50, 1_050, 3, 2, 0, 0, 0, "offer"))
    found = index.execute("SELECT gid, id, name, status, start, duration, events, agents FROM simulations").fetchall()
    assert found == [((1 << 32) | 7, "1-7", None, "running", 1_050, 50, 1, 0)]
    assert index.execute("SELECT number, id, status, start, turns FROM agents").fetchall() == [
        (3, "3", "running", 50, 2)
    ]
    index.close()


def test_the_first_end_of_a_goal_and_of_a_simulation_counts() -> None:
    index = followed(
        Event(1, 1, 0, 0, 0, 0, 0, 0, 0, "simulation.started", data={"id": "a"}),
        Event(1, 2, 0, 0, 1, 1, 2, 0, 0, "goal.started", data={"name": "win"}),
        Event(1, 3, 5, 5, 1, 1, 2, 0, 0, "goal.failed", data={"reason": "lost"}),
        Event(1, 4, 6, 6, 1, 1, 2, 0, 0, "goal.succeeded"),
        Event(1, 5, 7, 7, 0, 0, 0, 0, 0, "simulation.stopped", data={"reason": "enough"}),
        Event(1, 6, 8, 8, 0, 0, 0, 0, 0, "simulation.finished", data={"reason": "done"}),
    )
    assert index.execute('SELECT status, reason, "end" FROM goals').fetchall() == [("failed", "lost", 5)]
    status, end, ended_at, data = index.execute('SELECT status, "end", ended_at, data FROM simulations').fetchone()
    assert (status, end, ended_at, cbor2.loads(data)) == ("stopped", 7, 7, {"reason": "enough"})
    index.close()


def test_a_restarted_agent_runs_again_until_its_simulation_ends() -> None:
    told = [
        Event(1, 1, 0, 0, 0, 0, 0, 0, 0, "simulation.started"),
        Event(1, 2, 0, 0, 1, 0, 0, 0, 0, "agent.started", data={"id": "a", "role": "buyer"}),
        Event(1, 3, 4, 4, 1, 1, 0, 0, 0, "agent.failed", data={"error": "oops"}),
        Event(1, 4, 5, 5, 1, 1, 0, 0, 0, "agent.restarted"),
    ]
    index = followed(*told)
    assert index.execute('SELECT status, "end" FROM agents').fetchall() == [("running", None)]
    index.close()
    index = followed(*told, Event(1, 5, 9, 9, 0, 0, 0, 0, 0, "simulation.failed"))
    assert index.execute('SELECT status, "end" FROM agents').fetchall() == [("cancelled", 9)]
    index.close()


def test_a_seq_beyond_forty_bits_is_refused_by_name() -> None:
    with pytest.raises(StoreError, match="beyond"):
        followed(Event(1, 2**41, 0, 0, 0, 0, 0, 0, 0, "note"))


def test_the_catalogue_of_a_kind_is_bounded_and_does_not_depend_on_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrix.index.catalogue.CATALOGUE_PATHS_MAX", 5)
    names = ["z", "y", "b", "a", "c", "x", "d"]
    events = [Event(1, n, 0, 0, 0, 0, 0, 0, 0, "note", data={name: {"in": 1}}) for n, name in enumerate(names, 1)]
    forth, back = Shelf(), Shelf()
    for event in events:
        forth.append(1, [event])
    for number, event in enumerate(reversed(events), 1):
        back.append(1, [Event(1, number, 0, 0, 0, 0, 0, 0, 0, "note", data=event.data)])
    found = []
    for shelf in (forth, back):
        index = new_index()
        follower.follow(index, shelf, batch_events=1)
        found.append(index.execute("SELECT path, type, events FROM paths ORDER BY path").fetchall())
        index.close()
    assert found[0] == found[1] == [(name, "map", 1) for name in "abcdx"]


def test_what_is_refused_leaves_nothing_in_the_index(tmp_path: Any) -> None:
    with Index.open(tmp_path) as index:
        shelf: Any = Shelf()
        shelf.append(1, [Event(1, 2**41, 0, 0, 0, 0, 0, 0, 0, "note")])
        with pytest.raises(StoreError, match="beyond"):
            index.follow(shelf)
        assert index.connection.execute("SELECT count(*) FROM simulations").fetchone() == (0,)
