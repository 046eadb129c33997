"""Aggregates and groups, over plain lists.

Missing values are left out of every aggregate, and what is not a number (NaN is not one) is left out of
those that calculate.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from matrix.query import syntax as q
from matrix.testing import plain_values as plain
from matrix.testing.world import Duration, Time

if TYPE_CHECKING:
    from matrix.testing.naive_conditions import Evaluator
    from matrix.testing.naive_rows import Row

UNITS = {"time": Duration, "wall": Time}


def aggregate(
    function: str, values: Sequence[Any], percentile: float | None = None, *, of: q.Type = q.Type.NUMBER
) -> Any:
    """One aggregate of a list of values, None where they are missing; the sum of no durations is 0s.

    >>> aggregate("sum", [1, None, "x", 2.5]), aggregate("avg", []), aggregate("percentile", [3, 1, 2], 95.0)
    (3.5, None, 3)
    """
    present = [value for value in values if value is not None]
    if function == "count":
        return len(present)
    if function == "distinct":
        return len({plain.group_key(value) for value in present})
    if function in ("first", "last"):
        return present[0 if function == "first" else -1] if present else None
    found = of_quantities(function, present, percentile)
    return Duration(0) if function == "sum" and of is q.Type.DURATION and not present else found


def of_quantities(function: str, present: Sequence[Any], percentile: float | None) -> Any:
    """An aggregate that calculates: over numbers, or over all durations or all times."""
    for kind in (Duration, Time):
        found = [value.us for value in present if isinstance(value, kind)]
        if found:  # the mean of whole microseconds is a whole number of them
            us = of_numbers(function, found, percentile)
            return None if us is None else kind(round(us))
    return of_numbers(function, [v for v in present if plain.is_number(v) and v == v], percentile)


def of_numbers(function: str, numbers: Sequence[Any], percentile: float | None) -> Any:
    """An aggregate of plain numbers: of none of them a sum is 0, anything else is missing."""
    if function == "sum":
        return sum(numbers)
    if not numbers or (function == "stddev" and len(numbers) < 2):
        return None
    if function == "percentile":
        assert percentile is not None, "a percentile comes with its number"
        rank = math.ceil(percentile / 100 * len(numbers))  # nearest rank, counted from 1
        return sorted(numbers)[max(rank, 1) - 1]
    plainly: dict[str, Callable[[Sequence[Any]], Any]] = {
        "avg": lambda items: sum(items) / len(items),
        "min": min,
        "max": max,
        "median": statistics.median,
        "stddev": _deviation,
    }
    return plainly[function](numbers)


def _deviation(numbers: Sequence[Any]) -> Any:
    mean = sum(numbers) / len(numbers)
    return math.sqrt(sum((n - mean) * (n - mean) for n in numbers) / (len(numbers) - 1))


def aggregated(evaluator: Evaluator, stage: q.Aggregate, rows: list[Row]) -> list[dict[str, Any]]:
    """One row of columns per group, in order of the keys and then of the bucket."""
    groups: dict[Any, list[Row]] = {}
    keys: dict[Any, list[Any]] = {}
    for row in rows:
        shown = [evaluator.value(column.expr, (row,)) for column in stage.keys]
        shown += [bucket(evaluator, stage.per, row)] if stage.per else []
        key = tuple(plain.group_key(value) for value in shown)
        keys.setdefault(key, shown)
        groups.setdefault(key, []).append(row)
    if not stage.keys and stage.per is None:
        groups.setdefault((), [])
        keys.setdefault((), [])
    names = [column.name for column in stage.keys] + (["time"] if stage.per else [])
    found = []
    for key in sorted(groups, key=lambda key: [key_rank(value) for value in keys[key]]):
        columns = dict(zip(names, keys[key], strict=True))
        columns |= {column.name: over_group(evaluator, column.expr, groups[key]) for column in stage.values}
        found.append(columns)
    return found


def bucket(evaluator: Evaluator, per: q.Per, row: Row) -> Any:
    """The bucket a row falls into; missing when the row has no such value."""
    value = evaluator.value(per.value, (row,))
    if value is None:
        return None
    if per.unit == "turns":
        return value // per.width * per.width
    return UNITS[per.unit](value.us // per.width * per.width)


def key_rank(value: Any) -> tuple[int, Any]:
    """Where a key stands among others: as in a sort, anything odd by its JSON text, missing last."""
    if value is None:
        return (9, 0)
    kind, rank = plain.sort_rank(value)
    return (kind, json.dumps(plain.json_value(value), ensure_ascii=False)) if kind == 6 else (kind, rank)


def over_group(evaluator: Evaluator, expr: q.Expr, rows: list[Row]) -> Any:
    """A value of a group: aggregates of its rows, and arithmetic between them."""
    match expr:
        case q.AggregateCall(function="count", argument=None):
            return len(rows)
        case q.AggregateCall(function="count", argument=condition):
            assert condition is not None
            return sum(evaluator.holds(condition, (row,)) for row in rows)
        case q.AggregateCall(function=function, argument=argument, percentile=percentile):
            assert argument is not None, "only count has no argument"
            values = [evaluator.value(argument, (row,)) for row in rows]
            return aggregate(function, values, percentile, of=argument.type)
        case q.Arith(op=op, left=left, right=right):
            return plain.arithmetic(op, over_group(evaluator, left, rows), over_group(evaluator, right, rows))
    return evaluator.value(expr, ())
