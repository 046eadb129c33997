"""Keys of groups as small whole numbers, so that rows are grouped by counting and not by sorting.

Each key column becomes codes that ascend as its values do: the places of words in their sorted dictionary,
whole numbers less the smallest one. Several columns make one number, the first column's code most
significant. What is neither text with a dictionary nor whole numbers that lie close together is ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from matrix.query.engine.order import ranks, word_ranks
from matrix.query.engine.value import Array, Lane, Type, Value, coded

_WHOLE = (Type.INT, Type.DURATION, Type.TIME)
_CODES_MAX = 2**62


class Coded(NamedTuple):
    """A column as codes 0 .. ``width`` - 1 (some may be unused), and the values that codes stand for."""

    codes: Array
    width: int
    values: Callable[[Array], Value]


class Grouped(NamedTuple):
    """``codes``: the group of each row; ``sizes``: how many rows each group has; ``keys``: its key in every column."""

    codes: Array
    sizes: Array
    keys: list[Value]


def group_rows(columns: Sequence[Value], count: int) -> Grouped:
    """Rows that agree in all columns, groups in ascending order of their keys, a missing value last in its column.

    >>> group_rows([Value.of(Type.INT, np.array([30, 10, 30]))], 3).codes.tolist()
    [1, 0, 1]
    """
    parts = [_code(column) for column in columns]
    codes, width = parts[0].codes, parts[0].width
    for part in parts[1:]:
        if width * part.width > _CODES_MAX:
            return _ranked(columns, count)
        codes, width = codes * part.width + part.codes, width * part.width
    if width > 2 * count + 1024:
        known, codes, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    else:
        sizes = np.bincount(codes, minlength=width)
        known = np.flatnonzero(sizes)
        if len(known) < width:
            codes, sizes = (np.cumsum(sizes > 0) - 1)[codes], sizes[known]
    return Grouped(codes, sizes, _split(known, parts))


def _split(known: Array, parts: Sequence[Coded]) -> list[Value]:
    """The key of each group in every column."""
    keys: list[Value] = []
    for part in reversed(parts):
        known, inner = np.divmod(known, part.width)
        keys.append(part.values(inner))
    return keys[::-1]


def _ranked(columns: Sequence[Value], count: int) -> Grouped:
    """The same by joining ranks column by column: the codes of all columns together are beyond an int64."""
    codes = np.zeros(count, np.int64)
    firsts = np.zeros(min(count, 1), np.int64)
    for column in columns:
        part = _code(column)
        together = codes * part.width + part.codes  # at most count groups so far
        _, firsts, codes = np.unique(together, return_index=True, return_inverse=True)
    return Grouped(codes, np.bincount(codes, minlength=len(firsts)), [column.take(firsts) for column in columns])


def _code(column: Value) -> Coded:
    lane = column.only
    if lane is not None and column.count:
        lane = lane.spread(column.count)
        if lane.type is Type.TEXT and pa.types.is_dictionary(lane.values.type):
            return _of_words(lane)
        if lane.type in _WHOLE and lane.present is None:
            low, high = int(lane.values.min()), int(lane.values.max())
            if high - low <= 2 * column.count + 1024:
                return _of_whole(lane, low, high)
    found = ranks(column)
    size = len(found.firsts)
    firsts = np.append(found.firsts, -1)
    codes = np.where(found.codes < 0, size, found.codes)
    return Coded(codes, size + 1, lambda codes: column.take(firsts[codes]))


def _of_words(lane: Lane) -> Coded:
    ranked, words = word_ranks(lane.values.dictionary)
    indices = lane.values.indices
    size = len(words)
    if not lane.values.null_count:
        found = ranked[indices.to_numpy(zero_copy_only=False)]
        return Coded(found, size, lambda codes: coded(codes, words))
    places = np.append(ranked, size)[indices.fill_null(len(ranked)).to_numpy(zero_copy_only=False)]
    return Coded(places, size + 1, lambda codes: coded(np.where(codes == size, -1, codes), words))


def _of_whole(lane: Lane, low: int, high: int) -> Coded:
    return Coded(lane.values - low, high - low + 1, lambda codes: Value.of(lane.type, codes + low))
