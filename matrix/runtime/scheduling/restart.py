"""Policies as values, and what a new beginning of an agent needs.

An agent's class says ``policy = matrix.Restart(times=3, within=60)``; here is what that means in
numbers. What is done about it stands in supervision.py. Needs no Trio, as defining an agent must not.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from matrix.errors import ProgramError
from matrix.runtime.durations import microseconds

if TYPE_CHECKING:
    from matrix.runtime.mailbox import Timer


@dataclass(frozen=True, slots=True)
class Restart:
    """Begin an agent anew when it fails: ``times`` within so many virtual seconds (ever, without), then propagate.

    class Fetcher(matrix.Agent):
        policy = matrix.Restart(times=3, within=60)
    """

    times: int = 3
    within: float | timedelta | None = None

    def __post_init__(self) -> None:
        if type(self.times) is not int or self.times < 1:
            raise ProgramError(f"Restart(times={self.times!r}): it is a whole number, at least 1")
        if self.within is not None and self.within_us <= 0:
            raise ProgramError(f"Restart(within={self.within!r}): it is more than no time, or None")

    @property
    def within_us(self) -> int:
        """The window in virtual microseconds."""
        assert self.within is not None, "there is a window"
        return microseconds(self.within)


Policy = Literal["propagate", "isolate"] | Restart


def policy_of(said: Any, whose: str = "policy") -> Policy:
    """A policy as it was given, or as the log holds it.

    >>> policy_of({"restart": {"times": 3, "within": 60_000_000}})
    Restart(times=3, within=datetime.timedelta(seconds=60))
    """
    if isinstance(said, Restart):
        return said
    if said == "propagate":
        return "propagate"
    if said == "isolate":
        return "isolate"
    if isinstance(said, Mapping) and set(said) == {"restart"}:
        within = said["restart"].get("within")
        return Restart(said["restart"]["times"], None if within is None else timedelta(microseconds=within))
    raise ProgramError(f'{whose} is "propagate", "isolate" or matrix.Restart(times=3, within=60), not {said!r}')


def policy_data(policy: Policy) -> str | dict[str, Any]:
    """A policy as the log holds it; durations in microseconds.

    >>> policy_data(Restart(times=3, within=60))
    {'restart': {'times': 3, 'within': 60000000}}
    """
    if not isinstance(policy, Restart):
        return policy
    return {"restart": {"times": policy.times} | ({} if policy.within is None else {"within": policy.within_us})}


class Restarts:
    """What a new beginning of one agent needs, and when it had some."""

    __slots__ = ("_count", "_instants", "_prune_at", "_timers", "parameters", "policy")

    def __init__(self, policy: Restart, parameters: dict[str, Any]) -> None:
        self.policy = policy
        self.parameters = copy.deepcopy(parameters)  # the agent may change what it was given
        self._count = 0  # of restarts, among those in the window if there is one
        self._instants: deque[int] | None = None  # of those, oldest first; few agents are ever restarted
        self._timers: list[tuple[int, Timer]] = []
        self._prune_at = 16

    def next_attempt(self, now: int) -> int | None:
        """The number of the restart that may be made now, among those in the window; None when they are used up."""
        if self.policy.within is not None:
            instants = self._instants = self._instants or deque()
            while instants and instants[0] <= now - self.policy.within_us:
                instants.popleft()
            self._count = len(instants)
            if self._count < self.policy.times:
                instants.append(now)
        if self._count == self.policy.times:
            return None
        self._count += 1
        return self._count

    def keep_timer(self, timer: Timer, instant: int, now: int) -> None:
        """A timer belongs to the life in which it was set."""
        if len(self._timers) >= self._prune_at:
            self._timers = [(when, kept) for when, kept in self._timers if when >= now and not kept.is_cancelled]
            self._prune_at = max(16, 2 * len(self._timers))
        self._timers.append((instant, timer))

    def cancel_timers(self) -> None:
        """That life is over."""
        for _, timer in self._timers:
            timer.cancel()
        self._timers.clear()
