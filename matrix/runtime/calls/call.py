"""Calls: requests to the outside and their answers, recorded.

The request is an event before the outside is touched (under ``sync`` a durable one). How that is done,
and how often, is outside.py's; here is its place in the order: the answer becomes a turn of the agent
that asked, where it came ("arrival"), or at a place that was reserved when the call began: after its
``latency``, in "ordered" delivery at once, and everything behind that place waits for it. What comes
back must be a CBOR value, since a replay will have nothing but the log to take it from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import trio

from matrix.errors import MatrixError, ProgramError
from matrix.event import CALL_FAMILIES
from matrix.runtime.calls.policy import CallPolicy, check_given, seconds_of
from matrix.runtime.scheduling.activity import Action, Activity, park
from matrix.runtime.scheduling.arrival import Arrival
from matrix.runtime.values import SCALARS, snapshot

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.calls.limiter import Place
    from matrix.runtime.scheduling.scheduler import Scheduler

_KINDS = {family: (f"{family}.called", f"{family}.completed", f"{family}.failed") for family in CALL_FAMILIES}
_ANSWERS = frozenset({"result", "error"})


class CallFailed(MatrixError):
    """A call to the outside failed; raised in the agent that waits for it.

    ``error`` is the last attempt's failure as recorded, ``error_type`` the name of its type, ``attempts`` how many
    there were. ``__cause__`` is the exception itself, but not in a replay: a program must not decide by it.

    >>> failed = CallFailed("ask_model", "ConnectionError: reset by peer", attempts=3)
    >>> failed.error_type, str(failed)
    ('ConnectionError', 'ask_model: ConnectionError: reset by peer (3 attempts)')
    """

    def __init__(self, name: str, error: str, *, attempts: int = 1) -> None:
        super().__init__(f"{name}: {error} ({attempts} attempts)" if attempts > 1 else f"{name}: {error}")
        self.name, self.error, self.attempts = name, error, attempts

    @property
    def error_type(self) -> str:
        """The name of the exception's type, such as ``"TooSlowError"``."""
        return self.error.partition(":")[0]


class UnknownOutcome(CallFailed):
    """A crash came between the request and its answer: what was asked for may have happened or not.

    Declare a call repeatable, and it is sent again instead.
    """


class Call(Action, Arrival):
    """One request, from ``called`` to ``completed`` or ``failed``; in the schedule, the place of its answer."""

    # No slots: most of this is the same for nearly all calls, and stays in the class.
    latency: int | None = None  # microseconds; None: the answer comes as it comes
    seq = 0  # of ``called``
    step = arrival = 0  # at which the answer arrived, and as the how manieth input
    landed_at: int | None = None  # the virtual time then; None before
    recorded: dict[str, Any] | None = None  # the answer as a history has it, in a replay
    unknown = False  # a crash came between the request and its answer
    is_settled = False
    result: Any = None
    error = ""
    failure: Exception | None = None
    # Of the attempt that is under way, or was the last one.
    attempts = 1
    asked_at = began = waited_ns = 0
    ms = 0.0
    tries: list[dict[str, Any]] | None = None  # those that failed before
    place: Place | None = None  # among the requests of its name, where they are limited
    scope: trio.CancelScope | None = None  # while a task serves it
    told_as: Callable[[Exception], str] | None = None  # what is said of a failure, where it is not type and text
    context: Any = None  # the variables of the agent that made it
    prepare: Callable[[], Awaitable[None]] | None = None  # awaited before each attempt, and no part of it

    def __init__(
        self,
        activity: Activity,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        *,
        name: str,
        call_id: str,
        policy: CallPolicy,
    ) -> None:
        self.is_stale = False
        self.activity, self.token = activity, activity.token
        self.scheduler: Scheduler = activity.agent._scheduler
        self.function, self.arguments = function, arguments
        self.name, self.call_id, self.policy = name, call_id, policy
        self.timeout: Any = policy.timeout  # seconds
        self.repeatable = policy.repeatable  # whether a resumed simulation may send it again

    def lose(self) -> None:
        """The simulation was cut off before the answer was recorded, and goes on now: nobody knows what came of it."""
        self.unknown = True
        self.error = "UnknownOutcome: the simulation was cut off while this was in flight; it may have had its effect"
        self.settle()

    def settle(self) -> None:
        """The answer is there, or nobody wants it: tell the scheduler."""
        self.is_settled = True
        if self.latency is None:
            self.scheduler.arrive(self)
        else:
            self.scheduler.answer_came(self)

    def measured(self) -> dict[str, Any]:
        """How long the attempt took, and how long it waited before for its place, its thread, or after a failure."""
        found: dict[str, Any] = {"ms": round(self.ms, 3)}
        if self.waited_ns >= 1_000:
            found["waited_ms"] = round(self.waited_ns / 1_000_000, 3)
        return found

    # -- what other kinds of calls do otherwise ------------------------------------------------

    def begins(self) -> None:
        """The outside will be touched for it: said in the turn that asks, in the order of the requests."""

    def outcome(self) -> dict[str, Any]:
        """What the event of its answer says of the answer itself."""
        return {"error": self.error} if self.error else {"result": self.result}

    def value(self, told: dict[str, Any]) -> Any:
        """What the agent gets, whose answer's event is ``told``: a copy, as it may change that, and not the log."""
        return self.result if type(self.result) in SCALARS else snapshot(self.result, self.name)

    # -- in the schedule -----------------------------------------------------------------------

    def answer(self, recorded: dict[str, Any]) -> None:
        """What a replay has instead of the outside: ``completed`` or ``failed`` as it was recorded."""
        self.recorded, self.is_settled = recorded, True
        self.result, self.error = recorded.get("result"), recorded.get("error", "")
        self.attempts = recorded.get("attempts", 1)

    def land(self, scheduler: Scheduler) -> None:
        """The answer's place in the order: behind what is ready now."""
        scheduler.inflight -= 1
        if self.is_wanted:
            self.step, self.arrival, self.landed_at = scheduler.step, scheduler.landed, scheduler.now
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
        self.scheduler.simulation.runtime.outside.stop(self)


async def call(
    agent: Agent,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    *,
    name: str,
    kind: str,
    timeout: float | timedelta | None,
    latency: float | timedelta | None,
    repeatable: bool | None,
    policy: CallPolicy | None,
) -> Any:
    """``agent.call``: record the request, wait for the answer, record that."""
    if kind not in _KINDS:
        raise ProgramError(f"the kind of a call is one of {', '.join(CALL_FAMILIES)}, not {kind!r}")
    if not callable(function):
        raise ProgramError(f"call takes a function and its arguments, not {function!r}")
    if policy is not None:
        check_given(policy)
    activity, scheduler = agent._own_activity(), agent._scheduler
    name = name or name_of(function)
    rules = scheduler.simulation.policies.of(name, function, policy)
    agent._calls += 1
    told = {"name" if kind == "call" else kind: name, "call_id": f"{agent._id or 'program'}#{agent._calls}"}
    request = Call(activity, function, arguments, name=name, call_id=told["call_id"], policy=rules)
    if timeout is not None:
        request.timeout = seconds_of("timeout", timeout)
    said = {**told, "arguments": snapshot(arguments, f"the arguments of {name}")}
    if repeatable is not None:
        request.repeatable = repeatable
    return await answer_to(request, kind, told=told, said=said, latency=latency)


async def answer_to(
    request: Call, kind: str, *, told: dict[str, Any], said: dict[str, Any], latency: float | timedelta | None
) -> Any:
    """Make a request that is ready: ``said`` is recorded of it, ``told`` of its answer."""
    activity, scheduler = request.activity, request.scheduler
    agent = activity.agent
    recorder = agent._recorder
    if request.repeatable:
        said["repeatable"] = True
    _place(scheduler, request, latency)
    request.seq = recorder.add(_KINDS[kind][0], said)
    if agent._goal is not None:
        agent._goal.steps += 1
    scheduler.begin(request)
    activity.waiting, activity.waits_for = True, ("call", request.name)
    try:
        await park(activity)
    except BaseException as error:
        request.is_stale = True
        scheduler.drop(request)
        if recorder.agent is agent:  # not in a simulation that is abandoned
            recorder.add(_KINDS[kind][2], {**told, **_given_up(request, error)})
        raise
    finally:
        activity.waits_for = None
    return _take(agent, activity, request, kind, told)


def _place(scheduler: Scheduler, request: Call, latency: float | timedelta | None) -> None:
    """Reserve the answer's place, where it has one before it comes."""
    if latency is None and scheduler.simulation.options.delivery == "ordered":
        latency = 0
    if latency is None:
        scheduler.begin_call()
    else:
        instant = scheduler.after(latency)
        request.latency = instant - scheduler.now
        scheduler.at(instant, request, None)


def _take(agent: Agent, activity: Activity, request: Call, kind: str, told: dict[str, Any]) -> Any:
    """The first event of the turn that the answer is: what came back. It is the cause of all that follows."""
    recorder, error = agent._recorder, request.error
    told |= _about(request) | request.outcome()
    seq = recorder.add(_KINDS[kind][2 if error else 1], told)
    recorder.cause = activity.cause = seq
    recorder.context()
    if error:
        raise (UnknownOutcome if told.get("unknown") else CallFailed)(
            request.name, error, attempts=request.attempts
        ) from request.failure
    return request.value(told)


def _given_up(request: Call, error: BaseException) -> dict[str, Any]:
    """What is said of a call whose answer nobody took: also when it came, if it did, since that has moved time."""
    why = "the simulation ended" if isinstance(error, GeneratorExit) else type(error).__name__
    said: dict[str, Any] = {"error": why, "cancelled": True}
    if request.landed_at is not None:
        said |= {"step": request.step, "arrival": request.arrival, "arrived": request.landed_at}
    return said


def _about(request: Call) -> dict[str, Any]:
    """What else the event of an answer says: attempts, how long the last took, and in arrival mode when it came."""
    if request.recorded is not None:
        return {name: value for name, value in request.recorded.items() if name not in _ANSWERS}
    told: dict[str, Any]
    if request.unknown:
        when = {"step": request.step, "arrival": request.arrival} if request.latency is None else {}
        return {"unknown": True, **when}
    if request.latency is None:
        told = request.measured()
        told |= {"attempts": request.attempts, "step": request.step, "arrival": request.arrival}
        if request.tries:
            told["tries"] = request.tries
    else:
        # A call of fixed latency says that as its duration: what the wall clock said must not be part of a digest.
        told = {"ms": request.latency / 1000, "attempts": request.attempts}
        if request.tries:
            told["tries"] = [{"error": one["error"]} for one in request.tries]
    return told


def name_of(function: Callable[..., Any]) -> str:
    """What a call is named after, unless it is given a name.

    >>> from functools import partial
    >>> name_of(len), name_of(partial(int, base=2))
    ('len', 'int')
    """
    name = getattr(function, "__name__", None)
    if name is None and hasattr(function, "func"):  # functools.partial
        return name_of(function.func)
    return name if isinstance(name, str) else type(function).__name__
