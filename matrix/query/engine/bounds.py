"""Work within bounds: cut into portions that fit, or refused with the place that asks for too much."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from matrix.errors import QueryError
from matrix.query.engine.value import Array
from matrix.query.syntax import Span


def portions(sizes: Array, most: int) -> Iterator[slice]:
    """Neighbours that have together at most so much; one that alone has more is a portion of its own.

    >>> list(portions(np.array([3, 1, 9, 2]), 5))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    ends = np.cumsum(sizes)
    begin = 0
    while begin < len(sizes):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(begin, end)
        begin = end


def too_much_work(message: str, hint: str, *, text: str, span: Span) -> QueryError:
    """The error for a part of a query that would do, or hold, more than a limit allows."""
    return QueryError(message, code="too-much-work", text=text, start=span[0], end=span[1], hint=hint)
