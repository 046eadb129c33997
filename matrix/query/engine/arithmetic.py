"""Arithmetic on dynamically typed columns.

A missing side, a side that is not a number, and division by zero give a missing value. Whole
numbers stay exact however large they grow: what leaves int64 goes on as Python ints. Durations and
times are whole microseconds, rounded half to even.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from matrix.query.engine.combine import merge
from matrix.query.engine.value import INT64_MAX, INT64_MIN, NUMBERS, Array, Lane, Type, Value, from_objects

_SAFE = 2.0**62  # an estimate below this cannot have left int64
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
_TIMES = {Type.DURATION, Type.TIME}


class Computed(NamedTuple):
    value: Value
    unlike: Array | None  # rows whose two values could not be computed with


def arithmetic(op: str, a: Value, b: Value) -> Computed:
    """``a op b`` row by row; ``op`` is one of + - * / %.

    >>> arithmetic("/", Value.one(7, 1), Value.one(2, 1)).value.objects()
    [3.5]
    """
    count = a.count
    result, unlike = Value.missing(count), None
    for x in a.lanes:
        for y in b.lanes:
            both = x.mask(count) & y.mask(count)
            if not both.any():
                continue
            if _kind(op, x.type, y.type) is None:
                unlike = both if unlike is None else unlike | both
            else:
                result = merge(result, _pair(op, x, y, both))
    return Computed(result, unlike)


def _kind(op: str, x: Type, y: Type) -> Type | None:
    """What ``x op y`` is; FLOAT stands for any number, None for what cannot be computed."""
    if x in NUMBERS and y in NUMBERS:
        return Type.FLOAT
    if op in "+-" and x is Type.DURATION and y is Type.DURATION:
        return Type.DURATION
    if (op in "+-" and (x, y) == (Type.TIME, Type.DURATION)) or (op == "+" and (x, y) == (Type.DURATION, Type.TIME)):
        return Type.TIME
    if op == "-" and x is Type.TIME and y is Type.TIME:
        return Type.DURATION
    if op in "*/" and x is Type.DURATION and y in NUMBERS:
        return Type.DURATION
    if op == "*" and x in NUMBERS and y is Type.DURATION:
        return Type.DURATION
    return Type.FLOAT if op == "/" and x is Type.DURATION and y is Type.DURATION else None


def _pair(op: str, x: Lane, y: Lane, both: Array) -> Value:
    """The result in the rows of ``both``, computed on those rows only."""
    count = len(both)
    rows = np.flatnonzero(both)
    left, right = _at(x, rows), _at(y, rows)
    kind = _kind(op, x.type, y.type)
    if op in "/%":
        nonzero = np.broadcast_to(right != 0, len(rows))
        if not nonzero.all():
            rows, left, right = rows[nonzero], _keep(left, nonzero), _keep(right, nonzero)
    if not len(rows):
        return Value.missing(count)
    if kind in _TIMES or Type.DURATION in (x.type, y.type):
        value = _microseconds(op, left, right, kind or Type.FLOAT)
    else:
        value = _numbers(op, left, right)
    if value.count == 1:
        value = Value(len(rows), value.lanes)  # two literals: one value for all rows
    if len(rows) == count:
        return value
    back = np.full(count, -1)
    back[rows] = np.arange(len(rows))
    return value.take(back)


def _at(lane: Lane, rows: Array) -> Array:
    values: Array = lane.values if lane.is_one else lane.values[rows]
    return values


def _keep(values: Array, mask: Array) -> Array:
    return values if len(values) == 1 and len(mask) != 1 else values[mask]


def _numbers(op: str, x: Array, y: Array) -> Value:
    count = max(len(x), len(y)) if len(x) and len(y) else 0
    compute = _OPERATORS[op]
    if count == 0:
        return Value.missing(0)
    if x.dtype == object or y.dtype == object:
        return _exactly(op, x, y, count)
    with np.errstate(all="ignore"):
        if op == "/" and x.dtype == np.int64 and y.dtype == np.int64 and _beyond_53_bits(x, y):
            return _exactly(op, x, y, count)  # Python rounds the true quotient once
        if op in "+-*" and x.dtype == np.int64 and y.dtype == np.int64:
            estimate = np.abs(compute(x.astype(np.float64), y.astype(np.float64)))
            if estimate.max() >= _SAFE:
                return _exactly(op, x, y, count)
        result: Array = np.broadcast_to(compute(x, y), count)
    return Value.of(Type.INT if result.dtype == np.int64 else Type.FLOAT, result)


def _beyond_53_bits(x: Array, y: Array) -> bool:
    return bool(max(abs(int(x.max())), abs(int(x.min())), abs(int(y.max())), abs(int(y.min()))) > 2**53)


def _exactly(op: str, x: Array, y: Array, count: int) -> Value:
    """With Python's own numbers, one by one."""
    compute = _OPERATORS[op]
    left, right = np.broadcast_to(x, count).tolist(), np.broadcast_to(y, count).tolist()
    return from_objects([_or_missing(compute, a, b) for a, b in zip(left, right, strict=True)])


def _or_missing(compute: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    try:
        return compute(a, b)
    except OverflowError:  # an int too large for a float
        return None


def _microseconds(op: str, x: Array, y: Array, kind: Type) -> Value:
    """Durations and times: whole microseconds; what does not fit in 292,000 years is missing."""
    plain = _numbers(op, x, y)
    if kind not in _TIMES:
        return plain
    result = Value.missing(plain.count)
    for lane in plain.lanes:
        if lane.type is Type.INT:
            result = merge(result, Value(plain.count, (Lane(kind, lane.values, lane.present),)))
        elif lane.type is Type.FLOAT:
            fits = (np.abs(lane.values) < 2.0**63) & lane.mask(plain.count)
            whole = np.where(fits, np.rint(np.where(fits, lane.values, 0)), 0).astype(np.int64)
            if fits.any():
                result = merge(result, Value(plain.count, (Lane(kind, whole, None if fits.all() else fits),)))
    return result


def negate(a: Value) -> Computed:
    """``-a``, of a number or a duration."""
    lanes: list[Value] = []
    unlike: Array | None = None
    for lane in a.lanes:
        if lane.type in NUMBERS:
            lanes.append(arithmetic("-", Value.one(0, a.count), Value(a.count, (lane,))).value)
        elif lane.type is Type.DURATION:
            lanes.append(Value(a.count, (Lane(lane.type, -lane.values, lane.present),)))
        else:
            unlike = lane.mask(a.count) if unlike is None else unlike | lane.mask(a.count)
    result = Value.missing(a.count)
    for part in lanes:
        result = merge(result, part)
    return Computed(result, unlike)


def total(values: Array) -> int | float:
    """The sum of an int64 or float64 array; whole numbers exactly."""
    if values.dtype != np.int64:
        return float(values.sum())
    if not len(values):
        return 0
    if float(np.abs(values.astype(np.float64)).sum()) < _SAFE:
        return int(values.sum())
    whole: int = sum(values.tolist())
    return whole


assert INT64_MIN < -_SAFE < _SAFE < INT64_MAX
