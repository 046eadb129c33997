"""A model's reply, as a program gets it: the same live and in a replay, since it is made of what the log holds.

What always holds: ``message`` is the assistant's message as it came, so a conversation goes on with
``messages.append(reply.message)``, and the log then has it only once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants called.

    >>> ToolCall.of({"id": "call_1", "function": {"name": "add", "arguments": '{"a": 1}'}}).arguments
    {'a': 1}
    """

    id: str
    name: str
    arguments: dict[str, Any]  #: empty when ``text`` is no JSON object; then ``problem`` says so
    text: str  #: the arguments as the model wrote them
    problem: str = ""

    @classmethod
    def of(cls, call: Mapping[str, Any]) -> ToolCall:
        """A call in OpenAI form. Servers that give the arguments as a map, not as text, are understood, too."""
        function = call.get("function")
        function = function if isinstance(function, Mapping) else {}
        given = function.get("arguments")
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False) if given is not None else ""
        arguments, problem = _parsed(text)
        return cls(str(call.get("id") or ""), str(function.get("name") or ""), arguments, text, problem)


def _parsed(text: str) -> tuple[dict[str, Any], str]:
    if not text.strip():  # how some servers write a call without arguments
        return {}, ""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, f"the arguments are no JSON: {error}"
    if not isinstance(found, dict):
        return {}, f"the arguments are no JSON object, but {type(found).__name__}"
    return found, ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    >>> reply = Reply.of({"message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop", "tokens": 9})
    >>> reply.text, reply.finish_reason, reply.tokens, reply.tool_calls
    ('Hello!', 'stop', 9, [])
    """

    message: dict[str, Any]  #: the assistant's message in OpenAI form, to be appended to a conversation
    finish_reason: str | None = None  #: "stop", "length", "tool_calls", "content_filter"
    tokens: int | None = None  #: in all, of request and answer; None where the server does not say
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprobs: dict[str, Any] | None = None  #: {"tokens": […], "logprobs": […]}, and "top" where it was asked for
    choices: list[Reply] = field(default_factory=list)  #: further ones, when ``n`` of them were asked for
    cached: dict[str, Any] | None = None  #: {"simulation", "seq"} of the answer that was taken from the log

    @property
    def text(self) -> str:
        """What it said; the texts of a content in parts, joined; empty where it only calls tools."""
        content = self.message.get("content")
        if isinstance(content, list):
            return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
        return content if isinstance(content, str) else ""

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tools that it wants called, in its order."""
        calls = self.message.get("tool_calls")
        return [ToolCall.of(call) for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Reply:
        """The reply that a ``model.completed`` holds."""
        return cls(
            data["message"],
            data.get("finish_reason"),
            data.get("tokens"),
            data.get("prompt_tokens"),
            data.get("completion_tokens"),
            data.get("logprobs"),
            [cls.of(choice) for choice in data.get("choices", ())],
            data.get("cached"),
        )
