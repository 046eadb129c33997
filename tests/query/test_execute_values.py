"""Missing values, types that only the data knows, exact numbers, paths, and what is said about misfits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matrix.errors import QueryError
from tests.query.asking import column, ns, offers_store

HUGE = 2**70


def test_not_equal_includes_rows_without_the_field(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"tool": "search"}, {"tool": "mail"}, {}, {"tool": None})
    assert ns(store, '.tool != "search"') == [1, 2, 3]
    assert ns(store, '.tool exists and .tool != "search"') == [1]


def test_missing_equals_missing_and_nothing_else(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"a": 1, "b": 1}, {"a": 1}, {}, {"a": None, "b": None})
    assert ns(store, ".a = .b") == [0, 2, 3]
    assert ns(store, ".a = null") == [2, 3]
    assert ns(store, ".a >= .b") == [0]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (".x = 3", [0, 1]),
        (".x < 3.5", [0, 1, 5]),
        ('.x = "3"', [2]),
        (".x = true", [3]),
        (".x in (3, true)", [0, 1, 3]),
        (".x > 3", [6]),
        ("not .x > 3", [0, 1, 2, 3, 4, 5]),
        (".x in 2..3", [0, 1]),
    ],
)
def test_values_of_different_types_in_one_field_compare_with_their_own_kind(
    tmp_path: Path, condition: str, expected: list[int]
) -> None:
    values: list[Any] = [3, 3.0, "3", True, float("nan"), -1, HUGE]
    store = offers_store(tmp_path, *({"x": value} for value in values))
    assert ns(store, condition) == expected


def test_whole_numbers_and_floats_compare_exactly_beyond_53_bits(tmp_path: Path) -> None:
    pairs = [(2**53 + 1, 2.0**53), (2**63 - 1, 2.0**63), (HUGE, 2.0**70)]
    store = offers_store(tmp_path, *({"x": x, "y": y} for x, y in pairs))
    assert ns(store, ".x = .y") == [2]
    assert ns(store, ".x > .y") == [0]
    assert ns(store, ".x < .y") == [1]


def test_huge_numbers_add_up_exactly(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"x": 2**62}, {"x": 2**62}, {"x": 2**62}, {"x": HUGE})
    assert store.query("events offer | sum(.x) as total").rows() == [{"total": 3 * 2**62 + HUGE}]
    assert column(store, "events offer | select .x * 4 as y", "y") == [2**64, 2**64, 2**64, 4 * HUGE]


def test_nan_equals_nothing_and_is_left_out_of_aggregates(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"x": float("nan")}, {"x": 2})
    assert ns(store, ".x = .x") == [1]
    assert store.query("events offer | max(.x) as top, avg(.x) as mean, distinct(.x) as n").rows() == [
        {"top": 2, "mean": 2.0, "n": 2}
    ]


def test_misfits_are_counted_in_a_notice(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"price": "40"}, {"price": 50}, {"price": "60"}, {"price": [1]})
    result = store.query("events where .price > 45")
    assert [row["data"]["n"] for row in result.rows()] == [1]
    assert result.notices == ["2 events had text in .price", "1 events had a list or map in .price"]
    assert store.query("events | min(.price), max(.price)").notices == result.notices  # the same events, told once
    assert store.query("events | sum(.price)").notices == [
        "2 events had text in .price",
        "1 events had a list or map in .price",
    ]


def test_arithmetic_with_a_missing_side_or_a_zero_divisor_is_missing(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"a": 6, "b": 4}, {"a": 6, "b": 0}, {"a": 6}, {"a": "6", "b": 2})
    assert column(store, "events offer | select .a / .b as x", "x") == [1.5, None, None, None]
    assert column(store, "events offer | select .a % .b as x", "x") == [2, None, None, None]
    assert column(store, "events offer | select .b ?? .a as x", "x") == [4, 0, 6, 2]


def test_any_element_of_a_list_will_do(tmp_path: Path) -> None:
    items = [{"items": [{"price": 5}, {"price": 120}]}, {"items": [{"price": 7}]}, {"items": []}, {"items": [{}]}, {}]
    store = offers_store(tmp_path, *items)
    assert ns(store, ".items[*].price > 100") == [0]
    assert ns(store, "not .items[*].price = 5") == [1, 2, 3, 4]
    assert ns(store, ".items[-1].price = 7") == [1]
    assert ns(store, ".items[*].price missing") == [2, 3, 4]
    assert column(store, "events offer | select .items[*].price as p", "p") == [[5, 120], [7], [], [], []]


def test_odd_keys_unicode_and_nested_lists_are_found(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"args": {"odd key": [{"name": "Zoë"}]}, "語": "naïve 🜁"}, {"語": "NAÏVE"})
    assert ns(store, '.args."odd key"[0].name = "Zoë"') == [0]
    assert ns(store, '."語" contains "🜁"') == [0]
    assert ns(store, '."語" ~ /naïve/i') == [0, 1]
    assert ns(store, 'lower(."語") starts with "naïve"') == [0, 1]
    assert ns(store, 'len(."語") = 7') == [0]


def test_lists_and_maps_are_equal_at_any_depth(tmp_path: Path) -> None:
    store = offers_store(
        tmp_path, {"a": [1, {"b": 2.0}], "c": [1.0, {"b": 2}]}, {"a": [1], "c": [True]}, {"a": {"x": 1}, "c": {"x": 2}}
    )
    assert ns(store, ".a = .c") == [0]
    assert ns(store, ".a contains 1") == [0, 1]


def test_text_is_ordered_by_code_point(tmp_path: Path) -> None:
    words = ["a", "B", "é", "z", "🜁", "\uffff"]
    store = offers_store(tmp_path, *({"w": word} for word in words))
    assert ns(store, '.w > "z"') == [2, 4, 5]
    assert column(store, "events offer | sort .w | select .w as w", "w") == sorted(words)


def test_a_pattern_that_cannot_be_read_is_an_error_at_its_place(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"w": "x"})
    with pytest.raises(QueryError) as caught:
        store.query("events where .w ~ $p", p="(?=x)")
    assert caught.value.code in ("pattern", "bad-pattern")
    assert caught.value.start >= 13


def test_columns_of_one_type_are_typed_and_others_are_json(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"i": 1, "f": 1, "t": "x", "b": True, "m": 1, "l": [1], "u": 2**63},
        {"i": 2, "f": 0.5, "t": None, "b": False, "m": "x", "l": {"a": 1}, "u": 1},
    ]
    table = offers_store(tmp_path, *rows).query("events offer | select .i, .f, .t, .b, .m, .l, .u, .none").table
    assert [str(field.type) for field in table.schema] == [
        "int64",
        "double",
        "string",
        "bool",
        "string",
        "string",
        "uint64",
        "null",
    ]
    assert [field.name for field in table.schema if field.metadata] == ["m", "l"]
    assert table.column("m").to_pylist() == ["1", '"x"']
    assert table.column("l").to_pylist() == ["[1]", '{"a": 1}']


def test_functions_of_unfit_values_are_missing(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"x": " 12 "}, {"x": 2.5}, {"x": [1, 2]}, {"x": "1h30m"}, {})
    assert column(store, "events offer | select number(.x) as v", "v") == [12, 2.5, None, None, None]
    assert column(store, "events offer | select round(.x) as v", "v") == [None, 2, None, None, None]
    assert column(store, "events offer | select duration(.x) as v", "v") == [None, 2_500_000, None, 5_400_000_000, None]
    assert column(store, "events offer | select text(.x) as v", "v") == [" 12 ", "2.5", "[1, 2]", "1h30m", None]
    assert column(store, "events offer | select if(.x exists, 1, 0) as v", "v") == [1, 1, 1, 1, 0]


def test_a_number_may_be_one_of_many(tmp_path: Path) -> None:
    many = ", ".join(map(str, range(2, 500)))
    whole = offers_store(tmp_path / "whole", {"x": 1}, {"x": 2}, {"x": 499}, {"x": 500}, {})
    assert ns(whole, f".x in ({many})") == [1, 2]
    assert ns(whole, f".x not in ({many})") == [0, 3, 4]
    mixed = offers_store(tmp_path / "mixed", {"x": 2.0}, {"x": 2.5}, {"x": "2"}, {"x": True}, {"x": 2**64})
    assert ns(mixed, f".x in ({many})") == [0]
