"""Rows of Arrow tables as frames, in JSON, in CBOR, or as Arrow's own bytes.

What always holds: JSON is valid (what it has no form for is null, half letters are escaped), CBOR has no tags, and
whole numbers keep every digit. Rows in JSON are made by Arrow column by column; Python looks at single cells only
where a text has control characters in it, or where a cell is a list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import cbor2
import pyarrow as pa
import pyarrow.compute as pc

from matrix.query.rows import is_json
from matrix.server.contract import Encoding, Frame
from matrix.server.replies import json_text, message, plain

Body = str | bytes

_NEEDS_ESCAPE = r'[\x00-\x1f"\\]'
_CONTROL = r"[\x00-\x1f]"
_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))
_LONG_NUMBER = re.compile(r"\d{19}")


# -- tables ---------------------------------------------------------------------------------------


def columns(schema: pa.Schema) -> list[dict[str, str]]:
    """The columns of an answer, with the types of the language.

    >>> columns(pa.schema([("role", pa.string()), ("count", pa.int64())]))
    [{'name': 'role', 'type': 'text'}, {'name': 'count', 'type': 'integer'}]
    """
    return [{"name": field.name, "type": _type(field)} for field in schema]


def _type(field: pa.Field) -> str:
    if is_json(field) or pa.types.is_null(field.type):
        return "json"
    for name, holds in _TYPES.items():
        if holds(field.type):
            return name
    return "list"


_TYPES = {
    "text": pa.types.is_string,
    "integer": pa.types.is_integer,
    "float": pa.types.is_floating,
    "boolean": pa.types.is_boolean,
    "duration": pa.types.is_duration,
    "time": pa.types.is_timestamp,
}


def schema_frames(encoding: Encoding, id: int | str, schema: pa.Schema, format: str = "rows") -> list[Frame]:
    """The first reply to a query; with Arrow's own bytes when its format is ``arrow``."""
    fields = {"type": "schema", "id": id, "columns": columns(schema)}
    if format == "arrow":
        return binary_frames(encoding, fields, schema.serialize().to_pybytes())
    return [message(encoding, fields)]


def batch_frames(
    encoding: Encoding,
    id: int | str,
    batch: pa.RecordBatch,
    format: str = "rows",
    more: Mapping[str, Any] | None = None,
) -> list[Frame]:
    """Some rows as a reply; ``more`` are further fields of it, such as a watch's ``position``."""
    return framed(encoding, id, batch.num_rows, batch_body(encoding, batch, format), format, more)


def batch_body(encoding: Encoding, batch: pa.RecordBatch, format: str = "rows") -> Body:
    """Rows without what belongs to one request: ``framed`` makes replies of it, to as many requests as ask alike."""
    if format == "arrow":
        data: bytes = batch.serialize().to_pybytes()
        return data
    return _json_rows(batch) if encoding == "json" else cbor2.dumps(_cbor_rows(batch))


def framed(
    encoding: Encoding,
    id: int | str,
    count: int,
    body: Body,
    format: str = "rows",
    more: Mapping[str, Any] | None = None,
) -> list[Frame]:
    """The reply to one request with rows that ``batch_body`` made."""
    fields = {"type": "batch", "id": id, "count": count, **(more or {})}
    if format == "arrow":
        assert isinstance(body, bytes), "Arrow's bytes are no text"
        return binary_frames(encoding, fields, body)
    if isinstance(body, str):
        return [f'{json_text(fields)[:-1]},"rows":{body}}}']
    items = [cbor2.dumps(part) for pair in plain(fields).items() for part in pair]
    assert len(fields) < 23, "a map of more has a longer head"
    return [b"".join([bytes([0xA0 | len(fields) + 1]), *items, cbor2.dumps("rows"), body])]


def binary_frames(encoding: Encoding, fields: Mapping[str, Any], data: bytes) -> list[Frame]:
    """A reply with bytes: inside of it in CBOR, in a frame right behind it in JSON."""
    if encoding == "json":
        return [message("json", {**fields, "bytes": len(data)}), data]
    return [message("cbor", {**fields, "data": data})]


# -- rows in JSON ---------------------------------------------------------------------------------


def _json_rows(batch: pa.RecordBatch) -> str:
    if not batch.num_columns or not batch.num_rows:
        return "[" + ",".join(["[]"] * batch.num_rows) + "]"
    cells = [_json_cells(column, field) for column, field in zip(batch.columns, batch.schema)]
    lines = pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement="null")
    whole = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
    text: str = pc.binary_join(whole, "],[")[0].as_py()
    return f"[[{text}]]"


def _json_cells(values: pa.Array, field: pa.Field) -> pa.Array:
    """The texts of a column's cells; a null stays one."""
    kind = values.type
    if is_json(field) or pa.types.is_null(kind):
        return values.cast(pa.string())
    if pa.types.is_string(kind):
        return _json_strings(values)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return values.cast(pa.string())
    if pa.types.is_floating(kind):
        return _finite_only(values).cast(pa.string())
    if pa.types.is_duration(kind):
        return _microseconds(values).cast(pa.string())
    if pa.types.is_timestamp(kind):
        return pc.binary_join_element_wise('"', _time_texts(values), '"', "")
    return pa.array([None if item is None else json_text(item) for item in values.to_pylist()], pa.string())


def _json_strings(values: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring_regex(values, _NEEDS_ESCAPE)).as_py():
        for sign, escaped in _ESCAPES:
            values = pc.replace_substring(values, sign, escaped)
        if pc.any(pc.match_substring_regex(values, _CONTROL)).as_py():  # rare ones, cell by cell
            values = pa.array([_escaped(text) for text in values.to_pylist()], pa.string())
    return pc.binary_join_element_wise('"', values, '"', "")


def _escaped(text: str | None) -> str | None:
    return text and re.sub(_CONTROL, lambda sign: f"\\u{ord(sign[0]):04x}", text)


def _finite_only(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, values.type))


def _microseconds(values: pa.Array) -> pa.Array:
    return values.cast(pa.duration("us")).cast(pa.int64())


def _time_texts(values: pa.Array) -> pa.Array:
    """ISO 8601 in UTC, to the microsecond."""
    utc = values.cast(pa.timestamp("us", tz="UTC"))
    return pc.replace_substring(utc.cast(pa.string()), " ", "T", max_replacements=1)


# -- rows in CBOR ---------------------------------------------------------------------------------


def _cbor_rows(batch: pa.RecordBatch) -> list[Any]:
    if not batch.num_columns:
        return [[]] * batch.num_rows
    return list(zip(*(_cbor_cells(column, field) for column, field in zip(batch.columns, batch.schema))))


def _cbor_cells(values: pa.Array, field: pa.Field) -> list[Any]:
    kind = values.type
    if is_json(field):
        return [None if text is None else _from_json(text) for text in values.to_pylist()]
    if pa.types.is_floating(kind):
        values = _finite_only(values)
    elif pa.types.is_duration(kind):
        values = _microseconds(values)
    elif pa.types.is_timestamp(kind):
        values = _time_texts(values)
    cells: list[Any] = values.to_pylist()
    return [plain(cell) for cell in cells] if pa.types.is_nested(kind) else cells


def _from_json(text: str) -> Any:
    value = json.loads(text)
    # Half letters and numbers beyond CBOR's integers are so rare that the texts tell whether to look for them.
    return plain(value) if "\\ud" in text or "\\uD" in text or _LONG_NUMBER.search(text) else value
