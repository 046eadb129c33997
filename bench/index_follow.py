"""How fast the index follows its own writer's blocks, and how fast it is rebuilt from the whole log.

A society of ``--agents`` in ``--simulations`` that take turns in the log: every agent takes up a goal, sends four
messages and an offer, makes notes and ends its goal, so one goal for ten events. Figures are medians over
alternating rounds, in processor seconds of this process (wall seconds beside them), because machines are shared.

    python bench/index_follow.py [--quick] [--events 1000000] [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from matrix.index.index import Index
from matrix.log.reader import LogReader
from matrix.log.rows import KindRows, Rows
from matrix.log.writer import Writer

KINDS = ["goal.started", "message.sent", "note", "offer", "goal.succeeded"]
LIFE = np.array([0, 1, 1, 2, 3, 1, 2, 1, 2, 4])  # kind codes of a goal's ten events
TEXTS = [f"that is {n} more than I can pay for it today" for n in range(997)]
ITEMS = ["lamp", "chair", "table", "vase"]
APPEND_EVENTS = 8_000


def beginning(simulation: int, agents: int) -> Rows:
    """simulation.started and an agent.started each."""
    seq = np.arange(1, agents + 2)
    started = [{"id": f"buyer-{n}", "role": "buyer" if n % 2 else "seller"} for n in range(agents)]
    first = {"name": "bench", "seed": simulation, "parameters": {"agents": agents}}
    data = {0: KindRows(range(1), [first]), 1: KindRows(range(1, agents + 1), started)}
    kind = np.minimum(seq - 1, 1)
    kinds = ["simulation.started", "agent.started"]
    return Rows(
        agents + 1, simulation, seq, 0, 1_769_860_800_000_000, seq - 1, 0, 0, 0, 0, kinds=kinds, kind=kind, data=data
    )


def middle(simulation: int, agents: int, start: int, count: int) -> Rows:
    """Events ``start`` to ``start + count`` of the body: agents in turn, each going through its goal's life."""
    place = np.arange(start, start + count)
    agent, phase = place % agents, (place // agents) % 10
    kind = LIFE[phase]
    first = agents + 2
    goal = place // (10 * agents) * (10 * agents) + agent + first
    data = {code: payload(code, np.flatnonzero(kind == code)) for code in range(len(KINDS))}
    to = np.where((kind == 1) | (kind == 3), (agent + 1) % agents + 1, 0)
    clock = place * 1_000
    turn = place // agents + 1
    wall = clock + 1_769_860_800_000_000
    seq = place + first
    return Rows(
        count, simulation, seq, clock, wall, agent + 1, turn, goal, 0, seq - 1, kinds=KINDS, kind=kind, to=to, data=data
    )


def payload(code: int, rows: np.ndarray) -> KindRows:
    """Columns of one kind."""
    count = len(rows)
    numbers = rows * 7 % 61
    columns: dict[str, Any] = {
        0: {"name": ["close_deal"] * count, "limit": numbers + 30, "lot": numbers % 7},
        1: {"text": [TEXTS[n] for n in (rows % 997).tolist()]},
        2: {"mood": numbers, "calm": numbers / 61},
        3: {"price": numbers + 10, "item": [ITEMS[n] for n in (numbers % 4).tolist()]},
        4: {"steps": numbers * 0 + 6, "turns": numbers * 0 + 10, "price": numbers + 12},
    }[code]
    return KindRows(rows, columns=columns)


def society(events: int, simulations: int, agents: int) -> Iterator[Rows]:
    """About ``events`` events, simulations taking turns."""
    for simulation in range(1, simulations + 1):
        yield beginning(simulation, agents)
    written = 0
    for start in range(0, events // simulations, APPEND_EVENTS):
        for simulation in range(1, simulations + 1):
            count = min(APPEND_EVENTS, events - written)
            if count > 0:
                yield middle(simulation, agents, start, count)
                written += count


class Clock:
    """Processor and wall seconds spent inside ``with``."""

    def __enter__(self) -> Clock:
        self._start = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        start = self._start
        self.processor, self.wall = time.process_time() - start[0], time.perf_counter() - start[1]


def follow_the_writer(store: Path, rows: list[Rows], step: int) -> tuple[int, float, float]:
    """Append and follow in turn; returns events, processor and wall seconds of the following alone."""
    events, processor, wall, appended = 0, 0.0, 0.0, 0
    with Writer.open(store / "log") as writer, Index.open(store) as index:
        reader = LogReader(store / "log")
        for number, part in enumerate(rows, 1):
            writer.append(part)
            appended += part.count
            if appended >= step or number == len(rows):
                with Clock() as clock:
                    events += index.follow(reader).events
                processor, wall, appended = processor + clock.processor, wall + clock.wall, 0
    return events, processor, wall


def rebuild(store: Path) -> tuple[int, float, float]:
    """Make the index from the log alone, with a new reader."""
    with Index.open(store) as index, Clock() as clock:
        followed = index.rebuild(LogReader(store / "log"))
    return followed.events, clock.processor, clock.wall


def figures(found: list[tuple[int, float, float]]) -> dict[str, float]:
    """Medians in events a second."""
    return {
        "events": found[0][0],
        "events_per_processor_second": round(statistics.median(events / cpu for events, cpu, _ in found)),
        "events_per_wall_second": round(statistics.median(events / wall for events, _, wall in found)),
    }


def measure(events: int, simulations: int, agents: int, step: int, rounds: int) -> dict[str, Any]:
    """Both questions, alternating."""
    rows = list(society(events, simulations, agents))
    followed, rebuilt, sizes = [], [], []
    for _ in range(rounds):
        store = Path(tempfile.mkdtemp(prefix="index_bench_"))
        try:
            followed.append(follow_the_writer(store, rows, step))
            rebuilt.append(rebuild(store))
            sizes.append((store / "index.sqlite").stat().st_size)
        finally:
            shutil.rmtree(store)
    return {
        "follow": figures(followed),
        "rebuild": figures(rebuilt),
        "index_bytes_per_event": round(sizes[0] / followed[0][0], 2),
        "society": {"events": events, "simulations": simulations, "agents": agents, "events_per_follow": step},
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "machine": platform.machine(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small log: does it run at all?")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--simulations", type=int, default=10)
    parser.add_argument("--agents", type=int, default=100, help="in each simulation")
    parser.add_argument("--step", type=int, default=200_000, help="events between two follows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.events, given.rounds = 40_000, 1
    found = measure(given.events, given.simulations, given.agents, given.step, given.rounds)
    for name in ("follow", "rebuild"):
        speed, wall = found[name]["events_per_processor_second"], found[name]["events_per_wall_second"]
        print(f"{name:8} {speed:>12,} events/s (wall {wall:,})")
    print(f"index    {found['index_bytes_per_event']} bytes an event; {found['society']}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
