"""Averages and deviations that can be put together from pieces: number, mean and squares of each group.

The squares are those of the distances from the group's own mean, so nothing is lost where values are
large and alike. Putting groups together adds to them the squares of the distances of their means.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from matrix.query.engine.aggregate import fit_rows, rounded, totals
from matrix.query.engine.order import as_floats
from matrix.query.engine.value import NUMBERS, Array, Type, Value, from_objects

_EXACT = 2**53  # whole numbers up to here are floats exactly


class Moments(NamedTuple):
    """Of each group: how many numbers, their mean, and the sum of squared distances from it."""

    sizes: Array
    means: Array
    squares: Array


def sizes_of(value: Value, codes: Array, count: int) -> Array:
    """How many numbers (or durations, or times) each group has."""
    return np.bincount(fit_rows(_quantities(value), codes)[1], minlength=count)


@np.errstate(invalid="ignore", over="ignore")  # infinities in data: their differences are NaN, and that is the answer
def moments(value: Value, codes: Array, count: int) -> Moments:
    """Of the numbers, durations or times in a column."""
    value = _quantities(value)
    rows, groups = fit_rows(value, codes)
    sizes = np.bincount(groups, minlength=count)
    lane = value.only
    numbers = as_floats(value, rows) if lane is None or lane.type is Type.BIG else lane.spread(value.count).values[rows]
    sums = None if numbers is None else totals(numbers, groups, count)
    if numbers is None or sums is None:
        return _by_python(value, rows, groups, count)
    means = sums / np.maximum(sizes, 1)
    return Moments(sizes, means, _squares(numbers - means[groups], groups, count))


def _quantities(value: Value) -> Value:
    """Only what can be calculated with."""
    for types in (frozenset({Type.DURATION}), frozenset({Type.TIME}), NUMBERS):
        lanes = tuple(lane for lane in value.lanes if lane.type in types)
        if lanes:
            return Value(value.count, lanes)
    return Value.missing(value.count)


def _squares(distances: Array, groups: Array, count: int) -> Array:
    return np.bincount(groups, distances * distances, minlength=count)


def _by_python(value: Value, rows: Array, groups: Array, count: int) -> Moments:
    """With Python's numbers, where float64 could not hold the sum exactly."""
    members: list[list[Any]] = [[] for _ in range(count)]
    objects = value.objects()
    for row, group in zip(rows.tolist(), groups.tolist(), strict=True):
        members[group].append(objects[row])
    means = [sum(numbers) / len(numbers) if numbers else 0.0 for numbers in members]
    squares = [sum((n - mean) ** 2 for n in numbers) for numbers, mean in zip(members, means, strict=True)]
    return Moments(np.array([len(numbers) for numbers in members]), np.array(means), np.array(squares, np.float64))


def mean_of(total: Value, sizes: Array) -> Value:
    """Sums divided by how many numbers they are of: missing where there are none."""
    lane = total.only
    if lane is None or lane.type is Type.BIG or (lane.values.dtype == np.int64 and _is_large(lane.values)):
        types = {lane.type for lane in total.lanes} & {Type.DURATION, Type.TIME}
        pairs = zip(total.objects(), sizes.tolist(), strict=True)
        found = [None if sum_ is None or not size else sum_ / size for sum_, size in pairs]
        if not types:
            return from_objects(found)
        return from_objects([None if mean is None else round(mean) for mean in found], types.pop())
    values = lane.spread(total.count).values
    return rounded(lane.type, values / np.maximum(sizes, 1), lane.mask(total.count) & (sizes > 0))


def _is_large(values: Array) -> bool:
    return len(values) > 0 and max(-int(values.min()), int(values.max())) >= _EXACT


@np.errstate(invalid="ignore", over="ignore")
def deviation_of(pieces: Moments, codes: Array, count: int, type: Type) -> Value:
    """The deviation of a sample in each of ``count`` groups, from pieces of groups; ``type`` is of its values."""
    sizes = np.bincount(codes, pieces.sizes, minlength=count)
    means = np.bincount(codes, pieces.sizes * pieces.means, minlength=count) / np.maximum(sizes, 1)
    apart = pieces.means - means[codes]
    squares = np.bincount(codes, pieces.squares + pieces.sizes * apart * apart, minlength=count)
    return rounded(type, np.sqrt(squares / np.maximum(sizes - 1, 1)), sizes > 1)
