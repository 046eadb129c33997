"""Explaining a query: what passed each part of it, and what was read for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matrix.store import Store
from tests.query.asking import deal_store, offers_store


def lines(store: Store, text: str) -> list[dict[str, Any]]:
    return store.query(f"explain {text}").rows()


def rows_of(store: Store, text: str) -> dict[str, tuple[int | None, int | None]]:
    """By part of the query, the rows it was given and those it let pass."""
    return {line["step"].strip(): (line["rows_in"], line["rows"]) for line in lines(store, text)}


@pytest.fixture
def priced(tmp_path: Path) -> Store:
    return offers_store(tmp_path, *({"n": n, "price": n * 10} for n in range(10)))


def test_each_condition_says_how_many_rows_pass_it(priced: Store) -> None:
    found = rows_of(priced, "events offer where .price > 30 and .n < 8 | limit 2")
    assert found == {
        "events offer": (None, 10),
        "where .price > 30": (10, 6),
        "where .n < 8": (6, 4),
        "| limit 2": (4, 2),
        "answer": (None, 2),
    }


def test_an_empty_answer_shows_where_the_rows_went(priced: Store) -> None:
    found = rows_of(priced, "events offer where .n = 3 and (.price = 40 or .price = 50)")
    assert found["where .n = 3"] == (10, 1)
    assert found["where .price = 40 or .price = 50"] == (1, 0)
    assert found["answer"] == (None, 0)


def test_what_the_index_alone_decides_is_told_condition_by_condition(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    found = lines(store, "agents where goal succeeded and role = buyer")
    assert [line["by"] for line in found[:3]] == ["index", "index alone", "index alone"]
    assert all(line["blocks"] is None for line in found)
    total = len(store.query("agents"))
    succeeded = len(store.query("agents where goal succeeded"))
    both = len(store.query("agents where goal succeeded and role = buyer"))
    assert [(line["rows_in"], line["rows"]) for line in found[:3]] == [
        (None, total),
        (total, succeeded),
        (succeeded, both),
    ]


def test_counts_by_kind_are_the_catalogues(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    found = lines(store, "events | count by kind")
    assert found[0]["rows"] == store.query("events | count").rows()[0]["count"]
    assert [line["by"] for line in found] == ["index", "index alone", None]


def test_blocks_and_bytes_to_read_are_those_that_zone_maps_leave(priced: Store) -> None:
    (everything, *_) = lines(priced, "events where .n exists")
    (none, *_) = lines(priced, "events counter where .n exists")
    assert everything["blocks"] == "1 of 1"
    assert everything["bytes"] > 0
    assert (none["blocks"], none["bytes"], none["expected"]) == ("0 of 1", 0, 0)


def test_an_explained_query_says_what_the_query_would_return(priced: Store) -> None:
    for text in ("events", "events offer where .price > 30 | count by .n", "agents | messages where text exists"):
        assert rows_of(priced, text)["answer"] == (None, len(priced.query(text)))


def test_inner_conditions_stand_under_the_condition_they_are_part_of(priced: Store) -> None:
    steps = [line["step"] for line in lines(priced, "agents where any offer (.price > 30 and .n < 8)")]
    assert steps == [
        "agents",
        "  where any offer (.price > 30 and .n < 8)",
        "    .price > 30",
        "    .n < 8",
        "answer",
    ]


def test_a_sequence_says_how_many_rows_reach_each_step(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    everyone = len(store.query("agents"))
    offered = len(store.query("agents where did offer"))
    answered = len(store.query("agents where did offer then got counter"))
    found = rows_of(store, "agents where did offer then got counter then withdraw")
    assert found["reach offer"] == (None, offered)
    assert found["reach got counter"] == (None, answered)
    assert found["reach withdraw"] == (None, 0)
    assert found["where did offer then got counter then withdraw"] == (everyone, 0)
    assert 0 < answered <= offered < everyone


def test_a_match_says_how_many_rows_reach_each_step(tmp_path: Path) -> None:
    found = rows_of(deal_store(tmp_path), "agents | match offer then got counter")
    assert found["reach offer"] == (None, 1)
    assert found["reach got counter"] == (None, 1)
