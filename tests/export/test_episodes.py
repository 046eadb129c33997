"""Episodes: steps of observation, action and reward, for each goal of an agent."""

from __future__ import annotations

from typing import Any

import pytest

from matrix.export.contract import Counts
from tests.export.told import Talk, exported, stored


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def steps(row: dict[str, Any]) -> list[tuple[Any, Any, float]]:
    return [(step["observation"], step["action"], step["reward"]) for step in row["steps"]]


def shop() -> Talk:
    return Talk(seed=7).agent("ann", "buyer").agent("sam", "seller").agent("tom", "seller")


def test_a_goal_is_an_episode_with_its_reward_at_the_last_step(tmp_path):
    talk = shop()
    goal = talk.goal("ann", "buy")
    first = talk.says("ann", "40?", "sam")
    talk.says("sam", "No.", "ann")
    talk.says("tom", "50!", "ann")
    second = talk.says("ann", "50 it is.", "tom")
    talk.says("tom", "Here.", "ann")
    end = talk.ends(goal, reason="done")
    (row,) = exported(stored(tmp_path, talk), "agents where id = ann", "episodes")
    assert steps(row) == [([], said("40?"), 0.0), ([user("No."), user("50!")], said("50 it is."), 1.0)]
    assert [(step["seq"], step["time"]) for step in row["steps"]] == [(first, 1_000_000), (second, 4_000_000)]
    assert [(step["terminated"], step["truncated"]) for step in row["steps"]] == [(False, False), (True, False)]
    assert row["final_observation"] == [user("Here.")]
    assert (row["reward"], row["terminated"], row["truncated"]) == (1.0, True, False)
    assert (row["goal"], row["name"], row["outcome"], row["reason"]) == (goal, "buy", "succeeded", "done")
    assert (row["first_seq"], row["last_seq"], row["parent_goal"]) == (goal, end, None)
    assert (row["simulation"], row["agent"], row["role"], row["seed"], row["family"]) == ("t1", "ann", "buyer", 7, "t1")


@pytest.mark.parametrize(
    ("status", "data", "reward", "terminated", "truncated"),
    [
        ("succeeded", {}, 1.0, True, False),
        ("failed", {}, 0.0, True, False),
        ("failed", {"reason": "timeout"}, 0.0, False, True),
        ("failed", {"reason": "max_steps", "reward": 0.25}, 0.25, False, True),
        ("cancelled", {}, 0.0, False, True),
        ("cancelled", {"reward": -1}, -1.0, False, True),
        ("succeeded", {"reward": 7}, 7.0, True, False),
        ("succeeded", {"reward": "much"}, 1.0, True, False),
        ("running", {}, 0.0, False, True),
    ],
)
def test_how_a_goal_ends_is_told_as_gymnasium_does(tmp_path, status, data, reward, terminated, truncated):
    talk = shop()
    goal = talk.goal("ann", "buy")
    talk.says("ann", "40?", "sam")
    if status != "running":
        talk.ends(goal, status, **data)
    (row,) = exported(stored(tmp_path, talk), "goals", "episodes")
    assert (row["reward"], row["terminated"], row["truncated"]) == (reward, terminated, truncated)
    assert (row["steps"][-1]["reward"], row["outcome"]) == (reward, status)


def test_goals_inside_bring_their_rewards_at_their_own_ends(tmp_path):
    talk = shop()
    outer = talk.goal("ann", "buy")
    talk.says("ann", "Hello", "sam")
    inner = talk.goal("ann", "haggle")
    talk.says("ann", "40?", "sam")
    talk.ends(inner, reward=0.5)
    talk.says("ann", "Deal.", "sam")
    talk.ends(outer)
    whole, part = exported(stored(tmp_path, talk), "agents where id = ann", "episodes")
    assert [step["reward"] for step in whole["steps"]] == [0.0, 0.5, 1.0] and whole["reward"] == 1.5
    assert steps(part) == [([], said("40?"), 0.5)] and part["parent_goal"] == outer
    (alone,) = exported(tmp_path / "store", "goals where name = haggle", "episodes")
    assert alone["goal"] == inner


def test_what_was_seen_before_a_goal_belongs_to_its_first_step(tmp_path):
    talk = shop()
    talk.says("sam", "Lamps!", "ann")
    goal = talk.goal("ann", "buy")
    talk.says("ann", "40?", "sam")
    talk.ends(goal)
    (row,) = exported(stored(tmp_path, talk), "goals", "episodes")
    assert steps(row) == [([user("Lamps!")], said("40?"), 1.0)]


def test_events_to_nobody_and_calls_are_actions_and_answers_are_seen(tmp_path):
    talk = shop()
    talk.emits("ann", "order", unit="A PAR", to_="BUR")
    call = talk.calls("ann", "look", "c1", where="BUR")
    talk.answers("ann", "look", "c1", "taken")
    talk.emits("ann", "note", text="hm")
    talk.says("ann", "Yours.", "sam")
    talk.says("tom", "All mine!", "ann sam")
    (row,) = exported(stored(tmp_path, talk), "agents where id = ann", "episodes")
    function = {"name": "look", "arguments": '{"where": "BUR"}'}
    called = {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]}
    assert steps(row) == [
        ([], said('{"kind": "order", "data": {"unit": "A PAR", "to_": "BUR"}}'), 0.0),
        ([], called, 0.0),
        ([{"role": "tool", "tool_call_id": "c1", "content": "taken"}], said("Yours."), 0.0),
    ]
    assert row["steps"][1]["seq"] == call
    assert row["final_observation"] == [user("All mine!", name="tom")]


def test_an_agent_without_goals_is_one_episode_and_who_did_nothing_none(tmp_path):
    talk, counts = shop(), Counts()
    talk.says("ann", "40?", "sam")
    goal = talk.goal("sam", "sell")
    talk.ends(goal, "failed")
    rows = exported(stored(tmp_path, talk), "agents", "episodes", counts=counts)
    assert [(row["agent"], row["goal"], row["outcome"], row["truncated"]) for row in rows] == [
        ("ann", None, "none", True)
    ]
    assert counts.as_data()["left_out"] == {
        "agents that said nothing": 1,
        "goals during which the agent did nothing": 1,
    }
    assert counts.as_data()["taken"] == {"episodes": 1, "steps": 1}
