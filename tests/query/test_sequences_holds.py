"""When a sequence holds: streams, roles, distances, what must not be between, keys, what must not follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.query.acts import NAMES, act, how_many, run, store_of_acts, store_of_runs, who
from tests.query.asking import column, last_first, store_of
from tests.query.forked import both, forked_deals
from tests.stories import deal


def test_a_stream_is_what_an_agent_did_or_got(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, act(1, "alice", "offer", "bob"), act(2, "bob", "counter", "alice carol"))
    assert who(store, "did offer then got counter") == ["alice"]
    assert who(store, "got offer then counter") == ["bob"]
    assert who(store, "saw offer then saw counter") == ["alice", "bob"]
    assert who(store, "got counter") == ["alice", "carol"]
    assert who(store, "got counter then got offer") == []


def test_what_an_agent_sends_to_itself_is_one_event_that_it_did_and_got(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, act(1, "alice", "note", "alice"), act(2, "bob", "note", "bob carol"))
    assert who(store, "did note then got note") == []
    assert who(store, "got note") == ["alice", "bob", "carol"]
    assert how_many(store, "saw note") == 1
    two = store_of_acts(tmp_path / "two", act(1, "alice", "note", "alice"), act(2, "alice", "note", "alice"))
    assert who(two, "did note then got note") == ["alice"]
    assert who(two, "got note then got note within 1 events") == ["alice"]


def test_events_of_one_time_are_told_apart_by_seq(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, act(1, "alice", "a"), act(1, "alice", "b"))
    assert who(store, "did a then within 0s b") == ["alice"]
    assert who(store, "did b then a") == []


def test_sequences_never_cross_runs(tmp_path: Path) -> None:
    store = store_of_runs(tmp_path, run(act(1, "alice", "a")), run(act(2, "alice", "b"), number=2))
    assert who(store, "did a then b") == []
    assert column(store, "simulations where did a then b", "id") == []


def test_streams_of_simulations_goals_and_conversations(tmp_path: Path) -> None:
    store = store_of(tmp_path, deal())
    assert column(store, "simulations where did offer then counter then note.all", "id") == ["r1"]
    # the offer is under the goal "ask", which is nested in "close_deal"
    assert column(store, "goals where did goal.started then offer then goal.succeeded", "name") == ["ask"]
    assert column(store, "goals where did goal.started then message.sent", "name") == ["close_deal"]
    assert column(store, "conversations where did offer then counter then message.sent", "agents") == ["alice, bob"]
    assert column(store, "conversations where did note.all then event", "agents") == []


@pytest.mark.parametrize(
    ("distance", "holds"),
    [
        ("2s", True),
        ("1999999us", False),
        ("2 turns", True),
        ("1 turns", False),
        ("3 events", True),
        ("2 events", False),
    ],
)
def test_distances_include_their_bound(tmp_path: Path, distance: str, holds: bool) -> None:
    """Between alice's first and her third act: two seconds, two turns, and three events of her stream."""
    store = store_of_acts(
        tmp_path,
        act(1, "alice", "a"),
        act(2, "alice", "x"),
        act(2, "bob", "x", "alice"),
        act(2, "bob", "x", "carol"),
        act(3, "alice", "b"),
    )
    assert who(store, f"did a then within {distance} b") == ["alice"] * holds
    assert who(store, f"did a then b within {distance}") == ["alice"] * holds


def test_turns_are_counted_by_the_agent_that_looks(tmp_path: Path) -> None:
    store = store_of_acts(
        tmp_path,
        act(1, "bob", "x"),
        act(2, "bob", "x"),
        act(3, "bob", "offer", "alice carol"),  # bob's turn 3, before alice has begun any
        act(4, "alice", "y"),
        act(5, "bob", "offer", "alice carol"),  # in alice's turn 1
    )
    assert who(store, "got offer(turn = 0)") == ["alice", "carol"]
    assert who(store, "got offer(turn = 1)") == ["alice"]
    assert who(store, "did offer(turn = 3)") == ["bob"]
    assert who(store, "got offer then within 0 turns got offer") == ["carol"]
    assert who(store, "got offer as o then got offer(turn = o.turn + 1)") == ["alice"]
    assert column(store, "events offer where turn = 3", "id") == ["r1:7"]


def test_windows_of_turns_reach_over_events_of_others(tmp_path: Path) -> None:
    """Bob's third turn lies between alice's first and second: it does not count."""
    acts = [act(0, "bob", "y"), act(1, "bob", "y"), act(2, "alice", "a", n=1), act(3, "bob", "x", "alice", k=1)]
    store = store_of_acts(tmp_path, *acts, act(4, "alice", "b", n=1), act(5, "bob", "x", "alice"))
    assert who(store, "did a as o then within 1 turns b(.n = o.data.n) without got reject") == ["alice"]
    assert who(store, "did a as o then within 1 turns b(.n = o.data.n) without got x") == []
    assert who(store, "did a as o then b(.n = o.data.n) then got x within 1 turns") == ["alice"]
    assert who(store, "did a then got x(.k = 1) then no did b within 0 turns") == ["alice"]
    assert who(store, "did a then got x(.k = 1) then no did b within 1 turns") == []


def test_repeated_steps_may_have_others_between_them(tmp_path: Path) -> None:
    store = store_of_acts(
        tmp_path, act(1, "alice", "a", n=1), act(2, "alice", "x"), act(3, "alice", "a", n=2), act(9, "alice", "a", n=3)
    )
    assert who(store, "did a 3 times") == ["alice"]
    assert who(store, "did a at least 3 times") == ["alice"]
    assert who(store, "did a 4 times") == []
    assert how_many(store, "did a 2 times") == 1
    assert who(store, "did a 2 times within 2s") == ["alice"]
    assert who(store, "did a 2 times within 1s") == []


def test_the_gap_before_a_repeated_step_is_to_its_first_event(tmp_path: Path) -> None:
    store = store_of_acts(
        tmp_path, act(0, "alice", "s"), act(1, "alice", "a"), act(10, "alice", "a"), act(11, "alice", "a")
    )
    assert who(store, "did s then within 1s a 2 times") == ["alice"]
    assert who(store, "did s then within 1s a 3 times") == ["alice"]
    assert who(store, "did s then within 1s a 4 times") == []
    assert who(store, "did s then within 999ms a 2 times") == []
    rows = store.query("agents | match s then within 1s a 2 times | select start, end").rows()
    assert rows == [{"start": 0, "end": 10_000_000}]


def test_a_repeated_step_is_named_after_its_last_event(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, act(1, "alice", "a", n=1), act(2, "alice", "a", n=2), act(3, "alice", "b", n=2))
    assert who(store, "did a 2 times as two then b(.n = two.data.n)") == ["alice"]
    assert who(store, "did a 2 times as two then b(.n > two.data.n)") == []


def test_without_is_strictly_between_and_includes_the_steps_in_between(tmp_path: Path) -> None:
    acts = [act(1, "alice", "a"), act(2, "alice", "b"), act(3, "bob", "x", "alice"), act(4, "alice", "c")]
    store = store_of_acts(tmp_path, *acts)
    assert who(store, "did a then b without x") == ["alice"]
    assert who(store, "did a then c without x") == []
    assert who(store, "did a then c without did x") == ["alice"]
    assert who(store, "did a then c without (a or c)") == ["alice"]
    assert who(store, "did a then b then c without b") == []


def test_without_may_name_the_steps(tmp_path: Path) -> None:
    acts = [act(1, "alice", "a", n=1), act(2, "alice", "x", n=2), act(3, "alice", "b", n=2)]
    store = store_of_acts(tmp_path, *acts)
    assert who(store, "did a as first then b without x(.n = first.data.n)") == ["alice"]
    assert who(store, "did a then b as last without x(.n = last.data.n)") == []


# -- with same -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "holds"),
    [
        (3, 3.0, True),
        (True, 1, False),
        ("3", 3, False),
        ([1, {"a": 1}], [1.0, {"a": 1, "b": None}], True),
        ("x", "x", True),
        (2**70, 2**70, True),
        (None, None, False),
        (float("nan"), float("nan"), False),
    ],
)
def test_a_key_has_one_present_value_on_every_step(tmp_path: Path, one: Any, other: Any, holds: bool) -> None:
    store = store_of_acts(tmp_path, act(1, "alice", "a", k=one), act(2, "alice", "b", k=other))
    assert who(store, "did a then b with same .k") == ["alice"] * holds


def test_everything_is_read_on_the_stream_of_one_value(tmp_path: Path) -> None:
    store = store_of_acts(
        tmp_path,
        act(1, "alice", "a", k=1),
        act(2, "alice", "x", k=2),
        act(3, "alice", "x"),
        act(4, "alice", "b", k=1),
    )
    assert who(store, "did a then b without x") == []
    assert who(store, "did a then b with same .k without x") == ["alice"]
    assert who(store, "did a then within 1 events b with same .k") == ["alice"]
    assert who(store, "did a then within 1 events b") == []
    assert who(store, "did a then no x with same .k") == ["alice"]
    assert who(store, "did a then no x") == []


def test_a_key_may_be_the_turn_of_the_agent_that_looks(tmp_path: Path) -> None:
    acts = [act(1, "alice", "a"), act(2, "bob", "y"), act(3, "bob", "x", "alice"), act(4, "alice", "a")]
    store = store_of_acts(tmp_path, *acts)
    assert who(store, "did a then got x with same turn") == ["alice"]
    assert who(store, "did x then a with same turn") == []
    assert who(store, "did a then no did x within 1 events with same turn") == ["alice"]


def test_a_broadcast_is_in_the_stream_of_each_of_its_peers(tmp_path: Path) -> None:
    store = store_of_acts(
        tmp_path,
        act(1, "alice", "offer", "bob carol"),
        act(2, "bob", "counter", "alice"),
        act(3, "carol", "counter", "alice"),
        act(4, "alice", "accept", "carol"),
    )
    sequence = "did offer then got counter then accept with same peer"
    assert who(store, sequence) == ["alice"]
    assert how_many(store, "did offer then got counter with same peer") == 2
    assert how_many(store, "did offer then got counter") == 1
    assert column(store, "agents | match offer as o then got counter as c with same peer", "c") == ["r1:6", "r1:7"]
    assert who(store, "did offer then accept with same (peer, kind)") == []


def test_a_key_that_two_receivers_share_counts_an_event_once(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, act(1, "alice", "offer", "bob carol"), act(2, "alice", "offer", "bob carol"))
    assert how_many(store, "did offer then offer with same peer.role") == 1
    assert how_many(store, "did offer with same peer.role") == 2


# -- then no -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "holds"),
    [
        ("", False),
        (" within 2s", False),
        (" within 1999ms", True),
        (" within 2 events", False),
        (" within 1 events", True),
        (" within 2 turns", False),
        (" within 1 turns", True),
    ],
)
def test_nothing_may_follow_within_the_window(tmp_path: Path, window: str, holds: bool) -> None:
    acts = [act(1, "alice", "a"), act(2, "alice", "y"), act(3, "alice", "x"), act(9, "alice", "y")]
    store = store_of_acts(tmp_path, *acts)
    assert who(store, f"did a then no x{window}") == ["alice"] * holds


def test_what_must_not_follow_may_name_the_steps(tmp_path: Path) -> None:
    acts = [act(1, "alice", "a", n=1), act(2, "alice", "a", n=2), act(3, "alice", "x", n=2)]
    store = store_of_acts(tmp_path, *acts)
    assert column(store, "agents | match a as o then no x(.n = o.data.n)", "o") == ["r1:5"]


@pytest.mark.parametrize(
    ("window", "is_open"),
    [
        ("", True),
        (" within 1s", False),
        (" within 2s", True),  # the newest event of the run is 2 s behind: one of the same time may still come
        (" within 1 turns", False),
        (" within 2 turns", True),
        (" within 2 events", False),
        (" within 3 events", True),
    ],
)
def test_while_a_run_goes_on_a_match_is_open_until_its_window_has_closed(
    tmp_path: Path, window: str, is_open: bool
) -> None:
    acts = [act(1, "alice", "a"), act(2, "alice", "y"), act(3, "alice", "y")]
    going, ended = store_of_acts(tmp_path / "1", *acts, ends=False), store_of_acts(tmp_path / "2", *acts)
    query = f"agents where did a then no x{window}"
    said = f"1 agent has an open match, in a run that goes on: did a then no x{window}"
    assert column(ended, query, "id") == ["alice"]
    assert said not in ended.query(query).notices
    assert column(going, query, "id") == ([] if is_open else ["alice"])
    assert (said in going.query(query).notices) == is_open
    assert how_many(going, f"did a then no x{window}") == (0 if is_open else 1)


def test_a_match_that_is_broken_already_is_not_open(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, act(1, "alice", "a"), act(2, "alice", "x"), ends=False)
    assert store.query("agents where did a then no x").notices == []


# -- where they may stand --------------------------------------------------------------------------------


def test_sequences_stand_in_quantifiers_functions_selects_and_aggregates(tmp_path: Path) -> None:
    store = store_of_runs(
        tmp_path,
        run(act(1, "alice", "a"), act(2, "alice", "b"), act(3, "alice", "a"), act(4, "alice", "b")),
        run(act(1, "bob", "a"), act(2, "bob", "b"), number=2),
        run(act(1, "bob", "b"), act(2, "bob", "a"), number=3),
    )
    assert column(store, "simulations where any agent (did a then b)", "id") == ["r1", "r2"]
    assert column(store, "simulations where no agent (role = seller and did a then b)", "id") == ["r1", "r3"]
    assert store.query("agents | sum(count(did a then b)) as n, count(did a then b) as agents").rows() == [
        {"n": 3, "agents": 2}
    ]
    assert column(store, 'agents | select if(did a then b, "yes", "no") as x | where x = "yes"', "x") == ["yes"] * 2
    assert column(store, "agents where not did event | select id", "id") == []
    assert store.query("agents where did a then b | count by role").rows() == [
        {"role": "buyer", "count": 1},
        {"role": "seller", "count": 1},
    ]


def test_a_condition_may_look_at_the_row_and_at_rows_further_out(tmp_path: Path) -> None:
    acts = [act(1, "alice", "a", n=1), act(2, "bob", "a", n=2)]
    store = store_of_runs(tmp_path, run(*acts), run(*acts, number=2))
    assert who(store, "did a(role = $role)", role="buyer") == ["alice", "alice"]
    assert column(store, "agents as me where did a(role = me.role and me.id = alice)", "id") == ["alice", "alice"]
    query = "simulations as s where any agent (id = bob and did a(.n = s.seed))"
    assert column(store, query, "id") == ["r2"]
    assert column(store, "simulations as s where did a(.n = s.seed) then a(.n > s.seed)", "id") == ["r1"]


def test_a_step_may_be_one_event_by_its_id(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, act(1, "alice", "a"), act(2, "alice", "a"), act(3, "alice", "b"))
    assert column(store, 'agents | match event "r1:5" as a then b', "a") == ["r1:5"]
    assert who(store, 'did event "r1:05"') == []
    assert who(store, 'did event "r2:5"') == []


def test_forks_have_the_events_they_share(tmp_path: Path) -> None:
    queries = [
        "agents where did offer then got counter",
        "agents | match event as a then got event as b with same peer",
        "simulations | funnel offer then counter then accept within 6 events",
        "goals where did event 2 times",
        "conversations | match event as o then event(agent = o.to) as r",
        "agents | select id, count(saw event then no saw event within 1s) as n",
    ]
    shared, copied = both(tmp_path, forked_deals())
    for query in queries:
        assert shared.query(query).rows() == copied.query(query).rows()
        assert shared.query(query).rows()


def test_a_limit_may_be_as_large_as_a_number_can_be(tmp_path: Path) -> None:
    most = 2**63 - 1
    acts = [act(1, "alice", "a", x=1), act(2, "bob", "b", "alice"), act(3, "alice", "c", x=1)]
    store = store_of_acts(tmp_path, *acts, ends=False)
    for unit in ("turns", "events"):
        assert who(store, f"did a then within {most} {unit} c") == ["alice"]
        assert who(store, f"did a as o then within {most} {unit} c(.x = o.data.x)") == ["alice"]
        assert who(store, f"did a as o then within {most} {unit} c(.x >= o.data.x)") == ["alice"]
        assert who(store, f"did a then no z within {most} {unit}") == []  # the run goes on: open


def test_an_event_is_named_by_any_text(tmp_path: Path) -> None:
    store = store_of_acts(tmp_path, act(1, "alice", "a"))
    assert who(store, 'did event "r1:5"') == ["alice"]
    for id in ("r1:05", "r1:+5", "r1:0", "r1:", "r1", "", f"r1:{'5' * 5_000}"):
        assert who(store, "did event $id", id=id) == []


def test_batches_of_a_scan_may_be_done_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acts = [act(i, NAMES[i % 2], "b" if i % 5 == 4 else "a", NAMES[1 - i % 2]) for i in range(40)]
    store = store_of(tmp_path, run(*acts), block_events=5)
    asked = "agents | match did a then got b | select id, start, end"
    expected = store.query(asked).rows()
    assert len(expected) == 8
    monkeypatch.setattr("matrix.query.engine.scan.QUERY_BATCH_EVENTS_MAX", 1)
    monkeypatch.setattr("matrix.query.engine.scan.in_order", last_first)
    assert store.query(asked).rows() == expected
