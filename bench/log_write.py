"""How fast are events written to the log, as dicts and as columns, handed to the system and synced?

Turns of four events, three payload fields (two integers, one text of ten). Each figure is the median over
alternating rounds, in events per second of wall time, with processor time beside it because machines are shared.

    python bench/log_write.py [--quick] [--events 1000000] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from matrix.limits import BLOCK_EVENTS_MAX
from matrix.log.reader import LogReader
from matrix.log.rows import KindRows, Rows, Runs
from matrix.log.writer import Writer

ITEMS = [f"item {number}" for number in range(10)]
TURN_EVENTS = 4


def society(count: int, first: int, payload: dict[str, Any], kinds: int = 1) -> Rows:
    """``count`` events of simulation 1 from ``seq`` ``first``, four to a turn, of a hundred agents."""
    starts = np.arange(0, count, TURN_EVENTS)
    turn = starts // TURN_EVENTS + first // TURN_EVENTS
    wall = Runs(starts, 1_769_860_800_000_000 + turn * 7)
    seq, cause = np.arange(first, first + count), Runs(starts, np.maximum(first + starts - 400, 0))
    agent, own_turn = Runs(starts, 1 + turn % 100), Runs(starts, 1 + turn // 100)
    goal = Runs(starts, 101 + turn % 100)
    data = {0: KindRows(range(count), **payload)}
    return Rows(count, 1, seq, Runs(starts, turn * 10), wall, agent, own_turn, goal, 1, cause, ["offer"], 0, data=data)


def fields(count: int, draw: np.random.Generator) -> dict[str, Any]:
    """Three payload columns."""
    items = np.array(ITEMS)[draw.integers(0, 10, count)]
    return {"lot": draw.integers(0, 1000, count), "price": draw.integers(20, 100, count), "item": items.tolist()}


def as_dicts(count: int, first: int, draw: np.random.Generator) -> Rows:
    """Events as an agent emits them: a dict each."""
    columns = fields(count, draw)
    lots, prices = columns["lot"].tolist(), columns["price"].tolist()
    payloads = [
        {"lot": lot, "price": price, "item": item}
        for lot, price, item in zip(lots, prices, columns["item"], strict=True)
    ]
    return society(count, first, {"payloads": payloads})


def as_columns(count: int, first: int, draw: np.random.Generator) -> Rows:
    """Events as a vectorised simulation emits them: arrays."""
    columns = fields(count, draw)
    codes = draw.integers(0, 10, count)
    return society(count, first, {"columns": {"lot": columns["lot"], "price": columns["price"], "item": codes}})


def write(rows: list[Rows], *, is_synced: bool) -> dict[str, float]:
    """Appends the rows to a new log; ``is_synced`` waits for the disk after every 64 Ki events and at the end."""
    folder = Path(tempfile.mkdtemp(prefix="log_bench_"))
    try:
        with Writer.open(folder / "log") as writer:
            wall, processor, since = time.perf_counter(), time.process_time(), 0
            for part in rows:
                writer.append(part)
                since += part.count
                if is_synced and since >= 65_536:
                    writer.sync()
                    since = 0
            if is_synced:
                writer.sync()
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            size = sum(info.size_bytes for info in LogReader(folder / "log").segments(writer.shard))
            return {"wall": writer.last_position / wall, "cpu": writer.last_position / processor, "bytes": size}
    finally:
        shutil.rmtree(folder)


def measure(events: int, rounds: int) -> dict[str, Any]:
    """All questions, alternating."""
    draw = np.random.default_rng(1)

    def parts(make: Callable[[int, int, np.random.Generator], Rows]) -> list[Rows]:
        return [make(BLOCK_EVENTS_MAX, first, draw) for first in range(1, events, BLOCK_EVENTS_MAX)]

    dicts, columns = parts(as_dicts), parts(as_columns)
    cases = {
        "dicts, written": (dicts, False),
        "dicts, synced": (dicts, True),
        "columns, written": (columns, False),
        "columns, synced": (columns, True),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (rows, is_synced) in cases.items():
            found[name].append(write(rows, is_synced=is_synced))
    count = sum(part.count for part in dicts)
    return {
        name: {
            "events_per_second": round(statistics.median(run["wall"] for run in runs)),
            "events_per_processor_second": round(statistics.median(run["cpu"] for run in runs)),
            "bytes_per_event": round(runs[0]["bytes"] / count, 2),
        }
        for name, runs in found.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small log: does it run at all?")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.events, given.rounds = 40_000, 1
    found = measure(given.events, given.rounds)
    for name, figures in found.items():
        speed, cpu = figures["events_per_second"], figures["events_per_processor_second"]
        print(f"{name:18} {speed:>12,} events/s (processor {cpu:,})  {figures['bytes_per_event']} bytes an event")
    if given.json:
        about = {"events": given.events, "python": platform.python_version(), "machine": platform.machine()}
        given.json.write_text(json.dumps({**found, "about": about}, indent=2))


if __name__ == "__main__":
    main()
