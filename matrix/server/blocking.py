"""A server for programs that do nothing else: it blocks until Ctrl-C, or until the process is asked to end."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import trio

from matrix.errors import MatrixError
from matrix.server.serving import Serving, serve

if TYPE_CHECKING:
    from matrix.runtime.runtime import Runtime

Live: TypeAlias = "Callable[[Runtime], Awaitable[None]]"


def serve_until_stopped(
    store: str | Path, *, begun: Callable[[Serving], None], live: Live | None = None, **options: Any
) -> None:
    """Serve a store until a signal, with the options of ``serve``; ``begun`` is told where.

    ``live`` runs simulations meanwhile, in a runtime of this store, which is made if need be; the server goes on when
    it returns. Ctrl-C raises ``KeyboardInterrupt`` when all has ended; a request to end (SIGTERM) returns.
    """
    try:
        number = trio.run(partial(_main, store, begun, live, options))
    except BaseExceptionGroup as group:
        found = group.subgroup(MatrixError)
        if found is None:
            raise
        raise _first(found) from None
    if number == signal.SIGINT:
        raise KeyboardInterrupt


async def _main(store: str | Path, begun: Callable[[Serving], None], live: Live | None, options: dict[str, Any]) -> int:
    """Returns the signal that ended it."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        serving = partial(serve, store, **options)
        if live is None:
            return await _serve(serving, begun, signals)
        from matrix.runtime.runtime import open_runtime  # loads what writes a log: a second that others need not wait

        async with open_runtime(store) as runtime:
            number = await _serve(serving, begun, signals, partial(live, runtime))
            runtime.interrupt()  # what runs is stopped in order, and its end is in the log
            return number


async def _serve(
    serving: Callable[..., Awaitable[None]],
    begun: Callable[[Serving], None],
    signals: AsyncIterator[int],
    beside: Callable[[], Awaitable[None]] | None = None,
) -> int:
    async with trio.open_nursery() as nursery:
        begun(await nursery.start(serving))
        if beside is not None:
            nursery.start_soon(beside)
        async for number in signals:
            nursery.cancel_scope.cancel()
            return int(number)
    raise AssertionError("signals do not end")


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
