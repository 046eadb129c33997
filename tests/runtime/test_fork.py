"""Fork: a simulation goes another way from any event of another's history, which it shares."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio

import matrix
from matrix.errors import MatrixError, ProgramError, ReplayRefused, UsageError
from matrix.event import Event
from matrix.log.reader import LogReader
from matrix.testing.played import history

from .office import Register, office


class Walker(matrix.Agent):
    """Walks by chance, and asks the way."""

    stride = 1

    async def run(self) -> None:
        place = 0
        for step in range(6):
            place += self.stride * self.random.choice([-1, 1])
            self.emit("stepped", place=place, mood=self.simulation.state["mood"])
            await self.sleep(await self.call(way, step) * 0.001)


async def way(step: int) -> int:
    """Something outside."""
    return step


async def walk(simulation: matrix.Simulation, walkers: int = 2, loud_from: int = 3) -> None:
    """Some walkers; after a while the program says something."""
    simulation.state["mood"] = "calm"
    for n in range(walkers):
        simulation.spawn(Walker, f"walker-{n}")
    for n in range(6):
        await simulation.sleep(0.002)
        if n >= loud_from:
            simulation.emit("shouted", n=n)


def shifted(event: Event, at: int) -> tuple[Any, ...]:
    """What an event of a parent is in a fork that does the same: one later, and so is what it refers to."""

    def later(seq: int) -> int:
        return seq + 1 if seq > at else seq

    return (event.kind, event.agent, event.time, event.turn, later(event.cause), later(event.goal), dict(event.data))


def same(event: Event) -> tuple[Any, ...]:
    return (event.kind, event.agent, event.time, event.turn, event.cause, event.goal, dict(event.data))


def test_a_fork_anywhere_that_changes_nothing_goes_the_same_way(tmp_path: Path) -> None:
    parent = matrix.run(walk, store=tmp_path, seed=1, delivery="ordered")
    events = history(parent)
    with matrix.open(tmp_path) as store:
        for at in range(1, parent.events, 3):
            (fork,) = store.fork(parent.id, at=at)
            whole = list(store.events(fork.id))
            assert [same(event) for event in whole[:at]] == [same(event) for event in events[:at]]
            assert (whole[at].kind, whole[at].cause, whole[at].data["at"]) == ("simulation.forked", at, at)
            assert [same(event) for event in whole[at + 1 : -1]] == [shifted(event, at) for event in events[at:-1]]
            assert whole[-1].kind == "simulation.finished"
            assert store.replay(fork.id).digest == fork.digest


def test_several_forks_have_seeds_that_count_on_and_go_different_ways(tmp_path: Path) -> None:
    parent = matrix.run(walk, store=tmp_path, seed=7)
    with matrix.open(tmp_path) as store:
        forks = store.fork(parent.id, at=20, times=4)
        named = store.fork(parent.id, at=20, times=2, seed=100)
        assert [fork.seed for fork in forks] == [8, 9, 10, 11]
        assert [fork.seed for fork in named] == [100, 101]
        ways = {tuple(e.data["place"] for e in store.events(f.id) if e.kind == "stepped") for f in forks}
        assert len(ways) > 1
        for fork in [*forks, *named]:
            assert store.replay(fork.id).status == "identical"
            assert store.simulation(fork.id).parent == parent.id


def test_the_parents_events_are_not_written_again(tmp_path: Path) -> None:
    parent = matrix.run(walk, store=tmp_path, seed=7)
    with matrix.open(tmp_path) as store:
        (fork,) = store.fork(parent.id, at=30)
        own = sum(int((block.simulation == fork.ordinal).sum()) for block in store.reader.blocks(fork.shard))
    assert own == fork.events - 30


def test_chance_changes_at_the_fork_for_streams_that_agents_hold_already(tmp_path: Path) -> None:
    parent = matrix.run(walk, store=tmp_path, seed=1, delivery="ordered")
    first = next(event.seq for event in history(parent) if event.kind == "stepped")
    with matrix.open(tmp_path) as store:
        ways = {
            tuple(event.data["place"] for event in store.events(fork.id) if event.kind == "stepped")
            for fork in store.fork(parent.id, at=first, times=8)
        }
    assert len(ways) > 4
    assert len({way[0] for way in ways}) == 1  # before the fork all are the same


@pytest.mark.parametrize(
    ("changes", "kind", "field", "values"),
    [
        ({"mood": "wild"}, "stepped", "mood", {"calm", "wild"}),
        ({"state.mood": "wild"}, "stepped", "mood", {"calm", "wild"}),
        ({"loud_from": 5}, "shouted", "n", {5}),
    ],
    ids=["state", "state by name", "parameter"],
)
def test_values_are_changed_at_the_fork(
    tmp_path: Path, changes: Mapping[str, Any], kind: str, field: str, values: set[Any]
) -> None:
    parent = matrix.run(walk, store=tmp_path, seed=1, delivery="ordered")
    at = [event.seq for event in history(parent) if event.kind == "stepped"][3]
    with matrix.open(tmp_path) as store:
        (fork,) = store.fork(parent.id, at=at, set=changes)
        assert {event.data[field] for event in store.events(fork.id) if event.kind == kind} == values
        assert store.replay(fork.id).digest == fork.digest
        assert store.replay(parent.id).status == "identical"


def test_an_attribute_of_an_agent_is_changed_at_the_fork(tmp_path: Path) -> None:
    parent = matrix.run(walk, store=tmp_path, seed=1, delivery="ordered")
    at = [event.seq for event in history(parent) if event.kind == "stepped"][3]
    with matrix.open(tmp_path) as store:
        (fork,) = store.fork(parent.id, at=at, set={"walker-0.stride": 1000})
        places = [
            event.data["place"] for event in store.events(fork.id) if event.kind == "stepped" and event.agent == 1
        ]
        assert max(map(abs, places)) > 900
        assert store.replay(fork.id).digest == fork.digest


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"moood": 1}, "moood is no parameter of the program and no key of the state there; did you mean mood?"),
        ({"loud_form": 1}, "did you mean loud_from?"),
        ({"waker-0.stride": 2}, "there is no agent waker-0 at that event; did you mean walker-0?"),
        ({"walker-0.strid": 2}, "walker-0 has no strid at that event; did you mean stride?"),
        ({"walker-0.id": "x"}, "walker-0 has no id at that event"),
        ({"walkers": 9}, "does not go the recorded way up to event 20"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_and_nothing_is_written(
    tmp_path: Path, changes: Mapping[str, Any], said: str
) -> None:
    parent = matrix.run(walk, store=tmp_path, seed=1)
    with matrix.open(tmp_path) as store:
        with pytest.raises(ReplayRefused) as refused:
            store.fork(parent.id, at=20, set=changes)
        assert said in str(refused.value)
        assert store.query("simulations | count").rows() == [{"count": 1}]


@pytest.mark.parametrize("at", [0, -1, 10_000])
def test_a_place_that_is_not_there_is_refused(tmp_path: Path, at: int) -> None:
    parent = matrix.run(walk, store=tmp_path, seed=1)
    with matrix.open(tmp_path) as store, pytest.raises(ReplayRefused, match=f"it ended with event {parent.events}"):
        store.fork(parent.id, at=at)


def test_a_fork_of_a_fork_shares_with_both(tmp_path: Path) -> None:
    parent = matrix.run(walk, store=tmp_path, seed=1)
    with matrix.open(tmp_path) as store:
        (one,) = store.fork(parent.id, at=20, seed=5)
        (two,) = store.fork(one.id, at=30, seed=6)
        (early,) = store.fork(one.id, at=10, seed=6)
        ones, twos = list(store.events(one.id)), list(store.events(two.id))
        assert [same(e) for e in twos[:30]] == [same(e) for e in ones[:30]]
        for fork in (one, two, early):
            assert store.replay(fork.id).digest == fork.digest
        assert [e.kind for e in store.events(early.id)].count("simulation.forked") == 1


def test_a_fork_at_a_time_shares_what_was_not_later(tmp_path: Path) -> None:
    parent = matrix.run(walk, store=tmp_path, seed=1, delivery="ordered")
    at = max(event.seq for event in history(parent) if event.time <= 4_000)
    with matrix.open(tmp_path) as store:
        (fork,) = store.fork(parent.id, at=timedelta(milliseconds=4))
        assert next(event for event in store.events(fork.id) if event.kind == "simulation.forked").data["at"] == at


def test_calls_in_flight_at_the_fork_are_asked_anew(tmp_path: Path) -> None:
    parent = matrix.run(office, store=tmp_path, seed=3)
    called = [event.seq for event in history(parent) if event.kind == "call.called"]
    with matrix.open(tmp_path) as store:
        for at in called[:6]:
            (fork,) = store.fork(parent.id, at=at)
            events = list(store.events(fork.id))
            asked = [event.data["call_id"] for event in events if event.kind == "call.called"]
            ended = [e.data["call_id"] for e in events if e.kind in ("call.completed", "call.failed")]
            assert sorted(asked) == sorted(ended)
            assert store.replay(fork.id).digest == fork.digest


async def test_a_running_simulation_can_be_forked_in_its_own_runtime(tmp_path: Path) -> None:
    async with matrix.open_runtime(tmp_path) as runtime:
        simulation = await runtime.start(office, seed=2)
        with simulation.hold():
            await trio.sleep(0.02)
            forks = [await runtime.fork(simulation, at=5, seed=seed) for seed in (10, 11)]
        outcomes = [await each.wait() for each in (simulation, *forks)]
    assert {outcome.status for outcome in outcomes} == {"finished"}
    with matrix.open(tmp_path) as store:
        assert [replay.status for replay in store.replay_all()] == ["identical"] * 3


async def batches(simulation: matrix.Simulation) -> None:
    """Events in columns, some of them enough for blocks of their own."""
    for rows in (1000, 3):
        simulation.emit_batch("moved", {"x": np.arange(rows), "y": [str(n) for n in range(rows)]})
        simulation.emit("tick", chance=simulation.random.random())
        await simulation.sleep(1)


@pytest.mark.parametrize("at", [1, 2, 300, 1000, 1001, 1002, 1003, 1004])
def test_a_fork_in_the_middle_of_a_batch_shares_its_first_rows(tmp_path: Path, at: int) -> None:
    parent = matrix.run(batches, store=tmp_path, seed=1)
    with matrix.open(tmp_path) as store:
        assert store.replay(parent.id, until=at).events == at
        (fork,) = store.fork(parent.id, at=at, seed=9)
        assert [e.data["x"] for e in store.events(fork.id) if e.kind == "moved"] == [*range(1000), 0, 1, 2]
        assert store.query("events moved | count by simulation").rows() == [
            {"simulation": id, "count": 1003} for id in (parent.id, fork.id)
        ]
        assert store.replay(fork.id).digest == fork.digest


async def other_office(simulation: matrix.Simulation, clerks: int = 4) -> None:
    """As the office, but somebody comes later."""
    await office(simulation, clerks)
    simulation.spawn(Register, "second register")


def test_another_program_takes_over_at_the_fork(tmp_path: Path) -> None:
    parent = matrix.run(office, store=tmp_path, seed=3)
    with matrix.open(tmp_path) as store:
        (fork,) = store.fork(parent.id, at=40, program=other_office)
        assert "second register" in {event.data.get("id") for event in store.events(fork.id)}
        assert store.replay(fork.id).digest == fork.digest


def test_a_parents_events_are_on_the_disk_before_a_fork_relies_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = matrix.run(walk, store=tmp_path, seed=1)
    synced: list[int] = []
    monkeypatch.setattr(LogReader, "make_durable", lambda self, shard: synced.append(shard))
    with matrix.open(tmp_path) as store:
        store.fork(parent.id, at=20)
    assert synced == [parent.shard]


async def phases(simulation: matrix.Simulation) -> None:
    """Its state changes twice."""
    simulation.state["phase"] = "first"
    await simulation.sleep(1)
    simulation.state["phase"] = "second"
    simulation.emit("ended", **dict(simulation.state))


def test_a_change_of_state_at_an_event_that_changes_it_keeps_both(tmp_path: Path) -> None:
    parent = matrix.run(phases, store=tmp_path)
    changed = [event.seq for event in history(parent) if event.kind == "state.changed"]
    with matrix.open(tmp_path) as store:
        for at, phase in zip(changed, ["first", "second"], strict=True):
            (fork,) = store.fork(parent.id, at=at, set={"state.mood": "wild"})
            events = {event.seq: event for event in store.events(fork.id)}
            assert events[at + 2].data == {"phase": phase, "mood": "wild"}
            ended = next(event for event in events.values() if event.kind == "ended")
            assert ended.data == {"phase": "second", "mood": "wild"}
            assert store.replay(fork.id).status == "identical"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"at": 1.5}, "at is the number of an event, or a timedelta of virtual time, not 1.5"),
        ({"at": True}, "at is the number of an event, or a timedelta of virtual time, not True"),
        ({"at": "3"}, "at is the number of an event, or a timedelta of virtual time, not '3'"),
        ({"times": 10**9}, "times is a whole number from 1 to 10,000, not 1000000000"),
        ({"times": 0}, "times is a whole number from 1 to 10,000, not 0"),
        ({"times": 2.5}, "times is a whole number from 1 to 10,000, not 2.5"),
        ({"seed": True}, "the seed is a whole number from 0 to 9223372036854775807, not True"),
        ({"seed": "x", "times": 2}, "the seed is a whole number from 0 to 9223372036854775807, not 'x'"),
        ({"set": [1]}, "set maps names to values, as in {'seller.limit': 40}, not [1]"),
        ({"set": {1: 2}}, "set maps names to values, as in {'seller.limit': 40}, not {1: 2}"),
    ],
    ids=str,
)
def test_nonsense_is_refused_in_one_line(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    parent = matrix.run(phases, store=tmp_path)
    with matrix.open(tmp_path) as store:
        with pytest.raises(MatrixError) as refused:
            store.fork(parent.id, **{"at": 3, **options})
        assert str(refused.value) == said
        assert store.query("simulations | count").rows() == [{"count": 1}]


@pytest.mark.parametrize(("id", "until"), [("1-1", 1.5), ("1-1", "2"), ("1-1", True), (1, None), (None, None)])
def test_what_is_no_id_and_no_place_is_refused_by_a_replay(tmp_path: Path, id: Any, until: Any) -> None:
    matrix.run(phases, store=tmp_path)
    with matrix.open(tmp_path) as store, pytest.raises(UsageError, match=r"number of an event|id of a simulation"):
        store.replay(id, until=until)


class Proud(matrix.Agent):
    """Cannot be told what it is worth."""

    @property
    def worth(self) -> int:
        return 7

    async def run(self) -> None:
        self.emit("stood")


class Strict(matrix.Agent):
    """Takes no other limit than its own."""

    _limit = 7

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, value: int) -> None:
        raise ValueError(f"not {value}")

    async def run(self) -> None:
        self.emit("stood")


async def strict(simulation: matrix.Simulation) -> None:
    simulation.spawn(Strict, "strict")


def test_a_value_that_an_agent_does_not_take_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    parent = matrix.run(strict, store=tmp_path)
    with matrix.open(tmp_path) as store:
        with pytest.raises(ReplayRefused, match=r"^strict\.limit cannot be set: ValueError: not 8$"):
            store.fork(parent.id, at=3, set={"strict.limit": 8})
        assert store.query("simulations | count").rows() == [{"count": 1}]


@pytest.mark.parametrize("options", [{"turns_max": "3"}, {"turns_max": 1.5}, {"events_max": True}], ids=str)
def test_a_limit_that_is_no_whole_number_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ProgramError, match=r"(turns|events)_max is a whole number, not"):
        matrix.run(strict, store=tmp_path, **options)


async def pride(simulation: matrix.Simulation) -> None:
    simulation.spawn(Proud, "proud")


def test_a_property_that_cannot_be_set_is_no_attribute_to_change(tmp_path: Path) -> None:
    parent = matrix.run(pride, store=tmp_path)
    with matrix.open(tmp_path) as store, pytest.raises(ReplayRefused, match="proud has no worth at that event"):
        store.fork(parent.id, at=3, set={"proud.worth": 8})


class Boom(matrix.Agent):
    """Its tasks are cancelled while answers to them are on their way."""

    async def run(self) -> None:
        self.start(self.kid, 1)
        self.start(self.kid, 2)
        await self.call(way, 3)
        raise ValueError("boom")

    async def kid(self, n: int) -> None:
        """Asks, waits, asks."""
        await self.call(way, n)
        await self.sleep(3)


async def booms(simulation: matrix.Simulation) -> None:
    """Some of them."""
    for n in range(3):
        simulation.spawn(Boom, f"boom-{n}", policy="isolate")
    await simulation.sleep(5)


@pytest.mark.parametrize(
    "options", [{"pace": "free"}, {"shuffle": True, "delivery": "ordered"}, {"delivery": "ordered"}], ids=str
)
def test_a_fork_while_an_answer_waits_for_its_turn_knows_nothing_of_it(tmp_path: Path, options: dict[str, Any]) -> None:
    parent = matrix.run(booms, store=tmp_path, seed=2, **options)
    with matrix.open(tmp_path) as store:
        for at in range(1, parent.events, 2):
            (fork,) = store.fork(parent.id, at=at)
            assert store.replay(fork.id).digest == fork.digest
