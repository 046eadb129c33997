"""The scheduler of one simulation: one loop, one queue, one turn at a time.

Who goes next is decided here alone, by (virtual time, priority, arrival number): one deque per
priority holds what is ready now, in order of arrival; timers of later instants wait in lists, one
per instant. All timers of an instant become ready together, when nothing else is (a delta cycle).
Agents that are called are called from here; coroutines are stepped from here, in the name of a
leased Trio task (see lease.py). No Trio pass happens inside a turn.

At the top of the loop, in this order: cancellations, sorted by agent; answers and messages from
outside, as they came, or in a replay those that were recorded at this step; then what is ready; and
only when nothing is, time moves.

``run_slice`` is the hottest loop of the runtime: longer than a function should be, because a call
per turn would cost as much as half the turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import Abort, reschedule, wait_task_rescheduled

from matrix.errors import AskFailed
from matrix.limits import GRACE_US, TURNS_PER_YIELD_MAX, YIELD_INTERVAL_NS
from matrix.runtime.calls.call import call
from matrix.runtime.calls.model import model
from matrix.runtime.calls.tool import use
from matrix.runtime.durations import US_PER_SECOND
from matrix.runtime.guards.guard import in_turn
from matrix.runtime.inputs import monotonic_ns, wall_ns
from matrix.runtime.mailbox import Message, Start, Timer
from matrix.runtime.outcome import SeveralErrors
from matrix.runtime.scheduling.activity import ACTION, ACTIVITY, ENDED, HANDLER, REACTIVE, Activity
from matrix.runtime.scheduling.arrival import Arrival, GraceOver, Stopped
from matrix.runtime.scheduling.lease import Lease, LeasePool
from matrix.runtime.scheduling.stepping import Stepping
from matrix.runtime.scheduling.waits import Livelock, busiest

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.recorder import Recorder
    from matrix.runtime.simulation import Simulation

GRACE_NS = GRACE_US * 1000


class Scheduler(Stepping):
    """The order of turns of one simulation, and its virtual clock."""

    lease_kind: type[Lease] = Lease

    call = staticmethod(call)  # here, and not in the agent: an agent can be defined without Trio
    use = staticmethod(use)
    model = staticmethod(model)

    def __init__(
        self, simulation: Simulation, recorder: Recorder, leases: LeasePool, *, seed: int, ordinal: int
    ) -> None:
        super().__init__(simulation, recorder, leases, seed=seed, ordinal=ordinal)
        self.arrivals: list[Arrival] = []
        self.awaited: Any = None  # a call of fixed latency whose answer is due: everything behind it waits
        self.patches: set[str] = set()  # whose new way the program goes
        self.resumed_after = 0  # the newest event from before a crash: a request up to there was perhaps sent
        self.landed = 0  # inputs that took effect so far: the order among those of one step
        self.holds = 0
        self.attention = False  # the slice must end: something waits for the top of the loop
        self.is_halted = False  # a replay ends here: nothing more is run or recorded
        self.grace_is_over = False
        self.task: Any = None
        self._is_parked = False
        self._turns_then: list[int] = []  # of each agent, half way to a livelock

    # -- what others ask -----------------------------------------------------------------------

    def cancel_arrived(self, activity: Activity) -> None:
        """A cancellation waits for the top of the loop."""
        self.cancels.append(activity)
        self.attention = True
        self.wake()

    def arrive(self, arrival: Arrival) -> None:
        """Something came from outside: it takes effect at the top of the loop."""
        self.arrivals.append(arrival)
        self.attention = True
        self.wake()

    def stop(self, reason: str) -> None:
        """End the simulation: in a turn of its own right after it, from outside as a recorded input."""
        if self.recorder.owner is self and self.recorder.agent is not None:
            self.end("stopped", reason, cause=self.recorder.cause)
        elif self.playback is not None:
            self.halt()
        else:
            self.arrive(Stopped(reason))

    def halt(self) -> None:
        """Go no further: what a replay does where it was asked to end, or where it went another way."""
        self.is_halted = self.attention = True
        self.wake()

    def begin(self, call: Any) -> None:
        """A request is recorded: touch the outside, or in a replay wait for what the outside answered then."""
        if self.playback is not None:
            self.playback.begin(call)
        elif call.seq <= self.resumed_after and not call.repeatable:
            call.lose()
        else:
            self.simulation.runtime.outside.start(call)

    def drop(self, call: Any) -> None:
        """Nobody waits for the answer any more."""
        if self.playback is not None:
            self.playback.drop(call)
        else:
            call.stop()

    def wait_for(self, call: Any) -> None:
        """The answer of a call with fixed latency is due and not there: everything behind it waits."""
        self.awaited = call
        self.attention = True
        self.moves -= 1  # it fires again: how often it was too early must not count
        lane: Any = self.lane(0)
        (lane.appendleft if self.chance is None else lane.put_back)((call, None))

    def answer_came(self, call: Any) -> None:
        """The answer of a call with fixed latency is there; its turn is when its place is reached."""
        if self.awaited is call:
            self.awaited = None
            self.attention = True
            self.wake()

    def wake(self) -> None:
        """Let the loop go on if it is parked."""
        if self._is_parked:
            self._is_parked = False
            reschedule(self.task)

    # -- the loop ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run turns until the simulation has ended; ``self.ending`` says how."""
        self.task = trio.lowlevel.current_task()
        if self.is_real:
            self.pace_from_here()
        try:
            await self._loop()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                self.stop("the runtime was closed")
                self._take_inputs()
                await self._wind_up()
            raise
        with trio.CancelScope(shield=True):
            await self._wind_up()

    async def _loop(self) -> None:
        while self.ending is None and not self.is_halted:
            if not await self._take_what_came() or self.ending is not None:
                continue  # also when a stop came: nothing more becomes ready, and time does not move
            if self.awaited is not None and not self.awaited.is_stale:
                await self._wait_for_answer(None)
            elif any(self.lanes):
                self.run_slice(self._budget())
                await self._hand_off()
                await trio.lowlevel.checkpoint()
            elif not self._advance():
                await self._idle()

    async def _take_what_came(self) -> bool:
        """The top of the loop; False when it must be begun again before anything is run."""
        self.attention = False
        if self.leases.clean is None:
            await self.leases.refill()
        if self.cancels:
            await self._cancel_turns()
        if self.arrivals or self.playback is not None:
            self._take_inputs()
        if self.playback is not None and self.playback.is_waiting:
            await self._park(None)
            return False
        # Cancellations that came with the inputs go before turns; a lease may have been taken by another simulation.
        return not self.cancels and self.leases.clean is not None

    def _take_inputs(self) -> None:
        self.recorder.enter(self)
        if self.playback is not None:
            self.playback.land_due(self)
        arrivals, self.arrivals = self.arrivals, []
        if arrivals and not self.is_anything_ready() and any(arrival.is_wanted for arrival in arrivals):
            self._follow_wall()  # time stands still while something is ready: what an arrival leads to has its time
        for arrival in arrivals:
            self.landed += arrival.is_wanted
            arrival.land(self)

    def is_anything_ready(self) -> bool:
        """Whether a turn or an action is due now; entries of those that have ended are neither, wherever they lie."""
        return any(
            target._mode != ENDED and not (target._mode == ACTIVITY and target.is_done)
            for lane in self.lanes
            for target, _ in lane
        )

    def _budget(self) -> int:
        """How many turns the next slice may run; every bound is a count, so the order stays the same."""
        since, half = self.turns - self.turns_at_move, self.turns_without_time_max // 2
        budget = min(
            TURNS_PER_YIELD_MAX,
            (half if since < half else self.turns_without_time_max) - since,
            self.stop_at - self.turns - self.moves,
        )
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
        in_turn[self.thread] = recorder
        try:
            while turns and wall < deadline:
                for lane in lanes:
                    if lane:
                        break
                else:
                    self.turns += budget - turns
                    budget = turns
                    if self._advance():
                        if turns > self.stop_at - self.turns - self.moves:
                            turns = budget = self.stop_at - self.turns - self.moves
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
                        self.agent_failed(target, error, item.seq if type(item) is Message else 0)
                    if self.attention:
                        break
                    continue
                if mode == ACTION:
                    self.moves += 1
                    if self.playback is not None:
                        self.attention = True  # an input may be due right behind it
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
            in_turn[self.thread] = recorder.agent = recorder.activity = None
            self.unstep()
        self._after_slice(budget - turns, wall)

    def _after_slice(self, turns: int, wall: int) -> None:
        self.turns += turns
        recorder = self.recorder
        if self.turns_max is not None and self.turns >= self.turns_max:
            self.end("finished", "turns_max")
        elif self.events_max is not None and recorder.next_seq() > self.events_max:
            self.end("finished", "events_max")
        elif self.ending is None:
            self._look_for_livelock()
        if recorder.is_checking:
            return  # it compares what fills a block
        if not recorder.commit_at:
            if recorder.codes:
                recorder.commit_at = wall + recorder.rest_ns
                self.simulation.runtime.events_wait()
        elif wall >= recorder.commit_at and not self.simulation.runtime.outside.commits_soon:
            recorder.commit()

    def _look_for_livelock(self) -> None:
        """Half way to the bound remember who had how many turns; at the bound tell who had most since."""
        since, bound = self.turns - self.turns_at_move, self.turns_without_time_max
        if since >= bound:
            said = f"{bound:,} turns without virtual time moving at {self.now / US_PER_SECOND} s; busiest: "
            self.fail(Livelock(said + busiest(self.agents, self._turns_then)))
        elif since == bound // 2:
            self._turns_then = [agent._turns for agent in self.agents]

    def _other_item(self, agent: Agent, item: Any) -> None:
        if type(item) is Timer:
            if not item.is_cancelled:
                agent.on_timer(item)
        else:
            assert type(item) is Start, "messages, timers and starts are all there is"
            agent.on_start()

    @property
    def error(self) -> Exception | None:
        """What the simulation failed with; a group when several agents failed."""
        if len(self.errors) > 1:
            return SeveralErrors(f"{len(self.errors)} errors in {self.simulation.id}", self.errors)
        return self.errors[0] if self.errors else None

    async def _idle(self) -> None:
        """Nothing is ready: wait for the outside, or end."""
        until = self.until
        if self.ending is not None or self.is_halted:
            return
        if self.playback is not None:
            self._idle_in_playback()
            return
        if until is not None and self._is_over(until):
            self.move_to(until)
            self.end("finished", "until")
            return
        bound = self.next_instant()
        if not self.inflight and not self.holds and (bound is None or not self.is_real):
            self.end_quietly()
            return
        if until is not None:
            bound = until if bound is None else min(bound, until)
        if bound is not None and (self.is_real or (self.inflight and self.simulation.pace == "pace")):
            await self._park(self.wall_seconds_to(bound))
        else:
            await self._park(None)

    def _idle_in_playback(self) -> None:
        """Nothing is ready and time may not move: an input is due, or this is how it ended then too."""
        assert self.playback is not None, "only there"
        if self.playback.is_due(self):
            return
        # With neither it was a hold, or a call that nobody waited for and that took its time to be given up.
        if self.until is not None and (self.instants or self.inflight or self.playback.is_ended_by_time):
            self.move_to(self.until)
            self.end("finished", "until")
        elif self.inflight:
            self.halt()  # an answer that was never recorded: history ends here
        else:
            self.end_quietly()

    def _is_over(self, until: int) -> bool:
        """Whether nothing more can happen up to the end that was asked for."""
        if not self.is_real and (not self.inflight or self.simulation.pace == "free"):
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
        if self.ending != "finished" and not self.is_halted:
            await self._cancel_all()
        if self.is_halted:
            return
        self.recorder.enter(self)
        if self.leases.clean is None:
            await self.leases.refill()
            self.recorder.enter(self)
        await self.close_activities()
        self.record_end()
        self.recorder.leave()

    async def _cancel_all(self) -> None:
        """Cancel every coroutine, in order of agent; what their cleanup waits for may take a while, not for ever."""
        fresh = {activity for activity in self.live_activities() if not activity.is_cancelled}
        for activity in self.live_activities():
            self.cancel_activity(activity)
        self._forget_ready(fresh)
        limit = monotonic_ns() + GRACE_NS
        while self.open_count and not self.is_halted:
            is_ready = await self._take_what_came()
            self._drop_called()
            if self.grace_is_over or not self.open_count:  # the last may just have ended: time must not move for it
                return
            if self.playback is None and monotonic_ns() >= limit:
                self.arrive(GraceOver())
            elif not is_ready:
                continue
            elif self.awaited is not None and not self.awaited.is_stale:
                await self._wait_for_answer((limit - monotonic_ns()) / 1e9)
            elif any(self.lanes):
                self._run_one()
                await self._hand_off()
                await trio.lowlevel.checkpoint()
            elif not self._advance() and not await self._outside_is_awaited(limit):
                return

    def _forget_ready(self, fresh: set[Activity]) -> None:
        """What coroutines were to be handed next is not: all are cancelled where they wait, in order of agent."""
        for lane in self.lanes:
            kept = [
                (target, item)
                for target, item in lane
                if target._mode != ACTIVITY or target not in fresh or not self._forgets(target, item)
            ]
            lane.clear()
            lane.extend(kept)

    def _forgets(self, activity: Activity, item: Any) -> bool:
        """Whether a coroutine waits again as if ``item`` had not come; not one that has not begun, or is shielded."""
        coroutine = activity.coroutine
        is_begun = getattr(coroutine, "cr_suspended", False) or getattr(coroutine, "gi_suspended", False)
        if not is_begun or type(item) not in (Message, type(None), AskFailed):  # else a wait of Trio's own is over
            return False
        lease = activity.lease
        if lease is not None:
            lease.scope.cancel()
            if not lease.is_cancelled:
                return False
        activity.waiting = True
        return True

    def _run_one(self) -> None:
        """One turn. Whether another follows, and whether time moves, is seen at the top of the loop only.

        A slice ends when the wall clock says so; what it would drop at its end must not be run within it.
        """
        due, self.stop_at = self.stop_at, self.step
        try:
            self.run_slice(min(1, due - self.step))
        finally:
            self.stop_at = due

    async def _wait_for_answer(self, seconds: float | None) -> None:
        """The place of an answer is reached, and it is not there: in a replay the history ended so, or was stopped."""
        if self.playback is None:
            await self._park(seconds)
        elif not self.playback.is_due(self):
            self.halt()

    async def _outside_is_awaited(self, limit: int) -> bool:
        """Wait for what cleanup waits for; False when that is nothing."""
        if self.playback is not None:
            return self.playback.is_due(self)
        if self.inflight:
            await self._park(max(0, limit - monotonic_ns()) / 1e9)
        return bool(self.inflight or self.arrivals)

    def _drop_called(self) -> None:
        """A simulation that is being stopped gives no turns to agents that are called."""
        for lane in self.lanes:
            kept = [entry for entry in lane if entry[0]._mode in (ACTIVITY, ACTION)]
            lane.clear()
            lane.extend(kept)
