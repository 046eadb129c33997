"""Refusals: what is wrong, where, what to write; nearest words; and fixes that were tried.

Parser and checker raise ``Refusal`` with fixes they only hope for. ``check`` tries each fix as a
query of its own and shows the first that passes, so a fix is never wrong twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from matrix.query.syntax import Span


class Edit(NamedTuple):
    """Replace text[start:end] by ``text``."""

    start: int
    end: int
    text: str


class Refusal(Exception):
    """A query that is refused, on its way to becoming a ``QueryError``."""

    def __init__(self, code: str, message: str, span: Span, hint: str, fixes: tuple[tuple[Edit, ...], ...]) -> None:
        super().__init__(message)
        self.code, self.message, self.span, self.hint, self.fixes = code, message, span, hint, fixes


def refusal(code: str, message: str, span: Span, hint: str = "", *fixes: Edit | tuple[Edit, ...]) -> Refusal:
    """A refusal, to be raised; each fix is one edit, or several made together."""
    return Refusal(code, message, span, hint, tuple((fix,) if isinstance(fix, Edit) else fix for fix in fixes))


def apply(text: str, edits: Sequence[Edit]) -> str:
    """The text after these edits, which do not overlap."""
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def distance(a: str, b: str) -> int:
    """How many letters differ: inserted, left out, replaced, or two neighbours swapped."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        last, before, row = before, row, [i]
        for j, y in enumerate(b, start=1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, last[j - 2] + 1)
            row.append(best)
    return row[-1]


def is_one_slip(a: str, b: str) -> bool:
    """Whether one letter was put in, left out or replaced, or two neighbours swapped."""
    if abs(len(a) - len(b)) > 1 or a == b:
        return False
    shorter = min(len(a), len(b))
    start = next((i for i in range(shorter) if a[i] != b[i]), shorter)
    end = next((i for i in range(shorter - start) if a[-1 - i] != b[-1 - i]), shorter - start)
    here, there = a[start : len(a) - end], b[start : len(b) - end]
    return max(len(here), len(there)) <= 1 or (len(here) == len(there) == 2 and here == there[::-1])


def likeness(word: str, choice: str) -> tuple[int, bool, int, bool, str]:
    """How unlike a choice is: by letters that differ; then no swap, a shorter word, another beginning."""
    lower = choice.lower()
    return (distance(word, lower), sorted(word) != sorted(lower), -len(choice), word[:1] != lower[:1], choice)


def nearest(word: str, choices: Collection[str]) -> str:
    """The choice a hand most likely meant, or "" when none is near enough."""
    word = word.lower()[:64]
    far_max = max(1, len(word) // 3)
    near = [choice for choice in choices if abs(len(choice) - len(word)) <= far_max]
    best = min((likeness(word, choice) for choice in near), default=(far_max + 1, True, 0, True, ""))
    if best[0] <= far_max and best[0] < len(best[-1]):
        return best[-1]
    return _longest_common_start(word, choices)


def _longest_common_start(word: str, choices: Collection[str]) -> str:
    """The choice that begins like the word (success, succeeded), for at least four letters and most of the word."""
    best, best_length = "", max(3, len(word) * 2 // 3)
    for choice in sorted(choices):
        length = next((i for i, (x, y) in enumerate(zip(word, choice)) if x != y), min(len(word), len(choice)))
        if length > best_length:
            best, best_length = choice, length
    return best


def how_well(written: str, text: str) -> int | None:
    """How well a text fits what was written: it begins so, a word inside does, or nearly; None when it does not."""
    word, whole = written.lower(), text.strip("\"'").lower()
    if whole.startswith(word):
        return 0
    if word in whole:
        return 1
    letters = iter(whole)
    if len(word) > 1 and (is_one_slip(word, whole[: len(word)]) or all(letter in letters for letter in word)):
        return 2
    return None


def did_you_mean(choice: str) -> str:
    """The question, or nothing when there is no choice."""
    return f'did you mean "{choice}"?' if choice else ""


def joined(*parts: str) -> str:
    """Sentences of a hint, without the empty ones."""
    return " ".join(part for part in parts if part)


def listed(words: Iterable[str]) -> str:
    """a, b, c."""
    return ", ".join(words)
