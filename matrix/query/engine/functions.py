"""The functions of the language: len lower upper round abs seconds duration time number text.

A missing or unfit argument gives a missing value. (``if`` is evaluated with the conditions.)
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow.compute as pc

from matrix.query.engine.combine import merge
from matrix.query.engine.value import NUMBERS, Lane, Type, Value, from_objects, on_words

_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def call(name: str, arguments: Sequence[Value]) -> Value:
    """The function ``name`` of its arguments, row by row.

    >>> call("len", [Value.one("négo", 1)]).objects()
    [4]
    """
    return _FUNCTIONS[name](*arguments)


def _by_value(function: Callable[[Any], Any], value: Value, types: frozenset[Type], to: Type | None = None) -> Value:
    """``function`` of each value of ``types``, through Python; every other value becomes missing."""
    kept = Value(value.count, tuple(lane for lane in value.lanes if lane.type in types))
    if kept.is_constant and kept.lanes:
        return Value(value.count, from_objects([function(kept_one(kept))], to).lanes)
    return from_objects([None if v is None else function(v) for v in kept.objects()], to)


def kept_one(value: Value) -> Any:
    """The one value of a constant."""
    return Value(1, value.lanes).objects()[0]


_TEXT = frozenset({Type.TEXT})
_OTHER = frozenset({Type.OTHER})


def _len(value: Value) -> Value:
    result = _by_value(lambda v: len(v) if isinstance(v, list) else None, value, _OTHER)
    texts = value.lane(Type.TEXT)
    if texts is None:
        return result
    lengths = on_words(texts.values, pc.utf8_length)
    numbers = np.asarray(pc.fill_null(lengths, 0)).astype(np.int64)
    return merge(result, Value(value.count, (Lane(Type.INT, numbers, texts.present),)))


def _lower(value: Value) -> Value:
    # Python's case mapping, not Arrow's: it knows the special cases of Unicode ("İ", "ß")
    return _by_value(str.lower, value, _TEXT)


def _upper(value: Value) -> Value:
    return _by_value(str.upper, value, _TEXT)


def _round(value: Value, digits: Value | None = None) -> Value:
    if digits is None:
        return _by_value(lambda v: round(v) if math.isfinite(v) else None, value, NUMBERS)
    pairs = zip(value.objects(), digits.objects(), strict=True)
    return from_objects([_round_to(v, d) for v, d in pairs])


def _round_to(value: Any, digits: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not isinstance(digits, (int, float)) or isinstance(digits, bool) or digits != int(digits):
        return None
    return round(value, int(digits))


def _abs(value: Value) -> Value:
    durations = value.lane(Type.DURATION)
    result = _by_value(abs, value, NUMBERS)
    if durations is None:
        return result
    return merge(result, Value(value.count, (Lane(Type.DURATION, np.abs(durations.values), durations.present),)))


def _seconds(value: Value) -> Value:
    lane = value.lane(Type.DURATION)
    if lane is None:
        return Value.missing(value.count)
    return Value(value.count, (Lane(Type.FLOAT, lane.values / 1_000_000, lane.present),))


def _duration(value: Value) -> Value:
    kept = value.lane(Type.DURATION)
    result = Value.missing(value.count) if kept is None else Value(value.count, (kept,))
    return merge(result, _by_value(_parse_duration, value, NUMBERS | _TEXT, Type.DURATION))


def _parse_duration(value: Any) -> int | None:
    if not isinstance(value, str):
        micros = value * 1_000_000
        return round(micros) if math.isfinite(micros) and abs(micros) < 2**63 else None
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        return None
    micros = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return round(micros) if micros < 2**63 else None


def _time(value: Value) -> Value:
    kept = value.lane(Type.TIME)
    result = Value.missing(value.count) if kept is None else Value(value.count, (kept,))
    return merge(result, _by_value(_parse_time, value, _TEXT, Type.TIME))


def _parse_time(value: str) -> int | None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def _number(value: Value) -> Value:
    kept = Value(value.count, tuple(lane for lane in value.lanes if lane.type in NUMBERS))
    return merge(kept, _by_value(_parse_number, value, _TEXT))


def _parse_number(text: str) -> int | float | None:
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return float(text) if any(sign in text for sign in ".eE") else int(text)
    except ValueError:  # more digits than Python turns into a number
        return None


def _text(value: Value) -> Value:
    kept = value.lane(Type.TEXT)
    result = Value.missing(value.count) if kept is None else Value(value.count, (kept,))
    return merge(result, _by_value(as_text, value, NUMBERS | {Type.BOOL, Type.OTHER, Type.DURATION, Type.TIME}))


def as_text(value: Any) -> str:
    """A payload value in words: numbers in their shortest form, maps and lists as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)
    if isinstance(value, (int, str)):
        return str(value)
    return as_json(value)


def as_json(value: Any) -> str:
    """A payload value as JSON; bytes as base64 text; NaN and infinities, which JSON lacks, as null."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_not_json, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_not_json, allow_nan=False)


def compact_jsons(values: Sequence[Any]) -> list[str]:
    """Each of these as JSON without spaces.

    The encoder is called once for all, with a mark between them, which takes half the time. Where one of them has
    the mark in it, or what JSON lacks, they are encoded one by one.
    """
    marked: list[Any] = [_MARK] * (2 * len(values) - 1)
    marked[::2] = values
    try:
        texts = _COMPACT.encode(marked)[1:-1].split(f",{_COMPACT.encode(_MARK)},")
    except ValueError:
        texts = []
    if len(texts) == len(values):
        return texts
    return [_compact_json(value) for value in values]


def _compact_json(value: Any) -> str:
    try:
        return _COMPACT.encode(value)
    except ValueError:
        return _COMPACT.encode(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def _not_json(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, (bytes, bytearray)) else str(value)


_MARK = "\0next\0"
_COMPACT = json.JSONEncoder(ensure_ascii=False, default=_not_json, allow_nan=False, separators=(",", ":"))

_FUNCTIONS: dict[str, Callable[..., Value]] = {
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
