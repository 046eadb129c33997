"""Hand-off: coroutines resumed by their leased Trio tasks themselves, with public API only.

The scheduler steps coroutines directly, for which it writes one private name of Trio (see lease.py).
Where that name is missing, or when it is asked for, each turn of a coroutine is handed to the task that is
leased to it for life: the task does the step, parks again, and wakes the loop. The order of turns is
decided by the same code, so histories are the same; a turn costs a task switch there and one back.

What always holds: the loop sleeps while a task does a step, and nothing but the end of that step wakes it;
the task hands back whatever the step raised, so the loop cannot be forgotten.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import trio
from trio.lowlevel import Abort, RaiseCancelT, current_task, wait_task_rescheduled

from matrix.errors import ProgramError, UsageError
from matrix.runtime.guards.guard import in_turn
from matrix.runtime.scheduling.lease import Lease, has_hook
from matrix.runtime.scheduling.scheduler import Scheduler

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.scheduling.activity import Activity

Engine = Literal["auto", "direct", "handoff"]

_diagnostics = logging.getLogger("matrix")


class HandoffLease(Lease):
    """A task that steps one coroutine, from its first turn to its end."""

    __slots__ = ()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Learn how Trio says that something is cancelled, and then live as other leases do."""
        with trio.CancelScope() as scope:
            scope.cancel()
            await wait_task_rescheduled(self._learn)
        await super().run(task_status)

    def _learn(self, raise_cancel: RaiseCancelT) -> Abort:
        self._newest = raise_cancel
        return Abort.SUCCEEDED

    @property
    def is_clean(self) -> bool:
        """Whether another coroutine may have it: when one has ended, every scope that it opened has."""
        return not self.scope.cancel_called

    @property
    def is_cancelled(self) -> bool:
        """Whether a wait in the innermost open scope must raise Cancelled now."""
        if current_task() is self.task:
            return trio.current_effective_deadline() == -float("inf")
        return self.raise_cancel is not None  # when it parked, or since: it has left no scope since

    def wait(self, foreign: Callable[[RaiseCancelT], Abort] | None) -> None:
        """From here on the park stands for a wait of Trio's own; it has not parked yet."""
        self.foreign = foreign or self._remember


class Step(NamedTuple):
    """A turn of a coroutine that is to be handed off."""

    activity: Activity
    resume: Callable[[Any], Any]
    value: Any
    agent: Agent
    cause: int


class HandoffScheduler(Scheduler):
    """The same order of turns, by other hands."""

    lease_kind = HandoffLease

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._due: Step | None = None
        self._slice: tuple[int, int] | None = None

    def _step(self, activity: Activity, resume: Callable[[Any], Any], value: Any) -> None:
        """It is the last turn of its slice, and done behind it."""
        self._due = Step(activity, resume, value, activity.agent, self.recorder.cause)
        self.attention = True

    def _settle(self, activity: Activity, lease: Lease) -> None:
        """The lease stays with its coroutine; it is given back once it is parked."""

    def _after_slice(self, turns: int, wall: int) -> None:
        """What is counted after a slice is counted after its last turn."""
        if self._due is None:
            super()._after_slice(turns, wall)
        else:
            self._slice = turns, wall

    async def _hand_off(self) -> None:
        step, self._due = self._due, None
        if step is None:
            return
        counted, self._slice = self._slice, None
        activity = step.activity
        with trio.CancelScope(shield=True):
            lease = activity.lease or await self._lend(activity)
            await lease.do(lambda: self._carry_out(step, lease))
        if activity.is_done:
            self.leases.give_back(lease)
        self.recorder.enter(self)
        if counted is not None:
            super()._after_slice(*counted)

    async def _lend(self, activity: Activity) -> Lease:
        lease = await self.leases.take()
        lease.activity, activity.lease = activity, lease
        return lease

    def _carry_out(self, step: Step, lease: Lease) -> None:
        """In the leased task: the turn itself."""
        self.stepped = lease.task  # it is the current one in truth
        try:
            self._as_turn(step.agent, step.cause, lambda: super(HandoffScheduler, self)._step(*step[:3]))
        finally:
            self.stepped = None

    def _as_turn(self, agent: Agent | None, cause: int, act: Callable[[], object]) -> None:
        """Other simulations may have had slices meanwhile: say whose turn it is, do it, and say that it is over."""
        recorder = self.recorder
        recorder.enter(self)
        recorder.agent, recorder.cause = agent, cause
        recorder.context()
        in_turn[self.thread] = recorder
        try:
            act()
        finally:
            in_turn[self.thread] = recorder.agent = recorder.activity = None

    async def _park_anew(self, lease: Lease) -> None:
        """It did so after the step."""

    async def _in_name_of(self, lease: Lease, act: Callable[[], object]) -> None:
        """Let the task of a lease close a coroutine; meanwhile other simulations may have slices."""
        recorder = self.recorder
        agent, cause, was_in_turn = recorder.agent, recorder.cause, in_turn.get(self.thread)
        in_turn[self.thread] = recorder.agent = None
        try:
            await lease.do(lambda: self._as_turn(agent, cause, act))
        finally:
            recorder.enter(self)
            recorder.agent, recorder.cause, in_turn[self.thread] = agent, cause, was_in_turn
            recorder.context()


def check_engine(engine: Any) -> Engine:
    """Refuse what is no engine.

    >>> check_engine("handoff")
    'handoff'
    """
    if engine not in get_args(Engine):
        raise ProgramError(f"engine is one of {', '.join(get_args(Engine))}, not {engine!r}")
    return engine  # type: ignore[no-any-return]  # one of three texts, as was just seen


def engine_for(asked: Engine) -> type[Scheduler]:
    """The scheduler of a runtime; asked in a Trio task."""
    if asked == "auto":
        asked = check_engine(os.environ.get("MATRIX_ENGINE", "auto"))
    if asked == "handoff":
        return HandoffScheduler
    if has_hook():
        return Scheduler
    lack = (
        f"trio {trio.__version__} has no GLOBAL_RUN_CONTEXT.task or Task._cancel_status that works as in 0.22 to 0.35"
    )
    if asked == "direct":
        raise UsageError(f'{lack}, which engine="direct" needs; engine="auto" does without')
    _diagnostics.warning("%s: agents with coroutines take their turns by hand-off, in the same order and slower", lack)
    return HandoffScheduler
