"""What a client may say, field by field, and what it is told when it says something else."""

import json
import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.server.contract import Request, RequestError
from matrix.server.protocol import Cancel, Grant, Hello, decode, encode, read


def refused(frame, encoding="json"):
    with pytest.raises(RequestError) as caught:
        read(frame, encoding)
    return caught.value.fields


def test_a_query_has_what_it_was_given_and_the_defaults_of_the_protocol():
    assert read('{"type": "query", "id": 1, "text": "agents"}', "json") == Request(
        "query", 1, text="agents", page=1_000, credit=16
    )


def test_both_encodings_say_the_same():
    message = {"type": "watch", "id": "w", "text": "events offer", "after": "start", "page": 50, "credit": 2}
    expected = Request("watch", "w", text="events offer", after="start", page=50, credit=2)
    assert read(json.dumps(message), "json") == expected
    assert read(cbor2.dumps(message), "cbor") == expected


def test_hello_grant_and_cancel_are_told_apart():
    assert read('{"type": "hello", "token": "t"}', "json") == Hello("t")
    assert read('{"type": "grant", "id": 3, "credit": 5}', "json") == Grant(3, 5)
    assert read('{"type": "cancel", "id": "x"}', "json") == Cancel("x")


def test_null_is_as_good_as_left_out():
    assert read('{"type": "watch", "id": 1, "text": "events", "after": null}', "json").after is None


def test_params_carry_durations_and_times():
    params = {"d": {"duration": 5_000_000}, "t": {"time": 1_767_225_600_000_000}, "l": [1, "a", None], "b": True}
    request = read(json.dumps({"type": "query", "id": 1, "text": "agents", "params": params}), "json")
    assert request.params == {
        "d": timedelta(seconds=5),
        "t": datetime(2026, 1, 1, tzinfo=UTC),
        "l": [1, "a", None],
        "b": True,
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"page": 0}, '"page" of query is a whole number from 1 to 10,000, not 0'),
        ({"page": 10_001}, '"page" of query is a whole number from 1 to 10,000, not 10001'),
        ({"page": True}, '"page" of query is a whole number from 1 to 10,000, not true'),
        ({"credit": 1.5}, '"credit" of query is a whole number from 1 to 1,000,000, not 1.5'),
        ({"format": "xml"}, '"format" of query is one of rows, arrow, not "xml"'),
        ({"text": 5}, '"text" of query is a text, not 5'),
        ({"text": "x" * 65_537}, '"text" of query is a text of at most 65,536 bytes, not "xxxx'),
        ({"text": "é" * 32_769}, '"text" of query is a text of at most 65,536 bytes, not "'),
        ({"params": []}, '"params" of query is an object of at most 256 values, not []'),
        ({"params": {"a": {"hours": 1}}}, '"params" of query is for $a a text, a number'),
        ({"params": {"a": [[1]]}}, '"params" of query is for $a a text, a number'),
        ({"params": {"a": 2**63}}, '"params" of query is a number of at most 64 bits for $a'),
        ({"params": {"a": {"time": 10**30}}}, '"params" of query is a time that there is, for $a'),
        ({"scope": "control"}, 'query has no field "scope"; its fields are: text, params, format, page, credit'),
    ],
)
def test_a_wrong_field_is_named_with_what_may_stand_there(fields, said):
    error = refused(json.dumps({"type": "query", "id": 9, "text": "agents", **fields}))
    assert (error["code"], error["id"]) == ("bad-request", 9)
    assert error["message"].startswith(said)
    assert len(error["message"]) < 300


def test_the_name_of_a_simulation_has_no_half_letters():
    error = refused('{"type": "info", "id": 1, "simulation": "\\ud800"}')
    assert error["message"] == '"simulation" of info is a text without half letters, not "\\ud800"'


def test_a_request_without_what_it_needs_is_refused():
    assert refused('{"type": "query", "id": 1}')["message"] == 'query needs "text"'
    assert refused('{"type": "query", "id": 1, "text": null}')["code"] == "bad-request"
    assert refused('{"type": "export", "id": 1, "text": "agents"}')["message"] == 'export needs "format"'
    both = '{"type": "replay", "id": 1, "simulation": "1-1", "all": true}'
    assert refused(both)["message"] == 'replay takes "simulation", or "all": true'
    assert refused('{"type": "replay", "id": 1}')["code"] == "bad-request"
    assert refused('{"type": "replay", "id": 1, "all": false}')["code"] == "bad-request"


@pytest.mark.parametrize("id", [None, True, -1, 2**53, 1.0, "x" * 65, [], {}])
def test_an_id_is_a_whole_number_or_a_short_text(id):
    error = refused(json.dumps({"type": "cancel", "id": id}))
    assert error["code"] == "bad-message"
    assert "id" not in error


@pytest.mark.parametrize("id", [0, 2**53 - 1, "", "x" * 64, "ü"])
def test_ids_at_the_bounds_are_taken(id):
    assert read(json.dumps({"type": "cancel", "id": id}), "json") == Cancel(id)


@pytest.mark.parametrize(
    "frame",
    [
        *("", "7", "null", "[]", '"query"', "{", '{"type": 1}', '{"type": "drop"}', "NaN", '{"a": 1, "a": 2}'),
        *("[" * 9_999, "[" * 20 + "]" * 20, "1" * 5_000, b"\xa0"),
    ],
)
def test_what_is_no_message_is_a_bad_message(frame):
    assert refused(frame)["code"] == "bad-message"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff",
        b"\xa1",
        b"\x9f\x01\xff",
        b"\xd8\x23\x61\x28",  # a tag: a regular expression
        b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01",  # a decimal of 2^63 digits
        b"\xd8\x1c\x81\xd8\x1d\x00",  # a list that holds itself
        b"\x81" * 5_000,
        b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",  # a map of 2^63 pairs
        b"\xa2\x61a\x01\x61a\x02",
        '{"type": "cancel", "id": 1}',
    ],
)
def test_cbor_that_is_no_message_is_a_bad_message(frame):
    assert refused(frame, "cbor")["code"] == "bad-message"


@given(st.text() | st.binary())
def test_whatever_comes_is_a_message_or_a_request_error(frame):
    for encoding in ("json", "cbor"):
        with suppress(RequestError):
            read(frame, encoding)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(["text", "params", "format", "page", "credit", "after", "cursor", "one", "all", "x"])


@given(st.sampled_from(["query", "watch", "export", "replay", "info", "grant"]), st.dictionaries(_NAMES, _VALUES))
def test_any_fields_make_a_request_or_an_error_with_its_id(kind, fields):
    try:
        id = read(json.dumps({"type": kind, "id": 5, **fields}), "json").id
    except RequestError as error:
        id = error.fields["id"]
    assert id == 5


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), _VALUES, max_size=4))
def test_what_is_encoded_is_decoded(message):
    for encoding in ("json", "cbor"):
        assert decode(encode(message, encoding), encoding) == message


def test_an_error_repeats_little_of_a_long_value():
    error = refused(json.dumps({"type": "query", "id": 1, "text": "a", "format": "x" * 60_000}))
    assert len(error["message"]) < 120


def test_numbers_that_are_none_are_refused():
    assert refused('{"type": "query", "id": 1, "text": "a", "params": {"a": 1e999}}')["code"] == "bad-request"
    message = cbor2.dumps({"type": "query", "id": 1, "text": "a", "params": {"a": math.nan}})
    assert refused(message, "cbor")["code"] == "bad-request"
