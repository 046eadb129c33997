"""Matrix beside other runtimes: messages, turns, memory, starting, a million agents, many simulations, replay, calls.

Each peer does the same job in the idiom its documentation shows, and each row says what the peer does not do. Every
figure is measured in a process of its own; rounds alternate between the subjects, so that a busy moment of the
machine meets all of them; figures are medians with their range. "loops" is what one item costs in turns of a bare
Python loop timed in the same process: it compares rows that were measured at different moments.

    make bench-peers                        # once: installs the peers into bench/.venv
    python bench/society.py [--quick] [--rounds 3] [--only messages,turns] [--json FILE]

Without bench/.venv only Matrix and what needs nothing installed are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parent
PEERS_PYTHON = BENCH / ".venv" / "bin" / "python"
SECONDS_MAX = 600  # one figure may take this long


@dataclass(frozen=True)
class Row:
    """One subject's answer to one question: which function of its file, with how many, and how many for --quick."""

    subject: str
    function: str
    count: int
    quick: int
    label: str = ""


@dataclass(frozen=True)
class Question:
    """What is asked of several subjects, and what one item is called."""

    title: str
    item: str
    rows: tuple[Row, ...]
    rounds_max: int = 10


#: What each subject does not do of what Matrix does in the same measurement.
LACKS = {
    "plain_python": "no log, no checks, no waits: the floor",
    "with_matrix": "",
    "with_trio": "no log, no replay; the order of ready tasks is random on purpose",
    "with_asyncio": "no log, no replay, no virtual time",
    "with_simpy": "no log, no calls to the outside, no replay; deterministic",
    "with_mesa": "no messages, no log (chosen attributes once a step, in memory), no waits; the order follows a seed",
    "with_pykka": "no log, no determinism (a thread an actor), no replay",
    "with_thespian": "no log of messages, no waits, no replay; in one process",
    "with_autogen": "messages to Python's logging at most; no determinism, no replay",
    "with_ray": "no log of messages, no determinism, no replay; a process an actor, made for many machines",
    "with_langgraph": "no events: the whole state after each step; going on from a step calls the outside again",
    "with_inspect": "no messages between agents, no determinism, no replay; keeps all events, as Matrix does",
}
NEEDS_PEERS = set(LACKS) - {"plain_python", "with_matrix", "with_trio", "with_asyncio"}

QUESTIONS = {
    "messages": Question(
        "messages between reactive agents",
        "message",
        (
            Row("plain_python", "messages", 1_000_000, 10_000),
            Row("with_matrix", "messages", 1_000_000, 10_000, "logged"),
            Row("with_pykka", "messages", 100_000, 1_000),
            Row("with_thespian", "messages", 100_000, 1_000),
            Row("with_autogen", "messages", 10_000, 100),
            Row("with_autogen", "messages_logged", 10_000, 100, "its events to a file"),
            Row("with_mesa", "messages", 1_000_000, 10_000, "agent steps"),
            Row("with_mesa", "messages_logged", 1_000_000, 10_000, "agent steps, with its DataCollector"),
        ),
    ),
    "turns": Question(
        "turns of async agents",
        "turn",
        (
            Row("with_matrix", "turns", 500_000, 5_000, "logged"),
            Row("with_trio", "turns", 200_000, 5_000, "channels"),
            Row("with_asyncio", "turns", 500_000, 5_000, "queues"),
            Row("with_simpy", "turns", 500_000, 5_000, "stores"),
            Row("with_langgraph", "turns", 2_000, 50, "steps"),
            Row("with_langgraph", "turns_logged", 2_000, 50, "steps, kept in SQLite"),
            Row("with_ray", "turns", 3_000, 100, "two actors"),
        ),
    ),
    "idle": Question(
        "memory of an idle agent, and starting them",
        "agent",
        (
            Row("plain_python", "idle", 100_000, 2_000, "objects"),
            Row("with_matrix", "idle", 100_000, 2_000, "reactive, each start logged"),
            Row("with_matrix", "idle_traced", 20_000, 1_000, "reactive, traced"),
            Row("with_matrix", "idle_async", 100_000, 2_000, "async, each start logged"),
            Row("with_matrix", "idle_async_traced", 20_000, 1_000, "async, traced"),
            Row("with_mesa", "idle", 100_000, 2_000, "reactive"),
            Row("with_mesa", "idle_traced", 20_000, 1_000, "reactive, traced"),
            Row("with_thespian", "idle", 20_000, 200, "reactive"),
            Row("with_thespian", "idle_traced", 2_000, 200, "reactive, traced"),
            Row("with_autogen", "idle", 100_000, 500, "handlers"),
            Row("with_autogen", "idle_traced", 20_000, 500, "handlers, traced"),
            Row("with_pykka", "idle", 2_000, 100, "threads"),
            Row("with_pykka", "idle_traced", 500, 100, "threads, traced: their stacks are not seen"),
            Row("with_trio", "idle_async", 100_000, 1_000, "tasks"),
            Row("with_trio", "idle_async_traced", 20_000, 1_000, "tasks, traced"),
            Row("with_asyncio", "idle_async", 100_000, 1_000, "tasks"),
            Row("with_asyncio", "idle_async_traced", 20_000, 1_000, "tasks, traced"),
            Row("with_simpy", "idle_async", 100_000, 1_000, "processes"),
            Row("with_simpy", "idle_async_traced", 20_000, 1_000, "processes, traced"),
            Row("with_ray", "idle_async", 8, 2, "processes of the system"),
        ),
        rounds_max=2,
    ),
    "million": Question(
        "one simulation of 1,000,000 reactive agents that each send one message",
        "agent",
        (
            Row("plain_python", "million", 1_000_000, 5_000),
            Row("with_matrix", "million", 1_000_000, 5_000, "logged"),
            Row("with_matrix", "million_indexed", 1_000_000, 5_000, "logged and indexed"),
            Row("with_mesa", "million", 1_000_000, 5_000, "one step"),
            Row("with_simpy", "million", 1_000_000, 5_000, "processes"),
            Row("with_asyncio", "million", 1_000_000, 5_000, "tasks"),
            Row("with_trio", "million", 1_000_000, 5_000, "tasks"),
            Row("with_autogen", "million", 5_000, 200, "5,000 of them"),
            Row("with_thespian", "million", 5_000, 200, "5,000 of them"),
            Row("with_pykka", "million", 2_000, 100, "2,000 of them: threads"),
        ),
        rounds_max=2,
    ),
    "simulations": Question(
        "10,000 simulations side by side, of 20 turns with a call of 20 ms each (0.4 s, if nothing else took time)",
        "simulation",
        (
            Row("with_matrix", "simulations", 10_000, 50, "every call recorded"),
            Row("with_trio", "simulations", 10_000, 50, "tasks that sleep"),
            Row("with_asyncio", "simulations", 10_000, 50, "tasks that sleep"),
            Row("with_langgraph", "simulations", 50, 5, "50 of them, steps kept in SQLite"),
            Row("with_inspect", "simulations", 50, 2, "50 samples, all events kept"),
        ),
        rounds_max=2,
    ),
    "replay": Question(
        "replay of a run of 1,000,000 events, every event compared",
        "event",
        (
            Row("with_matrix", "replay", 1_000_000, 5_000, "reactive agents"),
            Row("with_matrix", "replay_async", 1_000_000, 5_000, "async agents"),
            Row("with_matrix", "replay_calls", 50_000, 500, "100,000 events of calls"),
        ),
    ),
}


def ask(row: Row, count: int) -> dict[str, Any]:
    """One figure, in a process of its own; what went wrong where it did."""
    python = str(PEERS_PYTHON) if row.subject in NEEDS_PEERS else sys.executable
    command = [python, str(BENCH / "peers" / f"{row.subject}.py"), row.function, str(count)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, env=environment)
    except subprocess.TimeoutExpired:
        return {"failed": f"took longer than {SECONDS_MAX} s"}
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else "no reason given"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians and ranges over the rounds; the first failure where there was one."""
    for one in found:
        if "failed" in one:
            return one
    for one in found:
        if one["cpu"] is not None:
            one["per_cpu_second"] = one["count"] / one["cpu"]
            one["loops"] = one["cpu"] / one["count"] * 1e6 / one["loop"]
        one["per_second"] = one["count"] / one["wall"]
    numbers = [name for name, value in found[0].items() if isinstance(value, (int, float))]
    return {
        "versions": found[0]["versions"],
        **{
            name: {
                "median": statistics.median(one[name] for one in found),
                "low": min(one[name] for one in found),
                "high": max(one[name] for one in found),
            }
            for name in numbers
        },
    }


def measure(question: Question, rounds: int, *, is_quick: bool, has_peers: bool) -> dict[Row, dict[str, Any]]:
    """All rows of a question, in turn, as often as there are rounds."""
    rows = [row for row in question.rows if has_peers or row.subject not in NEEDS_PEERS]
    found: dict[Row, list[dict[str, Any]]] = {row: [] for row in rows}
    for _ in range(min(rounds, question.rounds_max)):
        for row in rows:
            found[row].append(ask(row, row.quick if is_quick else row.count))
    return {row: summary(results) for row, results in found.items()}


def calls(rounds: int, *, is_quick: bool) -> Any:
    """10,000 calls of 50 ms at once beside plain Trio: what ``calls.py`` finds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calls.json"
        command = [sys.executable, str(BENCH / "calls.py"), "--only", "at_once", "--json", str(path)]
        command += ["--quick"] if is_quick else ["--rounds", str(rounds)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return {"failed": done.stderr.strip()[-200:]}
        print(f"\n**10,000 calls of 50 ms at once, plain Trio and Matrix in turn**\n\n{done.stdout}", end="")
        return json.loads(path.read_text())["questions"]


# -- the table ------------------------------------------------------------------------------------


def show(question: Question, found: dict[Row, dict[str, Any]]) -> None:
    """A table in Markdown."""
    print(f"\n**{question.title}**\n")
    print(f"| who | {question.item}s | a processor second | a second | loops | |")
    print("|---|--:|--:|--:|--:|---|")
    for row, figures in found.items():
        print("| " + " | ".join(cells(row, figures)) + " |")


def cells(row: Row, figures: dict[str, Any]) -> list[str]:
    """One line of the table."""
    name = row.subject.removeprefix("with_").replace("_", " ")
    who = f"{name}, {row.label}" if row.label else name
    if "failed" in figures:
        return [who, f"{row.count:,}", "-", "-", "-", f"failed: {figures['failed']}"]
    count = f"{figures['count']['median']:,.0f}"
    return [
        who,
        count,
        span(figures, "per_cpu_second"),
        span(figures, "per_second"),
        span(figures, "loops"),
        more(figures),
    ]


def span(figures: dict[str, Any], name: str) -> str:
    """A median with its range."""
    if name not in figures:
        return "-"
    one = figures[name]
    return f"{_short(one['median'])} ({_short(one['low'])}-{_short(one['high'])})"


def _short(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:.2f} M"
    if value >= 10_000:
        return f"{value / 1_000:.0f} k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def more(figures: dict[str, Any]) -> str:
    """What a question looked at besides time."""
    texts = {
        "bytes_per_agent": "{:,.0f} B an agent",
        "traced_per_agent": "{:,.0f} B an agent",
        "peak": "{:,.0f} MB at most",
        "log_bytes": "{:,.1f} MB of log",
        "ratio_cpu": "{:.2f} of the run's processor time",
        "ratio_wall": "{:.2f} of its wall time",
    }
    said = [f"{figures['wall']['median']:.1f} s"]
    for name, text in texts.items():
        if name in figures:
            scale = 1e6 if name in ("peak", "log_bytes") else 1
            said.append(text.format(figures[name]["median"] / scale))
    return ", ".join(said)


def main() -> None:
    """Ask, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small counts, one round: does it run at all?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join([*QUESTIONS, "calls"]), help="questions, with commas between")
    parser.add_argument("--subjects", default="", help="measure only these, with commas between: matrix,trio")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    has_peers = PEERS_PYTHON.exists()
    if not has_peers:
        print("the peers are not installed: make bench-peers", file=sys.stderr)
    everything: dict[str, Any] = {"machine": platform.machine(), "python": platform.python_version()}
    for name in given.only.split(","):
        if name == "calls":
            everything[name] = calls(given.rounds, is_quick=given.quick)
            continue
        question = chosen(QUESTIONS[name], given.subjects)
        found = measure(question, 1 if given.quick else given.rounds, is_quick=given.quick, has_peers=has_peers)
        show(question, found)
        everything[name] = [
            {"subject": row.subject, "function": row.function, "label": row.label, **figures}
            for row, figures in found.items()
        ]
    if given.json:
        given.json.write_text(json.dumps(everything, indent=2))
    tell_lacks()


def chosen(question: Question, subjects: str) -> Question:
    """The question, asked of some subjects only."""
    if not subjects:
        return question
    names = set(subjects.split(","))
    rows = tuple(row for row in question.rows if row.subject.removeprefix("with_") in names)
    return Question(question.title, question.item, rows)


def tell_lacks() -> None:
    """What the peers do not do."""
    print("\nWhat they do not do, and Matrix does in the same measurement:\n")
    for subject, lacks in LACKS.items():
        if lacks:
            print(f"- {subject.removeprefix('with_').replace('_', ' ')}: {lacks}")


if __name__ == "__main__":
    main()
