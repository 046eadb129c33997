"""Inspect's messages and tools in OpenAI's form, as its own OpenAI provider sends them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from matrix.importers.fields import Record


def openai_message(message: Record) -> dict[str, Any]:
    """A message in OpenAI's form; what a model reasoned is ``reasoning_content``.

    >>> call = {"id": "c1", "function": "add", "arguments": {"x": 1}, "type": "function"}
    >>> openai_message(Record({"role": "assistant", "content": "", "tool_calls": [call]}, "messages[2]"))["tool_calls"]
    [{'id': 'c1', 'type': 'function', 'function': {'name': 'add', 'arguments': '{"x": 1}'}}]
    """
    role = message.text("role")
    content, reasoning = _content(message)
    said: dict[str, Any] = {"role": role}
    if role == "tool":
        error = message.optional_record("error").optional_text("message")
        said |= {"tool_call_id": message.optional_text("tool_call_id") or "", "content": content}
        return said if error is None else said | {"content": f"Error: {error}"}
    calls = [openai_call(call) for call in message.records("tool_calls")] if role == "assistant" else []
    said |= {"content": content} if content or not calls else {}
    said |= {"reasoning_content": reasoning} if reasoning else {}
    return said | ({"tool_calls": calls} if calls else {})


def openai_call(call: Record) -> dict[str, Any]:
    """A call of a tool; its arguments were read by Inspect, so their text is ours."""
    function = {"name": call.text("function"), "arguments": json.dumps(call.map("arguments"), ensure_ascii=False)}
    return {"id": call.text("id"), "type": "function", "function": function}


def openai_tools(tools: Sequence[Record]) -> list[dict[str, Any]]:
    """The schemas of tools.

    >>> openai_tools([Record({"name": "add", "description": "Adds.", "parameters": {"type": "object"}}, "tools[0]")])
    [{'type': 'function', 'function': {'name': 'add', 'description': 'Adds.', 'parameters': {'type': 'object'}}}]
    """
    fields = ("name", "description", "parameters")
    return [
        {"type": "function", "function": {name: tool.value[name] for name in fields if tool.has(name)}}
        for tool in tools
    ]


def text_of(content: Any) -> str:
    """The texts of a content, which is a text or a list of parts."""
    if type(content) is str:
        return content
    parts = content if type(content) is list else []
    return "\n".join(part["text"] for part in parts if type(part) is dict and type(part.get("text")) is str)


def _content(message: Record) -> tuple[Any, str]:
    """The content in OpenAI's form, a text where it is nothing more, and what was reasoned."""
    content = message.value.get("content")
    if type(content) is not list:
        return message.optional_text("content") or "", ""
    parts = list(message.records("content"))
    reasoned = [part.optional_text("reasoning") or "" for part in parts if part.text("type") == "reasoning"]
    others = [_part(part) for part in parts if part.text("type") != "reasoning"]
    is_text = all(part.keys() == {"type", "text"} for part in others)
    return ("\n".join(part["text"] for part in others) if is_text else others), "\n".join(reasoned)


def _part(part: Record) -> dict[str, Any]:
    """A part of a content; one that OpenAI has no form for stays as it is."""
    kind = part.text("type")
    if kind == "text":
        refusal = part.flag("refusal")
        text = part.text("text")
        return {"type": "refusal", "refusal": text} if refusal else {"type": "text", "text": text}
    if kind == "image":
        detail = part.optional_text("detail")
        return {"type": "image_url", "image_url": {"url": part.text("image")} | ({"detail": detail} if detail else {})}
    if kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": part.text("audio"), "format": part.text("format")}}
    return part.value
