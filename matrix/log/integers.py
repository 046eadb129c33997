"""Integers: the values of one encoded integer column, and what all columns share in decoding.

What always holds: whatever the bytes, decoding ends in ``count`` integers of 64 bits or in ``FormatError``,
and allocates no more than those call for. A typed array comes as a view of the bytes read, without a copy.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

from matrix.errors import FormatError
from matrix.limits import FRAME_BYTES_MAX
from matrix.log import items
from matrix.log.columns import (
    BINARY,
    BOOLS,
    CONSTANT,
    DICTIONARY,
    OFFSETS,
    OPTIONAL,
    PLAIN,
    RANGE,
    RUNS,
    STEPS,
    TEXT,
    TYPED_TAGS,
    ZSTD,
)
from matrix.log.items import ARRAY, TAG, Cursor

# zstd(optional(dictionary(text(runs(runs(...)))))): each level of runs is at most a fourth of the one above.
DEPTH_MAX: Final = 16
PARTS: Final = {
    CONSTANT: 2,
    RANGE: 3,
    RUNS: 4,
    STEPS: 3,
    OFFSETS: 3,
    DICTIONARY: 4,
    TEXT: 3,
    BINARY: 3,
    BOOLS: 2,
    PLAIN: 2,
    OPTIONAL: 4,
    ZSTD: 3,
}
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def decode_integers(data: bytes, start: int, stop: int, count: int) -> np.ndarray:
    """The integer column in ``data[start:stop]``, ``count`` values; a typed array comes as a view."""
    cursor = Cursor(data, start, stop)
    values = integers_at(cursor, count, DEPTH_MAX)
    cursor.finish()
    return values


def integer_bounds(data: bytes, start: int, stop: int, count: int) -> tuple[int, int]:
    """Least and greatest value of at least one row, without unfolding runs and constants."""
    cursor = Cursor(data, start, stop)
    major, parts = cursor.head()
    if major == ARRAY:
        code = form_code(cursor, major, parts, DEPTH_MAX)
        if code == CONSTANT:
            value = _in_int64(items.decode_value(cursor.contents()))
            return value, value
        if code == RUNS:
            values = _run_parts(cursor, count, DEPTH_MAX)[1]
            return int(values.min()), int(values.max())
    values = decode_integers(data, start, stop, count)
    return int(values.min()), int(values.max())


def integers_at(cursor: Cursor, count: int, depth: int = DEPTH_MAX) -> np.ndarray:
    """The integer column at the cursor, which moves behind it; ``depth`` is how many levels may follow."""
    major, argument = cursor.head()
    if major == TAG:
        return _int64_able(typed_array(cursor, argument, count))
    code = form_code(cursor, major, argument, depth)
    if code == CONSTANT:
        return np.full(count, _in_int64(items.decode_value(cursor.contents())), np.int64)
    if code == RANGE:
        return _range(cursor, count)
    if code == RUNS:
        lengths, values = _run_parts(cursor, count, depth - 1)
        return np.repeat(values, lengths)
    if code == STEPS:
        return _steps(cursor, count, depth - 1)
    if code == OFFSETS:
        return _offsets(cursor, count)
    if code == ZSTD:
        return _within(unsqueezed(cursor), count, depth - 1)
    raise FormatError(f"column form {code} does not hold integers")


def _int64_able(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "iu" or (values.dtype.itemsize == 8 and values.dtype.kind == "u" and _beyond(values)):
        raise FormatError("a typed array that does not hold integers of 64 bits")
    return values


def _beyond(values: np.ndarray) -> bool:
    return bool(len(values)) and int(values.max()) > INT64_MAX


def form_code(cursor: Cursor, major: int, argument: int, depth: int) -> int:
    """The form of the column whose head was just read; its parts follow."""
    if major != ARRAY or depth <= 0:
        raise FormatError("expected a column")
    code = cursor.integer()
    if PARTS.get(code) != argument:
        raise FormatError(f"no column has form {code} with {argument} parts")
    return code


def typed_array(cursor: Cursor, tag: int, count: int) -> np.ndarray:
    """The typed array behind its tag, as a view."""
    dtype = TYPED_TAGS.get(tag)
    if dtype is None:
        raise FormatError(f"tag {tag} is not that of a typed array known here")
    start, stop = cursor.span()
    if stop - start != count * dtype.itemsize:
        raise FormatError(f"a typed array of {stop - start} bytes does not hold {count} values")
    return np.frombuffer(cursor.data, dtype, count, start) if count else np.empty(0, dtype)


def _in_int64(value: Any) -> int:
    if type(value) is not int or not INT64_MIN <= value <= INT64_MAX:
        raise FormatError(f"not an integer of 64 bits: {value!r:.80}")
    return value


def _range(cursor: Cursor, count: int) -> np.ndarray:
    first, step = _in_int64(cursor.integer()), _in_int64(cursor.integer())
    _in_int64(first + step * max(count - 1, 0))
    return first + step * np.arange(count, dtype=np.int64)


def _run_parts(cursor: Cursor, count: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Lengths and values of the runs of a column of ``count`` rows."""
    runs = cursor.integer()
    if not 0 < runs <= count:
        raise FormatError(f"{runs} runs cannot make {count} rows")
    lengths = integers_at(cursor, runs, depth).astype(np.int64, copy=False)
    values = integers_at(cursor, runs, depth)
    if int(lengths.min()) <= 0 or int(lengths.max()) > count or int(lengths.sum()) != count:
        raise FormatError(f"the lengths of {runs} runs do not make {count} rows")
    return lengths, values


def _steps(cursor: Cursor, count: int, depth: int) -> np.ndarray:
    if count < 1:
        raise FormatError("differences need a first row")
    values = np.empty(count, np.int64)
    values[0] = _in_int64(cursor.integer())
    values[1:] = integers_at(cursor, count - 1, depth)
    return np.cumsum(values)


def _offsets(cursor: Cursor, count: int) -> np.ndarray:
    base = _in_int64(cursor.integer())
    offsets = integers_at(cursor, count, 1)
    if offsets.dtype.kind != "u" or (count and base + int(offsets.max()) > INT64_MAX):
        raise FormatError("offsets that do not fit their base")
    return offsets.astype(np.int64) + base


def _within(data: bytes, count: int, depth: int) -> np.ndarray:
    cursor = Cursor(data)
    values = integers_at(cursor, count, depth)
    cursor.finish()
    return values


def unsqueezed(cursor: Cursor) -> bytes:
    """The column inside the zstd column at the cursor."""
    size = cursor.integer()
    if not 0 < size <= FRAME_BYTES_MAX:
        raise FormatError(f"a compressed column claims {size} bytes")
    try:
        return bytes(pa.Codec("zstd").decompress(cursor.contents(), size, asbytes=True))
    except (OSError, ValueError) as error:
        raise FormatError(f"a compressed column is damaged: {error}") from error


def unwrapped(cursor: Cursor) -> Cursor:
    """The cursor itself, or one over the unpacked bytes when a zstd column stands there."""
    at = cursor.at
    if cursor.head() == (ARRAY, PARTS[ZSTD]) and cursor.integer() == ZSTD:
        inner = Cursor(unsqueezed(cursor))
        cursor.finish()
        return inner
    cursor.at = at
    return cursor
