"""Parquet: lines of JSON as rows of columns with types.

What always holds: the schema is known before the first row, from the shapes of all of them (see ``shape``); the same
lines make the same bytes; memory is that of one row group.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from matrix.export.shape import fitted
from matrix.limits import EXPORT_GROUP_BYTES, EXPORT_GROUP_ROWS


def write(path: Path, lines: Iterable[bytes], schema: pa.Schema) -> None:
    """Write lines, each a row, to a file; one without rows has the columns all the same."""
    with path.open("wb") as file, parquet.ParquetWriter(file, schema, compression="zstd") as out:
        for group in _groups(lines):
            rows = [json.loads(line) for line in group]
            columns = [_column([row.get(field.name) for row in rows], field.type) for field in schema]
            out.write_table(pa.Table.from_arrays(columns, schema=schema))


def _column(values: list[Any], type: pa.DataType) -> pa.Array:
    if not pa.types.is_nested(type):
        try:
            return pa.array(values, type)  # most columns are of their type as they are
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            pass
    return pa.array([fitted(value, type) for value in values], type)


def _groups(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The rows of each row group: so few that a reader of one of them needs little memory."""
    group: list[bytes] = []
    size = 0
    for line in lines:
        group.append(line)
        size += len(line)
        if len(group) == EXPORT_GROUP_ROWS or size >= EXPORT_GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
