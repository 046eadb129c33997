"""Stepping: how the coroutines of agents are resumed, and how they are cancelled.

A coroutine is resumed directly, in the name of a leased Trio task (see lease.py). It may suspend in
a wait of the runtime, which ends its turn; at a checkpoint of Trio, which makes it ready again; in
nothing else: any other (foreign) wait of Trio raises at that place and names ``self.call``. Where the
guard is not "raise", a foreign wait is let be, and its end is an input, recorded with the step at which
it took effect. A cancellation is a turn of its own, in which the wait raises ``trio.Cancelled``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextvars import copy_context
from threading import get_ident
from typing import TYPE_CHECKING, Any

import trio
from outcome import Error, Outcome, Value
from trio.lowlevel import Abort

from matrix.errors import UnrecordedInput
from matrix.runtime.guards.guard import in_turn, report_wait
from matrix.runtime.mailbox import Message, Timer
from matrix.runtime.scheduling.activity import Activity
from matrix.runtime.scheduling.arrival import Arrival, Resumption
from matrix.runtime.scheduling.clock import Clock
from matrix.runtime.scheduling.lease import CHECKPOINT, FOREIGN_WAIT, Lease, LeasePool, run_context

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.recorder import Recorder
    from matrix.runtime.simulation import Simulation


class Stepping(Clock):
    """The scheduler's hands on coroutines."""

    task: Any  # the Trio task of the loop

    def __init__(
        self, simulation: Simulation, recorder: Recorder, leases: LeasePool, *, seed: int, ordinal: int
    ) -> None:
        super().__init__(simulation, recorder, seed=seed, ordinal=ordinal)
        self.leases = leases
        self.cancels: list[Activity] = []
        self.thread = get_ident()
        self.foreign: dict[tuple[str, int], Activity] = {}  # in waits of Trio's own, by agent and task
        self.stepped: Any = None  # the leased task that Trio takes for the current one; None: it is the loop's

    def unstep(self) -> None:
        """Back in the loop's own name, before anything of Trio's is awaited."""
        if self.stepped is not None:
            run_context.task, self.stepped = self.task, None

    @abstractmethod
    def arrive(self, arrival: Arrival) -> None: ...

    def _create(self, activity: Activity) -> bool:
        """The first turn of an agent with ``run``: only now its coroutine exists. False when cancelled before."""
        if activity.is_done:
            return False
        activity.coroutine = activity.agent.run()  # type: ignore[attr-defined]  # it has one: it is a PROCESS
        activity.context = copy_context()
        return True

    def _handle(self, agent: Agent, item: Any) -> None:
        """A turn of an agent with ``async def on_message``: its coroutine lives until the message is handled."""
        activity = agent._main
        if activity is None:
            activity = agent._main = Activity(agent, None, None, 0)
        activity.is_done, activity.cause, activity.message = False, item.seq, 0
        self.open_count += 1
        try:
            if type(item) is Message:
                activity.message = item.seq
                coroutine = agent.on_message(item)
            elif type(item) is Timer:
                coroutine = agent.on_timer(item) if not item.is_cancelled else None
            else:
                coroutine = agent.on_start()
        except Exception as error:
            self.activity_ended(activity, error)
            return
        if coroutine is None:  # one handler may be async and another plain
            self.activity_ended(activity, None)
            return
        activity.coroutine, activity.context = coroutine, copy_context()
        self._step(activity, coroutine.send, None)

    def _step(self, activity: Activity, resume: Callable[[Any], Any], value: Any) -> None:
        """Step a coroutine to its next wait, in the name of its own lease or of the shared one."""
        # The top of the loop sees to it that there is a clean one; a turn that keeps the last ends the slice.
        lease: Any = activity.lease or self.leases.clean
        self.recorder.activity = activity
        task = lease.task
        if task is not self.stepped:  # left as it is from step to step: run_slice puts the loop's own back
            run_context.task = self.stepped = task
        try:
            yielded = activity.context.run(resume, value)  # type: ignore[union-attr]  # made with the coroutine
            while yielded is not activity and (error := self._other_wait(activity, lease, yielded)) is not None:
                yielded = activity.context.run(activity.coroutine.throw, error)  # type: ignore[union-attr]  # likewise
        except StopIteration:
            self.activity_ended(activity, None)
        except Exception as error:
            self.activity_ended(activity, error)
        except trio.Cancelled as error:
            self.activity_ended(activity, error)
        except BaseExceptionGroup as error:
            self.activity_ended(activity, error)
        if lease.activity is not None or lease.is_spent or task._cancel_status is not lease.base:
            self._settle(activity, lease)

    def _settle(self, activity: Activity, lease: Lease) -> None:
        """After a step that left a scope open, left one, or met a cancellation: who keeps the lease?"""
        if lease.activity is None:
            self.leases.keep(activity)
            self.attention = self.attention or self.leases.clean is None
        if activity.is_done and not lease.is_spent:
            self.leases.give_back(lease)
        elif lease.raise_cancel is not None:
            self.cancel_arrived(activity)  # also one that is done: its lease must be parked anew
        elif lease.is_clean and not activity.is_cancelled and lease.foreign is None:
            self.leases.give_back(lease)

    def _other_wait(self, activity: Activity, lease: Lease, yielded: Any) -> BaseException | None:
        """The coroutine suspends with something else: None when it may, else what is thrown into it there."""
        if yielded is CHECKPOINT:
            activity.agent._lane.append((activity, Value(None)))  # Trio's own waits expect an outcome
            return None
        if type(yielded) is not FOREIGN_WAIT:
            return self._refusal(activity)
        abort = yielded.abort_func
        if lease.is_cancelled:
            return self._cancelled_wait(activity, lease, abort)
        if lease.task.child_nurseries and self.is_strict:
            # A raw nursery is being left: it must wait for its children, or Trio's own books are wrong.
            self.violation(activity)
            self._let_be(activity, lease, abort, "a raw nursery")
            return None
        if self.is_strict:
            return self._refusal(activity)
        self._let_be(activity, lease, abort, report_wait(activity))
        return None

    @property
    def is_strict(self) -> bool:
        """Whether waits of Trio's own are refused."""
        return self.simulation.options.guard == "raise"

    def _cancelled_wait(self, activity: Activity, lease: Lease, abort: Callable[[Any], Abort]) -> BaseException | None:
        """In a cancelled scope a wait of Trio's own ends as it begins, unless it is of a kind that cannot."""
        if self.is_strict:
            return lease.abort(abort) or self._refusal(activity)
        error = lease.abort(abort)
        self._let_be(activity, lease, None if error is not None else abort, report_wait(activity))
        if error is not None:  # an input like the end of any other: it may have been the wall clock that cancelled it
            self.foreign_ended(activity, Error(error))
        return None

    def _let_be(self, activity: Activity, lease: Lease, abort: Callable[[Any], Abort] | None, what: str) -> None:
        """A wait of Trio's own: its end will be an input, at the step at which it takes effect."""
        if lease.activity is None:
            self.leases.keep(activity)
            self.attention = True
        lease.wait(abort)
        activity.waiting, activity.waits_for = True, what
        self.foreign[activity.agent._id, activity.order] = activity
        self.begin_call()

    def _refusal(self, activity: Activity) -> BaseException:
        return UnrecordedInput(
            f"{activity.agent!r} waits here for something outside the runtime, which a replay could not repeat; "
            "put it into a function and use: await self.call(function, ...)"
        )

    async def _hand_off(self) -> None:
        """Carry out the step that is due; none is, where coroutines are stepped at once: see handoff.py."""

    # -- cancellations -------------------------------------------------------------------------

    async def _cancel_turns(self) -> None:
        """Give each cancelled activity its turn, in order of agent."""
        while self.cancels:
            batch = sorted(set(self.cancels), key=lambda activity: (activity.agent._number, activity.order))
            self.cancels.clear()
            for activity in batch:
                await self._cancel_turn(activity)

    async def _cancel_turn(self, activity: Activity) -> None:
        lease = activity.lease
        if activity.is_done:
            if lease is not None:
                await self._park_anew(lease)
            return
        if activity.is_cancelled and activity.coroutine is None:
            self.end_unstarted(activity)
            return
        if lease is None:
            lease = await self.leases.take()
            lease.activity, activity.lease = activity, lease
        if activity.is_cancelled and not lease.scope.cancel_called:
            lease.scope.cancel()  # calls back into cancel_arrived, unless its park met a cancellation before
            self.cancels = [other for other in self.cancels if other is not activity]
        is_waiting = activity.waiting or self._takes_back_answer(activity, lease)
        if not is_waiting or lease.foreign is not None:
            return  # a value is queued, or will come from outside, and goes first; the next wait meets the cancellation
        if lease.raise_cancel is None:
            return
        if lease.is_cancelled:
            self._throw(activity, lease)
            await self._hand_off()
        if lease.is_spent and lease.foreign is None:
            await self._park_anew(lease)

    def _takes_back_answer(self, activity: Activity, lease: Lease) -> bool:
        """Whether a value that is queued was an answer, and is one no more.

        That it came is in no event before its turn. If it went before the cancellation, the order would depend on
        what a history that ends in between does not tell.
        """
        waits_for, lane = activity.waits_for, activity.agent._lane
        if not (type(waits_for) is tuple and waits_for[0] == "call" and lease.is_cancelled):
            return False
        if (activity, None) not in lane:
            return False
        lane.remove((activity, None))
        activity.waiting = True
        return True

    def _throw(self, activity: Activity, lease: Lease) -> None:
        """The turn in which a wait raises Cancelled."""
        recorder, agent = self.recorder, activity.agent
        recorder.enter(self)
        activity.waiting, activity.waits_for = False, None
        activity.token += 1
        if agent._receiver is activity:
            agent._receiver = None
        agent._turns += 1
        self.turns += 1
        recorder.agent = agent
        recorder.cause = activity.cause = self.cause_of_cancellation(activity)
        if self.groups:
            self.enter_activity(activity)
        recorder.context()
        assert activity.coroutine is not None, "it waited"
        in_turn[self.thread] = recorder
        try:
            self._step(activity, activity.coroutine.throw, lease.cancelled())
        finally:
            in_turn[self.thread] = recorder.agent = recorder.activity = None
            self.unstep()

    async def _park_anew(self, lease: Lease) -> None:
        with trio.CancelScope(shield=True):
            await lease.rearm()
        activity = lease.activity
        if activity is None or activity.is_done or (lease.is_clean and not activity.is_cancelled):
            self.leases.give_back(lease)

    def foreign_ended(self, activity: Activity, result: Outcome[Any]) -> None:
        """A wait of Trio's own, that had to be let be, is over."""

        self.arrive(Resumption(activity, result))
