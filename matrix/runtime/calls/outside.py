"""The outside: how the calls of a runtime are made, attempt by attempt.

A request waits for its place where its name has limits (see limiter.py), and for the log: it is in
there, and durable at level sync, before the function is called. Requests that are begun together go
together: one commit for all of them. An async function runs in a Trio task of the runtime's nursery, a
plain one in a worker thread; after a failure that is worth it (see policy.py) again.

What always holds: of the simulation only its order waits for this, never Trio's; a call has the context
variables of the agent that made it; a request that was given up leaves its place and its task at once.
A task serves one call after the other (a third of what Trio takes for a new one), but never again after
one that was cancelled, or that left a cancel scope open.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import trio
from outcome import Value
from trio.lowlevel import Abort, reschedule, wait_task_rescheduled

from matrix.errors import LogWriteError, ProgramError
from matrix.limits import CALLS_GATHERED_MAX, GATHER_CALLS_US, IDLE_CALL_TASKS_MAX, THREADS_MAX
from matrix.runtime.calls.limiter import Limiters
from matrix.runtime.calls.policy import DEFAULTS
from matrix.runtime.inputs import monotonic_ns, stream
from matrix.runtime.scheduling.lease import innermost_scope
from matrix.runtime.values import mended, snapshot

if TYPE_CHECKING:
    from matrix.runtime.calls.call import Call
    from matrix.runtime.runtime import Runtime

_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE


class Outside:
    """Makes the calls of one runtime."""

    def __init__(self, runtime: Runtime, nursery: trio.Nursery) -> None:
        self._runtime = runtime
        self._start_soon = nursery.start_soon
        self._limiters = Limiters(nursery.start_soon)
        self._threads = trio.CapacityLimiter(THREADS_MAX)
        self._begun: list[Call] = []  # will touch the outside together
        self._idle: list[Any] = []  # tasks that wait for a call

    def start(self, call: Call) -> None:
        """Touch the outside as soon as the limits and the log allow, beside everything else."""
        call.context = copy_context()
        call.begins()
        if call.policy is DEFAULTS or not call.policy.is_limited:
            self._gather(call)
        else:
            call.asked_at = monotonic_ns()
            call.place = self._limiters.join(call.name, call.policy, partial(self._let_in, call))

    def stop(self, call: Call) -> None:
        """Nobody waits for the answer any more: let it be."""
        if call.scope is not None:
            call.scope.cancel()
        elif call.place is not None and not call.place.is_granted:  # no task will see to it
            self._end(call)

    def _let_in(self, call: Call) -> None:
        call.waited_ns = monotonic_ns() - call.asked_at
        self._gather(call)

    def _gather(self, call: Call) -> None:
        self._begun.append(call)
        if len(self._begun) == 1:
            self._start_soon(self._begin)

    @property
    def commits_soon(self) -> bool:
        """Whether calls gather: whoever would commit now would do so twice within one interval."""
        return bool(self._begun)

    async def _begin(self) -> None:
        """Let the requests that gathered go, in one go, as soon as no more come with each pass of Trio."""
        limit, count = monotonic_ns() + GATHER_CALLS_US * 1_000, 0
        while count < len(self._begun) < CALLS_GATHERED_MAX and monotonic_ns() < limit:
            count = len(self._begun)
            await trio.lowlevel.checkpoint()
        begun, self._begun = self._begun, []
        try:
            await self._runtime.before_outside()
        except LogWriteError as error:  # the outside is not touched, and every simulation stops
            self._runtime.log_failed(error)
            return
        for call in begun:
            if call.is_stale:
                self._end(call)
            elif self._idle:
                task = self._idle.pop()
                task.context = call.context  # read by Trio for every step: it has the variables of who made the call
                reschedule(task, Value(call))
            else:
                call.context.run(self._start_call, call)

    def _start_call(self, call: Call) -> None:
        self._start_soon(self._serve, call, name="matrix call")

    def _end(self, call: Call) -> None:
        if call.place is not None:
            call.place.leave()
        call.settle()

    # -- in a task of the runtime's nursery ----------------------------------------------------

    async def _serve(self, call: Call) -> None:
        """Make one call after the other, until one of them spoils the task."""
        task, scope = trio.lowlevel.current_task(), trio.CancelScope()
        try:
            with scope:
                own = innermost_scope(task)
                while True:
                    task.name, call.scope = f"matrix call {call.name}", scope
                    await self._attempts(call)
                    call.scope = None
                    if innermost_scope(task) is not own:
                        raise _ScopeLeftOpen
                    self._end(call)
                    if scope.cancel_called or len(self._idle) >= IDLE_CALL_TASKS_MAX:
                        return
                    call = await self._next(task)
        except (_ScopeLeftOpen, RuntimeError) as error:  # Trio's own words for it, where a task goes on none the less
            if not isinstance(error, _ScopeLeftOpen) and not isinstance(error.__context__, _ScopeLeftOpen):
                raise
            call.failure = ProgramError(f"{call.name} left a cancel scope open, perhaps in a generator that it left")
            call.error = said_of(call.failure)
        call.scope = None
        self._end(call)  # it was cancelled, or spoiled the task

    async def _next(self, task: trio.lowlevel.Task) -> Call:
        task.name = "matrix call to come"
        self._idle.append(task)
        call: Call = await wait_task_rescheduled(self._cease)
        return call

    def _cease(self, _: Any) -> Abort:
        """The runtime ends."""
        self._idle.clear()
        return Abort.SUCCEEDED

    async def _attempts(self, call: Call) -> None:
        """The first attempt, and those that the policy allows after failures."""
        while True:
            try:
                if call.prepare is not None:
                    await self._prepared(call, call.prepare)
                if is_async(call.function):
                    result = await self._in_this_task(call)
                else:
                    result = await self._in_a_thread(call)
                call.result = result if result is None else snapshot(result, f"the result of {call.name}")
                call.ms = (monotonic_ns() - call.began) / 1_000_000
                return
            except Exception as error:
                failure = error
            call.ms = (monotonic_ns() - call.began) / 1_000_000
            try:
                is_last = not call.policy.retries(failure, call.attempts)
            except Exception as error:  # retry_on itself is wrong: that is what the agent should hear of
                failure, is_last = error, True
            if is_last:
                call.failure, call.error = failure, said_of(failure, call.told_as)
                return
            await self._between(call, failure)

    async def _prepared(self, call: Call, prepare: Callable[[], Awaitable[None]]) -> None:
        """Have it wait for what it must, such as its turn at a server; that is no part of the attempt."""
        call.began = asked_at = monotonic_ns()
        try:
            await prepare()
        finally:
            call.began = monotonic_ns()
            call.waited_ns += call.began - asked_at

    def _in_this_task(self, call: Call) -> Any:
        """Call an async function."""
        if call.place is not None:
            call.place.began_at = trio.current_time()
        call.began = monotonic_ns()
        work = call.function(*call.arguments)
        return work if call.timeout == math.inf else _in_time(call.timeout, work)

    async def _in_a_thread(self, call: Call) -> Any:
        """Call a plain function in a worker thread; waiting for a free one is not part of the attempt."""
        held = _HeldThread(self._threads)
        asked_at = monotonic_ns()
        await self._threads.acquire_on_behalf_of(held)
        try:
            call.began = monotonic_ns()
            call.waited_ns += call.began - asked_at
            run = partial(_work, call, trio.current_time(), call.began)
            work = _run_in_thread(held, run)
            return await (work if call.timeout == math.inf else _in_time(call.timeout, work))
        finally:
            held.let_go_unless_taken()

    async def _between(self, call: Call, failure: Exception) -> None:
        """After a failed attempt: leave the place, wait, and take one again."""
        if call.tries is None:
            call.tries = []
        call.tries.append({"error": said_of(failure, call.told_as), **call.measured()})
        asked_at = monotonic_ns()
        if call.place is not None:
            call.place.leave()
        chance = stream(call.scheduler.seed, call.call_id, f"backoff {call.attempts}")
        await trio.sleep(call.policy.delay(failure, call.attempts, chance))
        if call.place is not None:
            granted = trio.Event()
            call.place = self._limiters.join(call.name, call.policy, granted.set)
            await granted.wait()  # whoever gives the call up leaves the place for it, granted or not
        call.waited_ns = monotonic_ns() - asked_at
        call.attempts += 1


class _ScopeLeftOpen(Exception):
    """A function of the outside did not close what it opened."""


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


async def _run_in_thread(held: _HeldThread, run: Callable[[], tuple[Any]]) -> Any:
    limiter: Any = held  # it is like one
    (result,) = await trio.to_thread.run_sync(run, limiter=limiter, abandon_on_cancel=True)
    return await result if inspect.isawaitable(result) else result


def _work(call: Call, time: float, ns: int) -> tuple[Any]:
    """In the thread: tell when the outside is really touched; in a box, as the result may be a coroutine."""
    if call.place is not None:
        call.place.began_at = time + (monotonic_ns() - ns) / 1e9
    return (call.function(*call.arguments),)


async def _in_time(seconds: float, work: Awaitable[Any]) -> Any:
    with trio.move_on_after(seconds):
        return await work
    raise trio.TooSlowError(f"took longer than {seconds:g} seconds")


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


def said_of(failure: Exception, told_as: Callable[[Exception], str] | None = None) -> str:
    """What is recorded of a failure: type and text, unless somebody says otherwise."""
    try:
        text = f"{type(failure).__name__}: {failure}" if told_as is None else told_as(failure)
        return mended(text) or type(failure).__name__
    except Exception as error:  # its own __str__ fails
        return f"{type(failure).__name__}: its text raises {type(error).__name__}"
