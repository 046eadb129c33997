"""Rows of chat made by hand."""

from __future__ import annotations

import random
from typing import Any


def row(
    number: int, *own: str, role: str = "assistant", heard: str = "go on", system: str | None = None, **more: Any
) -> dict[str, Any]:
    """A row in which an agent hears something, and says each text in ``own``."""
    messages: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
    for text in own:
        messages += [{"role": "user", "content": heard}, {"role": "assistant", "content": text}]
    return {"messages": messages, "simulation": f"1-{number}", "agent": "ada", "role": role, **more}


def calling(name: str, arguments: str, answer: str) -> list[dict[str, Any]]:
    """A call of a tool, and its answer."""
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    return [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": answer},
    ]


def speech(seed: int, words: int, vocabulary: int = 2_000) -> str:
    """Words drawn by chance, the same for a seed."""
    chance = random.Random(seed)
    return " ".join(f"word{chance.randrange(vocabulary)}" for _ in range(words))
