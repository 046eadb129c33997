"""What supervision does is history: a replay restarts, isolates, cancels and fails at the same places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import matrix
from matrix.errors import AskFailed, MailboxFull
from matrix.testing.played import play


class Flaky(matrix.Agent):
    """Handles, asks, calls and fails by chance."""

    async def run(self) -> None:
        self.start(self.beat)
        async for message in self.messages():
            with self.goal("handle", n=message["n"]):
                await self.call(trio.sleep, 0)
                if self.random.random() < 0.3:
                    raise ValueError(f"by chance, at {message['n']}")
                if message.kind == "question":
                    self.reply(message, "answer")

    async def beat(self) -> None:
        while True:
            await self.sleep(1)
            if self.random.random() < 0.1:
                raise KeyError("beat")

    def on_restart(self, error: Exception) -> None:
        self.note("again", because=type(error).__name__)


class Touchy(matrix.Agent):
    mailbox_max = 3

    async def on_message(self, message: matrix.Message) -> None:
        await self.sleep(self.random.random())
        if self.random.random() < 0.2:
            raise RuntimeError("touched")

    def on_start(self) -> None:
        self.set_timer(self.random.random(), "itch")

    def on_timer(self, timer: matrix.Timer) -> None:
        self.set_timer(self.random.random(), "itch")
        if self.random.random() < 0.1:
            raise RuntimeError("itched")


class Pest(matrix.Agent):
    async def run(self) -> None:
        for n in range(30):
            try:
                self.send("touchy", "poke", n=n)
            except MailboxFull:
                self.note("full")
            with self.move_on_after(self.random.uniform(0.5, 3)):
                try:
                    await self.ask("flaky", "question", n=n)
                except AskFailed as failed:
                    self.note("no answer", said=str(failed))
            await self.sleep(self.random.random())
        raise ValueError("a pest to the end")


async def trouble(simulation: matrix.Simulation) -> None:
    simulation.spawn(Flaky, "flaky", policy=matrix.Restart(times=4, within=20))
    simulation.spawn(Touchy, "touchy", policy=matrix.Restart(times=3, within=5))
    simulation.spawn(Pest, "pest", policy="isolate")
    await simulation.sleep(12)
    simulation.cancel("touchy")
    await simulation.join("pest")
    simulation.stop("seen enough")


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"policy": "isolate"}])
@pytest.mark.parametrize("seed", range(4))
def test_a_troubled_simulation_is_replayed_event_by_event(tmp_path: Path, seed: int, options: dict[str, Any]) -> None:
    played = play(trouble, store=tmp_path, seed=seed, **options)
    assert played.of("agent.restarted")
    with matrix.open(tmp_path) as store:
        replay = store.replay(played.outcome.id, program=trouble)
    assert (replay.status, replay.events) == ("identical", played.outcome.events), replay.divergence


async def test_cancellations_stops_and_refusals_from_outside_are_replayed(tmp_path: Path) -> None:
    async with matrix.open_runtime(tmp_path) as runtime:
        simulation = await runtime.start(trouble, seed=1, time="real", speed=20)
        for n in range(6):
            await trio.sleep(0.02)
            try:
                simulation.inject("touchy", "poke", n=n)
                simulation.inject("touchy", "poke", n=n)
            except (MailboxFull, matrix.errors.UnknownAgent):
                continue
        simulation.cancel("pest")
        await trio.sleep(0.05)
        simulation.stop("tea time")
        outcome = await simulation.wait()
    with matrix.open(tmp_path) as store:
        replay = store.replay(outcome.id, program=trouble)
    assert (replay.status, replay.events) == ("identical", outcome.events), replay.divergence


def test_a_deadlock_and_a_livelock_are_replayed_in_the_same_words(tmp_path: Path) -> None:
    class Asker(matrix.Agent):
        to: str

        async def run(self) -> None:
            await self.ask(self.to, "question")

    async def ring(simulation: matrix.Simulation) -> None:
        simulation.spawn(Asker, "a", to="b")
        simulation.spawn(Asker, "b", to="a")

    class Restless(matrix.Agent):
        async def on_message(self, message: matrix.Message) -> None:
            self.send(self, "again")

    async def spinning(simulation: matrix.Simulation) -> None:
        simulation.spawn(Restless, "r")
        simulation.send("r", "go")

    for program in (ring, spinning):
        played = play(program, store=tmp_path, turns_without_time_max=500)
        with matrix.open(tmp_path) as store:
            replay = store.replay(played.outcome.id, program=program)
        assert (replay.status, replay.events) == ("identical", played.outcome.events), replay.divergence


@pytest.mark.parametrize("shuffle", [False, True])
def test_both_ways_of_stepping_supervise_in_the_same_order(monkeypatch: pytest.MonkeyPatch, shuffle: bool) -> None:
    histories = []
    for engine in ("direct", "handoff"):
        monkeypatch.setenv("MATRIX_ENGINE", engine)
        played = play(trouble, seed=5, delivery="ordered", shuffle=shuffle)
        histories.append([(e.kind, e.agent, e.turn, e.time, e.cause, e.data) for e in played.events[1:]])
    assert histories[0] == histories[1]
    assert "agent.restarted" in {event[0] for event in histories[0]}
