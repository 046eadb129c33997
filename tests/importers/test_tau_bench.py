"""tau-bench results as histories: tools, errors, rewards, and prompts in which the model acts by its text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from matrix.importers import Refusal, Source, import_files, importer_of
from tests.importers.recorded import openai_messages

RUN = "tool-calling-gpt-4o-0.0_range_0--1_user-gpt-4o-mini-llm_0612073827.json"


def kinds(events: list[Any]) -> list[str]:
    return [event.kind for event in events]


def test_a_result_becomes_a_simulation_with_agents_turns_and_a_goal(tau_bench, told):
    (events,) = told("tau-bench", tau_bench)
    assert kinds(events) == [
        "simulation.started", "agent.started", "agent.started", "goal.started", "note",
        "message.sent", "tool.called", "tool.failed", "message.sent", "tool.called", "tool.completed",
        "message.sent", "message.sent", "goal.succeeded", "simulation.finished",
    ]  # fmt: skip
    assert [event.agent for event in events] == [0, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 0]
    assert [event.turn for event in events[5:13]] == [1, 1, 2, 3, 3, 4, 5, 2]
    assert [event.cause for event in events[5:13]] == [3, 6, 7, 8, 8, 10, 11, 12]
    assert [event.to for event in events if event.kind == "message.sent"] == [(1,), (2,), (2,), (1,)]
    assert [event.time for event in events[5:13]] == [second * 1_000_000 for second in (1, 2, 3, 4, 4, 5, 6, 7)]


def test_the_simulation_knows_its_task_domain_and_outcome(tau_bench, told):
    (events,) = told("tau-bench", tau_bench)
    started, ended, finished = events[0].data, events[-2].data, events[-1].data
    assert started["id"] == f"tau-bench-{started['file_digest'][:8]}-3-0"
    assert (started["name"], started["domain"], started["task_id"], started["trial"]) == ("retail", "retail", 3, 0)
    assert started["task"]["instruction"] == "You are Ann."
    assert ended == {"steps": 4, "turns": 5, "reward": 1.0}
    assert (finished["reward"], finished["user_cost"], finished["source"]) == (1.0, 0.25, "user")
    assert finished["reward_info"]["info"]["gt_data_hash"] == "ea14"


def test_the_files_name_tells_models_and_strategy(tau_bench, told):
    started, assistant, user = told("tau-bench", tau_bench, name=RUN)[0][:3]
    told_by_name = ("agent_model", "user_model", "strategy", "temperature", "user_strategy")
    assert [started.data[name] for name in told_by_name] == ["gpt-4o", "gpt-4o-mini", "tool-calling", 0.0, "llm"]
    assert assistant.data["class"] == "tool-calling"
    assert assistant.data["parameters"] == {"llm": "gpt-4o", "temperature": 0.0}
    assert user.data["parameters"] == {"llm": "gpt-4o-mini", "user_strategy": "llm"}


@pytest.mark.parametrize(
    ("name", "model", "domain"),
    [
        ("gpt-4o-airline_tasks0-24.json.gz", "gpt-4o", "airline"),
        ("sonnet-35-new-retail.json", "sonnet-35-new", "retail"),
        ("results.json", None, None),
    ],
)
def test_a_published_files_name_tells_model_and_domain(tau_bench, told, name, model, domain):
    tau_bench[0]["traj"][0]["content"] = "Be kind."
    started = told("tau-bench", tau_bench, name=name)[0][0].data
    assert (started.get("agent_model"), started.get("domain"), started["name"]) == (
        model,
        domain,
        domain or "tau-bench",
    )


def test_the_recorded_messages_come_back(tau_bench, told):
    tau_bench[0]["traj"][4] |= {"refusal": None, "annotations": ["x"]}
    tau_bench[0]["traj"][1]["content"] = [{"type": "text", "text": "Cancel"}, {"type": "text", "text": " order 7."}]
    tau_bench[0]["traj"][2] |= {"content": ""}
    (events,) = told("tau-bench", tau_bench)
    recorded = [{key: value for key, value in one.items() if value is not None} for one in tau_bench[0]["traj"]]
    assert openai_messages(events, 1) == recorded


def test_a_text_that_begins_with_error_is_a_failed_call(tau_bench, told):
    failed = told("tau-bench", tau_bench)[0][7]
    assert (failed.kind, failed.cause, failed.data["tool"]) == ("tool.failed", 7, "get_order")
    assert failed.data["result"] == failed.data["error"] == "Error: order not found"


def test_an_id_that_is_used_again_belongs_to_the_first_unanswered_call(tau_bench, told):
    (events,) = told("tau-bench", tau_bench)
    assert (events[10].cause, events[10].data["result"]) == (10, {"items": [{"price": 40}]})


@pytest.mark.parametrize(
    ("reward", "kind"),
    [(1, "goal.succeeded"), (0.9999999, "goal.succeeded"), (0.93, "goal.failed"), (0.0, "goal.failed"),
     (None, "goal.cancelled")],
)  # fmt: skip
def test_the_reward_decides_about_the_goal(tau_bench, told, reward, kind):
    tau_bench[0]["reward"] = reward
    assert told("tau-bench", tau_bench)[0][-2].kind == kind


def test_a_run_that_broke_off_is_a_failed_simulation(tau_bench, told):
    tau_bench[0] |= {"traj": [], "reward": 0.0, "info": {"error": "EOF when reading a line", "traceback": "File …"}}
    (events,) = told("tau-bench", tau_bench)
    assert kinds(events)[3:] == ["goal.started", "goal.failed", "simulation.failed"]
    assert (
        events[-2].data["reason"] == events[-1].data["reason"] == events[-1].data["error"] == "EOF when reading a line"
    )
    assert events[-1].data["traceback"] == "File …"


def test_results_without_a_trial_are_numbered_by_task(tau_bench, told):
    del tau_bench[0]["trial"]
    results = [*tau_bench * 2, tau_bench[0] | {"task_id": 4}]
    assert [events[0].data["id"].rpartition("tau-bench-")[2][9:] for events in told("tau-bench", results)] == [
        "3-0", "3-1", "4-0",
    ]  # fmt: skip


def test_results_come_one_by_one_while_the_file_is_read(tau_bench, write):
    file = write(json.dumps(tau_bench).encode()[:-1] + b", {")
    results = importer_of("tau-bench")(Source(file))
    assert next(results).events[0].data["task_id"] == 3
    with pytest.raises(Refusal, match="cut off"):
        next(results)


def test_a_result_twice_in_one_file_is_refused(tau_bench, write, tmp_path):
    (report,) = import_files(tmp_path / "store", "tau-bench", [write(tau_bench * 2)])
    assert report.message.endswith("the file has this id twice") and not (tmp_path / "store").exists()


@pytest.fixture
def react() -> list[dict[str, Any]]:
    """The same result where the model thinks, and acts by what it writes."""
    tools = json.dumps([{"type": "function", "function": {"name": "get_order"}}])

    def acts(name: str, **arguments: Any) -> dict[str, Any]:
        action = json.dumps({"name": name, "arguments": arguments})
        return {"role": "assistant", "content": f"Thought:\nI see.\nAction:\n{action}", "tool_calls": None}

    traj = [
        {"role": "system", "content": f"# Airline Agent Policy\n#Available tools\n{tools}\n# Instruction\n"},
        {"role": "user", "content": "Cancel order 7."},
        acts("get_order", order_id=7),
        {"role": "user", "content": 'API output: {"price": 40}'},
        acts("respond", content="Done."),
        {"role": "user", "content": "API output: is that all?"},
        {"role": "assistant", "content": "no action at all"},
        {"role": "user", "content": "###STOP###"},
    ]
    return [{"task_id": 1, "trial": 0, "reward": 1, "info": {}, "traj": traj}]


def test_what_a_react_model_writes_is_told_as_what_it_does(react, told):
    (events,) = told("tau-bench", react)
    assert kinds(events)[4:-2] == [
        "note", "message.sent", "model.called", "model.completed", "tool.called", "tool.completed",
        "model.called", "model.completed", "message.sent", "message.sent",
        "model.called", "model.completed", "message.sent", "message.sent",
    ]  # fmt: skip
    call, answer = events[8], events[9]
    assert (call.data["tool"], call.data["arguments"], call.cause) == ("get_order", {"order_id": 7}, 8)
    assert (answer.data["result"], answer.cause, answer.data["role"]) == ({"price": 40}, 9, "user")
    said = [event.data["text"] for event in events if event.kind == "message.sent"]
    assert said == ["Cancel order 7.", "Done.", "API output: is that all?", "no action at all", "###STOP###"]


def test_what_a_react_model_was_shown_and_wrote_is_there_whole(react, told):
    (events,) = told("tau-bench", react)
    shown: list[Any] = []
    for event in events:
        if event.kind == "model.called":
            shown += event.data["messages"]
        elif event.kind == "model.completed":
            shown.append(event.data["message"])
    assert shown == [{k: v for k, v in one.items() if v is not None} for one in react[0]["traj"][:-1]]
    called = [event for event in events if event.kind == "model.called"]
    assert [event.data.get("after") for event in called] == [None, 8, 12]


@pytest.mark.parametrize(
    ("bend", "place"),
    [
        (lambda one: one.pop("traj"), r"^\[0\]\.traj: expected a list of messages, found none"),
        (lambda one: one["traj"][3].update(tool_call_id="c9"), r"\.traj\[3\]\.tool_call_id: answers the call 'c9'"),
        (lambda one: one["traj"][1].update(role="robot"), r"\.traj\[1\]\.role: expected system, user, .* 'robot'"),
        (lambda one: one.update(task_id=None), r"^\[0\]\.task_id: expected text, found null"),
        (lambda one: one["traj"][2]["tool_calls"][0].pop("function"), r"tool_calls\[0\]\.function: expected an object"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tau_bench, told, bend, place):
    bend(tau_bench[0])
    with pytest.raises(Refusal, match=place):
        told("tau-bench", tau_bench)


def test_arguments_that_are_no_json_are_kept_as_text(tau_bench, told):
    tau_bench[0]["traj"][2]["tool_calls"][0]["function"]["arguments"] = '{"order_id": '
    assert told("tau-bench", tau_bench)[0][6].data["arguments_text"] == '{"order_id": '
