"""What single values do in a query: equality, order, arithmetic and functions, one Python value at a time.

None is missing. Numbers are int and float; bool is not a number. ``Duration`` and ``Time`` are types of
their own, so that an int is never taken for one. Whatever is not defined for its operands is missing,
or does not hold.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from matrix.testing.world import Duration, Time

UNITS_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


def is_number(value: Any) -> bool:
    """Whether a value is a number of the language.

    >>> is_number(3), is_number(0.5), is_number(True), is_number("3")
    (True, True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(a: Any, b: Any) -> bool:
    """Equality of the language: numbers by value, NaN equals nothing, missing equals missing.

    >>> equal(3, 3.0), equal(1, True), equal("3", 3), equal(None, None)
    (True, False, False, True)
    """
    if a is None or b is None:
        return a is None and b is None
    if is_number(a) and is_number(b):
        return bool(a == b)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return type(a) is type(b) and bool(a == b)


def ordered(op: str, a: Any, b: Any) -> bool:
    """Whether ``a op b`` for one of < <= > >=; only like types have an order.

    >>> ordered("<", 2, 3.5), ordered("<", "2", 3), ordered("<=", None, None)
    (True, False, False)
    """
    left: Any = a
    right: Any = b
    if isinstance(a, Duration | Time) and type(a) is type(b):
        left, right = a.us, b.us
    elif not (is_number(a) and is_number(b)) and not (isinstance(a, str) and isinstance(b, str)):
        return False
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[op])


def contains(a: Any, b: Any) -> bool:
    """Whether b is a part of the text a, or an element of the list a."""
    if isinstance(a, str) and isinstance(b, str):
        return b in a
    return isinstance(a, list | tuple) and b is not None and any(equal(item, b) for item in a)


def matches(text: Any, pattern: str, flags: str) -> bool:
    """Whether an RE2 pattern occurs in a text: ASCII classes, and ``$`` is the very end."""
    if not isinstance(text, str):
        return False
    if "m" not in flags:
        pattern = re.sub(r"(?<!\\)\$", r"\\Z", pattern)
    pattern = pattern.replace(r"\d", "[0-9]").replace(r"\w", "[0-9A-Za-z_]").replace(r"\s", r"[\t\n\f\r ]")
    found = 0
    for letter in flags:
        found |= {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}[letter]
    return re.search(pattern, text, found) is not None


# -- arithmetic ------------------------------------------------------------------------------------


def arithmetic(op: str, a: Any, b: Any) -> Any:
    """``a op b``, missing when it has no meaning.

    >>> arithmetic("/", 7, 2), arithmetic("+", 1, None), arithmetic("/", 1, 0), arithmetic("*", Duration(3), 0.5)
    (3.5, None, None, Duration(us=2))
    """
    if is_number(a) and is_number(b):
        return _numbers(op, a, b)
    if isinstance(a, Duration) and isinstance(b, Duration):
        if op in ("+", "-"):
            return Duration(a.us + b.us if op == "+" else a.us - b.us)
        return _numbers("/", a.us, b.us) if op == "/" else None
    if isinstance(a, Duration) and is_number(b) and op in ("*", "/"):
        return whole_duration(_numbers(op, a.us, b))
    if is_number(a) and isinstance(b, Duration) and op == "*":
        return whole_duration(_numbers(op, a, b.us))
    if isinstance(a, Time) and isinstance(b, Time) and op == "-":
        return Duration(a.us - b.us)
    if isinstance(a, Time) and isinstance(b, Duration) and op in ("+", "-"):
        return Time(a.us + b.us if op == "+" else a.us - b.us)
    if isinstance(a, Duration) and isinstance(b, Time) and op == "+":
        return Time(a.us + b.us)
    return None


def _numbers(op: str, a: Any, b: Any) -> Any:
    if op in ("/", "%") and b == 0:
        return None
    try:
        return {
            "+": lambda: a + b,
            "-": lambda: a - b,
            "*": lambda: a * b,
            "/": lambda: a / b,
            "%": lambda: a % b,
        }[op]()
    except OverflowError:
        return None


def whole_duration(us: Any) -> Duration | None:
    """Microseconds rounded half to even to a duration; what 64 bits cannot hold is missing."""
    if us is None or not math.isfinite(us) or abs(us) >= 2**63:
        return None
    return Duration(round(us))


def negated(a: Any) -> Any:
    """``-a`` of a number or a duration."""
    if isinstance(a, Duration):
        return Duration(-a.us)
    return -a if is_number(a) else None


# -- functions -------------------------------------------------------------------------------------


def call(name: str, arguments: list[Any]) -> Any:
    """A function of values, ``if`` excepted; a missing or unfit argument makes it missing.

    >>> call("len", ["abc"]), call("round", [2.5]), call("text", [0.5]), call("lower", [3])
    (3, 2, '0.5', None)
    """
    if any(argument is None for argument in arguments):
        return None
    return _FUNCTIONS[name](*arguments)


def _len(a: Any) -> Any:
    return len(a) if isinstance(a, str | list | tuple) else None


def _lower(a: Any) -> Any:
    return a.lower() if isinstance(a, str) else None


def _upper(a: Any) -> Any:
    return a.upper() if isinstance(a, str) else None


def _round(a: Any, digits: Any = None) -> Any:
    if not is_number(a):
        return None
    if digits is not None:
        return round(a, int(digits)) if is_number(digits) else None
    return round(a) if math.isfinite(a) else None  # there is no whole number for the others


def _abs(a: Any) -> Any:
    if isinstance(a, Duration):
        return Duration(abs(a.us))
    return abs(a) if is_number(a) else None


def _seconds(a: Any) -> Any:
    return a.us / 1_000_000 if isinstance(a, Duration) else None


def _duration(a: Any) -> Any:
    if isinstance(a, Duration):
        return a
    if is_number(a):
        return whole_duration(a * 1_000_000)
    if not isinstance(a, str) or not re.fullmatch(r"(\d+(\.\d+)?(us|ms|s|m|h|d))+", a):
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)", a)
    return whole_duration(sum(float(number) * UNITS_US[unit] for number, unit in parts))


def _time(a: Any) -> Any:
    if isinstance(a, Time):
        return a
    if not isinstance(a, str):
        return None
    try:
        moment = datetime.fromisoformat(a)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return Time((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _number(a: Any) -> Any:
    if is_number(a):
        return a
    if not isinstance(a, str) or not re.fullmatch(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", a, re.ASCII):
        return None
    return int(a) if re.fullmatch(r"\s*[+-]?\d+\s*", a, re.ASCII) else float(a)


def _text(a: Any) -> Any:
    if isinstance(a, str):
        return a
    if isinstance(a, bool):
        return "true" if a else "false"
    if isinstance(a, float) and a.is_integer() and abs(a) < 1e16:
        return str(int(a))
    return str(a) if is_number(a) else json.dumps(json_value(a), ensure_ascii=False)


def json_value(a: Any) -> Any:
    """A value with what JSON has no way to say put into what it has: bytes as base64, NaN and infinities as null."""
    if isinstance(a, bytes):
        return base64.b64encode(a).decode()
    if isinstance(a, float) and not math.isfinite(a):
        return None
    if isinstance(a, list | tuple):
        return [json_value(item) for item in a]
    return {key: json_value(item) for key, item in a.items()} if isinstance(a, Mapping) else a


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": _len,
    "lower": _lower,
    "upper": _upper,
    "round": _round,
    "abs": _abs,
    "seconds": _seconds,
    "duration": _duration,
    "time": _time,
    "number": _number,
    "text": _text,
}


# -- groups and order ------------------------------------------------------------------------------


def group_key(value: Any) -> Any:
    """What two values share exactly when they are of one group: 3 and 3.0 do, true and 1 do not.

    >>> group_key(3) == group_key(3.0), group_key(True) == group_key(1), group_key(float("nan")) == group_key(0)
    (True, False, False)
    """
    if value is None or isinstance(value, bool):
        return ("constant", value)
    if is_number(value):
        return ("number", "nan" if value != value else value)
    if isinstance(value, list | tuple):
        return ("list", tuple(group_key(item) for item in value))
    if isinstance(value, Mapping):
        return ("map", frozenset((key, group_key(item)) for key, item in value.items()))
    return (type(value).__name__, value)


def sort_rank(value: Any) -> tuple[int, Any]:
    """Where a present value stands: numbers (NaN last), durations, times, texts, booleans, then the rest.

    >>> sorted(["b", 3, True, 0.5, "a"], key=sort_rank)
    [0.5, 3, 'a', 'b', True]
    """
    if is_number(value):
        return (1, 0) if value != value else (0, value)
    if isinstance(value, Duration | Time):
        return (2 if isinstance(value, Duration) else 3, value.us)
    if isinstance(value, str):
        return (4, value)
    return (5, value) if isinstance(value, bool) else (6, 0)
