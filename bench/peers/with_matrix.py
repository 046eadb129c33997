"""Matrix: everything is written to a log, in an order that the seed decides, and can be replayed from it.

Logs are at level interval, as they are when nobody says otherwise. ``million_indexed`` lets the index follow too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio
from measure import Found, Memory, Meter, answer, peak

import matrix


class Ball(matrix.Agent):
    """Called; throws back what comes."""

    to: str

    def on_message(self, message: matrix.Message) -> None:
        left = message["left"]
        if left:
            self.send(self.to, "ball", left=left - 1)


class AsyncBall(matrix.Agent):
    """The same with a coroutine for life."""

    to: str

    async def run(self) -> None:
        async for message in self.messages():
            left = message["left"]
            if left:
                self.send(self.to, "ball", left=left - 1)


class Idle(matrix.Agent):
    """Waits, called."""

    def on_message(self, message: matrix.Message) -> None: ...


class AsyncIdle(matrix.Agent):
    """Waits, with a coroutine."""

    async def run(self) -> None:
        await self.receive()


class Neighbour(matrix.Agent):
    """Sends one message to another, and takes what it is sent."""

    to: str

    def on_start(self) -> None:
        self.send(self.to, "hello", left=0)

    def on_message(self, message: matrix.Message) -> None: ...


class Worker(matrix.Agent):
    """Twenty turns with a call of 20 ms each."""

    async def run(self) -> None:
        for _ in range(20):
            await self.call(trio.sleep, 0.02)


class Asker(matrix.Agent):
    """Calls that answer at once, one after the other."""

    calls: int

    async def run(self) -> None:
        for n in range(self.calls):
            await self.call(answer_at_once, n)


LOOK: list[Callable[[], Awaitable[None]]] = []  # who has a look at agents that wait


async def answer_at_once(n: int) -> dict[str, Any]:
    """Stands for a model: what costs is what Matrix does around it."""
    return {"text": "that is more than I can pay for it today", "tokens": n % 97}


async def pairs(simulation: matrix.Simulation, count: int, is_async: bool = False) -> None:
    """Ten pairs of agents that throw a ball to and fro."""
    cls = AsyncBall if is_async else Ball
    for n in range(10):
        simulation.spawn(cls, f"a{n}", to=f"b{n}")
        simulation.spawn(cls, f"b{n}", to=f"a{n}")
        simulation.send(f"a{n}", "ball", left=count // 10)


async def waiting(simulation: matrix.Simulation, count: int, is_async: bool = False) -> None:
    """Agents that wait; when all do, somebody outside has a look."""
    for n in range(count):
        simulation.spawn(AsyncIdle if is_async else Idle, f"agent-{n}")
    if is_async:
        await simulation.sleep(1)
    await simulation.call(LOOK[-1])


async def ring(simulation: matrix.Simulation, count: int) -> None:
    """Agents that each send one message."""
    for n in range(count):
        simulation.spawn(Neighbour, f"agent-{n}", to=f"agent-{(n * 7919 + 1) % count}")


async def worker(simulation: matrix.Simulation) -> None:
    """One agent with its calls."""
    simulation.spawn(Worker, "worker")


async def askers(simulation: matrix.Simulation, count: int) -> None:
    """Ten agents that share the calls."""
    for n in range(10):
        simulation.spawn(Asker, f"asker-{n}", calls=count // 10)


def run(program: Any, count: int, *, index: bool = False, **options: Any) -> Found:
    """One execution, with what it wrote."""
    with tempfile.TemporaryDirectory(prefix="society_bench_") as folder:
        with Meter() as meter:
            outcome = matrix.run(program, store=folder, index=index, count=count, **options)
        assert outcome.status == "finished", outcome.reason
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.seg"))
        return meter.found(count, events=outcome.events, log_bytes=size, peak=peak())


def idle(count: int, *, is_async: bool = False, traced: bool = False) -> Found:
    """Agents that wait for a first message: from nothing to the moment when all wait."""
    seen: Found = {}

    async def look() -> None:
        meter.__exit__()
        seen.update(meter.found(count, **memory.look(count)))

    LOOK.append(look)
    with Memory(traced=traced) as memory, Meter() as meter:
        run(waiting, count, is_async=is_async)
    return seen


def simulations(count: int) -> Found:
    """All side by side; each commits and ends by itself."""
    with tempfile.TemporaryDirectory(prefix="society_bench_") as folder:
        with Meter() as meter:
            outcomes = matrix.run(worker, store=folder, simulations=count, at_once=count, index=False)
        assert {outcome.status for outcome in outcomes} == {"finished"}, outcomes[0].reason
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.seg"))
        return meter.found(count, events=sum(outcome.events for outcome in outcomes), log_bytes=size, peak=peak())


def replay(program: Any, count: int, **options: Any) -> Found:
    """A run, then the same again from its log, every event compared; the time is that of the second."""
    run_and_replay(program, 100, **options)  # what is imported for it belongs to no figure
    return run_and_replay(program, count, **options)


def run_and_replay(program: Any, count: int, **options: Any) -> Found:
    """Both, with how their times compare."""
    with tempfile.TemporaryDirectory(prefix="society_bench_") as folder:
        with Meter() as first:
            outcome = matrix.run(program, store=folder, index=False, count=count, **options)
        with matrix.open(folder) as store:
            store.query("simulations | count")  # the index is made, if it did not follow
            with Meter() as again:
                replayed = store.replay(outcome.id)
        assert replayed.status == "identical", replayed
        found = again.found(outcome.events, run_cpu=first.cpu, run_wall=first.wall)
    return found | {"ratio_cpu": again.cpu / first.cpu, "ratio_wall": again.wall / first.wall}


if __name__ == "__main__":
    run(ring, 100)  # what is imported and opened once belongs to no figure
    answer(
        {
            "messages": lambda count: run(pairs, count),
            "turns": lambda count: run(pairs, count, is_async=True),
            "idle": idle,
            "idle_traced": lambda count: idle(count, traced=True),
            "idle_async": lambda count: idle(count, is_async=True),
            "idle_async_traced": lambda count: idle(count, is_async=True, traced=True),
            "million": lambda count: run(ring, count),
            "million_indexed": lambda count: run(ring, count, index=True),
            "simulations": simulations,
            "replay": lambda count: replay(pairs, count),
            "replay_async": lambda count: replay(pairs, count, is_async=True),
            "replay_calls": lambda count: replay(askers, count),
        },
        "matrix-runtime",
    )
