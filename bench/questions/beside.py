"""One question, asked of Matrix and of DuckDB on the same events: what every file of this folder is run by.

Who answers: Matrix's own store, as written and compacted, its index up to date; DuckDB on Parquet with a typed
column for every payload field (zstd, row groups of 122,880 events as written), and on JSON Lines with the payload
nested, as a program would log it. Each answer is given by a process of its own:

    cold    from the first import to the answer, none of the files in the page cache
    warm    the same session asked again, the median of several times

and all of them must give the same rows. A log has no table of agents or of goals, and neither have its Parquet
and JSON files: the SQL makes them out of the events, in the same statement.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SECONDS_MAX = 300  # what one process may take for its answers; the cell says so if it takes longer
ROWS_SHOWN_MAX = 1_000  # rows of an answer that are compared one by one; of more, a digest
WARM_SECONDS = 5.0  # an answer that takes longer than this is not asked again and again
WHO = ("live", "compacted", "parquet", "json")


@dataclass(frozen=True)
class Question:
    """What is asked, in both languages; both give the same columns in the same order."""

    title: str
    matrix: str
    sql: str
    loaded: str = ""  # columns that DuckDB reads from JSON into a table first, each time it is asked


@dataclass(frozen=True)
class Answer:
    """What one process found: seconds, processor seconds, bytes at most, and its rows in short."""

    cold: float
    cold_cpu: float
    warm: float
    warm_cpu: float
    peak: int
    rows: int
    digest: str
    shown: list[Any]


# -- the answer of one process -------------------------------------------------------------------


def forget(folder: Path) -> None:
    """Have the system drop its cached pages of the files, so that they are read from the disk."""
    for path in folder.rglob("*") if folder.is_dir() else [folder]:
        if path.is_file() and hasattr(os, "posix_fadvise"):
            with path.open("rb") as file:
                os.fdatasync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def answer(question: Question, who: str, folder: Path, rounds: int) -> Answer:
    """Ask once, cold, and then again."""
    forget(place_of(who, folder))
    wall, cpu = time.perf_counter(), time.process_time()
    ask = (asking_matrix if who in ("live", "compacted") else asking_duckdb)(question, who, folder)
    table = ask()
    cold, cold_cpu = time.perf_counter() - wall, time.process_time() - cpu
    again: list[tuple[float, float]] = []
    began = time.perf_counter()
    while len(again) < rounds and (not again or time.perf_counter() - began < WARM_SECONDS):
        wall, cpu = time.perf_counter(), time.process_time()
        ask()
        again.append((time.perf_counter() - wall, time.process_time() - cpu))
    peak = peak_bytes()
    warm, warm_cpu = (statistics.median(column) for column in zip(*again, strict=True))
    digest, shown = in_short(table)
    return Answer(cold, cold_cpu, warm, warm_cpu, peak, table.num_rows, digest, shown)


def peak_bytes() -> int:
    """What this process held at most (what getrusage says of a child begins with what its parent held)."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def asking_matrix(question: Question, who: str, folder: Path) -> Callable[[], Any]:
    """An open store, and the question."""
    import matrix

    store = matrix.open(place_of(who, folder))
    return lambda: store.query(question.matrix).table


def asking_duckdb(question: Question, who: str, folder: Path) -> Callable[[], Any]:
    """A connection with a view of the events, and the question."""
    import duckdb
    from made import view_of

    connection = duckdb.connect()
    is_loaded = who == "json" and bool(question.loaded)
    connection.execute(view_of(who, place_of(who, folder), "lines" if is_loaded else "events"))

    def ask() -> Any:
        if is_loaded:
            connection.execute(f"CREATE OR REPLACE TEMP TABLE events AS SELECT {question.loaded} FROM lines")
        return connection.sql(question.sql).to_arrow_table()

    return ask


def place_of(who: str, folder: Path) -> Path:
    """Where the events lie that somebody reads."""
    return folder / {"parquet": "events.parquet", "json": "events.jsonl"}.get(who, who)


def in_short(table: Any) -> tuple[str, list[Any]]:
    """A digest of the rows, and the rows themselves when they are few; floats count with nine digits."""
    digest = hashlib.sha256()
    shown: list[Any] = []
    for batch in table.to_batches(max_chunksize=8_192):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            plain = [_plain(value) for value in row]
            digest.update(json.dumps(plain, ensure_ascii=False).encode())
            if table.num_rows <= ROWS_SHOWN_MAX:
                shown.append(plain)
    return digest.hexdigest(), shown


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        rounded = float(f"{value:.9g}")
        return int(rounded) if rounded.is_integer() else rounded
    if hasattr(value, "total_seconds"):
        return round(value.total_seconds() * 1_000_000)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return int(value) if hasattr(value, "as_integer_ratio") and not isinstance(value, int) else value


# -- all of them side by side ----------------------------------------------------------------------


def beside(file: str, folder: Path, *, who: tuple[str, ...], rounds: int) -> dict[str, Answer | None]:
    """The answers of all who are asked, each from a new process, None for too late; they must agree."""
    answers: dict[str, Answer | None] = {}
    for name in who:
        command = [sys.executable, file, "--answer", name, "--folder", str(folder), "--rounds", str(rounds)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
        except subprocess.TimeoutExpired:
            answers[name] = None
            continue
        if done.returncode:
            raise SystemExit(f"{Path(file).name}: {name} gave no answer:\n{done.stderr}")
        answers[name] = Answer(**json.loads(done.stdout))
    agree(Path(file).name, {name: found for name, found in answers.items() if found is not None})
    return answers


def agree(title: str, answers: dict[str, Answer]) -> None:
    """Ends the program when two answers differ."""
    for name, found in answers.items():
        first_name, first = next(iter(answers.items()))
        if (found.rows, found.digest) != (first.rows, first.digest):
            different = next(((a, b) for a, b in zip(first.shown, found.shown, strict=False) if a != b), None)
            raise SystemExit(
                f"{title}: {name} has other rows than {first_name}: "
                f"{found.rows} and {first.rows}; first difference {different}"
            )


def table_of(title: str, answers: dict[str, Answer | None]) -> str:
    """The answers as lines of Markdown."""
    rows = next((f"{found.rows:,} rows" for found in answers.values() if found is not None), "no answer")
    lines = [f"**{title}** ({rows})", ""]
    lines += ["| who | cold | warm | processor, warm | memory at most |", "|---|--:|--:|--:|--:|"]
    for name, found in answers.items():
        if found is None:
            lines.append(f"| {NAMES[name]} | > {SECONDS_MAX} s | | | |")
            continue
        figures = (_seconds(found.cold), _seconds(found.warm), _seconds(found.warm_cpu), f"{found.peak / 1e6:,.0f} MB")
        lines.append(f"| {NAMES[name]} | {' | '.join(figures)} |")
    return "\n".join(lines)


NAMES = {
    "live": "Matrix, as written",
    "compacted": "Matrix, compacted",
    "parquet": "DuckDB, Parquet",
    "json": "DuckDB, JSON Lines",
}


def _seconds(value: float) -> str:
    return f"{value * 1000:,.1f} ms" if value < 1 else f"{value:,.2f} s"


def about() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    from importlib.metadata import version

    packages = {name: version(name) for name in ("duckdb", "numpy", "pyarrow")}
    return {
        **packages,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """The options that every question, and the runner of all of them, has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few events: does it run at all?")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument(
        "--folder", type=Path, help="where the events lie, or are made and stay (else: made and deleted)"
    )
    parser.add_argument("--who", default=",".join(WHO), help="who is asked")
    parser.add_argument("--rounds", type=int, default=5, help="how often the warm session is asked")
    parser.add_argument("--json", type=Path)
    return parser


def run(title_of: dict[str, Question], given: argparse.Namespace) -> None:
    """Make the events if need be, ask each file's question of everybody, and print."""
    from made import make

    events = 20_000 if given.quick else given.events
    rounds = 1 if given.quick else given.rounds
    who = tuple(given.who.split(","))
    folder = given.folder or Path(tempfile.mkdtemp(prefix="beside_duckdb_"))
    found: dict[str, Any] = {"events": events, "about": about(), "questions": {}}
    try:
        found["bytes"] = make(folder, events, who)
        for file, question in title_of.items():
            answers = beside(file, folder, who=who, rounds=rounds)
            print(table_of(question.title, answers) + "\n", flush=True)
            bare = {name: one and {**asdict(one), "shown": []} for name, one in answers.items()}
            found["questions"][Path(file).stem] = {**asdict(question), "answers": bare}
    finally:
        if given.folder is None:
            shutil.rmtree(folder)
    print(f"{events:,} events; bytes {found['bytes']}; {found['about']}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


def main(question: Question, file: str) -> None:
    """What a file of one question does when it is run."""
    parser = parser_of(question.title)
    parser.add_argument("--answer", choices=WHO, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer:
        print(json.dumps(asdict(answer(question, given.answer, given.folder, given.rounds))))
    else:
        run({file: question}, given)
