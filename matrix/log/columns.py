"""Columns: many values of one field as one CBOR item, in the cheapest of a few forms.

    typed array            RFC 8746, little endian, the narrowest that holds all values exactly
    [0, value]             the same value in every row (the value embedded as a byte string)
    [1, start, step]       a range
    [2, runs, lengths, values]  runs: both are integer columns of ``runs`` rows
    [3, first, steps]      differences: an integer column of one row less
    [4, base, offsets]     small numbers above a base
    [5, size, values, codes]  dictionary
    [6, lengths, bytes]    text: all values' UTF-8 one behind the other
    [7, lengths, bytes]    byte strings
    [8, bits]              booleans, least significant bit first
    [9, values]            anything else: a CBOR array, embedded as a byte string
    [10, present, nulls, values]  values only of the rows that have one; bitmaps or null
    [11, raw_bytes, zstd]  any of these, compressed

What always holds: decoding gives back equal values of the same types: 1, 1.0 and True stay apart, as
do None and absent. Text is lengths and bytes rather than a CBOR array of text: so it becomes an Arrow
string array without touching single values (28 / 77 ns each in cbor2).
"""

from __future__ import annotations

import array
import itertools
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from matrix.errors import UsageError
from matrix.limits import CBOR_DEPTH_MAX, FRAME_BYTES_MAX, LONG_VALUE_BYTES_MIN
from matrix.log import items
from matrix.log.items import ARRAY, TAG, byte_string, head, integer
from matrix.log.rows import Column, Runs, TooLarge, gaps

if TYPE_CHECKING:
    from matrix.log.repeats import Repeats

CONSTANT, RANGE, RUNS, STEPS, OFFSETS, DICTIONARY, TEXT, BINARY, BOOLS, PLAIN, OPTIONAL, ZSTD = range(12)

TYPED_TAGS: Final[dict[int, np.dtype[Any]]] = {
    64: np.dtype("<u1"),
    69: np.dtype("<u2"),
    70: np.dtype("<u4"),
    71: np.dtype("<u8"),
    72: np.dtype("<i1"),
    77: np.dtype("<i2"),
    78: np.dtype("<i4"),
    79: np.dtype("<i8"),
    85: np.dtype("<f4"),
    86: np.dtype("<f8"),
}
_TAG_HEADS: Final = {dtype: head(TAG, tag) for tag, dtype in TYPED_TAGS.items()}
_UNSIGNED = [(np.iinfo(code).max, np.dtype(code)) for code in ("<u1", "<u2", "<u4", "<u8")]
_SIGNED = [(np.iinfo(code).max, np.dtype(code)) for code in ("<i1", "<i2", "<i4", "<i8")]
_INT64_MAX: Final = 2**63 - 1
_CONSTANT_HEAD: Final = head(ARRAY, 2) + integer(CONSTANT)  # what constant() begins with, and no other form
DICTIONARY_SIZE_MAX: Final = 65_536
_SAMPLE: Final = 256
_LONG_TEXT: Final = LONG_VALUE_BYTES_MIN // 4  # letters of a text that may take as many bytes as a long one


class Missing:
    """The type of ``MISSING``, which stands where a payload lacks a field (None is a value)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


def form(code: int, *parts: bytes) -> bytes:
    """A column of this form: an array of its code and its parts."""
    return b"".join((head(ARRAY, len(parts) + 1), integer(code), *parts))


def constant(value: Any) -> bytes:
    """The same checked value in every row."""
    return _constant_int(value) if type(value) is int else _constant(value)


def constant_text(text: str, repeats: Repeats | None) -> bytes:
    """The same text in every row; a long one that the segment has already is not written again."""
    return constant(text) if repeats is None or len(text) < _LONG_TEXT else repeats.constant(text)


def _constant(value: Any) -> bytes:
    return form(CONSTANT, byte_string(items.encode_value(value)))


_constant_int = lru_cache(1024)(_constant)  # small blocks consist of them: no goal, no state, one simulation


def arithmetic(first: int, step: int) -> bytes:
    """A range: ``first`` in the first row, ``step`` more in each that follows."""
    return form(RANGE, integer(first), integer(step))


def typed(values: np.ndarray, dtype: np.dtype[Any]) -> bytes:
    """A typed array of exactly this type."""
    data = values.astype(dtype, copy=False).tobytes()
    return b"".join((_TAG_HEADS[dtype], head(items.BYTES, len(data)), data))


def narrowest(low: int, high: int) -> np.dtype[Any]:
    """The narrowest integer type that holds ``low`` to ``high``."""
    if low >= 0:
        return next(dtype for most, dtype in _UNSIGNED if high <= most)
    return next(dtype for most, dtype in _SIGNED if high <= most and low >= -most - 1)


# -- integers ---------------------------------------------------------------------------------


def encode_column(column: Column, count: int, lengths_seen: dict[int, bytes]) -> bytes:
    """A fixed column. ``lengths_seen`` keeps run lengths by identity: a turn's columns share their starts."""
    if isinstance(column, int):
        return constant(column)
    if not isinstance(column, Runs):
        _check_length(len(column), count)
        return encode_integers(np.asarray(column))
    values = integers_of(column.values)
    _check_length(len(column.starts), len(values))
    if len(values) in (1, count):
        if column.starts[0] != 0 or column.starts[-1] != len(values) - 1:
            raise UsageError(f"run starts must begin with 0 and ascend below {count}")
        return encode_integers(values)
    lengths = lengths_seen.get(id(column.starts))
    if lengths is None:
        lengths = lengths_seen[id(column.starts)] = _run_lengths(column.starts, count)
    inner = encode_integers(values)
    if inner.startswith(_CONSTANT_HEAD):
        return inner
    return form(RUNS, integer(len(values)), lengths, inner)


def _run_lengths(starts: Sequence[int] | np.ndarray, count: int) -> bytes:
    places = integers_of(starts)
    assert len(places), "there are rows, so there are runs"
    lengths = gaps(places, count)
    if places[0] != 0 or int(lengths.min()) <= 0:
        raise UsageError(f"run starts must begin with 0 and ascend below {count}")
    return encode_integers(lengths)


def _check_length(found: int, count: int) -> None:
    if found != count:
        raise UsageError(f"a column has {found} values for {count} rows")


def integers_of(values: Sequence[int] | np.ndarray) -> np.ndarray:
    """An int64 array of the values; a list goes through ``array``, which packs at 24 ns a value."""
    if isinstance(values, np.ndarray):
        return values.astype(np.int64, copy=False)
    if isinstance(values, array.array):
        return np.asarray(values).astype(np.int64, copy=False)
    return np.frombuffer(array.array("q", values), np.int64)


def encode_integers(values: np.ndarray) -> bytes:
    """An integer array in the cheapest of constant, range, runs, offsets and typed array."""
    if values.dtype.kind not in "iu":
        raise UsageError(f"expected a column of integers, not of {values.dtype}")
    count = len(values)
    if not count:
        return typed(values, np.dtype("<u1"))
    low, high = int(values.min()), int(values.max())
    if low == high:
        return constant(low)
    if high > _INT64_MAX:
        return typed(values, np.dtype("<u8"))
    values = values.astype(np.int64, copy=False)
    first, step = int(values[0]), int(values[1]) - int(values[0])
    if int(values[-1]) - first == step * (count - 1) and bool((values[1:] - values[:-1] == step).all()):
        return arithmetic(first, step)
    if count >= 16 and values[0] == values[1] == values[2]:  # a cheap hint before the dear test
        starts = np.flatnonzero(values[1:] != values[:-1]) + 1
        if len(starts) * 4 < count:
            starts = np.concatenate(([0], starts))
            lengths = encode_integers(gaps(starts, count))
            return form(RUNS, integer(len(starts)), lengths, _flat(values[starts], low, high))
    return _flat(values, low, high)


def _flat(values: np.ndarray, low: int, high: int) -> bytes:
    direct, offset = narrowest(low, high), narrowest(0, high - low)
    if offset.itemsize < direct.itemsize and len(values) > 8:
        return form(OFFSETS, integer(low), typed(values - low, offset))
    return typed(values, direct)


def encode_steps(values: np.ndarray) -> bytes:
    """An int64 array as its first value and the differences: for positions and times of one simulation.

    Differences must fit 63 bits, which ``dense_enough`` callers know; otherwise use ``encode_integers``.
    """
    if len(values) < 3 or int(values.max()) - int(values.min()) > _INT64_MAX:
        return encode_integers(values)
    return form(STEPS, integer(int(values[0])), encode_integers(np.diff(values)))


# -- payload values ---------------------------------------------------------------------------


def encode_values(values: Sequence[Any], repeats: Repeats | None = None, *, is_checked: bool = False) -> bytes:
    """A payload field of every row as Python values, ``MISSING`` where the row lacks it.

    ``repeats`` knows the long values of the segment; without it all values are written out. ``is_checked`` says that
    they come from a log and are such as it holds.
    """
    quick = _encode_quick(values, repeats) if len(values) else None
    if quick is not None:
        return quick
    types = set(map(type, values))
    if len(types) == 1:
        return _encode_dense(values, types.pop(), repeats, is_checked)
    absent, null = Missing in types, type(None) in types
    if not (absent or null):
        return _encode_dense(values, object, repeats, is_checked)
    there = [value for value in values if value is not MISSING] if absent else values
    dense = [value for value in there if value is not None] if null else there
    return optional(
        present=bitmap([value is not MISSING for value in values]) if absent else None,
        nulls=bitmap([value is None for value in there]) if null else None,
        values=encode_values(dense, repeats, is_checked=is_checked) if dense else encode_plain([]),
    )


def _encode_quick(values: Sequence[Any], repeats: Repeats | None) -> bytes | None:
    """Integers or text without a look at each value's type (15 ns a value), where packing them tells."""
    if type(values[0]) is int:
        try:
            numbers = np.frombuffer(array.array("q", values), np.int64)
        except (TypeError, OverflowError):
            return None
        # Among 0 and 1 may hide False and True, which pack as well.
        may_hide = bool(((numbers == 0) | (numbers == 1)).any())
        return None if may_hide and set(map(type, values)) != {int} else encode_integers(numbers)
    return _encode_few_texts(values, repeats) if type(values[0]) is str and _few_differ(values) else None


def _few_differ(values: Sequence[Any]) -> bool:
    sample = values[:_SAMPLE]
    try:
        return len(set(sample)) * 2 <= len(sample) or len(sample) == 1
    except TypeError:  # something that cannot be hashed
        return False


def _encode_few_texts(values: Sequence[Any], repeats: Repeats | None) -> bytes | None:
    """Text of which few values recur, numbered in one pass."""
    code_of: defaultdict[Any, int] = defaultdict(itertools.count().__next__)
    try:
        codes = np.fromiter(map(code_of.__getitem__, values), np.int64, len(values))
    except TypeError:  # a list or a map among the text
        return None
    distinct = list(code_of)
    if set(map(type, distinct)) != {str} or len(distinct) * 4 > len(values) or len(distinct) > DICTIONARY_SIZE_MAX:
        return None
    if len(distinct) == 1:
        return constant_text(plain_text(distinct[0]), repeats)
    return form(DICTIONARY, integer(len(distinct)), _encode_raw_texts(distinct, repeats), encode_integers(codes))


def optional(*, present: bytes | None, nulls: bytes | None, values: bytes) -> bytes:
    """Values of only those rows that have one: bitmaps of the rows present, and of those that are None."""
    parts = [byte_string(bits) if bits is not None else b"\xf6" for bits in (present, nulls)]
    return form(OPTIONAL, *parts, values)


def bitmap(flags: Sequence[bool] | np.ndarray) -> bytes:
    """Flags as bits, the least significant first, as Arrow has them."""
    return np.packbits(np.asarray(flags, np.bool_), bitorder="little").tobytes()


def _encode_dense(values: Sequence[Any], kind: type, repeats: Repeats | None, is_checked: bool) -> bytes:
    if kind is int:
        return _encode_ints(values)
    if kind is str:
        return _encode_texts(values, repeats)
    if kind is float:
        return encode_floats(np.array(values, np.float64))
    if kind is bool:
        return encode_bools(np.array(values, np.bool_))
    if kind is bytes:
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        _check_total(lengths, repeats)
        return strings(BINARY, lengths, b"".join(values), repeats)
    if kind is type(None):
        return constant(None)
    if kind is Missing:
        return optional(present=bitmap([False] * len(values)), nulls=None, values=encode_plain([]))
    return encode_plain(values, repeats, is_checked=is_checked)


def _encode_ints(values: Sequence[int]) -> bytes:
    try:
        return encode_integers(np.frombuffer(array.array("q", values), np.int64))
    except OverflowError:
        if min(values) >= 0 and max(values) < 2**64:
            return encode_integers(np.array(values, np.uint64))
        return encode_plain(values)


def encode_floats(values: np.ndarray) -> bytes:
    """Floats in 32 bits where that loses nothing, else in 64."""
    if not len(values):
        return typed(values, np.dtype("<f8"))
    bits = values.astype(np.float64, copy=False).view(np.int64)  # by bits: 0.0 and -0.0 differ, NaN equals itself
    if bool((bits == bits[0]).all()):
        return constant(float(values[0]))
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = values.astype(np.float32)
        exact = bool((narrow.astype(np.float64) == values).all())
    return typed(narrow, np.dtype("<f4")) if exact else typed(values, np.dtype("<f8"))


def encode_bools(values: np.ndarray) -> bytes:
    """Booleans, one bit each."""
    if len(values) and bool((values == values[0]).all()):
        return constant(bool(values[0]))
    return form(BOOLS, byte_string(bitmap(values)))


def binary(code: int, lengths: np.ndarray, data: bytes) -> bytes:
    """Text or byte strings as their lengths in bytes and all their bytes."""
    return form(code, encode_integers(lengths), byte_string(data))


def strings(code: int, lengths: np.ndarray, data: bytes, repeats: Repeats | None) -> bytes:
    """Like ``binary``, but a long text that the segment has already is not written again."""
    if repeats is None or len(data) < LONG_VALUE_BYTES_MIN or int(lengths.max()) < LONG_VALUE_BYTES_MIN:
        return binary(code, lengths, data)
    return repeats.strings(code, lengths, data)


def _encode_texts(values: Sequence[str], repeats: Repeats | None) -> bytes:
    few = _encode_few_texts(values, repeats) if _few_differ(values) else None
    return _encode_raw_texts(values, repeats) if few is None else few


def _encode_raw_texts(values: Sequence[str], repeats: Repeats | None) -> bytes:
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    _check_total(lengths, repeats)
    joined = "".join(values)
    if joined.isascii():
        return strings(TEXT, lengths, joined.encode("ascii"), repeats)
    encoded = [plain_text(value).encode() for value in values]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    return strings(TEXT, lengths, b"".join(encoded), repeats)


def _check_total(lengths: np.ndarray, repeats: Repeats | None) -> None:
    """Texts that are one in memory may be far too many when they are joined."""
    if repeats is not None and int(lengths.sum()) > FRAME_BYTES_MAX:
        raise TooLarge(f"texts of more than the {FRAME_BYTES_MAX} bytes that a frame holds")


def plain_text(value: str) -> str:
    """The text itself, if UTF-8 can hold it."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"text that is not valid Unicode: {value!r:.80} ({error.reason})") from error
    return value


def encode_plain(values: Sequence[Any], repeats: Repeats | None = None, *, is_checked: bool = False) -> bytes:
    """Mixed or nested values as a CBOR array."""
    listed = list(values)
    if not is_checked and items.find_trouble(listed, CBOR_DEPTH_MAX + 1):
        listed = [items.plain_value(value) for value in listed]
        if len(types := set(map(type, listed))) == 1 and types != {dict} and types != {list}:
            return encode_values(listed, repeats)  # all were numpy scalars or enums of one plain type
    try:
        return form(PLAIN, byte_string(items.encode_value(listed) if repeats is None else repeats.plain(listed)))
    except UnicodeEncodeError as error:
        raise UsageError(f"a payload holds text that is not valid Unicode ({error.reason})") from error


def compress(column: bytes) -> bytes:
    """The column under zstd, if that makes it smaller."""
    if len(column) < 64:
        return column
    squeezed = form(ZSTD, integer(len(column)), byte_string(pa.Codec("zstd", 9).compress(column, asbytes=True)))
    return squeezed if len(squeezed) < len(column) else column
