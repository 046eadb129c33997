"""What of a row of chat is whose words, and which of them are compared with other rows.

Messages have OpenAI's form. What always holds: a message's text is found whether it is a text, a list of parts, or not
there; and nothing here looks at who stored it where.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from matrix.report.words import OWN

_TOLD = frozenset({"system", "developer"})  # roles of what an agent was told before it began
_ANSWERS = frozenset({"tool", "function"})


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text; of one in parts all texts, a line each.

    >>> text_of({"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "image_url"}]})
    'Hello'
    """
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") if isinstance(part, Mapping) else part for part in content)
    return "\n".join(part for part in parts if isinstance(part, str))


def tool_calls(message: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The name and the arguments, as text, of each tool that a message calls."""
    found = []
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            arguments = function.get("arguments")
            found.append((str(function.get("name", "")), arguments if isinstance(arguments, str) else str(arguments)))
    return found


def own_texts(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the agent itself says, message by message, without its calls of tools."""
    said = (text_of(message) for message in messages if message.get("role") == "assistant")
    return [text for text in said if text.strip()]


def compared(messages: Iterable[Mapping[str, Any]]) -> str:
    """The text by which a row is a duplicate of another: what is said and which tools are called, a line each.

    Left out is what the agent was told before it began, which is the same in all rows of a program and would make
    them all alike, and what tools answer, which follows from the calls and may be most of the words. The agent's own
    lines begin with ``OWN``: the other side of the same conversation is another row, and no duplicate.

    >>> compared([{"role": "system", "content": "Sell."}, {"role": "user", "content": "Hi,\\nthere"},
    ...           {"role": "assistant", "content": "Hello"}])
    'Hi, there\\n\\x02Hello'
    """
    lines = []
    for message in messages:
        role = message.get("role")
        if role in _TOLD or role in _ANSWERS:
            continue
        mark = OWN if role == "assistant" else ""
        said = [text_of(message), *(f"{name} {arguments}" for name, arguments in tool_calls(message))]
        lines += [mark + " ".join(text.split()) for text in said if text.strip()]
    return "\n".join(lines)
