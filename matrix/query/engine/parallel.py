"""Work spread over a few threads, its results in order.

A scan's work is mostly numpy, Arrow, zstd and checksums, which let other threads run meanwhile. What
always holds: results come in the order of the items, whichever is done first, and no more items are
under way than there are threads and one, so memory stays bounded.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

from matrix.limits import QUERY_THREADS_MAX

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_count() -> int:
    """How many threads a query uses: one for each processor this process may use, up to a limit."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, QUERY_THREADS_MAX)


def in_order(function: Callable[[Item], Result], items: Iterable[Item], *, threads: int) -> Iterator[Result]:
    """The function's result for each item, in order; an exception comes in the place of the item it is of.

    >>> list(in_order(len, ["a", "bcd", "ef"], threads=2))
    [1, 3, 2]
    """
    iterator = iter(items)
    first = list(islice(iterator, 2))
    if threads < 2 or len(first) < 2:  # nothing to do side by side
        yield from map(function, chain(first, iterator))
        return
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, "matrix-query") as pool:
        try:
            for item in chain(first, iterator):
                pending.append(pool.submit(function, item))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
