"""What TRL's and OpenAI's documents ask of a row of chat, as a list of what a row breaks.

TRL: "Dataset formats and types" (huggingface.co/docs/trl/dataset_formats), Conversational and Tool calling. OpenAI: the
OpenAPI description, ``FineTuneChatRequestInput`` with the messages and tools it names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

ROLES = {"system", "developer", "user", "assistant", "tool"}
KEYS = {"role", "content", "name", "tool_calls", "tool_call_id", "weight", "refusal"}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def broken(row: dict[str, Any]) -> list[str]:
    """Every rule that a row breaks, with the place."""
    return [*_of_messages(row["messages"]), *_of_tools(row)]


def _of_messages(messages: list[dict[str, Any]]) -> Iterator[str]:
    if not messages or messages[-1]["role"] != "assistant":
        yield "the last message is not the assistant's"
    waiting: list[str] = []
    for place, message in enumerate(messages):
        role = message["role"]
        yield from (f"{place}: unknown key {key}" for key in message.keys() - KEYS)
        yield from (f"{place}: {key} is null" for key, value in message.items() if value is None)
        if role not in ROLES:
            yield f"{place}: unknown role {role}"
        if "content" not in message and not message.get("tool_calls"):
            yield f"{place}: neither content nor calls"
        if not isinstance(message.get("content", ""), str):
            yield f"{place}: content is no text"
        if "name" in message and not NAME.fullmatch(message["name"]):
            yield f"{place}: name {message['name']}"
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                yield f"{place}: answers no open call"
            else:
                waiting.remove(message["tool_call_id"])
        elif waiting:
            yield f"{place}: comes before the answers to {waiting}"
            waiting = []
        yield from _of_calls(place, message)
        waiting += [call["id"] for call in message.get("tool_calls", ())]


def _of_calls(place: int, message: dict[str, Any]) -> Iterator[str]:
    if "tool_calls" in message and (message["role"] != "assistant" or not message["tool_calls"]):
        yield f"{place}: calls of {message['role']}, or an empty list of them"
    for call in message.get("tool_calls", ()):
        if set(call) != {"id", "type", "function"} or call["type"] != "function":
            yield f"{place}: a call is id, type and function"
        if not NAME.fullmatch(call["function"]["name"]):
            yield f"{place}: a tool called {call['function']['name']}"
        if not isinstance(call["function"]["arguments"], str):
            yield f"{place}: arguments are no text"
        elif not isinstance(json.loads(call["function"]["arguments"]), dict):
            yield f"{place}: arguments are no map"


def _of_tools(row: dict[str, Any]) -> Iterator[str]:
    if "tools" not in row:
        if "parallel_tool_calls" in row:
            yield "parallel_tool_calls without tools"
        return
    if not row["tools"]:
        yield "an empty list of tools"
    if type(row.get("parallel_tool_calls")) is not bool:
        yield "parallel_tool_calls is true or false"
    names = [tool["function"]["name"] for tool in row["tools"]]
    if len(set(names)) < len(names) or any(tool["type"] != "function" for tool in row["tools"]):
        yield "tools are functions of different names"
    for message in row["messages"]:
        for call in message.get("tool_calls", ()):
            if call["function"]["name"] not in names:
                yield f"a call of {call['function']['name']}, which is no tool of the row"
