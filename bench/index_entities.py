"""How long questions about entities take when the log grows: they should depend on the answer, not on the events.

Writes the society of ``index_follow.py`` at each of ``--events``, follows it, and asks the index what the query
language asks it. The same number of agents throughout; a goal for ten events. Medians of ``--rounds``, in
milliseconds of this process (the machine is shared).

    python bench/index_entities.py [--quick] [--events 1000000 4000000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from index_follow import society

from matrix.index.index import Index
from matrix.log.reader import LogReader
from matrix.log.writer import Writer

SIMULATIONS, AGENTS = 10, 100

QUESTIONS = {
    "agents where goal succeeded": """SELECT a.simulation, a.number, a.id FROM agents AS a WHERE EXISTS
        (SELECT 1 FROM goals AS g WHERE g.simulation = a.simulation AND g.agent = a.number
         AND g.status = 'succeeded')""",
    'agents where goal "close_deal" succeeded': """SELECT a.id FROM agents AS a WHERE EXISTS
        (SELECT 1 FROM goals AS g WHERE g.simulation = a.simulation AND g.agent = a.number AND g.status = 'succeeded'
         AND g.name = 'close_deal')""",
    'agents where no goal "never" succeeded': """SELECT count(*) FROM agents AS a WHERE NOT EXISTS
        (SELECT 1 FROM goals AS g WHERE g.simulation = a.simulation AND g.agent = a.number AND g.status = 'succeeded'
         AND g.name = 'never')""",
    "simulations where any goal succeeded": """SELECT s.id FROM simulations AS s WHERE EXISTS
        (SELECT 1 FROM goals AS g WHERE g.simulation = s.gid AND g.status = 'succeeded')""",
    "events | count by kind": "SELECT kind, events FROM kinds",
}


def measure(events: int, rounds: int) -> dict[str, float]:
    """Milliseconds of each question on a log of this size."""
    store = Path(tempfile.mkdtemp(prefix="index_bench_"))
    try:
        with Writer.open(store / "log") as writer:
            for rows in society(events, SIMULATIONS, AGENTS):
                writer.append(rows)
        with Index.open(store) as index:
            index.follow(LogReader(store / "log"))
        with Index.open(store) as index:
            return {question: ask(index, sql, rounds) for question, sql in QUESTIONS.items()}
    finally:
        shutil.rmtree(store)


def ask(index: Index, sql: str, rounds: int) -> float:
    """Median milliseconds of a statement with all its rows fetched."""
    took = []
    for _ in range(rounds):
        start = time.process_time()
        index.connection.execute(sql).fetchall()
        took.append((time.process_time() - start) * 1_000)
    return round(statistics.median(took), 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small logs: does it run at all?")
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 4_000_000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sizes = [20_000, 40_000] if given.quick else given.events
    found: dict[int, Any] = {events: measure(events, given.rounds) for events in sizes}
    print(f"{'ms':42}" + "".join(f"{events:>14,}" for events in sizes) + "  events")
    for question in QUESTIONS:
        print(f"{question:42}" + "".join(f"{found[events][question]:>14}" for events in sizes))
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
