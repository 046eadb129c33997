"""Constants: what is written in a query, and what is given for its ``$parameters``.

A parameter's value becomes a typed literal and is never read as query text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

from matrix.query.language.suggest import Edit, joined, listed, nearest, refusal
from matrix.query.syntax import Literal, Span, Type

UNIT_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
INT_MAX = 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

_HALF_LETTER = re.compile("[\ud800-\udfff]")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")


def duration_us(text: str, span: Span) -> int:
    """``1h30m`` in microseconds."""
    total = sum(Fraction(amount) * UNIT_US[unit] for amount, unit in _DURATION_PART.findall(text))
    if total > INT_MAX:
        raise refusal(
            "number-too-large", f'"{text}" is longer than this can count', span, "the longest is some 292,000 years"
        )
    return round(total)


def time_us(text: str, span: Span) -> int:
    """``@2026-01-31T12:00:00Z`` in microseconds since 1970; without a zone it is UTC."""
    try:
        return datetime_us(datetime.fromisoformat(text[1:]))
    except (ValueError, OverflowError):
        hint = "times look like @2026-01-31 or @2026-01-31T12:00:00Z"
        raise refusal("bad-time", f'"{text}" is not a time', span, hint) from None


def datetime_us(moment: datetime) -> int:
    """Microseconds since 1970; a time without a zone is UTC."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


def number(text: str, span: Span) -> int | float:
    """``10_000`` as an int, ``0.5`` and ``1e6`` as floats."""
    plain = text.replace("_", "")
    # A float has some 300 digits at most; int() of a very long text would be slow, or refuse by itself.
    value = float(plain) if not plain.isdigit() else int(plain) if len(plain) <= 20 else float("inf")
    if value == float("inf") or (isinstance(value, int) and value > INT_MAX):
        shown = text if len(text) <= 30 else text[:27] + "…"
        raise refusal(
            "number-too-large", f'"{shown}" is too large a number', span, f"the largest whole number is {INT_MAX}"
        )
    return value


_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_SIMPLE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "/": "/"}


def unquote(text: str, span: Span) -> str:
    """The text between quotes, its JSON escapes replaced."""
    if "\\" not in text:
        return text[1:-1]

    def replace(found: re.Match[str]) -> str:
        letter = found.group(1)
        if letter in _SIMPLE_ESCAPES:
            return _SIMPLE_ESCAPES[letter]
        if letter[0] == "u" and len(letter) == 5:
            return chr(int(letter[1:], 16))
        place = span[0] + 1 + found.start()
        raise refusal(
            "bad-escape",
            f'"\\{letter}" is not an escape',
            (place, place + len(found.group())),
            'escapes are those of JSON: \\" \\\\ \\n \\t \\u00e9; for a backslash write \\\\',
        )

    # Two \u escapes may be one letter beyond U+FFFF, as in JSON.
    unescaped = _ESCAPE.sub(replace, text[1:-1])
    return unescaped.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def quote(text: str) -> str:
    """A text as a query writes it."""
    return json.dumps(text, ensure_ascii=False)


def parameter(name: str, params: Mapping[str, Any], span: Span) -> Literal:
    """The value given for ``$name``, typed by what it is."""
    if name not in params:
        near = nearest(name, list(params)) or (next(iter(params)) if len(params) == 1 else "")
        given = f"Values were given for: {listed('$' + p for p in params)}" if params else "No values were given"
        fixes = (Edit(*span, "$" + near),) if near else ()
        hint = joined(f"did you mean ${near}?" if near else "", given)
        raise refusal("no-parameter", f"no value was given for ${name}", span, hint, *fixes)
    value = params[name]
    if isinstance(value, list | tuple | set | frozenset):
        return Literal(span, [_scalar(name, item, span).value for item in value], Type.LIST)
    return _scalar(name, value, span)


def parameter_members(name: str, params: Mapping[str, Any], span: Span) -> tuple[Literal, ...]:
    """The values of a list given for ``$name``, each typed."""
    if parameter(name, params, span).type is not Type.LIST:
        raise refusal("bad-parameter", f"${name} is not a list", span, "in takes a list, a range, or values in ( )")
    return tuple(_scalar(name, item, span) for item in params[name])


def _scalar(name: str, value: Any, span: Span) -> Literal:
    if hasattr(value, "item") and hasattr(value, "dtype"):  # a numpy scalar
        value = value.item()
    match value:
        case None:
            return Literal(span, None, Type.MISSING)
        case bool():
            return Literal(span, value, Type.BOOL)
        case str() if value.isascii() or not _HALF_LETTER.search(value):
            return Literal(span, str(value), Type.TEXT)
        case str():
            raise refusal(
                "bad-parameter",
                f"the value given for ${name} has half a letter in it",
                span,
                "decode it anew, from the bytes it was made of",
            )
        case int() | float():
            return Literal(span, value, Type.NUMBER)
        case timedelta():
            return Literal(span, value // MICROSECOND, Type.DURATION)
        case datetime():
            return Literal(span, datetime_us(value), Type.TIME)
        case date():
            return Literal(span, datetime_us(datetime(value.year, value.month, value.day)), Type.TIME)
    raise refusal(
        "bad-parameter",
        f"the value given for ${name} is a {type(value).__name__}",
        span,
        "a parameter is a text, a number, true or false, a timedelta, a datetime, or a list of those",
    )
