"""The text being typed: what is wrong with it so far, and whether that is said yet.

A mistake is shown as soon as the hand has moved on from it: what stands right before the cursor, or ends the text, may
still become right. Enter asks: then every mistake is shown, until the text changes.
"""

from __future__ import annotations

from collections.abc import Callable

from matrix.errors import QueryError

#: Queries that are right so far: Enter begins a new line.
CONTINUES = frozenset({"too-early", "nothing-after-pipe", "unclosed-bracket"})
_NOT_YET = CONTINUES | {"unclosed-text", "empty-query"}


def is_command(text: str) -> bool:
    """Whether a line is a command (:help) or a parameter ($name = value), and no query."""
    return text.lstrip().startswith((":", "$"))


class Draft:
    """What is known of the text being typed; `check` says what is wrong with a query, or None."""

    def __init__(self, check: Callable[[str], QueryError | None]) -> None:
        self._check = check
        self._checked: tuple[str, QueryError | None] | None = None
        self._refused: str | None = None

    def begin(self) -> None:
        """A new text is typed; parameters and names may have changed since the last."""
        self._checked = self._refused = None

    def mistake(self, text: str) -> QueryError | None:
        """The mistake of this text, if any; the newest text is remembered, since it is drawn again and again."""
        if self._checked is None or self._checked[0] != text:
            is_query = text.strip() and not is_command(text)
            self._checked = (text, self._check(text) if is_query else None)
        return self._checked[1]

    def refuse(self, text: str) -> None:
        """Enter was pressed, and this text is not right."""
        self._refused = text

    def shown(self, text: str, cursor: int) -> QueryError | None:
        """The mistake to show while the cursor is there."""
        error = self.mistake(text)
        if error is None or text == self._refused:
            return error
        is_at_hand = error.start <= cursor <= error.end or not text[error.end :].strip()
        return None if error.code in _NOT_YET or is_at_hand else error

    def expected(self, text: str) -> str:
        """What a new line of an unfinished query waits for."""
        error = self.mistake(text)
        is_new_line = "\n" in text and not text.rpartition("\n")[2].strip()
        return error.hint if error is not None and is_new_line and error.code in CONTINUES else ""
