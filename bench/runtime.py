"""What a turn, a message and an event cost in a running society, written to the log.

Each question runs in a process of its own; figures are per second of that process's CPU time (the machine is
shared) and of wall time, the median of ``--rounds``. "loop" is a bare Python loop of two objects that call each other
through a deque, on the same machine at the same time: what the machine is worth at the moment (0.16 us when idle).

    python bench/runtime.py [--quick] [--rounds 3] [--only emit,messages] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import trio

import matrix


class Emitter(matrix.Agent):
    """Emits, a thousand events a turn."""

    count: int

    async def run(self) -> None:
        for _ in range(self.count // 1_000):
            for n in range(1_000):
                self.emit("offer", price=n, item="lamp", weight=0.5)
            await self.sleep(0.001)


class Mover(matrix.Agent):
    """Emits columns, 100,000 rows at a time."""

    count: int

    async def run(self) -> None:
        x, y = np.arange(100_000), np.linspace(0, 1, 100_000)
        for _ in range(self.count // 100_000):
            self.emit_batch("moved", {"x": x, "y": y})
            await self.sleep(0.001)


class Ball(matrix.Agent):
    """Called; sends the ball on to a neighbour."""

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


class HandlerBall(matrix.Agent):
    """The same with a coroutine per message."""

    to: str

    async def on_message(self, message: matrix.Message) -> None:
        left = message["left"]
        if left:
            self.send(self.to, "ball", left=left - 1)


class Idle(matrix.Agent):
    """Does nothing, called."""

    def on_message(self, message: matrix.Message) -> None: ...


class AsyncIdle(matrix.Agent):
    """Does nothing, with a coroutine."""

    async def run(self) -> None:
        await self.receive()


class Caller(matrix.Agent):
    """One call of 50 ms."""

    async def run(self) -> None:
        await self.call(trio.sleep, 0.05)


async def emit(simulation: matrix.Simulation, count: int) -> None:
    simulation.spawn(Emitter, count=count)


async def emit_batch(simulation: matrix.Simulation, count: int) -> None:
    simulation.spawn(Mover, count=count)


async def pairs(simulation: matrix.Simulation, count: int, cls: type[matrix.Agent]) -> None:
    """Ten pairs of agents that throw a ball to and fro."""
    for n in range(10):
        simulation.spawn(cls, f"a{n}", to=f"b{n}")
        simulation.spawn(cls, f"b{n}", to=f"a{n}")
        simulation.send(f"a{n}", "ball", left=count // 10)


async def messages(simulation: matrix.Simulation, count: int) -> None:
    await pairs(simulation, count, Ball)


async def async_turns(simulation: matrix.Simulation, count: int) -> None:
    await pairs(simulation, count, AsyncBall)


async def handler_turns(simulation: matrix.Simulation, count: int) -> None:
    await pairs(simulation, count, HandlerBall)


async def start(simulation: matrix.Simulation, count: int) -> None:
    for n in range(count):
        simulation.spawn(Idle, f"agent-{n}")
    simulation.note(rss=rss())


async def start_async(simulation: matrix.Simulation, count: int) -> None:
    for n in range(count):
        simulation.spawn(AsyncIdle, f"agent-{n}")
    await simulation.sleep(1)
    simulation.note(rss=rss())


async def calls(simulation: matrix.Simulation, count: int) -> None:
    for n in range(count):
        simulation.spawn(Caller, f"agent-{n}")


#: Question -> (program, how many, how many with --quick)
QUESTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "emit": (emit, 1_000_000, 20_000),
    "emit_batch": (emit_batch, 20_000_000, 200_000),
    "messages": (messages, 1_000_000, 10_000),
    "async_turns": (async_turns, 500_000, 10_000),
    "handler_turns": (handler_turns, 500_000, 10_000),
    "start": (start, 100_000, 2_000),
    "start_async": (start_async, 100_000, 2_000),
    "calls": (calls, 10_000, 200),
}


def rss() -> int:
    """Bytes of memory this process has now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def loop(turns: int = 300_000) -> float:
    """Microseconds a turn of a bare loop takes now."""
    queue: deque[tuple[list[Any], int]] = deque()

    def handle(me: list[Any], left: int) -> None:
        if left:
            queue.append((me[0], left - 1))

    one: list[Any] = []
    two = [one]
    one.append(two)
    queue.append((one, turns))
    began = time.process_time()
    while queue:
        handle(*queue.popleft())
    return (time.process_time() - began) / turns * 1e6


def measure(question: str, count: int, durability: str) -> dict[str, float]:
    """One run: rates, bytes per event, and bytes per agent where that is the question."""
    program = QUESTIONS[question][0]
    noted: list[int] = []
    with tempfile.TemporaryDirectory() as folder:  # everything is imported and opened once before
        matrix.run(program, store=folder, count=QUESTIONS[question][2], index=False)
    if question.startswith("start"):
        noted.append(rss())
    with tempfile.TemporaryDirectory(prefix="runtime_bench_") as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        outcome = matrix.run(program, store=folder, count=count, durability=durability, index=False)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.seg"))
        found = {"cpu_per_s": count / cpu, "wall_per_s": count / wall, "seconds": wall, "loop_us": loop()}
        found["bytes_per_event"] = size / outcome.events
        if noted:
            rows = matrix.open(folder).query("events where kind = 'note'").rows()
            found["bytes_per_agent"] = (rows[0]["data"]["rss"] - noted[0]) / count
    assert outcome.status == "finished", outcome.reason
    return found


def main() -> None:
    """Ask each question in processes of their own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only check that it runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="questions, with commas between")
    parser.add_argument("--durability", default="interval")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        count = QUESTIONS[options.one][2 if options.quick else 1]
        print(json.dumps(measure(options.one, count, options.durability)))
        return
    chosen = options.only.split(",") if options.only else list(QUESTIONS)
    found = {question: _rounds(question, 1 if options.quick else options.rounds, options) for question in chosen}
    machine = f"python {platform.python_version()}, trio {trio.__version__}, {platform.machine()}"
    print(f"{machine}, log at level {options.durability}")
    for question, figures in found.items():
        count = QUESTIONS[question][2 if options.quick else 1]
        print(line_of(question, count, figures))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


def line_of(question: str, count: int, figures: dict[str, float]) -> str:
    """One row of the table."""
    parts = [
        f"{question:14} {count:>11,} {figures['cpu_per_s']:>12,.0f} a CPU second",
        f"{figures['wall_per_s']:>12,.0f} a second",
        f"{figures['bytes_per_event']:5.1f} B an event",
        f"loop {figures['loop_us']:.2f} us",
    ]
    if "bytes_per_agent" in figures:
        parts.append(f"{figures['bytes_per_agent']:,.0f} B an agent")
    return "  ".join(parts)


def _rounds(question: str, rounds: int, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", question, "--durability", options.durability]
    command += ["--quick"] if options.quick else []
    results = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(rounds)]
    return {name: statistics.median(result[name] for result in results) for name in results[0]}


if __name__ == "__main__":
    main()
