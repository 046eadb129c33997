"""Pack: rows become the payload of an events frame.

    payload   = [ directory, column, column, ... ]        every item a byte string with CBOR inside
    directory = {"n": rows, "kinds": [[name, rows, fields or null, rest], ...]}
    columns   = position simulation seq time wall agent turn goal state cause kind to to_many,
                then for each kind in order its fields in order

Every column is a byte string of its own, so a reader steps over those it does not need. ``fields`` is
null when all payloads of the kind are empty; ``rest`` is 1 when the last column holds maps of fields
too many to have columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from matrix.errors import UsageError
from matrix.limits import FIELDS_PER_KIND_MAX, FRAME_BYTES_MAX, KIND_BYTES_MAX, KINDS_PER_BLOCK_MAX, RECEIVERS_MAX
from matrix.log import arrays, columns, items
from matrix.log.cells import Cells
from matrix.log.columns import MISSING, integers_of
from matrix.log.frame import FRAME_PREFIX_BYTES
from matrix.log.items import ARRAY, byte_string, head
from matrix.log.rows import FIXED_COLUMNS, Column, KindRows, Rows, Runs, TooLarge, cut_rows, gaps

if TYPE_CHECKING:
    from matrix.log.repeats import Repeats

#: Names of the columns that every block has, in stored order.
BLOCK_COLUMNS = ("position", *FIXED_COLUMNS, "kind", "to", "to_many")


class Packed(NamedTuple):
    """A payload, and what the writer keeps about it."""

    payload: bytes
    events: int
    simulation_first: int
    simulation_last: int
    is_referring: bool = False


def pack(
    rows: Rows,
    positions: np.ndarray | int,
    *,
    is_compact: bool = False,
    repeats: Repeats | None = None,
    offset: int = 0,
) -> Packed:
    """The rows as one payload; ``positions`` is the first of dense ones, or one for each row.

    ``is_compact`` takes more time for fewer bytes. ``repeats`` knows the long values of the segment that the block
    will stand in at ``offset``; they are not written again. Raises ``TooLarge`` beyond the bounds of a frame,
    ``UsageError`` for rows that contradict themselves and for values the log cannot hold.
    """
    if rows.count < 1:
        raise UsageError("a block has at least one event")
    if repeats:
        repeats.begin(offset)
    seen: dict[int, bytes] = {}
    stored = [_positions(positions, rows.count)]
    for name in ("simulation", "agent", "turn", "to"):
        _check_narrow(name, getattr(rows, name))
    for name in FIXED_COLUMNS:
        stored.append(_fixed(getattr(rows, name), rows.count, seen, is_compact=is_compact))
    kinds, kind_column = _kinds(rows, seen)
    stored += [kind_column, columns.encode_column(rows.to, rows.count, seen), _receivers(rows.to_many, rows.count)]
    described = [
        [rows.kinds[code], count, *_payload(rows.data.get(code), count, stored, repeats)] for code, count in kinds
    ]
    directory = items.encode_value({"n": rows.count, "kinds": described})
    # Before zstd, and with what references stand for: bounds what a reader unpacks.
    written_out = len(directory) + sum(map(len, stored)) + 8 * len(stored) + (repeats.extra if repeats else 0)
    if written_out > FRAME_BYTES_MAX:
        raise TooLarge(f"{rows.count} events take more than the {FRAME_BYTES_MAX} bytes that a frame holds")
    if is_compact:
        stored = [columns.compress(column) for column in stored]
    payload = b"".join((head(ARRAY, len(stored) + 1), byte_string(directory), *map(byte_string, stored)))
    return Packed(payload, rows.count, *_bounds(rows.simulation), repeats is not None and repeats.is_referring)


def pack_halving(rows: Rows, position: int, repeats: Repeats | None = None, offset: int = 0) -> Iterator[Packed]:
    """The rows as one block, or as many as it takes to stay within the bounds of a frame."""
    try:
        yield pack(rows, position, repeats=repeats, offset=offset)
    except TooLarge:
        if repeats:
            repeats.cut(offset)
        if rows.count == 1:
            raise
        middle = rows.count // 2
        for start, stop in ((0, middle), (middle, rows.count)):
            for packed in pack_halving(cut_rows(rows, start, stop), position + start, repeats, offset):
                yield packed
                offset += FRAME_PREFIX_BYTES + len(packed.payload)


def _positions(positions: np.ndarray | int, count: int) -> bytes:
    if isinstance(positions, int):
        return columns.arithmetic(positions, 1)
    return columns.encode_steps(positions)


def _fixed(column: Column, count: int, seen: dict[int, bytes], *, is_compact: bool) -> bytes:
    encoded = columns.encode_column(column, count, seen)
    if not is_compact or not isinstance(column, np.ndarray):
        return encoded
    return min(encoded, columns.encode_steps(integers_of(column)), key=lambda form: len(columns.compress(form)))


def _check_narrow(name: str, column: Column) -> None:
    low, high = _bounds(column)
    if low < 0 or high >= 2**32:
        raise UsageError(f"{name} holds {low if low < 0 else high}; it is an unsigned number of 32 bits")


def _bounds(column: Column) -> tuple[int, int]:
    if isinstance(column, int):
        return column, column
    values = integers_of(column.values if isinstance(column, Runs) else column)
    return int(values.min()), int(values.max())


# -- kinds and receivers ----------------------------------------------------------------------


def _kinds(rows: Rows, seen: dict[int, bytes]) -> tuple[list[tuple[int, int]], bytes]:
    """Code and row count of every kind that occurs, and the kind column with those numbered from 0."""
    column = rows.kind
    if isinstance(column, int):
        if not 0 <= column < len(rows.kinds):
            raise UsageError(f"a kind code outside of the {len(rows.kinds)} kinds")
        _check_kinds([rows.kinds[column]])
        return [(column, rows.count)], columns.constant(0)
    codes = integers_of(column.values if isinstance(column, Runs) else column)
    if int(codes.min()) < 0 or int(codes.max()) >= len(rows.kinds):
        raise UsageError(f"a kind code outside of the {len(rows.kinds)} kinds")
    weights = gaps(integers_of(column.starts), rows.count) if isinstance(column, Runs) else None
    counts = np.bincount(codes, weights, len(rows.kinds)).astype(np.int64)
    used = np.flatnonzero(counts)
    _check_kinds([rows.kinds[code] for code in used.tolist()])
    if len(used) < len(rows.kinds):
        number = np.zeros(len(rows.kinds), np.int64)
        number[used] = np.arange(len(used))
        codes = number[codes]
    packed: Column = Runs(column.starts, codes) if isinstance(column, Runs) else codes
    return list(zip(used.tolist(), counts[used].tolist(), strict=True)), columns.encode_column(packed, rows.count, seen)


def _check_kinds(kinds: Sequence[str]) -> None:
    if len(kinds) > KINDS_PER_BLOCK_MAX:
        raise TooLarge(f"{len(kinds)} kinds in one block, at most {KINDS_PER_BLOCK_MAX} fit")
    for kind in kinds:
        if not 0 < len(columns.plain_text(kind).encode()) <= KIND_BYTES_MAX:
            raise UsageError(f"a kind's name has 1 to {KIND_BYTES_MAX} bytes: {kind!r:.80}")
    if len(set(kinds)) != len(kinds):
        raise UsageError("a kind is listed twice")


def _receivers(to_many: Any, count: int) -> bytes:
    """Receivers of the rows with more than one: [rows, receivers, row column, count column, receiver column]."""
    if not to_many:
        return columns.constant(None)
    rows = sorted(to_many)
    if rows[0] < 0 or rows[-1] >= count or any(len(to_many[row]) < 2 for row in rows):
        raise UsageError("to_many lists rows that have at least two receivers")
    receivers = integers_of([to for row in rows for to in to_many[row]])
    if len(receivers) > RECEIVERS_MAX:
        raise TooLarge(f"{len(receivers)} receivers in one block, at most {RECEIVERS_MAX} fit")
    parts = [integers_of(rows), integers_of([len(to_many[row]) for row in rows]), receivers]
    sizes = items.integer(len(rows)) + items.integer(len(receivers))
    return b"".join((head(ARRAY, 5), sizes, *map(columns.encode_integers, parts)))


# -- payloads ---------------------------------------------------------------------------------


def _payload(
    of_kind: KindRows | None, count: int, stored: list[bytes], repeats: Repeats | None
) -> tuple[list[str] | None, int]:
    """Puts the columns of a kind's payload into ``stored``; returns its field names and whether the last is a rest."""
    if of_kind is None:
        return None, 0
    if len(of_kind.rows) != count:
        raise UsageError(f"payloads for {len(of_kind.rows)} rows of a kind that has {count}")
    if of_kind.columns is not None:
        return _payload_columns(of_kind.columns, count, stored, repeats), 0
    payloads = of_kind.payloads or []
    if len(payloads) != count:
        raise UsageError(f"{len(payloads)} payloads for {count} rows")
    return _payload_dicts(payloads, stored, repeats)


def _payload_columns(given: Any, count: int, stored: list[bytes], repeats: Repeats | None) -> list[str] | None:
    if len(given) > FIELDS_PER_KIND_MAX:
        raise UsageError(f"{len(given)} payload columns, at most {FIELDS_PER_KIND_MAX} fit")
    for name, values in given.items():
        if (values.count if isinstance(values, Cells) else len(values)) != count:
            raise UsageError(f"the column {name!r} has not {count} values, one for each row of its kind")
        _put(name, encode_cells if isinstance(values, Cells) else arrays.encode_array, values, stored, repeats)
    return _check_fields(list(given)) or None


def _payload_dicts(
    payloads: list[dict[str, Any]], stored: list[bytes], repeats: Repeats | None
) -> tuple[list[str] | None, int]:
    fields = list(payloads[0])
    try:
        # The short way: all rows have the fields of the first, so no value has to be asked for.
        if set(map(len, payloads)) == {len(fields)} and len(fields) <= FIELDS_PER_KIND_MAX:
            split = [list(map(itemgetter(name), payloads)) for name in fields]
            return _store(fields, split, stored, repeats), 0
    except KeyError:
        pass  # as many fields, but others: the general way
    fields = list(dict.fromkeys(name for payload in payloads for name in payload))
    own, others = fields[:FIELDS_PER_KIND_MAX], set(fields[FIELDS_PER_KIND_MAX:])
    split = [[payload.get(name, MISSING) for payload in payloads] for name in own]
    if not others:
        return _store(fields, split, stored, repeats), 0
    rest: list[Any] = [{key: payload[key] for key in payload if key in others} for payload in payloads]
    return _store([*own, ""], [*split, rest], stored, repeats), 1


def _store(fields: list[str], split: Iterable[Any], stored: list[bytes], repeats: Repeats | None) -> list[str] | None:
    _check_fields(fields)
    for name, values in zip(fields, split, strict=True):
        _put(name, columns.encode_values, values, stored, repeats)
    return fields or None


def _check_fields(fields: list[str]) -> list[str]:
    for name in fields:
        if type(name) is not str:
            raise UsageError(f"the keys of a payload are text; {name!r} is not")
        columns.plain_text(name)
    return fields


def _put(name: str, encode: Any, values: Any, stored: list[bytes], repeats: Repeats | None) -> None:
    """Puts the column of a field behind those that are stored already."""
    if repeats:
        repeats.column = len(stored)
    try:
        stored.append(encode(values, repeats))
    except TooLarge as error:
        raise TooLarge(f"payload field {name!r}: {error}") from error
    except UsageError as error:
        raise UsageError(f"payload field {name!r}: {error}") from error


def encode_cells(cells: Cells, repeats: Repeats | None = None) -> bytes:
    """A decoded column, encoded again."""
    if isinstance(cells.dense, list):
        return columns.encode_values(cells.to_pylist(MISSING), repeats, is_checked=True)
    if isinstance(cells.dense, pa.Array) and cells.dense.type == pa.string():
        dense = arrays.encode_text_array(cells.dense, repeats)
    else:
        dense = arrays.encode_array(cells.dense, repeats)
    if cells.valid is None:
        return dense
    if cells.present is None:
        return columns.optional(present=None, nulls=columns.bitmap(~cells.valid), values=dense)
    nulls = ~cells.valid[cells.present]
    bits = columns.bitmap(nulls) if nulls.any() else None
    return columns.optional(present=columns.bitmap(cells.present), nulls=bits, values=dense)
