"""Data as JSON text, and Python's values from it again: the very same, to the type."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from matrix.query.engine import jsons
from matrix.query.engine.jsons import json_texts, plain_strings, python_values


def test_texts_are_json_and_what_json_lacks_is_kept_beside_them() -> None:
    found = json_texts([{"price": 40.0, "id": 2**70}, None, {"raw": b"?"}, "ü"])
    assert found.texts.to_pylist() == [
        '{"price": 40.0, "id": 1180591620717411303424}',
        None,
        '{"raw": "Pw=="}',
        '"ü"',
    ]
    assert found.exact is not None
    assert [cell is not None for cell in found.exact.to_pylist()] == [False, False, True, False]


def test_nothing_is_kept_beside_texts_that_hold_everything() -> None:
    assert json_texts([{"price": 40.0}, [1, "a", None, True], None]).exact is None


@pytest.mark.parametrize(
    "value",
    [{}, [], 1, 1.0, -0.0, 1e300, 2**64, -(2**200), True, "", "\0next\0", '"], ["', {"b": 1, "a": [b"\xff"]}, math.inf],
)
def test_values_come_back_as_they_were(value: Any) -> None:
    found = json_texts([value, None, {"other": [value]}])
    assert repr(python_values(found.texts, found.exact)) == repr([value, None, {"other": [value]}])


def test_not_a_number_comes_back_though_its_text_is_null() -> None:
    found = json_texts([[math.nan]])
    assert found.texts.to_pylist() == ["[null]"]
    assert math.isnan(python_values(found.texts, found.exact)[0][0])


def test_without_what_is_beside_the_texts_bytes_would_be_text() -> None:
    assert python_values(json_texts([b"?"]).texts, None) == ["Pw=="]


def test_texts_from_elsewhere_that_only_together_look_like_json_are_refused() -> None:
    with pytest.raises(ValueError, match="Extra data"):
        python_values(pa.array(["1,2"]), None)


def test_plain_strings_are_cut_where_they_would_be_too_long_for_one_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsons, "_CHUNK_BYTES", 4)
    texts = plain_strings(pa.array(["aaa", "bbb", None, "cccccccc", "d"], pa.large_string()))
    assert texts.to_pylist() == ["aaa", "bbb", None, "cccccccc", "d"]
    assert texts.num_chunks > 1
    assert texts.type == pa.string()
