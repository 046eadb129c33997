"""How long questions take: about entities, whatever the number of events, and over all events of a kind.

Writes the society of ``matrix.testing.society`` (14 kinds of events; one event in seven is a ``model.completed``),
follows it, and asks. *First* is a store opened anew for the question, *again* the same store asked once more.
Medians of ``--rounds``, in processor seconds of this process (wall beside them), because machines are shared;
a scan counts every event of the log that it has to look at.

    python bench/query.py [--quick] [--events 20000000] [--compact] [--json FILE]
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
import pyarrow as pa

from matrix.log.compact import compact_log
from matrix.log.writer import Writer
from matrix.query.check import check
from matrix.store import Store
from matrix.testing.society import society

ENTITIES = (
    "agents where goal succeeded",
    "agents where goal succeeded | count by role",
    "simulations where no agent (role = buyer and not goal succeeded)",
    "goals where failed within 5m | count by reason",
)
SCANS = (
    "events model.completed | sum(.tokens)",
    "events model.completed where .tokens > 1000 | sum(.tokens)",
    "events tool.failed | count by .tool, role per 1m",
    "events model.completed | sum(.tokens), p95(.ms) by role, .model",
    "agents | select id, sum(.tokens of model.completed) as tokens | sort tokens desc | limit 10",
)


def write(store: Path, events: int, agents: int, simulations: int) -> None:
    """The society as a log, and its index."""
    with Writer.open(store / "log") as writer:
        for rows in society(agents, events, simulations=simulations):
            writer.append(rows)
    with Store(store) as opened:
        opened.refresh()


def timed(store: Store, text: str) -> tuple[float, float, int]:
    """Processor seconds, wall seconds and rows of one answer."""
    processor, wall = time.process_time(), time.perf_counter()
    count = len(store.query(text))
    return time.process_time() - processor, time.perf_counter() - wall, count


def ask(folder: Path, text: str, rounds: int) -> dict[str, float]:
    """A question asked first, and again; the parser is loaded and the index up to date before."""
    check(text)
    first, again = [], []
    for _ in range(rounds):
        with Store(folder) as store:
            store.refresh()
            first.append(timed(store, text))
            again.append(timed(store, text))
    return {
        "rows": first[0][2],
        "first_ms": round(statistics.median(cpu for cpu, _, _ in first) * 1000, 2),
        "first_wall_ms": round(statistics.median(wall for _, wall, _ in first) * 1000, 2),
        "again_ms": round(statistics.median(cpu for cpu, _, _ in again) * 1000, 2),
        "again_wall_ms": round(statistics.median(wall for _, wall, _ in again) * 1000, 2),
    }


def measure(events: int, agents: int, simulations: int, rounds: int, *, is_compacted: bool) -> dict[str, Any]:
    """All questions on one log."""
    folder = Path(tempfile.mkdtemp(prefix="query_bench_"))
    try:
        write(folder, events, agents, simulations)
        if is_compacted:
            compact_log(folder / "log")
            with Store(folder) as store:
                store.refresh()
        answers = {text: ask(folder, text, rounds) for text in (*ENTITIES, *SCANS)}
        size = sum(file.stat().st_size for file in (folder / "log").rglob("*.seg"))
    finally:
        shutil.rmtree(folder)
    for text in SCANS:
        answers[text]["events_per_processor_second"] = round(events / answers[text]["again_ms"] * 1000)
    return {
        "answers": answers,
        "society": {"events": events, "agents": agents, "simulations": simulations, "compacted": is_compacted},
        "log_bytes_per_event": round(size / events, 1),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
        "machine": platform.machine(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small log: does it run at all?")
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--agents", type=int, default=20_000)
    parser.add_argument("--simulations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compact", action="store_true", help="compact the log before asking")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.events, given.agents, given.simulations, given.rounds = 50_000, 200, 2, 1
    found = measure(given.events, given.agents, given.simulations, given.rounds, is_compacted=given.compact)
    for text, answer in found["answers"].items():
        speed = answer.get("events_per_processor_second")
        rate = f"  {speed / 1e6:6.1f} M events/s" if speed else ""
        print(f"first {answer['first_ms']:9.1f} ms  again {answer['again_ms']:9.1f} ms{rate}  {text}")
    print(f"{found['society']}, {found['log_bytes_per_event']} bytes an event")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
