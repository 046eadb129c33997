"""Pieces of recorded conversations, and what a store holds of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matrix.event import Event
from matrix.importers import arguments_text, result_text
from matrix.index.index import Index
from matrix.log.reader import LogReader


def message(role: str, content: str | None, second: float, **more: Any) -> dict[str, Any]:
    """A recorded message, ``second`` seconds after the start."""
    return {"role": role, "content": content, "timestamp": f"2025-08-01T12:00:{second:09.6f}", **more}


def call(id: str, name: str, requestor: str = "assistant", **arguments: Any) -> dict[str, Any]:
    return {"id": id, "name": name, "arguments": arguments, "requestor": requestor}


def openai_call(id: str, arguments: str, name: str = "find") -> dict[str, Any]:
    """A call in OpenAI's form, its arguments as JSON text."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def openai_messages(events: list[Event], agent: int) -> list[dict[str, Any]]:
    """The chat that an agent's events were made of, by the rules of ``matrix.importers.chat``, written out again."""
    messages: list[dict[str, Any]] = []
    overlays: list[dict[str, Any]] = []  # laid over when a message has all its calls
    turns: list[tuple[int, int]] = []
    for event in events:
        data = event.data
        at = (event.agent, event.turn)
        if event.kind == "message.sent":
            made = {"role": "assistant" if event.agent == agent else "user", "content": data["text"]}
        elif event.agent != agent:
            continue
        elif event.kind == "tool.called":
            call = openai_call(data["call_id"], arguments_text(data), data["tool"])
            made = {"role": "assistant", "tool_calls": [data.get("call", call)]}
        elif event.kind in ("tool.completed", "tool.failed"):
            made = {"role": "tool", "tool_call_id": data["call_id"], "content": result_text(data)}
        elif event.kind == "note" and data["subject"] == "briefing" and "system" in data:
            made, at = {"role": "system", "content": data["system"]}, (0, 0)
        elif event.kind == "note" and data["subject"] == "message":
            made = {}
        else:
            continue
        if at in turns and event.kind == "tool.called":
            earlier = messages[turns.index(at)]
            earlier["tool_calls"] = earlier.get("tool_calls", []) + made["tool_calls"]
            overlays[turns.index(at)] |= data.get("message", {})
        else:
            messages.append(made)
            overlays.append(dict(data.get("message", {})))
            turns.append(at)
    told = [message | overlay for message, overlay in zip(messages, overlays, strict=True)]
    return [{key: value for key, value in message.items() if value is not None} for message in told]


def events_in(store: Path) -> list[Event]:
    """Every event of the log, simulations in the order in which they came."""
    reader = LogReader(store / "log")
    found = [event for shard in reader.shards() for block in reader.blocks(shard) for event in block.events()]
    return sorted(found, key=lambda event: (event.simulation, event.seq))


def ids_in(store: Path) -> list[str]:
    """The ids that the index knows."""
    if not (store / "log").is_dir():
        return []
    with Index.open(store) as index:
        index.follow(LogReader(store / "log"))
        return [id for (id,) in index.connection.execute("SELECT id FROM simulations ORDER BY gid")]
