"""Causes, cuts of the log and shapes, rule by rule, in plain Python."""

from __future__ import annotations

from matrix.event import Event
from matrix.query.check import check
from matrix.testing.naive import evaluate
from tests.query.forked import forked_deals
from tests.testing.moves import SECOND, do, ids, rows, run


def chained(*, is_running: bool = False) -> list[Event]:
    """An offer is answered twice, and one answer leads to a failure under a goal."""
    return run(
        do("ann", "goal.started", goal=5, name="deal"),
        do("ann", "offer", "bob", at=1, goal=5, cause=5, text="lamp?"),  # 6
        do("bob", "counter", "ann", at=2, cause=6, price=3),  # 7
        do("cat", "note", at=2, cause=6),  # 8
        do("ann", "tool.failed", at=3, goal=5, cause=7, tool="search"),  # 9
        do("ann", "goal.failed", at=4, goal=5, cause=9, reason="search"),  # 10
        is_running=is_running,
    )


# -- causes -----------------------------------------------------------------------------------------------


def test_caused_by_looks_at_all_proper_ancestors_and_led_to_at_all_descendants() -> None:
    assert ids("events where caused by offer", chained()) == ["r1:7", "r1:8", "r1:9", "r1:10"]
    assert ids("events where directly caused by offer", chained()) == ["r1:7", "r1:8"]
    assert ids("events where caused by offer within 2 steps", chained()) == ["r1:7", "r1:8", "r1:9"]
    assert ids("events where led to goal.failed", chained()) == ["r1:5", "r1:6", "r1:7", "r1:9"]
    assert ids("events where directly led to (note or tool.failed)", chained()) == ["r1:6", "r1:7"]
    assert ids('events where caused by event "r1:7"', chained()) == ["r1:9", "r1:10"]
    assert ids('messages where led to event "r1:10"', chained()) == ["r1:6", "r1:7"]


def test_conditions_on_causes_may_speak_of_the_row() -> None:
    assert ids("events as e where caused by offer(agent = e.agent)", chained()) == ["r1:9", "r1:10"]


def test_a_goals_causes_are_those_of_its_end_or_while_it_runs_of_its_beginning() -> None:
    assert ids("goals where caused by tool.failed", chained()) == ["r1:5"]
    running = [event for event in chained(is_running=True) if event.kind != "goal.failed"]
    assert ids("goals where caused by tool.failed", running) == []
    assert ids("goals where led to tool.failed", running) == ["r1:5"]


def test_a_cause_that_is_not_there_ends_the_chain() -> None:
    events = run(do("ann", "offer", cause=99), do("ann", "note", cause=5))
    assert ids("events where caused by event", events) == ["r1:6"]


def test_causes_and_effects_are_rows_with_depth_and_origin() -> None:
    found = rows("events goal.failed | causes | select id, depth, origin", chained())
    assert [tuple(row.values()) for row in found] == [
        ("r1:5", 4, "r1:10"),
        ("r1:6", 3, "r1:10"),
        ("r1:7", 2, "r1:10"),
        ("r1:9", 1, "r1:10"),
    ]
    found = rows("events tool.failed, note | causes within 2 steps | select id, depth, origin", chained())
    assert [tuple(row.values()) for row in found] == [
        ("r1:5", 2, "r1:8"),
        ("r1:6", 1, "r1:8"),
        ("r1:6", 2, "r1:9"),
        ("r1:7", 1, "r1:9"),
    ]
    found = rows("events offer | effects within 1 steps | select id, depth, origin", chained())
    assert [tuple(row.values()) for row in found] == [("r1:7", 1, "r1:6"), ("r1:8", 1, "r1:6")]


# -- as of --------------------------------------------------------------------------------------------------


def test_a_moment_cuts_the_log_and_all_is_as_if_that_were_the_whole() -> None:
    assert ids("events as of 2s where seq > 5", chained()) == ["r1:6", "r1:7", "r1:8"]
    assert rows("goals as of 3.5s | select status, duration, steps, reason", chained()) == [
        {"status": "running", "duration": 3 * SECOND, "steps": 1, "reason": None}
    ]
    assert rows("simulations as of 3s | select status, end", chained()) == [{"status": "running", "end": None}]
    assert rows("conversations as of 1s | select messages", chained()) == [{"messages": 1}]


def test_a_cut_by_the_clock_or_at_an_event() -> None:
    assert len(ids("events as of @1970-01-01T00:00:01Z", chained())) == 6
    assert len(ids('events as of event "r1:7"', chained())) == 7
    other = run(do("ann", "offer"), id="r2", number=2)
    assert ids('simulations as of event "r1:7"', chained(), other) == ["r1"]
    assert ids('simulations as of event "r1:70"', chained(), other) == []
    assert ids("agents as of event 'r1:3'", chained()) == ["ann", "bob"]


def test_a_cut_at_a_turn_keeps_each_agents_events_up_to_its_own() -> None:
    events = run(
        do("ann", "offer", turn=1),  # 5
        do("", "state.changed"),  # 6
        do("ann", "accept", turn=2),  # 7
        do("", "state.changed"),  # 8
        do("bob", "counter", turn=1, cause=7),  # 9
    )
    assert ids("events as of turn 1", events) == [f"r1:{seq}" for seq in (1, 2, 3, 4, 5, 6, 9)]
    assert ids("events as of turn 1 where cause missing and seq = 9", events) == ["r1:9"]
    assert len(ids("events as of turn 2", events)) == 10


def test_an_agents_state_is_what_it_was() -> None:
    events = run(do("ann", "state.changed", at=1, budget=9), do("ann", "state.changed", at=2, budget=12))
    assert rows("agents as of 1s where .budget < 10 | select id, .budget", events) == [{"id": "ann", "budget": 9}]
    assert ids("agents where .budget < 10", events) == []


# -- shapes -------------------------------------------------------------------------------------------------


def test_a_chat_is_a_conversation_as_each_of_its_agents_has_it() -> None:
    events = run(
        do("ann", "message.sent", "bob", text="hello"),
        do("bob", "counter", "ann", price=3, item="é"),
        do("bob", "accept", "ann"),
    )
    found = rows("conversations | as chat", events)
    assert [(row["conversation"], row["agent"]) for row in found] == [("r1/ann+bob", "ann"), ("r1/ann+bob", "bob")]
    assert found[0]["messages"] == [
        {"role": "assistant", "name": "ann", "content": "hello"},
        {"role": "user", "name": "bob", "content": 'counter {"price":3,"item":"é"}'},
        {"role": "user", "name": "bob", "content": "accept"},
    ]
    assert [message["role"] for message in found[1]["messages"]] == ["user", "assistant", "assistant"]


def test_a_chat_has_the_agents_that_the_pipeline_went_through_last() -> None:
    events = run(do("ann", "offer", "bob"), do("ann", "offer", "cat"), do("", "message.sent", "cat", text="rules"))

    def agents(query: str) -> list[str]:
        return [f"{row['conversation']} {row['agent']}" for row in rows(f"{query} | as chat", events)]

    assert agents("agents where role = seller | conversations") == ["r1/ann+bob bob", "r1/ann+cat cat", "r1/cat cat"]
    assert agents("agents where id = ann | goals | agents | conversations") == []
    assert agents("agents where id = ann | messages | conversations") == ["r1/ann+bob ann", "r1/ann+cat ann"]
    assert agents("messages where to = bob | conversations") == ["r1/ann+bob ann", "r1/ann+bob bob"]
    [row] = rows("agents where id = cat | conversations where id = 'r1/cat' | as chat", events)
    assert row["messages"] == [{"role": "system", "name": None, "content": "rules"}]


def test_a_tree_draws_events_under_their_nearest_ancestors() -> None:
    found = rows("events where seq in (5, 6, 8, 9, 10, 11) | as tree", chained())
    assert [(row["tree"], row["parent"], row["level"], row["agent"]) for row in found] == [
        ("goal.started", None, 0, "ann"),
        ("└─ offer", "r1:5", 1, "ann"),
        ("   ├─ note", "r1:6", 2, "cat"),
        ("   └─ tool.failed", "r1:6", 2, "ann"),
        ("      └─ goal.failed", "r1:9", 3, "ann"),
        ("simulation.finished", None, 0, None),
    ]
    assert list(found[0]) == ["tree", "id", "parent", "level", "agent", "time", "data"]


def test_a_timeline_has_lanes_in_the_order_they_start() -> None:
    found = rows("events where seq in (7, 8, 9, 10) | sort seq desc | as timeline", chained())
    assert [(row["lane"], row["what"], row["start"]) for row in found] == [
        ("cat", "note", 2 * SECOND),
        ("bob", "counter", 2 * SECOND),
        ("ann", "tool.failed", 3 * SECOND),
        ("ann", "goal.failed", 4 * SECOND),
    ]
    assert rows("goals | as timeline", chained()) == [
        {"simulation": "r1", "lane": "ann", "what": "deal", "start": 0, "end": 4 * SECOND, "status": "failed"}
    ]
    assert rows("conversations | as timeline", chained()) == [
        {
            "simulation": "r1",
            "lane": "ann, bob",
            "what": "conversation",
            "start": SECOND,
            "end": 2 * SECOND,
            "status": None,
        }
    ]


def test_a_fork_cut_before_it_was_forked_is_what_its_events_say() -> None:
    shards = forked_deals()
    assert [row["id"] for row in evaluate(check("simulations"), shards)] == ["r1", "cheap", "early", "dear"]
    assert [row["id"] for row in evaluate(check("simulations as of 0s"), shards)] == ["r1", "r1", "r1", "r1"]
    assert [row["id"] for row in evaluate(check('simulations as of event "dear:12"'), shards)] == ["dear"]
