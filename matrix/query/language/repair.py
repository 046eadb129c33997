"""A word with one wrong letter, found by trying: which word, put right, makes a query of the text?

The parser stops where a text cannot go on, and that may be behind the slip: ``agents where evry goal (failed)`` is read
up to ``goal``. So the words at the place and some before it are tried, each with the words of the language that are one
letter away; the first text that is a right query shows what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from matrix.limits import QUERY_REPAIR_CHARS_MAX, QUERY_REPAIRS_MAX
from matrix.query.language.failure import keyword_words
from matrix.query.language.fields import SHAPES
from matrix.query.language.habits import AGGREGATES
from matrix.query.language.suggest import Edit, Refusal, apply, did_you_mean, is_one_slip, joined, likeness, refusal
from matrix.query.language.values import FUNCTIONS
from matrix.query.syntax import Span

#: How many words before the place of an error may be the ones that are misspelt.
WORDS_BEFORE = 6
PERCENTILES = ("p50", "p95", "p99")
#: Refusals whose fix is a guess that a slip of the hand explains better.
_WEAK = frozenset(
    [
        "unexpected",
        "unknown-field",
        "unknown-column",
        "unknown-function",
        "unknown-stage",
        "unknown-step",
        "side-by-side",
        "no-where",
        "no-comma",
        "no-pipe",
        "no-relation",
        "kind-as-condition",
        "needs-quotes",
        "too-early",
        "no-outcome",
        "not-a-size",
    ]
)

_PLACE = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|#[^\n]*|(?<![\w.$@])([^\W\d]\w*)(?![\w.])")


@cache
def vocabulary() -> frozenset[str]:
    """Every word that has a meaning of its own: keywords, functions, aggregates, shapes."""
    return keyword_words() | {*FUNCTIONS, *AGGREGATES, *PERCENTILES, *SHAPES}


def repaired(text: str, refused: Refusal, fix: str, passes: Callable[[str], bool]) -> tuple[Refusal, str]:
    """The refusal and its fix; another refusal when one misspelt word explains it better."""
    if refused.code not in _WEAK or len(text) > QUERY_REPAIR_CHARS_MAX or (fix and "did you mean" in refused.hint):
        return refused, fix
    for tried, edit in enumerate(_edits(text, refused.span)):
        if tried == QUERY_REPAIRS_MAX:
            break
        candidate = apply(text, [edit])
        if candidate == fix:
            break
        if passes(candidate):
            return _with(text, refused, edit), candidate
    return refused, fix


def _with(text: str, refused: Refusal, edit: Edit) -> Refusal:
    """The refusal that asks for the word that was meant, at that word."""
    span, word = (edit.start, edit.end), text[edit.start : edit.end]
    asked = did_you_mean(edit.text)
    if span == refused.span:
        return refusal(
            refused.code, refused.message, span, asked if asked in refused.hint else joined(asked, refused.hint)
        )
    return refusal("unexpected", f'unexpected "{word}"', span, asked)


def _edits(text: str, span: Span) -> Iterator[Edit]:
    """Replacements of the word at the place and of those before it; words of the language themselves come last."""
    places = [
        found.span(1) for found in _PLACE.finditer(text) if found.group(1) and found.start() < max(span[1], span[0] + 1)
    ]
    near = places[: -WORDS_BEFORE - 1 : -1]
    known = vocabulary()
    for start, end in sorted(near, key=lambda place: text[slice(*place)] in known):
        for word in _one_letter_away(text[start:end]):
            yield Edit(start, end, word)


def _one_letter_away(word: str) -> list[str]:
    found = [other for other in vocabulary() if is_one_slip(word, other)]
    return sorted(found, key=lambda other: likeness(word, other))
