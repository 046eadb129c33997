"""Aggregates of groups: one value per group from one column of rows.

``codes`` gives each row's group (-1: none). Missing values are left out of every aggregate; what is
not a number, NaN included, is left out of those that calculate. Durations and times calculate among
themselves. Whole numbers are added exactly. ``sum`` of nothing is 0, everything else of nothing is
missing; ``stddev`` is that of a sample; ``pNN`` is nearest-rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from matrix.query.engine.combine import merge
from matrix.query.engine.order import as_floats, first_rows, ranks
from matrix.query.engine.value import NUMBERS, Array, Lane, Type, Value, from_objects

_ADDS_EXACTLY = 2.0**53  # float64 adds whole numbers exactly below this


def aggregate(
    function: str,
    value: Value,
    codes: Array,
    count: int,
    *,
    percentile: float | None = None,
    nothing: Type = Type.INT,
    is_nan_left_out: bool = True,
) -> Value:
    """The aggregate of each of ``count`` groups; ``nothing`` is what a sum of no values is (a number or a duration).

    NaN counts where values are sums already: then it is what a sum of infinities came to.
    """
    if function == "count":
        return number_of(value.present(), codes, count)
    if function == "distinct":
        return _distinct(value, codes, count)
    if function in ("first", "last"):
        return value.take(_end_rows(value.present(), codes, count, is_first=function == "first"))
    result = Value.missing(count)
    for types in (frozenset({Type.DURATION}), frozenset({Type.TIME}), NUMBERS):
        lanes = tuple(lane for lane in value.lanes if lane.type in types)
        if lanes:
            part = _of_quantities(function, Value(value.count, lanes), codes, count, percentile, is_nan_left_out)
            result = merge(result, part.where(~result.present()))
    if function == "sum":
        zero = Value.of(nothing, np.zeros(count, np.int64))
        result = merge(result, zero.where(~result.present())) if result.lanes else zero
    elif not result.lanes and count == 0:
        result = Value.of(Type.FLOAT, np.zeros(0))  # no groups at all: still a column of numbers
    return result


def number_of(mask: Array | None, codes: Array, count: int) -> Value:
    """How many rows of each group are true in ``mask`` (None: all of them)."""
    rows = codes >= 0 if mask is None else mask & (codes >= 0)
    return Value.of(Type.INT, np.bincount(codes if rows.all() else codes[rows], minlength=count).astype(np.int64))


def unfit(function: str, value: Value) -> list[tuple[Type, Array]]:
    """The rows that a calculating aggregate leaves out because they hold no number, by what they hold."""
    if function in ("count", "distinct", "first", "last"):
        return []
    return [
        (lane.type, lane.mask(value.count)) for lane in value.lanes if lane.type in (Type.TEXT, Type.BOOL, Type.OTHER)
    ]


def _distinct(value: Value, codes: Array, count: int) -> Value:
    groups = codes[different(value, codes)]
    return Value.of(Type.INT, np.bincount(groups, minlength=count).astype(np.int64))


def different(value: Value, codes: Array) -> Array:
    """A row of each different value of each group."""
    found = ranks(value)
    rows = np.flatnonzero((found.codes >= 0) & (codes >= 0))
    width = len(found.firsts) + 1
    return rows[first_rows(codes[rows] * width + found.codes[rows])]


def _end_rows(mask: Array, codes: Array, count: int, *, is_first: bool) -> Array:
    """The first or last row of each group where the mask is true; -1 without one."""
    rows = np.flatnonzero(mask & (codes >= 0))
    found = np.full(count, -1, np.int64)
    rows = rows[::-1] if is_first else rows
    found[codes[rows]] = rows  # the last assignment to a group stays
    return found


# -- quantities: numbers of any lane, or microseconds ------------------------------------------------


@np.errstate(invalid="ignore", over="ignore")  # infinities in data: their differences are NaN, and that is the answer
def _of_quantities(
    function: str, value: Value, codes: Array, count: int, percentile: float | None, is_nan_left_out: bool = True
) -> Value:
    lane = value.only
    rows, groups = fit_rows(value, codes, is_nan_left_out=is_nan_left_out)
    is_whole = len(rows) == value.count
    if lane is None or lane.type is Type.BIG:
        return _by_python(function, value, rows, groups, count, percentile)
    numbers = lane.spread(value.count).values
    numbers = numbers if is_whole else numbers[rows]
    if function in ("min", "max"):
        return _extremes(function, lane.type, numbers, groups, count)
    if function == "median" and numbers.dtype == np.int64 and _is_large(numbers):
        return _by_python(function, value, rows, groups, count, percentile)
    if function in ("percentile", "median"):
        return _by_rank(function, lane.type, numbers, groups, count, percentile)
    sums = totals(numbers, groups, count)
    if sums is None:
        return _by_python(function, value, rows, groups, count, percentile)
    sizes = np.bincount(groups, minlength=count)
    if function == "sum":
        return _filled(lane.type, sums, sizes > 0)
    mean = sums / np.maximum(sizes, 1)
    if function == "avg":
        return rounded(lane.type, mean, sizes > 0)
    assert function == "stddev", f"unknown aggregate {function}"
    deviations = numbers - mean[groups]
    squares = np.bincount(groups, deviations * deviations, minlength=count)
    return rounded(lane.type, np.sqrt(squares / np.maximum(sizes - 1, 1)), sizes > 1)


def fit_rows(value: Value, codes: Array, *, is_nan_left_out: bool = True) -> tuple[Array, Array]:
    """The rows of a column of quantities that an aggregate is of, and their groups."""
    mask = value.present() & (codes >= 0)
    floats = value.lane(Type.FLOAT)
    if floats is not None and is_nan_left_out:
        here = floats.mask(value.count)
        mask &= ~(here & np.isnan(np.where(here, floats.values, 0.0)))
    if mask.all():
        return np.arange(value.count), codes
    rows = np.flatnonzero(mask)
    return rows, codes[rows]


def totals(numbers: Array, groups: Array, count: int) -> Array | None:
    """The sum of each group; None when int64 or the float mean could not hold it exactly."""
    if count == 1:
        if numbers.dtype == np.int64 and len(numbers):
            bound = max(-int(numbers.min()), int(numbers.max())) * len(numbers)
            return np.array([numbers.sum()]) if bound < _ADDS_EXACTLY else None
        return np.array([numbers.sum()])
    if numbers.dtype != np.int64:
        return np.bincount(groups, numbers, minlength=count)
    sums = np.bincount(groups, numbers, minlength=count)
    bounds = np.bincount(groups, np.abs(numbers, dtype=np.float64), minlength=count)
    return sums.astype(np.int64) if not len(bounds) or bounds.max() < _ADDS_EXACTLY else None


def _is_large(numbers: Array) -> bool:
    """Whether some of these whole numbers are no floats."""
    return len(numbers) > 0 and max(-int(numbers.min()), int(numbers.max())) > _ADDS_EXACTLY


def _filled(type: Type, values: Array, present: Array) -> Value:
    dtype = np.float64 if type is Type.FLOAT else np.int64
    return Value(len(values), (Lane(type, values.astype(dtype), None if present.all() else present),))


def rounded(type: Type, values: Array, present: Array) -> Value:
    """Means: a float of numbers, whole microseconds of durations and times."""
    if type in (Type.DURATION, Type.TIME):
        return _filled(type, np.rint(np.where(present, values, 0)), present)
    return _filled(Type.FLOAT, np.where(present, values, 0.0), present)


def _extremes(function: str, type: Type, numbers: Array, groups: Array, count: int) -> Value:
    smallest = function == "min"
    if numbers.dtype == np.int64:
        limits = np.iinfo(np.int64)
        start: Any = limits.max if smallest else limits.min
    else:
        start = np.inf if smallest else -np.inf
    found = np.full(count, start, numbers.dtype)
    if count == 1 and len(numbers):
        found[0] = numbers.min() if smallest else numbers.max()
    elif len(numbers):
        (np.minimum if smallest else np.maximum).at(found, groups, numbers)
    present = np.bincount(groups, minlength=count) > 0
    return _filled(type, np.where(present, found, 0), present)


def _by_rank(function: str, type: Type, numbers: Array, groups: Array, count: int, percentile: float | None) -> Value:
    """Median and percentiles: values in order within their group, then the one at a rank."""
    sizes = np.bincount(groups, minlength=count)
    firsts = np.cumsum(sizes) - sizes
    present = sizes > 0
    ordered = np.append(_by_group(numbers, groups, firsts, sizes), numbers.dtype.type(0))
    if function == "percentile":
        assert percentile is not None, "a percentile comes with its number"
        place = firsts + nearest_ranks(percentile, sizes) - 1
        return _filled(type, ordered[np.where(present, place, len(numbers))], present)
    low = ordered[np.where(present, firsts + (np.maximum(sizes, 1) - 1) // 2, len(numbers))]
    high = ordered[np.where(present, firsts + sizes // 2, len(numbers))]
    is_odd = present & (sizes % 2 == 1)
    middles = rounded(type, (low + high.astype(np.float64)) / 2, present & ~is_odd)
    return merge(_filled(type, low, is_odd).where(is_odd), middles.where(present & ~is_odd))


def _by_group(numbers: Array, groups: Array, firsts: Array, sizes: Array) -> Array:
    """The numbers by group, and in ascending order within each."""
    if len(sizes) == 1:
        return np.sort(numbers)
    if len(sizes) > np.iinfo(np.uint16).max:
        return numbers[np.lexsort((numbers, groups))]
    # a radix sort of narrow codes, then plain sorts: several times quicker than sorting by two keys
    ordered: Array = numbers[np.argsort(groups.astype(np.uint16), kind="stable")]
    for first, size in zip(firsts.tolist(), sizes.tolist(), strict=True):
        ordered[first : first + size].sort()
    return ordered


def nearest_ranks(percentile: float, sizes: Array) -> Array:
    """The rank, from 1, of a percentile among so many values."""
    return np.maximum(np.array([math.ceil(percentile / 100 * size) for size in sizes.tolist()], np.int64), 1)


# -- the slow and exact way ------------------------------------------------------------------------


def _by_python(function: str, value: Value, rows: Array, groups: Array, count: int, percentile: float | None) -> Value:
    """With Python's numbers: for mixed ints and floats, and sums beyond 2**53."""
    quick = _mixed_floats(function, value, rows, groups, count)
    if quick is not None:
        return quick
    members: list[list[Any]] = [[] for _ in range(count)]
    objects = value.objects()
    for row, group in zip(rows.tolist(), groups.tolist(), strict=True):
        members[group].append(objects[row])
    types = {lane.type for lane in value.lanes}
    times = types & {Type.DURATION, Type.TIME}
    found = [_of_list(function, numbers, percentile) for numbers in members]
    if not times:
        return from_objects(found)
    return from_objects([None if number is None else round(number) for number in found], next(iter(times)))


def _mixed_floats(function: str, value: Value, rows: Array, groups: Array, count: int) -> Value | None:
    """Averages of ints and floats together lose nothing as floats; other aggregates keep each number's own type."""
    if function not in ("avg", "stddev") or not {lane.type for lane in value.lanes} <= {Type.INT, Type.FLOAT}:
        return None
    if len(value.lanes) < 2:
        return None
    numbers = as_floats(value, rows)
    if numbers is None:
        return None
    floats = np.zeros(value.count)
    floats[rows] = numbers
    present = np.zeros(value.count, bool)
    present[rows] = True
    codes = np.full(value.count, -1)
    codes[rows] = groups
    return _of_quantities(function, Value.of(Type.FLOAT, floats, present), codes, count, None)


def _of_list(function: str, numbers: Sequence[Any], percentile: float | None) -> Any:
    if function == "sum":
        return sum(numbers) if numbers else None
    if not numbers or (function == "stddev" and len(numbers) < 2):
        return None
    if function == "percentile":
        assert percentile is not None, "a percentile comes with its number"
        return sorted(numbers)[max(math.ceil(percentile / 100 * len(numbers)), 1) - 1]
    return _PLAINLY[function](numbers)


def _mean(numbers: Sequence[Any]) -> Any:
    return sum(numbers) / len(numbers)


def _median(numbers: Sequence[Any]) -> Any:
    ordered, half = sorted(numbers), len(numbers) // 2
    return ordered[half] if len(numbers) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _deviation(numbers: Sequence[Any]) -> float:
    mean = _mean(numbers)
    return math.sqrt(sum((number - mean) ** 2 for number in numbers) / (len(numbers) - 1))


_PLAINLY: dict[str, Callable[[Sequence[Any]], Any]] = {
    "avg": _mean,
    "min": min,
    "max": max,
    "median": _median,
    "stddev": _deviation,
}
