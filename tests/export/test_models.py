"""Chats of agents that asked a real server: every row is a request as the server got it, with what it answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import matrix
from matrix.models import Endpoint, ToolAgent
from tests.export.rules import broken
from tests.export.told import exported
from tests.models.service import Fault, Service


@matrix.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Clerk(ToolAgent):
    model_name = "small"
    system = "You count."

    async def run(self) -> None:
        self.tools = [add]
        await super().run()


class Guest(matrix.Agent):
    says: list[str]

    async def run(self) -> None:
        with self.goal("ask") as goal:
            for text in self.says:
                await self.ask("clerk", text=text)
            goal.succeed(reward=0.5)


async def counting(simulation: matrix.Simulation) -> None:
    simulation.spawn(Clerk, "clerk", role="assistant")
    for number in range(2):
        calls = f'call add {{"a": {number}, "b": 1}}\ncall add {{"a": 2, "b": {number}}}'
        simulation.spawn(Guest, f"guest {number}", says=["Hello", calls, "Bye"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A store, and all requests that the server got, in order."""
    store = tmp_path_factory.mktemp("models") / "runs"
    with Service() as service:
        service.next(None, Fault(500), None)
        matrix.run(counting, store=store, models=Endpoint(service.url, key="sk-test"))
        return store, [request.body for request in service.requests]


def test_a_row_is_what_the_server_got_and_answered(run):
    store, requests = run
    rows = exported(store, "agents where role = assistant")
    assert [(row["conversation"], len(row["messages"])) for row in rows] == [
        ("1-1/clerk+guest 1", 10),  # whose first question was that of the other, to the letter
        ("1-1/clerk+guest 0", 10),
    ]
    for row in rows:
        guest = row["conversation"][-1]
        assert row["messages"][3]["content"].startswith(f'call add {{"a": {guest}, "b": 1}}')
        assert broken(row) == []
        *shown, answer = row["messages"]
        assert {"messages": shown, "tools": row["tools"]} in [
            {"messages": request["messages"], "tools": request["tools"]} for request in requests
        ]
        assert answer["role"] == "assistant" and row["model"] == "small"


def test_every_answer_is_in_some_row(run):
    store, _ = run
    with matrix.open(store) as opened:
        answers = [row["data"]["message"] for row in opened.query("events model.completed").rows()]
    told = [message for row in exported(store, "agents where role = assistant") for message in row["messages"]]
    assert len(answers) == 8 and all(answer in told for answer in answers)


def test_who_asked_the_clerk_has_a_row_of_messages(run):
    store, requests = run
    assert len(requests) == 9  # one of them failed
    rows = exported(store, "agents where goal succeeded")
    assert [(row["agent"], row["reward"], len(row["messages"])) for row in rows] == [
        ("guest 0", 0.5, 5),
        ("guest 1", 0.5, 5),
    ]


def test_a_step_is_an_answer_with_what_the_model_was_shown_anew(run):
    store, _ = run
    clerk, *_ = exported(store, "agents where role = assistant", "episodes")
    assert [len(step["observation"]) for step in clerk["steps"]] == [2, 2, 1, 2, 1, 2, 1, 1]
    assert [step["action"]["role"] for step in clerk["steps"]] == ["assistant"] * 8
