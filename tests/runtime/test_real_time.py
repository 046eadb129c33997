"""Real time: virtual time follows the wall clock, in the same order; and is replayed without it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import matrix
from matrix.errors import ProgramError
from matrix.testing.played import history, play


class Ticker(matrix.Agent):
    every: float

    async def run(self) -> None:
        for n in range(4):
            await self.sleep(self.every)
            self.emit("tick", n=n, at=self.now)


class Eager(matrix.Agent):
    """Takes its answer at once, and leaves a timeout of an hour behind."""

    async def run(self) -> None:
        with self.move_on_after(3_600):
            answer = await self.ask("echo", "question")
        self.emit("answered", kind=answer.kind)


class Echo(matrix.Agent):
    def on_message(self, message: matrix.Message) -> None:
        self.reply(message, "echo")


async def clocks(simulation: matrix.Simulation) -> None:
    simulation.spawn(Ticker, "slow", every=3)
    simulation.spawn(Ticker, "quick", every=1)
    simulation.spawn(Eager, "eager")
    simulation.spawn(Echo, "echo")


def test_real_time_takes_its_time_and_gives_the_same_history() -> None:
    virtual = play(clocks)
    began = time.monotonic()
    real = play(clocks, time="real", speed=40)
    took = time.monotonic() - began
    assert took >= 12 / 40
    assert real.outcome.duration == virtual.outcome.duration == 12_000_000
    shown = [[(e.kind, e.agent, e.time, e.data) for e in played.events[1:]] for played in (real, virtual)]
    assert shown[0] == shown[1]
    assert real.events[0].data["options"] == {"time": "real", "speed": 40}


def test_what_nobody_waits_for_any_more_is_not_waited_for() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Eager, "eager")
        simulation.spawn(Echo, "echo")

    began = time.monotonic()
    assert play(program, time="real").outcome.duration == 0
    assert time.monotonic() - began < 60


def test_the_end_that_was_asked_for_comes_when_the_wall_clock_says() -> None:
    began = time.monotonic()
    played = play(clocks, time="real", speed=20, until=5)
    assert time.monotonic() - began >= 5 / 20
    assert (played.outcome.reason, played.outcome.duration) == ("until", 5_000_000)


async def test_what_comes_from_outside_comes_at_its_wall_instant_and_is_replayed_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clerk(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            self.emit("heard", at=self.now)

    async def office(simulation: matrix.Simulation) -> None:
        simulation.spawn(Clerk, "clerk")
        simulation.spawn(Ticker, "t", every=30)

    async with matrix.open_runtime(tmp_path) as runtime:
        simulation = await runtime.start(office, time="real", speed=100)
        await trio.testing.wait_all_tasks_blocked(0.05)
        simulation.inject("clerk", "knock")
        outcome = await simulation.wait()
    heard = next(event for event in history(outcome) if event.kind == "heard")
    assert 0 < heard.time < 120_000_000
    monkeypatch.setattr("matrix.runtime.scheduling.clock.monotonic_ns", lambda: 0)  # a wall clock that stands
    with matrix.open(tmp_path) as store:
        replay = store.replay(outcome.id, program=office)
    assert (replay.status, replay.events) == ("identical", outcome.events)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time": "wall"}, "time is one of virtual, real, not 'wall'"),
        ({"speed": 2}, 'of use with time="real" only'),
        ({"time": "real", "speed": 0}, "speed is a number above 0"),
        ({"time": "real", "speed": "fast"}, "speed is a number above 0"),
        ({"shuffle": "yes"}, "shuffle is true or false"),
        ({"turns_without_time_max": 0}, "at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ProgramError, match=said):
        matrix.run(clocks, store=tmp_path, index=False, **options)


def test_a_programs_parameter_that_an_option_would_swallow_is_refused(tmp_path: Path) -> None:
    async def traffic(simulation: matrix.Simulation, speed: float = 50) -> None: ...

    with pytest.raises(ProgramError, match="traffic has a parameter 'speed', which is also an option"):
        matrix.run(traffic, store=tmp_path, index=False, time="real", speed=30)
    assert matrix.run(traffic, store=tmp_path, index=False).status == "finished"
