"""Values of a column whose type is known only in the data.

A `Value` holds one value per row of a frame, in typed *lanes*; every row is present in at most one
of them, and a row present in none is missing. So a payload column that holds numbers here and text
there keeps both at full speed, and nothing is ever converted behind the reader's back.

    .price of four events: 40, 39.5, "n/a", (absent)
        INT    [40, 0, 0, 0]          present [1, 0, 0, 0]
        FLOAT  [0, 39.5, 0, 0]        present [0, 1, 0, 0]
        TEXT   [None, None, "n/a", None]

Numbers are INT (int64), FLOAT (float64) or BIG (Python ints beyond int64); DURATION and TIME are
microseconds in int64; TEXT is an Arrow string array, often dictionary-coded; OTHER holds Python
lists, maps and bytes. A lane of one value stands for all rows, so a literal costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Array = np.ndarray[Any, Any]

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Type(IntEnum):
    """The lanes, in the order in which mixed values sort."""

    INT = 0
    FLOAT = 1
    BIG = 2
    DURATION = 3
    TIME = 4
    TEXT = 5
    BOOL = 6
    OTHER = 7


NUMBERS = frozenset({Type.INT, Type.FLOAT, Type.BIG})
NAMES = {
    Type.INT: "a number",
    Type.FLOAT: "a number",
    Type.BIG: "a number",
    Type.DURATION: "a duration",
    Type.TIME: "a time",
    Type.TEXT: "text",
    Type.BOOL: "true or false",
    Type.OTHER: "a list or map",
}
DTYPES = {Type.INT: np.int64, Type.FLOAT: np.float64, Type.DURATION: np.int64, Type.TIME: np.int64, Type.BOOL: bool}


@dataclass(frozen=True, slots=True)
class Lane:
    """The values of one type; where ``present`` is false the value means nothing."""

    type: Type
    values: Any  # a numpy array; for TEXT an Arrow string or dictionary array, null where not present
    present: Array | None = None  # None: every row

    @property
    def is_one(self) -> bool:
        """Whether one value stands for all rows."""
        return len(self.values) == 1

    def mask(self, count: int) -> Array:
        return np.ones(count, bool) if self.present is None else self.present

    def spread(self, count: int) -> Lane:
        """The same lane with a value for each of ``count`` rows."""
        if len(self.values) == count:
            return self
        zeros = np.zeros(count, np.int64)
        return Lane(self.type, _take(self.values, zeros), None if self.present is None else self.present[zeros])

    def take(self, rows: Array, is_whole: bool) -> Lane:
        """The values at ``rows``; -1 gives a row that is not present (unless ``is_whole`` says there is none)."""
        present = None if self.present is None else self.present[rows]
        if not is_whole:
            found = rows >= 0
            present = found if present is None else present & found
            if self.type is Type.TEXT:
                return Lane(self.type, self.values.take(pa.array(rows, mask=~found)), present)
        return Lane(self.type, _take(self.values, rows), present)


def _take(values: Any, rows: Array) -> Any:
    return values.take(pa.array(rows)) if isinstance(values, pa.Array) else values[rows]


@dataclass(frozen=True, slots=True)
class Value:
    """One dynamically typed value per row: see the picture at the top of this file."""

    count: int
    lanes: tuple[Lane, ...]

    # -- making one ---------------------------------------------------------------------------

    @classmethod
    def missing(cls, count: int) -> Value:
        return cls(count, ())

    @classmethod
    def of(cls, type: Type, values: Any, present: Array | None = None) -> Value:
        """A column of one type from a numpy array, or for text an Arrow array."""
        return cls(len(values), (Lane(type, values, present),))

    @classmethod
    def one(cls, value: Any, count: int, type: Type | None = None) -> Value:
        """The same value for every row; ``type`` makes an int a duration or a time."""
        return cls(count, tuple(Lane(lane.type, lane.values) for lane in from_objects([value], type).lanes))

    # -- looking at it ------------------------------------------------------------------------

    @property
    def only(self) -> Lane | None:
        """The lane, when there is exactly one."""
        return self.lanes[0] if len(self.lanes) == 1 else None

    @property
    def is_constant(self) -> bool:
        return not self.lanes or (len(self.lanes) == 1 and self.lanes[0].is_one and self.lanes[0].present is None)

    def present(self) -> Array:
        """Which rows have a value."""
        mask = np.zeros(self.count, bool)
        for lane in self.lanes:
            if lane.present is None:
                return np.ones(self.count, bool)
            mask |= lane.present
        return mask

    def lane(self, type: Type) -> Lane | None:
        return next((lane for lane in self.lanes if lane.type is type), None)

    def truth(self) -> Array:
        """The value as a condition: true where it is the boolean true."""
        lane = self.lane(Type.BOOL)
        if lane is None:
            return np.zeros(self.count, bool)
        return np.broadcast_to(lane.values, self.count) & lane.mask(self.count)

    def objects(self) -> list[Any]:
        """Plain Python values, None where missing."""
        out: Array = np.full(self.count, None, object)
        for lane in self.lanes:
            whole = lane.spread(self.count)
            values: Array
            if lane.type is Type.TEXT:
                values = np.empty(self.count, object)
                values[:] = whole.values.to_pylist()
            else:
                values = whole.values if whole.values.dtype == object else _boxed(whole.values)
            if lane.present is None:
                return list(values)
            out[lane.present] = values[lane.present]
        return list(out)

    # -- moving rows about --------------------------------------------------------------------

    def take(self, rows: Array, *, is_whole: bool = False) -> Value:
        """The values at ``rows`` (an integer array); -1 gives a missing one.

        ``is_whole`` promises that there is no -1, which is quicker.
        """
        is_whole = is_whole or not len(rows) or bool(rows.min() >= 0)
        count = len(rows)
        if self.is_constant and is_whole:
            return Value(count, self.lanes)
        if self.count == 0:
            return Value.missing(count)
        return Value(count, tuple(lane.spread(self.count).take(rows, is_whole) for lane in self.lanes))

    def where(self, mask: Array) -> Value:
        """The same values, missing where ``mask`` is false."""
        if mask.all():
            return self
        lanes = [(lane.spread(self.count), lane.mask(self.count) & mask) for lane in self.lanes]
        return Value(self.count, tuple(_masked(lane, present) for lane, present in lanes if present.any()))


@dataclass(frozen=True, slots=True)
class Nested(Value):
    """A column as Arrow holds it: lists of maps that a shape made. Only the result reads it."""

    array: pa.ChunkedArray

    @classmethod
    def column(cls, array: pa.ChunkedArray) -> Nested:
        return cls(len(array), (), array)


def _masked(lane: Lane, present: Array) -> Lane:
    if lane.type is Type.TEXT:
        return Lane(lane.type, lane.values.take(pa.array(np.arange(len(present)), mask=~present)), present)
    return Lane(lane.type, lane.values, present)


def _boxed(values: Array) -> Array:
    out = np.empty(len(values), object)
    out[:] = values.tolist()
    return out


# -- from other shapes ------------------------------------------------------------------------


def from_arrow(values: pa.Array) -> Value:
    """A column from an Arrow array of numbers, booleans, text or bytes; null is missing."""
    kind = values.type
    present = None if not values.null_count else np.asarray(values.is_valid())
    if present is not None and not present.any():
        return Value.missing(len(values))
    if pa.types.is_uint64(kind):
        return _from_uint64(values, present)
    if pa.types.is_integer(kind):
        return Value.of(Type.INT, _numpy(values, 0).astype(np.int64, copy=False), present)
    if pa.types.is_floating(kind):
        return Value.of(Type.FLOAT, _numpy(values, 0.0).astype(np.float64, copy=False), present)
    if pa.types.is_boolean(kind):
        return Value.of(Type.BOOL, np.asarray(values.fill_null(False)), present)
    if pa.types.is_string(kind) or (pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type)):
        return Value.of(Type.TEXT, values, present)
    if pa.types.is_large_string(kind):
        return Value.of(Type.TEXT, values.cast(pa.string()), present)
    return from_objects(values.to_pylist())


def _numpy(values: pa.Array, filler: Any) -> Array:
    result: Array = (values.fill_null(filler) if values.null_count else values).to_numpy(zero_copy_only=False)
    return result


def _from_uint64(values: pa.Array, present: Array | None) -> Value:
    numbers = _numpy(values, 0)
    if not len(numbers) or int(numbers.max()) <= INT64_MAX:
        return Value.of(Type.INT, numbers.astype(np.int64), present)
    return from_objects(values.to_pylist())


def type_of(value: Any) -> Type:
    """The lane a Python value of a payload belongs to."""
    if isinstance(value, bool):
        return Type.BOOL
    if isinstance(value, int):
        return Type.INT if INT64_MIN <= value <= INT64_MAX else Type.BIG
    if isinstance(value, float):
        return Type.FLOAT
    return Type.TEXT if isinstance(value, str) else Type.OTHER


def from_objects(values: Sequence[Any], type: Type | None = None) -> Value:
    """A column from Python values, None where missing; ``type`` overrides what an int is."""
    count = len(values)
    rows: dict[Type, list[int]] = {}
    for i, value in enumerate(values):
        if value is not None:
            rows.setdefault(type if type is not None else type_of(value), []).append(i)
    return Value(count, tuple(_gathered(kind, rows[kind], values) for kind in sorted(rows)))


def _gathered(type: Type, rows: list[int], values: Sequence[Any]) -> Lane:
    count = len(values)
    present = None
    if len(rows) < count:
        present = np.zeros(count, bool)
        present[rows] = True
    if type is Type.TEXT:
        return Lane(type, text_array([v if isinstance(v, str) else None for v in values]), present)
    out: Array
    if type in DTYPES:
        out = np.zeros(count, DTYPES[type])
        out[rows] = [values[i] for i in rows]
    else:
        out = np.full(count, None, object)
        for i in rows:
            out[i] = values[i]
    return Lane(type, out, present)


def text_array(values: Iterable[str | None]) -> pa.Array:
    """Text as an Arrow array; a lone surrogate (not text at all) becomes a question mark."""
    items = list(values)
    try:
        return pa.array(items, pa.string())
    except UnicodeEncodeError:
        clean = [v if v is None else v.encode("utf-8", "replace").decode() for v in items]
        return pa.array(clean, pa.string())


def coded(codes: Array, words: Sequence[str] | pa.Array) -> Value:
    """Text as codes into ``words``; a negative code is missing."""
    found = codes >= 0
    is_whole = bool(found.all())
    if not is_whole and not found.any():
        return Value.missing(len(codes))
    indices = pa.array(codes.astype(np.int32, copy=False), mask=None if is_whole else ~found)
    dictionary = words if isinstance(words, pa.Array) else text_array(words)
    return Value.of(Type.TEXT, pa.DictionaryArray.from_arrays(indices, dictionary), None if is_whole else found)


# -- helpers ------------------------------------------------------------------------------------


def plain(values: pa.Array) -> pa.Array:
    """Text without its dictionary."""
    return values.cast(pa.string()) if pa.types.is_dictionary(values.type) else values


def on_words(values: pa.Array, function: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """``function`` of a text array, computed once per word when it is dictionary-coded."""
    if not pa.types.is_dictionary(values.type):
        return function(values)
    return pc.take(function(values.dictionary), values.indices)


def as_lanes(mask: Array) -> Value:
    """A condition as a value: true or false in every row."""
    return Value.of(Type.BOOL, mask)


def distinct(values: Array) -> Array:
    """The different values, ascending: by sorting, which beats numpy's hashing when most of them differ."""
    if len(values) < 2:
        return values
    ordered = np.sort(values)
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))]
