"""The rows that a hand-made story has, by the conventions of the log: literal expectations."""

from __future__ import annotations

import pytest

from matrix.testing.reach import reached
from matrix.testing.telling import Telling
from matrix.testing.world import Duration, Time, World
from tests.stories import SECOND, deal


@pytest.fixture
def running() -> World:
    return World({1: deal()})


def test_a_running_simulation_has_no_end_and_lasts_to_its_newest_event(running: World) -> None:
    (simulation,) = running.rows("simulations")
    assert simulation.fields == {
        "id": "r1",
        "name": "market",
        "status": "running",
        "seed": 7,
        "start": Time(1_000),
        "end": None,
        "duration": Duration(3 * SECOND),
        "took": None,
        "parent": None,
        "data": {"buyers": 2, "parameters": {"buyers": 2}},
    }


def test_an_agent_knows_its_newest_goal_and_state(running: World) -> None:
    alice = running.rows("agents")[0].fields
    assert alice["goal"].fields["name"] == "ask"
    assert alice["data"] == {"budget": 9}
    assert (alice["status"], alice["end"], alice["duration"], alice["turns"]) == (
        "running",
        None,
        Duration(3 * SECOND),
        2,
    )


def test_a_goals_steps_include_those_of_goals_nested_in_it(running: World) -> None:
    outer, inner = running.rows("goals")
    assert (outer.fields["steps"], inner.fields["steps"]) == (2, 1)
    assert (outer.fields["turns"], inner.fields["turns"]) == (2, 1)
    assert inner.fields["parent"] is outer
    assert (inner.fields["reason"], inner.fields["data"]) == ("asked", {"points": 3})
    assert (outer.fields["status"], inner.fields["status"]) == ("running", "succeeded")


def test_messages_between_the_same_agents_are_one_conversation(running: World) -> None:
    pair, group = running.rows("conversations")
    assert (pair.fields["id"], group.fields["id"]) == ("r1/alice+bob", "r1/alice+bob+carol")
    assert (pair.fields["messages"], pair.fields["turns"]) == (3, 3)
    assert (pair.fields["agents"], pair.fields["duration"]) == ("alice, bob", Duration(2 * SECOND))


def test_a_message_answers_one_that_came_from_whom_it_goes_to(running: World) -> None:
    answers = {thing.fields["seq"]: thing.fields["reply_to"] for thing in running.rows("messages")}
    assert answers == {7: None, 10: "r1:7", 11: "r1:10", 13: "r1:11"}


def test_events_point_to_the_newest_state_of_the_simulation(running: World) -> None:
    events = running.rows("events")
    assert events[7].fields["state"] is None
    assert events[9].fields["state"].id == "r1:9"


@pytest.mark.parametrize(
    ("status", "agents"), [("finished", "finished"), ("failed", "cancelled"), ("stopped", "cancelled")]
)
def test_agents_that_wait_when_their_simulation_ends_end_with_it(status: str, agents: str) -> None:
    telling = Telling(simulation=1, wall=0)
    telling.start({})
    telling.spawn(0, None, "alice")
    telling.time = 5
    telling.finish(status, {"reason": "quiescent"})
    world = World({2: telling.events})
    alice = world.rows("agents")[0].fields
    assert (alice["status"], alice["end"], alice["role"], alice["turns"]) == (agents, Duration(5), None, 0)
    simulation = world.rows("simulations")[0].fields
    assert (simulation["id"], simulation["took"], simulation["data"]["reason"]) == ("2-1", Duration(5), "quiescent")


def test_a_running_goal_inside_a_finished_one_is_counted_when_nothing_was_recorded() -> None:
    telling = Telling(simulation=1, wall=0)
    telling.start({})
    telling.spawn(0, None, "alice")
    telling.agents[1].turn = 4
    telling.begin_goal(1, "win", {})
    telling.emit(1, "offer", {})
    telling.emit(1, "note", {})
    telling.agents[1].turn = 6
    telling.end_goal(1, "failed", {"reason": "timeout"})
    goal = World({1: telling.events}).rows("goals")[0].fields
    assert (goal["steps"], goal["turns"], goal["reason"]) == (1, 3, "timeout")


@pytest.mark.parametrize(
    ("origin", "relation", "expected"),
    [
        ("alice", "goals", ["r1:5", "r1:6"]),
        ("alice", "messages", ["r1:7", "r1:10", "r1:11", "r1:13"]),
        ("alice", "events", ["r1:2", "r1:5", "r1:6", "r1:7", "r1:8", "r1:11", "r1:12"]),
        ("carol", "conversations", ["r1/alice+bob+carol"]),
        ("r1:6", "events", ["r1:6", "r1:7", "r1:8"]),
        ("r1:6", "agents", ["alice"]),
        ("r1:10", "agents", ["bob"]),
        ("r1:10", "goals", []),
        ("r1/alice+bob", "agents", ["alice", "bob"]),
        ("r1/alice+bob", "goals", ["r1:5", "r1:6"]),
        ("r1", "messages", ["r1:7", "r1:10", "r1:11", "r1:13"]),
    ],
)
def test_rows_are_reached_as_the_table_says(running: World, origin: str, relation: str, expected: list[str]) -> None:
    things = [
        thing
        for kind in ("simulations", "agents", "goals", "messages", "conversations")
        for thing in running.rows(kind)
        if thing.id == origin
    ]
    assert [thing.id for thing in reached(running, things[0], relation)] == expected
