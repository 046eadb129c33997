"""One idiom, and the pictures that many of them share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

#: A constant, a word or a path, as anybody might write it.
VALUE = r"(?:\"[^\"]*\"|'[^']*'|[$@]?[\w.:-]+)"
PATH = r"[.\w]+"


class Idiom(NamedTuple):
    """A picture of text, what is wrong with it, what to say, and the text that says it (None when there is none)."""

    pattern: re.Pattern[str]
    message: str
    hint: str
    instead: str | Callable[[re.Match[str]], str] | None = None


def idiom(pattern: str, message: str, hint: str, instead: str | Callable[[re.Match[str]], str] | None = None) -> Idiom:
    """An idiom whose pattern takes capitals for small letters."""
    return Idiom(re.compile(pattern, re.IGNORECASE), message, hint, instead)
