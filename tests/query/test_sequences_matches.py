"""What counts as a match, the stage match and its rows, the stage funnel, and the limits of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matrix.errors import QueryError
from matrix.query.engine import joins, sequences
from matrix.store import Store
from tests.query.acts import act, how_many, run, store_of_acts, store_of_runs, who
from tests.query.asking import column
from tests.stories import SECOND

PRICES = [act(1, "alice", "offer", "bob", price=40), act(2, "alice", "offer", "bob", price=60)]


def test_a_match_is_as_tight_as_can_be(tmp_path: Path) -> None:
    store = store_of_acts(
        tmp_path, *[act(n, "alice", "offer", "bob") for n in (1, 2, 3)], act(4, "bob", "accept", "alice")
    )
    rows = store.query("agents | match offer as o then got accept as a").rows()
    assert [(row["id"], row["o"], row["a"], row["start"], row["end"], row["duration"]) for row in rows] == [
        ("alice", "r1:7", "r1:8", 3 * SECOND, 4 * SECOND, SECOND)
    ]


def test_matches_do_not_overlap(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, *[act(n, "alice", kind) for n, kind in enumerate("abaabbab")])
    assert how_many(store, "did a then b") == 3
    assert how_many(store, "did a then a") == 2
    assert how_many(store, "did event") == 9  # and agent.started
    assert how_many(store, "did b then b") == 2


def test_after_a_match_the_search_begins_again_behind_its_end(tmp_path: Path) -> None:
    """The second b may only be answered by an a behind the first match, though an earlier one fits too."""
    acts = [act(n, "alice", kind, n=value) for n, (kind, value) in enumerate([("a", 9), ("a", 5), ("b", 5), ("b", 9)])]
    store = store_of_acts(tmp_path, *acts)
    assert column(store, "agents | match a as x then b(.n = x.data.n) as y", "y") == ["r1:7"]


def test_with_references_the_latest_walking_back_that_fits_is_taken(tmp_path: Path) -> None:
    acts = [("a", 1), ("a", 7), ("x", 0), ("x", 0), ("b", 1)]
    store = store_of_acts(tmp_path, *[act(n, "alice", kind, n=value) for n, (kind, value) in enumerate(acts)])
    rows = store.query("agents | match a as p then x as m then b(.n = p.data.n) as q | select p.id, m.id, q.id").rows()
    assert rows == [{"p_id": "r1:5", "m_id": "r1:8", "q_id": "r1:9"}]


def test_the_whole_limit_may_choose_a_chain_that_is_earlier_walking_back(tmp_path: Path) -> None:
    """The latest b refers to an a that is too far back; the b before it to one that is near enough."""
    acts = [("a", 1), ("a", 2), ("b", 2), ("b", 1), ("c", 0)]
    store = store_of_acts(tmp_path, *[act(n, "alice", kind, n=value) for n, (kind, value) in enumerate(acts)])
    query = "agents | match a as x then b(.n = x.data.n) as y then c"
    assert column(store, query, "y") == ["r1:8"]
    assert column(store, f"{query} within 3s", "y") == ["r1:7"]
    assert column(store, f"{query} within 2s", "y") == []


def test_what_must_not_be_between_may_choose_a_chain_that_is_earlier_walking_back(tmp_path: Path) -> None:
    """Likewise where both chains have come to one event: the x, or a match before, lies within the longer one."""
    acts = [("a", 1), ("x", 0), ("a", 2), ("b", 2), ("b", 1), ("c", 0)]
    store = store_of_acts(tmp_path, *[act(n, "alice", kind, n=value) for n, (kind, value) in enumerate(acts)])
    query = "agents | match a as p then b(.n = p.data.n) as q then c"
    assert column(store, query, "q") == ["r1:9"]
    assert column(store, f"{query} without x", "q") == ["r1:8"]
    acts = [("a", 1), ("a", 0), ("b", 0), ("c", 0), ("a", 2), ("b", 2), ("b", 1), ("c", 0)]
    store = store_of_acts(tmp_path / "2", *[act(n, "alice", kind, n=value) for n, (kind, value) in enumerate(acts)])
    assert column(store, query, "q") == ["r1:7", "r1:10"]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (".price < o.data.price", True),
        (".price < o.data.price - 10", False),
        (".price = o.data.price + 10", True),
        ("o.data.price + 10 = .price", True),
        ("agent = o.to", True),
        ("peer = o.peer", True),
        ("to.id = o.agent.id and time - o.time <= 1s", True),
        ("agent = o.agent", False),
        (".missing = o.data.missing", True),
        ("cause.id = o.id", True),
    ],
)
def test_a_step_may_look_back_at_an_earlier_one(tmp_path: Path, condition: str, holds: bool) -> None:
    store = store_of_acts(tmp_path, *PRICES, act(3, "bob", "counter", "alice", price=50))
    assert who(store, f"did offer as o then got counter({condition})") == ["alice"] * holds


def test_several_steps_may_be_looked_back_at(tmp_path: Path) -> None:
    acts = [act(n, "alice", kind, n=value) for n, (kind, value) in enumerate([("a", 1), ("a", 2), ("b", 2), ("b", 3)])]
    store = store_of_acts(tmp_path, *acts, act(9, "alice", "c", n=4))
    query = "agents | match a as x then b as y then c(.n = x.data.n + y.data.n) | select x.id, y.id"
    assert store.query(query).rows() == [{"x_id": "r1:5", "y_id": "r1:8"}]


def test_rows_come_in_the_order_of_rows_and_then_of_their_ends(tmp_path: Path) -> None:
    acts = [
        act(1, "alice", "offer", "bob carol"),
        act(2, "carol", "counter", "alice"),
        act(3, "bob", "counter", "alice"),
    ]
    store = store_of_runs(tmp_path, run(*acts), run(*acts, number=2))
    query = "agents | sort simulation desc | match event as o then got event as c with same peer | where id = alice"
    assert store.query(f"{query} | select simulation, c.agent").rows() == [
        {"simulation": "r2", "c_agent": "carol"},
        {"simulation": "r2", "c_agent": "bob"},
        {"simulation": "r1", "c_agent": "carol"},
        {"simulation": "r1", "c_agent": "bob"},
    ]


def test_later_stages_read_the_named_steps(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, *PRICES, act(5, "bob", "accept", "alice", price=60))
    query = "agents | match offer as o then got accept as a with same peer"
    assert store.query(f"{query} | avg(a.time - o.time) as wait, sum(o.data.price) as paid, count by role").rows() == [
        {"role": "buyer", "wait": 3 * SECOND, "paid": 60, "count": 1}
    ]
    assert store.query(f"{query} | select o.peer, a.peer, a.turn, o.turn").rows() == [
        {"o_peer": "bob", "a_peer": "bob", "a_turn": 2, "o_turn": 2}
    ]
    assert column(store, f"{query} | where any offer (.price < o.data.price) | select id", "id") == ["alice"]
    assert column(store, f"{query} | where did offer(.price = o.data.price - 20) | select id", "id") == ["alice"]
    assert column(store, f"{query} | where did offer(.price = o.data.price - 1) | select id", "id") == []
    assert column(store, f"{query} | messages where .price = 40", "id") == ["r1:5"]


def test_matches_may_be_matched_again_row_by_row(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, *PRICES, act(3, "alice", "x"))
    query = "agents | match offer as o | match x as y"
    assert column(store, query, "y") == ["r1:7", "r1:7"]
    assert column(store, f"{query} | count as n", "n") == [2]


def test_no_match_is_no_row(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, *PRICES)
    result = store.query("agents | match accept as a then offer as o")
    assert result.rows() == []
    assert result.column_names[-2:] == ["a", "o"]
    assert store.query("agents where id = nobody | match offer | count").rows() == [{"count": 0}]


# -- funnel ----------------------------------------------------------------------------------------------


def funnel_store(folder: Path) -> Store:
    return store_of_runs(
        folder,
        run(
            act(1, "alice", "offer", "bob"),
            act(3, "bob", "counter", "alice"),
            act(9, "alice", "accept", "bob"),
            act(20, "bob", "offer", "alice"),
        ),
        run(
            act(1, "alice", "offer", "bob"),
            act(2, "bob", "reject", "alice"),
            act(4, "bob", "counter", "alice"),
            number=2,
        ),
    )


def steps(store: Store, query: str, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names or ("step", "reached", "share")) for row in store.query(query).rows()]


def test_a_funnel_says_how_many_rows_come_how_far(tmp_path: Path) -> None:
    store = funnel_store(tmp_path)
    assert store.query("agents | funnel offer then got (counter or reject) then accept 1 times").rows() == [
        {"step": 1, "event": "offer", "reached": 3, "share": 1.0, "median_time": 0},
        {
            "step": 2,
            "event": "counter or reject",
            "reached": 2,
            "share": pytest.approx(2 / 3),
            "median_time": 1_500_000,
        },
        {"step": 3, "event": "accept", "reached": 1, "share": pytest.approx(1 / 3), "median_time": 8 * SECOND},
    ]


def test_within_and_without_hold_for_every_prefix(tmp_path: Path) -> None:
    store = funnel_store(tmp_path)
    assert steps(store, "agents | funnel offer then got counter then accept within 2s") == [
        (1, 3, 1.0),
        (2, 1, pytest.approx(1 / 3)),
        (3, 0, 0.0),
    ]
    assert steps(store, "agents | funnel offer then got counter without reject", "reached") == [(3,), (1,)]
    assert steps(store, "agents | funnel offer then no accept", "reached", "event") == [(2, "offer")]


def test_a_prefix_that_ends_with_an_event_of_another_counts_the_turns_of_the_agent_that_looks(tmp_path: Path) -> None:
    acts = [act(0, "bob", "y"), act(1, "bob", "y"), act(2, "alice", "a"), act(3, "bob", "b", "alice")]
    store = store_of_acts(tmp_path, *acts, act(4, "alice", "c"))
    assert steps(store, "agents | funnel a then got b then c within 1 turns", "reached") == [(1,), (1,), (1,)]


def test_a_without_that_names_a_later_step_does_not_hold_for_shorter_prefixes(tmp_path: Path) -> None:
    acts = [("a", 1), ("x", 3), ("b", 2), ("c", 3)]
    store = store_of_acts(tmp_path, *[act(n, "alice", kind, n=value) for n, (kind, value) in enumerate(acts)])
    query = "agents | funnel a then b then c as last without x(.n = last.data.n)"
    assert steps(store, query, "reached") == [(1,), (1,), (0,)]


def test_groups_of_a_funnel_have_all_steps(tmp_path: Path) -> None:
    store = funnel_store(tmp_path)
    names = ("role", "step", "event", "reached", "share", "median_time")
    assert steps(store, "agents | funnel got counter(.x missing) then accept 2 times by role", *names) == [
        ("buyer", 1, "counter(.x missing)", 2, 1.0, 0),
        ("buyer", 2, "accept 2 times", 0, 0.0, None),
        ("seller", 1, "counter(.x missing)", 0, None, None),
        ("seller", 2, "accept 2 times", 0, None, None),
    ]


def test_a_funnel_over_no_rows_has_its_steps_unless_it_is_grouped(tmp_path: Path) -> None:
    store = funnel_store(tmp_path)
    assert steps(store, "agents where id = nobody | funnel offer then accept") == [(1, 0, None), (2, 0, None)]
    assert steps(store, "agents where id = nobody | funnel offer then accept by role") == []


def test_a_row_that_comes_twice_counts_twice_in_a_funnel(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, *PRICES)
    assert steps(store, "agents | match offer | funnel offer 2 times", "reached") == [(2,)]


# -- limits ----------------------------------------------------------------------------------------------


def test_runs_are_worked_through_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acts = [act(1, "alice", "offer", "bob", n=1), act(2, "bob", "counter", "alice", n=1)]
    store = store_of_runs(tmp_path, *(run(*acts[: 1 + n % 2], number=n) for n in range(1, 6)))
    queries = [
        "agents where did offer then got counter",
        "agents | match offer as o then got counter(.n = o.data.n) as c | select o.id, c.turn, c.peer, o.data.n",
        "agents | funnel offer then got counter by role",
    ]
    at_once = [store.query(query).rows() for query in queries]
    monkeypatch.setattr(sequences, "QUERY_STREAM_EVENTS_MAX", 14)
    assert [store.query(query).rows() for query in queries] == at_once
    assert [len(rows) for rows in at_once] == [3, 3, 4]


@pytest.mark.parametrize("limit", ["QUERY_CHAIN_PAIRS_MAX", "QUERY_CHAINS_MAX"])
def test_too_many_pairs_are_an_error_with_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    store = store_of_acts(tmp_path, *PRICES, act(3, "bob", "counter", "alice", price=50))
    monkeypatch.setattr(joins, limit, 1)
    query = "agents where did offer as o then got counter(.price != o.data.price) then event(.price != o.data.price)"
    with pytest.raises(QueryError) as caught:
        store.query(query)
    assert caught.value.code == "too-much-work"
    assert query[caught.value.start : caught.value.end] == "counter(.price != o.data.price)"
    assert who(store, "did offer as o then got counter(.price = o.data.price + 10)") == ["alice"]


def test_of_many_events_that_a_condition_could_look_back_at_the_nearest_are_tried_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers = [act(n, "alice", "offer", "bob", price=n) for n in range(1, 101)]
    counters = [act(100 + n, "alice", "counter", "bob", price=90) for n in range(1, 101)]
    store = store_of_acts(tmp_path, *offers, *counters, act(300, "alice", "accept", "bob"))
    monkeypatch.setattr(joins, "QUERY_CHAIN_PAIRS_MAX", 200)  # of ten thousand
    monkeypatch.setattr(joins, "QUERY_CHAINS_MAX", 200)
    assert who(store, "did offer as o then counter(.price < o.data.price)") == ["alice"]
    assert who(store, "did offer as o then counter(.price < o.data.price) then accept") == ["alice"]
    rows = store.query("agents | match offer as o then counter(.price < o.data.price) as c").rows()
    assert [(row["start"], row["end"]) for row in rows] == [(100 * SECOND, 101 * SECOND)]


def test_an_event_further_back_is_found_when_the_nearest_do_not_meet_a_condition(tmp_path: Path) -> None:
    prices = [7, 9, 1, 2, 3, 4, 5, 6]
    offers = [act(n, "alice", "offer", "bob", price=price) for n, price in enumerate(prices, 1)]
    store = store_of_acts(tmp_path, *offers, *(act(20, "alice", "counter", "bob", price=n) for n in (8, 6)))
    match = "agents | match offer as o then counter(.price < o.data.price) as c | select o.data.price, c.data.price"
    assert store.query(match).rows() == [{"o_data_price": 9, "c_data_price": 8}]
    within = "agents | match offer as o then within 15s counter(.price < o.data.price) as c | select c.data.price"
    assert store.query(within).rows() == []
