"""What is packed comes back equal in value and type; what cannot be packed is refused by name."""

from __future__ import annotations

import datetime
import enum
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import FormatError, UsageError
from matrix.log import arrays, cells, columns, integers, items
from matrix.log.block import MISSING, Block, BlockRef
from matrix.log.pack import pack
from matrix.log.rows import KindRows, Rows, Runs, cut_rows, rows_from_events
from tests.log.histories import any_event, leaves, patient, same, same_event, values

int64s = st.one_of(st.integers(0, 300), st.integers(-(2**63), 2**63 - 1), st.integers(10**15, 10**15 + 500))


def decoded(encoded: bytes, count: int) -> list[Any]:
    return cells.decode_cells(encoded, 0, len(encoded), count).to_pylist(MISSING)


def block_of(rows: Rows, **how: Any) -> Block:
    payload = pack(rows, 1, **how).payload
    ref = BlockRef(1, 1, 0, 0)
    return Block(payload, 0, len(payload), path=Path("x"), ref=ref, length=len(payload), first=1, last=rows.count)


@patient
@given(st.lists(values | st.just(MISSING), max_size=40))
def test_any_values_come_back_with_their_types(listed: list[Any]) -> None:
    encoded = columns.encode_values(listed)
    assert all(map(same, decoded(encoded, len(listed)), listed))
    squeezed = columns.compress(encoded)
    assert all(map(same, decoded(squeezed, len(listed)), listed))


@patient
@given(
    st.sampled_from([leaves, st.integers(0, 2), st.sampled_from(["a", "b"]), st.floats(width=32), st.booleans()]),
    st.data(),
)
def test_columns_of_one_type_come_back(of: st.SearchStrategy[Any], data: st.DataObject) -> None:
    listed = data.draw(st.lists(of, min_size=1, max_size=80))
    assert all(map(same, decoded(columns.encode_values(listed), len(listed)), listed))


def test_one_and_true_and_one_point_zero_stay_apart() -> None:
    for listed in ([1, True], [True, 1], [1, 1.0], [0, False, 0.0, -0.0], [2, True], ["a", "a", True]):
        assert all(map(same, decoded(columns.encode_values(listed), len(listed)), listed))


def test_none_and_absent_stay_apart() -> None:
    for listed in ([None, MISSING, 1], [MISSING, MISSING], [None, None], [MISSING, None], [None, "x", MISSING]):
        assert decoded(columns.encode_values(listed), len(listed)) == listed


@patient
@given(st.lists(int64s, min_size=1, max_size=200))
def test_integer_columns_come_back_and_know_their_bounds(listed: list[int]) -> None:
    values = np.array(listed, np.int64)
    for encoded in (columns.encode_integers(values), columns.encode_steps(values)):
        assert integers.decode_integers(encoded, 0, len(encoded), len(listed)).tolist() == listed
        assert integers.integer_bounds(encoded, 0, len(encoded), len(listed)) == (min(listed), max(listed))


@patient
@given(st.lists(st.tuples(st.integers(1, 9), int64s), min_size=1, max_size=60))
def test_runs_unfold_to_their_rows(runs: list[tuple[int, int]]) -> None:
    lengths = [length for length, _ in runs]
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    encoded = columns.encode_column(Runs(starts, [value for _, value in runs]), sum(lengths), {})
    unfolded = [value for length, value in runs for _ in range(length)]
    assert integers.decode_integers(encoded, 0, len(encoded), len(unfolded)).tolist() == unfolded


def test_the_cheapest_form_is_taken() -> None:
    def size(listed: Any) -> int:
        return len(columns.encode_integers(np.array(listed, np.int64)))

    assert size([7] * 1000) < 8  # constant
    assert size(range(5, 100_000, 7)) < 12  # range
    assert size([row // 100 for row in range(1000)]) < 40  # runs
    assert size([row * 7 % 251 for row in range(1000)]) < 1010  # one byte each
    assert size([10**15 + row * 7 % 251 for row in range(1000)]) < 1020  # one byte each above a base
    assert len(columns.encode_values(["buyer", "seller"] * 500)) < 1040  # dictionary
    assert len(columns.encode_values([True, False] * 500)) < 140  # one bit each


@pytest.mark.parametrize(
    "given_values",
    [
        np.arange(5),
        np.array([1, 2**63], np.uint64),
        np.array([0.5, math.inf, -0.0]),
        np.array([1.5], np.float32),
        np.array([True, False]),
        np.array(["a", "b"]),
        pa.array([1, None, 3]),
        pa.array(["a", None, "é"]),
        pa.array(["x", "y", "z"])[1:],
        pa.array([None, None]),
        pa.array([True, None]),
        pa.array([b"x", b""]),
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.chunked_array([["a"], ["b", None]]),
        pa.array([[1], [2, 3]]),
        [1, None, "x"],
    ],
)
def test_payload_columns_may_be_numpy_arrow_or_lists(given_values: Any) -> None:
    expected = given_values.to_pylist() if hasattr(given_values, "to_pylist") else list(given_values)
    expected = [value.item() if isinstance(value, np.generic) else value for value in expected]
    assert all(map(same, decoded(arrays.encode_array(given_values), len(expected)), expected))


@pytest.mark.parametrize("value", [{1, 2}, datetime.date(2020, 1, 1), object(), {1: "x"}, "\ud800", {"x": {2: 3}}])
def test_values_that_the_log_cannot_hold_are_refused_by_field(value: Any) -> None:
    rows = Rows(1, 1, 1, 0, 0, 0, 0, 0, 0, 0, ["note"], 0, data={0: KindRows(range(1), [{"odd": value}])})
    with pytest.raises(UsageError, match="'odd'"):
        pack(rows, 1)


def test_what_stands_for_a_plain_value_becomes_it() -> None:
    class Colour(enum.StrEnum):
        RED = "red"

    class Level(enum.IntEnum):
        HIGH = 3

    listed = [
        Colour.RED,
        Level.HIGH,
        np.int64(5),
        np.float32(0.5),
        np.bool_(True),
        (1, 2),
        bytearray(b"x"),
        np.array([1]),
    ]
    assert decoded(columns.encode_values(listed), len(listed)) == ["red", 3, 5, 0.5, True, [1, 2], b"x", [1]]
    assert decoded(columns.encode_values([np.int64(5)] * 3), 3) == [5, 5, 5]


def test_nesting_beyond_the_bound_is_refused() -> None:
    deep: Any = 1
    for _ in range(64):
        deep = [deep]
    assert decoded(columns.encode_values([deep]), 1) == [deep]
    with pytest.raises(UsageError, match="nested"):
        columns.encode_values([[deep]])


@patient
@given(st.lists(any_event, min_size=1, max_size=30), st.booleans())
def test_blocks_give_back_their_events(history: list[Any], is_compact: bool) -> None:
    block = block_of(rows_from_events(history), is_compact=is_compact)
    assert all(map(same_event, block.events(), history))
    for kind in block.kinds:
        rows = block.kind_rows(kind).tolist()
        assert rows == [row for row, event in enumerate(history) if event.kind == kind]
        assert block.kind_counts[kind] == len(rows)
        for name in block.fields(kind):
            field = block.field(kind, name)
            assert field is not None
            assert all(map(same, field.to_pylist(), [history[row].data.get(name) for row in rows]))


@patient
@given(st.lists(any_event, min_size=2, max_size=20), st.data())
def test_rows_cut_in_two_are_the_rows(history: list[Any], data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(history) - 1))
    rows = rows_from_events(history)
    parts = [block_of(cut_rows(rows, 0, place)), block_of(cut_rows(rows, place, len(history)))]
    assert all(map(same_event, [event for part in parts for event in part.events()], history))


def test_runs_can_be_cut_anywhere() -> None:
    runs = Runs([0, 3, 4, 9], [7, 8, 9, 10])
    rows = Rows(12, 1, np.arange(12), runs, 0, 0, 0, 0, 0, 0, ["note"], 0)
    whole = block_of(rows).time.tolist()
    for place in range(1, 12):
        parts = [block_of(cut_rows(rows, 0, place)), block_of(cut_rows(rows, place, 12))]
        assert [int(time) for part in parts for time in part.time] == whole


def test_more_fields_than_columns_share_one_column() -> None:
    payloads = [{f"field {row} {number}": row for number in range(40)} for row in range(20)]
    rows = Rows(20, 1, np.arange(20), 0, 0, 0, 0, 0, 0, 0, ["note"], 0, data={0: KindRows(range(20), payloads)})
    block = block_of(rows)
    assert block.payloads("note") == payloads
    assert len(block.fields("note")) == 800
    field = block.field("note", "field 19 39")
    assert field is not None
    assert field.to_pylist() == [None] * 19 + [19]
    assert block.field("note", "field 20 0") is None


def test_one_field_is_read_without_the_others() -> None:
    payloads = [{"a": row, "b": {"deep": [row]}} for row in range(9)]
    block = block_of(Rows(9, 1, np.arange(9), 0, 0, 0, 0, 0, 0, 0, ["x"], 0, data={0: KindRows(range(9), payloads)}))
    broken = bytearray(block._data)
    start, stop = block.directory.starts[-1], block.directory.stops[-1]
    broken[start:stop] = bytes(stop - start)
    reread = Block(bytes(broken), 0, len(broken), path=Path("x"), ref=block.ref, length=1, first=1, last=9)
    field = reread.field("x", "a")
    assert field is not None
    assert field.values == pa.array(range(9))


def test_typed_columns_are_views_of_the_bytes_read() -> None:
    seq = np.array([row * row * 10**9 - 1 for row in range(200)])
    block = block_of(Rows(200, 1, seq, 0, 0, 0, 0, 0, 0, 0, ["x"], 0))
    assert not block.seq.flags.owndata
    assert not block.seq.flags.writeable


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"count": 3}, "2 values for 3 rows"),
        ({"kind": 1}, "outside of the 1 kinds"),
        ({"kinds": [""]}, "1 to 255 bytes"),
        ({"time": Runs([1], [0])}, "run starts"),
        ({"time": Runs([0, 0], [0, 1])}, "run starts"),
        ({"seq": np.array([0.5, 1.5])}, "integers"),
        ({"to_many": {0: (1,)}}, "at least two"),
        ({"to_many": {2: (1, 2)}}, "at least two"),
        ({"data": {0: KindRows(range(1), [{}])}}, "1 rows of a kind that has 2"),
        ({"data": {0: KindRows(range(2), [{}])}}, "1 payloads for 2 rows"),
        ({"data": {0: KindRows(range(2), columns={"a": [1]})}}, "has not 2 values"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(change: dict[str, Any], words: str) -> None:
    given_rows: dict[str, Any] = dict.fromkeys(
        ("simulation", "time", "wall", "agent", "turn", "goal", "state", "cause"), 1
    )
    given_rows |= {"count": 2, "seq": np.array([1, 2]), "kinds": ["note"], "kind": 0} | change
    with pytest.raises(UsageError, match=words):
        pack(Rows(**given_rows), 1)


HOSTILE = {
    "indefinite length": "9fff",
    "doubled key": "a2616101616102",
    "unknown tag": "c100",
    "shared reference": "d81c80",
    "undefined": "f7",
    "simple value": "f0",
    "left over": "0101",
    "key not text": "a10101",
    "byte key": "a1410101",
    "set": "d9010280",
    "cut off": "82",
    "huge array": "9b00ffffffffffffff",
    "huge text": "7b7fffffffffffffff",
    "too deep": "81" * 80 + "01",
    "not UTF-8": "61ff",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_cbor_that_is_never_written_is_refused(name: str) -> None:
    with pytest.raises(FormatError):
        items.decode_value(bytes.fromhex(HOSTILE[name]))


@patient
@given(st.binary(max_size=60), st.integers(0, 70_000))
def test_any_bytes_as_a_column_end_in_values_or_a_format_error(data: bytes, count: int) -> None:
    for decode in (cells.decode_cells, integers.decode_integers):
        try:
            found = decode(data, 0, len(data), count)
        except FormatError:
            continue
        assert (found.count if isinstance(found, cells.Cells) else len(found)) == count
