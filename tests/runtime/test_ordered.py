"""Ordered delivery: the history does not depend on how long the outside takes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio

import matrix
from matrix.errors import ProgramError
from matrix.testing.played import Played, play


class Outside:
    """Functions whose answers are a matter of their arguments, and whose latency is one of another seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def latency(self) -> float:
        return self.chance.choice([0, 0, 0.001, 0.004 * self.chance.random()])

    async def ask(self, n: int) -> int:
        await trio.sleep(self.latency())
        if n % 7 == 3:
            raise OSError(f"no {n}")
        return n * n

    def look(self, n: int) -> str:
        time.sleep(self.latency())
        return f"page {n}"


class Caller(matrix.Agent):
    """Calls in every way there is, is interrupted, and talks about it."""

    outside: Any

    async def run(self) -> None:
        for n in range(5):
            self.start(self.child, n)
            with self.move_on_after(self.random.choice([0.0, 0.5, 2.0])) as scope:
                await self.try_one(self.random.below(20))
            if scope.cancelled_caught:
                self.emit("gave up", n=n)
            if self.random.random() < 0.3:
                await self.sleep(self.random.choice([0, 0.25, 1]))

    async def try_one(self, n: int) -> None:
        way = self.random.below(4)
        try:
            if way == 0:
                value: Any = await self.call(self.outside.look, n)
            elif way == 1:
                value = await self.call(self.outside.ask, n, latency=self.random.choice([0, 0.5, 1]))
            else:
                value = await self.call(self.outside.ask, n)
        except matrix.CallFailed as failed:
            value = failed.error_type
        self.send(self.random.choice(["crowd-0", "crowd-1"]), "told", value=value)

    async def child(self, n: int) -> None:
        await self.try_one(n)
        await self.sleep(self.random.random())


class Crowd(matrix.Agent):
    heard = 0

    def on_message(self, message: matrix.Message) -> None:
        self.heard += 1
        self.emit("heard", count=self.heard, value=message["value"])


latency_seed = 0  # not a parameter: it may not matter for the history


async def society(simulation: matrix.Simulation) -> None:
    outside = Outside(latency_seed)
    for n in range(2):
        simulation.spawn(Crowd, f"crowd-{n}")
    for n in range(4):
        agent = simulation.spawn(Caller, f"caller-{n}")
        agent.outside = outside  # type: ignore[attr-defined]  # not a parameter: the log could not hold it
    await simulation.sleep(1)
    simulation.cancel("caller-1")
    await simulation.call(outside.ask, 4)
    simulation.emit("cancelled one")


def with_latencies(number: int, **options: Any) -> Played:
    """The society, with the outside's latencies drawn from ``number``."""
    global latency_seed
    latency_seed = number
    return play(society, **options)


def told(played: Played) -> list[tuple[Any, ...]]:
    """The whole history without wall times."""
    return [(e.seq, e.time, e.agent, e.turn, e.cause, e.kind, sorted(e.data.items(), key=str)) for e in played.events]


@pytest.mark.parametrize("seed", range(12))
def test_the_history_is_the_same_whatever_the_outside_takes(seed: int) -> None:
    runs = [with_latencies(n, seed=seed, delivery="ordered") for n in range(4)]
    assert runs[0].outcome.status == "finished", runs[0].outcome.reason
    assert {"call.completed", "call.failed", "gave up", "heard", "cancelled one"} <= set(runs[0].kinds())
    for other in runs[1:]:
        assert told(other) == told(runs[0]), f"seed {seed}"


def test_in_arrival_mode_it_is_not_which_is_what_the_test_above_measures() -> None:
    runs = [with_latencies(n, seed=1, delivery="arrival") for n in range(4)]
    assert any(told(other) != told(runs[0]) for other in runs[1:])


def test_the_digest_is_the_same_too_and_in_other_processes(tmp_path: Path) -> None:
    script = (
        "import matrix, sys; from tests.runtime import test_ordered as t\n"
        "t.latency_seed = int(sys.argv[1])\n"
        "print(matrix.run(t.society, store=sys.argv[2], seed=3, delivery='ordered', index=False).digest)"
    )
    digests = set()
    for number in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", script, number, str(tmp_path / number)],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": number},
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1
    assert len(digests.pop()) == 32


def test_answers_of_one_instant_come_in_the_order_of_the_calls() -> None:
    async def after(seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds

    class Asker(matrix.Agent):
        seconds: float

        async def run(self) -> None:
            self.emit("back", seconds=await self.call(after, self.seconds))

    async def program(simulation: matrix.Simulation) -> None:
        for n, seconds in enumerate((0.03, 0.0, 0.02, 0.01)):
            simulation.spawn(Asker, f"a{n}", seconds=seconds)

    played = play(program, delivery="ordered")
    assert [data["seconds"] for data in played.data("back")] == [0.03, 0.0, 0.02, 0.01]
    assert played.outcome.duration == 0  # no virtual time passes that was not asked for
    assert played.one("simulation.started").data["options"] == {"delivery": "ordered"}
    assert {(d["ms"], "step" in d, "waited_ms" in d) for d in played.data("call.completed")} == {(0.0, False, False)}


def test_no_number_of_the_wall_clock_gets_into_an_ordered_history() -> None:
    left = [OSError("first")]

    async def ask() -> str:
        await trio.sleep(0.002)
        if left:
            raise left.pop()
        return "done"

    class Asker(matrix.Agent):
        async def run(self) -> None:
            await self.call(ask, policy=matrix.CallPolicy(attempts=2, backoff=0.001, in_flight=1))

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Asker, "a")

    completed = play(program, delivery="ordered").one("call.completed").data
    assert completed["tries"] == [{"error": "OSError: first"}]
    assert (completed["ms"], completed["attempts"], "waited_ms" in completed) == (0.0, 2, False)


def test_the_place_of_a_call_that_was_given_up_is_skipped() -> None:
    stopped = []

    async def hang() -> None:
        try:
            await trio.sleep_forever()
        finally:
            stopped.append(True)

    class Asker(matrix.Agent):
        async def run(self) -> None:
            with self.move_on_after(1):
                await self.call(hang, latency=2)
            self.emit("gave up", at=self.now)

    class Other(matrix.Agent):
        async def run(self) -> None:
            await self.sleep(2)
            self.emit("woke", at=self.now)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Asker, "asker")
        simulation.spawn(Other, "other")

    played = play(program, delivery="ordered")
    assert (played.data("gave up"), played.data("woke")) == ([{"at": 1.0}], [{"at": 2.0}])
    assert stopped == [True]
    assert played.outcome.reason == "completed"


async def test_a_simulation_that_waits_for_an_ordered_answer_can_be_stopped(tmp_path: Path) -> None:
    class Asker(matrix.Agent):
        async def run(self) -> None:
            await self.call(trio.sleep_forever)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Asker, "asker")

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        simulation = await runtime.start(program, delivery="ordered")
        with trio.fail_after(10):
            await trio.testing.wait_all_tasks_blocked()
            simulation.stop("enough")
            outcome = await simulation.wait()
    assert (outcome.status, outcome.reason) == ("stopped", "enough")


def test_a_delivery_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    async def program(simulation: matrix.Simulation) -> None: ...

    with pytest.raises(ProgramError, match="delivery is one of arrival, ordered, not 'sorted'"):
        matrix.run(program, store=tmp_path, delivery="sorted", index=False)


@pytest.mark.parametrize("delivery", ["ordered", "arrival"])
def test_a_replay_takes_answers_from_the_log_in_either_mode(tmp_path: Path, delivery: str) -> None:
    asked: list[int] = []

    @matrix.call_policy(attempts=3, backoff=0)
    async def ask(n: int) -> int:
        asked.append(n)
        if len(asked) % 2:
            raise OSError("again")
        return n

    class Asker(matrix.Agent):
        async def run(self) -> None:
            for n in range(4):
                try:
                    self.emit("got", value=await self.call(ask, n, name="named"))
                except matrix.CallFailed as failed:
                    self.emit("failed", attempts=failed.attempts, error_type=failed.error_type)

    async def program(simulation: matrix.Simulation) -> None:
        for n in range(3):
            simulation.spawn(Asker, f"a{n}")

    calls = {"named": matrix.CallPolicy(in_flight=2, repeatable=True)}
    outcome = matrix.run(program, store=tmp_path, delivery=delivery, calls=calls, index=False)
    before = list(asked)
    replay = matrix.open(tmp_path).replay(outcome.id, program=program)
    assert (replay.status, replay.events, replay.digest) == ("identical", outcome.events, outcome.digest)
    assert asked == before
