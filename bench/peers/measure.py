"""What every subject of ``society.py`` does around its own code: clocks, memory, and one line of JSON.

A subject is a file of this folder: it answers questions, each a function from a count to what was found. Only the
work itself stands inside ``Meter``: imports, set-up and shutdown do not. What always holds: one question a process,
and a bare loop timed in the same process, so that figures can be compared across moments of a noisy machine.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

Found = dict[str, Any]
Question = Callable[[int], Found]


class Meter:
    """Processor seconds of this process and its ended children, and wall seconds, spent inside ``with``."""

    def __enter__(self) -> Meter:
        gc.collect()
        self._start = _processor(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu, self.wall = _processor() - self._start[0], time.perf_counter() - self._start[1]

    def found(self, count: int, **more: Any) -> Found:
        """What a question answers: how many, how long, and what else was looked at."""
        return {"count": count, "cpu": self.cpu, "wall": self.wall, **more}


def _processor() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def rss(process: int | str = "self") -> int:
    """Bytes of memory a process has now."""
    if process == "self":
        gc.collect()
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """Bytes of memory this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Memory:
    """Bytes that ``count`` agents made inside ``with`` keep: by the system's count, or by tracemalloc's."""

    def __init__(self, *, traced: bool) -> None:
        self._traced = traced

    def __enter__(self) -> Memory:
        self._before = rss()
        if self._traced:
            tracemalloc.start()
        return self

    def look(self, count: int) -> Found:
        """Bytes an agent, now."""
        if self._traced:
            gc.collect()
            return {"traced_per_agent": tracemalloc.get_traced_memory()[0] / count}
        return {"bytes_per_agent": (rss() - self._before) / count}

    def __exit__(self, *_: object) -> None:
        if self._traced:
            tracemalloc.stop()


def loop(turns: int = 300_000) -> float:
    """Microseconds that a turn of a bare loop takes now: two objects that call each other through a deque."""
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


def answer(questions: dict[str, Question], *packages: str) -> None:
    """The main program of a subject: ``python with_simpy.py turns 100000`` prints what was found."""
    question, count = sys.argv[1], int(sys.argv[2])
    before = loop()
    found = questions[question](count)
    found["loop"] = (before + loop()) / 2
    found["versions"] = {name: version(name) for name in packages} or {"python": sys.version.split()[0]}
    print(json.dumps(found))
