"""What a report costs: rows a second, memory for each row, and a reference of a hundred megabytes.

Rows are chats of 20 messages of 25 words each, by two roles, words drawn as words of a language are (few often, many
seldom); every hundredth repeats an earlier one nearly. Each part runs in a process of its own: its wall time, its
processor time, and the most memory it had, the imports included.

    python bench/report.py [--quick] [--rows 100000] [--reference-mb 100] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from matrix.report.report import report

MESSAGES, WORDS, VOCABULARY = 20, 25, 30_000
REPEATS_EVERY = 100


def texts(count: int, words: int, seed: int) -> Iterator[str]:
    """Texts of words drawn by Zipf's law."""
    draw = np.random.default_rng(seed)
    ranks = np.arange(1, VOCABULARY + 1)
    shares = np.cumsum(1 / ranks) / np.sum(1 / ranks)
    names = [f"w{rank:x}" for rank in ranks.tolist()]
    for _ in range(count):
        yield " ".join(names[place] for place in np.searchsorted(shares, draw.random(words)).tolist())


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Chats, made as they are asked for."""
    source = texts(count * MESSAGES, WORDS, seed=1)
    kept: list[str] = []
    for number in range(count):
        said = [next(source) for _ in range(MESSAGES)]
        if number % REPEATS_EVERY == 1:
            kept = said
        elif number % REPEATS_EVERY == 0 and kept:
            said = [*kept[:-1], said[-1]]
        messages = [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(said)]
        place = {"simulation": f"1-{number}", "agent": "one", "role": ("buyer", "seller")[number % 2]}
        yield {"messages": messages, **place, "outcome": ("failed", "succeeded")[number % 3 == 0]}


def written(file: Path, megabytes: int) -> None:
    """A reference of that size, in lines of 40 words."""
    with file.open("w") as out:
        size = 0
        for text in texts(10**9, 40, seed=2):
            size += out.write(text + "\n")
            if size >= megabytes * 1_000_000:
                return


def measured(count: int, reference: Path | None) -> dict[str, Any]:
    """A report in this process: what it took, and some of what it found."""
    wall, processor = time.perf_counter(), time.process_time()
    done = report(rows(count), reference=[] if reference is None else [reference]).data
    found = {
        "rows": count,
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "repeats": done["duplicates"]["exact"] + done["duplicates"]["near"],
    }
    if reference is not None:
        found["reference_words"] = done["grounding"]["reference"]["words"]
        found["false_positives"] = done["grounding"]["reference"]["false_positives"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--reference-mb", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    count, megabytes = (500, 1) if options.quick else (options.rows, options.reference_mb)
    parts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="report_bench_") as folder:
        reference = Path(folder) / "real.txt"
        written(reference, megabytes)
        for name, some, file in (
            ("a tenth of the rows", count // 10, None),
            ("all rows", count, None),
            (f"a tenth, and {megabytes} MB of reference", count // 10, reference),
        ):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = parts[name] = pool.apply(measured, (some, file))
            took = f"{found['seconds']:7.1f} s  {found['processor_seconds']:7.1f} s of a processor"
            memory = f"{found['memory_mb']:6,.0f} MB at most"
            print(f"{name:36} {found['rows']:>8,} rows  {took}  {memory}  {found['repeats']:,} repeats")
    if options.json is not None:
        machine = {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
        options.json.write_text(json.dumps({"parts": parts, **machine}, indent=1))


if __name__ == "__main__":
    main()
