"""Durations: people say seconds, virtual time counts whole microseconds."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from matrix.errors import ProgramError

US_PER_SECOND = 1_000_000


def microseconds(duration: float | timedelta) -> int:
    """A duration given in seconds (or as a timedelta), in whole microseconds.

    >>> microseconds(1.5), microseconds(timedelta(milliseconds=3))
    (1500000, 3000)
    """
    if isinstance(duration, timedelta):
        return _not_negative(duration // timedelta(microseconds=1), duration)
    if not isinstance(duration, (int, float)) or not math.isfinite(duration):
        raise ProgramError(f"a duration is a number of seconds or a timedelta, not {duration!r}")
    return _not_negative(
        duration * US_PER_SECOND if isinstance(duration, int) else round(duration * US_PER_SECOND), duration
    )


def _not_negative(value: int, duration: Any) -> int:
    if value < 0:
        raise ProgramError(f"the duration {duration!r} is negative; virtual time never runs back")
    return value
