"""Digest: what happened in one simulation, as 32 hexadecimal digits.

What always holds: it depends on the simulation's events alone: not on wall times, on its ordinal, on
its id, the versions and the hash seed it was run with (``ENVIRONMENT_FIELDS`` of its first event), on
where blocks begin, on what other simulations share them, on how columns are encoded or on the order
of map keys. So two runs of one program and seed have one digest, live or compacted, on any machine.

It is blake2b over streams, one per fixed column (int64, little endian) and several per payload field:
which events of the kind have it, of which type, and the values of each type.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import cbor2
import numpy as np
import pyarrow as pa

from matrix.event import ENVIRONMENT_FIELDS, SIMULATION_FORKED, SIMULATION_STARTED
from matrix.log.block import Block
from matrix.log.cells import Cells
from matrix.log.reader import LogReader

_FIXED: Final = ("seq", "time", "agent", "turn", "goal", "state", "cause")
_NONE, _INT, _FLOAT, _BOOL, _TEXT, _BYTES, _OTHER = range(1, 8)
_CODE_OF: Final = {type(None): _NONE, int: _INT, float: _FLOAT, bool: _BOOL, str: _TEXT, bytes: _BYTES}
_INT64 = range(-(2**63), 2**63)
_SIZE: Final = 16


def simulation_digest(reader: LogReader, shard: int, ordinal: int) -> str:
    """The digest of a simulation's events so far: ``'5f2a...'``, the same for the same history.

    >>> simulation_digest(LogReader(Path("runs/log")), 1, 1)          # doctest: +SKIP
    '0c5c9a8c3f0d4be1e7b2b7b1f0c0a6d4'
    """
    from matrix.log.history import History  # which feeds the streams below

    return History(reader, shard, ordinal).digest()


def is_environment(kind: str, field: str) -> bool:
    """Whether a payload field says where and by what a simulation was run, and not what happened.

    >>> is_environment("simulation.started", "versions"), is_environment("simulation.started", "seed")
    (True, False)
    """
    return field in ENVIRONMENT_FIELDS and kind in (SIMULATION_STARTED, SIMULATION_FORKED)


class Streams:
    """A digest that grows: feed it the events of one simulation in order, block by block.

    >>> len(Streams().digest())
    32
    """

    def __init__(self) -> None:
        self._streams: dict[str, Any] = {}
        self._kinds: dict[str, int] = {}  # numbered as they first occur in the simulation
        self._of_kind: dict[str, int] = {}  # events of the kind so far
        self._count = 0

    def feed(self, block: Block, rows: np.ndarray) -> None:
        """The simulation's rows of one block: ascending, and at least one."""
        first, stop = int(rows[0]), int(rows[-1]) + 1
        span: Any = slice(first, stop) if stop - first == len(rows) else rows  # a slice copies nothing
        for name in _FIXED:
            self._update(name, getattr(block, name)[span].astype("<i8", copy=False))
        used = self._feed_kinds(block, span)
        self._feed_receivers(block, rows, span)
        for kind, count in used:
            places = block.places(kind, rows)
            for name in block.fields(kind):
                column = None if is_environment(kind, name) else block.cells(kind, name)
                if column is not None:
                    self._feed_field(f"{len(kind)}:{kind}.{name}", self._of_kind.get(kind, 0), column.pick(places))
            self._of_kind[kind] = self._of_kind.get(kind, 0) + count
        self._count += len(rows)

    def digest(self) -> str:
        """All streams and the names of kinds and fields as one digest."""
        whole = hashlib.blake2b(digest_size=_SIZE)
        for name in sorted(self._streams):
            whole.update(cbor2.dumps([name, self._streams[name].digest()]))
        whole.update(cbor2.dumps(list(self._kinds)))
        return whole.hexdigest()

    def _update(self, stream: str, data: Any) -> None:
        found = self._streams.get(stream)
        if found is None:
            found = self._streams[stream] = hashlib.blake2b(digest_size=_SIZE)
        found.update(np.ascontiguousarray(data).data if isinstance(data, np.ndarray) else data)

    def _feed_kinds(self, block: Block, span: Any) -> list[tuple[str, int]]:
        """Feeds the kinds; returns those that occur, and how often."""
        codes = block.kind[span]
        used, first, counts = np.unique(codes, return_index=True, return_counts=True)
        for code in used[np.argsort(first)].tolist():
            self._kinds.setdefault(block.kinds[code], len(self._kinds))
        numbers = np.zeros(len(block.kinds), "<i8")
        for code in used.tolist():
            numbers[code] = self._kinds[block.kinds[code]]
        self._update("kind", numbers[codes])
        return [(block.kinds[code], count) for code, count in zip(used.tolist(), counts.tolist(), strict=True)]

    def _feed_receivers(self, block: Block, rows: np.ndarray, span: Any) -> None:
        self._update("to", block.to[span].astype("<i8"))
        if not block.to_many:
            return
        place_of = {row: place for place, row in enumerate(rows.tolist())}
        many = [[self._count + place_of[row], *to] for row, to in sorted(block.to_many.items()) if row in place_of]
        for entry in many:
            self._update("to_many", cbor2.dumps(entry))

    # -- payload fields -----------------------------------------------------------------------

    def _feed_field(self, name: str, before: int, column: Cells) -> None:
        there = np.arange(column.count) if column.present is None else np.flatnonzero(column.present)
        if not len(there):
            return
        self._update(f"{name}/rows", (there + before).astype("<i8"))
        codes, values = _typed(column.dense)
        if column.valid is None:
            self._update(f"{name}/types", codes)
        else:
            full = np.full(column.count, _NONE, np.uint8)
            full[column.valid] = codes
            self._update(f"{name}/types", full[there])
        for code, data in values if len(column.dense) else ():  # no stream of a type that only others in the block have
            self._update(f"{name}/{code}", data)


def same_cells(one: Cells, other: Cells) -> bool:
    """Whether two columns hold the same values, of the same types, in the same rows."""
    if not (_same_flags(one, other, "present") and _same_flags(one, other, "valid")):
        return False
    mine, theirs = one.dense, other.dense
    if len(mine) != len(theirs) or not len(mine):
        return len(mine) == len(theirs)
    if isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray) and mine.dtype == theirs.dtype:
        return _same_numbers(mine, theirs)
    if isinstance(mine, pa.Array) and isinstance(theirs, pa.Array):
        return bool(mine.equals(theirs))
    (codes, values), (other_codes, other_values) = _typed(mine), _typed(theirs)
    return np.array_equal(codes, other_codes) and _as_bytes(values) == _as_bytes(other_values)


def _same_numbers(mine: np.ndarray, theirs: np.ndarray) -> bool:
    if mine.dtype.kind != "f":
        return np.array_equal(mine, theirs)
    bits, other_bits = _floats(mine).view(np.int64), _floats(theirs).view(np.int64)
    return np.array_equal(bits, other_bits)  # by bits: 0.0 and -0.0 differ, NaN equals itself


def _same_flags(one: Cells, other: Cells, which: str) -> bool:
    mine, theirs = getattr(one, which), getattr(other, which)
    if mine is None and theirs is None:
        return one.count == other.count
    everywhere = np.ones(one.count, np.bool_)
    return one.count == other.count and np.array_equal(
        everywhere if mine is None else mine, everywhere if theirs is None else theirs
    )


def _as_bytes(streams: list[tuple[str, Any]]) -> dict[str, bytes]:
    joined: dict[str, bytes] = {}
    for name, data in streams:
        joined[name] = joined.get(name, b"") + bytes(data)
    return joined


def _typed(dense: Any) -> tuple[np.ndarray, list[tuple[str, Any]]]:
    """The type of every value, and the values of each type as bytes."""
    if isinstance(dense, list):
        return _typed_list(dense)
    if isinstance(dense, pa.Array):
        code = _TEXT if dense.type == pa.string() else _BYTES
        return np.full(len(dense), code, np.uint8), _texts(code, dense)
    if dense.dtype.kind == "f":
        return np.full(len(dense), _FLOAT, np.uint8), [(str(_FLOAT), _floats(dense))]
    if dense.dtype.kind == "b":
        return np.full(len(dense), _BOOL, np.uint8), [(str(_BOOL), dense.view(np.uint8))]
    if dense.dtype == np.uint64:
        return _typed_list(dense.tolist())
    return np.full(len(dense), _INT, np.uint8), [(str(_INT), dense.astype("<i8", copy=False))]


def _floats(values: np.ndarray) -> np.ndarray:
    # One NaN for all: which bits it has is not a matter of the history.
    return np.where(np.isnan(values), np.nan, values).astype("<f8")


def _texts(code: int, values: Any) -> list[tuple[str, Any]]:
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    text = memoryview(data)[ends[0] : ends[-1]] if data is not None and len(values) else b""
    return [(f"{code}/lengths", np.diff(ends).astype("<i8")), (str(code), text)]


def _typed_list(values: list[Any]) -> tuple[np.ndarray, list[tuple[str, Any]]]:
    codes = np.array([_code(value) for value in values], np.uint8)
    by_code: dict[int, list[Any]] = {}
    for value, code in zip(values, codes.tolist(), strict=True):
        by_code.setdefault(code, []).append(value)
    streams: list[tuple[str, Any]] = []
    for code, some in by_code.items():
        if code == _OTHER:
            streams.append((str(code), _canonical(some)))
        elif code in (_TEXT, _BYTES):
            streams += _texts(code, pa.array(some, pa.string() if code == _TEXT else pa.binary()))
        elif code != _NONE:
            dtype = {_INT: np.int64, _FLOAT: np.float64, _BOOL: np.bool_}[code]
            streams += _typed(np.array(some, dtype))[1]
    return codes, streams


def _canonical(values: list[Any]) -> bytes:
    """All values one behind the other; one that stands in several rows, as values referred to do, is encoded once."""
    if len(set(map(id, values))) == len(values):
        return b"".join(cbor2.dumps(value, canonical=True) for value in values)
    encoded = {key: cbor2.dumps(value, canonical=True) for key, value in {id(value): value for value in values}.items()}
    return b"".join(encoded[id(value)] for value in values)


def _code(value: Any) -> int:
    code = _CODE_OF.get(type(value), _OTHER)
    return _OTHER if code == _INT and value not in _INT64 else code
