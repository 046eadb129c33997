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
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
