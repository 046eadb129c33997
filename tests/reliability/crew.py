"""Worker processes, each under its own conditions: what gives them orders, and waits for what comes of those."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parent.parent.parent
CHUNK = 25

Answers = dict[int, list[Any]]


class Worker:
    """A process of ``worker.py``, under a hash seed and perhaps another Python.

    with Worker(hash_seed="1") as worker:
        worker.ask(range(100), coin=1.0)
    """

    def __init__(self, *, hash_seed: str, python: str = sys.executable, before: tuple[str, ...] = ()) -> None:
        self.python, self.hash_seed = python, hash_seed
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the worker; a pipe would fill
        self._process = subprocess.Popen(
            [*before, python, "-m", "tests.reliability.worker"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ask(self, seeds: range, **order: Any) -> Answers:
        """What comes of the programs of some seeds, some at a time."""
        answers: Answers = {}
        for first in range(seeds.start, seeds.stop, CHUNK):
            last = min(first + CHUNK, seeds.stop) - 1
            answers |= {int(seed): told for seed, told in self._ask({"first": first, "last": last, **order}).items()}
        return answers

    def _ask(self, order: dict[str, Any]) -> dict[str, list[Any]]:
        assert self._process.stdin is not None and self._process.stdout is not None, "both are pipes"
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.communicate()
            self._errors.seek(0)
            said = self._errors.read()
            raise AssertionError(f"the worker {self.python} ended at {order}:\n{said[-6000:]}")
        return dict(json.loads(line))

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self._process.kill()
        self._process.communicate()
        self._errors.close()


def side_by_side(*jobs: Any) -> list[Any]:
    """Run functions that wait for workers at once; their results in that order."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


def differing(one: Answers, other: Answers) -> list[int]:
    """The seeds whose programs had two histories."""
    assert one.keys() == other.keys(), "they were asked for the same programs"
    return [seed for seed in one if one[seed] != other[seed]]


def where_they_part(workers: Iterable[Worker], seed: int, orders: Iterable[dict[str, Any]]) -> str:
    """For a failing test: the first event of a program that differs under two conditions, and those before it."""
    around = range(max(0, seed - 3), seed + 3)  # in company, as it was when it differed
    histories = [
        worker.ask(around, **{**order, "is_kept": True})[seed][-1]
        for worker, order in zip(workers, orders, strict=True)
    ]
    one, other = histories
    for at, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return "\n".join([f"program {seed}:", *one[max(0, at - 8) : at], f"one:   {mine}", f"other: {theirs}"])
    return f"program {seed}: equal this time ({len(one)} and {len(other)} events): make test is loaded otherwise"
