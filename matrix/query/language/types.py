"""Which values may be compared, ordered and calculated with, and what is said when they may not.

Data (type ANY) holds texts, numbers, true and false, lists and maps, never durations or times; so
whether a duration meets a duration is always known before a row is read.
"""

from __future__ import annotations

import re
from typing import NoReturn

from matrix.query.language.suggest import Edit, refusal
from matrix.query.syntax import (
    Arith,
    ArithOp,
    Expr,
    Field,
    Literal,
    Relation,
    Type,
)

ORDERED = frozenset({Type.NUMBER, Type.DURATION, Type.TIME, Type.TEXT, Type.ANY})
CLOCKED = frozenset({Type.DURATION, Type.TIME})

NAMES = {
    Type.TEXT: "a text",
    Type.NUMBER: "a number",
    Type.BOOL: "true or false",
    Type.DURATION: "a duration",
    Type.TIME: "a wall-clock time",
    Type.LIST: "a list",
    Type.MAP: "a map",
    Type.MISSING: "null",
    Type.ANY: "a value from data",
}


def check_equal(text: str, left: Expr, right: Expr) -> None:
    """Both sides of ``=``: of one type, or one of them only known in the data."""
    if Type.MISSING not in (left.type, right.type):
        _check_comparable(text, left, right)


def check_ordered(text: str, left: Expr, right: Expr) -> None:
    """Both sides of ``<``: numbers, durations, times or texts, and both the same."""
    for side in (left, right):
        if side.type is Type.MISSING:
            raise refusal("no-order", "null has no order", side.span, "say: x missing, or: x exists")
    _check_comparable(text, left, right)
    for side in (left, right):
        if side.type not in ORDERED:
            raise refusal("no-order", f"{NAMES[side.type]} has no order", side.span, "compare it with = or !=")


def _check_comparable(text: str, left: Expr, right: Expr) -> None:
    if Type.ANY in (left.type, right.type):
        other = right if left.type is Type.ANY else left
        if other.type in CLOCKED:
            hint = "compare it with a number, for example .ms > 5000, or make a duration of it: duration(.seconds) > 5s"
            if other.type is Type.TIME:
                hint = "make a time of it: time(.at) > @2026-01-31"
            raise refusal("incomparable", f"data holds no {_plain(other.type)}s", other.span, hint)
    elif left.type is not right.type:
        _incomparable(text, left, right)


def _plain(type_: Type) -> str:
    return NAMES[type_].removeprefix("a ")


def _incomparable(text: str, left: Expr, right: Expr) -> NoReturn:
    """Two known types that differ; the mistakes that are common each get their own words."""
    name = text[slice(*left.span)]
    if left.type is Type.DURATION and right.type is Type.NUMBER:
        written = text[slice(*right.span)]
        is_plain = isinstance(right, Literal) and re.fullmatch(r"\d+(\.\d+)?", written)
        hint = f"say the unit: {written}s or {written}ms" if is_plain else "say the unit, for example 5s"
        fixes = [Edit(*right.span, f"{written}s")] if is_plain else []
        raise refusal("needs-unit", f'"{name}" is a duration', right.span, hint, *fixes)
    if left.type is Type.TIME and right.type is Type.DURATION:
        ago = f"{text[slice(*right.span)]} ago"
        hint = f"say: {ago}, or use a time such as @2026-01-31"
        raise refusal("incomparable", f'"{name}" is a wall-clock time', right.span, hint, Edit(*right.span, ago))
    if left.type is Type.DURATION and right.type is Type.TIME:
        _inside_against_clock(name, left, right)
    if left.type is Type.TIME and right.type in (Type.TEXT, Type.NUMBER):
        written = text[slice(*right.span)].strip("\"'")
        is_date = right.type is Type.TEXT or re.fullmatch(r"\d{4}-\d\d-\d\d", written)
        fixes = [Edit(*right.span, f"@{written}")] if is_date else []
        raise refusal(
            "incomparable", f'"{name}" is a wall-clock time', right.span, "times look like @2026-01-31", *fixes
        )
    if left.type is Type.DURATION and right.type is Type.TEXT:
        written = text[slice(*right.span)].strip("\"'")
        hint = "durations look like 5s, 1h30m (units: us ms s m h d)"
        raise refusal("incomparable", f'"{name}" is a duration', right.span, hint, Edit(*right.span, written))
    if right.type is Type.LIST:
        hint = f"to be one of them say: {name} in {text[slice(*right.span)]}"
        raise refusal("incomparable", f"{NAMES[left.type]} cannot be compared with a list", right.span, hint)
    fixes = []
    if left.type is Type.TEXT and right.type is Type.NUMBER and isinstance(right, Literal):
        fixes = [Edit(*right.span, f'"{text[slice(*right.span)]}"')]
    hint = f'"{name}" is {NAMES[left.type]}'
    raise refusal(
        "incomparable", f"{NAMES[left.type]} cannot be compared with {NAMES[right.type]}", right.span, hint, *fixes
    )


def _inside_against_clock(name: str, left: Expr, right: Expr) -> NoReturn:
    """A virtual time against the clock: events have both."""
    hint = "compare it with a duration"
    fixes = []
    if isinstance(left, Field) and left.owner in (Relation.EVENTS, Relation.MESSAGES):
        hint += '; wall-clock time is "wall"'
        fixes = [Edit(*left.span, "wall")] if name == "time" else []
    raise refusal("incomparable", f'"{name}" is time inside the simulation', right.span, hint, *fixes)


# -- arithmetic ----------------------------------------------------------------------------------------

_N, _D, _T = Type.NUMBER, Type.DURATION, Type.TIME
_RESULTS: dict[tuple[str, Type, Type], Type] = {
    **{(op, _N, _N): _N for op in "+-*/%"},
    ("+", _D, _D): _D,
    ("-", _D, _D): _D,
    ("/", _D, _D): _N,
    ("%", _D, _D): _D,
    ("*", _D, _N): _D,
    ("*", _N, _D): _D,
    ("/", _D, _N): _D,
    ("+", _T, _D): _T,
    ("+", _D, _T): _T,
    ("-", _T, _D): _T,
    ("-", _T, _T): _D,
}


def arithmetic(text: str, op: ArithOp, left: Expr, right: Expr) -> Arith:
    """``left op right`` with its type; data is taken for a number."""
    sides = [_N if side.type is Type.ANY else side.type for side in (left, right)]
    found = _RESULTS.get((op, sides[0], sides[1]))
    span = (left.span[0], right.span[1])
    if found is not None:
        return Arith(span, op, left, right, found)
    for side in (left, right):
        if side.type not in (Type.NUMBER, Type.DURATION, Type.TIME, Type.ANY):
            written = text[slice(*side.span)]
            message = f'"{written}" is {NAMES[side.type]}: it cannot be calculated with'
            raise refusal("no-arithmetic", message, side.span, "number(x) makes a number of a text")
    fixes = []
    if {sides[0], sides[1]} == {_D, _N} and isinstance(right, Literal) and right.type is _N:
        fixes = [Edit(*right.span, text[slice(*right.span)] + "s")]
    words = {"+": "added to", "-": "taken from", "*": "multiplied with", "/": "divided by", "%": "divided by"}[op]
    first, second = (right, left) if op == "-" else (left, right)
    message = f"{NAMES[first.type]} cannot be {words} {NAMES[second.type]}"
    hint = "seconds(x) makes a number of a duration, duration(n) a duration of a number of seconds"
    raise refusal("no-arithmetic", message, span, hint, *fixes)


def merged(first: Type, second: Type) -> Type | None:
    """The type of a value that may be either; None when a duration or time would hide behind ANY."""
    if first is second or second is Type.MISSING:
        return first
    if first is Type.MISSING:
        return second
    return None if first in CLOCKED or second in CLOCKED else Type.ANY
