"""How other languages, and people in a hurry, say what this one says otherwise: an idiom at the place of an error.

An idiom is a pattern that must stand at the place of an error. It is asked after the parser or the checker has refused
the text, so a right query never meets it; its rewriting is shown only when the whole query passes with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

from matrix.limits import QUERY_FIXES_MAX, QUERY_REPAIR_CHARS_MAX
from matrix.query.language.failure import blanked
from matrix.query.language.idiom import Idiom
from matrix.query.language.idioms_of_conditions import OF_CONDITIONS
from matrix.query.language.idioms_of_queries import OF_QUERIES
from matrix.query.language.suggest import Refusal, refusal

IDIOMS = (*OF_CONDITIONS, *OF_QUERIES)
#: Refusals that say by themselves what is better: an idiom is not asked.
_STRONG = frozenset(
    [
        "empty-query",
        "too-long",
        "too-many-words",
        "too-deep",
        "bad-character",
        "special-space",
        "curly-quotes",
        "unclosed-text",
        "unclosed-bracket",
        "no-parameter",
        "bad-parameter",
        "needs-unit",
        "bad-number",
        "wildcard",
        "wildcard-other-than",
        "shape-last",
        "not-in-watch",
        "name-taken",
        "two-columns",
        "one-query",
        "needs-name",
        "goal-of-goal",
        "goal-name",
    ]
)
#: Refusals of the parser that say little more than where it stopped.
_VAGUE = frozenset(
    [
        "unexpected",
        "side-by-side",
        "too-early",
        "no-where",
        "no-comma",
        "no-pipe",
        "no-relation",
        "unknown-stage",
        "unknown-shape",
        "not-a-size",
        "unknown-function",
        "no-brackets",
        "square-bracket",
        "foreign-word",
        "foreign-sign",
        "extra-bracket",
        "bad-time",
    ]
)


def idiomatic(text: str, refused: Refusal, fix: str, passes: Callable[[str], bool]) -> tuple[Refusal, str]:
    """The refusal and its fix; another refusal when an idiom of another language explains it better."""
    if len(text) > QUERY_REPAIR_CHARS_MAX or refused.code in _STRONG:
        return refused, fix
    for idiom, found in islice(_met(text, refused), QUERY_FIXES_MAX):
        for candidate in _rewritten(text, idiom, found):
            if candidate == fix:
                return refused, fix
            if passes(candidate):
                return _said(idiom, found), candidate
    return refused, fix


def hinted(text: str, refused: Refusal, fix: str, passes: Callable[[str], bool]) -> tuple[Refusal, str]:
    """The refusal; when nothing was found that passes, what an idiom says is better than where the parser stopped."""
    if fix or len(text) > QUERY_REPAIR_CHARS_MAX or refused.code not in _VAGUE or "did you mean" in refused.hint:
        return refused, fix
    met = next(_met(text, refused), None)
    return (refused if met is None else _said(*met)), fix


def _met(text: str, refused: Refusal) -> Iterator[tuple[Idiom, re.Match[str]]]:
    """The idioms that stand at the place of the error, outside of texts in quotes."""
    start, end = refused.span
    plain = blanked(text)
    for idiom in IDIOMS:
        for found in idiom.pattern.finditer(text):
            is_here = found.start() <= max(start, end - 1) and start <= found.end() and found.group()
            if is_here and (plain[found.start()] == text[found.start()] or text[found.start()] in "\"'#"):
                yield idiom, found
                break


def _rewritten(text: str, idiom: Idiom, found: re.Match[str]) -> Iterator[str]:
    """The text with the idiom said rightly here, and everywhere."""
    if idiom.instead is None:
        return
    instead = idiom.instead(found) if callable(idiom.instead) else found.expand(idiom.instead)
    yield (text[: found.start()] + instead + text[found.end() :]).strip()
    yield idiom.pattern.sub(idiom.instead, text).strip()


def _said(idiom: Idiom, found: re.Match[str]) -> Refusal:
    written = found.group()
    start = found.start() + len(written) - len(written.lstrip(" |\n\t"))
    return refusal(
        "foreign-word", idiom.message, (start, max(start, found.start() + len(written.rstrip()))), idiom.hint
    )
