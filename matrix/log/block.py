"""Block: the events of one frame, decoded column by column as they are asked for.

What always holds: the frame's checksums were verified before a Block exists; a column is decoded at
most once and returns ``count`` values; bytes that do not decode raise ``LogCorrupt`` with their place.
Typed columns are zero-copy views of the bytes read: they are read-only where not unfolded.

A block holds the bytes of its frame, or, where a reader knows its `Directory` from before, only those of the columns
that were asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from matrix.errors import FormatError, LogCorrupt
from matrix.event import Event
from matrix.limits import (
    COMPACT_BLOCK_EVENTS_MAX,
    FIELDS_PER_KIND_MAX,
    FRAME_BYTES_MAX,
    KIND_BYTES_MAX,
    KINDS_PER_BLOCK_MAX,
    RECEIVERS_MAX,
)
from matrix.log import cells, integers, items
from matrix.log.cells import Cells
from matrix.log.columns import MISSING, Missing
from matrix.log.frame import Frame
from matrix.log.items import ARRAY, NULL_BYTE, Cursor
from matrix.log.pack import BLOCK_COLUMNS
from matrix.log.references import Near, References, Source, Stored, fresh

__all__ = ["MISSING", "Block", "BlockRef", "Field", "Missing"]

_Decoded = TypeVar("_Decoded")
Fetch = Callable[[int, int], bytes]
_PLACE = {name: place for place, name in enumerate(BLOCK_COLUMNS)}
_SEARCHES_MAX = 3  # for the rows of a kind, before the rows of all kinds are sorted out
_DTYPES = {"simulation": "u4", "agent": "u4", "turn": "u4", "to": "u4", "kind": "u2"}


class BlockRef(NamedTuple):
    """Where a block lies. ``generation`` is 0 for a segment as written, one more for each compaction."""

    shard: int
    segment: int
    generation: int
    offset: int


@dataclass(frozen=True, slots=True)
class Field:
    """One payload field of one kind in one block, aligned with ``block.kind_rows(kind)``.

    ``values`` is an Arrow array (int64, uint64, double, bool, string, binary; null where the row lacks the
    field or holds None) or, for mixed and nested values, a list with ``MISSING`` where the row lacks it.
    """

    values: Any

    def to_pylist(self) -> list[Any]:
        """Python values, None where the row lacks the field."""
        if isinstance(self.values, list):
            return [None if value is MISSING else value for value in self.values]
        listed: list[Any] = self.values.to_pylist()
        return listed


class _Kind(NamedTuple):
    code: int
    rows: int
    fields: list[str]
    column: int  # where its first column stands among all columns
    has_rest: bool


@dataclass(frozen=True, slots=True)
class Directory:
    """What a block's frame says of it before any column: enough to read a column by itself."""

    length: int
    first_position: int
    last_position: int
    count: int
    kinds: dict[str, _Kind]
    kind_counts: dict[str, int]
    starts: array[int]  # where each column's bytes begin in the payload
    stops: array[int]
    is_referring: bool = False  # its columns may hold references


class Block:
    """The events of one frame, as ``LogReader`` returns it.

    ``length`` is the frame's bytes; ``first_position`` and ``last_position`` bound the positions, which
    are dense in a live block and not in a compacted one (there events are clustered by simulation).

    >>> block.kind_counts                                # doctest: +SKIP
    {'offer': 6000, 'accept': 2192}
    >>> block.field("offer", "price").values             # doctest: +SKIP
    <pyarrow.lib.Int64Array object at 0x7f...>
    """

    __slots__ = (
        "_cache",
        "_data",
        "_fetch",
        "_kinds",
        "_path",
        "_references",
        "_referred",
        "_searches",
        "count",
        "directory",
        "first_position",
        "kind_counts",
        "kinds",
        "last_position",
        "length",
        "ref",
    )

    def __init__(
        self,
        data: bytes,
        start: int,
        stop: int,
        *,
        path: Path,
        ref: BlockRef,
        length: int,
        first: int,
        last: int,
        references: References | None = None,
    ) -> None:
        """``data[start:stop]`` is the verified payload of the frame at ``ref.offset`` of ``path``.

        ``references`` are those of its segment, for a block that may hold some.
        """
        self._data, self._path, self.ref = data, path, ref
        self._fetch: Fetch | None = None
        try:
            found = _opened(data, start, stop)
        except FormatError as error:
            raise self.corrupt(error) from error
        self._references = references
        self._describe(Directory(length, first, last, *found, references is not None))

    @classmethod
    def known(
        cls, directory: Directory, fetch: Fetch, path: Path, ref: BlockRef, references: References | None
    ) -> Block:
        """A block that was verified before: ``fetch(start, size)`` reads from its payload, column by column."""
        block = cls.__new__(cls)
        block._data, block._path, block.ref, block._fetch = b"", path, ref, fetch
        block._references = references
        block._describe(directory)
        return block

    def _describe(self, directory: Directory) -> None:
        self.directory = directory
        self.length, self.count = directory.length, directory.count
        self.first_position, self.last_position = directory.first_position, directory.last_position
        self._kinds = directory.kinds
        self.kinds, self.kind_counts = list(self._kinds), directory.kind_counts
        self._cache: dict[Any, Any] = {}
        self._searches = 0  # for the rows of a kind
        self._referred: dict[int, int] = {}  # by column: bytes that its references stand for

    def __repr__(self) -> str:
        return f"<Block {self.ref} events={self.count} positions={self.first_position}..{self.last_position}>"

    # -- the fixed columns --------------------------------------------------------------------

    @property
    def positions(self) -> np.ndarray:
        """The position in the shard of every row, int64."""
        return self._integers("position")

    @property
    def simulation(self) -> np.ndarray:
        """Ordinals of the simulations in the shard, uint32."""
        return self._integers("simulation")

    @property
    def seq(self) -> np.ndarray:
        """Dense numbers in the simulation, int64."""
        return self._integers("seq")

    @property
    def time(self) -> np.ndarray:
        """Virtual microseconds since the simulation began, int64."""
        return self._integers("time")

    @property
    def wall(self) -> np.ndarray:
        """Microseconds since 1970 UTC, int64."""
        return self._integers("wall")

    @property
    def agent(self) -> np.ndarray:
        """Numbers of the agents, uint32; 0 is the simulation itself."""
        return self._integers("agent")

    @property
    def turn(self) -> np.ndarray:
        """How many turns the agent had begun, uint32."""
        return self._integers("turn")

    @property
    def goal(self) -> np.ndarray:
        """``seq`` of the goal's start, 0 for none, int64."""
        return self._integers("goal")

    @property
    def state(self) -> np.ndarray:
        """``seq`` of the newest state of the simulation, 0 for none, int64."""
        return self._integers("state")

    @property
    def cause(self) -> np.ndarray:
        """``seq`` of the event that led here, 0 for none, int64."""
        return self._integers("cause")

    @property
    def kind(self) -> np.ndarray:
        """Codes into ``kinds``, uint16."""
        return self._integers("kind")

    @property
    def to(self) -> np.ndarray:
        """The first receiver's number, 0 for none, uint32."""
        return self._integers("to")

    @property
    def to_many(self) -> dict[int, tuple[int, ...]]:
        """All receivers of the rows that have more than one."""
        return self._once("to_many", self._receivers)

    def bounds(self, name: str) -> tuple[int, int]:
        """Least and greatest value of a fixed column, mostly without unfolding it: ``block.bounds("time")``."""
        try:
            return integers.integer_bounds(*self._column(_PLACE[name]), self.count)
        except FormatError as error:
            raise self.corrupt(error) from error

    # -- kinds and payloads -------------------------------------------------------------------

    def kind_rows(self, kind: str) -> np.ndarray:
        """Ascending row numbers of the events of a kind, int64; empty when there are none."""
        found = self._kinds.get(kind)
        if found is None:
            return np.empty(0, np.int64)
        return self._once(("rows", kind), lambda: self._rows_of(found))

    def places(self, kind: str, rows: np.ndarray) -> slice | np.ndarray:
        """Which of ``kind_rows(kind)`` are among some ascending rows: a slice where the rows lie together."""
        of_kind = self.kind_rows(kind)
        first, stop = int(rows[0]), int(rows[-1]) + 1
        if stop - first == len(rows):
            return slice(*np.searchsorted(of_kind, (first, stop)).tolist())
        wanted = np.zeros(self.count, np.bool_)
        wanted[rows] = True
        return np.flatnonzero(wanted[of_kind])

    def fields(self, kind: str) -> list[str]:
        """The payload fields (top level keys) that events of this kind have in this block."""
        found = self._kinds.get(kind)
        if found is None:
            return []
        if not found.has_rest:
            return list(found.fields)
        return [*found.fields, *dict.fromkeys(name for row in self._rest(kind, found) for name in row)]

    def field(self, kind: str, name: str) -> Field | None:
        """One payload field, decoding only its column; None when no event of the kind has it here."""
        column = self.cells(kind, name)
        return None if column is None else self._once(("field", kind, name), lambda: Field(column.values()))

    def coded(self, kind: str, name: str) -> Field | None:
        """Like ``field``, but text stays in the dictionary it was written with: its words are looked at once."""
        column = self.cells(kind, name, is_coded=True)
        return None if column is None else self._once(("coded", kind, name), lambda: Field(column.values()))

    def cells(self, kind: str, name: str, *, is_coded: bool = False) -> Cells | None:
        """One payload field as stored, which tells None from absent (see ``Cells``)."""
        found = self._kinds.get(kind)
        if found is None:
            return None
        if name in found.fields:
            place = found.column + found.fields.index(name)
            key, rows = (place, is_coded), found.rows
            return self._once(key, lambda: self._decode_cells(place, rows, is_coded))
        if not found.has_rest:
            return None
        values = [row.get(name, MISSING) for row in self._rest(kind, found)]
        there = np.array([value is not MISSING for value in values], np.bool_)
        if not there.any():
            return None
        valid = np.array([value is not MISSING and value is not None for value in values], np.bool_)
        return Cells(found.rows, [value for value, ok in zip(values, valid, strict=True) if ok], there, valid)

    def payloads(self, kind: str) -> list[dict[str, Any]]:
        """The payload of every event of a kind as dicts, equal to those that were written; no two share a value."""
        found = self._kinds.get(kind)
        if found is None:
            return []
        names = found.fields
        columns = [self.cells(kind, name) for name in names]
        listed = [column.to_own_pylist() for column in columns if column is not None]
        if not listed:
            rows: list[dict[str, Any]] = [{} for _ in range(found.rows)]
        elif all(column is None or column.present is None for column in columns):
            rows = [dict(zip(names, values, strict=True)) for values in zip(*listed, strict=True)]
        else:
            together = zip(*listed, strict=True)
            rows = [{n: v for n, v in zip(names, values, strict=True) if v is not MISSING} for values in together]
        if found.has_rest:
            for row, rest in zip(rows, self._rest(kind, found), strict=True):
                row.update(fresh(rest) if self._references else rest)
        return rows

    def events(self) -> Iterator[Event]:
        """Every event, in stored order."""
        data: list[dict[str, Any]] = [{}] * self.count
        for kind in self.kinds:
            for row, payload in zip(self.kind_rows(kind).tolist(), self.payloads(kind), strict=True):
                data[row] = payload
        names = ("simulation", "seq", "time", "wall", "agent", "turn", "goal", "state", "cause")
        fixed = zip(*(self._integers(name).tolist() for name in names), strict=True)
        kinds, many = [self.kinds[code] for code in self.kind.tolist()], self.to_many
        for row, (values, kind, to) in enumerate(zip(fixed, kinds, self.to.tolist(), strict=True)):
            receivers = many.get(row) or ((to,) if to else ())
            yield Event(*values, kind, receivers, data[row])  # type: ignore[call-arg]  # nine fixed columns

    def payload_columns(self) -> Iterator[tuple[str, str, int]]:
        """Kind, field and number of every payload column; those of maps of rare fields are left out."""
        for name, kind in self._kinds.items():
            for place, field in enumerate(kind.fields, kind.column):
                yield name, field, place

    # -- decoding -----------------------------------------------------------------------------

    def stored(self, place: int) -> Stored:
        """The bytes of a column of the payload, by its number among all columns."""
        if not len(BLOCK_COLUMNS) <= place < len(self.directory.starts):
            raise FormatError(f"a block of {len(self.directory.starts)} columns has no values in column {place}")
        return self._column(place)

    def decoded(self, place: int, data: bytes) -> Any:
        """The value in the contents of a column (see ``references.contents``)."""
        if self._references is None:
            return items.decode_value(data)
        return Source(self._references, Near(self.ref.offset, self.stored), place).decode(data)

    def _decode_cells(self, place: int, rows: int, is_coded: bool = False) -> Cells:
        if self._references is None:
            return cells.decode_cells(*self._column(place), rows, is_coded=is_coded)
        source = Source(self._references, Near(self.ref.offset, self.stored), place)
        found = cells.decode_cells(*self._column(place), rows, is_coded=is_coded, source=source)
        if source.extra:
            self._referred[place] = source.extra
            if sum(self._referred.values()) > FRAME_BYTES_MAX:
                raise FormatError(f"references stand for more than the {FRAME_BYTES_MAX} bytes that a frame holds")
        return found

    def _column(self, place: int) -> Stored:
        """The bytes of a column, as a part of some data."""
        start, stop = self.directory.starts[place], self.directory.stops[place]
        if self._fetch is None:
            return self._data, start, stop
        data = self._fetch(start, stop - start)
        if len(data) < stop - start:
            raise FormatError("a column is expected, the file ends")
        return data, 0, stop - start

    def corrupt(self, error: object) -> LogCorrupt:
        """The error that says where this block lies and what is wrong with it."""
        return LogCorrupt(self._path, self.ref.offset, f"the block here does not decode: {error}")

    def _once(self, key: Any, decode: Callable[[], _Decoded]) -> _Decoded:
        found: _Decoded | None = self._cache.get(key)
        if found is None:
            try:
                found = self._cache[key] = decode()
            except (FormatError, pa.ArrowInvalid) as error:
                raise self.corrupt(error) from error
        return found

    def _integers(self, name: str) -> np.ndarray:
        return self._once(name, lambda: self._decode_fixed(name))

    def _decode_fixed(self, name: str) -> np.ndarray:
        values = integers.decode_integers(*self._column(_PLACE[name]), self.count)
        dtype = np.dtype(_DTYPES.get(name, "i8"))
        if dtype.kind == "u" and values.dtype.itemsize >= dtype.itemsize:
            highest = len(self.kinds) - 1 if name == "kind" else np.iinfo(dtype).max
            if int(values.min()) < 0 or int(values.max()) > highest:
                raise FormatError(f"a value of {name} is out of range")
        elif name == "kind" and int(values.max()) >= len(self.kinds):
            raise FormatError("a kind code without a kind")
        return values.astype(dtype, copy=False)

    def _rows_of(self, kind: _Kind) -> np.ndarray:
        if kind.rows == self.count:
            return np.arange(self.count)
        self._searches += 1
        if self._searches > _SEARCHES_MAX:
            rows = self._once("by kind", self._rows_by_kind)[kind.code]
        else:
            rows = np.flatnonzero(self.kind == kind.code)
        if len(rows) != kind.rows:
            raise FormatError(f"{len(rows)} rows of a kind that should have {kind.rows}")
        return rows

    def _rows_by_kind(self) -> list[np.ndarray]:
        """The rows of every kind: one sort is quicker than looking for many kinds one by one."""
        codes = self.kind.astype(np.uint8) if len(self.kinds) <= 256 else self.kind  # one byte is sorted at once
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(self.kinds))).tolist()
        return [order[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _rest(self, name: str, kind: _Kind) -> list[dict[str, Any]]:
        return self._once(("rest", name), lambda: self._decode_rest(kind))

    def _decode_rest(self, kind: _Kind) -> list[dict[str, Any]]:
        rows = self._decode_cells(kind.column + len(kind.fields), kind.rows).to_pylist()
        if any(type(row) is not dict for row in rows):
            raise FormatError("the rest of a payload is not a map")
        return rows

    def _receivers(self) -> dict[int, tuple[int, ...]]:
        return _decode_receivers(Cursor(*self._column(_PLACE["to_many"])), self.count)


def _opened(data: bytes, start: int, stop: int) -> tuple[int, dict[str, _Kind], dict[str, int], array[int], array[int]]:
    """What a payload says of itself: the number of events, the kinds, and where the columns lie."""
    cursor = Cursor(data, start, stop)
    parts = cursor.expect(ARRAY)
    described = items.decode_structure(cursor.contents())
    count = _checked_count(described)
    kinds = _checked_kinds(described["kinds"], count)
    last = list(kinds.values())[-1]
    if parts != 1 + last.column + len(last.fields) + last.has_rest:
        raise FormatError(f"{parts} columns where the directory names others")
    starts, stops = zip(*cursor.spans(parts - 1), strict=True)
    cursor.finish()
    return count, kinds, {name: kind.rows for name, kind in kinds.items()}, array("Q", starts), array("Q", stops)


def _decode_receivers(cursor: Cursor, count: int) -> dict[int, tuple[int, ...]]:
    raw = integers.unwrapped(cursor)
    parts = raw.expect(ARRAY)
    if parts == 2:
        if raw.data[raw.at : raw.end] != bytes((0, 0x41, NULL_BYTE)):  # the constant None: no such rows
            raise FormatError("expected receivers")
        return {}
    row_count, receiver_count = raw.integer(), raw.integer()
    if parts != 5 or not 0 < row_count <= count or not 0 < receiver_count <= RECEIVERS_MAX:
        raise FormatError("receivers that cannot be")
    rows = integers.integers_at(raw, row_count)
    lengths = integers.integers_at(raw, row_count)
    receivers = integers.integers_at(raw, receiver_count)
    raw.finish()
    ends = np.cumsum(lengths, dtype=np.int64)
    if int(lengths.min()) < 2 or int(lengths.max()) > receiver_count or int(ends[-1]) != receiver_count:
        raise FormatError("receivers that do not belong to their rows")
    if int(rows.min()) < 0 or int(rows.max()) >= count or int(receivers.min()) < 0 or int(receivers.max()) >= 2**32:
        raise FormatError("receivers out of range")
    listed, stops = receivers.tolist(), ends.tolist()
    return {
        row: tuple(listed[stop - length : stop])
        for row, length, stop in zip(rows.tolist(), lengths.tolist(), stops, strict=True)
    }


def _checked_count(directory: Any) -> int:
    if type(directory) is not dict or set(directory) != {"n", "kinds"} or type(directory["kinds"]) is not list:
        raise FormatError("the directory of a block is not as it should be")
    count = directory["n"]
    if type(count) is not int or not 0 < count <= COMPACT_BLOCK_EVENTS_MAX:
        raise FormatError(f"a block of {count!r:.40} events")
    return count


def _checked_kinds(listed: list[Any], total: int) -> dict[str, _Kind]:
    kinds: dict[str, _Kind] = {}
    column = len(BLOCK_COLUMNS)
    for code, entry in enumerate(listed):
        name, count, fields, has_rest = _checked_kind(entry)
        own = fields[:-1] if has_rest else fields
        kinds[name] = _Kind(code, count, own, column, has_rest)
        column += len(fields)
    if not 0 < len(kinds) == len(listed) <= KINDS_PER_BLOCK_MAX or sum(k.rows for k in kinds.values()) != total:
        raise FormatError("the kinds of a block do not make its events")
    return kinds


def _checked_kind(entry: Any) -> tuple[str, int, list[str], bool]:
    if type(entry) is not list or len(entry) != 4 or list(map(type, entry))[:2] != [str, int]:
        raise FormatError("a kind is not described as it should be")
    name, count, fields, rest = entry
    fields = [] if fields is None else fields
    if type(fields) is not list or not _TEXT.issuperset(map(type, fields)) or type(rest) is not int:
        raise FormatError("the fields of a kind are not described as they should be")
    if count < 1:
        raise FormatError("a kind is out of bounds")
    _check_shape(name, rest, tuple(fields))
    return name, count, fields, bool(rest)


_TEXT = frozenset({str})


@lru_cache(maxsize=4_096)  # the blocks of a log repeat themselves
def _check_shape(name: str, rest: int, fields: tuple[str, ...]) -> None:
    if rest not in (0, 1) or not 0 < len(name.encode()) <= KIND_BYTES_MAX or len(fields) > FIELDS_PER_KIND_MAX + rest:
        raise FormatError("a kind is out of bounds")
    if len(set(fields[: len(fields) - rest])) != len(fields) - rest or (rest and not fields):
        raise FormatError("a field of a kind is named twice")


def block_of(frame: Frame, path: Path, ref: BlockRef, references: References | None) -> Block:
    """The block in a frame of events; ``LogCorrupt`` when the header counts other events than the block.

    ``references`` are those of its segment; only blocks that say they refer to others may use them.
    """
    header = frame.header
    block = Block(
        frame.data,
        frame.start,
        frame.stop,
        path=path,
        ref=ref,
        length=frame.length,
        first=header.first,
        last=header.last,
        references=references if header.is_referring else None,
    )
    if block.count != header.events:
        raise LogCorrupt(path, ref.offset, f"a block of {block.count} events under a header that says {header.events}")
    return block
