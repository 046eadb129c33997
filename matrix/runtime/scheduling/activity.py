"""An activity: one coroutine that the scheduler steps, and the waits it can be in.

The main coroutine of an agent is one, each child task is one, and an ``async def on_message`` is
one while a message is handled. What always holds: an activity waits (``waiting``), or has exactly
one entry in the ready queue, or is being stepped, or is done. ``token`` counts the waits that a
cancellation ended early, so that a timer or an answer that comes for an old wait is known as stale.
"""

from __future__ import annotations

import types
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.goal import Goal
    from matrix.runtime.scheduling.lease import Lease

# How the scheduler runs an entry of the ready queue: ``target._mode``.
REACTIVE, ACTIVITY, HANDLER, PROCESS, ACTION, ENDED = range(6)


class Activity:
    """A coroutine of an agent and the state of its current wait."""

    __slots__ = (
        "agent",
        "base_goal",
        "cause",
        "context",
        "coroutine",
        "goal",
        "is_cancelled",
        "is_done",
        "lease",
        "message",
        "order",
        "token",
        "violation",
        "waiting",
        "waits_for",
    )
    _mode = ACTIVITY

    def __init__(
        self, agent: Agent, coroutine: Coroutine[Any, Any, Any] | None, context: Context | None, cause: int
    ) -> None:
        self.agent = agent
        self.coroutine = coroutine  # None until the first turn: an unstarted agent costs little
        self.context = context
        self.cause = cause
        self.message = 0  # the message it has in hand, by seq: taken, and its handling not ended
        self.order = 0  # among the activities of its agent
        self.waiting = False
        self.waits_for: Any = None  # None: a message; else what deadlock reports and wake-ups need
        self.token = 0
        self.lease: Lease | None = None  # kept from the first open scope, or cancellation, on
        self.base_goal: Goal | None = None  # of a child task: the one it began under
        self.goal: Goal | None = None  # of an agent with several activities: the one to return to
        self.is_cancelled = False  # somebody asked for it
        self.is_done = False
        self.violation: BaseException | None = None  # what it did that must end it with an error

    def __repr__(self) -> str:
        return f"<Activity of {self.agent.id}>"


@types.coroutine
def park(activity: Activity) -> Generator[Activity, Any, Any]:
    """End the turn; returns what the scheduler wakes the activity with."""
    return (yield activity)


class Action(ABC):
    """A step of the runtime's own in the schedule: a timeout that fires, the place of an answer to come."""

    __slots__ = ("is_stale",)
    _mode = ACTION

    def __init__(self) -> None:
        self.is_stale = False  # nobody needs it any more: its instant is not waited for

    @abstractmethod
    def fire(self) -> tuple[Activity, Any] | None:
        """Do it, at its place in the order of the schedule; an activity and a value make a turn at this place."""
