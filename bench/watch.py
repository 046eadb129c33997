"""How long after an event is written a watch in another process tells it.

One process writes offers at a steady rate, a block every 5 ms, each with the time at which it was written; this one
watches them and takes the time at which rows are at hand. The first fifth, in which the watch opens, is left out.

    python bench/watch.py [--quick] [--seconds 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from matrix.event import Event
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from matrix.store import Store

RATES = (1_000, 10_000)  # events a second
BLOCKS_A_SECOND = 200


def write(store: Path, rate: int, count: int) -> None:
    """Write so many offers at that rate, and no faster."""
    per_block = rate // BLOCKS_A_SECOND
    with Writer.open(store / "log") as writer:
        begun = time.perf_counter()
        writer.append(rows_from_events([_event(1, "simulation.started", {"id": "r1", "name": "bench"})]))
        for first in range(0, count, per_block):
            writer.append(rows_from_events([_event(first + n + 2, "offer", {"n": n}) for n in range(per_block)]))
            time.sleep(max(begun + (first + per_block) / rate - time.perf_counter(), 0))


def _event(seq: int, kind: str, data: dict[str, Any]) -> Event:
    """An event of the simulation itself, at this moment."""
    wall = time.time_ns() // 1000
    return Event(1, seq, time=seq, wall=wall, agent=0, turn=0, goal=0, state=0, cause=0, kind=kind, data=data)


def latencies_ms(rate: int, seconds: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """By row, the milliseconds from when it was written to when it was told."""
    count = int(rate * seconds) // BLOCKS_A_SECOND * BLOCKS_A_SECOND
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log").mkdir()
        writing = multiprocessing.get_context("spawn").Process(target=write, args=(Path(folder), rate, count))
        writing.start()
        watched = Store(Path(folder)).watch(f"events offer | select wall | limit {count}", after="start")
        found: list[int] = []
        for rows in watched.looks():
            now = time.time_ns() // 1000
            found += [now - row["wall"] for row in rows]
            if writing.exitcode:
                raise SystemExit("the writer failed")
        writing.join()
    return np.array(found[count // 5 :]) / 1000


def main() -> None:
    """Measure each rate, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two seconds of each rate")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    seconds = 2 if options.quick else options.seconds
    figures = {}
    print(f"Python {platform.python_version()}, {platform.machine()}; from written to told, {seconds:g} s each")
    latencies_ms(RATES[0], 1)  # not told: what is imported the first time
    for rate in RATES:
        half, most = np.percentile(latencies_ms(rate, seconds), [50, 99]).tolist()
        figures[rate] = {"p50_ms": half, "p99_ms": most}
        print(f"{rate:>7,} events/s: p50 {half:6.1f} ms, p99 {most:6.1f} ms")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
