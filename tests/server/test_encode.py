"""Arrow tables as messages: rows in JSON and CBOR say the same, and what JSON lacks is null."""

import json
import math

import cbor2
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.query.engine.output import JSON_METADATA
from matrix.server import encode
from matrix.server.replies import message

SCHEMA = pa.schema(
    [
        pa.field("text", pa.string()),
        pa.field("count", pa.int64()),
        pa.field("large", pa.uint64()),
        pa.field("rate", pa.float64()),
        pa.field("fair", pa.bool_()),
        pa.field("lasts", pa.duration("us")),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("data", pa.string(), metadata=JSON_METADATA),
        pa.field("names", pa.list_(pa.struct([("name", pa.string())]))),
        pa.field("nothing", pa.null()),
    ]
)
ROW = [
    "ä",
    2**63 - 1,
    2**64 - 1,
    0.5,
    True,
    90_000_000,
    1_769_860_800_000_000,
    '{"a": [1, null]}',
    [{"name": "b"}],
    None,
]
TOLD = [
    "ä",
    2**63 - 1,
    2**64 - 1,
    0.5,
    True,
    90_000_000,
    "2026-01-31T12:00:00.000000Z",
    {"a": [1, None]},
    [{"name": "b"}],
    None,
]


def batch_of(*rows, schema=SCHEMA):
    columns = list(zip(*rows)) if rows else [[] for _ in schema]
    return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, schema)], schema=schema)


def told(encoding, batch, id=1, **more):
    (frame,) = encode.batch_frames(encoding, id, batch, more=more)
    return json.loads(frame, parse_constant=pytest.fail) if encoding == "json" else cbor2.loads(frame)


def test_columns_have_the_types_of_the_language():
    assert [column["type"] for column in encode.columns(SCHEMA)] == [
        "text", "integer", "integer", "float", "boolean", "duration", "time", "json", "list", "json",
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["json", "cbor"])
def test_values_are_those_of_the_protocol_and_what_is_missing_is_null(encoding):
    batch = batch_of(ROW, [None] * len(ROW))
    reply = told(encoding, batch, id="ä", position="p1", first=7)
    assert reply == {
        "type": "batch", "id": "ä", "count": 2, "position": "p1", "first": 7, "rows": [TOLD, [None] * len(ROW)],
    }  # fmt: skip


@pytest.mark.parametrize("encoding", ["json", "cbor"])
def test_numbers_that_json_lacks_are_null(encoding):
    schema = pa.schema([("rate", pa.float64())])
    assert told(encoding, batch_of([math.nan], [math.inf], [-math.inf], [1.5], schema=schema))["rows"] == [
        [None], [None], [None], [1.5],
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["json", "cbor"])
def test_a_batch_may_have_no_rows_or_no_columns(encoding):
    assert told(encoding, batch_of())["rows"] == []
    assert (
        told(encoding, pa.table({}).to_batches()[0] if pa.table({}).to_batches() else pa.record_batch([], names=[]))[
            "rows"
        ]
        == []
    )


@pytest.mark.parametrize("encoding", ["json", "cbor"])
@given(texts=st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_any_text_comes_back_as_it_was(encoding, texts):
    schema = pa.schema([("text", pa.string())])
    assert told(encoding, batch_of(*([text] for text in texts), schema=schema))["rows"] == [[text] for text in texts]


@pytest.mark.parametrize("encoding", ["json", "cbor"])
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_any_number_comes_back_as_it_was(encoding, values):
    schema = pa.schema([("rate", pa.float64())])
    assert told(encoding, batch_of(*([value] for value in values), schema=schema))["rows"] == [[v] for v in values]


def test_times_far_away_are_told_too():
    schema = pa.schema([("at", pa.timestamp("us", tz="UTC"))])
    rows = told("json", batch_of([253_402_300_800_000_000], [-1], schema=schema))["rows"]
    assert rows == [["10000-01-01T00:00:00.000000Z"], ["1969-12-31T23:59:59.999999Z"]]


def test_a_message_in_json_is_valid_whatever_is_in_it():
    fields = {"nan": math.nan, "inside": [{"x": math.inf}], "half": "a\ud83d", "bytes": b"\x01", "big": 2**70}
    text = message("json", fields)
    assert text.encode()  # a frame of text is UTF-8
    assert json.loads(text, parse_constant=pytest.fail) == {
        "nan": None, "inside": [{"x": None}], "half": "a\ud83d", "bytes": "01", "big": 2**70,
    }  # fmt: skip


def test_a_message_in_cbor_has_no_tags():
    data = message("cbor", {"nan": math.nan, "half": "a\ud83d", "big": 2**70, "large": 2**64 - 1, "list": (1,)})
    tagged = cbor2.loads(data, tag_hook=lambda *_: pytest.fail("there is a tag"))
    assert tagged == {"nan": None, "half": "a\ufffd", "big": float(2**70), "large": 2**64 - 1, "list": [1]}


@pytest.mark.parametrize("text", ['"\\ud83d"', "1180591620717411303424"])
def test_data_that_cbor_has_no_form_for_is_told_as_near_as_can_be(text):
    schema = pa.schema([pa.field("data", pa.string(), metadata=JSON_METADATA)])
    (frame,) = encode.batch_frames("cbor", 1, batch_of([text], schema=schema))
    ((value,),) = cbor2.loads(frame, tag_hook=lambda *_: pytest.fail("there is a tag"))["rows"]
    assert value in ("\ufffd", float(2**70))


@pytest.mark.parametrize("encoding", ["json", "cbor"])
def test_arrow_bytes_of_the_schema_and_of_any_batch_are_a_stream(encoding):
    first, second = batch_of(ROW), batch_of([None] * len(ROW))

    def data(frames):
        if encoding == "json":
            assert json.loads(frames[0])["bytes"] == len(frames[1])
            return frames[1]
        return cbor2.loads(frames[0])["data"]

    schema = data(encode.schema_frames(encoding, 1, SCHEMA, "arrow"))
    bodies = [data(encode.batch_frames(encoding, 1, batch, "arrow")) for batch in (first, second)]
    assert pa.ipc.open_stream(schema + b"".join(bodies)).read_all().num_rows == 2
    assert pa.ipc.open_stream(schema + bodies[1]).read_all().to_batches()[0].equals(second)
    assert pa.ipc.open_stream(schema).read_all().schema.equals(SCHEMA)


def test_one_body_serves_requests_with_different_ids():
    body = encode.batch_body("cbor", batch_of(ROW))
    replies = [cbor2.loads(encode.framed("cbor", id, 1, body)[0]) for id in (1, "two")]
    assert [reply["id"] for reply in replies] == [1, "two"]
    assert replies[0]["rows"] == replies[1]["rows"] == [TOLD]
