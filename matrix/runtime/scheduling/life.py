"""The life of one simulation: its agents are cancelled, its coroutines closed, and its end recorded.

The half of the scheduler that is not about order stands in three files: who there is (population.py),
what an exception does (supervision.py), and this one. What always holds: the first end counts, but an
error turns a normal one into a failure; agents are cancelled and closed in the order they were started.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from matrix.errors import LogWriteError, ProgramError
from matrix.event import AGENT_CANCELLED
from matrix.runtime.guards.guard import in_turn
from matrix.runtime.scheduling.activity import ENDED, Activity
from matrix.runtime.scheduling.lease import run_context
from matrix.runtime.scheduling.supervision import Supervision
from matrix.runtime.scheduling.trouble import Unstarted, place_of, remark, text_of
from matrix.runtime.scheduling.waits import Deadlock

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.recorder import Recorder
    from matrix.runtime.scheduling.lease import Lease
    from matrix.runtime.simulation import Simulation

_diagnostics = logging.getLogger("matrix")


class Life(Supervision):
    """Agents and coroutines of one simulation, to its end."""

    thread: int  # the one in which its turns are taken

    def __init__(self, simulation: Simulation, recorder: Recorder, *, seed: int, ordinal: int) -> None:
        super().__init__(simulation, recorder, seed=seed, ordinal=ordinal)
        self.goal_counts: dict[str, int] = {}
        self.reason = ""
        self.until: int | None = None
        self.turns_max: int | None = None
        self.events_max: int | None = None

    @abstractmethod
    def cancel_arrived(self, activity: Activity) -> None: ...
    @abstractmethod
    def wake(self) -> None: ...

    # -- cancellation --------------------------------------------------------------------------

    def cancel_agent(self, agent: Agent) -> None:
        """Cancel one agent: its coroutines meet ``trio.Cancelled`` at their waits."""
        if agent._mode == ENDED:
            return
        activities = self.activities_of(agent)
        if activities:
            self.leaving[agent._number] = self.recorder.cause
            for activity in activities:
                self.cancel_activity(activity)
        else:
            self.act_as(agent, lambda: self.agent_ended(agent, AGENT_CANCELLED, {}))

    def cancel_activity(self, activity: Activity) -> None:
        """Ask for the cancellation of one coroutine; it gets its turn at the top of the loop."""
        if not activity.is_done and not activity.is_cancelled:
            activity.is_cancelled = True
            self.cancel_arrived(activity)

    def cause_of_cancellation(self, activity: Activity) -> int:
        """The event that led to it: who cancelled the agent, what ended the simulation, or a task that failed."""
        number = activity.agent._number
        group = self.groups.get(number)
        of_task = group.cause if group is not None and group.is_cancelled else 0
        return self.leaving.get(number) or self.end_cause or of_task or activity.cause

    def end_unstarted(self, activity: Activity) -> None:
        """Cancelled before its first turn: it never runs, and ends all the same."""
        self.recorder.enter(self)
        cause = self.cause_of_cancellation(activity)
        self.act_as(activity.agent, lambda: self.activity_ended(activity, Unstarted()), cause=cause)
        self.moves += 1  # inputs before it and after it are told apart

    def act_as(self, agent: Agent, act: Callable[[], object], *, cause: int | None = None) -> None:
        """Record something as an agent that has no turn, or in the middle of another's."""
        recorder = self.recorder
        before = recorder.agent, recorder.cause
        recorder.agent = agent
        if cause is not None:
            recorder.cause = cause
        recorder.context()
        try:
            act()
        finally:
            recorder.agent, recorder.cause = before
            recorder.context()

    def violation(self, activity: Activity) -> None:
        """A raw Trio nursery in an agent: its tasks run in Trio's order, which no replay can repeat."""
        activity.violation = ProgramError(
            f"{activity.agent!r} opened a raw Trio nursery, whose tasks run in an order that no replay could repeat; "
            "use self.start(child)"
        )

    # -- the simulation's end ------------------------------------------------------------------

    def end(self, ending: str, reason: str, *, cause: int = 0) -> None:
        """The first end counts; ``cause`` is the event that led to it."""
        if self.ending is None:
            self.ending, self.reason, self.end_cause = ending, reason, cause
        self.attention = True
        self.wake()

    def fail(self, error: Exception, who: str = "", *, cause: int = 0) -> None:
        """The simulation fails with an error; later ones join it."""
        self.errors.append(error)
        if self.ending in (None, "finished"):
            self.ending = None
            self.end("failed", f"{who}{text_of(error)}", cause=cause)

    def end_quietly(self) -> None:
        """Nothing can happen any more: a normal end, unless somebody waits for what cannot come."""
        stuck = [activity for activity in self.live_activities() if activity.waits_for is not None]
        if stuck:
            self.fail(Deadlock.of(stuck))
        else:
            self.end("finished", "quiescent" if self.alive or self.open_count else "completed")

    async def close_activities(self) -> None:
        """Close what still waits, in order of agent: ``finally`` blocks run, and may emit but not wait."""
        assert self.host is not None, "a simulation has a program"
        recorder = self.recorder
        recorder.cause = 0
        in_turn[self.thread] = recorder
        try:
            for agent in (self.host, *self.agents):
                activities = self.activities_of(agent)
                if activities or agent._goal is not None:
                    recorder.agent = agent
                    recorder.context()
                    for activity in activities:
                        await self._close(activity)
                    self.drop_goals(agent)
        finally:
            in_turn[self.thread] = recorder.agent = recorder.activity = None

    async def _close(self, activity: Activity) -> None:
        agent, lease = activity.agent, activity.lease or self.leases.clean
        assert lease is not None, "whoever closes activities holds a lease"
        if self.groups:
            self.enter_activity(activity)
            self.recorder.context()  # its goal is another
        coroutine, context = activity.coroutine, activity.context
        if coroutine is not None and lease.task.child_nurseries:
            activity.is_done = True  # only Trio itself can leave a raw nursery
            self.leases.unwind(lease, coroutine)
            return
        try:
            if coroutine is not None and context is not None:
                await self._in_name_of(lease, lambda: context.run(coroutine.close))
        except LogWriteError:
            raise
        except Exception as error:
            remark(error, f"while {agent!r} was closed at the simulation's end, where cleanup may not wait")
            self.agent_failed(agent, error)
        activity.is_done = True
        if lease.is_awaited:
            self.leases.leave(lease)
        elif activity.lease is not None:
            self.leases.give_back(activity.lease)

    async def _in_name_of(self, lease: Lease, act: Callable[[], object]) -> None:
        """Do something as the task of a lease."""
        mine = run_context.task
        run_context.task = lease.task
        try:
            act()
        finally:
            run_context.task = mine

    async def abandon(self) -> None:
        """Close every coroutine after a failure of the log, or of the runtime itself: nothing is recorded any more."""
        self.recorder.agent = self.recorder.activity = None
        for activity in self.live_activities():
            try:
                await self._close(activity)
            except BaseException as error:  # what is being raised already matters more than this
                _diagnostics.debug("%r was abandoned: %r", activity, error)

    def record_end(self) -> None:
        """The last event of the simulation."""
        assert self.ending is not None and self.host is not None, "it has ended"
        data: dict[str, Any] = {"reason": self.reason} if self.reason else {}
        if self.errors:
            data["error"] = text_of(self.errors[0])
            data["place"] = place_of(self.errors[0])
        data["counts"] = {
            "events": self.recorder.next_seq(),
            "agents": len(self.agents),
            "turns": self.turns,
            "goals": dict(sorted(self.goal_counts.items())),
        }
        turn = self.host._turns
        self.recorder.add_for(f"simulation.{self.ending}", data, agent=0, turn=turn, cause=self.end_cause)
