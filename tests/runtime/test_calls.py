"""Calls to the outside: recorded, beside the simulation, in the order of arrival or after a fixed latency."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import trio

import matrix
from matrix.testing.played import Played, play


def calling(body: Any, agents: int = 1, **options: Any) -> Played:
    class Caller(matrix.Agent):
        async def run(self) -> None:
            await body(self)

    async def program(simulation: matrix.Simulation) -> None:
        for n in range(agents):
            simulation.spawn(Caller, f"caller-{n}")

    return play(program, **options)


async def double(n: int) -> int:
    await trio.sleep(0)
    return 2 * n


def test_a_call_is_recorded_before_and_after_and_is_the_cause_of_what_follows() -> None:
    async def body(agent: matrix.Agent) -> None:
        async with agent.goal("compute"):
            agent.emit("got", value=await agent.call(double, 21))

    played = calling(body)
    called, completed, got = played.one("call.called"), played.one("call.completed"), played.one("got")
    assert dict(called.data) == {"name": "double", "call_id": "caller-0#1", "arguments": [21]}
    assert completed.data["result"] == 42
    assert completed.data["ms"] >= 0
    assert (completed.cause, got.cause) == (called.seq, completed.seq)
    assert (called.turn, completed.turn, got.turn) == (1, 2, 2)
    assert got.data["value"] == 42
    assert played.data("goal.succeeded") == [{"steps": 2, "turns": 2}]  # the call begun, and what was emitted


def test_a_blocking_function_runs_in_a_thread_and_many_at_once() -> None:
    barrier = threading.Barrier(3, timeout=10)

    def meet(n: int) -> int:
        barrier.wait()
        return n

    async def body(agent: matrix.Agent) -> None:
        agent.emit("met", n=await agent.call(meet, 1))

    assert len(calling(body, agents=3).of("met")) == 3


def test_a_call_that_fails_raises_in_the_agent_and_is_recorded() -> None:
    def refuse() -> None:
        raise OSError("no network")

    async def body(agent: matrix.Agent) -> None:
        try:
            await agent.call(refuse, name="model-x", kind="model")
        except matrix.CallFailed as failed:
            agent.emit("failed", error=failed.error, cause_=type(failed.__cause__).__name__)

    played = calling(body)
    assert played.one("model.called").data["model"] == "model-x"
    assert played.one("model.failed").data["error"] == "OSError: no network"
    assert played.data("failed") == [{"error": "OSError: no network", "cause_": "OSError"}]


def test_a_result_the_log_cannot_hold_is_an_error_at_the_call() -> None:
    def bad() -> object:
        return {"found": object()}

    async def body(agent: matrix.Agent) -> None:
        with pytest.raises(matrix.CallFailed, match="result of bad"):
            await agent.call(bad)

    assert calling(body).outcome.status == "finished"


def test_answers_become_turns_as_they_come_and_a_straggler_delays_nobody() -> None:
    async def after(seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds

    class Caller(matrix.Agent):
        seconds: float

        async def run(self) -> None:
            await self.call(after, self.seconds)
            self.emit("back", seconds=self.seconds)

    async def program(simulation: matrix.Simulation) -> None:
        for n, seconds in enumerate((0.3, 0.05, 0.15)):
            simulation.spawn(Caller, f"c{n}", seconds=seconds)

    played = play(program)
    assert [data["seconds"] for data in played.data("back")] == [0.05, 0.15, 0.3]
    assert [event.time for event in played.of("back")] == sorted(event.time for event in played.of("back"))
    assert 200_000 < played.outcome.duration < 5_000_000  # virtual time followed the wall clock


def test_frozen_time_stands_while_calls_are_in_flight() -> None:
    async def body(agent: matrix.Agent) -> None:
        await agent.call(time.sleep, 0.05)

    assert calling(body, pace="freeze").outcome.duration == 0


def test_free_time_runs_on_to_the_next_timer_while_calls_are_in_flight() -> None:
    released = threading.Event()

    def wait() -> bool:
        return released.wait(10)

    async def body(agent: matrix.Agent) -> None:
        async def child() -> None:
            await agent.sleep(1_000)
            released.set()

        agent.start(child)
        await agent.call(wait)

    assert calling(body, pace="free").outcome.duration == 1_000_000_000


def test_a_fixed_latency_is_the_calls_virtual_duration_and_its_place_in_the_order() -> None:
    def slow(seconds: float) -> None:
        time.sleep(seconds)

    class Caller(matrix.Agent):
        real: float
        latency: float

        async def run(self) -> None:
            await self.call(slow, self.real, latency=self.latency)
            self.emit("back", at=self.now)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Caller, "slow", real=0.1, latency=2)
        simulation.spawn(Caller, "quick", real=0, latency=3)
        simulation.spawn(Caller, "also", real=0, latency=2)

    played = play(program)
    names = played.names()
    assert [(names[e.agent], e.data["at"]) for e in played.of("back")] == [("slow", 2.0), ("also", 2.0), ("quick", 3.0)]
    assert [data["ms"] for data in played.data("call.completed")] == [2000.0, 2000.0, 3000.0]


def test_a_timeout_of_the_call_is_a_failure_of_it() -> None:
    async def body(agent: matrix.Agent) -> None:
        with pytest.raises(matrix.CallFailed, match="TooSlowError"):
            await agent.call(trio.sleep_forever, timeout=0.02)

    assert calling(body).outcome.status == "finished"


def test_a_call_given_up_by_a_virtual_timeout_is_stopped_and_recorded_as_failed() -> None:
    stopped = []

    async def hang() -> None:
        try:
            await trio.sleep_forever()
        finally:
            stopped.append(True)

    async def body(agent: matrix.Agent) -> None:
        with agent.move_on_after(0.02) as scope:
            await agent.call(hang)
        agent.emit("gave up", caught=scope.cancelled_caught)

    played = calling(body)
    assert played.data("gave up") == [{"caught": True}]
    assert played.one("call.failed").data["error"] == "Cancelled"
    assert stopped == [True]


def test_arguments_and_results_are_copies() -> None:
    seen = []

    def keep(items: list[int]) -> list[int]:
        seen.append(items)
        return items

    async def body(agent: matrix.Agent) -> None:
        items = [1, 2]
        result = await agent.call(keep, items)
        result.append(99)
        items.append(3)

    played = calling(body)
    assert played.one("call.called").data["arguments"] == [[1, 2]]
    assert played.one("call.completed").data["result"] == [1, 2]


def test_a_function_that_is_not_one_is_refused() -> None:
    async def body(agent: matrix.Agent) -> None:
        await agent.call("double", 3)  # type: ignore[arg-type]  # the mistake under test

    assert "call takes a function" in calling(body).outcome.reason
