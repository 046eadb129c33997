"""Cells: the values of one encoded column, decoded no further than asked.

What always holds: whatever the bytes, decoding ends in ``count`` values or in ``FormatError``; it never
allocates much more than the column's rows or ``EXPANDED_BYTES_MAX`` call for. Typed columns are numpy
views of the bytes read, without a copy.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from matrix.errors import FormatError
from matrix.limits import EXPANDED_BYTES_MAX
from matrix.log import items
from matrix.log.columns import BINARY, BOOLS, CONSTANT, DICTIONARY, MISSING, OPTIONAL, PLAIN, TEXT, ZSTD
from matrix.log.integers import (
    DEPTH_MAX,
    INT64_MAX,
    INT64_MIN,
    form_code,
    integers_at,
    typed_array,
    unsqueezed,
)
from matrix.log.items import TAG, Cursor
from matrix.log.references import Source, fresh

_UINT64_MAX: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Cells:
    """The values of a payload column: ``dense`` holds those of the rows where ``valid`` is true.

    ``present`` is false where the row lacks the field; ``valid`` is false there and where it is None; both are
    None when true everywhere. ``dense`` is a numpy array of int64, uint64, float64 or bool, an Arrow string or
    binary array, or a list. Where ``is_shared``, values of the list may have lists and maps in common (see
    ``matrix.log.references``); texts that stand elsewhere in the segment are never copied into an array of texts.
    """

    count: int
    dense: Any
    present: np.ndarray | None = None
    valid: np.ndarray | None = None
    is_shared: bool = False

    def values(self) -> Any:
        """An Arrow array of all rows with null for None and absent, or a list with ``MISSING`` for absent."""
        if isinstance(self.dense, list):
            return self.to_pylist(MISSING)
        if isinstance(self.dense, np.ndarray):
            return self._numbers()
        if self.valid is None:
            return self.dense
        places = np.cumsum(self.valid, dtype=np.int64) - 1
        return self.dense.take(pa.array(places, mask=~self.valid))

    def _numbers(self) -> Any:
        if self.valid is None:
            dense = self.dense if self.dense.flags.aligned else self.dense.copy()
            return pa.array(dense)
        full = np.zeros(self.count, self.dense.dtype)
        full[self.valid] = self.dense
        return pa.array(full, mask=~self.valid)

    @property
    def has_any(self) -> bool:
        """Whether any row has the field, be it None."""
        return self.present is None or bool(self.present.any())

    def take(self, rows: np.ndarray) -> Cells:
        """The cells of these rows, in their order."""
        if self.valid is None:
            return Cells(len(rows), self._take_dense(rows), is_shared=self.is_shared)
        valid = self.valid[rows]
        places = (np.cumsum(self.valid, dtype=np.int64) - 1)[rows[valid]]
        present = None if self.present is None else self.present[rows]
        return Cells(len(rows), self._take_dense(places), present, valid, self.is_shared)

    def pick(self, places: slice | np.ndarray) -> Cells:
        """The cells of some ascending rows, as ``Block.places`` gives them."""
        return self.part(places.start, places.stop) if isinstance(places, slice) else self.take(places)

    def part(self, start: int, stop: int) -> Cells:
        """The cells of rows ``start`` to ``stop`` (exclusive), without a copy of text and numbers."""
        if start == 0 and stop == self.count:
            return self
        if self.valid is None:
            return Cells(stop - start, self.dense[start:stop], is_shared=self.is_shared)
        valid = self.valid[start:stop]
        first = int(np.count_nonzero(self.valid[:start]))
        present = None if self.present is None else self.present[start:stop]
        dense = self.dense[first : first + int(np.count_nonzero(valid))]
        return Cells(stop - start, dense, present, valid, self.is_shared)

    def _take_dense(self, places: np.ndarray) -> Any:
        if isinstance(self.dense, np.ndarray):
            return self.dense[places]
        if isinstance(self.dense, list):
            return [self.dense[place] for place in places.tolist()]
        return self.dense.take(pa.array(places))

    def to_pylist(self, missing: Any = None) -> list[Any]:
        """All rows as Python values: None for None, ``missing`` where the row lacks the field."""
        dense = self.dense
        listed: list[Any] = dense if isinstance(dense, list) else dense.tolist()
        if self.valid is None:
            return listed
        full: list[Any] = [None] * self.count
        for row, value in zip(np.flatnonzero(self.valid).tolist(), listed, strict=True):
            full[row] = value
        if self.present is not None and missing is not None:
            for row in np.flatnonzero(~self.present).tolist():
                full[row] = missing
        return full

    def to_own_pylist(self) -> list[Any]:
        """All rows as Python values that share no list or map; ``MISSING`` where the row lacks the field."""
        listed = self.to_pylist(MISSING)
        return list(map(fresh, listed)) if self.is_shared else listed


# -- payload values ---------------------------------------------------------------------------


def decode_cells(
    data: bytes, start: int, stop: int, count: int, *, is_coded: bool = False, source: Source | None = None
) -> Cells:
    """The payload column in ``data[start:stop]``; ``is_coded`` leaves text in the dictionary it was written with.

    ``source`` says what references in it stand for; without one there may be none.
    """
    cursor = Cursor(data, start, stop)
    cells = _cells(cursor, count, DEPTH_MAX, is_coded, source)
    cursor.finish()
    return cells


def _cells(cursor: Cursor, count: int, depth: int, is_coded: bool = False, source: Source | None = None) -> Cells:
    at = cursor.at
    major, argument = cursor.head()
    if major == TAG:
        return Cells(count, _widened(typed_array(cursor, argument, count)))
    code = form_code(cursor, major, argument, depth)
    if code == OPTIONAL:
        return _optional(cursor, count, depth - 1, is_coded, source)
    if code == ZSTD:
        return _cells_within(unsqueezed(cursor), count, depth - 1, is_coded, source)
    if code == CONSTANT:
        value, is_shared = _value(cursor.contents(), source)
        return _shared_constant(value, count, is_coded) if is_shared else _constant(value, count, is_coded)
    if code in (TEXT, BINARY):
        return Cells(count, _binary(cursor, code, count, depth - 1))
    if code == DICTIONARY:
        return Cells(count, _dictionary(cursor, count, depth - 1, is_coded, source))
    if code == BOOLS:
        return Cells(count, _bits(cursor, count))
    if code == PLAIN:
        return _plain(cursor, count, is_coded, source)
    cursor.at = at
    return Cells(count, _widened(integers_at(cursor, count, depth)))


def _cells_within(data: bytes, count: int, depth: int, is_coded: bool, source: Source | None) -> Cells:
    """All of ``data`` as one column."""
    cursor = Cursor(data)
    cells = _cells(cursor, count, depth, is_coded, source)
    cursor.finish()
    return cells


def _value(data: bytes, source: Source | None) -> tuple[Any, bool]:
    """The value in ``data``, and whether references were met in it."""
    if source is None:
        return items.decode_value(data), False
    before = source.extra
    value = source.decode(data)
    return value, source.extra > before


def _widened(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # a signalling NaN is a value like any other
            return values.astype(np.float64, copy=False)
    if values.dtype == np.uint64 and len(values) and int(values.max()) > INT64_MAX:
        return values
    return values.astype(np.int64, copy=False)


def _constant(value: Any, count: int, is_coded: bool = False) -> Cells:
    if value is None:
        return Cells(count, [], valid=np.zeros(count, np.bool_))
    kind = type(value)
    if kind is float or kind is bool:
        return Cells(count, np.full(count, value))
    if kind is int and INT64_MIN <= value <= _UINT64_MAX:
        return Cells(count, np.full(count, value, np.int64 if value <= INT64_MAX else np.uint64))
    if kind is str and is_coded:
        return Cells(count, _coded(np.zeros(count, np.int32), pa.array([value], pa.string())))
    if kind is str and len(value) * 4 * count <= EXPANDED_BYTES_MAX:
        return Cells(count, pa.repeat(pa.scalar(value, pa.string()), count))
    return Cells(count, [value] * count)


def _shared_constant(value: Any, count: int, is_coded: bool) -> Cells:
    """The same value in all rows, which stands elsewhere in the segment, or a part of it does."""
    if type(value) is str and is_coded:
        return _constant(value, count, is_coded)
    return Cells(count, [value] * count, is_shared=True)


def _binary(cursor: Cursor, code: int, count: int, depth: int) -> Any:
    lengths = integers_at(cursor, count, depth)
    start, stop = cursor.span()
    offsets = np.zeros(count + 1, np.int32)
    if count:
        if int(lengths.min()) < 0 or int(lengths.max()) > stop - start:
            raise FormatError("a text's length is outside of its column")
        total = lengths.sum(dtype=np.int64)
        if total != stop - start:
            raise FormatError(f"the lengths of texts make {total} bytes, not {stop - start}")
        np.cumsum(lengths, dtype=np.int32, out=offsets[1:])
    elif stop != start:
        raise FormatError("text without rows")
    kind = pa.string() if code == TEXT else pa.binary()
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(cursor.data).slice(start, stop - start)]
    made = pa.Array.from_buffers(kind, count, buffers)
    if code == TEXT:
        try:
            made.validate(full=True)
        except pa.ArrowInvalid as error:
            raise FormatError(f"text that is not UTF-8: {error}") from error
    return made


def _coded(codes: np.ndarray, words: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32, copy=False)), words)


def _dictionary(cursor: Cursor, count: int, depth: int, is_coded: bool, source: Source | None) -> Any:
    size = cursor.integer()
    if not 0 < size <= count:
        raise FormatError(f"a dictionary of {size} values for {count} rows")
    values = _cells(cursor, size, depth, source=source)
    codes = integers_at(cursor, count, depth)
    words = values.dense
    if values.valid is not None or not (isinstance(words, pa.Array) or _are_texts(words)):
        raise FormatError("a dictionary holds text")
    if int(codes.min()) < 0 or int(codes.max()) >= size:
        raise FormatError("a dictionary code without a value")
    if isinstance(words, list):
        return _coded(codes, pa.array(words, pa.string())) if is_coded else [words[code] for code in codes.tolist()]
    if is_coded and pa.types.is_string(words.type):
        return _coded(codes, words)
    lengths = np.diff(np.frombuffer(words.buffers()[1], np.int32)[: size + 1])
    if int(lengths[codes].sum(dtype=np.int64)) > EXPANDED_BYTES_MAX:
        listed = words.to_pylist()
        return [listed[code] for code in codes.tolist()]  # references, not copies
    return words.take(pa.array(codes))


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and set(map(type, values)) == {str}


def _bits(cursor: Cursor, count: int) -> np.ndarray:
    start, stop = cursor.span()
    if stop - start != (count + 7) // 8:
        raise FormatError(f"a bitmap of {stop - start} bytes for {count} rows")
    flags = np.unpackbits(np.frombuffer(cursor.data, np.uint8, stop - start, start), bitorder="little")
    if flags[count:].any():
        raise FormatError("a bitmap has bits behind its last row")
    return flags[:count].view(np.bool_)


def _plain(cursor: Cursor, count: int, is_coded: bool, source: Source | None) -> Cells:
    values, is_shared = _value(cursor.contents(), source)
    if type(values) is not list or len(values) != count:
        raise FormatError(f"expected a list of {count} values")
    if is_shared and is_coded and _are_texts(values):
        number: dict[str, int] = {}
        codes = np.array([number.setdefault(value, len(number)) for value in values], np.int32)
        return Cells(count, _coded(codes, pa.array(list(number), pa.string())))
    return Cells(count, values, is_shared=is_shared)


def _optional(cursor: Cursor, count: int, depth: int, is_coded: bool, source: Source | None) -> Cells:
    present = _optional_bits(cursor, count)
    there = count if present is None else int(present.sum())
    nulls = _optional_bits(cursor, there)
    dense = there if nulls is None else there - int(nulls.sum())
    inner = _cells(cursor, dense, depth, is_coded, source)
    if inner.valid is not None:
        raise FormatError("an optional column within an optional column")
    valid = np.ones(count, np.bool_) if present is None else present.copy()
    if nulls is not None:
        valid[np.flatnonzero(valid)[nulls]] = False
    return Cells(count, inner.dense, present, valid, inner.is_shared)


def _optional_bits(cursor: Cursor, count: int) -> np.ndarray | None:
    if cursor.at < cursor.end and cursor.data[cursor.at] == items.NULL_BYTE:
        cursor.at += 1
        return None
    return _bits(cursor, count)


def join_cells(parts: list[Cells | None], counts: list[int]) -> Cells:
    """Columns of one field in several blocks as one column; None stands for a block without the field."""
    known = [part for part in parts if part is not None]
    total = sum(counts)
    pairs = list(zip(parts, counts, strict=True))
    whole = all(part is not None and part.present is None for part in parts)
    present = None if whole else np.concatenate([_flags(part, n, "present") for part, n in pairs])
    full = all(part is not None and part.valid is None for part in parts)
    valid = None if full else np.concatenate([_flags(part, n, "valid") for part, n in pairs])
    dense = _join_dense([part.dense for part in known if len(part.dense)])
    return Cells(total, dense, present, valid, any(part.is_shared for part in known))


def _flags(part: Cells | None, count: int, which: str) -> np.ndarray:
    if part is None:
        return np.zeros(count, np.bool_)
    flags: np.ndarray | None = getattr(part, which)
    return np.ones(count, np.bool_) if flags is None else flags


def _join_dense(parts: list[Any]) -> Any:
    if not parts:
        return []
    if all(isinstance(part, np.ndarray) and part.dtype == parts[0].dtype for part in parts):
        return np.concatenate(parts)
    if all(isinstance(part, pa.Array) and part.type == parts[0].type for part in parts):
        with contextlib.suppress(pa.ArrowInvalid):  # more than 2 GiB of text do not fit one array
            return pa.concat_arrays(parts)
    return [value for part in parts for value in (part if isinstance(part, list) else part.tolist())]
