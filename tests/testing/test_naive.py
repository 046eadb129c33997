"""The naive evaluator on hand-made histories, against answers worked out by hand from the language's text."""

from __future__ import annotations

from typing import Any

import pytest

from matrix.errors import UsageError
from matrix.query.check import check
from matrix.testing.naive import answer, evaluate
from matrix.testing.world import World
from tests.stories import SECOND, deal, offers

NAN = float("nan")

#: The offers that conditions are tried on, numbered from 0.
OFFERS: list[dict[str, Any]] = [
    {"price": 3, "item": "lamp"},
    {"price": 3.0, "item": "Lamp", "tags": ["x", "y"]},
    {"price": "3", "tags": []},
    {"price": None, "item": None},
    {},
    {"price": NAN, "ok": True},
    {"price": True, "ok": 1},
    {"price": 2**70, "items": [{"price": 1}, {"sku": "b"}, {"price": 9}]},
    {"price": -1, "args": {"odd key": [10, 20]}},
]


def numbers(condition: str) -> list[int]:
    """The numbers of the offers for which a condition holds."""
    query = check(f"events offer where {condition} | select .n as n")
    return [row["n"] for row in evaluate(query, {1: offers(OFFERS)})]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (".price = 3", [0, 1]),
        (".price != 3", [2, 3, 4, 5, 6, 7, 8]),
        ('.price = "3"', [2]),
        (".price = true", [6]),
        (".price > 2", [0, 1, 7]),
        ("not .price > 2", [2, 3, 4, 5, 6, 8]),
        (".price missing", [3, 4]),
        (".price exists", [0, 1, 2, 5, 6, 7, 8]),
        (".price = null", [3, 4]),
        (".price = .nowhere", [3, 4]),
        (".price = .price", [0, 1, 2, 3, 4, 6, 7, 8]),
        (".price in (3, null)", [0, 1, 3, 4]),
        (".price not in (3, null)", [2, 5, 6, 7, 8]),
        (".price in -1..3", [0, 1, 8]),
        ("(.price ?? 5) = 5", [3, 4]),
        (".price + 1 = 4", [0, 1]),
        (".price / 0 missing", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (".price % 2 = 1", [0, 1, 8]),
        (".item ~ /^lamp$/i", [0, 1]),
        ('.item != "lamp"', [1, 2, 3, 4, 5, 6, 7, 8]),
        ('lower(.item) = "lamp"', [0, 1]),
        ('.tags[*] = "x"', [1]),
        ('not .tags[*] = "x"', [0, 2, 3, 4, 5, 6, 7, 8]),
        ('.tags contains "y"', [1]),
        (".tags[*] exists", [1]),
        (".items[*].price > 5", [7]),
        (".items[*].price exists", [7]),
        (".items[1].price missing and .items exists", [7]),
        (".items[-1].price = 9", [7]),
        ('.args."odd key"[0] = 10', [8]),
        (".ok = true", [5]),
        ("time = 2s", [2]),
        ("time in 1s..2s", [1, 2]),
        ("turn > 8", [8]),
        ("time * 2 = 4s", [2]),
        ("seconds(time) = 2", [2]),
        ("goal missing and cause missing and role = buyer and agent = alice", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_conditions_hold_for_the_offers_they_should(condition: str, expected: list[int]) -> None:
    assert numbers(condition) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("agents where goal succeeded", ["alice"]),
        ('agents where goal "close_deal" succeeded', []),
        ("agents where every goal started", ["alice"]),
        ("agents where no goal started", ["bob", "carol"]),
        ("agents where any message (received and kind = counter)", ["alice"]),
        ("agents as a where any message (peer.role != a.role)", ["alice", "bob", "carol"]),
        ("agents where at least 3 messages", ["alice", "bob"]),
        ("agents where exactly 1 message (sent)", []),
        ("agents where count(offer) > 0 or role missing", ["alice", "carol"]),
        ("agents where sum(.price of counter) = 50", ["bob"]),
        ("agents where .budget < 10", ["alice"]),
        ("agents where goal.status = succeeded", ["alice"]),
        ("goals where steps = 1", ["r1:6"]),
        ("goals where parent.name = close_deal", ["r1:6"]),
        ("goals where succeeded within 1s", ["r1:6"]),
        ("simulations where .buyers = 2 and .parameters.buyers = 2", ["r1"]),
        ("simulations where every agent (turns > 0)", []),
        ("messages where reply_to exists", ["r1:10", "r1:11", "r1:13"]),
        ("messages where to = carol", ["r1:13"]),
        ("messages where not to = carol", ["r1:7", "r1:10", "r1:11"]),
        ("messages where from.role = seller and cause.kind = offer", ["r1:10"]),
        ('events where state.data.phase = "bargaining" and agent = bob', ["r1:10", "r1:13"]),
        ("events goal.* where goal = ask", ["r1:6", "r1:8"]),
        ("conversations where turns = 3", ["r1/alice+bob"]),
        ("agents where goal succeeded | messages where sent", ["r1:7", "r1:11"]),
        ("messages where kind = counter | agents", ["bob"]),
        ("events | sort seq desc | limit 1", ["r1:13"]),
        ("agents | sort role desc", ["bob", "alice", "carol"]),
    ],
)
def test_queries_return_the_rows_they_should(query: str, expected: list[str]) -> None:
    assert [row["id"] for row in evaluate(check(query), {1: deal()})] == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("events offer | count", [(9,)]),
        ("events nothing | count, sum(.price), avg(.price)", [(0, 0, None)]),
        ("events offer | sum(.items[0].price) as s, max(.n) as m, median(.n) as d", [(1, 8, 4)]),
        (
            "events offer where .n < 4 | avg(.n) as a, p50(.n) as p, stddev(.n) as s",
            [(1.5, 1, pytest.approx(1.2909944487))],
        ),
        ("events offer | count by .ok as ok", [(1, 1), (True, 1), (None, 7)]),
        ("events offer where .n in 0..3 | count per 2s", [(0, 2), (2 * SECOND, 2)]),
        ("events offer where .n in 0..3 | count per 2 turns", [(0, 1), (2, 2), (4, 1)]),
        ("events offer | distinct(.price) as d, first(.price) as f, last(.item) as l", [(6, 3, "Lamp")]),
        ("events offer | count(.price exists) / count as share", [(7 / 9,)]),
        ("events offer where .n < 3 | avg(time) as t, sum(time) as s", [(SECOND, 3 * SECOND)]),
        ("events offer where .n = 7 | select .items[*].price as p, time, wall", [([1, 9], 7 * SECOND, 7 * SECOND)]),
        (
            "events offer where .n in 0..4 | count by .price as p | where count > 1 | sort count desc",
            [(3, 2), (None, 2)],
        ),
    ],
)
def test_stages_make_the_columns_they_should(query: str, expected: list[tuple[Any, ...]]) -> None:
    assert [tuple(row.values()) for row in evaluate(check(query), {1: offers(OFFERS)})] == expected


def test_a_sample_is_the_same_every_time_and_keeps_its_order() -> None:
    query = check("events offer | sample 3 seed 7 | select .n as n")
    chosen = [row["n"] for row in evaluate(query, {1: offers(OFFERS)})]
    assert chosen == sorted(chosen)
    assert chosen == [row["n"] for row in evaluate(query, {1: offers(OFFERS)})]
    assert len(chosen) == 3


def test_rows_without_a_select_have_the_fields_of_their_relation() -> None:
    assert answer(check("agents where id = carol"), World({1: deal()})).rows == [
        {
            "id": "carol",
            "simulation": "r1",
            "role": None,
            "status": "running",
            "goal": None,
            "start": 0,
            "end": None,
            "duration": 3 * SECOND,
            "turns": 0,
            "data": None,
        }
    ]


@pytest.mark.parametrize("query", ["watch events", "explain agents where did offer"])
def test_what_is_not_about_the_rows_of_a_query_is_refused(query: str) -> None:
    with pytest.raises(UsageError, match="neither explains nor watches"):
        evaluate(check(query), {1: deal()})
