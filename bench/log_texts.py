"""What do long texts that recur cost in the log: bytes on disk, time to write and to read, before and after compaction?

A thousand simulations of ten events each begin with a model call under a system prompt of 10 kB with 20 kB of tool
schemas: once the same in all of them, once with a number in every sentence, so that no two are alike. Each simulation
is one append. Figures are of one process, processor time beside wall time because machines are shared.

    python bench/log_texts.py [--quick] [--simulations 1000] [--rounds 3] [--json FILE]
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

from matrix.event import Event
from matrix.log.compact import compact_log
from matrix.log.reader import LogReader
from matrix.log.rows import Rows, rows_from_events
from matrix.log.writer import Writer

ANSWERS = 8


def prompt(mark: str) -> str:
    """A policy of about 10 kB."""
    return " ".join(f"Rule {n}{mark}: never refund more than {n * 7 % 91} coins without asking." for n in range(170))


def schemas(mark: str) -> list[dict[str, Any]]:
    """Twenty tools, about 20 kB together."""
    return [
        {
            "type": "function",
            "function": {
                "name": f"tool_{n}",
                "description": f"What tool {n}{mark} does, and when to use it. " * 4,
                "parameters": {
                    "type": "object",
                    "properties": {
                        f"field_{i}": {"type": "string", "description": f"Field {i}{mark} of tool {n}, as text. " * 3}
                        for i in range(6)
                    },
                    "required": ["field_0"],
                },
            },
        }
        for n in range(20)
    ]


def simulation(number: int, mark: str) -> Rows:
    """Two calls, the second with what its agent was told as a text of its own, and short answers."""
    system = {"role": "system", "content": prompt(mark)}
    asked = {"messages": [system, {"role": "user", "content": f"Order {number} never came."}], "tools": schemas(mark)}
    payloads = [("model.called", asked), ("note", {"subject": "briefing", "system": prompt(mark)})]
    payloads += [("message.sent", {"text": f"Answer {n} about order {number}."}) for n in range(ANSWERS)]
    wall = 1_769_860_800_000_000
    return rows_from_events(
        Event(number, seq, seq, wall + seq, 1, seq, 0, 0, max(0, seq - 1), kind, (), data)
        for seq, (kind, data) in enumerate(payloads, 1)
    )


def timed(do: Callable[[], Any]) -> dict[str, float]:
    """Seconds by the clock and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    do()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - processor}


def read_all(log: Path) -> None:
    """Every event with its payload."""
    for block in LogReader(log).blocks(1):
        for _ in block.events():
            pass


def scan(log: Path) -> None:
    """A short text of every answer: no long column is needed."""
    for block in LogReader(log).blocks(1):
        block.field("message.sent", "text")


def size(log: Path) -> int:
    """Bytes of all segments."""
    return sum(path.stat().st_size for path in log.rglob("*.seg"))


def life(rows: list[Rows]) -> dict[str, Any]:
    """A log of these rows is written, read, sealed, compacted and read again."""
    folder = Path(tempfile.mkdtemp(prefix="log_bench_"))
    log = folder / "log"
    try:
        with Writer.open(log) as writer:
            found: dict[str, Any] = {"write": timed(lambda: [writer.append(part) for part in rows])}
        found |= {"bytes": size(log), "read": timed(lambda: read_all(log)), "scan": timed(lambda: scan(log))}
        with Writer.open(log, segment_bytes_max=1) as writer:
            writer.append(rows[0])  # seals what was written
        found["compact"] = timed(lambda: compact_log(log))
        first = log / "0001" / "00000001.seg"
        found["compacted bytes"] = size(log) - sum(path.stat().st_size for path in log.rglob("*.seg") if path != first)
        return found | {"compacted read": timed(lambda: read_all(log)), "compacted scan": timed(lambda: scan(log))}
    finally:
        shutil.rmtree(folder)


def measure(simulations: int, rounds: int) -> dict[str, Any]:
    """Both cases, alternating; medians."""
    cases = {
        "alike": [simulation(number, "") for number in range(1, simulations + 1)],
        "different": [simulation(number, f" of {number}") for number in range(1, simulations + 1)],
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, rows in cases.items():
            found[name].append(life(rows))
    return {name: _medians(runs) for name, runs in found.items()}


def _medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    first = runs[0]
    return {
        name: {unit: round(statistics.median(run[name][unit] for run in runs), 4) for unit in ("wall", "cpu")}
        if isinstance(first[name], dict)
        else first[name]
        for name in first
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few simulations: does it run at all?")
    parser.add_argument("--simulations", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.simulations, given.rounds = 50, 1
    found = measure(given.simulations, given.rounds)
    for name, figures in found.items():
        print(f"{given.simulations:,} simulations with prompts and schemas that are {name}")
        for what, value in figures.items():
            shown = f"{value:>14,} bytes" if isinstance(value, int) else _seconds(value)
            print(f"    {what.removesuffix(' bytes').replace('bytes', 'written'):16}{shown}")
    if given.json:
        about = {"simulations": given.simulations, "python": platform.python_version(), "machine": platform.machine()}
        given.json.write_text(json.dumps({**found, "about": about}, indent=2))


def _seconds(value: dict[str, float]) -> str:
    return f"{value['wall'] * 1000:>14,.0f} ms (processor {value['cpu'] * 1000:,.0f})"


if __name__ == "__main__":
    main()
