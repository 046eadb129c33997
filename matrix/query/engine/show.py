"""Single values of a result, as a person reads them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from matrix.query.engine.notation import duration_text, message_text, number_text, time_text


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
        return time_text(value.value)
    plain = value.as_py()
    if pa.types.is_list(value.type):  # the messages of a chat
        plain = " · ".join(map(message_text, plain))
    text = number_text(plain) if isinstance(plain, float) else _plain_text(plain)
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def _plain_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "".join(c if c.isprintable() else "·" for c in str(value))
