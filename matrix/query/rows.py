"""Rows for machines: a result as JSON Lines, JSON, CSV, an Arrow stream or Parquet.

Written batch by batch, so that a large result never stands in memory a second time as text. In JSON and CSV
a duration is an integer of microseconds, a clock time is ISO text in UTC, and what is missing is null (JSON)
or empty (CSV); nested values are JSON in both. Arrow and Parquet keep the types.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from matrix.query.engine.notation import time_text

BATCH_ROWS = 4_096
ARROW_BATCH_ROWS = 65_536
ROW_GROUP_ROWS = 131_072  # of a Parquet file


class Rows(Protocol):
    """Rows in batches: an Arrow table, or an answer that is still coming in."""

    @property
    def schema(self) -> pa.Schema: ...

    def to_batches(self, max_chunksize: int) -> Iterable[pa.RecordBatch]: ...


@contextlib.contextmanager
def opened_file(path: Path) -> Iterator[BinaryIO]:
    """Where rows go. A file appears under its name when it is complete: what stops half way leaves no half of one."""
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):  # a pipe or a device: nothing to put in place
        with path.open("wb") as out:
            yield out
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as out:
            yield out
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_jsonl(table: Rows, out: BinaryIO) -> None:
    """One JSON object a line."""
    for lines in _json_rows(table):
        out.write(("\n".join(lines) + "\n").encode())


def write_json(table: Rows, out: BinaryIO) -> None:
    """One JSON array of objects."""
    opening = b"[\n"
    for lines in _json_rows(table):
        out.write(opening + ",\n".join(lines).encode())
        opening = b",\n"
    out.write(b"\n]\n" if opening == b",\n" else b"[]\n")


def write_csv(table: Rows, out: BinaryIO) -> None:
    """A header line of the language's field names, then the rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.schema.names)
    for batch in batches(table):
        writer.writerows(zip(*(_csv_values(batch, i) for i in range(batch.num_columns))))
        out.write(text.getvalue().encode())
        text.seek(0)
        text.truncate()
    out.write(text.getvalue().encode())


def write_arrow(table: Rows, out: BinaryIO) -> None:
    """An Arrow IPC stream, as `pyarrow.ipc.open_stream` reads it."""
    with pa.ipc.new_stream(out, table.schema) as stream:
        for batch in table.to_batches(ARROW_BATCH_ROWS):
            stream.write_batch(batch)


def write_parquet(table: Rows, out: BinaryIO) -> None:
    """A Parquet file."""
    from pyarrow import parquet

    with parquet.ParquetWriter(out, table.schema, compression="zstd") as file:
        for group in _groups(table):
            file.write_table(group)


def _groups(table: Rows) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in table.to_batches(ROW_GROUP_ROWS):
        held.append(batch)
        if sum(each.num_rows for each in held) >= ROW_GROUP_ROWS:
            yield pa.Table.from_batches(held, table.schema)
            held.clear()
    if held:
        yield pa.Table.from_batches(held, table.schema)


WRITERS: dict[str, Callable[[Rows, BinaryIO], None]] = {
    "json": write_json,
    "jsonl": write_jsonl,
    "csv": write_csv,
    "arrow": write_arrow,
    "parquet": write_parquet,
}


def batches(table: Rows) -> Iterator[pa.RecordBatch]:
    """The table in pieces that are pleasant to turn into text."""
    yield from table.to_batches(BATCH_ROWS)


def values(batch: pa.RecordBatch, column: int) -> list[Any]:
    """One column as plain values: durations in microseconds, clock times as ISO text, missing as None."""
    array = batch.column(column)
    if pa.types.is_timestamp(array.type):
        return [None if us is None else time_text(us) for us in _microseconds(array, pa.timestamp("us"))]
    if pa.types.is_duration(array.type):
        return _microseconds(array, pa.duration("us"))
    plain: list[Any] = array.to_pylist()
    if pa.types.is_floating(array.type):
        return [None if value is None or not math.isfinite(value) else value for value in plain]
    return plain


def is_json(field: pa.Field) -> bool:
    """Whether a column's text is JSON: data, and values of mixed types."""
    return (field.metadata or {}).get(b"matrix") == b"json"


def json_default(value: Any) -> str:
    """What JSON has no form for, as text: bytes in hexadecimal digits."""
    return value.hex() if isinstance(value, bytes) else str(value)


def _json_rows(table: Rows) -> Iterator[list[str]]:
    # A JSON column is spliced in as it stands: parsing it only to write it again would cost most of the time.
    keys = [json.dumps(name, ensure_ascii=False) + ": " for name in table.schema.names]
    encode = json.JSONEncoder(ensure_ascii=False, default=str).encode
    for batch in batches(table):
        cells = []
        for i, key in enumerate(keys):
            plain = values(batch, i)
            if is_json(batch.schema.field(i)):
                cells.append([key + (value or "null") for value in plain])
            else:
                cells.append([key + encode(value) for value in plain])
        yield ["{" + ", ".join(row) + "}" for row in zip(*cells)]


def _csv_values(batch: pa.RecordBatch, column: int) -> list[Any]:
    plain = values(batch, column)
    if pa.types.is_boolean(batch.schema.field(column).type):  # as the language writes them, not as Python does
        return [None if value is None else str(value).lower() for value in plain]
    if pa.types.is_list(batch.schema.field(column).type):
        return [json.dumps(value, ensure_ascii=False) for value in plain]
    return plain


def _microseconds(array: pa.Array, to: pa.DataType) -> list[int | None]:
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        to = pa.timestamp("us", tz=array.type.tz)
    numbers: list[int | None] = array.cast(to).cast(pa.int64()).to_pylist()
    return numbers
