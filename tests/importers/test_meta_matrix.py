"""Rows of Meta's Matrix as histories: everybody's entries, calls and their answers, and how the task came out."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from matrix.importers import Refusal, Source


def test_a_row_becomes_a_simulation_of_its_agents(meta_matrix, told):
    (events,) = told("meta-matrix", meta_matrix)
    assert [event.kind for event in events] == [
        "simulation.started", *["agent.started"] * 4, *["goal.started"] * 3, "message.sent", "message.sent",
        "tool.called", "tool.completed", "response", *["goal.succeeded"] * 3, "simulation.finished",
    ]  # fmt: skip
    assert [event.data["id"] for event in events[1:5]] == ["student", "teacher", "calculator", "matcher"]
    assert [event.agent for event in events[5:]] == [1, 2, 4, 1, 2, 2, 2, 4, 1, 2, 4, 0]
    assert [event.to for event in events[8:10]] == [(2,), (1,)]
    assert [event.cause for event in events[8:13]] == [2, 9, 9, 11, 5]


def test_seconds_of_the_file_are_wall_and_virtual_time(meta_matrix, told):
    (events,) = told("meta-matrix", meta_matrix)
    assert [event.time for event in events[8:13]] == [1_000_000, 2_000_000, 3_000_000, 3_500_000, 4_000_000]
    assert {event.wall - event.time for event in events} == {1_732_829_000_125_000}
    assert events[-1].time == 5_000_000
    assert events[9].data["timestamp"] == 1_732_829_002.125


def test_what_a_row_says_besides_its_history_is_the_simulations_data(meta_matrix, told, write):
    (events,) = told("meta-matrix", meta_matrix)
    digest = Source(write(meta_matrix)).digest
    data = dict(events[0].data)
    assert (data.pop("id"), data.pop("name")) == (f"meta-matrix-{digest[:12]}-1", "meta-matrix")
    assert data == {
        "format": "meta-matrix", "file": "recorded.json", "file_digest": digest, "line": 1, "task_id": "q1",
        "status": {"success": True, "termination_reason": "agreed"}, "current_agent": "_sink", "trial": 2, "seed": 42,
        "task": {"question": "2 + 2"}, "instrumentation": [["dequeue_latency_seconds", "teacher", 0.25]],
        "creation_timestamp": 1732829000.125, "init_timestamp": 1732829000.625, "finish_timestamp": 1732829005.125,
    }  # fmt: skip
    assert events[-1].data == {"reason": "agreed"}


def test_a_response_keeps_all_it_says(meta_matrix, told):
    (events,) = told("meta-matrix", meta_matrix)
    first = 1_732_829_000.125
    assert events[8].data == {"text": "What is 2 + 2?", "injected": True, "timestamp": first + 1}
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    assert events[9].data == {"text": "Let me see.", "usage": usage, "status_ok": True, "timestamp": first + 2}
    assert events[12].data == {"agreement": True, "status_ok": True, "timestamp": first + 4}


def test_a_call_is_answered_in_the_name_of_its_caller(meta_matrix, told):
    (events,) = told("meta-matrix", meta_matrix)
    called, completed = dict(events[10].data), dict(events[11].data)
    assert called["tool"] == "find" and called["arguments"] == {"a": 2, "b": 2} and called["call_id"] == "c1"
    assert (completed["tool"], completed["by"], completed["result"], completed["ms"]) == (
        "find",
        "calculator",
        {"sum": 4},
        500,
    )
    meta_matrix["history"][3]["response"]["status_ok"] = False
    (events,) = told("meta-matrix", meta_matrix)
    assert (events[11].kind, events[11].data["error"]) == ("tool.failed", '{"sum": 4}')


def test_an_answer_to_a_call_that_nobody_made_is_a_response(meta_matrix, told):
    meta_matrix["history"][3]["response"]["tool_call_id"] = "c9"
    (events,) = told("meta-matrix", meta_matrix)
    answer = next(event for event in events if "tool_call_id" in event.data)
    assert (answer.kind, answer.agent, answer.data["text"]) == ("response", 3, '{"sum": 4}')


def test_calls_may_be_in_the_short_form(meta_matrix, told):
    meta_matrix["history"][2]["response"]["tool_calls"] = [{"id": "c1", "name": "add", "arguments": '{"a": 1}'}]
    (events,) = told("meta-matrix", meta_matrix)
    assert (events[10].data["tool"], events[10].data["arguments"], events[11].data["tool"]) == ("add", {"a": 1}, "add")


@pytest.mark.parametrize(
    ("status", "reward", "last_ok", "kind"),
    [
        ({"success": True}, None, False, "goal.succeeded"),
        ({"success": False}, 1.0, True, "goal.failed"),
        ({}, 1, True, "goal.succeeded"),
        ({}, 0.5, True, "goal.failed"),
        ({}, None, False, "goal.failed"),
        ({}, None, True, "goal.cancelled"),
    ],
)
def test_goals_end_as_the_status_says_or_the_reward_or_the_last_response(
    meta_matrix, told, status, reward, last_ok, kind
):
    meta_matrix["status"] = status
    last = meta_matrix["history"][-1]["response"]
    last["status_ok"] = last_ok
    if reward is not None:
        last["reward_info"] = {"reward": reward}
    (events,) = told("meta-matrix", meta_matrix)
    ends = [event for event in events if event.kind.startswith("goal.") and event.kind != "goal.started"]
    assert {event.kind for event in ends} == {kind}
    assert {event.data.get("reward") for event in ends} == {reward}


def test_texts_of_several_choices_are_all_kept(meta_matrix, told):
    response = meta_matrix["history"][1]["response"]
    response["text"] = ["Four."]
    assert told("meta-matrix", meta_matrix)[0][9].data["text"] == "Four."
    response["text"] = ["Four.", "4"]
    data = told("meta-matrix", meta_matrix)[0][9].data
    assert (data["text"], data["texts"]) == ("Four.", ["Four.", "4"])


def test_a_lost_task_is_a_simulation_that_failed(told):
    row = {"id": 7, "status": "lost", "error": "Actor died", "timestamp": 1_732_829_000.5}
    (events,) = told("meta-matrix", row)
    assert [event.kind for event in events] == ["simulation.started", "simulation.failed"]
    assert (events[0].data["task_id"], events[0].data["status"], events[1].data) == (
        7,
        "lost",
        {"reason": "Actor died"},
    )
    assert events[0].wall == 1_732_829_000_500_000


def test_a_file_compressed_with_zstd_is_read_like_any_other(meta_matrix, told):
    rows = f"{json.dumps(meta_matrix)}\n{json.dumps(meta_matrix)}\n".encode()
    plain, packed = told("meta-matrix", rows), told("meta-matrix", pa.compress(rows, codec="zstd", asbytes=True))
    assert len(packed) == 2 and [dict(event.data) for event in packed[1]] == [dict(event.data) for event in plain[1]]


@pytest.mark.parametrize(
    ("bent", "message"),
    [
        ({"history": None}, r"^line 1: not a row of Meta's Matrix: it has no history$"),
        ({"history": [{"agent": "a"}]}, r"^line 1\.history\[0\]\.response: expected an object, found nothing$"),
        ({"history": [{"agent": 1, "response": {}}]}, r"^line 1\.history\[0\]\.agent: expected text, found a number$"),
        ({"creation_timestamp": -1}, r"^line 1\.creation_timestamp: expected seconds since 1970, found -1$"),
        ({"creation_timestamp": 1e300}, r"^line 1\.creation_timestamp: expected seconds since 1970, found 1e\+300$"),
        ({"status": {"success": "yes"}}, r"^line 1\.status\.success: expected true or false, found text$"),
        ({"status": "done"}, r"^line 1\.status: expected an object, found text$"),
        ({"seed": 2**64}, r"^line 1\.seed: the number has more than 64 bits$"),
    ],
)
def test_what_is_no_row_is_refused_with_its_place(meta_matrix, told, bent, message):
    with pytest.raises(Refusal, match=message):
        told("meta-matrix", meta_matrix | bent)
