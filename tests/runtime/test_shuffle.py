"""Shuffling: seeded chance says who goes first, and order between two stays."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import matrix
from matrix.runtime.inputs import stream
from matrix.runtime.scheduling.shuffle import Chance, ShuffledLane
from matrix.testing.played import Played, play
from tests.runtime.society import society


class Speaker(matrix.Agent):
    async def run(self) -> None:
        for n in range(20):
            self.send(["ear", "other ear"], "said", n=n)
            await self.sleep(self.random.below(3))


class Ear(matrix.Agent):
    def on_message(self, message: matrix.Message) -> None:
        self.emit("heard", sender=message.sender, n=message["n"])


async def crowd(simulation: matrix.Simulation) -> None:
    simulation.spawn(Ear, "ear")
    simulation.spawn(Ear, "other ear")
    for n in range(10):
        simulation.spawn(Speaker, f"s{n}")


def told(played: Played) -> list[tuple[int, str, int]]:
    return [(event.agent, event.data["sender"], event.data["n"]) for event in played.of("heard")]


def test_the_same_seed_gives_the_same_order_and_another_seed_another() -> None:
    first, again, other = (told(play(crowd, seed=seed, shuffle=True)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first != told(play(crowd, seed=1))
    assert sorted(first) == sorted(told(play(crowd, seed=1)))


def test_messages_from_one_to_another_keep_their_order() -> None:
    for seed in range(5):
        heard = sorted(told(play(crowd, seed=seed, shuffle=True)), key=lambda one: one[:2])
        for _, messages in groupby(heard, key=lambda one: one[:2]):
            assert [n for _, _, n in messages] == list(range(20))


def test_it_is_recorded_and_replayed(tmp_path: Path) -> None:
    played = play(society, store=tmp_path, seed=3, shuffle=True)
    assert played.events[0].data["options"] == {"shuffle": True}
    with matrix.open(tmp_path) as store:
        replay = store.replay(played.outcome.id, program=society)
    assert (replay.status, replay.events) == ("identical", played.outcome.events)


def test_priorities_and_virtual_time_go_before_chance() -> None:
    class Ranked(matrix.Agent):
        def on_timer(self, timer: matrix.Timer) -> None:
            self.emit("rang", at=self.now, rank=self.priority)

        def on_start(self) -> None:
            for at in (1, 2):
                self.set_timer(at)

    async def program(simulation: matrix.Simulation) -> None:
        for n in range(30):
            simulation.spawn(Ranked, f"r{n}", priority=n % 3)

    rang = [(data["at"], data["rank"]) for data in play(program, shuffle=True).data("rang")]
    assert rang == sorted(rang)


@pytest.mark.parametrize("seed", range(5))
def test_a_society_with_everything_ends_well_in_any_order(seed: int) -> None:
    played = play(society, seed=seed, shuffle=True)
    assert played.outcome.status == "finished", played.outcome.error
    assert [event.agent for event in played.events] != [event.agent for event in play(society, seed=seed).events]


def test_calls_cancellations_and_timeouts_keep_their_meaning() -> None:
    class Asking(matrix.Agent):
        async def run(self) -> None:
            with self.move_on_after(1) as scope:
                await self.call(trio.sleep, 0, latency=2)
            self.emit("gave up", caught=scope.cancelled_caught, at=self.now)
            self.emit("got", value=await self.call(len, "four", latency=1), at=self.now)

    async def program(simulation: matrix.Simulation) -> None:
        for n in range(10):
            simulation.spawn(Asking, f"a{n}")

    played = play(program, shuffle=True)
    assert played.data("gave up") == [{"caught": True, "at": 1.0}] * 10
    assert played.data("got") == [{"value": 4, "at": 2.0}] * 10


class Target:
    """Stands for an agent in the queue."""

    _mode = 0

    def __init__(self, number: int) -> None:
        self._number = number


@given(st.lists(st.tuples(st.sampled_from(["append", "front", "pop"]), st.integers(0, 4))), st.integers(0, 3))
def test_the_queue_gives_everything_once_and_each_ones_own_in_order(steps: list[tuple[str, int]], seed: int) -> None:
    targets = [Target(n) for n in range(5)]
    lane, expected, front = ShuffledLane(Chance(stream(seed, "", "shuffle"))), {t: [] for t in targets}, []
    for count, (what, who) in enumerate(steps):
        entry = (targets[who], count)
        if what == "append":
            lane.append(entry)
            expected[targets[who]].append(count)
        elif what == "front":
            lane.appendleft(entry)
            front.insert(0, count)
        elif lane:
            target, item = lane.popleft()
            if front:
                assert item == front.pop(0)
            else:
                assert item == expected[target].pop(0)
        assert len(lane) == len(list(lane)) == len(front) + sum(map(len, expected.values()))
    kept = list(lane)
    lane.clear()
    assert not lane
    lane.extend(kept)
    assert len(lane) == len(kept)


async def slow(n: int) -> int:
    await trio.sleep(0.02)
    return n


class Asker(matrix.Agent):
    async def run(self) -> None:
        for n in range(3):
            self.emit("answered", n=await self.call(slow, n))


class Reader(matrix.Agent):
    async def run(self) -> None:
        async for message in self.messages():
            self.emit("read", n=message["n"])


async def interrupted(simulation: matrix.Simulation) -> None:
    for n in range(3):
        simulation.spawn(Asker, f"asker-{n}")
        simulation.spawn(Reader, f"reader-{n}")


@pytest.mark.parametrize("seed", range(4))
def test_what_comes_while_an_ordered_answer_is_awaited_comes_there_again(tmp_path: Path, seed: int) -> None:
    async def main() -> None:
        async with matrix.open_runtime(tmp_path) as runtime:
            simulation = await runtime.start(interrupted, seed=seed, shuffle=True, delivery="ordered")
            for n in range(6):
                await trio.sleep(0.01)
                simulation.inject(f"reader-{n % 3}", "news", n=n)

    trio.run(main)
    with matrix.open(tmp_path) as store:
        assert store.replay("1-1").status == "identical"
