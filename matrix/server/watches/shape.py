"""The form in which the rows of one watch go over the wire, from its first look to its last.

What always holds: the columns and their types are known before there is any row, and stay. A query's answer has the
types that its values turn out to have; a watch does not know what comes. So a number is an integer where the language
says so and else a float, and what only the data knows is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from matrix.query import syntax as q
from matrix.query.engine.functions import compact_jsons
from matrix.query.engine.output import JSON_METADATA
from matrix.query.result import Result
from matrix.query.rows import is_json
from matrix.server import encode
from matrix.server.watches.splice import Spliced, spliced
from matrix.server.watches.words import Subscription

_ARROW = {
    q.Type.TEXT: pa.string(),
    q.Type.BOOL: pa.bool_(),
    q.Type.DURATION: pa.duration("us"),
    q.Type.TIME: pa.timestamp("us", tz="UTC"),
}


class Shape:
    """How one subscription is answered.

    >>> shape = Shape(subscription, watch.query.columns)                     # doctest: +SKIP
    >>> shape.schema().frames(Beginning("json", 7), "schema")                          # doctest: +SKIP
    ['{"type":"schema","id":7,"columns":[{"name":"id","type":"text"}]}']
    """

    def __init__(self, subscription: Subscription, columns: Sequence[q.Column]) -> None:
        self._encoding, self._is_arrow = subscription.encoding, subscription.format == "arrow"
        self._schema = pa.schema([_field(column) for column in columns])

    def schema(self) -> Spliced:
        """The first reply."""
        frames = encode.schema_frames(self._encoding, 0, self._schema, "arrow" if self._is_arrow else "rows")
        return spliced(frames, self._encoding, "schema")

    def batch(self, result: Result, **places: Any) -> Spliced:
        """Rows, as they came, and where they stand in the watch."""
        table = result.table
        if self._is_arrow:
            columns = [_fitting(table.column(i), table.schema.field(i), field) for i, field in enumerate(self._schema)]
            table = pa.table(columns, schema=self._schema)
        [batch] = table.combine_chunks().to_batches()
        format = "arrow" if self._is_arrow else "rows"
        return spliced(encode.batch_frames(self._encoding, 0, batch, format, places), self._encoding, "batch")


def _field(column: q.Column) -> pa.Field:
    """A column of which no value is known yet."""
    if column.type is q.Type.NUMBER:
        # Every number of the language's own is whole, and a count is, too.
        is_whole = isinstance(column.expr, q.Field | q.MatchCount) or getattr(column.expr, "function", "") == "count"
        return pa.field(column.name, pa.int64() if is_whole else pa.float64())
    if column.type in _ARROW:
        return pa.field(column.name, _ARROW[column.type])
    return pa.field(column.name, pa.string(), metadata=JSON_METADATA)


def _fitting(column: pa.ChunkedArray, came: pa.Field, field: pa.Field) -> pa.ChunkedArray:
    """A column as the schema has it, whatever its values turned out to be."""
    if is_json(field):
        return column if is_json(came) else pa.chunked_array([_jsons(column.to_pylist())])
    if is_json(came):  # numbers that no column of numbers holds
        numbers = [None if text is None else float(json.loads(text)) for text in column.to_pylist()]
        column = pa.chunked_array([pa.array(numbers, pa.float64())])
    return column.cast(field.type, safe=False)


def _jsons(values: list[Any]) -> pa.Array:
    texts = compact_jsons(values)
    return pa.array([None if value is None else text for value, text in zip(values, texts)], pa.string())
