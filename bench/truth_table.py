"""The figures of the recorded data beside what queries say, one line each.

    python bench/truth_table.py            # imports ../shared/data into a store of its own, then asks
    python bench/truth_table.py --store S  # asks a store that has the files already

``truth.json`` was counted from the recorded files without Matrix. Each figure here is one query (a few are two) over
the imported simulations; ``tests/importers/test_truth.py`` demands that every one is exact. What the
language cannot say yet stands in ``NOT_EXPRESSIBLE`` with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matrix
from matrix.importers import import_files

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MATRIX_SHARED_DATA", ROOT.parent / "shared" / "data"))
FORMATS = {"tau2": "tau2/results/*.json.gz", "casino": "casino/*.json.gz"}

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Figure:
    """One figure of truth.json: the query that gives it, and how its rows are put into the figure's form."""

    query: str
    read: Callable[[Rows], Any]


def value(rows: Rows) -> Any:
    """The one value of the one row; the first where there are several columns."""
    (row,) = rows
    return next(iter(row.values()))


def rounded(digits: int) -> Callable[[Rows], float]:
    return lambda rows: round(value(rows), digits)


def table(rows: Rows) -> dict[str, Any]:
    """The last column by the others, joined with a colon: ``{"assistant:calculate": 4}``."""
    parts = (list(row.values()) for row in rows)
    return {":".join(map(str, keys)): last for *keys, last in parts}


def counts(*names: str) -> Callable[[Rows], dict[str, Any]]:
    """The columns of the one row under these names, those that counted nothing left out."""
    return lambda rows: {name: count for name, count in zip(names, rows[0].values(), strict=True) if count}


def column(rows: Rows) -> list[Any]:
    return [value([row]) for row in rows]


RUNS = "simulations where .file = $file"
WON = f"{RUNS} and .reward = 1"
#: The first event of each recorded message says whose it was; a started agent has a role too, but is no message.
MESSAGES = "events message.sent, tool.called, tool.completed, tool.failed, note where .role exists"
CALLS = "events tool.called where simulation.data.file = $file and role = assistant"
TRANSFER = 'any tool.called (role = assistant and .tool = "transfer_to_human_agents")'
#: Tools that change the database, as truth.json defines them for airline and retail.
WRITES = "/^(book_reservation|send_certificate|update_reservation_.*|(cancel|exchange|modify|return)_.*)$/"
RIGHT_LATER = "any agent (any tool.completed (.tool = f.data.tool and cause.seq > f.cause.seq))"
NO_YES_BEFORE = r"no simulation (any message.sent (role = user and .text ~ /\byes\b/i and seq < w.seq))"
USER_BEFORE = 'any agent (any tool.called (.tool = "get_user_details" and seq < r.seq))'
WRITE_AFTER = f"any agent (any tool.called (.tool ~ {WRITES} and seq > r.seq))"
READS = f'{CALLS} and .tool in ("get_reservation_details", "get_order_details")'.replace(
    "tool.called", "tool.called as r"
)
WRITTEN = f"{CALLS} and .tool ~ {WRITES}".replace("tool.called", "tool.called as w")
COMPONENTS = ("DB", "ACTION", "ENV_ASSERTION", "COMMUNICATE", "NL_ASSERTION")
LACKING = ", ".join(f"count(.reward_info.reward_breakdown.{name} < 1) as {name}" for name in COMPONENTS)
NEEDS = ("self-need", "other-need", "no-need")
LABELS = (
    "non-strategic",
    "small-talk",
    "promote-coordination",
    "vouch-fair",
    "elicit-pref",
    "showing-empathy",
    "uv-part",
    *NEEDS,
)
LABELLED = ", ".join(f'count(.annotations contains "{name}") as {name.replace("-", "_")}' for name in LABELS)


def worth(split: str) -> str:
    """The points of a split for the agent whose goal it is: 5, 4 and 3 for each package by its priority."""
    points = 'if(goal.data.priorities.High = "{0}", 5, if(goal.data.priorities.Medium = "{0}", 4, 3))'
    return (
        "(" + " + ".join(f"{split}.{thing} * {points.format(thing)}" for thing in ("Food", "Water", "Firewood")) + ")"
    )


TAU2 = {
    "domain": Figure(f"{RUNS} | count by .domain", value),
    "agent": Figure(f"{RUNS} | count by .agent_model", value),
    "agent_impl": Figure(f"{RUNS} | count by .info.agent_info.implementation", value),
    "user": Figure(f"{RUNS} | count by .user_model", value),
    "user_impl": Figure(f"{RUNS} | count by .info.user_info.implementation", value),
    "simulations": Figure(f"{RUNS} | count", value),
    "tasks": Figure(f"{RUNS} | distinct(.task_id)", value),
    "successes": Figure(f"{RUNS} and any goal succeeded | count", value),
    "mean_reward": Figure(f"{RUNS} | avg(.reward)", rounded(6)),
    "pass^1": Figure(f"{RUNS} | count(.reward = 1) / count as rate by .task_id | avg(rate)", rounded(6)),
    "failed_task_ids": Figure(f"{RUNS} and not .reward = 1 | count by .task_id | sort task_id", column),
    "termination": Figure(f"{RUNS} | goals | count by reason", table),
    "success_by_termination": Figure(f"{WON} | count by .termination", table),
    "messages": Figure(f"{RUNS} | {MESSAGES} | count", value),
    "messages_by_role": Figure(f"{RUNS} | {MESSAGES} | count by .role", table),
    "nonempty_text_messages": Figure(f"{RUNS} | events message.sent | count by role", table),
    "tool_calls": Figure(f"{RUNS} | events tool.called | count", value),
    "tool_calls_by_tool": Figure(f"{RUNS} | events tool.called | count by role, .tool", table),
    "answered_calls": Figure(f"{RUNS} | events tool.completed, tool.failed | count", value),
    "tool_errors": Figure(f"{RUNS} | events tool.failed | count", value),
    "tool_errors_by_tool": Figure(f"{RUNS} | events tool.failed | count by role, .tool", table),
    "sims_with_tool": Figure(f"{RUNS} | events tool.called | count by .tool, simulation | count by tool", table),
    "success_with_tool": Figure(
        "events tool.called where simulation.data.file = $file"
        " | max(if(simulation.data.reward = 1, 1, 0)) as won by .tool, simulation | sum(won) as won by tool",
        table,
    ),
    "transfer": Figure(f"{RUNS} and {TRANSFER} | count", value),
    "transfer_success": Figure(f"{WON} and {TRANSFER} | count", value),
    "seq_error_then_same_tool_ok_ids": Figure(
        f"{RUNS} | events tool.failed as f where {RIGHT_LATER} | count by simulation", column
    ),
    "seq_error_then_same_tool_ok": Figure(
        f"{RUNS} | events tool.failed as f where {RIGHT_LATER} | distinct(simulation)", value
    ),
    "dup_calls": Figure(
        f"{RUNS} | events tool.called | count as n by simulation, role, .tool, .arguments | sum(n - 1)", value
    ),
    "max_parallel_calls_in_one_message": Figure(
        f"{RUNS} | events tool.called | count as calls by simulation, .turn_idx | max(calls)", value
    ),
    "first_tool": Figure(f"{CALLS} | first(.tool) as tool by simulation | count by tool", table),
    "failed_reward_components": Figure(f"{RUNS} and not .reward = 1 | {LACKING}", counts(*COMPONENTS)),
    "mean_messages_success": Figure(f"{WON} | {MESSAGES} | count as n by simulation | avg(n)", rounded(6)),
    "mean_messages_failure": Figure(
        f"{RUNS} and not .reward = 1 | {MESSAGES} | count as n by simulation | avg(n)", rounded(6)
    ),
    "agent_cost_sum": Figure(f"{RUNS} | sum(.agent_cost)", rounded(6)),
    "user_cost_sum": Figure(f"{RUNS} | sum(.user_cost)", rounded(6)),
    "duration_sum_s": Figure(f"{RUNS} | sum(.duration)", rounded(3)),
    "duration_median_s": Figure(f"{RUNS} | median(.duration)", rounded(6)),
    "max_gap_s": Figure(
        f"{RUNS} | {MESSAGES} and cause.kind != agent.started"
        " | select seconds(time - cause.time) as seconds, simulation, .turn_idx as message_index"
        " | sort seconds desc | limit 1",
        lambda rows: rows[0],
    ),
    "seq_read_then_write_ids": Figure(f"{READS} and {USER_BEFORE} and {WRITE_AFTER} | count by simulation", column),
    "seq_read_then_write": Figure(f"{READS} and {USER_BEFORE} and {WRITE_AFTER} | distinct(simulation)", value),
    "write_before_yes_ids": Figure(f"{WRITTEN} and {NO_YES_BEFORE} | count by simulation", column),
    "write_before_yes": Figure(f"{WRITTEN} and {NO_YES_BEFORE} | distinct(simulation)", value),
}

CASINO = {
    "dialogues": Figure(f"{RUNS} | count", value),
    "agreement": Figure(f"{RUNS} and any accept | count", value),
    "walkaway": Figure(f"{RUNS} and any walk_away | count", value),
    "agreement_rate": Figure(f"{RUNS} | goals | count(succeeded) / count as rate", rounded(6)),
    "entries": Figure(f"{RUNS} | messages | count", value),
    "utterances": Figure(f"{RUNS} | events message.sent | count", value),
    "mean_entries": Figure(f"{RUNS} | messages | count as n by simulation | avg(n)", rounded(6)),
    "mean_utterances": Figure(f"{RUNS} | select count(message.sent) as n | avg(n)", rounded(6)),
    "mean_points": Figure(f"{RUNS} | goals | avg(.points)", rounded(6)),
    "mean_joint_points": Figure(f"{RUNS} | goals | sum(.points) as joint by simulation | avg(joint)", rounded(6)),
    "max_joint_points": Figure(f"{RUNS} | goals | sum(.points) as joint by simulation | max(joint)", value),
    "dialogues_by_rejections": Figure(f"{RUNS} | select count(reject) as times | count by times", table),
    "rejected_then_agreed": Figure(f"{RUNS} and any reject and any accept | count", value),
    "first_deal_submitted_by": Figure(
        "events offer as o where simulation.data.file = $file and no simulation (any offer (seq < o.seq))"
        ' | count by if(any agent (any event (time = 1s)), "first speaker", "second speaker") as speaker',
        table,
    ),
    "satisfaction": Figure(f"{RUNS} | goals | count by .satisfaction", table),
    "annotated_dialogues": Figure(f"{RUNS} and any message.sent (.annotations exists) | count", value),
    "annotation_labels": Figure(f"{RUNS} | events message.sent | {LABELLED}", counts(*LABELS)),
    "recomputed_points_disagree": Figure(
        "events accept, walk_away as e where simulation.data.file = $file and "
        f"not (kind = accept and {worth('cause.data.issue2theyget')} = goal.data.points"
        f" and any simulation (any offer (seq = e.cause.seq and {worth('.issue2youget')} = goal.data.points))"
        " or kind = walk_away and goal.data.points = 5) | select simulation",
        column,
    ),
}

FIGURES = {"tau2": TAU2, "casino": CASINO}

NOT_EXPRESSIBLE = {
    "transitions_top": "pairs of neighbouring calls need a sequence with `match`, which is not executed yet",
    "task_disagrees_with_reward_info": "compares two lists of objects by some of their fields; no operator does",
}


def recorded_files(format: str) -> list[Path]:
    return sorted(DATA.glob(FORMATS[format]))


def import_all(store: Path) -> list[Any]:
    """Every file of the two formats into one store."""
    return [report for format in FORMATS for report in import_files(store, format, recorded_files(format))]


def answer(store: matrix.Store, figure: Figure, file: str) -> Any:
    """What the figure's query says about one file, in the form of truth.json."""
    return figure.read(store.query(figure.query, file=file).rows())


def told_truth(format: str) -> dict[str, dict[str, Any]]:
    """The figures of truth.json by the name of the file they are about."""
    truth: dict[str, dict[str, Any]] = json.loads((DATA / "truth.json").read_text())[format]
    return {Path(path).name: figures for path, figures in truth.items()}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="a store that holds the files already")
    parser.add_argument("--quick", action="store_true", help="only the CaSiNo files")
    chosen = parser.parse_args(arguments)
    if not (DATA / "truth.json").exists():
        print(
            f"{DATA} has no truth.json: nothing to compare. Say where it is with MATRIX_SHARED_DATA.", file=sys.stderr
        )
        return 0
    with tempfile.TemporaryDirectory() as folder:
        if chosen.store is None:
            for report in import_all(Path(folder) / "store"):
                print(report.message, file=sys.stderr)
        formats = ["casino"] if chosen.quick else list(FIGURES)
        with matrix.open(chosen.store or Path(folder) / "store") as store:
            wrong = sum(_print_file(store, format, path.name) for format in formats for path in recorded_files(format))
    return 1 if wrong else 0


def _print_file(store: matrix.Store, format: str, file: str) -> int:
    """The table of one file; how many figures differ."""
    truth, wrong = told_truth(format)[file], 0
    print(f"\n{file}\n{'figure':34} {'truth':>34} {'query':>34}")
    for name, figure in FIGURES[format].items():
        if name in truth:
            found = answer(store, figure, file)
            wrong += found != truth[name]
            sign = "=" if found == truth[name] else "DIFFERS"
            print(f"{name:34} {_short(truth[name]):>34} {_short(found):>34} {sign}")
    for name, reason in NOT_EXPRESSIBLE.items():
        if name in truth:
            print(f"{name:34} {_short(truth[name]):>34} {'-':>34} {reason}")
    return wrong


def _short(figure: Any) -> str:
    if isinstance(figure, list):
        text = f"{len(figure)} ids"
    elif isinstance(figure, dict) and "simulation" in figure:
        text = ", ".join(str(part)[:12] for part in figure.values())
    elif isinstance(figure, dict):
        text = f"{len(figure)} keys, sum {sum(figure.values())}"
    else:
        text = str(figure)
    return text[:34]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
