"""The order of turns: one queue, (time, priority, arrival), delta cycles; the same everywhere."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import matrix
from matrix.testing.played import play


class Tick(matrix.Agent):
    def on_message(self, message: matrix.Message) -> None:
        self.emit("tick")


def order_of(played: object) -> list[str]:
    names = played.names()  # type: ignore[attr-defined]
    return [names[event.agent] for event in played.events if event.kind == "tick"]  # type: ignore[attr-defined]


def test_messages_are_handled_in_the_order_they_were_sent() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        for n in range(4):
            simulation.spawn(Tick, f"t{n}")
        for n in (2, 0, 3, 1):
            simulation.send(f"t{n}")

    assert order_of(play(program)) == ["t2", "t0", "t3", "t1"]


def test_among_the_ready_a_lower_priority_number_goes_first() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Tick, "last", priority=5)
        simulation.spawn(Tick, "middle")
        simulation.spawn(Tick, "first", priority=-1)
        simulation.send(["last", "middle", "first"])

    assert order_of(play(program)) == ["first", "middle", "last"]


def test_receive_ends_the_turn_even_with_mail_waiting() -> None:
    class Reader(matrix.Agent):
        async def run(self) -> None:
            await self.sleep(1)
            for _ in range(2):
                await self.receive()
                self.emit("read")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Reader, "r")
        simulation.send("r")
        simulation.send("r")

    assert [event.turn for event in play(program).of("read")] == [3, 4]


def test_turns_caused_at_an_instant_run_before_the_timers_of_it_that_are_set_then() -> None:
    class Chain(matrix.Agent):
        async def run(self) -> None:
            await self.sleep(1)
            self.send("t0")
            await self.sleep(0)  # set at the instant itself: a later cycle of it
            self.emit("after zero")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Tick, "t0")
        simulation.spawn(Chain, "a")
        simulation.spawn(Chain, "b")

    kinds = [e.kind for e in play(program).events if e.kind in ("tick", "after zero")]
    assert kinds == ["tick", "tick", "after zero", "after zero"]


def test_timers_of_one_instant_ring_in_the_order_they_were_set() -> None:
    class Sleeper(matrix.Agent):
        first: float

        async def run(self) -> None:
            await self.sleep(self.first)
            await self.sleep(1 - self.first)
            self.emit("tick")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Sleeper, "a", first=0.75)
        simulation.spawn(Sleeper, "b", first=0.25)
        simulation.spawn(Sleeper, "c", first=0.5)

    assert order_of(play(program)) == ["b", "c", "a"]


def test_every_turn_is_counted_and_stamped_on_its_events() -> None:
    class Counter(matrix.Agent):
        async def run(self) -> None:
            for n in range(3):
                self.emit("a", n=n)
                self.emit("b", n=n)
                await self.sleep(0.5)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Counter, "c")

    played = play(program)
    assert [(e.turn, e.time) for e in played.events if e.kind in "ab"] == [
        (1, 0), (1, 0), (2, 500_000), (2, 500_000), (3, 1_000_000), (3, 1_000_000),
    ]  # fmt: skip
    assert [event.seq for event in played.events] == list(range(1, len(played.events) + 1))
    assert played.outcome.turns == 5  # four of the agent, one of the program


# -- the bounds of a simulation ----------------------------------------------------------------


class Forever(matrix.Agent):
    async def run(self) -> None:
        while True:
            self.emit("tick", at=self.now)
            await self.sleep(1)


async def endless(simulation: matrix.Simulation) -> None:
    simulation.spawn(Forever, "f")


def test_until_is_a_normal_end_at_that_instant() -> None:
    played = play(endless, until=3.5)
    assert (played.outcome.status, played.outcome.reason) == ("finished", "until")
    assert played.outcome.duration == 3_500_000
    assert [data["at"] for data in played.data("tick")] == [0.0, 1.0, 2.0, 3.0]


def test_turns_max_and_events_max_are_normal_ends_too() -> None:
    by_turns, by_events = play(endless, turns_max=300), play(endless, events_max=300)
    assert (by_turns.outcome.reason, by_turns.outcome.turns) == ("turns_max", 300)
    assert (by_events.outcome.reason, by_events.outcome.status) == ("events_max", "finished")
    assert by_events.outcome.events == 301  # and the end itself


def test_turns_without_time_moving_are_a_livelock_that_names_the_busiest() -> None:
    class Restless(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            self.send(self, "again")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Restless, "r")
        simulation.send("r", "go")

    played = play(program, turns_without_time_max=1_000)
    assert played.outcome.status == "failed"
    assert "1,000 turns without virtual time moving at 0.0 s; busiest: r (500)" in played.outcome.reason
    assert played.outcome.turns == 1_000


# -- the same order everywhere -----------------------------------------------------------------

SOCIETY = Path(__file__).parent / "society.py"


def digest_in_another_process(hash_seed: str, store: Path, seed: int = 7) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, str(SOCIETY), str(store), str(seed)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_one_program_and_seed_have_one_digest_under_every_hash_seed(tmp_path: Path) -> None:
    digests = {digest_in_another_process(hash_seed, tmp_path / hash_seed) for hash_seed in ("0", "1", "4242")}
    assert len(digests) == 1
    assert digest_in_another_process("0", tmp_path / "other", seed=8) not in digests


@pytest.mark.parametrize("coin", [0.0, 1.0])
def test_the_order_in_which_trio_runs_its_tasks_changes_nothing(
    coin: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.runtime.society import society

    expected = play(society, store=tmp_path / "fair", seed=3).outcome.digest

    class Coin(random.Random):
        def random(self) -> float:
            return coin

        def shuffle(self, x: list[object]) -> None:  # type: ignore[override]  # what Trio shuffles is a list
            if coin:
                x.reverse()

    monkeypatch.setattr(trio._core._run, "_r", Coin())
    assert play(society, store=tmp_path / "forced", seed=3).outcome.digest == expected


def test_the_digest_does_not_depend_on_what_else_runs(tmp_path: Path) -> None:
    from tests.runtime.society import society

    alone = play(society, store=tmp_path / "alone", seed=5).outcome.digest
    many = matrix.run(society, store=tmp_path / "many", seed=0, simulations=10, at_once=10, index=False)
    assert many[5].digest == alone
    assert len({outcome.digest for outcome in many}) == 10
