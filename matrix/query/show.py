"""Single values of a result, as a person reads them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

_UNITS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms"), (1, "us"))


def is_right_aligned(type: pa.DataType) -> bool:
    """Whether a column lines up on the right: numbers and durations."""
    return bool(pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_duration(type))


def cell_text(value: pa.Scalar, chars_max: int) -> str:
    """One cell: durations as the language writes them, times in ISO 8601, long text cut."""
    if not value.is_valid:
        return ""
    if pa.types.is_duration(value.type):
        return duration_text(value.value)
    if pa.types.is_timestamp(value.type):
        return time_text(value)
    plain = value.as_py()
    text = _number_text(plain) if isinstance(plain, float) else _plain_text(plain)
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def _plain_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "".join(c if c.isprintable() else "·" for c in str(value))


def _number_text(number: float) -> str:
    return f"{number:.6g}" if abs(number) < 1e15 else repr(number)


def time_text(value: pa.Scalar) -> str:
    """A clock time in UTC.

    >>> time_text(pa.scalar(1_769_817_600_000_000, pa.timestamp("us", tz="UTC")))
    '2026-01-31T00:00:00Z'
    """
    import datetime

    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=value.value)
    return moment.isoformat() + "Z"


def duration_text(us: int) -> str:
    """A duration as a query would write it.

    >>> duration_text(5_400_000_000), duration_text(1_500), duration_text(0), duration_text(-2_000_000)
    ('1h30m', '1ms500us', '0s', '-2s')
    """
    if us == 0:
        return "0s"
    if us < 0:
        return "-" + duration_text(-us)
    parts = []
    for size, unit in _UNITS:
        count, us = divmod(us, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
