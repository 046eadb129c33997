"""tau2 files as histories: who did what, when, caused by what; nothing lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from matrix.importers import Refusal, result_text
from tests.importers.recorded import call, message


def kinds(events: list[Any]) -> list[str]:
    return [event.kind for event in events]


def test_a_conversation_becomes_a_simulation_with_agents_turns_and_a_goal(tau2, told):
    (events,) = told("tau2", tau2)
    assert kinds(events) == [
        "simulation.started", "note", "agent.started", "agent.started", "note", "goal.started",
        "message.sent", "message.sent", "tool.called", "tool.completed", "message.sent",
        "goal.succeeded", "simulation.finished",
    ]  # fmt: skip
    assert [event.seq for event in events] == list(range(1, 14))
    assert [event.agent for event in events] == [0, 0, 1, 2, 1, 1, 1, 2, 1, 1, 1, 1, 0]
    assert [event.turn for event in events] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 4, 4, 0]
    assert [event.goal for event in events] == [0, 0, 0, 0, 0, 6, 6, 0, 6, 6, 6, 6, 0]
    assert [event.to for event in events if event.kind == "message.sent"] == [(2,), (1,), (2,)]


def test_virtual_time_counts_from_the_start_and_wall_is_the_recorded_moment(tau2, told):
    (events,) = told("tau2", tau2)
    assert [event.time for event in events[6:]] == [
        500_000,
        2_000_000,
        3_000_000,
        3_250_000,
        5_000_000,
        6_000_000,
        6_000_000,
    ]
    assert {event.wall - event.time for event in events} == {1_754_049_600_000_000}  # 2025-08-01T12:00:00Z


def test_each_turn_is_caused_by_what_reached_its_agent(tau2, told):
    (events,) = told("tau2", tau2)
    assert [event.cause for event in events] == [0, 0, 1, 1, 3, 0, 3, 7, 8, 9, 10, 11, 12]


def test_the_simulation_knows_its_task_models_and_outcome(tau2, told):
    (events,) = told("tau2", tau2)
    started, finished = events[0].data, events[-1].data
    assert (started["id"], started["name"], started["seed"]) == ("sim-1", "retail", 300)
    assert (started["domain"], started["task_id"], started["trial"]) == ("retail", "t1", 0)
    assert (started["agent_model"], started["user_model"], started["file"]) == (
        "gpt-4.1",
        "gpt-4.1-mini",
        "recorded.json",
    )
    assert started["task"] == {"id": "t1", "user_scenario": {"persona": "in a hurry"}}
    assert started["info"]["git_commit"] == "b02b" and len(started["file_digest"]) == 64
    assert (finished["reward"], finished["termination"], finished["duration"]) == (1.0, "user_stop", 5.99)
    assert events[1].data == {"subject": "settings", "policy": "Be kind.", "global_simulation_guidelines": "Be brief."}


def test_the_assistant_is_briefed_as_tau2_briefs_its_agents(tau2, told):
    told_it = told("tau2", tau2)[0][4]
    assert (told_it.kind, told_it.agent, sorted(told_it.data)) == ("note", 1, ["subject", "system"])
    assert told_it.data["subject"] == "briefing"
    first, *_, last = told_it.data["system"].split("\n\n")
    assert first.startswith("<instructions>\nYou are a customer service agent that helps the user")
    assert last.endswith("generate valid JSON only.\n</instructions>\n<policy>\nBe kind.\n</policy>")


def test_an_assistant_alone_is_briefed_with_its_ticket(tau2, told):
    tau2["info"]["agent_info"]["implementation"] = "llm_agent_solo"
    tau2["tasks"][0]["ticket"] = "No signal."
    assert told("tau2", tau2)[0][4].data["system"].endswith("Be kind.\n</policy>\n<ticket>\nNo signal.\n</ticket>")


def test_an_agent_of_another_kind_is_briefed_with_the_policy_and_the_tools_of_the_file(tau2, told):
    tau2["info"]["agent_info"]["implementation"] = "my_agent"
    tools = [{"type": "function", "function": {"name": "get_order"}}]
    tau2["info"]["environment_info"]["tool_defs"] = tools
    assert told("tau2", tau2)[0][4].data == {"subject": "briefing", "system": "Be kind.", "tools": tools}


def test_signatures_of_tools_become_schemas(tau2, told):
    params = {"type": "object", "properties": {"order_id": {"type": "string"}}}
    signature = {"name": "get_order", "doc": "Look an order up.", "params": params, "returns": {"type": "object"}}
    tau2["info"]["environment_info"]["tool_defs"] = {"get_order": signature, "done": {"doc": None}}
    function = {"name": "get_order", "description": "Look an order up.", "parameters": params}
    assert told("tau2", tau2)[0][4].data["tools"] == [
        {"type": "function", "function": function},
        {"type": "function", "function": {"name": "done"}},
    ]


def test_without_policy_and_tools_nobody_is_briefed(tau2, told):
    del tau2["info"]["environment_info"]["policy"]
    assert all(event.data.get("subject") != "briefing" for event in told("tau2", tau2)[0])


def test_a_goal_counts_the_steps_and_turns_of_the_assistant(tau2, told):
    (events,) = told("tau2", tau2)
    assert events[5].data == {"name": "resolve", "task_id": "t1"}
    assert events[-2].data == {"reason": "user_stop", "steps": 3, "turns": 4, "reward": 1.0}


@pytest.mark.parametrize("reward", [0, 0.5, 0.99])
def test_any_other_reward_fails_the_goal(tau2, told, reward):
    tau2["simulations"][0]["reward_info"]["reward"] = reward
    assert told("tau2", tau2)[0][-2].kind == "goal.failed"


def test_a_simulation_without_a_reward_has_a_failed_goal_without_one(tau2, told):
    tau2["simulations"][0]["reward_info"] = None
    tau2["simulations"][0]["termination_reason"] = "too_many_errors"
    ended = told("tau2", tau2)[0][-2]
    assert (ended.kind, ended.data) == ("goal.failed", {"reason": "too_many_errors", "steps": 3, "turns": 4})


def test_a_tool_error_is_a_failed_call_with_the_text_as_result_and_error(tau2, told):
    tau2["simulations"][0]["messages"][3] |= {"error": True, "content": "Error: no such order"}
    failed = told("tau2", tau2)[0][9]
    assert (failed.kind, failed.cause) == ("tool.failed", 9)
    assert failed.data["tool"] == "get_order" and failed.data["call_id"] == "c1" and failed.data["ms"] == 250.0
    assert failed.data["result"] == failed.data["error"] == "Error: no such order"


def test_text_and_several_calls_in_one_message_are_told_in_order_and_counted_once(tau2, told):
    calls = [call("c1", "get_order", order_id=7), call("c2", "get_user")]
    tau2["simulations"][0]["messages"][2] |= {
        "content": "One moment.",
        "tool_calls": calls,
        "usage": {"prompt_tokens": 9},
    }
    (events,) = told("tau2", tau2)
    said = events[8:11]
    assert kinds(said) == ["message.sent", "tool.called", "tool.called"]
    assert [event.turn for event in said] == [2, 2, 2] and [event.cause for event in said] == [8, 8, 8]
    assert [event.data["turn_idx"] for event in said] == [2, 2, 2]
    assert [event.data.get("cost") for event in said] == [0.5, None, None]
    assert [event.data.get("role") for event in said] == ["assistant", None, None]
    assert said[0].data["usage"] == {"prompt_tokens": 9}


def test_an_empty_message_is_kept_as_a_note(tau2, told):
    tau2["simulations"][0]["messages"][1]["content"] = ""
    note = told("tau2", tau2)[0][7]
    assert (note.kind, note.agent, note.data["content"], note.data["role"]) == ("note", 2, "", "user")


def test_an_answer_belongs_to_the_first_unanswered_call_with_its_id(tau2, told):
    messages = tau2["simulations"][0]["messages"]
    messages[2]["tool_calls"] = [call("c", "first"), call("c", "second")]
    messages[3:4] = [message("tool", "1", 4, id="c"), message("tool", "2", 4, id="c")]
    (events,) = told("tau2", tau2)
    answers = [event for event in events if event.kind == "tool.completed"]
    assert [(event.data["tool"], event.cause, event.data["result"]) for event in answers] == [
        ("first", 9, 1),
        ("second", 10, 2),
    ]


def test_an_answer_that_nobody_asked_for_is_refused(tau2, told):
    tau2["simulations"][0]["messages"][3]["id"] = "c9"
    with pytest.raises(Refusal, match=r"^simulations\[0\]\.messages\[3\]\.id: answers the call 'c9'"):
        told("tau2", tau2)


def test_the_user_has_tools_and_turns_too(tau2, told):
    messages = tau2["simulations"][0]["messages"]
    messages[1] |= {"content": None, "tool_calls": [call("u1", "check_status_bar", "user")]}
    messages.insert(2, message("tool", "5G", 2.5, id="u1", requestor="user"))
    (events,) = told("tau2", tau2)
    assert [(event.kind, event.agent, event.turn, event.goal) for event in events[7:9]] == [
        ("tool.called", 2, 1, 0),
        ("tool.completed", 2, 2, 0),
    ]


def test_an_assistant_without_a_user_is_alone_and_speaks_to_nobody(tau2, told):
    tau2["info"]["user_info"]["implementation"] = "dummy_user"
    del tau2["simulations"][0]["messages"][1]
    (events,) = told("tau2", tau2)
    assert [event.data["id"] for event in events if event.kind == "agent.started"] == ["assistant"]
    assert {event.to for event in events} == {()}


def test_a_clock_that_steps_back_does_not_turn_virtual_time_around(tau2, told):
    tau2["simulations"][0]["messages"][2]["timestamp"] = "2025-08-01T12:00:01"
    (events,) = told("tau2", tau2)
    assert [event.time for event in events[7:10]] == [2_000_000, 2_000_000, 3_250_000]
    assert events[8].wall == 1_754_049_601_000_000


def test_a_time_with_a_zone_is_understood_and_kept(tau2, told):
    tau2["simulations"][0]["start_time"] = "2025-08-01T12:00:00Z"
    tau2["simulations"][0]["messages"][1]["timestamp"] = "2025-08-01T14:00:02+02:00"
    started, *_, asked = told("tau2", tau2)[0][:8]
    assert started.data["start_time"] == "2025-08-01T12:00:00Z"
    assert (asked.time, asked.data["timestamp"]) == (2_000_000, "2025-08-01T14:00:02+02:00")


def test_a_system_message_is_a_note_of_the_simulation(tau2, told):
    tau2["simulations"][0]["messages"].insert(1, message("system", "You are helpful.", 1.5, turn_idx=9))
    note = told("tau2", tau2)[0][7]
    assert (note.kind, note.agent, note.turn, note.time) == ("note", 0, 0, 1_500_000)
    assert note.data == {"text": "You are helpful.", "role": "system", "turn_idx": 9}
    tau2["simulations"][0]["messages"][1]["timestamp"] = "soon"
    with pytest.raises(Refusal, match=r"messages\[1\]\.timestamp: expected a time such as .*, found 'soon'"):
        told("tau2", tau2)


def test_unknown_fields_are_kept_everywhere(tau2, told):
    tau2["comment"] = "second run"
    simulation = tau2["simulations"][0]
    simulation |= {"mood": "fine", "name": "taken"}
    simulation["messages"][1] |= {"audio": {"seconds": 2}, "text": "taken"}
    simulation["messages"][2]["tool_calls"][0]["signature"] = "s"
    simulation["messages"][3]["ms"] = "taken"
    (events,) = told("tau2", tau2)
    assert events[0].data["file_comment"] == "second run"
    assert (events[0].data["mood"], events[0].data["recorded_name"]) == ("fine", "taken")
    assert (events[7].data["audio"], events[7].data["recorded_text"]) == ({"seconds": 2}, "taken")
    assert events[8].data["signature"] == "s" and events[9].data["recorded_ms"] == "taken"


def test_the_order_of_the_top_fields_does_not_matter(tau2, told):
    events = told("tau2", tau2)
    turned = told("tau2", dict(reversed(tau2.items())))
    for event in (events[0][0], turned[0][0]):
        event.data.pop("file_digest")
    assert turned == events


TEXTS = [
    '{"a": 1}', '{"a":1}', "[1,2]", "12", "12.50", "true", "null", '"quoted"', "plain", "", " {}", '{"a": 1, "a": 2}',
    "{\n  \"a\": \"\u00e9\"\n}", '{"a": "\\u00e9"}', '{"a": "\u00e9"}', "NaN", "1e999", "1" * 5000,
    '"\\ud800"',
    "[" * 90 + "]" * 90, "[" * 100_000,
    '{"a": 1.10}', "-0", "-0.0", '{"\\u0061": 1}', "007", "[1, [2, {}]]\n", "12345678901234567890123",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: json.dumps(text)[:20])
def test_the_text_of_an_answer_comes_back_byte_for_byte(tau2, told, text):
    tau2["simulations"][0]["messages"][3]["content"] = text
    assert result_text(told("tau2", tau2)[0][9].data) == text


def test_an_answer_that_is_json_can_be_reached_by_paths(tau2, told):
    assert told("tau2", tau2)[0][9].data["result"]["items"][0]["price"] == 40


def test_an_answer_without_content_has_no_text(tau2, told):
    tau2["simulations"][0]["messages"][3]["content"] = None
    assert result_text(told("tau2", tau2)[0][9].data) is None
