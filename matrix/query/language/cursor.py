"""The place where a text is to be completed: the word under the cursor, what the parser takes there, what names mean.

The parser's state before the word says which kinds of word may come. What names mean is asked of the checker itself: a
probe is put in place of the word, the text is ended in the shortest way that can be read, and the checker stops at the
probe and says what it knows. So completion never knows more or less than the checker does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lark import Token
from lark.exceptions import LarkError

from matrix.query.language.failure import fixed_words
from matrix.query.language.grammar import parser
from matrix.query.language.scope import PROBE, Probed
from matrix.query.syntax import Query

_LEFT = re.compile(r"[$@]?(?:[\w.]|\[(?:-?\d+|\*)?\]|\"[^\"\n]*\"(?=\.))*$")
_RIGHT = re.compile(r"[\w]*")
_STRINGS = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|#[^\n]*|[\"']")
#: Ways to end a text behind the probe; each ) that is still open is added.
ENDS = ("", " exists", " exists, 1, 1)", ", 1, 1)", " of event)", " = 1")


@dataclass(frozen=True)
class Place:
    """``text[start:end]`` is what is replaced; ``written`` is what of it stands before the cursor."""

    text: str
    start: int
    end: int
    written: str
    quote: str  # the quote that is open here, or ""
    tokens: tuple[Token, ...]
    accepts: frozenset[str]

    @property
    def before(self) -> str:
        """The text before the word."""
        return self.text[: self.start]

    @property
    def last(self) -> str:
        """The type of the token before the word; "" at the beginning."""
        return self.tokens[-1].type if self.tokens else ""

    @property
    def keywords(self) -> list[str]:
        """The words of the language that may come here."""
        words = fixed_words()
        return sorted(words[name] for name in self.accepts if name in words and words[name].isalpha())

    def probe(self, word: str, check: Callable[[str], Query | Probed | None]) -> Query | Probed | None:
        """What the checker finds when ``word`` stands here, with ``PROBE`` somewhere in it."""
        types = [token.type for token in self.tokens]
        is_open = types.count("LPAR") - types.count("RPAR")
        for end in ENDS:
            closing = is_open - end.count(")")
            if closing >= 0:
                found = check(f"{self.before} {word}{end}{')' * closing}")
                if found is not None:
                    return found
        return None


def place_at(text: str, cursor: int) -> Place | None:
    """The place at a cursor; None in a comment, or where what is before it cannot be read."""
    quote, start = _open_quote(text, cursor)
    if quote == "#":
        return None
    if quote:
        close = re.compile(rf"[^{quote}\n]*{quote}").match(text, cursor)
        end = close.end() if close else cursor
        written = text[start + 1 : cursor]
    else:
        left = _LEFT.search(text[:cursor])
        start = left.start() if left else cursor
        right = _RIGHT.match(text, cursor)
        end = right.end() if right else cursor
        written = text[start:cursor]
    state = _read(text[:start])
    if state is None:
        return None
    return Place(text, start, end, written, quote, *state)


def _open_quote(text: str, cursor: int) -> tuple[str, int]:
    """The quote (or #) that is open at the cursor, and where it began; "" when none is."""
    for found in _STRINGS.finditer(text[:cursor]):
        written = found.group()
        if written[0] == "#" and found.end() == cursor:
            return "#", found.start()
        if written in ("'", '"') and "\n" not in text[found.start() : cursor]:
            return written, found.start()
    return "", cursor


def _read(before: str) -> tuple[tuple[Token, ...], frozenset[str]] | None:
    """The tokens of a text that may end anywhere, and the types of those that could come next."""
    interactive = parser().parse_interactive(before)
    tokens: list[Any] = []
    try:
        for token in interactive.lexer_thread.lex(interactive.parser_state):  # type: ignore[no-untyped-call]
            interactive.feed_token(token)
            tokens.append(token)
        return tuple(tokens), frozenset(str(name) for name in interactive.accepts())  # type: ignore[no-untyped-call]
    except LarkError:
        return None


def has_probe(path: tuple[object, ...]) -> bool:
    """Whether a path ends at the probe."""
    return bool(path) and path[-1] == PROBE
