"""Ctrl-C on `matrix run`: the first ends everything in order, the second at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.log.reader import LogReader
from matrix.log.verify import verify_log

PROGRAM = """
import matrix, trio

class Worker(matrix.Agent):
    async def run(self):
        try:
            while True:
                await self.call(trio.sleep, 0.01)
                self.emit("worked")
        finally:
            self.emit("left")
            {cleanup}

class Counter(matrix.Agent):
    def on_start(self):
        self.set_timer(1)

    def on_timer(self, timer):
        self.set_timer(1)

async def works(simulation):
    for n in range(3):
        simulation.spawn(Worker, f"w{{n}}")
    simulation.spawn(Counter, "counter")
    await simulation.sleep(0)
    simulation.note("begun")
    print("begun", flush=True)
"""
ENDLESS = "print('cleaning', flush=True)\n            while True: pass"
AWAITED = """print('cleaning', flush=True)
            with trio.CancelScope(shield=True):
                await self.call(trio.sleep, 3600)"""


class Run:
    """One `matrix run` as a process, interrupted by hand."""

    def __init__(self, folder: Path, cleanup: str, *options: str) -> None:
        (folder / "works.py").write_text(PROGRAM.format(cleanup=cleanup))
        command = [sys.executable, "-m", "matrix.cli.main", "run", "works.py", "--store", "runs", *options]
        self.folder = folder
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_for(self, said: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == said:
                return
        raise AssertionError(f"it never said {said!r}: {self.process.stderr.read()}")  # type: ignore[union-attr]

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> str:
        """Wait for its end; the words it left on stderr."""
        _, words = self.process.communicate(timeout=30)
        assert self.process.returncode == 130, words
        return words

    def kinds(self, ordinal: int = 1) -> list[tuple[str, int]]:
        return [(e.kind, e.agent) for e in LogReader(self.folder / "runs" / "log").simulation_events(1, ordinal)]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Run]]:
    runs: list[Run] = []
    yield runs
    for run in runs:
        run.process.kill()
        run.process.communicate()


def test_the_first_ctrl_c_cancels_in_order_closes_the_log_and_exits_130(tmp_path: Path, started: list[Run]) -> None:
    run = Run(tmp_path, "pass", "--simulations", "2", "--at-once", "2")
    started.append(run)
    run.wait_for("begun")
    run.wait_for("begun")
    run.interrupt()
    assert run.end() == "stopped\n"
    assert [report.findings for report in verify_log(tmp_path / "runs" / "log")] == [[]]
    for ordinal in (1, 2):
        kinds = run.kinds(ordinal)
        assert [agent for kind, agent in kinds if kind == "left"] == [1, 2, 3]
        assert [agent for kind, agent in kinds if kind == "agent.cancelled"] == [1, 2, 3]
        assert kinds[-1] == ("simulation.stopped", 0)
    assert (tmp_path / "runs" / "index.sqlite").exists()


@pytest.mark.parametrize("cleanup", [ENDLESS, AWAITED])
def test_a_second_ctrl_c_ends_it_at_once_whatever_cleanup_does(
    tmp_path: Path, started: list[Run], cleanup: str
) -> None:
    run = Run(tmp_path, cleanup)
    started.append(run)
    run.wait_for("begun")
    run.interrupt()
    run.wait_for("cleaning")
    time.sleep(0.05)  # another process is at work: there is nothing of ours to wait for
    run.interrupt()
    assert run.end() == "stopped\n"
    kinds = run.kinds()
    assert ("note", 0) in kinds  # what was committed is there
    assert ("simulation.stopped", 0) not in kinds  # it did not wait for the grace to be over
    assert [f for report in verify_log(tmp_path / "runs" / "log") for f in report.findings if f.trouble != "torn"] == []
