"""A small file of each format, as data to bend, and a way to write them down."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matrix.event import Event
from matrix.importers import Source, importer_of
from tests.importers.recorded import call, message, openai_call


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a value as JSON (or bytes as they are), gzipped if asked for; returns the path."""

    def to_file(value: Any, name: str = "recorded.json", *, zipped: bool = False, **style: Any) -> Path:
        content = value if isinstance(value, bytes) else json.dumps(value, **style).encode()
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if zipped else content)
        return path

    return to_file


@pytest.fixture
def told(write: Callable[..., Path]) -> Callable[..., list[list[Event]]]:
    """The events of each simulation of a recorded value, without a store."""

    def tell(format: str, value: Any, **how: Any) -> list[list[Event]]:
        return [history.events for history in importer_of(format)(Source(write(value, **how)))]

    return tell


@pytest.fixture
def tau2() -> dict[str, Any]:
    """A tau2 file with one simulation: greeting, question, a call, its answer, a reply."""
    messages = [
        message("assistant", "Hi!", 0.5, turn_idx=0, cost=0.0, usage=None),
        message("user", "Cancel order 7.", 2, turn_idx=1, cost=0.25, usage={"completion_tokens": 5}),
        message("assistant", None, 3, turn_idx=2, cost=0.5, tool_calls=[call("c1", "get_order", order_id=7)]),
        message("tool", '{"order_id": 7, "items": [{"price": 40}]}', 3.25, id="c1", requestor="assistant", error=False),
        message("assistant", "Done.", 5, turn_idx=4, cost=0.75, raw_data={"finish_reason": "stop"}),
    ]
    simulation = {
        "id": "sim-1", "task_id": "t1", "trial": 0, "seed": 300,
        "start_time": "2025-08-01T12:00:00", "end_time": "2025-08-01T12:00:06",
        "duration": 5.99, "termination_reason": "user_stop", "agent_cost": 1.25, "user_cost": 0.25,
        "reward_info": {"reward": 1.0, "reward_breakdown": {"DB": 1.0}}, "messages": messages,
    }  # fmt: skip
    agent = {"implementation": "llm_agent", "llm": "gpt-4.1", "llm_args": {"temperature": 0.0}}
    user = {"implementation": "user_simulator", "llm": "gpt-4.1-mini", "global_simulation_guidelines": "Be brief."}
    environment = {"domain_name": "retail", "policy": "Be kind.", "tool_defs": None}
    return {
        "timestamp": "2025-08-01T12:00:00",
        "info": {"git_commit": "b02b", "agent_info": agent, "user_info": user, "environment_info": environment},
        "tasks": [{"id": "t1", "user_scenario": {"persona": "in a hurry"}}],
        "simulations": [simulation],
    }


@pytest.fixture
def casino() -> list[dict[str, Any]]:
    """A CaSiNo file with one dialogue: two utterances, an offer, an acceptance."""
    split = {"issue2youget": {"Food": "2", "Water": "1", "Firewood": "0"},
             "issue2theyget": {"Food": "1", "Water": "2", "Firewood": "3"}}  # fmt: skip
    logs = [
        {"text": "Hello, I need food", "task_data": {}, "id": "mturk_agent_2"},
        {"text": "Hi, take it", "task_data": {}, "id": "mturk_agent_1"},
        {"text": "Submit-Deal", "task_data": split, "id": "mturk_agent_2"},
        {"text": "Accept-Deal", "task_data": {"data": "accept_deal"}, "id": "mturk_agent_1"},
    ]

    def person(high: str, points: int) -> dict[str, Any]:
        return {
            "value2issue": {"High": high, "Medium": "Water", "Low": "Firewood"},
            "value2reason": {"High": "I am hungry", "Medium": "dry", "Low": "warm"},
            "outcomes": {"points_scored": points, "satisfaction": "Undecided", "opponent_likeness": "Slightly like"},
        }

    people = {"mturk_agent_1": person("Water", 19), "mturk_agent_2": person("Food", 14)}
    notes = [["Hello, I need food", "small-talk,self-need"], ["Hi, take it", "non-strategic"]]
    return [{"dialogue_id": 938, "chat_logs": logs, "participant_info": people, "annotations": notes}]


@pytest.fixture
def tau_bench() -> list[dict[str, Any]]:
    """A tau-bench file with one result: a question, a call that fails, one beside a text, and a reply."""

    def called(id: str, arguments: str) -> list[dict[str, Any]]:
        return [{"function": {"arguments": arguments, "name": "get_order"}, "id": id, "type": "function"}]

    traj = [
        {"role": "system", "content": "# Retail agent policy\n\nBe kind."},
        {"role": "user", "content": "Cancel order 7."},
        {"content": None, "role": "assistant", "tool_calls": called("c1", '{"order_id":"#7"}'), "function_call": None},
        {"role": "tool", "tool_call_id": "c1", "name": "get_order", "content": "Error: order not found"},
        {"content": "One moment.", "role": "assistant", "tool_calls": called("c1", '{"order_id": 7}')},
        {"role": "tool", "tool_call_id": "c1", "name": "get_order", "content": '{"items": [{"price": 40}]}'},
        {"content": "Done.", "role": "assistant"},
        {"role": "user", "content": "Thanks! ###STOP###"},
    ]
    task = {
        "user_id": "ann_1",
        "actions": [{"name": "cancel", "kwargs": {"order_id": 7}}],
        "instruction": "You are Ann.",
    }
    reward = {"reward": 1.0, "info": {"r_actions": 1.0, "gt_data_hash": "ea14"}, "actions": []}
    info = {"task": task, "source": "user", "user_cost": 0.25, "reward_info": reward}
    return [{"task_id": 3, "reward": 1.0, "info": info, "traj": traj, "trial": 0}]


@pytest.fixture
def cicero() -> dict[str, Any]:
    """A game of three powers and three phases: talk, an attack, help for another, a power that is eliminated."""

    def said(sender: str, recipient: str, text: str, second: int) -> dict[str, Any]:
        moment = 16_609_579_180_000 + second * 10_000
        return {"message": text, "phase": "S1901M", "recipient": recipient, "sender": sender, "time_sent": moment}

    def state(name: str, units: list[list[str]], centers: list[list[str]]) -> dict[str, Any]:
        powers = ("AUSTRIA", "ITALY", "RUSSIA")
        return {"name": name, "units": dict(zip(powers, units, strict=True)),
                "centers": dict(zip(powers, centers, strict=True))}  # fmt: skip

    first = {
        "name": "S1901M", "logs": [],
        "messages": [said("ITALY", "ALL", "Good luck", 0), said("ITALY", "AUSTRIA", "I keep out of Trieste", 12)],
        "orders": {"AUSTRIA": ["F TRI H", "A BUD S A WAR - GAL"], "ITALY": ["A VEN - TRI"], "RUSSIA": ["A WAR - GAL"]},
        "results": {"A VEN": ["bounce"], "A WAR": []},
        "state": state("S1901M", [["F TRI", "A BUD"], ["A VEN"], ["A WAR"]], [["TRI", "BUD"], ["VEN"], ["WAR"]]),
    }  # fmt: skip
    second = {
        "name": "F1901R", "messages": [], "orders": {"AUSTRIA": ["F TRI R ALB"], "ITALY": []}, "results": {},
        "state": state("F1901R", [["*F TRI"], ["A TRI"], ["A GAL"]], [["TRI", "BUD"], ["VEN"], ["WAR"]]),
    }  # fmt: skip
    last = {
        "name": "COMPLETED", "messages": [], "orders": {}, "results": {},
        "state": state("COMPLETED", [[], ["A TRI"], ["A BUD"]], [[], ["VEN", "TRI"], ["WAR", "BUD"]]),
    }  # fmt: skip
    return {"id": "zH/w+2", "map": "standard", "scoring_system": "sum_of_squares", "phases": [first, second, last]}


@pytest.fixture
def llm_deliberation() -> dict[str, Any]:
    """A whole session of two parties and two issues: an opening, a turn of each, a final deal."""

    def turn(agent: str, deal: str, plan: str = "") -> dict[str, Any]:
        answer = f"\nI propose <DEAL>{deal}</DEAL>.\n"
        full = f"<SCRATCHPAD>A1 (9)</SCRATCHPAD><ANSWER>{answer}</ANSWER>" + (f"<PLAN>{plan}</PLAN>" if plan else "")
        return {"agent": agent, "prompt": f"It is your turn, {agent}.", "full_answer": full, "public_answer": answer}

    rounds = [
        {"agent": "Co", "prompt": "Propose: A1,B1.", "full_answer": "<DEAL>A1,B1</DEAL>",
         "public_answer": "<DEAL>A1,B1</DEAL>"},
        turn("Union", "A2, B2", "Hold on to B2."), turn("Co", "A1, B2"), turn("Co", "A2, B2"),
    ]  # fmt: skip
    slots = ["Union", "Co"]
    return {"slot_assignment": slots, "rounds": rounds, "plan": {"Union": ["Hold on to B2."]}, "finished_rounds": 3}


@pytest.fixture
def openai() -> dict[str, Any]:
    """A line of OpenAI's chat format: a question, two calls in one message, their answers, a reply."""
    tools = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where are 7 and 8?"},
        {"role": "assistant", "tool_calls": [openai_call("c7", '{"id": 7}'), openai_call("c8", '{"id":8}')]},
        {"role": "tool", "tool_call_id": "c8", "content": '{"city": "Oslo"}'},
        {"role": "tool", "tool_call_id": "c7", "content": "lost"},
        {"role": "assistant", "content": "8 is in Oslo, 7 is lost.", "weight": 1},
    ]
    return {"messages": messages, "tools": tools, "parallel_tool_calls": True, "source": {"case": 3}}


@pytest.fixture
def meta_matrix() -> dict[str, Any]:
    """A row of Meta's Matrix: a prompt, an answer, a call and its result, a judgement without a text."""
    moment = 1_732_829_000.125

    def entry(agent: str, second: float, **response: Any) -> dict[str, Any]:
        return {"agent": agent, "response": response | {"timestamp": moment + second}}

    history = [
        entry("student", 1, text="What is 2 + 2?"),
        entry("teacher", 2, text="Let me see.", usage={"prompt_tokens": 9, "completion_tokens": 3}, status_ok=True),
        entry("teacher", 3, tool_calls=[openai_call("c1", '{"a": 2, "b": 2}')], status_ok=True),
        entry("calculator", 3.5, text='{"sum": 4}', tool_call_id="c1", caller="teacher", status_ok=True),
        entry("matcher", 4, agreement=True, status_ok=True),
    ]
    return {
        "current_agent": "_sink", "id": "q1", "trial": 2, "seed": 42, "task": {"question": "2 + 2"},
        "creation_timestamp": moment, "init_timestamp": moment + 0.5, "finish_timestamp": moment + 5,
        "instrumentation": [["dequeue_latency_seconds", "teacher", 0.25]], "history": history,
        "status": {"success": True, "termination_reason": "agreed"},
    }  # fmt: skip
