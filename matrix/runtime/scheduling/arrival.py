"""What comes from outside into a simulation: answers, messages of people, cancellations, a stop.

An arrival takes effect at the top of the scheduler's loop only, at a step that is recorded with it;
a replay lands the same arrivals at the same steps. Answers to calls carry the step in their own event
(see call.py); all others are told by a ``simulation.input`` event.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from matrix.event import SIMULATION_INPUT
from matrix.runtime.agent import mailbox_full

if TYPE_CHECKING:
    from outcome import Outcome

    from matrix.event import Event
    from matrix.runtime.scheduling.activity import Activity
    from matrix.runtime.scheduling.scheduler import Scheduler

_diagnostics = logging.getLogger("matrix")


class Arrival(ABC):
    """Something from outside, on its way into the schedule."""

    __slots__ = ()

    @property
    def is_wanted(self) -> bool:
        """Whether it changes anything: what nobody waits for any more does not even move virtual time."""
        return True

    def can_land(self, scheduler: Scheduler) -> bool:
        """Whether the agent is there that it is for; in a replay that went another way it may not be."""
        return True

    @abstractmethod
    def land(self, scheduler: Scheduler) -> None:
        """Take effect, at the top of the loop."""


class Injected(Arrival):
    """A message from a person or another program."""

    __slots__ = ("data", "kind", "to")

    def __init__(self, to: str, kind: str, data: dict[str, Any]) -> None:
        self.to, self.kind, self.data = to, kind, data

    def can_land(self, scheduler: Scheduler) -> bool:
        """Whether the receiver is there."""
        return self.to in scheduler.names

    def land(self, scheduler: Scheduler) -> None:
        """Recorded as what it is, and then as a message of the simulation itself, unless the mailbox is full."""
        is_refused = scheduler.names[self.to]._is_full()
        refused = {"refused": "mailbox full"} if is_refused else {}
        seq = record_input(scheduler, "message", to=self.to, kind=self.kind, data=self.data, **refused)
        if is_refused:  # it was not when the message was given: other messages went before
            _diagnostics.warning("a message from outside was refused: %s", mailbox_full(scheduler.names[self.to]))
            return
        host, recorder = scheduler.host, scheduler.recorder
        assert host is not None, "a simulation has a program"
        before, recorder.agent, recorder.cause = recorder.agent, host, seq
        recorder.context()
        try:
            host.send(self.to, self.kind, **self.data)
        finally:
            recorder.agent = before


class AgentCancelled(Arrival):
    """The cancellation of an agent by whoever holds the simulation."""

    __slots__ = ("agent",)

    def __init__(self, agent: str) -> None:
        self.agent = agent

    def can_land(self, scheduler: Scheduler) -> bool:
        """Whether that agent is there."""
        return self.agent in scheduler.names

    def land(self, scheduler: Scheduler) -> None:
        """Its coroutines meet ``trio.Cancelled`` at their waits."""
        scheduler.recorder.cause = record_input(scheduler, "cancel", agent=self.agent)
        scheduler.cancel_agent(scheduler.names[self.agent])


class Stopped(Arrival):
    """The end of the simulation by whoever holds it, or by the runtime's own end."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def land(self, scheduler: Scheduler) -> None:
        """Nothing more happens but that agents are cancelled."""
        seq = record_input(scheduler, "stop", reason=self.reason)
        scheduler.end("stopped", self.reason, cause=seq)


class GraceOver(Arrival):
    """Agents of a simulation that was stopped took too long to clean up: they are closed where they wait."""

    __slots__ = ()

    def land(self, scheduler: Scheduler) -> None:
        """From here on cleanup may not wait any more."""
        record_input(scheduler, "grace")
        scheduler.grace_is_over = True


class Resumption(Arrival):
    """The end of a wait of Trio's own that an agent was let do."""

    __slots__ = ("activity", "result")

    def __init__(self, activity: Activity, result: Outcome[Any]) -> None:
        self.activity, self.result = activity, result

    def land(self, scheduler: Scheduler) -> None:
        """The coroutine goes on behind what is ready now."""
        activity = self.activity
        activity.cause = record_input(scheduler, "wait", agent=activity.agent._id, task=activity.order)
        scheduler.foreign.pop((activity.agent._id, activity.order), None)
        scheduler.inflight -= 1
        if activity.lease is not None:
            activity.lease.foreign = None
        activity.waiting, activity.waits_for = False, None
        activity.agent._lane.append((activity, self.result))


def record_input(scheduler: Scheduler, what: str, **data: Any) -> int:
    """Record that an input took effect at this step."""
    told = {"input": what, "step": scheduler.step, "arrival": scheduler.landed, **data}
    host = scheduler.host
    assert host is not None, "a simulation has a program"
    return scheduler.recorder.add_for(SIMULATION_INPUT, told, agent=0, turn=host._turns)


def arrival_of(event: Event) -> Arrival | None:
    """The arrival that a ``simulation.input`` event tells of; None for one that comes by itself in a replay too."""
    data = event.data
    what = data.get("input")
    if what == "message":
        return Injected(str(data["to"]), str(data["kind"]), dict(data.get("data") or {}))
    if what == "cancel":
        return AgentCancelled(str(data["agent"]))
    if what == "stop":
        return Stopped(str(data["reason"]))
    if what == "grace":
        return GraceOver()
    return None
