"""Waits of Trio's own inside an agent: refused by default, else let be and recorded as inputs."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import matrix
from matrix.event import Event

BODIES: dict[str, Callable[[matrix.Agent], Any]] = {}


class Does(matrix.Agent):
    """Does what its parameter names."""

    body: str

    async def run(self) -> None:
        await BODIES[self.body](self)


async def program(simulation: matrix.Simulation, bodies: Any = ()) -> None:
    for n, body in enumerate(bodies):
        simulation.spawn(Does, f"a{n}", body=body)


def body(function: Callable[[matrix.Agent], Any]) -> Callable[[matrix.Agent], Any]:
    BODIES[function.__name__] = function
    return function


class Played:
    """A recorded simulation: its outcome, its events, and a replay of it."""

    def __init__(self, store: Path, outcome: matrix.Outcome) -> None:
        self.store, self.outcome = store, outcome

    def events(self, kind: str) -> list[Event]:
        with matrix.open(self.store) as store:
            return [event for event in store.events(self.outcome.id) if event.kind == kind]

    def replay(self) -> Any:
        with matrix.open(self.store) as store:
            return store.replay(self.outcome.id, program=program)

    def check_replay(self) -> None:
        """It is replayed event for event."""
        replay = self.replay()
        assert (replay.status, replay.events) == ("identical", self.outcome.events), str(replay)
        assert replay.digest == self.outcome.digest


def play(store: Path, *bodies: str, guard: str = "warn", **options: Any) -> Played:
    options = {"program": program, **options}
    outcome = matrix.run(
        options.pop("program"), store=store, simulations=1, index=False, bodies=list(bodies), guard=guard, **options
    )[0]
    return Played(store, outcome)


@body
async def waits_twice(self: matrix.Agent) -> None:
    for n in range(2):
        await trio.sleep(0.01)
        self.emit("woke", n=n)


@body
async def talks(self: matrix.Agent) -> None:
    for n in range(5):
        self.emit("talked", n=n)
        await self.sleep(1)


def test_by_default_it_raises_where_it_is_and_the_class_says_what_it_is(tmp_path: Path) -> None:
    played = play(tmp_path, "waits_twice", guard="raise")
    assert played.outcome.status == "failed"
    assert isinstance(played.outcome.error, matrix.errors.UnrecordedInput)  # type: ignore[attr-defined]
    assert played.events("simulation.input") == []


def test_with_warn_it_waits_is_told_once_a_place_and_its_end_is_a_recorded_input(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    played = play(tmp_path, "waits_twice", "talks")
    assert played.outcome.status == "finished"
    assert [e.data["n"] for e in played.events("woke")] == [0, 1]
    inputs = played.events("simulation.input")
    assert [(e.data["input"], e.data["agent"]) for e in inputs] == [("wait", "a0"), ("wait", "a0")]
    assert all(isinstance(e.data["step"], int) for e in inputs)
    assert [e.cause for e in played.events("woke")] == [e.seq for e in inputs]
    (told,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    line = waits_twice.__code__.co_firstlineno + 3
    assert told.startswith(f"the wait in trio.sleep at test_foreign.py:{line} in a turn of a0 ")
    assert "await self.call(function, ...)" in told
    played.check_replay()
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1  # a replay says nothing new


def test_with_off_it_waits_and_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    played = play(tmp_path, "waits_twice", guard="off")
    assert len(played.events("woke")) == 2
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    played.check_replay()


@body
async def shuffles(self: matrix.Agent) -> None:
    for n in range(6):
        await trio.sleep(self.random.random() / 100)
        self.emit("woke", n=n)
        if self.random.random() < 0.5:
            await self.sleep(self.random.random() / 50)
        self.send(self.random.choice(["a0", "a1", "a2", "a3"]), "hello", n=n)


@body
async def listens(self: matrix.Agent) -> None:
    with self.move_on_after(0.2):
        async for message in self.messages():
            self.emit("heard", n=message["n"], who=message.sender)
            await trio.sleep(0)
            await trio.sleep(0.0005)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_order_the_waits_end_in_a_replay_keeps_it(seed: int, tmp_path: Path) -> None:
    played = play(tmp_path, *["shuffles", "listens"] * 4, seed=seed)
    assert played.outcome.status == "finished", played.outcome.error
    assert len(played.events("simulation.input")) >= 24
    played.check_replay()


def echo_server() -> tuple[int, threading.Thread]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            for _ in range(2):  # live, and once more in the replay
                connection, _ = listener.accept()
                with connection:
                    heard = connection.recv(100)
                    time.sleep(0.05)  # so that whoever asked must wait, each time
                    connection.sendall(heard)

    thread = threading.Thread(target=serve)
    thread.start()
    return listener.getsockname()[1], thread


def test_sockets_work_and_are_touched_again_in_a_replay(tmp_path: Path) -> None:
    port, thread = echo_server()

    @body
    async def asks(self: matrix.Agent) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(b"hello")
            self.emit("heard", text=(await stream.receive_some(100)).decode())

    played = play(tmp_path, "asks")
    assert played.outcome.status == "finished", played.outcome.error
    assert [e.data["text"] for e in played.events("heard")] == ["hello"]
    played.check_replay()
    thread.join()


@body
async def opens_a_nursery(self: matrix.Agent) -> None:
    async with trio.open_nursery() as nursery:
        for n in range(3):
            nursery.start_soon(trio.sleep, 0.005 * n)
    self.emit("all back")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    self.emit("all back")


def test_a_raw_nursery_is_waited_for(tmp_path: Path) -> None:
    played = play(tmp_path, "opens_a_nursery", "talks")
    assert played.outcome.status == "finished", played.outcome.error
    assert len(played.events("all back")) == 2
    played.check_replay()


@body
async def is_stuck_in_a_nursery(self: matrix.Agent) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        await trio.sleep_forever()


def test_a_raw_nursery_does_not_hold_the_end_of_a_simulation(tmp_path: Path) -> None:
    played = play(tmp_path, "is_stuck_in_a_nursery", "talks", until=2, pace="free")
    assert (played.outcome.status, played.outcome.reason) == ("finished", "until")
    stopped = play(tmp_path, "is_stuck_in_a_nursery", program=cancelling)
    assert stopped.outcome.status == "finished", stopped.outcome.error


@body
async def threads(self: matrix.Agent) -> None:
    self.emit("counted", length=await trio.to_thread.run_sync(len, "four"))


def test_worker_threads_of_trio_work(tmp_path: Path) -> None:
    played = play(tmp_path, "threads")
    assert [e.data["length"] for e in played.events("counted")] == [4], played.outcome.error
    played.check_replay()


# -- cancellation ----------------------------------------------------------------------------------


@body
async def is_stuck(self: matrix.Agent) -> None:
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        self.emit("cancelled")
        raise
    finally:
        self.emit("cleaned up")


async def cancelling(simulation: matrix.Simulation, bodies: Any) -> None:
    for n, one in enumerate(bodies):
        simulation.spawn(Does, f"a{n}", body=one)
    await simulation.call(trio.sleep, 0.01)
    simulation.cancel("a0")


def test_an_agent_is_cancelled_in_a_wait_of_trios(tmp_path: Path) -> None:
    played = play(tmp_path, "is_stuck", "talks", program=cancelling)
    assert played.outcome.status == "finished"
    assert len(played.events("cancelled")) == 1
    assert len(played.events("agent.cancelled")) == 1
    with matrix.open(tmp_path) as store:
        replay = store.replay(played.outcome.id, program=cancelling)
    assert replay.status == "identical", str(replay)


@body
async def cleans_up_slowly(self: matrix.Agent) -> None:
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.005)
            await self.sleep(1)
        self.emit("cleaned up")
        await trio.sleep(0.005)
        self.emit("never")


def test_cleanup_may_wait_under_a_shield_and_not_without_one(tmp_path: Path) -> None:
    played = play(tmp_path, "cleans_up_slowly", "talks", program=cancelling)
    assert played.outcome.status == "finished", played.outcome.error
    assert len(played.events("cleaned up")) == 1
    assert played.events("never") == []


@body
async def has_its_own_timeouts(self: matrix.Agent) -> None:
    with self.move_on_after(0.005) as virtual:
        await trio.sleep_forever()
    self.emit("timed out", caught=virtual.cancelled_caught)
    with trio.move_on_after(0.005) as real:
        await trio.sleep_forever()
    self.emit("timed out", caught=real.cancelled_caught)
    with trio.move_on_after(30) as none:
        await trio.sleep(0.001)
    self.emit("timed out", caught=none.cancelled_caught)
    await self.sleep(1)
    await trio.sleep(0.001)
    self.emit("went on")


def test_scopes_around_waits_of_trios_end_them(tmp_path: Path) -> None:
    played = play(tmp_path, "has_its_own_timeouts")
    assert [e.data["caught"] for e in played.events("timed out")] == [True, True, False]
    assert len(played.events("went on")) == 1, played.outcome.error
    played.check_replay()


GATE: list[trio.Event] = []


@body
async def waits_at_the_gate(self: matrix.Agent) -> None:
    await GATE[-1].wait()
    self.emit("went through")


@pytest.mark.parametrize("options", [{"until": 3}, {"turns_max": 4}])
def test_a_simulation_may_end_while_somebody_waits_and_nothing_wakes_him_later(
    options: dict[str, Any], tmp_path: Path
) -> None:
    async def main() -> list[str]:
        GATE.append(trio.Event())
        async with matrix.open_runtime(tmp_path, index=False) as runtime:
            bodies = ["waits_at_the_gate", "talks"]
            first = await runtime.run(program, bodies=bodies, guard="warn", pace="free", **options)
            GATE[-1].set()  # a lease that is somebody else's by now, or has ended, must not be woken by it
            second = await runtime.run(program, bodies=["waits_twice"], guard="warn")
        return [first.status, second.status]

    assert trio.run(main) == ["finished", "finished"]


def test_a_thread_that_cannot_be_called_off_is_waited_for_when_the_runtime_closes(tmp_path: Path) -> None:
    go = threading.Event()
    done: list[str] = []

    def work() -> None:
        go.wait(10)
        done.append("work")

    @body
    async def works(self: matrix.Agent) -> None:
        await trio.to_thread.run_sync(work)
        self.emit("never")

    async def main() -> matrix.Outcome:
        async with matrix.open_runtime(tmp_path, index=False) as runtime:
            outcome = await runtime.run(program, bodies=["works", "talks"], guard="warn", pace="free", until=2)
            go.set()
        done.append("closed")
        return outcome

    outcome = trio.run(main)
    assert outcome.status == "finished"
    assert done == ["work", "closed"]


def test_a_wait_that_ends_counts_as_activity_not_as_deadlock(tmp_path: Path) -> None:
    played = play(tmp_path, "waits_twice")
    assert (played.outcome.status, played.outcome.reason) == ("finished", "completed")


def test_time_follows_the_wall_clock_while_somebody_waits(tmp_path: Path) -> None:
    played = play(tmp_path, "waits_twice")
    assert 1_000 <= played.outcome.duration < 10_000_000


def test_a_replay_whose_program_does_not_wait_there_any_more_diverges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = play(tmp_path, "waits_twice")

    async def waits_no_more(self: matrix.Agent) -> None:
        self.emit("woke", n=0)

    monkeypatch.setitem(BODIES, "waits_twice", waits_no_more)
    assert played.replay().status == "diverged"


def test_a_fork_goes_on_from_any_place_also_while_somebody_waits(tmp_path: Path) -> None:
    played = play(tmp_path, "waits_twice", "talks")
    with matrix.open(tmp_path) as store:
        for at in range(3, played.outcome.events):
            (forked,) = store.fork(played.outcome.id, at=at, program=program)
            assert forked.status == "finished", f"at {at}: {forked.error}"
            woke = [event for event in store.events(forked.id) if event.kind == "woke"]
            assert [event.data["n"] for event in woke] == [0, 1]
            replay = store.replay(forked.id, program=program)
            assert replay.status == "identical", f"at {at}: {replay}"
