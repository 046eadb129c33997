"""Reports of deadlock and livelock, and statistics: who waits for whom, who is busy."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest
import trio
import trio.testing

import matrix
from matrix.runtime.scheduling.waits import Deadlock, Livelock
from matrix.runtime.statistics import SimulationStatistics
from matrix.testing.played import play


class Asker(matrix.Agent):
    """Asks, and answers nobody."""

    to: str

    async def run(self) -> None:
        await self.ask(self.to, "question")


class Idle(matrix.Agent):
    def on_message(self, message: matrix.Message) -> None: ...


def deadlock(program: Any, **options: Any) -> Deadlock:
    error = play(program, **options).outcome.error
    assert isinstance(error, Deadlock)
    return error


def test_a_ring_of_questions_is_named_from_the_agent_that_was_started_first() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        for name, to in [("c", "b"), ("a", "b"), ("b", "a"), ("d", "d")]:
            simulation.spawn(Asker, name, to=to)
        simulation.spawn(Asker, "e", to="idle")
        simulation.spawn(Idle, "idle")
        await simulation.join("e")

    error = deadlock(program)
    assert str(error) == (
        "nothing can happen any more, but "
        "in a ring: a waits in ask for b, b waits in ask for a; "
        "in a ring: d waits in ask for d; "
        "the program waits in join for e; c waits in ask for b; e waits in ask for idle; "
        "idle waits for messages"
    )
    assert error.cycles == (("a", "b"), ("d",))
    again = pickle.loads(pickle.dumps(error))  # it may cross to another process
    assert (str(again), again.cycles, again.waits) == (str(error), error.cycles, error.waits)
    assert error.waits[:2] == (("the program", "join", "e"), ("c", "ask", "b"))


def test_rings_through_joins_of_agents_and_of_own_tasks_are_found() -> None:
    class Parent(matrix.Agent):
        async def run(self) -> None:
            task = self.start(self.asking)
            await self.join(task)

        async def asking(self) -> None:
            await self.ask("joiner", "question")

    class Joiner(matrix.Agent):
        async def run(self) -> None:
            await self.join("parent")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Parent, "parent")
        simulation.spawn(Joiner, "joiner")

    error = deadlock(program)
    assert str(error).endswith(
        "in a ring: parent waits in join for a task of parent, a task of parent waits in ask for joiner, "
        "joiner waits in join for parent; "
        "in a ring: a task of parent waits in ask for joiner, joiner waits in join for parent"
    )
    assert error.cycles == (("parent", "a task of parent", "joiner"), ("a task of parent", "joiner"))


def test_a_long_ring_and_many_waits_are_shortened_and_counted() -> None:
    async def ring(simulation: matrix.Simulation) -> None:
        for n in range(3_000):
            simulation.spawn(Asker, f"a{n}", to=f"a{(n + 1) % 3_000}")
            simulation.spawn(Asker, f"b{n}", to="a0")

    error = deadlock(ring)
    assert error.cycles == (tuple(f"a{n}" for n in range(3_000)),)
    said = str(error)
    assert "in a ring: a0 waits in ask for a1, " in said
    assert "... 2,990 more ..., a2999 waits in ask for a0; b0 waits in ask for a0; " in said
    assert said.endswith("and 2,990 more wait")


def test_the_same_deadlock_is_told_in_the_same_words_again() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        names = [f"a{n}" for n in range(40)]
        for name in names:
            simulation.spawn(Asker, name, to=simulation.random.choice(names))

    first, second = (play(program, seed=5) for _ in range(2))
    assert first.events[-1].data == second.events[-1].data
    assert "in a ring: " in first.events[-1].data["error"]


def test_a_livelock_names_the_busiest_since_time_stood_still() -> None:
    class Restless(matrix.Agent):
        share: int

        def on_message(self, message: matrix.Message) -> None:
            for _ in range(self.share if message.kind == "go" else 1):
                self.send(self, "again")

    class EarlyBird(matrix.Agent):
        async def run(self) -> None:
            for _ in range(5_000):  # many turns, but long before
                await self.sleep(0.001)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(EarlyBird, "early")
        simulation.spawn(Restless, "one", share=1)
        simulation.spawn(Restless, "three", share=3)
        await simulation.join("early")
        simulation.send(["one", "three"], "go")

    played = play(program, turns_without_time_max=2_000)
    error = played.outcome.error
    assert isinstance(error, Livelock)
    assert str(error) == "2,000 turns without virtual time moving at 5.0 s; busiest: three (750), one (250)"
    again = play(program, turns_without_time_max=2_000)
    assert again.events[-1].data == played.events[-1].data


@pytest.mark.parametrize("bound", [1, 2, 3, 127, 128, 129, 300])
def test_every_bound_of_a_livelock_is_exact(bound: int) -> None:
    class Restless(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            self.send(self, "again")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Restless, "r")
        simulation.send("r", "go")

    outcome = play(program, turns_without_time_max=bound).outcome
    assert (outcome.status, outcome.turns) == ("failed", bound)


# -- statistics --------------------------------------------------------------------------------


class Sleeper(matrix.Agent):
    async def run(self) -> None:
        with self.goal("rest"):
            await self.sleep(10)


class Busy(matrix.Agent):
    async def on_message(self, message: matrix.Message) -> None:
        await self.sleep(10)


class Listener(matrix.Agent):
    async def run(self) -> None:
        await self.receive()


def test_statistics_say_where_a_simulation_stands() -> None:
    taken: list[SimulationStatistics] = []

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Sleeper, "sleeper")
        simulation.spawn(Listener, "listener")
        simulation.spawn(Busy, "busy")
        simulation.spawn(Asker, "asker", to="busy")
        simulation.spawn(Idle, "idle")
        simulation.send(["busy", "busy", "idle"])
        for _ in range(2):
            simulation.send("busy")
        await simulation.sleep(1)
        taken.append(simulation.statistics())
        simulation.send("idle", "one more")
        taken.append(simulation.statistics())

    played = play(program, until=5)
    first, second = taken
    assert first == SimulationStatistics(
        status="running",
        now=1.0,
        turns=7,
        step=8,
        events=11,
        agents_started=5,
        agents_alive=5,
        waiting={"ask": 1, "message": 2, "sleep": 2},
        ready=0,
        timers=2,
        calls=0,
        messages_waiting=3,
        mailbox_fullest=("busy", 3),
        goals={"running": 1},
    )
    assert (second.ready, second.messages_waiting, second.waiting["message"]) == (1, 4, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.now = 2.0  # type: ignore[misc]
    assert played.outcome.status == "finished"


def test_an_agent_may_act_on_statistics_and_gives_the_same_history_again() -> None:
    class Watcher(matrix.Agent):
        def on_start(self) -> None:
            self.set_timer(0.01)

        def on_timer(self, timer: matrix.Timer) -> None:
            self.emit("seen", **dataclasses.asdict(self.simulation.statistics()))
            self.set_timer(0.01)

    class Chatty(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            if self.random.random() < 0.999:
                self.send(self)
            elif self.now < 0.05:
                self.set_timer(0.005)

        def on_timer(self, timer: matrix.Timer) -> None:
            self.send(self)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Watcher, "w")
        for n in range(3):
            simulation.spawn(Chatty, f"c{n}")
            simulation.send(f"c{n}")

    first, second = (play(program, until=0.1).data("seen") for _ in range(2))
    assert first == second
    assert len(first) == 10
    assert first[-1]["turns"] > 1_000


async def test_statistics_can_be_taken_from_outside_while_it_runs_and_after(tmp_path: Any) -> None:
    async def answer() -> int:
        await trio.sleep(0.05)
        return 1

    class Caller(matrix.Agent):
        async def run(self) -> None:
            with self.goal("know"):
                await self.call(answer)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Caller, "a")
        simulation.spawn(Idle, "idle")

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        simulation = await runtime.start(program)
        assert simulation.statistics().events == 0
        await trio.testing.wait_all_tasks_blocked(0.01)
        during = simulation.statistics()
        outcome = await simulation.wait()
    assert (during.status, during.calls, during.waiting) == ("running", 1, {"call": 1, "message": 1})
    assert during.goals == {"running": 1}
    after = simulation.statistics()
    assert (after.status, after.agents_alive, after.waiting) == ("finished", 0, {})
    assert (after.turns, after.events, after.goals) == (outcome.turns, outcome.events, {"succeeded": 1})
