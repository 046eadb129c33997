"""From dynamically typed columns to Arrow columns.

Text is ``string``, numbers ``int64`` or ``double``, durations ``duration[us]``, times
``timestamp[us, UTC]``. A column of lists, maps or mixed types becomes JSON text and says so in its
field's metadata; what such a text does not hold is kept beside it, for `Result.rows`. The messages of a
chat are Arrow's own lists of structs, which other libraries take as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from matrix.query import syntax as q
from matrix.query.engine.jsons import Texts, json_texts, plain_strings
from matrix.query.engine.order import as_floats
from matrix.query.engine.value import NUMBERS, Array, Nested, Type, Value, plain

JSON_METADATA = {b"matrix": b"json"}
_ARROW = {
    Type.INT: pa.int64(),
    Type.FLOAT: pa.float64(),
    Type.DURATION: pa.duration("us"),
    Type.TIME: pa.timestamp("us", tz="UTC"),
    Type.TEXT: pa.string(),
    Type.BOOL: pa.bool_(),
}
_KNOWN = {
    q.Type.TEXT: pa.string(),
    q.Type.NUMBER: pa.float64(),
    q.Type.BOOL: pa.bool_(),
    q.Type.DURATION: pa.duration("us"),
    q.Type.TIME: pa.timestamp("us", tz="UTC"),
}


class ArrowColumn(NamedTuple):
    """A column, its field, and for JSON the CBOR of those values that the text does not hold, if there are any."""

    field: pa.Field
    values: pa.Array | pa.ChunkedArray
    exact: pa.Array | None = None


def arrow_column(column: q.Column, value: Value) -> ArrowColumn:
    """The column of a result from its values and what the checker knows of its type."""
    if isinstance(value, Nested):
        return ArrowColumn(pa.field(column.name, value.array.type), value.array)
    if column.type in (q.Type.MAP, q.Type.LIST):
        return _json(column.name, value)
    lane = value.only
    if not value.lanes:
        kind = _KNOWN.get(column.type, pa.null())
        return ArrowColumn(pa.field(column.name, kind), pa.nulls(value.count, kind))
    if lane is not None and lane.type in _ARROW:
        return _typed(column.name, lane.type, value)
    types = {lane.type for lane in value.lanes}
    if types <= NUMBERS:
        return _numbers(column.name, value)
    return _json(column.name, value)


def _typed(name: str, type: Type, value: Value) -> ArrowColumn:
    lane = value.lanes[0].spread(value.count)
    kind = _ARROW[type]
    if type is Type.TEXT:
        return ArrowColumn(pa.field(name, kind), plain(lane.values))
    return ArrowColumn(pa.field(name, kind), _masked(lane.values, lane.present, kind))


def _masked(values: Array, present: Array | None, kind: pa.DataType) -> pa.Array:
    mask = None if present is None else ~present
    if pa.types.is_duration(kind) or pa.types.is_timestamp(kind):
        return pa.array(np.ascontiguousarray(values), pa.int64(), mask=mask).cast(kind)
    return pa.array(np.ascontiguousarray(values), kind, mask=mask)


def _numbers(name: str, value: Value) -> ArrowColumn:
    """Ints and floats together: doubles where that loses nothing, else their JSON."""
    present = value.present()
    rows = np.flatnonzero(present)
    floats = as_floats(value, rows)
    if floats is not None:
        column = np.zeros(value.count)
        column[rows] = floats
        return ArrowColumn(pa.field(name, pa.float64()), _masked(column, present, pa.float64()))
    objects = value.objects()
    if all(isinstance(number, int) and 0 <= number < 2**64 for number in objects if number is not None):
        return ArrowColumn(pa.field(name, pa.uint64()), pa.array(objects, pa.uint64()))
    return _json(name, value)


def _json(name: str, value: Value) -> ArrowColumn:
    return json_column(name, json_texts(value.objects()))


def json_column(name: str, found: Texts) -> ArrowColumn:
    """A column of JSON."""
    field = pa.field(name, pa.string(), metadata=JSON_METADATA)
    return ArrowColumn(field, plain_strings(found.texts), found.exact)
