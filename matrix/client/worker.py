"""A Trio loop in a thread of its own, for code that is not async: scripts, and notebooks whose own loop runs already.

What always holds: whoever waits for an answer can be interrupted, and then the work is cancelled; an error is raised
where the answer was waited for; and no thread outlives ``close``, or the interpreter.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as futures_wait
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

import trio

from matrix.errors import UsageError
from matrix.limits import CLIENT_CLOSE_S

T = TypeVar("T")


class Worker:
    """The thread. ``call`` runs an async function there, and waits for it here."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._over = trio.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        is_ready = threading.Event()
        self._thread = threading.Thread(
            target=trio.run, args=(self._main, is_ready), name="matrix.connect", daemon=True
        )
        self._thread.start()
        is_ready.wait()

    async def _main(self, is_ready: threading.Event) -> None:
        async with trio.open_nursery() as nursery:
            self._token, self._nursery = trio.lowlevel.current_trio_token(), nursery
            is_ready.set()
            await self._over.wait()
            nursery.cancel_scope.deadline = trio.current_time() + 2 * CLIENT_CLOSE_S

    def host(self, manager: AbstractAsyncContextManager[object]) -> None:
        """Enter a context there, and leave it when the loop ends."""

        async def live(*, task_status: trio.TaskStatus[None]) -> None:
            async with manager:
                task_status.started()
                await self._over.wait()

        async def start() -> None:
            assert self._nursery is not None, "the thread is ready"
            await self._nursery.start(live)

        self.call(start)

    @property
    def is_closed(self) -> bool:
        """Whether nobody can be called any more."""
        return self._over.is_set() or not self._thread.is_alive()

    def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """The answer of ``work``; cancelled when this thread is interrupted meanwhile."""
        return self.begin(work).wait()

    def begin(self, work: Callable[[], Awaitable[T]]) -> Pending[T]:
        """Have ``work`` done, and go on here."""
        pending = Pending[T](self)
        self.soon(lambda: self._start(work, pending))
        return pending

    def _start(self, work: Callable[[], Awaitable[T]], pending: Pending[T]) -> None:
        assert self._nursery is not None, "the thread is ready"
        if self._over.is_set():
            pending.answer.cancel()
        else:
            self._nursery.start_soon(_answer, work, pending.answer, pending.scope)

    def soon(self, act: Callable[[], object], *, is_needed: bool = True) -> None:
        """Have something done there that need not wait."""
        assert self._token is not None, "the thread is ready"
        try:
            self._token.run_sync_soon(act)
        except trio.RunFinishedError:
            if is_needed:
                raise self.closed() from None

    def closed(self) -> UsageError:
        """The error for who calls nevertheless."""
        return UsageError(f"{self._what}: this connection is closed; matrix.connect makes another")

    def close(self) -> None:
        """End the loop and the thread; twice is nothing."""
        self.soon(self._over.set, is_needed=False)
        self._thread.join(10 * CLIENT_CLOSE_S)


class Pending(Generic[T]):
    """An answer that is still worked at."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.answer: Future[T] = Future()
        self.scope = trio.CancelScope()

    def wait(self) -> T:
        """The answer; the work is cancelled when this thread is interrupted meanwhile."""
        try:
            return self.answer.result()
        except CancelledError:
            raise self._worker.closed() from None
        except BaseException:
            if not self.answer.done():  # Ctrl-C, not an error of the work
                self.leave()
            raise

    def is_there(self, seconds: float) -> bool:
        """Wait so long at most for the answer: whether there is one, or an error."""
        return bool(futures_wait([self.answer], seconds).done)

    def leave(self) -> None:
        """Cancel the work; nothing when it is done."""
        self._worker.soon(self.scope.cancel, is_needed=False)


async def _answer(work: Callable[[], Awaitable[T]], answer: Future[T], scope: trio.CancelScope) -> None:
    try:
        with scope:
            answer.set_result(await work())
    except trio.Cancelled:  # the loop ends
        raise
    except BaseException as error:
        answer.set_exception(error)
    finally:
        if not answer.done():
            answer.cancel()
