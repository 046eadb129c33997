"""Funnels: how many rows come how far along a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from matrix.query import syntax as q
from matrix.testing import plain_values as plain
from matrix.testing.naive_groups import key_rank
from matrix.testing.naive_rows import Row
from matrix.testing.naive_sequences import first_match
from matrix.testing.world import Duration

if TYPE_CHECKING:
    from matrix.testing.naive_conditions import Evaluator


def funnelled(evaluator: Evaluator, stage: q.Funnel, rows: Sequence[Row], text: str) -> list[dict[str, Any]]:
    """A row of columns for each step in each group, the groups in order of their keys."""
    groups: dict[Any, list[Row]] = {} if stage.keys else {(): []}
    keys: dict[Any, list[Any]] = {} if stage.keys else {(): []}
    for row in rows:
        shown = [evaluator.value(column.expr, (row,)) for column in stage.keys]
        key = tuple(plain.group_key(value) for value in shown)
        keys.setdefault(key, shown)
        groups.setdefault(key, []).append(row)
    names = [column.name for column in stage.keys]
    found = []
    for key in sorted(groups, key=lambda key: [key_rank(value) for value in keys[key]]):
        shown_keys = dict(zip(names, keys[key], strict=True))
        found += [shown_keys | columns for columns in steps_of(evaluator, stage.sequence, groups[key], text)]
    return found


def steps_of(evaluator: Evaluator, sequence: q.Sequence, rows: Sequence[Row], text: str) -> list[dict[str, Any]]:
    """One row for each step of the sequence: how many of these rows have it up to there, and how fast."""
    found: list[dict[str, Any]] = []
    for number, step in enumerate(sequence.steps, 1):
        prefix, later = prefix_of(sequence, number)
        matches = [first_match(evaluator, prefix, (row,), names=later) for row in rows]
        times = [match.duration for match in matches if match is not None]
        first = found[0]["reached"] if found else len(times)
        columns = {
            "step": number,
            "event": label(step, text),
            "reached": len(times),
            "share": len(times) / first if first else None,
            "median_time": median(times),
        }
        found.append(columns)
    return found


def prefix_of(sequence: q.Sequence, count: int) -> tuple[q.Sequence, list[str]]:
    """The first steps as a sequence of their own, and the names of the later ones; only the whole has its absence."""
    if count == len(sequence.steps):
        return sequence, []
    prefix = replace(sequence, steps=sequence.steps[:count], absent=None)
    return prefix, [step.name for step in sequence.steps[count:] if step.name]


def label(step: q.Step, text: str) -> str:
    """A step as it was written, without its role."""
    written = " or ".join(text[slice(*pattern.span)] for pattern in step.patterns)
    return f"{written} {step.times} times" if step.times > 1 else written


def median(times: Sequence[int]) -> Duration | None:
    """The middle one, or the mean of the two in the middle in whole microseconds, half to even."""
    if not times:
        return None
    ranked, middle = sorted(times), len(times) // 2
    if len(times) % 2:
        return Duration(ranked[middle])
    return Duration(round(Fraction(ranked[middle - 1] + ranked[middle], 2)))
