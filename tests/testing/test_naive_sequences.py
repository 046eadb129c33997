"""Sequences by plain search, rule by rule, on streams small enough to read."""

from __future__ import annotations

import pytest

from matrix.event import Event
from tests.testing.moves import SECOND, Move, do, ids, rows, run


def matches(query: str, *moves: Move, is_running: bool = False) -> list[tuple[str, ...]]:
    """The ids of ann's named events, match by match, without the run's."""
    found = rows(f"agents where id = ann | {query} | select a.id as a, z.id as z", run(*moves, is_running=is_running))
    return [tuple(str(row[name]).removeprefix("r1:") for name in ("a", "z")) for row in found]


def has(sequence: str, *moves: Move, is_running: bool = False) -> bool:
    """Whether ann's stream has a sequence."""
    return ids(f"agents where id = ann and {sequence}", run(*moves, is_running=is_running)) == ["ann"]


# -- streams ------------------------------------------------------------------------------------------


def test_an_agent_did_its_own_events_and_got_those_that_name_it() -> None:
    events = run(do("ann", "offer", "bob", "cat"))
    assert ids("agents where did offer", events) == ["ann"]
    assert ids("agents where got offer", events) == ["bob", "cat"]
    assert ids("agents where saw offer", events) == ["ann", "bob", "cat"]


def test_an_event_to_oneself_is_one_entry_that_is_both() -> None:
    moves = [do("ann", "note.own", "ann")]
    assert has("did note.own", *moves)
    assert has("got note.own", *moves)
    assert not has("did note.own then got note.own", *moves)
    assert ids("agents where count(saw note.own) = 1", run(*moves)) == ["ann"]


def test_steps_are_strictly_in_order_of_seq_whatever_the_times_say() -> None:
    moves = [do("ann", "accept"), do("ann", "offer")]
    assert has("did accept then offer", *moves)
    assert not has("did offer then accept", *moves)


def test_the_streams_of_simulations_goals_and_conversations_are_all_of_their_events() -> None:
    events = run(
        do("ann", "goal.started", goal=5, name="deal"),
        do("ann", "offer", "bob", goal=5),
        do("ann", "goal.started", goal=7, name="inner", parent=5),
        do("ann", "note", goal=7),
        do("bob", "accept", "ann"),
        do("cat", "accept", "ann"),
    )
    assert ids("simulations where did offer then accept", events) == ["r1"]
    assert ids("goals where did offer", events) == ["r1:5"]
    assert ids("goals where did note", events) == ["r1:7"]
    assert ids("conversations where did offer then accept", events) == ["r1/ann+bob"]


def test_turns_in_a_stream_are_the_viewers_own_count() -> None:
    events = run(
        do("bob", "offer", "ann", turn=7),
        do("ann", "note", turn=1),
        do("bob", "counter", "ann", turn=9),
        do("ann", "accept", "bob", turn=3),
    )
    assert ids("agents where got offer(turn = 0)", events) == ["ann"]
    assert ids("agents where got counter(turn = 1)", events) == ["ann"]
    assert ids("agents where did counter(turn = 9)", events) == ["bob"]
    assert ids("agents where got counter then within 2 turns accept", events) == ["ann"]
    assert ids("agents where got counter then within 1 turn accept", events) == []
    assert ids("simulations where did counter(turn = 9)", events) == ["r1"]
    found = rows("agents where id = ann | match got counter as c | select c.turn as t, c.cause.turn as u", events)
    assert found == [{"t": 1, "u": None}]


def test_the_other_party_is_the_receivers_or_the_sender() -> None:
    events = run(do("ann", "offer", "bob", "cat"), do("bob", "counter", "ann"))
    assert ids("agents where did offer(peer = bob) and did offer(peer = cat)", events) == ["ann"]
    assert ids("agents where got offer(peer = ann)", events) == ["bob", "cat"]
    assert ids("simulations where did counter(peer = ann)", events) == ["r1"]


# -- distances ----------------------------------------------------------------------------------------

SPREAD = [
    do("ann", "offer", at=1, turn=1),
    do("ann", "note", at=2, turn=2),
    do("bob", "counter", "ann", at=3),
    do("ann", "accept", at=4, turn=5),
]


@pytest.mark.parametrize(
    ("modifier", "expected"),
    [("3s", True), ("2.9s", False), ("4 turns", True), ("3 turns", False), ("3 events", True), ("2 events", False)],
)
def test_distances_are_inclusive_for_a_gap_and_for_the_whole(modifier: str, expected: bool) -> None:
    assert has(f"did offer then within {modifier} accept", *SPREAD) is expected
    assert has(f"did offer then accept within {modifier}", *SPREAD) is expected
    assert has(f"did offer then note then accept within {modifier}", *SPREAD) is expected


def test_a_gap_is_from_the_step_before_only() -> None:
    assert has("did offer then note then within 2s accept", *SPREAD)
    assert not has("did offer then note then within 1s accept", *SPREAD)


def test_an_event_that_is_too_far_from_one_may_be_near_enough_to_another() -> None:
    moves = [do("ann", kind, at=at) for kind, at in (("offer", 1), ("note", 2), ("note", 9), ("accept", 10))]
    assert has("did offer then within 1s note then accept", *moves)
    assert not has("did offer then within 1s note then within 1s accept", *moves)
    repeated = [do("ann", kind, n=n) for kind, n in (("offer", 1), ("note", 1), ("note", 2), ("accept", 3))]
    assert has("did offer as o then note(.n = o.data.n) then accept", *repeated)
    assert has("did offer as o then note(.n != o.data.n) then accept", *repeated)


def test_a_repeated_step_stands_for_so_many_events_with_others_between() -> None:
    moves = [do("ann", "offer", at=at) for at in (1, 3)] + [do("ann", "note", at=4), do("ann", "offer", at=5)]
    assert has("did offer 3 times", *moves)
    assert has("did offer at least 3 times then no accept", *moves)
    assert not has("did offer 4 times", *moves)
    assert not has("did offer 10_000 times", *moves)
    assert has("did offer then within 2s offer 2 times", *moves)
    assert not has("did offer 2 times then within 1s offer", *moves)
    assert has("did offer 2 times then within 2s offer", *moves)


def test_a_name_of_a_repeated_step_is_its_last_event() -> None:
    moves = [do("ann", "offer", price=1), do("ann", "offer", price=2), do("ann", "accept", price=2)]
    assert has("did offer 2 times as o then accept(.price = o.data.price)", *moves)
    assert not has("did offer 2 times as o then accept(.price > o.data.price)", *moves)


# -- conditions between steps ---------------------------------------------------------------------------


def test_later_conditions_may_speak_of_named_steps() -> None:
    moves = [do("ann", "offer", price=5), do("ann", "offer", price=9), do("ann", "counter", price=7)]
    assert matches("match did offer as a then counter(.price < a.data.price) as z", *moves) == [("6", "7")]
    assert matches("match did offer as a then counter(.price > a.data.price) as z", *moves) == [("5", "7")]
    assert not has("did offer as o then counter(.price > o.data.price + 2)", *moves)


def test_what_must_not_lie_between_may_speak_of_all_steps() -> None:
    moves = [do("ann", "offer", n=1), do("ann", "note", n=2), do("ann", "accept", n=3)]
    assert not has("did offer as o then accept as a without note(.n < a.data.n)", *moves)
    assert has("did offer as o then accept as a without note(.n > a.data.n)", *moves)
    assert has("did offer as o then no note(.n = o.data.n)", *moves)
    assert not has("did offer as o then no note(.n = o.data.n + 1)", *moves)


def test_conditions_of_a_step_may_speak_of_the_row_and_of_rows_reached() -> None:
    events = run(do("ann", "offer", "bob", item="seller"), do("bob", "counter", "ann", item="nothing"))
    assert ids("agents as me where got offer(.item = me.role)", events) == ["bob"]
    assert ids("agents where did offer(any agent (role = buyer))", events) == ["ann"]
    assert ids("agents where did offer as o then got counter(any agent (o.data.item = role))", events) == ["ann"]


def test_sequences_nest_and_an_inner_name_hides_nothing_before_it_is_given() -> None:
    events = run(do("ann", "offer", n=1), do("ann", "note", n=1), do("ann", "note", n=2))
    query = "agents where did offer as o then note(any agent (did note(.n > o.data.n)))"
    assert ids(query, events) == ["ann"]
    query = "agents where did offer as o then note(any agent (did note(.n > o.data.n + 1)))"
    assert ids(query, events) == []


# -- without, same, absence -------------------------------------------------------------------------------


def test_without_is_strictly_between_the_ends_and_includes_the_steps_own_events() -> None:
    moves = [do("ann", "offer"), do("bob", "counter", "ann"), do("ann", "accept")]
    assert not has("did offer then accept without counter", *moves)
    assert has("did offer then accept without did counter", *moves)
    assert not has("did offer then got counter then accept without counter", *moves)
    assert has("did offer then accept without (offer or accept)", *moves)
    assert not has("did offer then accept without reject without got counter", *moves)


def test_the_same_value_on_every_step_reads_the_stream_of_that_value() -> None:
    moves = [
        do("ann", "offer", "bob"),
        do("cat", "reject", "ann"),
        do("cat", "accept", "ann"),
        do("bob", "accept", "ann"),
    ]
    assert has("did offer then got accept without reject with same peer", *moves)
    assert not has("did offer then within 1 event got accept", *moves)
    assert has("did offer then within 1 event got accept with same peer", *moves)
    assert not has("did offer then got reject with same peer", *moves)


def test_several_receivers_put_an_event_into_the_stream_of_each() -> None:
    events = run(do("ann", "offer", "bob", "cat"), do("bob", "accept", "ann"), do("cat", "accept", "ann"))
    assert ids("agents where count(did offer then got accept with same peer) = 2", events) == ["ann"]
    assert ids("agents where count(did offer then got accept) = 1", events) == ["ann"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (3, 3.0, True),
        (1, True, False),
        ("3", 3, False),
        (None, None, False),
        (float("nan"), float("nan"), False),
        ([1, {"a": 2}], [1.0, {"a": 2}], True),
        ([float("nan")], [float("nan")], False),
    ],
)
def test_keys_are_the_same_by_the_equality_of_the_language(first: object, second: object, expected: bool) -> None:
    moves = [do("ann", "offer", key=first), do("ann", "accept", key=second)]
    assert has("did offer then accept with same .key", *moves) is expected


def test_two_keys_are_the_same_together() -> None:
    moves = [do("ann", "offer", "bob", n=1), do("bob", "accept", "ann", n=2), do("cat", "accept", "ann", n=1)]
    assert has("did offer then got accept with same .n", *moves)
    assert has("did offer then got accept with same peer", *moves)
    assert not has("did offer then got accept with same (peer, .n)", *moves)


def test_a_goal_as_a_key_is_the_goals_name() -> None:
    moves = [
        do("ann", "goal.started", goal=5, name="deal"),
        do("ann", "offer", goal=5),
        do("ann", "goal.started", goal=7, name="deal"),
        do("ann", "accept", goal=7),
        do("ann", "reject"),
    ]
    assert has("did offer then accept with same goal", *moves)
    assert not has("did offer then accept with same goal.id", *moves)
    assert not has("did offer then reject with same goal", *moves)


def test_nothing_may_follow_within_the_limit() -> None:
    moves = [do("ann", "offer", at=1), do("ann", "accept", at=3), do("ann", "note", at=9)]
    assert not has("did offer then no accept", *moves)
    assert not has("did offer then no accept within 2s", *moves)
    assert has("did offer then no accept within 1s", *moves)
    assert has("did accept then no accept", *moves)
    assert not has("did offer then no did accept within 1 event", *moves)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("", False),
        (" within 3s", True),
        (" within 4s", False),
        (" within 1 turn", True),
        (" within 2 turns", False),
        (" within 2 events", True),
        (" within 3 events", False),
    ],
)
def test_an_absence_counts_on_a_running_run_only_once_its_window_has_closed(limit: str, expected: bool) -> None:
    moves = [do("ann", "offer", at=1, turn=1), do("ann", "note", at=2, turn=2), do("ann", "note", at=5, turn=3)]
    assert has(f"did offer then no accept{limit}", *moves)
    assert has(f"did offer then no accept{limit}", *moves, is_running=True) is expected


# -- matches ----------------------------------------------------------------------------------------------

THREE_OFFERS = [do("ann", "offer"), do("ann", "offer"), do("ann", "offer"), do("ann", "accept"), do("ann", "accept")]


def test_a_match_is_the_tightest_and_none_overlaps() -> None:
    assert matches("match offer as a then accept as z", *THREE_OFFERS) == [("7", "8")]
    again = [*THREE_OFFERS, do("ann", "offer"), do("ann", "accept")]
    assert matches("match offer as a then accept as z", *again) == [("7", "8"), ("10", "11")]
    assert matches("match offer as a then offer as z", *THREE_OFFERS) == [("5", "6")]


def test_a_match_is_as_late_as_possible_walking_back_from_its_end() -> None:
    moves = [do("ann", kind) for kind in ("offer", "note", "offer", "note", "accept")]
    assert matches("match offer as a then note then accept as z", *moves) == [("7", "9")]
    assert matches("match offer then note as a then offer then accept as z", *moves) == [("6", "9")]


def test_matches_with_references_go_on_behind_the_last_one() -> None:
    moves = [do("ann", "offer", n=n) for n in (1, 2)] + [do("ann", "accept", n=n) for n in (1, 2)]
    assert matches("match offer as a then accept(.n = a.data.n) as z", *moves) == [("5", "7")]


def test_matches_of_keyed_streams_are_ordered_by_their_ends() -> None:
    moves = [do("ann", "offer", n=1), do("ann", "offer", n=2), do("ann", "accept", n=2), do("ann", "accept", n=1)]
    assert matches("match offer as a then accept as z with same .n", *moves) == [("6", "7"), ("5", "8")]


def test_a_match_has_the_rows_fields_its_own_times_and_its_named_steps() -> None:
    found = rows(
        "agents where id = ann | match offer as o then accept | select id, start, end, duration, o.id as o",
        run(do("ann", "offer", at=2), do("ann", "accept", at=5)),
    )
    assert found == [{"id": "ann", "start": 2 * SECOND, "end": 5 * SECOND, "duration": 3 * SECOND, "o": "r1:5"}]
    shown = rows("agents where id = ann | match offer as o", run(do("ann", "offer", at=2)))
    assert list(shown[0])[-2:] == ["data", "o"]
    assert (shown[0]["start"], shown[0]["o"]) == (2 * SECOND, "r1:5")


def test_later_stages_read_the_steps_of_a_match() -> None:
    events = run(do("ann", "offer", "bob", at=1, price=3), do("bob", "accept", "ann", at=4, price=4))
    query = (
        "agents | match offer as o then got accept as a | where a.data.price > o.data.price | avg(a.time - o.time) as w"
    )
    assert rows(query, events) == [{"w": 3 * SECOND}]
    assert rows("agents | match offer as o then got accept as a | count by o.peer as p", events) == [
        {"p": "bob", "count": 1}
    ]


# -- funnels ----------------------------------------------------------------------------------------------


def market() -> list[Event]:
    """Ann goes all the way twice, bob to the second step, cat begins."""
    return run(
        do("ann", "offer", at=1),
        do("bob", "offer", at=2),
        do("ann", "counter", at=3),
        do("cat", "offer", at=4),
        do("bob", "counter", at=7),
        do("ann", "accept", at=8),
    )


def test_a_funnel_counts_the_rows_that_come_so_far() -> None:
    found = rows("agents | funnel offer then (counter or reject) 1 times then accept", market())
    assert [tuple(row.values()) for row in found] == [
        (1, "offer", 3, 1.0, 0),
        (2, "counter or reject", 2, 2 / 3, round(3.5 * SECOND)),
        (3, "accept", 1, 1 / 3, 7 * SECOND),
    ]


def test_the_limits_of_a_funnel_hold_for_each_prefix() -> None:
    found = rows("agents | funnel offer then counter then accept within 4s without reject", market())
    assert [row["reached"] for row in found] == [3, 1, 0]
    assert [row["median_time"] for row in found] == [0, 2 * SECOND, None]


def test_a_funnel_by_keys_has_all_steps_for_every_group_and_one_without_rows_too() -> None:
    found = rows("agents | funnel offer(seq > 5) then counter by role", market())
    assert [tuple(row.values()) for row in found] == [
        ("buyer", 1, "offer(seq > 5)", 0, None, None),
        ("buyer", 2, "counter", 0, None, None),
        ("seller", 1, "offer(seq > 5)", 2, 1.0, 0),
        ("seller", 2, "counter", 1, 0.5, 5 * SECOND),
    ]
    assert [row["reached"] for row in rows("agents where id = nobody | funnel offer then counter", market())] == [0, 0]
    assert rows("agents where id = nobody | funnel offer then counter by role", market()) == []


def test_the_absence_of_a_funnel_is_of_its_last_prefix_only() -> None:
    found = rows("agents | funnel offer then counter then no accept", market())
    assert [(row["event"], row["reached"]) for row in found] == [("offer", 3), ("counter", 1)]


def test_in_a_prefix_the_steps_to_come_are_missing() -> None:
    events = run(*(do("ann", kind) for kind in ("offer", "note", "counter", "accept")))
    found = rows(
        "agents where id = ann | funnel offer then counter then accept as c without note(c.id missing)", events
    )
    assert [row["reached"] for row in found] == [1, 0, 1]


def test_a_repeated_step_of_a_funnel_is_one_row_with_its_number() -> None:
    found = rows("agents where id = ann | funnel saw event 3 times", market())
    assert [tuple(row.values())[:3] for row in found] == [(1, "event 3 times", 1)]
