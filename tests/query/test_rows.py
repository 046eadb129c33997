"""Rows for machines, in five formats."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from matrix.query import rows

TABLE = pa.table(
    {
        "id": ["1-1:4", 'a "quoted", text\nof two lines', None],
        "price": [40, None, None],
        "rate": [0.5, float("nan"), None],
        "fair": [True, False, None],
        "time": pa.array([90_000_000, 0, None], pa.duration("us")),
        "wall": pa.array([1_767_225_600_500_000, -1, None], pa.timestamp("us", tz="UTC")),
        "data": ['{"lot": [1, 2]}', '"lamp"', None],
    }
)
TABLE = TABLE.cast(TABLE.schema.set(6, TABLE.schema.field("data").with_metadata({"matrix": "json"})))
DECODED = [
    {
        "id": "1-1:4",
        "price": 40,
        "rate": 0.5,
        "fair": True,
        "time": 90_000_000,
        "wall": "2026-01-01T00:00:00.5Z",
        "data": {"lot": [1, 2]},
    },
    {
        "id": 'a "quoted", text\nof two lines',
        "price": None,
        "rate": None,
        "fair": False,
        "time": 0,
        "wall": "1969-12-31T23:59:59.999999Z",
        "data": "lamp",
    },
    dict.fromkeys(("id", "price", "rate", "fair", "time", "wall", "data")),
]


def written(form: str, table: pa.Table = TABLE) -> bytes:
    out = io.BytesIO()
    rows.WRITERS[form](table, out)
    return out.getvalue()


def test_jsonl_is_one_object_a_line_with_plain_values() -> None:
    assert [json.loads(line) for line in written("jsonl").decode().splitlines()] == DECODED


def test_json_is_one_array() -> None:
    assert json.loads(written("json")) == DECODED
    assert json.loads(written("json", TABLE.slice(0, 0))) == []


def test_csv_has_names_first_empty_for_missing_and_json_for_nested_values() -> None:
    lines = list(csv.reader(io.StringIO(written("csv").decode())))
    assert lines[0] == TABLE.column_names
    assert lines[1] == ["1-1:4", "40", "0.5", "true", "90000000", "2026-01-01T00:00:00.5Z", '{"lot": [1, 2]}']
    assert lines[2][:4] == ['a "quoted", text\nof two lines', "", "", "false"]
    assert lines[3] == [""] * 7


def test_arrow_and_parquet_keep_the_types() -> None:
    assert pa.ipc.open_stream(written("arrow")).read_all().schema.types == TABLE.schema.types
    read = parquet.read_table(io.BytesIO(written("parquet")))
    assert read.select(["id", "price", "data"]).equals(TABLE.select(["id", "price", "data"]))
    assert read.schema.field("time").type == pa.duration("us")


@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
def test_a_large_result_is_written_piece_by_piece(form: str) -> None:
    pieces: list[int] = []

    class Pieces(io.BytesIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            pieces.append(len(data))
            return len(data)

    rows.WRITERS[form](pa.table({"n": range(100_000)}), Pieces())
    assert len(pieces) > 20
    assert max(pieces) < 100_000


def test_the_messages_of_a_chat_are_json_and_stay_lists_where_types_are_kept() -> None:
    messages = [
        {"role": "user", "name": "bob", "content": 'say "ä"'},
        {"role": "system", "name": None, "content": "open"},
    ]
    kind = pa.list_(pa.struct([(name, pa.string()) for name in ("role", "name", "content")]))
    table = pa.table({"agent": ["alice"], "messages": pa.array([messages], kind)})
    out = io.BytesIO()
    rows.write_jsonl(table, out)
    assert json.loads(out.getvalue()) == {"agent": "alice", "messages": messages}
    out = io.BytesIO()
    rows.write_csv(table, out)
    (row,) = csv.DictReader(io.StringIO(out.getvalue().decode()))
    assert json.loads(row["messages"]) == messages
    out = io.BytesIO()
    rows.write_parquet(table, out)
    assert parquet.read_table(io.BytesIO(out.getvalue())).to_pylist() == [{"agent": "alice", "messages": messages}]
