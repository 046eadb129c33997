"""Habits of other languages: signs, words, stages, units and quotes, and what is written here instead."""

from __future__ import annotations

import re

from matrix.query.language.failure import Failure, keyword_words
from matrix.query.language.suggest import Edit, Refusal, refusal

CURLY_QUOTES = "“”„‟‘’‚‛«»"

SPECIAL_SPACES = "\u00a0\u2007\u202f\u2009\u200a\u2002\u2003\u3000\u200b\ufeff\v\f"

#: Stages of other languages, and ours for the same.
STAGES = {
    "summarize": "count", "stats": "count", "group": "count", "groupby": "count", "aggregate": "count",
    "uniq": "count", "dedup": "count", "per": "count per", "by": "count by",
    "average": "avg", "mean": "avg", "total": "sum", "maximum": "max", "minimum": "min",
    "order": "sort", "orderby": "sort", "top": "sort", "rank": "sort",
    "project": "select", "extend": "select", "fields": "select", "return": "select", "yield": "select",
    "filter": "where", "search": "where", "having": "where", "if": "where",
    "take": "limit", "head": "limit", "first": "limit", "fetch": "limit",
    "sequence": "match", "traverse": "causes",
}  # fmt: skip
#: Words that begin a query elsewhere.
BEGINNINGS = frozenset({
    "select", "from", "with", "where", "find", "show", "get", "count", "list", "return",
    "match", "search", "let", "delete", "drop", "update", "insert",
})  # fmt: skip
#: Signs of other languages.
SIGNS = {
    "==": "=", "===": "=", "&&": "and", "||": "or", "<>": "!=", "=~": "~", "!==": "!=", ":=": "=",
    "=>": ">=", "=<": "<=", "!": "not", "&": "and", "^": "not", "~=": "~", "=*": "~",
}  # fmt: skip
#: Signs that no one sign here stands for.
SIGN_HINTS = {"!~": "say: not … ~ …", "::": "say: text(x), number(x), duration(x) or time(x)"}
#: Words of other languages after a value.
WORDS = {
    "like": "use contains, starts with, ends with, or a pattern: text ~ /refund.*/i",
    "ilike": "use a pattern with i: text ~ /refund/i",
    "rlike": "use a pattern: text ~ /refund.*/i",
    "regexp": "use a pattern: text ~ /refund.*/i",
    "matches": "use a pattern: text ~ /refund.*/i",
    "between": "say: x in 5s..10s, both ends included",
    "startswith": 'say: x starts with "…"',
    "endswith": 'say: x ends with "…"',
    "has": 'say: x contains "…"',
    "includes": 'say: x contains "…"',
    "having": "aggregate with a stage, then filter: | count by role | where count > 5",
    "join": "follow links (agent.role), or rows: | messages",
    "union": "ask two queries",
    "group": "aggregate with a stage: | count by role",
    "order": "sort with a stage: | sort time desc",
    "offset": "use limit, or start later: where time > 5s",
    "isnull": "say: x missing",
    "notnull": "say: x exists",
    "else": "use a function: if(condition, a, b)",
    "case": "use a function: if(condition, a, b)",
    "equals": "say: =",
    "eq": "say: =",
    "is": "say: =",
    "ne": "say: !=",
    "gt": "say: >",
    "lt": "say: <",
    "gte": "say: >=",
    "lte": "say: <=",
}
#: Words that one of ours stands for.
WORD_FIXES = {"equals": "=", "eq": "=", "is": "=", "ne": "!=", "gt": ">", "lt": "<", "gte": ">=", "lte": "<="}
UNITS = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d", "msec": "ms", "millis": "ms",
    "usec": "us", "S": "s", "M": "m", "H": "h", "D": "d", "MS": "ms",
    **{unit: unit for unit in ("us", "ms", "s", "m", "h", "d")},
}  # fmt: skip
DURATIONS = "durations look like 5s, 1h30m (units: us ms s m h d)"


# -- quotes ----------------------------------------------------------------------------------------------


def curly_quotes(failure: Failure) -> Refusal | None:
    """“text”, as an editor makes it."""
    if failure.word[:1] not in CURLY_QUOTES or failure.is_end:
        return None
    return refusal("curly-quotes", "curly quotes", failure.first_letter, "use straight quotes: \"…\" or '…'")


def special_space(failure: Failure) -> Refusal | None:
    """A space that is not one, as copied from a page; all of them are replaced."""
    if failure.word not in SPECIAL_SPACES or failure.is_end:
        return None
    edits = tuple(Edit(i, i + 1, " ") for i, letter in enumerate(failure.plain) if letter in SPECIAL_SPACES)
    return refusal("special-space", "a special space, as pages have them", failure.span, "use a plain space", edits)


def unclosed(failure: Failure) -> Refusal | None:
    """A quote or a pattern that never ends on its line."""
    mark = failure.word[:1]
    if failure.is_end or failure.is_string:
        return None
    if mark == "`":
        return refusal("curly-quotes", "backquotes", failure.first_letter, "use straight quotes: \"…\" or '…'")
    if mark == "/" and "REGEX" in failure.accepts:
        hint = "patterns look like /refund|money back/i; for a / in it write \\/"
        return refusal("unclosed-text", "a pattern is never closed", failure.first_letter, hint)
    if mark not in ('"', "'"):
        return None
    hint = f"add {mark} at the end of the text; a text stays on one line, \\n in it is a line break"
    return refusal("unclosed-text", "a text is never closed", failure.first_letter, hint)


# -- signs -----------------------------------------------------------------------------------------------


def semicolon(failure: Failure) -> Refusal | None:
    """``…; drop table agents``."""
    if failure.word[:1] != ";":
        return None
    return refusal("one-query", "one query at a time", failure.first_letter, "leave out the semicolon")


def sign(failure: Failure) -> Refusal | None:
    """``==`` and its like; all of them in the query are replaced, so that the fix can pass."""
    found = failure.sign
    if found in SIGN_HINTS:
        return refusal("foreign-sign", f'"{found}" is not an operator here', failure.sign_span, SIGN_HINTS[found])
    if found not in SIGNS:
        return None
    edits = tuple(
        Edit(start, end, _spaced(failure.text, start, end, SIGNS[written]))
        for start, end, written in failure.signs()
        if written in SIGNS
    )
    return refusal(
        "foreign-sign", f'"{found}" is not an operator here', failure.sign_span, f'say "{SIGNS[found]}"', edits
    )


def _spaced(text: str, start: int, end: int, ours: str) -> str:
    """A word in the place of a sign needs room around it."""
    if not ours.isalpha():
        return ours
    before = " " if start and not text[start - 1].isspace() else ""
    after = " " if end < len(text) and not text[end].isspace() else ""
    return before + ours + after


def square_bracket(failure: Failure) -> Refusal | None:
    """``in [a, b]`` and ``.items["a"]``."""
    if failure.word[:1] != "[":
        return None
    last = failure.tokens[-1] if failure.tokens else None
    start = failure.span[0]
    if last is not None and last.type == "IN":
        close = failure.text.find("]", start)
        edits = (Edit(start, start + 1, "("), Edit(close, close + 1, ")")) if close > 0 else ()
        hint = "a list is written in ( )"
        return refusal("square-bracket", 'unexpected "["', failure.first_letter, hint, *([edits] if edits else []))
    hint = 'an element is written .items[0] or .items[*], a key .items.name or .items."odd name"'
    return refusal("square-bracket", 'unexpected "["', failure.first_letter, hint)


# -- numbers ---------------------------------------------------------------------------------------------


def number(failure: Failure) -> Refusal | None:
    """``5min``, ``10x``: digits that are no number and no duration; ``10 minutes``."""
    if failure.is_word and failure.tokens and failure.tokens[-1].type == "NUMBER" and failure.word in UNITS:
        start, end = failure.tokens[-1].start_pos or 0, failure.span[1]
        written = f"{failure.tokens[-1]}{UNITS[failure.word]}"
        message = f'"{failure.text[start:end]}" is not a duration'
        return refusal(
            "bad-number", message, (start, end), f"a duration is one word: {written}", Edit(start, end, written)
        )
    if not failure.word[:1].isdigit() or failure.is_token:
        return None
    fixes = [Edit(*failure.span, instead)] if (instead := _duration_meant(failure.word)) else []
    return refusal("bad-number", f'"{failure.shown}" is not a number or a duration', failure.span, DURATIONS, *fixes)


def _duration_meant(word: str) -> str:
    """``5min`` is 5m, ``2w`` is 14d; "" when nothing is meant for sure."""
    found = re.fullmatch(r"(\d[\d_]*(?:\.\d+)?)([A-Za-z]+)", word)
    if found is None:
        return ""
    amount, unit = found.groups()
    if unit in ("w", "week", "weeks") and amount.isdigit() and len(amount) < 6:
        return f"{int(amount) * 7}d"
    return f"{amount.replace('_', '')}{UNITS[unit]}" if unit in UNITS else ""


def moment(failure: Failure) -> Refusal | None:
    """``@2026``: not a whole time."""
    if failure.word[:1] != "@" or failure.is_token:
        return None
    hint = "times look like @2026-01-31 or @2026-01-31T12:00:00Z"
    return refusal("bad-time", f'"{failure.shown}" is not a time', failure.span, hint)


# -- words -----------------------------------------------------------------------------------------------


def is_null(failure: Failure) -> Refusal | None:
    """SQL's test for a missing value."""
    found = re.compile(r"is\s+(?:not\s+)?(?:null|none|missing)\b", re.IGNORECASE).match(failure.text, failure.span[0])
    if found is None or failure.is_end:
        return None
    return refusal("foreign-word", 'there is no "is null"', found.span(), "say: x missing, or: x exists")


def word(failure: Failure) -> Refusal | None:
    """``like``, ``between``, ``group by``: what there is instead."""
    plain = failure.word.lower()
    if plain not in WORDS or failure.is_end or not ({"AND", "VBAR", "WHERE"} & failure.accepts):
        return None
    said, span = failure.shown, failure.span
    found = re.compile(r"(?:group|order)\s+by\b", re.IGNORECASE).match(failure.text, span[0])
    if found is not None:
        said, span = f"{plain} by", found.span()
    fixes = [Edit(*span, WORD_FIXES[plain])] if plain in WORD_FIXES else []
    return refusal("foreign-word", f'there is no "{said}"', span, WORDS[plain], *fixes)


def upper_case(failure: Failure) -> Refusal | None:
    """Keywords in capitals; all of them in the query are lowered, so that the fix can pass."""
    plain = failure.word.lower()
    if failure.word == plain or plain not in failure.keywords:
        return None
    hint = f'keywords are lower case: "{plain}"'
    return refusal("lower-case", f'unexpected "{failure.shown}"', failure.span, hint, lowered(failure))


def lowered(failure: Failure) -> tuple[Edit, ...]:
    """Edits that lower every keyword written in capitals."""
    words = keyword_words()
    return tuple(
        Edit(start, end, failure.text[start:end].lower())
        for start, end in failure.words()
        if failure.text[start:end].isupper() and failure.text[start:end].lower() in words
    )
