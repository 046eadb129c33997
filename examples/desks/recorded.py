"""Recorded conversations, in the form of tau2-bench's result files: who said what, which calls got which answers, and
what the benchmark gave for it.

A file is ``{tasks: [...], simulations: [{id, task_id, termination_reason, reward_info, messages}]}``. A message is
``{role, content, tool_calls: [{id, name, arguments, requestor}]}``; role ``tool`` answers the call with its ``id``.
"""

from __future__ import annotations

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


def reward_of(conversation: Mapping[str, Any], desk: Desk, expected: Desk) -> float | None:
    """What the benchmark gives: 1 where the database is as it should be and all was said; None if it asks for more.

    ``desk`` is as the conversation left it; on ``expected``, a fresh one, is done what the task says should be done.
    """
    task = conversation["task"] or {}
    if conversation.get("termination_reason") not in ENDED_WELL:
        return 0.0
    if (criteria := task.get("evaluation_criteria")) is None:
        return 1.0
    basis = set(criteria.get("reward_basis") or [])
    if not basis <= {"DB", "COMMUNICATE"} or task.get("initial_state"):
        return None
    reward = 1.0
    if "DB" in basis:
        do_all(criteria.get("actions") or [], expected)
        reward *= desk.digest() == expected.digest()
    if "COMMUNICATE" in basis:
        said = [step["text"].lower().replace(",", "") for step in steps_of(conversation) if step["role"] == "assistant"]
        needed = criteria.get("communicate_info") or []
        reward *= all(any(info.lower() in text for text in said) for info in needed)
    return reward


def do_all(actions: list[dict[str, Any]], desk: Desk) -> None:
    """What should be done; what cannot be is passed over."""
    for action in actions:
        tool = desk.tool(action["name"])
        try:
            tool.run(tool.check(action["arguments"]))
        except Exception:  # whatever it is, an assistant would have met it, too
            continue
