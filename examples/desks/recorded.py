"""Recorded conversations, in the form of tau2-bench's result files: who said what, which calls got which answers, and
what the benchmark gave for it.

A file is ``{tasks: [...], simulations: [{id, task_id, termination_reason, reward_info, messages}]}``. A message is
``{role, content, tool_calls: [{id, name, arguments, requestor}]}``; role ``tool`` answers the call with its ``id``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from desks.desk import Desk, read_json

ENDED_WELL = ("user_stop", "agent_stop")  # any other end of a conversation is worth nothing


def ids_of(recorded: Mapping[str, Any]) -> list[str]:
    """The conversations of a file."""
    return [str(conversation["id"]) for conversation in recorded["simulations"]]


def conversation_of(recorded: str | Mapping[str, Any], id: str) -> dict[str, Any]:
    """One conversation of a file (the first, if none is named), with its task."""
    whole = read_json(recorded) if isinstance(recorded, str) else recorded
    for conversation in whole["simulations"]:
        if id in ("", str(conversation["id"])):
            tasks = {task["id"]: task for task in whole.get("tasks") or []}
            return {**conversation, "task": tasks.get(conversation.get("task_id"))}
    raise LookupError(f"there is no conversation {id}; there are: {', '.join(ids_of(whole)[:5])} ...")


def steps_of(conversation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What each side said and did, in order: ``role``, ``text``, and ``calls``, each with its ``answer``."""
    answers: dict[str, list[str | None]] = {}
    for message in conversation["messages"]:
        if message["role"] == "tool":
            answers.setdefault(message["id"], []).append(message.get("content"))
    for message in conversation["messages"]:
        if message["role"] in ("assistant", "user"):
            calls = [
                {**call, "answer": answers[call["id"]].pop(0) if answers.get(call["id"]) else None}
                for call in message.get("tool_calls") or []
            ]
            yield {"role": message["role"], "text": message.get("content") or "", "calls": calls}


class Case:
    """What a conversation is about, and how tau2-bench judges it where that looks at the database and at words only."""

    def __init__(self, conversation: Mapping[str, Any], fresh_desk: Desk) -> None:
        self.fresh_desk = fresh_desk
        self.task: dict[str, Any] = conversation["task"] or {}
        self.task_id = conversation.get("task_id")
        self.termination = str(conversation.get("termination_reason"))
        self.reward_then: float | None = (conversation.get("reward_info") or {}).get("reward")

    @property
    def wish(self) -> str:
        """What the customer wants, in the task's words."""
        scenario = self.task.get("user_scenario")
        return scenario if isinstance(scenario, str) else json.dumps(scenario, ensure_ascii=False)

    def reward(self, said: list[str], *, as_it_should_be: bool, ended: str) -> float | None:
        """1 where the database is as it should be and all was said that should be, else 0; None if more is asked for.

        ``said`` is what the assistant said, ``ended`` how the conversation did.
        """
        if ended not in ENDED_WELL:
            return 0.0
        if (criteria := self.task.get("evaluation_criteria")) is None:
            return 1.0
        basis = set(criteria.get("reward_basis") or [])
        if not basis <= {"DB", "COMMUNICATE"} or self.task.get("initial_state"):
            return None
        good = as_it_should_be or "DB" not in basis
        if "COMMUNICATE" in basis:
            texts = [text.lower().replace(",", "") for text in said]
            good &= all(any(info.lower() in text for text in texts) for info in criteria.get("communicate_info") or [])
        return float(good)

    def digest_expected(self) -> str:
        """The database after what should be done; what cannot be is passed over, as an assistant would have to."""
        desk = type(self.fresh_desk)(self.fresh_desk.data)
        for action in (self.task.get("evaluation_criteria") or {}).get("actions") or []:
            tool = desk.tool(action["name"])
            with contextlib.suppress(Exception):
                tool.run(tool.check(action["arguments"]))
        return desk.digest()
