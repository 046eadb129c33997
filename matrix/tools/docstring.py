"""Docstrings in Google's style: what a tool does, and what each of its arguments means.

What always holds: whatever is written, something comes of it; text that has no section for arguments is the
description as it stands. The style is that of https://google.github.io/styleguide/pyguide.html, section 3.8.3.
"""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

_ARGUMENTS = frozenset({"args", "arguments", "parameters", "params"})
_OTHERS = frozenset({"returns", "return", "yields", "yield", "raises", "examples", "example", "note", "notes"})
_HEADING = re.compile(r"(\w+):\s*$")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")


class Described(NamedTuple):
    """What a docstring says: of the whole, and of arguments by name."""

    text: str
    arguments: dict[str, str]


def described(docstring: str | None) -> Described:
    """Read a docstring.

    >>> described('''Find an order.
    ...
    ... Args:
    ...     order_id: Its id, such as "W1",
    ...         with the letter.
    ... Returns:
    ...     The order.
    ... ''')
    Described(text='Find an order.', arguments={'order_id': 'Its id, such as "W1", with the letter.'})
    """
    text: list[str] = []
    arguments: list[str] = []
    into: list[str] | None = text
    for line in inspect.cleandoc(docstring or "").splitlines():
        heading = _HEADING.fullmatch(line)
        name = heading[1].lower() if heading else ""
        if name in _ARGUMENTS:
            into = arguments
        elif name in _OTHERS:
            into = None
        else:
            if line and not line[0].isspace() and into is not text:
                into = text  # prose after a section belongs to the description again
            if into is not None:
                into.append(line)
    return Described(re.sub(r"\n{3,}", "\n\n", "\n".join(text)).strip(), _entries(arguments))


def _entries(lines: list[str]) -> dict[str, str]:
    """The lines of a section, as a name and its text each; deeper lines go on with what stands above them."""
    entries: dict[str, list[str]] = {}
    current: list[str] | None = None
    depth = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    for line in lines:
        entry = _ENTRY.fullmatch(line.strip()) if len(line) - len(line.lstrip()) == depth else None
        if entry:
            current = entries[entry[1]] = [entry[2]]
        elif current is not None and line.strip():
            current.append(line.strip())
    return {name: " ".join(part for part in parts if part) for name, parts in entries.items()}
