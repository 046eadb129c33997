"""The order of dynamically typed values, for sorting, grouping and counting different ones.

Numbers (by value, NaN last), durations, times, texts by code point, false before true, then lists, maps
and bytes; missing comes last. 3 and 3.0 are one value, true and 1 are two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matrix.query.engine.functions import as_json
from matrix.query.engine.value import NUMBERS, Array, Lane, Type, Value, plain

_EXACT = 2**53  # whole numbers up to here are floats exactly


class Ranks(NamedTuple):
    """``codes``: 0.. in ascending order, equal values sharing one, -1 where missing; ``firsts``: a row of each code."""

    codes: Array
    firsts: Array


def ranks(value: Value, *, tell_others_apart: bool = True) -> Ranks:
    """Dense ranks of a column.

    >>> ranks(Value.of(Type.INT, np.array([30, 10, 30]))).codes.tolist()
    [1, 0, 1]
    """
    codes = np.full(value.count, -1, np.int64)
    firsts: list[Array] = []
    found = 0
    numbers = Value(value.count, tuple(lane for lane in value.lanes if lane.type in NUMBERS))
    groups: list[Value | Lane] = [numbers] if numbers.lanes else []
    groups += [lane for lane in sorted(value.lanes, key=lambda lane: lane.type) if lane.type not in NUMBERS]
    for group in groups:
        if isinstance(group, Value):
            rows = np.flatnonzero(group.present())
            inner, representatives = _rank_numbers(group, rows)
        else:
            rows = np.flatnonzero(group.mask(value.count))
            inner, representatives = _rank_lane(group.spread(value.count), rows, tell_others_apart)
        codes[rows] = inner + found
        firsts.append(rows[representatives])
        found += len(representatives)
    return Ranks(codes, np.concatenate(firsts) if firsts else np.empty(0, np.int64))


def _rank_numbers(numbers: Value, rows: Array) -> tuple[Array, Array]:
    """Dense ranks among numbers, exact across ints and floats."""
    lane = numbers.only
    if lane is not None and lane.type is not Type.BIG:
        return _unique(lane.spread(numbers.count).values[rows])
    floats = as_floats(numbers, rows)
    if floats is not None:
        return _unique(floats)
    objects = np.empty(len(rows), object)
    objects[:] = [number for number in numbers.objects() if number is not None]
    return _unique_objects(objects.tolist())


def as_floats(numbers: Value, rows: Array) -> Array | None:
    """INT and FLOAT lanes as floats, if that loses nothing."""
    out = np.zeros(numbers.count)
    for lane in numbers.lanes:
        if lane.type is Type.BIG:
            return None
        values = lane.spread(numbers.count).values
        mask = lane.mask(numbers.count)
        here = values[mask]
        if lane.type is Type.INT and len(here) and max(abs(int(here.min())), abs(int(here.max()))) > _EXACT:
            return None
        out[mask] = here
    return out[rows]


def _unique(values: Array) -> tuple[Array, Array]:
    if values.dtype == np.int64 and len(values):
        low, high = int(values.min()), int(values.max())
        if high - low < 2 * len(values) + 1024:  # dense: count instead of sorting
            return _unique_dense(values - low, high - low + 1)
    _, firsts, codes = np.unique(values, return_index=True, return_inverse=True)
    return codes.reshape(-1), firsts


def _unique_dense(values: Array, width: int) -> tuple[Array, Array]:
    firsts = np.full(width, -1, np.int64)
    firsts[values[::-1]] = np.arange(len(values) - 1, -1, -1)
    known = firsts >= 0
    renumbered = np.cumsum(known) - 1
    return renumbered[values], firsts[known]


def first_rows(keys: Array) -> Array:
    """The first row of each different whole number, in the order of the numbers."""
    return _unique(keys)[1] if len(keys) else np.empty(0, np.int64)


def _unique_objects(values: Sequence[Any]) -> tuple[Array, Array]:
    """Ranks of Python numbers; NaN is one value, after all others."""
    order = sorted(
        range(len(values)), key=lambda i: (values[i] != values[i], 0 if values[i] != values[i] else values[i])
    )
    codes = np.zeros(len(values), np.int64)
    firsts: list[int] = []
    for place, i in enumerate(order):
        before = values[order[place - 1]] if place else None
        if place == 0 or not (values[i] == before or (values[i] != values[i] and before != before)):
            firsts.append(i)
        codes[i] = len(firsts) - 1
    return codes, np.array(firsts, np.int64)


def _rank_lane(lane: Lane, rows: Array, tell_others_apart: bool) -> tuple[Array, Array]:
    if lane.type is Type.TEXT:
        return _rank_texts(lane.values, rows)
    if lane.type is not Type.OTHER:
        return _unique(lane.values[rows])
    if not tell_others_apart:
        return np.zeros(len(rows), np.int64), np.zeros(min(1, len(rows)), np.int64)
    return _rank_others([lane.values[row] for row in rows.tolist()])


def _rank_texts(values: pa.Array, rows: Array) -> tuple[Array, Array]:
    """Texts by code point: ranked once per word."""
    chosen = values if len(rows) == len(values) else values.take(pa.array(rows))
    coded = chosen if pa.types.is_dictionary(chosen.type) else pc.dictionary_encode(chosen)
    ranked, _ = word_ranks(coded.dictionary)
    return _unique(ranked[coded.indices.to_numpy(zero_copy_only=False)])


def word_ranks(words: pa.Array) -> tuple[Array, pa.Array]:
    """The place of each word of a dictionary among the different ones, sorted by code point; and those."""
    order = pc.sort_indices(words).to_numpy()
    sorted_words = plain(words).take(pa.array(order))
    is_new = np.ones(len(order), bool)  # a dictionary may hold a word twice
    if len(order) > 1:
        is_new[1:] = np.asarray(pc.fill_null(pc.not_equal(sorted_words[1:], sorted_words[:-1]), True))
    ranked = np.empty(len(order), np.int64)
    ranked[order] = np.cumsum(is_new) - 1
    return ranked, sorted_words.filter(pa.array(is_new))


def _rank_others(values: Sequence[Any]) -> tuple[Array, Array]:
    """Lists, maps and bytes by their JSON; equal ones, at any depth, share a code."""
    keys = [group_key(value) for value in values]
    first_of: dict[Any, int] = {}
    for i, key in enumerate(keys):
        first_of.setdefault(key, i)
    ordered = sorted(first_of.items(), key=lambda item: as_json(values[item[1]]))
    code_of = {key: code for code, (key, _) in enumerate(ordered)}
    return np.array([code_of[key] for key in keys], np.int64), np.array([i for _, i in ordered], np.int64)


def group_key(value: Any) -> Any:
    """What two payload values share exactly when they are equal: 3 and 3.0 do, true and 1 do not."""
    if isinstance(value, bool) or value is None:
        return ("constant", value)
    if isinstance(value, (int, float)):
        return ("number", "nan" if value != value else value)
    if isinstance(value, list):
        return ("list", tuple(group_key(item) for item in value))
    if isinstance(value, dict):
        return ("map", frozenset((key, group_key(item)) for key, item in value.items() if item is not None))
    return (type(value).__name__, value)


def groups(columns: Sequence[Value], count: int) -> Ranks:
    """Rows that agree in all columns: group codes in ascending order, a missing value last in its column."""
    codes = np.zeros(count, np.int64)
    width = 1
    for column in columns:
        inner = ranks(column)
        here = np.where(inner.codes < 0, len(inner.firsts), inner.codes)
        size = len(inner.firsts) + 1
        if width * size > 2**62:
            codes, firsts = _unique(codes)
            width = len(firsts)
        codes, width = codes * size + here, width * size
    return Ranks(*_unique(codes)) if count else Ranks(codes, np.empty(0, np.int64))
