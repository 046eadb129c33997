"""Several dynamically typed columns as one: end to end, or one filling the gaps of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matrix.query.engine.value import DTYPES, Array, Lane, Type, Value, plain


def concat(values: Sequence[Value]) -> Value:
    """The rows of all of them, one after the other."""
    if len(values) == 1:
        return values[0]
    count = sum(value.count for value in values)
    types = sorted({lane.type for value in values for lane in value.lanes})
    return Value(count, tuple(_concat_lanes(kind, values) for kind in types))


def _concat_lanes(type: Type, values: Sequence[Value]) -> Lane:
    parts: list[Any] = []
    masks: list[Array] = []
    is_whole = True
    for value in values:
        lane = value.lane(type)
        is_whole = is_whole and (value.count == 0 or (lane is not None and lane.present is None))
        masks.append(np.zeros(value.count, bool) if lane is None else lane.mask(value.count))
        parts.append(_empty(type, value.count) if lane is None else lane.spread(value.count).values)
    present = None if is_whole else np.concatenate(masks)
    return Lane(type, concat_text(parts) if type is Type.TEXT else np.concatenate(parts), present)


def _empty(type: Type, count: int) -> Any:
    if type is Type.TEXT:
        return pa.nulls(count, pa.string())
    return np.zeros(count, DTYPES[type]) if type in DTYPES else np.full(count, None, object)


def concat_text(parts: Sequence[pa.Array]) -> pa.Array:
    """Arrow text arrays end to end; dictionaries are kept when every part has one."""
    if not parts:
        return pa.array([], pa.string())
    if all(pa.types.is_dictionary(part.type) for part in parts):
        first = parts[0].dictionary
        if all(part.dictionary is first or part.dictionary.equals(first) for part in parts[1:]):
            return pa.DictionaryArray.from_arrays(pa.concat_arrays([part.indices for part in parts]), first)
        return one_dictionary(parts)
    return pa.concat_arrays([plain(part) for part in parts])


def one_dictionary(parts: Sequence[pa.DictionaryArray]) -> pa.DictionaryArray:
    """Dictionary-coded texts end to end, with a dictionary that has each word once."""
    words = pc.dictionary_encode(pa.concat_arrays([part.dictionary for part in parts]))
    codes = pa.concat_arrays([part.indices for part in parts])
    sizes = np.array([len(part.dictionary) for part in parts])
    shifts = np.repeat(np.cumsum(sizes) - sizes, [len(part) for part in parts])
    new = words.indices.to_numpy(zero_copy_only=False)
    old = (codes.fill_null(0) if codes.null_count else codes).to_numpy() + shifts
    mask = np.asarray(codes.is_null()) if codes.null_count else None
    found = new[old] if len(new) else np.zeros(len(old), np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(found, mask=mask), words.dictionary)


def first_present(a: Value, b: Value) -> Value:
    """``a ?? b``: the value of a, or where it is missing that of b."""
    has = a.present()
    if has.all() or not b.lanes:
        return a
    return merge(a, b.where(~has))


def merge(a: Value, b: Value) -> Value:
    """Both columns in one; no row may be present in both."""
    if not a.lanes or not b.lanes:
        return a if a.lanes else b
    lanes = {lane.type: lane for lane in a.lanes}
    for lane in b.lanes:
        other = lanes.get(lane.type)
        lanes[lane.type] = lane if other is None else _merge_lanes(other, lane, a.count)
    return Value(a.count, tuple(lanes[kind] for kind in sorted(lanes)))


def _merge_lanes(a: Lane, b: Lane, count: int) -> Lane:
    a, b = a.spread(count), b.spread(count)
    in_a, in_b = a.mask(count), b.mask(count)
    if a.type is Type.TEXT:
        values = pc.if_else(pa.array(in_a), plain(a.values), plain(b.values))
    else:
        values = np.where(in_a, a.values, b.values)
    return Lane(a.type, values, in_a | in_b)
