"""OpenAI's chat JSON Lines: the fine-tuning format, and its form for preferences.

    matrix import openai train.jsonl --store runs

A line is ``{"messages": [...], "tools": [...], "parallel_tool_calls": true}``. What becomes of it:

* **simulation**: id ``openai-<the first 12 letters of the file's digest>-<line>``, name ``openai``, status finished.
  Data: ``.line .file .file_digest .format``, and whatever else the line says (``.parallel_tool_calls``, ``.metadata``,
  ``.functions`` of old).
* **agents, messages, calls and answers**: as ``matrix.importers.chat`` tells them. The tools (``functions`` of old in
  the form of tools) are the briefing's. Exported as a chat, a line gives the same messages and tools in their order.
* **time**: none is recorded, so each message takes one virtual second. ``wall`` is the moment of the import.

A line ``{"input": {"messages": ..., "tools": ...}, "preferred_output": [...], "non_preferred_output": [...]}`` becomes
two simulations, ``...-<line>-preferred`` and ``...-<line>-rejected``, each the input and one of the outputs, with the
goal ``answer`` of the assistant: succeeded with reward 1 where the output was preferred, else failed with reward 0.
``.pair`` of both is the id without its last word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matrix.importers.chat import Chat
from matrix.importers.fields import Record, joined
from matrix.importers.history import History
from matrix.importers.jsonlines import records
from matrix.importers.source import Refusal, Source

_DIGEST_LETTERS = 12
#: The outputs of a line, what each is called, and what became of the goal of giving it.
_OUTPUTS = (("preferred_output", "preferred", "succeeded"), ("non_preferred_output", "rejected", "failed"))


def read(source: Source) -> Iterator[History]:
    """The chats of a file, line by line."""
    about = {"format": "openai", "file": source.name, "file_digest": source.digest}
    for number, line in records(source, what="an OpenAI chat"):
        id = f"openai-{source.digest[:_DIGEST_LETTERS]}-{number}"
        if line.has("messages"):
            yield _chat(id, line, about | {"line": number}, source.wall)
        elif line.has("input"):
            yield from _pair(id, line, about | {"line": number}, source.wall)
        else:
            raise Refusal(line.path, "not an OpenAI chat: it has no messages (and no input with two outputs)")


def _chat(id: str, line: Record, about: dict[str, Any], wall: int) -> History:
    messages, tools = _messages(line), _tools(line)
    history = History(id, name="openai", wall=wall, data=joined(about, line.rest()))
    chat = Chat(history, messages, tools=tools)
    chat.tell()
    history.finish(time=chat.duration)
    return history


def _pair(id: str, line: Record, about: dict[str, Any], wall: int) -> Iterator[History]:
    """The two simulations of a line that says which of two outputs is the better one."""
    prompt = line.record("input")
    messages, tools = _messages(prompt), _tools(prompt)
    outputs = [_output(line, field) for field, _, _ in _OUTPUTS]
    about = joined(joined(about | {"pair": id}, prompt.rest()), line.rest())
    for output, (_, outcome, status) in zip(outputs, _OUTPUTS, strict=True):
        history = History(f"{id}-{outcome}", name="openai", wall=wall, data=dict(about))
        chat = Chat(history, messages + output, tools=tools)
        goal = history.start_goal(chat.assistant, "answer")
        chat.tell()
        reward = {"reward": 1.0 if status == "succeeded" else 0.0}
        history.end_goal(goal, status, reason=outcome, cause=len(history.events), data=reward)
        history.finish(time=chat.duration)
        yield history


def _messages(chat: Record) -> list[Record]:
    messages = list(chat.records("messages"))
    if not messages:
        raise Refusal(chat.at("messages"), "expected a list of messages, found none")
    return messages


def _output(line: Record, field: str) -> list[Record]:
    messages = list(line.records(field))
    if not messages:
        raise Refusal(line.at(field), "expected a list of the assistant's messages, found none")
    for message in messages:
        if message.text("role") != "assistant":
            raise Refusal(message.at("role"), f"expected assistant, found {message.text('role')[:40]!r}")
    return messages


def _tools(chat: Record) -> list[dict[str, Any]]:
    """The schemas of the tools; functions of old, which the line keeps as well, in the form of tools."""
    tools = [tool.value for tool in chat.records("tools")]
    functions = Record({"functions": chat.value.get("functions")}, chat.path).records("functions")
    return tools or [{"type": "function", "function": function.value} for function in functions]
