"""Calls: requests to the outside and their answers, recorded.

The request is an event before the outside is touched (under ``sync`` a durable one). The function
runs in the runtime's nursery, beside the simulation; its answer becomes a turn of the agent that
asked, at the place in the order at which it came, or after a fixed virtual latency. What comes
back must be a CBOR value, since a replay will have nothing but the log to take it from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import trio

from matrix.errors import LogWriteError, MatrixError, ProgramError
from matrix.event import CALL_FAMILIES
from matrix.runtime.activity import Action, Activity, park
from matrix.runtime.arrival import Arrival
from matrix.runtime.inputs import monotonic_ns
from matrix.runtime.values import mended, snapshot

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.scheduler import Scheduler


class CallFailed(MatrixError):
    """A call to the outside failed; raised in the agent that waits for it.

    ``error`` is the failure's type and text as recorded; ``__cause__`` the exception itself.
    """

    def __init__(self, name: str, error: str) -> None:
        super().__init__(f"{name}: {error}")
        self.name, self.error = name, error


class Call(Action, Arrival):
    """One request, from ``called`` to ``completed`` or ``failed``; in the schedule, the place of its answer."""

    __slots__ = (
        "activity",
        "arguments",
        "arrival",
        "began",
        "call_id",
        "error",
        "failure",
        "function",
        "is_settled",
        "latency",
        "ms",
        "name",
        "recorded",
        "result",
        "scheduler",
        "scope",
        "seq",
        "step",
        "timeout",
        "token",
    )

    def __init__(self, activity: Activity, function: Callable[..., Any], arguments: tuple[Any, ...], name: str) -> None:
        super().__init__()
        self.activity, self.token = activity, activity.token
        self.scheduler: Scheduler = activity.agent._scheduler
        self.function, self.arguments, self.name = function, arguments, name
        self.timeout: float | None = None
        self.latency: int | None = None  # microseconds; None: the answer comes as it comes
        self.call_id = ""
        self.seq = 0
        self.step = self.arrival = 0  # at which the answer arrived, and as the how manieth input
        self.recorded: dict[str, Any] | None = None  # the answer as a history has it, in a replay
        self.began = 0
        self.is_settled = False
        self.result: Any = None
        self.error = ""
        self.failure: BaseException | None = None
        self.ms = 0.0
        self.scope = trio.CancelScope()

    # -- in the runtime's nursery --------------------------------------------------------------

    async def run(self) -> None:
        """Touch the outside."""
        runtime = self.scheduler.simulation.runtime
        with self.scope:
            try:
                await runtime.before_outside(self.scheduler.recorder)
            except LogWriteError as error:  # the outside is not touched, and every simulation stops
                runtime.log_failed(error)
                return
            self.began = monotonic_ns()
            await self._answer()
        self.ms = (monotonic_ns() - self.began) / 1_000_000 if self.began else 0.0
        self._settle()

    async def _answer(self) -> None:
        try:
            if self.timeout is None:
                result = await self._outside()
            else:
                with trio.fail_after(self.timeout):
                    result = await self._outside()
            self.result = snapshot(result, f"the result of {self.name}")
        except Exception as failure:
            self.failure, self.error = failure, mended(f"{type(failure).__name__}: {failure}")

    async def _outside(self) -> Any:
        if inspect.iscoroutinefunction(self.function):
            return await self.function(*self.arguments)
        limiter = self.scheduler.simulation.runtime.threads
        result = await trio.to_thread.run_sync(self.function, *self.arguments, limiter=limiter, abandon_on_cancel=True)
        return await result if inspect.isawaitable(result) else result

    def _settle(self) -> None:
        self.is_settled = True
        if self.latency is None:
            self.scheduler.arrive(self)
        else:
            self.scheduler.answer_came(self)

    # -- in the schedule -----------------------------------------------------------------------

    def answer(self, recorded: dict[str, Any]) -> None:
        """What a replay has instead of the outside: ``completed`` or ``failed`` as it was recorded."""
        self.recorded, self.is_settled = recorded, True
        self.result, self.error = recorded.get("result"), recorded.get("error", "")

    def land(self, scheduler: Scheduler) -> None:
        """The answer's place in the order: behind what is ready now."""
        scheduler.inflight -= 1
        if self.is_wanted:
            self.step, self.arrival = scheduler.step, scheduler.landed
            activity = self.activity
            activity.waiting, activity.cause = False, self.seq
            activity.agent._lane.append((activity, None))

    def fire(self) -> tuple[Activity, Any] | None:
        """The place that was reserved when the call began: its turn is now, or everything waits until it is."""
        if not self.is_wanted:
            return None
        if not self.is_settled:
            self.scheduler.wait_for(self)
            return None
        self.activity.waiting, self.activity.cause = False, self.seq
        return self.activity, None

    @property
    def is_wanted(self) -> bool:
        """Whether somebody still waits for the answer."""
        return self.activity.waiting and self.activity.token == self.token and not self.is_stale

    def stop(self) -> None:
        """Whoever asked was cancelled: let the outside be."""
        self.scope.cancel()


async def call(
    agent: Agent,
    activity: Activity,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    *,
    name: str,
    kind: str,
    timeout: float | None,
    latency: float | timedelta | None,
) -> Any:
    """``agent.call``: record the request, wait for the answer, record that."""
    if kind not in CALL_FAMILIES:
        raise ProgramError(f"the kind of a call is one of {', '.join(CALL_FAMILIES)}, not {kind!r}")
    if not callable(function):
        raise ProgramError(f"call takes a function and its arguments, not {function!r}")
    name = name or getattr(function, "__name__", type(function).__name__)
    scheduler, recorder = agent._scheduler, agent._own_turn()
    agent._calls += 1
    told = {"name" if kind == "call" else kind: name, "call_id": f"{agent._id or 'program'}#{agent._calls}"}
    request = Call(activity, function, arguments, name)
    request.call_id, request.timeout = told["call_id"], timeout
    said = snapshot(list(arguments), f"the arguments of {name}")
    request.seq = recorder.add(f"{kind}.called", {**told, "arguments": said})
    if agent._goal is not None:
        agent._goal.steps += 1
    if latency is None:
        scheduler.begin_call()
    else:
        instant = scheduler.after(latency)
        request.latency = instant - scheduler.now
        scheduler.at(instant, request, None)
    scheduler.begin(request)
    activity.waiting, activity.waits_for = True, ("call", name)
    try:
        await park(activity)
    except BaseException as error:
        request.is_stale = True
        scheduler.drop(request)
        if recorder.agent is agent:  # not when the simulation's end closes this coroutine: its call has no outcome
            recorder.add(f"{kind}.failed", {**told, "error": type(error).__name__, "cancelled": True})
        raise
    finally:
        activity.waits_for = None
    return _take(agent, activity, request, kind, told)


def _take(agent: Agent, activity: Activity, request: Call, kind: str, told: dict[str, Any]) -> Any:
    """The first event of the turn that the answer is: what came back. It is the cause of all that follows."""
    recorder = agent._recorder
    told |= _measured(request)
    if not request.error:
        seq = recorder.add(f"{kind}.completed", {**told, "result": request.result})
    else:
        seq = recorder.add(f"{kind}.failed", {**told, "error": request.error})
    recorder.cause = activity.cause = seq
    recorder.context()
    if request.error:
        raise CallFailed(request.name, request.error) from request.failure
    # The agent gets a copy: it may change what it got, the log may not change with it.
    return snapshot(request.result, request.name)


def _measured(request: Call) -> dict[str, Any]:
    """What else the event of an answer says: how long it took, and in arrival mode when it came."""
    if request.recorded is not None:
        return {name: value for name, value in request.recorded.items() if name not in ("result", "error")}
    if request.latency is not None:
        # A call of fixed latency says that as its duration: what the wall clock said must not be part of a digest.
        return {"ms": request.latency / 1000}
    return {"ms": round(request.ms, 3), "step": request.step, "arrival": request.arrival}
