"""The outside: how the calls of a runtime are made, attempt by attempt.

A request waits for its place where its name has limits (see limiter.py), and for the log: it is in
there, and durable at level sync, before the function is called. Then an async function runs in a
Trio task of the runtime's nursery, a plain one in a worker thread; after a failure that is worth it
(see policy.py) again. What always holds: of the simulation only its order waits for this, never
Trio's; a request that was given up leaves its place, its thread and its task at once.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import trio

from matrix.errors import LogWriteError
from matrix.limits import THREADS_MAX
from matrix.runtime.inputs import monotonic_ns, stream
from matrix.runtime.limiter import Limiters
from matrix.runtime.policy import DEFAULTS
from matrix.runtime.values import mended, snapshot

if TYPE_CHECKING:
    from matrix.runtime.call import Call
    from matrix.runtime.runtime import Runtime

_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE


class Outside:
    """Makes the calls of one runtime."""

    def __init__(self, runtime: Runtime, nursery: trio.Nursery) -> None:
        self._runtime = runtime
        self._start_soon = nursery.start_soon
        self._limiters = Limiters(nursery.start_soon)
        self._threads = trio.CapacityLimiter(THREADS_MAX)

    def start(self, call: Call) -> None:
        """Touch the outside as soon as the limits allow, beside everything else."""
        if call.policy is DEFAULTS or not call.policy.is_limited:
            self._start_soon(self._attend, call, name=f"matrix call {call.name}")
            return
        call.asked_at = monotonic_ns()
        call.place = self._limiters.join(call.name, call.policy, partial(self._let_in, call))

    def _let_in(self, call: Call) -> None:
        call.waited_ns = monotonic_ns() - call.asked_at
        self._start_soon(self._attend, call, name=f"matrix call {call.name}")

    def stop(self, call: Call) -> None:
        """Nobody waits for the answer any more: let it be."""
        call.scope.cancel()
        if call.place is not None and not call.place.is_granted:  # it has no task that would see to it
            call.place.leave()
            call.settle()

    # -- in a task of the runtime's nursery ----------------------------------------------------

    async def _attend(self, call: Call) -> None:
        with call.scope:
            try:
                await self._runtime.before_outside(call.scheduler.recorder)
            except LogWriteError as error:  # the outside is not touched, and every simulation stops
                self._runtime.log_failed(error)
                return
            if not call.is_stale:
                await self._attempts(call)
        if call.place is not None:
            call.place.leave()
        call.settle()

    async def _attempts(self, call: Call) -> None:
        """The first attempt, and those that the policy allows after failures."""
        while True:
            await self._attempt(call)
            failure = call.failure
            if not isinstance(failure, Exception):
                return
            try:
                if not call.policy.retries(failure, call.attempts):
                    break
            except Exception as error:  # retry_on itself is wrong: that is what the agent should hear of
                call.failure = error
                break
            await self._between(call, failure)
        call.error = _said(call.failure)

    async def _attempt(self, call: Call) -> None:
        """One attempt: its result or its failure, and how long it took."""
        call.failure = None
        try:
            if is_async(call.function):
                if call.place is not None:
                    call.place.began_at = trio.current_time()
                result = await self._in_time(call, call.function, call.arguments)
            else:
                result = await self._in_a_thread(call)
            call.result = snapshot(result, f"the result of {call.name}")
        except Exception as failure:
            call.failure = failure
        call.ms = (monotonic_ns() - call.began) / 1_000_000 if call.began else 0.0

    async def _in_time(self, call: Call, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Call an async function, within the attempt's time."""
        call.began = monotonic_ns()
        if call.timeout == math.inf:
            return await function(*arguments)
        with trio.fail_after(call.timeout):
            return await function(*arguments)

    async def _in_a_thread(self, call: Call) -> Any:
        """Call a plain function in a worker thread; waiting for a free one is not part of the attempt."""
        held = _HeldThread(self._threads)
        asked_at = monotonic_ns()
        await self._threads.acquire_on_behalf_of(held)
        try:
            call.waited_ns += monotonic_ns() - asked_at
            run = partial(_work, call, trio.current_time(), monotonic_ns())
            boxed = await self._in_time(call, partial(_run_in_thread, held), (run,))
        finally:
            held.let_go_unless_taken()
        (result,) = boxed
        return await result if inspect.isawaitable(result) else result

    async def _between(self, call: Call, failure: Exception) -> None:
        """After a failed attempt: leave the place, wait, and take one again."""
        if call.tries is None:
            call.tries = []
        call.tries.append({"error": _said(failure), **call.measured()})
        asked_at = monotonic_ns()
        if call.place is not None:
            call.place.leave()
        chance = stream(call.scheduler.seed, call.call_id, f"backoff {call.attempts}")
        await trio.sleep(call.policy.delay(failure, call.attempts, chance))
        if call.place is not None:
            granted = trio.Event()
            call.place = self._limiters.join(call.name, call.policy, granted.set)
            try:
                await granted.wait()
            except trio.Cancelled:
                call.place.leave()
                raise
        call.waited_ns = monotonic_ns() - asked_at
        call.began, call.attempts = 0, call.attempts + 1


class _HeldThread:
    """The right to one worker thread, held already; for ``trio.to_thread``, which asks for it and gives it back."""

    def __init__(self, threads: trio.CapacityLimiter) -> None:
        self._threads = threads
        self._is_taken = False

    async def acquire_on_behalf_of(self, _: object) -> None:
        """From here on the thread gives it back when its work is done, abandoned or not."""
        self._is_taken = True

    def release_on_behalf_of(self, _: object) -> None:
        """The thread is done."""
        self._threads.release_on_behalf_of(self)

    def let_go_unless_taken(self) -> None:
        """A cancellation came before there was a thread."""
        if not self._is_taken:
            self._threads.release_on_behalf_of(self)


async def _run_in_thread(held: _HeldThread, run: Callable[[], tuple[Any]]) -> tuple[Any]:
    limiter: Any = held  # it is like one
    return await trio.to_thread.run_sync(run, limiter=limiter, abandon_on_cancel=True)


def _work(call: Call, time: float, ns: int) -> tuple[Any]:
    """In the thread: tell when the outside is really touched; in a box, as the result may be awaitable."""
    if call.place is not None:
        call.place.began_at = time + (monotonic_ns() - ns) / 1e9
    return (call.function(*call.arguments),)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling ``function`` gives a coroutine, as far as can be seen without calling it.

    >>> is_async(trio.sleep), is_async(len)
    (True, False)
    """
    if type(function) is MethodType:
        function = function.__func__
    if type(function) is FunctionType:  # nearly all; inspect takes ten times as long
        return bool(function.__code__.co_flags & _COROUTINE) or inspect.iscoroutinefunction(function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _said(failure: BaseException | None) -> str:
    return mended(f"{type(failure).__name__}: {failure}")
