"""A server for programs that do nothing else: it blocks until Ctrl-C, or until the process is asked to end."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio

from matrix.errors import MatrixError
from matrix.server.serving import Serving, serve


def serve_until_stopped(
    store: str | Path,
    *,
    begun: Callable[[Serving], None],
    beside: Callable[[Serving], Awaitable[None]] | None = None,
    **options: Any,
) -> None:
    """Serve a store until a signal, with the options of ``serve``; ``begun`` is told where.

    ``beside`` runs beside the server; when it returns the server goes on. Ctrl-C raises ``KeyboardInterrupt`` when all
    has ended; a request to end (SIGTERM) returns.
    """

    async def main() -> int:
        async with trio.open_nursery() as nursery:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                serving = await nursery.start(partial(serve, store, **options))
                begun(serving)
                if beside is not None:
                    nursery.start_soon(beside, serving)
                async for number in signals:
                    nursery.cancel_scope.cancel()
                    return int(number)
        raise AssertionError("signals do not end")

    try:
        number = trio.run(main)
    except BaseExceptionGroup as group:
        found = group.subgroup(MatrixError)
        if found is None:
            raise
        raise _first(found) from None
    if number == signal.SIGINT:
        raise KeyboardInterrupt


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
