"""What calls to the outside cost in a society, beside the same waits in a plain Trio nursery.

Each question runs in a process of its own; there Trio alone and Matrix take turns, ``--rounds`` times. Matrix does
more: it starts an agent for each caller, and writes four events for each of them to the log. Shown are medians of wall
and processor time, the ratio of each round's pair (median, lowest to highest), and when answers came.

    at_once     10,000 agents make one call of 50 ms each       | as many tasks in a nursery
    ordered     the same, delivery="ordered"                    | the same
    in_turn     1,000 agents make ten calls of 50 ms each       | as many tasks that sleep ten times
    straggler   10,000 calls of 50 ms and, first, one of 2 s    | the same tasks
    threads     500 agents call a blocking function of 10 ms    | as many trio.to_thread.run_sync, as many threads

    python bench/calls.py [--quick] [--rounds 5] [--only at_once,in_turn] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

import matrix
from matrix.limits import THREADS_MAX
from matrix.testing.played import history

WAIT = 0.05
LONG = 2.0
BLOCKING = 0.01


class Caller(matrix.Agent):
    """Makes some calls, one after the other."""

    seconds: float
    times: int

    async def run(self) -> None:
        for _ in range(self.times):
            await self.call(trio.sleep, self.seconds)


class Blocker(matrix.Agent):
    """Calls a function that blocks."""

    async def run(self) -> None:
        await self.call(time.sleep, BLOCKING)


async def callers(simulation: matrix.Simulation, agents: int, times: int = 1, straggler: bool = False) -> None:
    if straggler:
        simulation.spawn(Caller, "straggler", seconds=LONG, times=1)
    for n in range(agents):
        simulation.spawn(Caller, f"agent-{n}", seconds=WAIT, times=times)


async def blockers(simulation: matrix.Simulation, agents: int) -> None:
    for n in range(agents):
        simulation.spawn(Blocker, f"agent-{n}")


async def plain(agents: int, times: int = 1, straggler: bool = False) -> None:
    async def caller(seconds: float) -> None:
        for _ in range(times):
            await trio.sleep(seconds)

    async with trio.open_nursery() as nursery:
        if straggler:
            nursery.start_soon(caller, LONG)
        for _ in range(agents):
            nursery.start_soon(caller, WAIT)


async def plain_threads(agents: int) -> None:
    threads = trio.CapacityLimiter(THREADS_MAX)
    async with trio.open_nursery() as nursery:
        for _ in range(agents):
            nursery.start_soon(lambda: trio.to_thread.run_sync(time.sleep, BLOCKING, limiter=threads))


Question = tuple[Callable[..., Awaitable[None]], Callable[..., Any], dict[str, Any], dict[str, Any], int, int]

#: Question -> (plain, program, what both are given, options of the run, agents, agents with --quick)
QUESTIONS: dict[str, Question] = {
    "at_once": (plain, callers, {}, {}, 10_000, 100),
    "ordered": (plain, callers, {}, {"delivery": "ordered"}, 10_000, 100),
    "in_turn": (plain, callers, {"times": 10}, {}, 1_000, 20),
    "straggler": (plain, callers, {"straggler": True}, {}, 10_000, 100),
    "threads": (plain_threads, blockers, {}, {}, 500, 40),
}


def timed(run: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall and processor seconds of a run, and what it returned."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    return time.perf_counter() - wall, time.process_time() - cpu, found


def measure(question: str, rounds: int, agents: int) -> dict[str, Any]:
    """Trio alone and Matrix, taking turns."""
    alone, program, given, options, *_ = QUESTIONS[question]
    found: dict[str, list[Any]] = {"plain": [], "matrix": [], "came": []}
    for number in range(rounds + 1):
        one = timed(lambda: trio.run(lambda: alone(agents, **given)))
        with tempfile.TemporaryDirectory(prefix="calls_bench_") as folder:
            other = timed(lambda: matrix.run(program, store=folder, index=False, agents=agents, **given, **options))
            assert other[2].status == "finished", other[2].reason
            if number:  # the first round warms up
                found["plain"].append(one[:2])
                found["matrix"].append(other[:2])
                found["came"].append(when_answers_came(other[2]))
    return found


def when_answers_came(outcome: matrix.Outcome) -> list[float]:
    """Seconds from the first request to half of the answers, to 99 in 100 of them, and to the last."""
    events = history(outcome)
    first = min(event.wall for event in events if event.kind == "call.called")
    came = sorted(event.wall - first for event in events if event.kind == "call.completed")
    return [came[len(came) // 2] / 1e6, came[len(came) * 99 // 100] / 1e6, came[-1] / 1e6]


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Medians, and the ratios of pairs."""
    told: dict[str, Any] = {}
    for column, name in enumerate(("wall", "cpu")):
        pairs = list(zip([p[column] for p in found["plain"]], [m[column] for m in found["matrix"]], strict=True))
        ratios = sorted(m / p for p, m in pairs)
        told[name] = {
            "plain_s": statistics.median(p for p, _ in pairs),
            "matrix_s": statistics.median(m for _, m in pairs),
            "ratio": statistics.median(ratios),
            "ratio_lowest": ratios[0],
            "ratio_highest": ratios[-1],
        }
    half, most, last = (statistics.median(column) for column in zip(*found["came"], strict=True))
    return {**told, "half_s": half, "p99_s": most, "last_s": last}


def line_of(question: str, agents: int, told: dict[str, Any]) -> str:
    """One row of the table."""
    parts = [f"{question:10} {agents:>6,} agents"]
    for name in ("wall", "cpu"):
        one = told[name]
        parts.append(
            f"{name} {one['plain_s']:.2f} -> {one['matrix_s']:.2f} s: "
            f"{one['ratio']:.2f} ({one['ratio_lowest']:.2f}-{one['ratio_highest']:.2f})"
        )
    parts.append(f"answers: half {told['half_s']:.2f}, p99 {told['p99_s']:.2f}, last {told['last_s']:.2f} s")
    return "   ".join(parts)


def main() -> None:
    """Ask each question in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only check that it runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="questions, with commas between")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    rounds, size = (1, 5) if options.quick else (options.rounds, 4)
    if options.one:
        print(json.dumps(measure(options.one, rounds, QUESTIONS[options.one][size])))
        return
    print(f"python {platform.python_version()}, trio {trio.__version__}, {platform.machine()}; Trio -> Matrix")
    found = {}
    for question in options.only.split(",") if options.only else list(QUESTIONS):
        command = [sys.executable, __file__, "--one", question, "--rounds", str(rounds)]
        command += ["--quick"] if options.quick else []
        result = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[question] = summary(json.loads(result))
        print(line_of(question, QUESTIONS[question][size], found[question]), flush=True)
    if options.json:
        machine = {"python": platform.python_version(), "trio": trio.__version__, "machine": platform.machine()}
        options.json.write_text(json.dumps({**machine, "questions": found}, indent=2))


if __name__ == "__main__":
    main()
