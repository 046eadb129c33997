"""Hung turns are reported with the line they are at, by a thread that only looks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import matrix
from matrix.errors import ProgramError
from matrix.runtime.guards.guard import in_turn

LIMIT = 0.05


class Hangs(matrix.Agent):
    """Its second turn takes as long as it is told."""

    hang: str

    async def run(self) -> None:
        await self.sleep(3)
        self.busy()

    def busy(self) -> None:
        HANGS[self.hang]()


class HangsWhenCalled(matrix.Agent):
    """Likewise, without a coroutine."""

    hang: str

    def on_message(self, message: matrix.Message) -> None:
        HANGS[self.hang]()


async def program(simulation: matrix.Simulation, hang: str) -> None:
    simulation.spawn(Hangs, "miller", hang=hang)


def spins() -> None:
    """Python code that holds the interpreter, until it was reported or ten seconds are over."""
    end = time.monotonic() + 10
    while not REPORTS and time.monotonic() < end:
        pass


def sleeps() -> None:
    """A wait outside Python, which lets the interpreter go."""
    REPORTED.wait(10)


def spins_on() -> None:
    """Until it was reported twice."""
    end = time.monotonic() + 10
    while len(REPORTS) < 2 and time.monotonic() < end:
        pass


def is_quick() -> None:
    """Nothing hangs."""


HANGS: dict[str, Callable[[], None]] = {f.__name__: f for f in (spins, sleeps, spins_on, is_quick)}
REPORTS: list[str] = []
REPORTED = threading.Event()


class Collects(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        assert record.levelno == logging.WARNING
        REPORTS.append(record.getMessage())
        REPORTED.set()


@pytest.fixture(autouse=True)
def _collected() -> Any:
    REPORTS.clear()
    REPORTED.clear()
    logger, handler = logging.getLogger("matrix"), Collects()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


def run(store: Path, hang: str, *, hung_after: float | None = LIMIT, program: Any = program) -> matrix.Outcome:
    async def main() -> matrix.Outcome:
        async with matrix.open_runtime(store, index=False, hung_after=hung_after) as runtime:
            return await runtime.run(program, guard="off", hang=hang)

    return trio.run(main)


def watchdogs() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "matrix watchdog"]


@pytest.mark.parametrize("hang", ["spins", "sleeps"])
def test_a_hung_turn_is_reported_once_with_the_agents_own_stack(hang: str, tmp_path: Path) -> None:
    assert run(tmp_path, hang).status == "finished"
    (report,) = REPORTS
    head, *stack, advice = report.splitlines()
    assert head.startswith("simulation 1-1: turn 2 of agent miller, at 3 s, has run for 0.")
    assert "it is not stopped" in head
    assert "self.call" in advice
    places = [line.split(", in ")[1] for line in stack if line.startswith("  File")]
    assert places[:3] == ["run", "busy", hang]  # innermost last, nothing of the runtime before it
    assert "    HANGS[self.hang]()" in stack


def test_a_turn_that_ends_is_not_reported(tmp_path: Path) -> None:
    assert run(tmp_path, "is_quick", hung_after=1.0).status == "finished"
    assert REPORTS == []


def test_it_is_reported_again_after_ten_times_as_long(tmp_path: Path) -> None:
    run(tmp_path, "spins_on", hung_after=0.01)
    first, second = (float(text.split(" has run for ")[1].split()[0]) for text in REPORTS)
    assert first < second
    assert second >= 0.1


def test_many_turns_that_take_long_together_are_not_one_that_hangs(tmp_path: Path) -> None:
    class Counts(matrix.Agent):
        left = 1_000_000

        def on_start(self) -> None:
            self.send(self)

        def on_message(self, message: matrix.Message) -> None:
            if time.monotonic() < self.end:
                self.send(self)

    async def counting(simulation: matrix.Simulation, hang: str) -> None:
        simulation.spawn(Counts, "one", end=time.monotonic() + 0.6)

    run(tmp_path, "", program=counting, hung_after=0.3)  # a machine that is busy may well stop one for 50 ms
    assert REPORTS == []


def test_an_agent_that_is_called_and_the_program_itself_are_watched(tmp_path: Path) -> None:
    async def calls(simulation: matrix.Simulation, hang: str) -> None:
        simulation.spawn(HangsWhenCalled, "mill", hang="spins")
        simulation.send("mill")
        await simulation.sleep(1)
        REPORTS.append("the program's")
        spins_on()
        while len(REPORTS) < 3:
            time.sleep(0.001)

    run(tmp_path, "", program=calls)
    assert "turn 1 of agent mill, at 0 s" in REPORTS[0]
    assert "turn 2 of the program, at 1 s" in REPORTS[2]


def test_waits_of_calls_are_not_turns(tmp_path: Path) -> None:
    class Asks(matrix.Agent):
        async def run(self) -> None:
            await self.call(time.sleep, 0.5)

    async def asking(simulation: matrix.Simulation, hang: str) -> None:
        simulation.spawn(Asks, "one")

    run(tmp_path, "", program=asking, hung_after=0.2)
    assert REPORTS == []


@pytest.mark.parametrize(("module", "reports"), [("pdb", 0), ("mill", 1)])
def test_people_in_a_debugger_may_take_their_time(module: str, reports: int, tmp_path: Path) -> None:
    there: dict[str, Any] = {"__name__": module, "until_reported": lambda: REPORTED.wait(6 * LIMIT)}
    exec("def asks():\n    until_reported()\n", there)
    HANGS["asks"] = there["asks"]
    run(tmp_path, "asks")
    assert len(REPORTS) == reports


def test_nobody_watches_when_nobody_wants_it(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def looks(simulation: matrix.Simulation, hang: str) -> None:
        seen.extend(watchdogs())

    run(tmp_path, "", program=looks, hung_after=None)
    assert seen == []
    run(tmp_path, "", program=looks)
    assert len(seen) == 1


def test_one_thread_watches_all_runtimes_and_ends_with_the_last(tmp_path: Path) -> None:
    counts: list[int] = []

    async def counted(simulation: matrix.Simulation) -> None:
        counts.append(len(watchdogs()))

    async def main() -> None:
        async with matrix.open_runtime(tmp_path, index=False, hung_after=1.0) as first:
            async with matrix.open_runtime(tmp_path, index=False, hung_after=2.0) as second:
                await first.run(counted)
                await second.run(counted)
            await first.run(counted)

    trio.run(main)
    assert counts == [1, 1, 1]
    for thread in watchdogs():
        thread.join(5)
    assert watchdogs() == []


def test_no_turn_is_left_behind_when_a_runtime_closes(tmp_path: Path) -> None:
    run(tmp_path, "is_quick")
    assert all(recorder is None for recorder in in_turn.values())


@pytest.mark.parametrize("hung_after", [0, -1, float("nan")])
def test_a_limit_that_is_none_is_refused(hung_after: float, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="hung_after is a number of seconds above 0"):
        run(tmp_path, "is_quick", hung_after=hung_after)
