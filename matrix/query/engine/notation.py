"""How single values look to a person: durations as the language writes them, times in ISO 8601, numbers at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_UNITS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000))


def duration_text(us: int) -> str:
    """A duration as a query would write it, exactly.

    >>> duration_text(90_000_000), duration_text(1_500), duration_text(5_400_000_000), duration_text(-2_500_000)
    ('1m30s', '1.5ms', '1h30m', '-2.5s')
    """
    if us < 0:
        return "-" + duration_text(-us)
    if 0 < us < 1_000:
        return f"{us}us"
    if 0 < us < 1_000_000:
        return _decimal(us, 1_000) + "ms"
    text, rest = "", us
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text + (_decimal(rest, 1_000_000) + "s" if rest or not text else "")


def time_text(us: int) -> str:
    """A clock time, microseconds since 1970, in UTC.

    >>> time_text(1_767_225_600_500_000)
    '2026-01-01T00:00:00.5Z'
    """
    seconds, fraction = divmod(us, 1_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{fraction:06d}".rstrip("0") if fraction else "") + "Z"


def number_text(number: int | float) -> str:
    """A number; of a fraction four decimals are enough for a glance.

    >>> number_text(12), number_text(0.41250), number_text(2.0), number_text(0.00001234)
    ('12', '0.4125', '2', '1.23e-05')
    """
    if isinstance(number, int):
        return str(number)
    if number != number or abs(number) >= 1e15 or 0 < abs(number) < 1e-3:
        return f"{number:.3g}"
    return f"{number:.4f}".rstrip("0").rstrip(".")


def message_text(message: Mapping[str, Any]) -> str:
    """A message of a chat on one line: who says what.

    >>> message_text({"role": "user", "name": "bob", "content": 'offer {"price":40}'})
    'bob: offer {"price":40}'
    >>> message_text({"role": "system", "name": None, "content": "the market is open"})
    'system: the market is open'
    """
    return f"{message['name'] or message['role']}: {message['content']}"


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    digits = len(str(unit)) - 1
    return f"{whole}" + (f".{fraction:0{digits}d}".rstrip("0") if fraction else "")
