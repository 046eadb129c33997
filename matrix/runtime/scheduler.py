"""The scheduler of one simulation: one loop, one queue, one turn at a time.

Who goes next is decided here alone, by (virtual time, priority, arrival number): one deque per
priority holds what is ready now, in order of arrival; timers of later instants wait in lists, one
per instant. All timers of an instant become ready together, when nothing else is (a delta cycle).
Agents that are called are called from here; coroutines are stepped from here, in the name of a
leased Trio task (see lease.py). No Trio pass happens inside a turn.

At the top of the loop, in this order: cancellations, sorted by agent; answers and messages from
outside, as they came; then what is ready; and only when nothing is, time moves.

``run_slice`` is the hottest loop of the runtime: longer than a function should be, because a call
per turn would cost as much as half the turn.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import Abort, reschedule, wait_task_rescheduled

from matrix.errors import ProgramError
from matrix.limits import COMMIT_INTERVAL_US, GRACE_US, TURNS_PER_YIELD_MAX, TURNS_WITHOUT_TIME_MAX, YIELD_INTERVAL_NS
from matrix.runtime.activity import ACTION, ACTIVITY, ENDED, HANDLER, PROCESS, REACTIVE, Activity, park
from matrix.runtime.inputs import monotonic_ns, wall_ns
from matrix.runtime.lease import CHECKPOINT, FOREIGN_WAIT, Lease, LeasePool, run_context
from matrix.runtime.life import Life
from matrix.runtime.mailbox import Message, Start, Timer

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.recorder import Recorder
    from matrix.runtime.simulation import Simulation

COMMIT_INTERVAL_NS = COMMIT_INTERVAL_US * 1000
GRACE_NS = GRACE_US * 1000
US_PER_SECOND = 1_000_000


class Scheduler(Life):
    """The order of turns of one simulation, and its virtual clock."""

    def __init__(
        self, simulation: Simulation, recorder: Recorder, leases: LeasePool, *, seed: int, ordinal: int
    ) -> None:
        super().__init__(simulation, recorder, seed=seed, ordinal=ordinal)
        self.leases = leases
        self.lanes: list[deque[Any]] = []
        self._lane_of: dict[int, deque[Any]] = {}
        self.timers: dict[int, list[tuple[Any, Any]]] = {}
        self.instants: list[int] = []
        self.cancels: list[Activity] = []
        self.arrivals: list[Callable[[], None]] = []
        self.inflight = 0  # calls whose answer comes as it comes
        self.awaited: Any = None  # the placeholder of an answer that must come before anything else goes on
        self.holds = 0
        self.turns = self.turns_at_move = 0
        self.attention = False
        self.task: Any = None
        self._is_parked = False
        self._commit_at = 0
        self._pace = (0, 0)  # virtual and monotonic instant at which calls began to be in flight

    # -- what others ask -----------------------------------------------------------------------

    def lane(self, priority: int) -> deque[Any]:
        """The ready queue of a priority."""
        lane = self._lane_of.get(priority)
        if lane is None:
            lane = self._lane_of[priority] = deque()
            self.lanes[:] = [self._lane_of[p] for p in sorted(self._lane_of)]
        return lane

    def after(self, duration: float | timedelta) -> int:
        """The instant ``duration`` seconds from now, in microseconds."""
        return self.now + microseconds(duration)

    def at(self, instant: int, target: Any, item: Any) -> None:
        """Let ``target`` become ready at an instant."""
        entries = self.timers.get(instant)
        if entries is None:
            self.timers[instant] = [(target, item)]
            heapq.heappush(self.instants, instant)
        else:
            entries.append((target, item))

    def cancel_arrived(self, activity: Activity) -> None:
        """A cancellation waits for the top of the loop."""
        self.cancels.append(activity)
        self.attention = True
        self.wake()

    def arrive(self, arrival: Callable[[], None]) -> None:
        """Something came from outside: at the top of the loop ``arrival`` puts it in its place."""
        self.arrivals.append(arrival)
        self.attention = True
        self.wake()

    def wait_for(self, call: Any) -> None:
        """The answer of a call with fixed latency is due and not there: everything behind it waits."""
        self.awaited = call
        self.attention = True
        self.lane(0).appendleft((call, None))

    def answer_came(self, call: Any) -> None:
        """The answer of a call with fixed latency is there; its turn is when its place is reached."""
        if self.awaited is call:
            self.awaited = None
            self.attention = True
            self.wake()

    def foreign_ended(self, activity: Activity, value: Any, error: BaseException | None) -> None:
        """A wait of Trio's own, that had to be let be, is over."""

        def resume() -> None:
            activity.waiting = False
            activity.agent._lane.append((activity, _Thrown(error) if error is not None else value))

        self.inflight -= 1
        self.arrive(resume)

    def wake(self) -> None:
        """Let the loop go on if it is parked."""
        if self._is_parked:
            self._is_parked = False
            reschedule(self.task)

    # -- the loop ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run turns until the simulation has ended; ``self.ending`` says how."""
        self.task = trio.lowlevel.current_task()
        try:
            await self._loop()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                self.end("stopped", "the runtime was closed")
                await self._wind_up()
            raise
        with trio.CancelScope(shield=True):
            await self._wind_up()

    async def _loop(self) -> None:
        while self.ending is None:
            self.attention = False
            if self.leases.clean is None:
                await self.leases.refill()
            if self.cancels:
                await self._cancel_turns()
            if self.arrivals:
                self._take_arrivals()
            if self.awaited is not None and not self.awaited.is_stale:
                await self._park(None)
            elif any(self.lanes):
                self.run_slice(self._budget())
                await trio.lowlevel.checkpoint()
            elif not self._advance():
                await self._idle()

    def _budget(self) -> int:
        """How many turns the next slice may run; every bound is a count, so the order stays the same."""
        budget = min(TURNS_PER_YIELD_MAX, TURNS_WITHOUT_TIME_MAX - (self.turns - self.turns_at_move))
        if self.turns_max is not None:
            budget = min(budget, self.turns_max - self.turns)
        if self.events_max is not None:
            budget = min(budget, 1)
        return budget

    def run_slice(self, budget: int) -> None:
        """Run up to ``budget`` turns, without a yield point between them."""
        recorder, lanes = self.recorder, self.lanes
        recorder.enter(self)
        codes, push = recorder.codes, recorder.runs.extend
        turns = budget
        wall = wall_ns()
        deadline = wall + YIELD_INTERVAL_NS
        try:
            while turns and wall < deadline:
                for lane in lanes:
                    if lane:
                        break
                else:
                    self.turns += budget - turns
                    budget = turns
                    if self._advance():
                        continue
                    break
                target, item = lane.popleft()
                mode = target._mode
                wall = wall_ns()
                if mode == REACTIVE:
                    target._waiting -= 1
                    target._turns = turn = target._turns + 1
                    recorder.agent = target
                    recorder.cause = cause = item.seq
                    push((len(codes), target._number, turn, cause, target._goal_seq, wall))
                    turns -= 1
                    try:
                        if type(item) is Message:
                            target.on_message(item)
                        else:
                            self._other_item(target, item)
                    except Exception as error:
                        self.agent_failed(target, error)
                    if self.attention:
                        break
                    continue
                if mode == ACTION:
                    entry = target.fire()
                    if entry is None:
                        if self.attention:
                            break
                        continue
                    target, item = entry
                    mode = ACTIVITY
                if mode == ACTIVITY:
                    agent = target.agent
                    if target.coroutine is None and not self._create(target):
                        continue
                    if type(item) is Message:
                        target.cause = item.seq
                elif mode == HANDLER:
                    agent = target
                else:
                    continue  # it ended while this waited
                agent._turns = turn = agent._turns + 1
                turns -= 1
                recorder.agent = agent
                if mode == ACTIVITY:
                    if self.groups:
                        self.enter_activity(target)
                    recorder.cause = cause = target.cause
                    push((len(codes), agent._number, turn, cause, agent._goal_seq, wall))
                    self._step(target, target.coroutine.send, item)
                else:
                    recorder.cause = cause = item.seq
                    push((len(codes), agent._number, turn, cause, agent._goal_seq, wall))
                    self._handle(agent, item)
                if self.attention:
                    break
        finally:
            recorder.agent = recorder.activity = None
        self._after_slice(budget - turns, wall)

    def _after_slice(self, turns: int, wall: int) -> None:
        self.turns += turns
        recorder = self.recorder
        if self.turns_max is not None and self.turns >= self.turns_max:
            self.end("finished", "turns_max")
        elif self.events_max is not None and recorder.next_seq() > self.events_max:
            self.end("finished", "events_max")
        elif self.turns - self.turns_at_move >= TURNS_WITHOUT_TIME_MAX:
            self.fail(
                Livelock(
                    f"{TURNS_WITHOUT_TIME_MAX:,} turns without virtual time moving at {self.now / US_PER_SECOND} s"
                )
            )
        if self._commit_at == 0:
            self._commit_at = wall + COMMIT_INTERVAL_NS
            self.simulation.runtime.events_wait()
        elif wall >= self._commit_at:
            self._commit_at = 0
            recorder.commit()

    def _other_item(self, agent: Agent, item: Any) -> None:
        if type(item) is Timer:
            if not item.is_cancelled:
                agent.on_timer(item)
        else:
            assert type(item) is Start, "messages, timers and starts are all there is"
            agent.on_start()

    # -- coroutines ----------------------------------------------------------------------------

    def _create(self, activity: Activity) -> bool:
        """The first turn of an agent with ``run``: only now its coroutine exists. False when it was cancelled before."""
        if activity.is_done:
            return False
        activity.coroutine = activity.agent.run()  # type: ignore[attr-defined]  # it has one: it is a PROCESS
        activity.context = copy_context()
        return True

    def _handle(self, agent: Agent, item: Any) -> None:
        """A turn of an agent with ``async def on_message``: its coroutine lives until the message is handled."""
        activity = Activity(agent, None, None, item.seq)
        agent._main = activity
        self.open_count += 1
        try:
            if type(item) is Message:
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
        lease = activity.lease
        if lease is None:
            lease = self.leases.clean
            assert lease is not None, "the top of the loop sees to it, and every turn that takes it ends the slice"
        if type(value) is _Thrown:
            assert activity.coroutine is not None, "it waited"
            resume, value = activity.coroutine.throw, value.error
        self.recorder.activity = activity
        run_context.task = lease.task
        try:
            yielded = activity.context.run(resume, value)  # type: ignore[union-attr]  # made with the coroutine
            while yielded is not activity and not self._other_wait(activity, lease, yielded):
                resume, value = self._refusal(activity, lease, yielded)
                yielded = activity.context.run(resume, value)  # type: ignore[union-attr]  # likewise
        except StopIteration:
            self.activity_ended(activity, None)
        except Exception as error:
            self.activity_ended(activity, error)
        except trio.Cancelled as error:
            self.activity_ended(activity, error)
        except BaseExceptionGroup as error:
            self.activity_ended(activity, error)
        finally:
            run_context.task = self.task
        if lease.activity is not None or lease.raise_cancel is not None or lease.task._cancel_status is not lease.base:
            self._settle(activity, lease)

    def _settle(self, activity: Activity, lease: Lease) -> None:
        """After a step that left a scope open, left one, or met a cancellation: who keeps the lease?"""
        if lease.activity is None:
            self.leases.keep(activity)
            self.attention = self.attention or self.leases.clean is None
        if activity.is_done and lease.raise_cancel is None:
            self.leases.give_back(lease)
        elif lease.raise_cancel is not None:
            self.cancel_arrived(activity)  # also one that is done: its lease must be parked anew
        elif lease.is_clean and not activity.is_cancelled and lease.foreign is None:
            self.leases.give_back(lease)

    def _other_wait(self, activity: Activity, lease: Lease, yielded: Any) -> bool:
        """Whether the coroutine may suspend with this; if not, ``_refusal`` says what to throw into it."""
        if yielded is CHECKPOINT:
            activity.agent._lane.append((activity, None))
            return True
        if type(yielded) is FOREIGN_WAIT and lease.task.child_nurseries and not lease.is_cancelled:
            # A raw nursery is being left: it must wait for its children, or Trio's own books are wrong.
            self.violation(activity)
            if lease.activity is None:
                self.leases.keep(activity)
                self.attention = True
            lease.foreign = yielded.abort_func
            activity.waiting, activity.waits_for = True, "a raw nursery"
            self.inflight += 1
            return True
        return False

    def _refusal(self, activity: Activity, lease: Lease, yielded: Any) -> tuple[Callable[[Any], Any], BaseException]:
        assert activity.coroutine is not None, "it yielded"
        if type(yielded) is FOREIGN_WAIT and lease.raise_cancel is not None:
            if yielded.abort_func(lease.raise_cancel) is Abort.SUCCEEDED:
                raise_cancel = lease.raise_cancel
                error = lease.cancelled()
                lease.raise_cancel = raise_cancel  # still to be parked anew
                return activity.coroutine.throw, error
        return activity.coroutine.throw, ProgramError(
            f"{activity.agent!r} waits here for something outside the runtime, which a replay could not repeat; "
            "put it into a function and use: await self.call(function, ...)"
        )

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
        if not activity.waiting:
            return  # a value is queued and goes first; the next wait meets the cancellation
        if lease is None:
            lease = await self.leases.take()
            lease.activity, activity.lease = activity, lease
        if activity.is_cancelled and not lease.scope.cancel_called:
            lease.scope.cancel()  # calls back into cancel_arrived
            self.cancels.remove(activity)
        if lease.raise_cancel is None:
            return
        if lease.is_cancelled:
            self._throw(activity, lease)
        if activity.lease is lease or lease.raise_cancel is not None:
            await self._park_anew(lease)

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
        recorder.agent, recorder.cause = agent, activity.cause
        if self.groups:
            self.enter_activity(activity)
        recorder.context()
        assert activity.coroutine is not None, "it waited"
        try:
            self._step(activity, activity.coroutine.throw, lease.cancelled())
        finally:
            recorder.agent = recorder.activity = None

    async def _park_anew(self, lease: Lease) -> None:
        with trio.CancelScope(shield=True):
            lease.raise_cancel = None
            await lease.rearm()
        activity = lease.activity
        if activity is None or activity.is_done or (lease.is_clean and not activity.is_cancelled):
            lease.raise_cancel = None
            self.leases.give_back(lease)

    # -- time ----------------------------------------------------------------------------------

    def _take_arrivals(self) -> None:
        self._follow_wall()
        self.recorder.enter(self)
        arrivals, self.arrivals = self.arrivals, []
        for arrival in arrivals:
            arrival()

    def _advance(self) -> bool:
        """Move to the next instant at which something becomes ready; False when there is none to move to now."""
        instants = self.instants
        while instants:
            instant = instants[0]
            if self.until is not None and instant > self.until:
                break
            if self.inflight and self.simulation.pace != "free" and instant > self._wall_instant():
                return False
            heapq.heappop(instants)
            if self._ripen(instant):
                return True
        return False

    def _ripen(self, instant: int) -> bool:
        """Make the timers of an instant ready, all of them, in the order in which they were set."""
        moved = False
        for target, item in self.timers.pop(instant):
            mode = target._mode
            if mode == ACTIVITY:
                if not target.waiting or target.token != item:
                    continue  # that wait was ended by a cancellation
                target.waiting = False
                target.agent._lane.append((target, None))
            elif mode == ACTION:
                if target.is_stale:
                    continue
                self.lane(0).append((target, None))
            elif mode == ENDED or item.is_cancelled:
                continue
            elif mode == REACTIVE:
                target._waiting += 1
                target._lane.append((target, item))
            else:
                self.queue(target, item)
            moved = True
        if moved:
            self.move_to(instant)
        return moved

    def move_to(self, instant: int) -> None:
        """Virtual time moves; never back."""
        if instant > self.now:
            self.now = instant
            self.turns_at_move = self.turns
            if self.recorder.owner is self:
                self.recorder.now = instant
                self.recorder.place()

    def begin_call(self) -> None:
        """A call is in flight whose answer comes as it comes: virtual time follows the wall clock from here."""
        if self.inflight == 0:
            self._pace = (self.now, monotonic_ns())
        self.inflight += 1

    def _wall_instant(self) -> int:
        """How far virtual time may have come while calls are in flight."""
        if self.simulation.pace != "pace":
            return self.now
        began, wall = self._pace
        return max(self.now, began + (monotonic_ns() - wall) // 1000)

    @property
    def error(self) -> BaseException | None:
        """What the simulation failed with; a group when several agents failed."""
        if len(self.errors) > 1:
            return BaseExceptionGroup(f"{len(self.errors)} errors in {self.simulation.id}", self.errors)
        return self.errors[0] if self.errors else None

    def _follow_wall(self) -> None:
        """Answers arrive at the instant that the wall clock says, but never past the next timer."""
        if self.inflight and self.simulation.pace == "pace":
            instant = self._wall_instant()
            bounds = [b for b in (self.instants[0] if self.instants else None, self.until) if b is not None]
            self.move_to(min([instant, *bounds]))

    async def _idle(self) -> None:
        """Nothing is ready: wait for the outside, or end."""
        until = self.until
        if self.ending is not None:
            return
        if until is not None and self._is_over(until):
            self.move_to(until)
            self.end("finished", "until")
            return
        if not self.inflight and not self.holds:
            self.end_quietly()
            return
        bound = self.instants[0] if self.instants else until
        if self.inflight and self.simulation.pace == "pace" and bound is not None:
            await self._park(max(0, bound + 1 - self._wall_instant()) / US_PER_SECOND)
        else:
            await self._park(None)

    def _is_over(self, until: int) -> bool:
        """Whether nothing more can happen up to the end that was asked for."""
        if not self.inflight or self.simulation.pace == "free":
            return bool(self.instants)  # _advance left only those beyond it
        return self._wall_instant() >= until

    async def _park(self, seconds: float | None) -> None:
        if self.attention:
            return

        def abort(_: Any) -> Abort:
            self._is_parked = False
            return Abort.SUCCEEDED

        self.recorder.leave()
        self._is_parked = True
        if seconds is None:
            await wait_task_rescheduled(abort)
        else:
            with trio.move_on_after(seconds):
                await wait_task_rescheduled(abort)

    # -- the end -------------------------------------------------------------------------------

    async def _wind_up(self) -> None:
        """The simulation has ended: cancel what is alive if it did not end by itself, close the rest, record it."""
        if self.ending != "finished":
            await self._cancel_all()
        self.recorder.enter(self)
        if self.leases.clean is None:
            await self.leases.refill()
            self.recorder.enter(self)
        self.close_activities()
        self.record_end()
        self.recorder.leave()

    async def _cancel_all(self) -> None:
        """Cancel every coroutine, in order of agent; what their cleanup waits for may take a while, not for ever."""
        for activity in self.live_activities():
            self.cancel_activity(activity)
        limit = monotonic_ns() + GRACE_NS
        while self.open_count and monotonic_ns() < limit:
            self.attention = False
            if self.leases.clean is None:
                await self.leases.refill()
            if self.cancels:
                await self._cancel_turns()
            if self.arrivals:
                self._take_arrivals()
            self._drop_called()
            if any(self.lanes):
                self.run_slice(TURNS_PER_YIELD_MAX)
                await trio.lowlevel.checkpoint()
            elif not self.cancels and not self._advance():
                if not self.inflight:
                    return
                await self._park((limit - monotonic_ns()) / 1e9)

    def _drop_called(self) -> None:
        """A simulation that is being stopped gives no turns to agents that are called."""
        for lane in self.lanes:
            kept = [entry for entry in lane if entry[0]._mode in (ACTIVITY, ACTION)]
            lane.clear()
            lane.extend(kept)


class _Thrown:
    """An entry of the ready queue that raises instead of returning."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Livelock(ProgramError):
    """Turn follows turn, and virtual time does not move."""


def microseconds(duration: float | timedelta) -> int:
    """A duration given in seconds (or as a timedelta), in whole microseconds.

    >>> microseconds(1.5), microseconds(timedelta(milliseconds=3))
    (1500000, 3000)
    """
    if isinstance(duration, timedelta):
        return _not_negative(duration // timedelta(microseconds=1), duration)
    if not isinstance(duration, (int, float)) or not math.isfinite(duration):
        raise ProgramError(f"a duration is a number of seconds or a timedelta, not {duration!r}")
    return _not_negative(
        duration * US_PER_SECOND if isinstance(duration, int) else round(duration * US_PER_SECOND), duration
    )


def _not_negative(value: int, duration: Any) -> int:
    if value < 0:
        raise ProgramError(f"the duration {duration!r} is negative; virtual time never runs back")
    return value
