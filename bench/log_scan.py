"""How fast is the log scanned: only one kind, the sum of one payload field, every checksum verified?

Half of the events are offers with three fields, half notes with a text. The sum is taken once over the log as it was
written and once compacted. Medians over alternating rounds, in events per second of one core, wall and processor.

    python bench/log_scan.py [--quick] [--events 4000000] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from matrix.limits import BLOCK_EVENTS_MAX
from matrix.log.compact import compact_log
from matrix.log.reader import LogReader
from matrix.log.rows import KindRows, Rows, Runs
from matrix.log.writer import Writer

TEXTS = [f"that is {number} more than I can pay for it today" for number in range(50)]
ITEMS = [f"item {number}" for number in range(10)]


def mixed(count: int, first: int, draw: np.random.Generator) -> Rows:
    """Offers and notes in turn, two of each a turn, by agents of sixteen simulations side by side."""
    starts = np.arange(0, count, 4)
    turn = starts // 4 + first // 4
    offers, notes = np.arange(0, count, 2), np.arange(1, count, 2)
    items = [ITEMS[code] for code in draw.integers(0, 10, len(offers)).tolist()]
    texts = [TEXTS[code] for code in draw.integers(0, 50, len(notes)).tolist()]
    prices, lots = draw.integers(20, 100, len(offers)), draw.integers(0, 1000, len(offers))
    data = {
        0: KindRows(offers, columns={"lot": lots, "price": prices, "item": items}),
        1: KindRows(notes, columns={"text": texts}),
    }
    simulation = Runs(starts, 1 + turn % 16)
    seq = np.repeat(turn // 16 * 4, 4) + np.tile(np.arange(1, 5), len(starts))
    wall, time_ = Runs(starts, 1_769_860_800_000_000 + turn * 7), Runs(starts, turn // 16 * 10)
    agent, own_turn, kind = Runs(starts, 1 + turn // 16 % 50), Runs(starts, turn // 800), np.arange(count) % 2
    kinds = ["offer", "note"]
    return Rows(count, simulation, seq, time_, wall, agent, own_turn, 0, 1, 0, kinds, kind, data=data)


def total(log: Path) -> tuple[int, float, float, int]:
    """Sum of all prices, wall and processor seconds, events scanned."""
    wall, processor = time.perf_counter(), time.process_time()
    prices = events = 0
    for block in LogReader(log).blocks(1):
        events += block.count
        field = block.field("offer", "price")
        if field is not None:
            prices += pc.sum(field.values).as_py()
    return prices, time.perf_counter() - wall, time.process_time() - processor, events


def measure(events: int, rounds: int) -> dict[str, Any]:
    """Scans of the log as written and compacted, and what compaction took and gave."""
    folder = Path(tempfile.mkdtemp(prefix="log_bench_"))
    live, compacted = folder / "live", folder / "compacted"
    try:
        for log in (live, compacted):
            draw = np.random.default_rng(1)
            with Writer.open(log, segment_bytes_max=16 * 1024 * 1024) as writer:
                for first in range(0, events, BLOCK_EVENTS_MAX):
                    writer.append(mixed(BLOCK_EVENTS_MAX, first, draw))
        began = time.process_time()
        report = compact_log(compacted)
        took = time.process_time() - began
        found: dict[str, list[tuple[int, float, float, int]]] = {"live": [], "compacted": []}
        for _ in range(rounds):
            found["live"].append(total(live))
            found["compacted"].append(total(compacted))
        assert len({run[0] for runs in found.values() for run in runs}) == 1, "all scans give one sum"
        return {
            **{name: speeds(runs) for name, runs in found.items()},
            "compaction": {
                "events_per_processor_second": round(report.events / took) if report.events else 0,
                "bytes_per_event_before": round(report.bytes_before / max(report.events, 1), 2),
                "bytes_per_event_after": round(report.bytes_after / max(report.events, 1), 2),
            },
        }
    finally:
        shutil.rmtree(folder)


def speeds(runs: list[tuple[int, float, float, int]]) -> dict[str, int]:
    """Medians in events a second."""
    return {
        "events_per_second": round(statistics.median(events / wall for _, wall, _, events in runs)),
        "events_per_processor_second": round(statistics.median(events / cpu for _, _, cpu, events in runs)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small log: does it run at all?")
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.events, given.rounds = 80_000, 1
    found = measure(given.events, given.rounds)
    for name in ("live", "compacted"):
        speed, cpu = found[name]["events_per_second"], found[name]["events_per_processor_second"]
        print(f"scan {name:10} {speed:>12,} events/s (processor {cpu:,})")
    print("compaction", found["compaction"])
    if given.json:
        about = {"events": given.events, "python": platform.python_version(), "machine": platform.machine()}
        given.json.write_text(json.dumps({**found, "about": about}, indent=2))


if __name__ == "__main__":
    main()
