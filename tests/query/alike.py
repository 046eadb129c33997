"""Whether two answers are the same."""

from __future__ import annotations

import math
from typing import Any


def alike(a: Any, b: Any) -> bool:
    """Whether two values of two answers are the same: numbers by value (NaN is NaN, floats nearly), 1 is not True."""
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return numbers_alike(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b))
    return type(a) is type(b) and bool(a == b)


def numbers_alike(a: float, b: float) -> bool:
    """Whole numbers exactly, others to nine digits; NaN and the infinities only with themselves."""
    if isinstance(a, int) or isinstance(b, int):
        return a == b
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


def rows_alike(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    """Whether two answers have the same rows in the same order, as far as a result can show them."""
    return alike([shown(without_nothing(row)) for row in found], [shown(without_nothing(row)) for row in expected])


def shown(value: Any) -> Any:
    """A value as JSON can hold it, for that is how a result shows what has no column type of its own."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    return [shown(item) for item in value] if isinstance(value, list) else value


def without_nothing(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose ``data`` has no nulls in it; an empty map and a missing one are shown alike."""
    data = row.get("data")
    if isinstance(data, dict):
        data = {key: value for key, value in data.items() if value is not None} or None
    return {**row, "data": data} if "data" in row else row
