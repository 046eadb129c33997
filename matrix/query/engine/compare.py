"""Comparisons of dynamically typed columns: two-valued, exact, nothing converted.

Every function returns a `Match`: which rows hold, and which had two values that cannot be compared
(a text against a number), for the notice that the result carries. A missing side never holds,
except that missing = missing does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matrix.query.engine.value import NUMBERS, Array, Lane, Type, Value, on_words, plain

_TWO_63 = 2.0**63  # the first float above every int64
_EXACT = 2**53  # whole numbers up to here are floats exactly
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARROW = {"=": pc.equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal}


class Match(NamedTuple):
    holds: Array  # bool per row
    unlike: Array | None  # rows whose two values are of types that do not compare; None: no row


def compare(op: str, a: Value, b: Value) -> Match:
    """``a op b`` row by row; ``op`` is one of = < <= > >=.

    >>> compare("<", Value.one(1, 2), Value.one(1.5, 2)).holds.tolist()
    [True, True]
    """
    count = a.count
    holds = np.zeros(count, bool)
    unlike: Array | None = None
    for x in a.lanes:
        for y in b.lanes:
            both = _both(x, y, count)
            if _comparable(op, x.type, y.type):
                holds |= _compare_lanes(op, x, y, both, count)
            elif both is None or both.any():
                both = np.ones(count, bool) if both is None else both
                unlike = both if unlike is None else unlike | both
    if op == "=" and _may_miss(a) and _may_miss(b):
        holds |= ~(a.present() | b.present())
    return Match(holds, unlike)


def _may_miss(a: Value) -> bool:
    return all(lane.present is not None for lane in a.lanes)


def _both(x: Lane, y: Lane, count: int) -> Array | None:
    """The rows in which both lanes are present; None means all."""
    if x.present is None:
        return y.present
    return x.present if y.present is None else x.present & y.present


def _comparable(op: str, x: Type, y: Type) -> bool:
    if x in NUMBERS and y in NUMBERS:
        return True
    return x is y and (op == "=" or x not in (Type.BOOL, Type.OTHER))


def _compare_lanes(op: str, x: Lane, y: Lane, both: Array | None, count: int) -> Array:
    if x.type is Type.TEXT:
        result = _compare_texts(op, x, y)
    elif Type.BIG in (x.type, y.type) or x.type is Type.OTHER:
        return _compare_objects(op, x, y, both, count)
    elif x.type is y.type:
        result = _OPERATORS[op](x.values, y.values)
    elif x.type is Type.INT:
        result = _int_against_float(op, x.values, y.values)
    else:
        result = _int_against_float(_flipped(op), y.values, x.values)
    whole: Array = np.broadcast_to(result, count)
    return whole if both is None else whole & both


def _flipped(op: str) -> str:
    return {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(op, op)


def _int_against_float(op: str, x: Array, y: Array) -> Array:
    """Exact by value: rounding an int64 to a float keeps order, so only equal floats need a second look."""
    rounded = x.astype(np.float64)
    tied = rounded == y
    fits = tied & (y < _TWO_63)
    exact = np.where(fits, y, 0).astype(np.int64)
    equal = fits & (x == exact)
    result: Array
    if op == "=":
        result = equal
    elif op in ("<", "<="):
        result = (rounded < y) | (tied & ~fits) | (fits & (x < exact))
    else:
        result = (rounded > y) | (fits & (x > exact))
    return result | equal if op in ("<=", ">=") else result


def _compare_texts(op: str, x: Lane, y: Lane) -> Array:
    # UTF-8 bytes sort as code points do, so Arrow's order is the language's
    function = _ARROW[op]
    if y.is_one:
        return as_mask(on_words(x.values, lambda words: function(words, plain(y.values)[0])))
    if x.is_one:
        return as_mask(on_words(y.values, lambda words: function(plain(x.values)[0], words)))
    return as_mask(function(plain(x.values), plain(y.values)))


def as_mask(values: pa.Array | pa.ChunkedArray) -> Array:
    """An Arrow boolean array as a mask, null counting as false."""
    return np.asarray(pc.fill_null(values, False))


def _compare_objects(op: str, x: Lane, y: Lane, both: Array | None, count: int) -> Array:
    result = np.zeros(count, bool)
    rows = np.arange(count) if both is None else np.flatnonzero(both)
    if not len(rows):
        return result
    same, compare_two = x.type is Type.OTHER, _OPERATORS[op]
    left, right = x.spread(count).values[rows].tolist(), y.spread(count).values[rows].tolist()
    result[rows] = [equal(a, b) if same else compare_two(a, b) for a, b in zip(left, right, strict=True)]
    return result


def equal(a: Any, b: Any) -> bool:
    """Equality of two payload values, at any depth: 1 = 1.0, but true is not 1.

    >>> equal([1, {"a": None}], [1.0, {}]), equal(True, 1)
    (True, False)
    """
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        # a key whose value is null is as good as absent
        names = {k for k, v in a.items() if v is not None} | {k for k, v in b.items() if v is not None}
        return all(equal(a.get(name), b.get(name)) for name in names)
    return bool(a == b)


# -- text and membership --------------------------------------------------------------------------


def contains(a: Value, b: Value) -> Match:
    """b is a part of the text a, or an element of the list a."""
    match = _with_text(a, b, pc.match_substring, lambda text, part: part in text)
    lists = a.lane(Type.OTHER)
    if lists is None:
        return match
    elements, parts = lists.spread(a.count).values, b.objects()
    rows = np.flatnonzero(lists.mask(a.count))
    for row in rows:
        items = elements[row]
        match.holds[row] = (
            isinstance(items, list) and parts[row] is not None and any(equal(v, parts[row]) for v in items)
        )
    return Match(match.holds, _without(match.unlike, lists.mask(a.count)))


def starts_with(a: Value, b: Value) -> Match:
    return _with_text(a, b, pc.starts_with, str.startswith)


def ends_with(a: Value, b: Value) -> Match:
    return _with_text(a, b, pc.ends_with, str.endswith)


def _without(mask: Array | None, rows: Array) -> Array | None:
    return None if mask is None else mask & ~rows


def _with_text(a: Value, b: Value, on_column: Callable[..., pa.Array], on_pair: Callable[[str, str], bool]) -> Match:
    texts, parts = a.lane(Type.TEXT), b.lane(Type.TEXT)
    holds = np.zeros(a.count, bool)
    both_present = a.present() & b.present()
    if texts is None or parts is None:
        return Match(holds, both_present if both_present.any() else None)
    alike = texts.mask(a.count) & parts.mask(a.count)
    if parts.is_one:
        part = plain(parts.values)[0].as_py()
        found = as_mask(on_words(texts.spread(a.count).values, lambda words: on_column(words, part)))
        holds = found & alike
    else:
        left, right = Value(a.count, (texts,)).objects(), Value(a.count, (parts,)).objects()
        holds = np.fromiter(
            (x is not None and y is not None and on_pair(x, y) for x, y in zip(left, right, strict=True)), bool, a.count
        )
    unlike = both_present & ~alike
    return Match(holds, unlike if unlike.any() else None)


def matches(a: Value, pattern: str, flags: str) -> Match:
    """The RE2 pattern occurs anywhere in the text a."""
    full = f"(?{flags}){pattern}" if flags else pattern
    texts = a.lane(Type.TEXT)
    others = [lane for lane in a.lanes if lane.type is not Type.TEXT]
    unlike = Value(a.count, tuple(others)).present() if others else None
    if texts is None:
        return Match(np.zeros(a.count, bool), unlike)
    whole = texts.spread(a.count)
    found = as_mask(on_words(whole.values, lambda words: pc.match_substring_regex(words, full)))
    return Match(found & whole.mask(a.count), unlike)


def is_in(a: Value, members: Sequence[Value]) -> Match:
    """a equals one of the members; unlike only where it compares with none of them."""
    texts = _constant_texts(members)
    if texts is not None and a.only is not None and a.only.type is Type.TEXT:
        found = on_words(a.only.spread(a.count).values, lambda words: pc.is_in(words, value_set=texts))
        return Match(as_mask(found) & a.only.mask(a.count), None)
    numbers = _constant_numbers(members)
    if numbers is not None and a.lanes and all(lane.type in (Type.INT, Type.FLOAT) for lane in a.lanes):
        return Match(_among_numbers(a, numbers), None)
    holds, unlike = np.zeros(a.count, bool), None
    for i, member in enumerate(members):
        match = compare("=", a, member)
        holds |= match.holds
        nothing = np.zeros(a.count, bool)
        here = nothing if match.unlike is None else match.unlike
        unlike = here if i == 0 or unlike is None else unlike & here
    return Match(holds, unlike if unlike is not None and unlike.any() else None)


def _constant_numbers(members: Sequence[Value]) -> list[int | float] | None:
    """Numbers that are the same as int64 and as float64, if all members are such constants."""
    lanes = [member.only for member in members]
    if not lanes or not all(lane is not None and lane.is_one and lane.type in (Type.INT, Type.FLOAT) for lane in lanes):
        return None
    numbers: list[int | float] = [lane.values[0].item() for lane in lanes if lane is not None]
    return numbers if all(abs(number) <= _EXACT for number in numbers) else None


def _among_numbers(a: Value, numbers: list[int | float]) -> Array:
    """Which rows hold one of these numbers, by value: 3 is 3.0."""
    found = np.zeros(a.count, bool)
    wholes = np.array([int(number) for number in numbers if number == int(number)], np.int64)
    for lane in a.lanes:
        values = lane.spread(a.count).values
        found |= np.isin(values, wholes if lane.type is Type.INT else np.array(numbers, float)) & lane.mask(a.count)
    return found


def _constant_texts(members: Sequence[Value]) -> pa.Array | None:
    lanes = [member.only for member in members]
    if not lanes or not all(lane is not None and lane.is_one and lane.type is Type.TEXT for lane in lanes):
        return None
    return pa.concat_arrays([plain(lane.values) for lane in lanes if lane is not None])
