"""Aggregates, groups, buckets, sort, limit, sample and select."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matrix.store import Store
from tests.query.asking import column, deal_store, offers_store, store_of
from tests.stories import deal

SHOP: list[dict[str, Any]] = [
    {"item": "lamp", "price": 40},
    {"item": "chair", "price": 20},
    {"item": "lamp", "price": 10.5},
    {"price": 7},
    {"item": "chair"},
]


@pytest.fixture
def shop(tmp_path: Path) -> Store:
    return offers_store(tmp_path, *SHOP)


def test_groups_come_in_order_of_their_keys_with_the_missing_one_last(shop: Store) -> None:
    assert shop.query("events offer | count, sum(.price) by .item").rows() == [
        {"item": "chair", "count": 2, "sum_price": 20},
        {"item": "lamp", "count": 2, "sum_price": 50.5},
        {"item": None, "count": 1, "sum_price": 7},
    ]


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("sum(.price)", 77.5),
        ("avg(.price)", 19.375),
        ("min(.price)", 7),
        ("max(.price)", 40),
        ("median(.price)", 15.25),
        ("stddev(.price)", 14.806389386567),
        ("p50(.price)", 10.5),
        ("p95(.price)", 40),
        ("distinct(.item)", 2),
        ("first(.item)", "lamp"),
        ("last(.item)", "chair"),
        ("count(.price > 15)", 2),
        ("count(.price > 15) / count", 0.4),
        ("max(time)", 4_000_000),
        ("avg(time)", 2_000_000),
    ],
)
def test_aggregates(shop: Store, aggregate: str, expected: Any) -> None:
    assert column(shop, f"events offer | {aggregate} as x", "x") == [pytest.approx(expected) if expected else expected]


def test_nothing_adds_up_to_zero_and_has_no_average(shop: Store) -> None:
    assert shop.query("events counter | count, sum(.price) as s, avg(.price) as a, min(.price) as m").rows() == [
        {"count": 0, "s": 0, "a": None, "m": None}
    ]
    assert shop.query("events counter | count by .item").rows() == []


def test_buckets_are_cut_at_multiples_and_empty_ones_are_not_made_up(shop: Store) -> None:
    assert shop.query("events offer where .n != 2 | count per 2s").rows() == [
        {"time": 0, "count": 2},
        {"time": 2_000_000, "count": 1},
        {"time": 4_000_000, "count": 1},
    ]
    assert column(shop, "events offer | count per 2 turns", "time") == [0, 2, 4]
    assert column(shop, "events offer | count per 1h of wall", "time") == [0]


def test_a_condition_after_an_aggregate_is_about_groups(shop: Store) -> None:
    assert column(shop, "events offer | count by .item | where count > 1 | sort item desc", "item") == ["lamp", "chair"]


def test_sort_is_stable_and_leaves_the_missing_last_either_way(shop: Store) -> None:
    assert column(shop, "events offer | sort .item | select .n", "n") == [1, 4, 0, 2, 3]
    assert column(shop, "events offer | sort .item desc | select .n", "n") == [0, 2, 1, 4, 3]
    assert column(shop, "events offer | sort .item, .price desc | select .n", "n") == [1, 4, 0, 2, 3]


def test_values_of_different_types_sort_numbers_first(tmp_path: Path) -> None:
    store = offers_store(tmp_path, *({"x": x} for x in ["b", True, 2, None, 1.5, "a", float("nan"), False, [1]]))
    assert column(store, "events offer | sort .x | select .n", "n") == [4, 2, 6, 5, 0, 7, 1, 8, 3]


def test_a_sample_is_the_same_every_time_and_differs_by_seed(tmp_path: Path) -> None:
    store = offers_store(tmp_path, *({} for _ in range(40)))
    first = column(store, "events offer | sample 5 seed 1 | select .n", "n")
    assert first == sorted(first)
    assert len(first) == 5
    assert column(store, "events offer | sample 5 seed 1 | select .n", "n") == first
    assert column(store, "events offer | sample 5 seed 2 | select .n", "n") != first
    assert len(column(store, "events offer | sample 100 | select .n", "n")) == 40


def test_a_sample_of_agents_is_not_one_of_namesakes(tmp_path: Path) -> None:
    store = store_of(tmp_path, *(deal() for _ in range(20)))
    assert len(set(column(store, "agents | sample 10 | select id", "id"))) > 1


def test_selected_columns_are_named_by_their_path_or_by_as(tmp_path: Path) -> None:
    result = deal_store(tmp_path).query("agents where id = alice | select goal.status, turns * 2 as twice, *")
    assert result.column_names[:3] == ["goal_status", "twice", "id"]
    assert result.rows()[0]["twice"] == 4


def test_aggregates_of_related_rows_can_be_selected_sorted_and_cut(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    query = "agents | select id, sum(.price of events) as spent, count(messages) as said | sort spent desc | limit 2"
    assert store.query(query).rows() == [
        {"id": "bob", "spent": 50, "said": 4},
        {"id": "alice", "spent": 40, "said": 4},
    ]


def test_keys_that_are_equal_by_value_are_one_group(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"x": 1}, {"x": 1.0}, {"x": True}, {"x": "1"}, {"x": [1]}, {"x": [1.0]})
    assert column(store, "events offer | count by .x", "count") == [2, 1, 1, 2]
