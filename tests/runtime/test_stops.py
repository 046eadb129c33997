"""Cancellation of everything from an agent to the runtime, and what cleanup may do meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import matrix
from matrix.log.verify import verify_log
from matrix.testing.played import Played, history, play


class Waiter(matrix.Agent):
    async def run(self) -> None:
        try:
            await self.receive()
        finally:
            self.emit("left", at=self.now)


class Called(matrix.Agent):
    def on_message(self, message: matrix.Message) -> None:
        self.emit("handled")


class Handling(matrix.Agent):
    async def on_message(self, message: matrix.Message) -> None:
        await self.sleep(1_000)


def ended_in_order(played: Played) -> list[int]:
    return [event.agent for event in played.of("agent.cancelled")]


async def mixed(simulation: matrix.Simulation, agents: int = 12) -> None:
    """Agents of every behaviour, in every kind of wait, started in an order of their own."""
    kinds = [Waiter, Handling, Called]
    for n in range(agents):
        simulation.spawn(kinds[n * 7 % 3], f"a{n}")
    simulation.send([f"a{n}" for n in range(agents) if kinds[n * 7 % 3] is Handling])
    await simulation.sleep(1)


# -- one agent ---------------------------------------------------------------------------------


async def test_a_cancellation_from_outside_is_recorded_as_what_it_is(tmp_path: Path) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Waiter, "w")
        await simulation.join("w")

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        simulation = await runtime.start(program)
        with simulation.hold():
            await trio.testing.wait_all_tasks_blocked(0.01)
            simulation.cancel("w")
        outcome = await simulation.wait()
    events = history(outcome)
    asked = next(event for event in events if event.kind == "simulation.input")
    assert {name: asked.data[name] for name in ("input", "agent")} == {"input": "cancel", "agent": "w"}
    assert isinstance(asked.data["step"], int)
    left, cancelled = (next(e for e in events if e.kind == kind) for kind in ("left", "agent.cancelled"))
    assert left.cause == cancelled.cause == asked.seq
    assert outcome.status == "finished"


def test_a_cancellation_by_another_agent_is_caused_by_what_that_one_handled() -> None:
    class Boss(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            for name in ("waiter", "called", "handling", "unborn"):
                self.simulation.cancel(name)

    async def program(simulation: matrix.Simulation) -> None:
        for cls in (Waiter, Called, Handling):
            simulation.spawn(cls, cls.__name__.lower())
        simulation.spawn(Boss, "boss")
        simulation.send("handling", "work")
        await simulation.sleep(1)
        simulation.send("boss", "fire everybody")
        simulation.spawn(Waiter, "unborn")
        await simulation.sleep(1)

    played = play(program)
    order = next(event for event in played.events if event.kind == "fire everybody")
    causes = {played.names()[e.agent]: e.cause for e in played.of("agent.cancelled")}
    assert causes == dict.fromkeys(["called", "waiter", "handling", "unborn"], order.seq)
    assert [event.cause for event in played.of("left")] == [order.seq]  # the unborn one has nothing to leave


def test_an_agent_may_cancel_itself() -> None:
    class Tired(matrix.Agent):
        async def run(self) -> None:
            self.simulation.cancel(self)
            self.emit("still here")
            await self.sleep(1)
            self.emit("never")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Tired, "t")

    assert play(program).kinds(without="simulation.") == ["agent.started", "still here", "agent.cancelled"]


# -- scopes and tasks --------------------------------------------------------------------------


def test_a_raw_scope_of_an_agent_may_be_cancelled_by_its_own_child_task() -> None:
    class Parent(matrix.Agent):
        async def run(self) -> None:
            with trio.CancelScope() as scope:
                self.start(self.soon, scope)
                await self.sleep(100)
            self.emit("out", at=self.now, caught=scope.cancelled_caught)
            await self.sleep(1)

        async def soon(self, scope: trio.CancelScope) -> None:
            await self.sleep(2)
            scope.cancel()
            await self.sleep(5)  # it was started outside of that scope
            self.emit("child done", at=self.now)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Parent, "p")

    played = play(program)
    assert played.data("out") == [{"at": 2.0, "caught": True}]
    assert played.data("child done") == [{"at": 7.0}]
    assert played.outcome.status == "finished"


def test_an_error_in_a_task_cancels_its_siblings_in_the_order_they_were_started() -> None:
    class Parent(matrix.Agent):
        async def run(self) -> None:
            for n in range(5):
                self.start(self.child, n)
            self.start(self.failing)
            await self.child("main")

        async def child(self, name: Any) -> None:
            try:
                await self.sleep(100)
            finally:
                self.emit("stopped", name=name)

        async def failing(self) -> None:
            await self.receive()
            raise ValueError("bad")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Parent, "p")
        simulation.send("p", "fail")

    played = play(program)
    assert [data["name"] for data in played.data("stopped")] == ["main", 0, 1, 2, 3, 4]
    error = played.outcome.error
    assert isinstance(error, ExceptionGroup) and error.message == "tasks of p"
    assert [repr(member) for member in error.exceptions] == ["ValueError('bad')"]
    message = next(event for event in played.events if event.kind == "fail")
    assert played.one("agent.failed").cause == message.seq
    assert {event.cause for event in played.of("stopped")} == {message.seq}


def test_errors_of_several_tasks_are_one_group_and_cancellation_is_no_member() -> None:
    class Parent(matrix.Agent):
        async def run(self) -> None:
            for n in range(3):
                self.start(self.child, n)
            await self.sleep(100)

        async def child(self, n: int) -> None:
            if n == 1:
                raise ValueError("first")
            try:
                await self.sleep(100)
            finally:
                if n == 2:
                    raise KeyError("second")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Parent, "p")

    error = play(program).outcome.error
    assert isinstance(error, ExceptionGroup)
    assert [repr(member) for member in error.exceptions] == ["ValueError('first')", "KeyError('second')"]


# -- a simulation ------------------------------------------------------------------------------


def test_a_stop_from_a_turn_cancels_all_in_the_order_they_were_started() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        await mixed(simulation)
        simulation.stop("enough")

    played = play(program)
    assert (played.outcome.status, played.outcome.reason) == ("stopped", "enough")
    coroutines = [e.agent for e in played.of("agent.started") if e.data["class"] in ("Waiter", "Handling")]
    assert ended_in_order(played) == coroutines  # those that are called have nothing to cancel: they end with it
    assert played.of("simulation.input") == []


def test_what_was_to_be_handled_next_is_not_when_all_is_stopped_and_the_order_stays() -> None:
    class Busy(matrix.Agent):
        async def run(self) -> None:
            try:
                async for message in self.messages():
                    self.emit("handled", kind=message.kind)
                    with self.move_on_after(10):  # some wait in a scope of their own, some do not
                        if int(self.id[1:]) % 3:
                            await self.receive()
            finally:
                self.emit("left")

    async def program(simulation: matrix.Simulation) -> None:
        for n in range(9):
            simulation.spawn(Busy, f"b{n}")
        await simulation.sleep(1)
        for n in range(9):
            simulation.send(f"b{n}", "first")
        await simulation.sleep(1)
        for n in range(0, 9, 2):  # their messages are ready when the stop comes
            simulation.send(f"b{n}", "second")
        simulation.stop("enough")

    played = play(program)
    assert played.data("handled") == [{"kind": "first"}] * 9
    assert [event.agent for event in played.of("left")] == list(range(1, 10))
    assert ended_in_order(played) == list(range(1, 10))


async def test_a_stop_from_outside_is_recorded_and_is_the_cause_of_what_follows(tmp_path: Path) -> None:
    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        simulation = await runtime.start(mixed)
        with simulation.hold():
            await trio.testing.wait_all_tasks_blocked(0.01)
            simulation.stop("tea time")
        outcome = await simulation.wait()
    events = history(outcome)
    asked = next(event for event in events if event.kind == "simulation.input")
    assert (asked.data["input"], asked.data["reason"]) == ("stop", "tea time")
    cancelled = [event for event in events if event.kind == "agent.cancelled"]
    assert [event.agent for event in cancelled] == sorted(event.agent for event in cancelled)
    assert {event.cause for event in cancelled} == {asked.seq}
    assert (events[-1].kind, events[-1].cause) == ("simulation.stopped", asked.seq)


def test_when_a_simulation_fails_the_failure_is_the_cause_of_what_follows() -> None:
    class Broken(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            raise ValueError("bad")

    async def program(simulation: matrix.Simulation) -> None:
        await mixed(simulation)
        simulation.spawn(Broken, "broken")
        simulation.send("broken")
        await simulation.sleep(1)

    played = play(program)
    failed = played.one("agent.failed")
    assert {event.cause for event in played.of("agent.cancelled")} == {failed.seq}
    assert played.events[-1].cause == failed.seq


# -- cleanup -----------------------------------------------------------------------------------


def stopping(cleanup: Any) -> Played:
    """An agent that cleans up so, in a simulation that is stopped at 1 s, and another agent after it."""

    class Careful(matrix.Agent):
        async def run(self) -> None:
            try:
                await self.receive()
            finally:
                await cleanup(self)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Careful, "careful")
        simulation.spawn(Waiter, "w")
        await simulation.sleep(1)
        simulation.stop("enough")

    return play(program)


def test_cleanup_may_emit_and_send() -> None:
    async def cleanup(agent: matrix.Agent) -> None:
        agent.emit("bye")
        agent.send("w", "farewell")

    played = stopping(cleanup)
    assert len(played.of("bye")) == len(played.of("farewell")) == 1
    assert ended_in_order(played) == [1]
    assert played.one("agent.finished").agent == 2  # what was sent goes before a cancellation that is given later


def test_cleanup_without_a_shield_is_cancelled_at_its_first_wait() -> None:
    async def cleanup(agent: matrix.Agent) -> None:
        await agent.sleep(5)
        agent.emit("never")

    played = stopping(cleanup)
    assert played.of("never") == []
    assert played.outcome.duration == 1_000_000


def test_shielded_cleanup_may_wait_for_virtual_time_and_for_calls() -> None:
    async def last_words() -> str:
        return "farewell"

    async def cleanup(agent: matrix.Agent) -> None:
        with trio.CancelScope(shield=True):
            await agent.sleep(1_000)
            agent.emit("said", words=await agent.call(last_words), at=int(agent.now))

    played = stopping(cleanup)
    assert played.data("said") == [{"words": "farewell", "at": 1001}]
    assert played.outcome.error is None
    assert sorted(ended_in_order(played)) == [1, 2]


def test_shielded_cleanup_that_waits_for_what_cannot_come_is_closed_there() -> None:
    async def cleanup(agent: matrix.Agent) -> None:
        with trio.CancelScope(shield=True):
            try:
                await agent.receive()
            finally:
                agent.emit("closed")

    played = stopping(cleanup)
    assert len(played.of("closed")) == 1
    assert (played.outcome.status, played.outcome.error) == ("stopped", None)


def test_cleanup_that_waits_beyond_the_grace_is_closed_and_that_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrix.runtime.scheduling.scheduler.GRACE_NS", 50_000_000)

    async def cleanup(agent: matrix.Agent) -> None:
        with trio.CancelScope(shield=True):
            try:
                await agent.call(trio.sleep_forever)
            finally:
                agent.emit("closed")

    played = stopping(cleanup)
    assert played.one("simulation.input").data["input"] == "grace"
    assert len(played.of("closed")) == 1
    assert played.outcome.status == "stopped"


def test_cleanup_that_never_stops_taking_turns_is_closed_at_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrix.runtime.scheduling.scheduler.GRACE_NS", 50_000_000)

    async def cleanup(agent: matrix.Agent) -> None:
        with trio.CancelScope(shield=True):
            while True:
                await agent.sleep(0)

    played = stopping(cleanup)
    assert played.outcome.status == "stopped"
    assert played.of("agent.cancelled")[0].agent == 2


# -- the runtime -------------------------------------------------------------------------------


async def test_cancelling_what_is_around_a_runtime_stops_all_in_order_and_seals_the_log(tmp_path: Path) -> None:
    simulations: list[matrix.Simulation] = []

    async def host(task_status: trio.TaskStatus[None]) -> None:
        async with matrix.open_runtime(tmp_path, index=False) as runtime:
            for seed in range(3):
                simulations.append(await runtime.start(mixed, seed=seed, time="real"))
            task_status.started()
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        await nursery.start(host)
        await trio.testing.wait_all_tasks_blocked(0.02)
        nursery.cancel_scope.cancel()
    for simulation in simulations:
        outcome = simulation.outcome
        assert outcome is not None and (outcome.status, outcome.reason) == ("stopped", "the runtime was closed")
        events = history(outcome)
        cancelled = [event.agent for event in events if event.kind == "agent.cancelled"]
        assert cancelled == sorted(cancelled) and len(cancelled) == 8
        assert events[-1].kind == "simulation.stopped"
    assert [report.findings for report in verify_log(tmp_path / "log")] == [[]]
