"""Cancellation, timeouts, child tasks, and what an agent may not wait for."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import matrix
from matrix.errors import ProgramError
from matrix.testing.played import Played, play


def acting(body: Any, **options: Any) -> Played:
    class Actor(matrix.Agent):
        async def run(self) -> None:
            await body(self)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Actor, "a")

    return play(program, **options)


def test_a_virtual_timeout_ends_a_wait_at_its_instant() -> None:
    async def body(agent: matrix.Agent) -> None:
        with agent.move_on_after(5) as scope:
            await agent.receive()
        agent.emit("moved on", at=agent.now, caught=scope.cancelled_caught)
        with pytest.raises(trio.TooSlowError), agent.fail_after(2):
            await agent.sleep(100)
        agent.emit("too slow", at=agent.now)

    played = acting(body)
    assert played.data("moved on") == [{"at": 5.0, "caught": True}]
    assert played.data("too slow") == [{"at": 7.0}]
    assert played.outcome.duration == 7_000_000


def test_a_timeout_that_was_not_needed_does_not_hold_the_simulation() -> None:
    async def body(agent: matrix.Agent) -> None:
        with agent.move_on_after(1_000) as scope:
            await agent.sleep(1)
        agent.emit("done", caught=scope.cancelled_caught)

    played = acting(body)
    assert played.data("done") == [{"caught": False}]
    assert played.outcome.duration == 1_000_000


@pytest.mark.parametrize("engine", ["auto", "handoff"])
def test_a_timeout_that_a_message_came_before_does_not_swallow_the_next_answer(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATRIX_ENGINE", engine)

    class Gone(matrix.Agent):
        async def run(self) -> None:
            self.emit("went")

    class Asker(matrix.Agent):
        async def run(self) -> None:
            await self.sleep(0.5)  # so that at the instant of the timeout the sender comes first
            with self.move_on_after(0.5) as scope:  # it is cancelled while the message waits for its turn
                await self.receive()
            self.emit("heard", at=self.now, caught=scope.cancelled_caught)
            with self.move_on_after(5) as scope:
                try:
                    await self.ask("gone", "question")
                except matrix.AskFailed:
                    self.emit("no answer", at=self.now)
            self.emit("done", caught=scope.cancelled_caught)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Gone, "gone")
        simulation.start(sender, simulation)
        simulation.spawn(Asker, "asker")

    async def sender(simulation: matrix.Simulation) -> None:
        await simulation.sleep(1)
        simulation.send("asker", "offer")

    played = play(program)
    assert played.data("heard") == [{"at": 1.0, "caught": False}]
    assert played.data("no answer") == [{"at": 1.0}]
    assert played.data("done") == [{"caught": False}]


def test_timeouts_nest_and_the_inner_one_leaves_the_outer_alone() -> None:
    async def body(agent: matrix.Agent) -> None:
        with agent.move_on_after(3) as outer:
            with agent.move_on_after(1) as inner:
                await agent.sleep(10)
            agent.emit("inner", caught=inner.cancelled_caught, at=agent.now)
            await agent.sleep(10)
        agent.emit("outer", caught=outer.cancelled_caught, at=agent.now)
        await agent.sleep(1)  # and waits work as before
        agent.emit("later", at=agent.now)

    played = acting(body)
    assert played.data("inner") == [{"caught": True, "at": 1.0}]
    assert played.data("outer") == [{"caught": True, "at": 3.0}]
    assert played.data("later") == [{"at": 4.0}]


def test_cancellation_is_a_level_every_later_wait_in_the_scope_raises() -> None:
    async def body(agent: matrix.Agent) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            for n in range(3):
                try:
                    await agent.sleep(1)
                except trio.Cancelled:
                    agent.emit("cancelled", n=n)
            await agent.sleep(1)
        agent.emit("out", at=agent.now)

    played = acting(body)
    assert [data["n"] for data in played.data("cancelled")] == [0, 1, 2]
    assert played.data("out") == [{"at": 0.0}]


def test_a_scope_cancelled_and_left_without_a_wait_cancels_nothing() -> None:
    async def body(agent: matrix.Agent) -> None:
        for _ in range(3):
            with trio.CancelScope() as scope:
                scope.cancel()
            await agent.sleep(1)
        agent.emit("done", at=agent.now)

    assert acting(body).data("done") == [{"at": 3.0}]


def test_a_cancelled_agent_cleans_up_and_a_shield_lets_it_wait() -> None:
    class Careful(matrix.Agent):
        async def run(self) -> None:
            try:
                await self.receive()
            finally:
                with trio.CancelScope(shield=True):
                    await self.sleep(2)
                    self.emit("clean", at=self.now)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Careful, "c")
        await simulation.sleep(1)
        simulation.cancel("c")
        await simulation.join("c")
        simulation.emit("joined", at=simulation.now)

    played = play(program)
    assert played.data("clean") == [{"at": 3.0}]
    assert played.data("joined") == [{"at": 3.0}]
    assert len(played.of("agent.cancelled")) == 1
    assert played.outcome.status == "finished"


def test_agents_of_every_behaviour_can_be_cancelled_even_before_their_first_turn() -> None:
    class Living(matrix.Agent):
        async def run(self) -> None:
            self.emit("ran")

    class Called(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            self.emit("ran")

    class Handling(matrix.Agent):
        async def on_message(self, message: matrix.Message) -> None:
            await self.sleep(10)
            self.emit("ran")

    async def program(simulation: matrix.Simulation) -> None:
        for cls in (Living, Called, Handling):
            simulation.spawn(cls, cls.__name__)
        simulation.send(["Called", "Handling"])
        simulation.cancel("Living")
        simulation.cancel("Called")
        await simulation.sleep(1)
        simulation.cancel("Handling")

    played = play(program)
    assert played.of("ran") == []
    assert [played.names()[event.agent] for event in played.of("agent.cancelled")] == ["Called", "Living", "Handling"]


# -- child tasks -------------------------------------------------------------------------------


def test_an_agent_ends_when_its_children_have() -> None:
    async def body(agent: matrix.Agent) -> None:
        async def child(name: str, seconds: float) -> None:
            await agent.sleep(seconds)
            agent.emit(name)

        agent.start(child, "slow", 3)
        agent.start(child, "quick", 1)
        agent.emit("main")

    played = acting(body)
    kinds = [e.kind for e in played.events if e.agent == 1]
    assert kinds == ["agent.started", "main", "quick", "slow", "agent.finished"]


def test_an_error_in_one_task_cancels_the_others_and_leaves_as_a_group() -> None:
    async def body(agent: matrix.Agent) -> None:
        async def failing() -> None:
            await agent.sleep(1)
            raise ValueError("bad")

        async def waiting() -> None:
            try:
                await agent.sleep(100)
            finally:
                agent.emit("cleaned", at=agent.now)

        agent.start(failing)
        agent.start(waiting)
        try:
            await agent.receive()
        except trio.Cancelled:
            agent.emit("main cancelled")
            raise

    played = acting(body)
    error = played.outcome.error
    assert isinstance(error, ExceptionGroup)
    assert [str(e) for e in error.exceptions] == ["bad"]
    assert played.data("cleaned") == [{"at": 1.0}]
    assert len(played.of("main cancelled")) == 1
    assert played.outcome.duration == 1_000_000


# -- strict ------------------------------------------------------------------------------------


@pytest.mark.parametrize("foreign", [lambda: trio.sleep(0.01), lambda: trio.Event().wait()])
def test_a_foreign_wait_raises_at_its_place_and_names_call(foreign: Any) -> None:
    async def body(agent: matrix.Agent) -> None:
        try:
            await foreign()
        except ProgramError as error:
            agent.emit("refused", said=str(error))
        await agent.sleep(1)
        agent.emit("went on")

    played = acting(body)
    (data,) = played.data("refused")
    assert "self.call(function" in data["said"]
    assert played.of("went on")


def test_a_checkpoint_of_trio_is_a_turn_in_our_order() -> None:
    class Polite(matrix.Agent):
        async def run(self) -> None:
            for n in range(2):
                self.emit("tick", n=n)
                await trio.lowlevel.checkpoint()

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Polite, "a")
        simulation.spawn(Polite, "b")

    assert [(e.agent, e.data["n"]) for e in play(program).of("tick")] == [(1, 0), (2, 0), (1, 1), (2, 1)]


def test_a_raw_nursery_is_an_error_that_names_start() -> None:
    ran = []

    async def raw() -> None:
        await trio.sleep(0)
        ran.append(True)

    async def body(agent: matrix.Agent) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(raw)
        agent.emit("after")

    played = acting(body)
    assert played.outcome.status == "failed"
    assert "use self.start(child)" in str(played.outcome.error)
    assert ran == [True]


def test_trio_sees_the_right_task_while_a_coroutine_is_stepped() -> None:
    tasks = []

    async def body(agent: matrix.Agent) -> None:
        lock = trio.Lock()
        with trio.CancelScope():  # kept open over a wait: the lease stays with this agent
            lock.acquire_nowait()
            tasks.append(trio.lowlevel.current_task())
            await agent.sleep(1)
            tasks.append(trio.lowlevel.current_task())
            lock.release()

    assert acting(body).outcome.status == "finished"
    assert tasks[0] is tasks[1]


class Ticker(matrix.Agent):
    async def run(self) -> None:
        while True:
            await self.sleep(1)
            self.emit("tick")


class Canceller(matrix.Agent):
    async def run(self) -> None:
        await self.sleep(3)
        self.simulation.cancel("ticker")


@pytest.mark.parametrize("is_first", [True, False])
def test_an_agent_whose_turn_is_due_at_the_instant_of_its_cancellation_is_cancelled_all_the_same(
    is_first: bool,
) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        if is_first:
            simulation.spawn(Ticker, "ticker")
        simulation.spawn(Canceller, "canceller")
        if not is_first:
            simulation.spawn(Ticker, "ticker")

    played = play(program, until=20)
    assert played.data("agent.cancelled") == [{}]
    assert len(played.data("tick")) == 3  # the one that was due goes first; the next wait meets the cancellation
    assert played.outcome.duration == 3_000_000


def test_an_agent_may_be_cancelled_right_after_a_scope_of_its_own() -> None:
    scopes = []

    class Waiter(matrix.Agent):
        async def run(self) -> None:
            with trio.CancelScope() as scope:
                scopes.append(scope)
                await self.sleep(100)
            await self.sleep(1)

    class Both(matrix.Agent):
        async def run(self) -> None:
            await self.sleep(3)
            scopes[0].cancel()
            self.simulation.cancel("waiter")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Waiter, "waiter")
        simulation.spawn(Both, "both")

    played = play(program)
    assert played.outcome.status == "finished", played.outcome.error
    assert played.data("agent.cancelled") == [{}]


@pytest.mark.parametrize("seconds", [1e30, 10**30])
def test_a_wait_beyond_the_end_of_virtual_time_fails_its_agent_and_not_the_runtime(seconds: float) -> None:
    async def body(agent: matrix.Agent) -> None:
        await agent.sleep(seconds)

    outcome = acting(body).outcome
    assert outcome.status == "failed"
    assert "later than virtual time goes" in str(outcome.error)


def test_an_exit_in_an_agent_is_the_exit_of_whoever_runs_it() -> None:
    async def body(agent: matrix.Agent) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit) as exit:
        acting(body)
    assert exit.value.code == 3
