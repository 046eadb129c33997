"""How an agent did: the rules for rewards and outcomes, which all forms share.

The **reward of a goal** is ``.reward`` of the event that ended it where that is a number, else 1.0 when it succeeded
and 0.0 when it failed; a goal that was cancelled, or still runs, has none. What an agent set out for are its
**outermost** goals: those that are not part of another goal. Its reward is the sum of theirs, its outcome the worst of
them: running, failed, cancelled, succeeded, in this order; ``none`` without goals.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from matrix.event import GOAL_ENDS, Event

#: A goal that ended for one of these reasons was cut short: a bound from outside, not what the agent did.
LIMITS: Final = frozenset({"timeout", "max_steps"})
_WORST_FIRST: Final = ("running", "failed", "cancelled", "succeeded")


@dataclass(slots=True)
class Goal:
    """A goal of an agent, as the events tell it; ``end_seq`` and ``end_time`` are 0 while it runs."""

    seq: int
    name: str
    time: int
    parent: int = 0
    status: str = "running"
    reason: str | None = None
    given: float | None = None
    end_seq: int = 0
    end_time: int = 0

    @classmethod
    def started(cls, event: Event) -> Goal:
        """From ``goal.started``."""
        parent: Any = event.data.get("parent")
        name = str(event.data.get("name", ""))
        return cls(event.seq, name, event.time, parent if type(parent) is int else 0)

    def end(self, event: Event) -> None:
        """From the event that ended it."""
        self.status, self.end_seq, self.end_time = GOAL_ENDS[event.kind], event.seq, event.time
        reason: Any = event.data.get("reason")
        given: Any = event.data.get("reward")
        self.reason = None if reason is None else str(reason)
        self.given = float(given) if type(given) in (int, float) and isfinite(given) else None

    @property
    def reward(self) -> float | None:
        """What it brought; None while it runs, and when it was cancelled without a word about it."""
        if self.given is not None:
            return self.given
        return {"succeeded": 1.0, "failed": 0.0}.get(self.status)

    @property
    def is_cut_short(self) -> bool:
        """Whether it came to no end of its own: cancelled, still running, or out of time."""
        return self.status in ("running", "cancelled") or (self.status == "failed" and self.reason in LIMITS)

    def as_data(self) -> dict[str, Any]:
        """The goal in a row."""
        return {
            "seq": self.seq,
            "name": self.name,
            "parent": self.parent or None,
            "status": self.status,
            "reason": self.reason,
            "reward": self.reward,
        }


def outermost(goals: Sequence[Goal], chosen: Collection[int] | None = None) -> list[Goal]:
    """Those goals that are in no other of these; of a choice (by ``seq``) only the chosen ones."""
    some = [goal for goal in goals if chosen is None or goal.seq in chosen]
    seqs = {goal.seq for goal in some}
    return [goal for goal in some if goal.parent not in seqs]


def outcome(goals: Sequence[Goal]) -> str:
    """The worst that became of these goals; ``none`` for none."""
    found = {goal.status for goal in goals}
    return next((status for status in _WORST_FIRST if status in found), "none")


def reward(goals: Sequence[Goal]) -> float | None:
    """What these goals brought together; None when none of them brought anything, good or bad."""
    rewards = [goal.reward for goal in goals if goal.reward is not None]
    return sum(rewards) if rewards else None
