"""Who waits for what: the reports of a deadlock and of a livelock.

What always holds: a report depends on the history alone, so a replay gives the same one; it names
everything in the order in which agents were started, and says how much it left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from matrix.errors import ProgramError
from matrix.runtime.scheduling.activity import ENDED, Activity

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent

NAMED_MAX = 10  # cycles, and waits beside them, that a report spells out


class Wait(NamedTuple):
    """One coroutine's wait: who waits, in what, for what, which is an agent or a task where it is any of ours."""

    activity: Activity
    verb: str
    on: Any

    @classmethod
    def of(cls, activity: Activity) -> Wait:
        """The wait an activity is in."""
        waits: Any = activity.waits_for
        verb, on = waits if isinstance(waits, tuple) else (str(waits or "receive"), "")
        return cls(activity, verb, on)

    @property
    def who(self) -> str:
        """Its id; a child task has none but its agent's."""
        return _name(self.activity if self.activity.order else self.activity.agent)

    @property
    def what(self) -> str:
        """What it waits for, in words."""
        return self.on if isinstance(self.on, str) else _name(self.on)

    @property
    def key(self) -> Activity | int:
        """The task, or the agent's number, that it waits for; -1 where it is none of ours."""
        if isinstance(self.on, str):
            return -1
        return self.on if isinstance(self.on, Activity) else int(self.on._number)

    def __str__(self) -> str:
        return f"{self.who} waits in {self.verb}" + (f" for {self.what}" if self.what else "")


class Deadlock(ProgramError):
    """Nothing can happen any more, and agents wait for each other.

    ``waits`` says of each that waits: its id, what it waits in, and for what; ``cycles`` are the ids of those that
    wait for each other in a ring.
    """

    def __init__(
        self,
        message: str,
        waits: tuple[tuple[str, str, str], ...] = (),
        cycles: tuple[tuple[str, ...], ...] = (),
    ) -> None:
        super().__init__(message)
        self.waits, self.cycles = waits, cycles

    @classmethod
    def of(cls, stuck: list[Activity]) -> Deadlock:
        """The deadlock in which these coroutines are."""
        waits = [Wait.of(activity) for activity in stuck]
        cycles = _cycles(waits)
        return cls(
            f"nothing can happen any more, but {_report(waits, cycles)}",
            tuple((wait.who, wait.verb, wait.what) for wait in waits),
            tuple(tuple(wait.who for wait in cycle) for cycle in cycles),
        )


class Livelock(ProgramError):
    """Turn follows turn, and virtual time does not move."""


def _report(waits: list[Wait], cycles: list[list[Wait]]) -> str:
    """Rings first, then those who wait beside them, then those who could still act if somebody wrote to them."""
    said = [f"in a ring: {', '.join(map(str, _shortened(cycle)))}" for cycle in cycles[:NAMED_MAX]]
    in_ring = {id(wait) for cycle in cycles[:NAMED_MAX] for wait in cycle}
    others = [wait for wait in waits if id(wait) not in in_ring]
    said += [str(wait) for wait in others[:NAMED_MAX]]
    if len(others) > NAMED_MAX:
        said.append(f"and {len(others) - NAMED_MAX:,} more wait")
    stuck = {wait.activity.agent._number for wait in waits}
    asked = {wait.on._number: wait.on for wait in others[:NAMED_MAX] if not isinstance(wait.on, (str, Activity))}
    free = [_name(agent) for number, agent in asked.items() if number not in stuck and agent._mode != ENDED]
    if free:
        said.append(f"{', '.join(free)} wait{'s' if len(free) == 1 else ''} for messages")
    return "; ".join(said)


def _shortened(cycle: list[Wait]) -> list[Any]:
    if len(cycle) <= NAMED_MAX:
        return cycle
    return [*cycle[: NAMED_MAX - 1], f"... {len(cycle) - NAMED_MAX:,} more ...", cycle[-1]]


def _cycles(waits: list[Wait]) -> list[list[Wait]]:
    """Rings among those who wait for each other; found without recursion, since a ring may be long."""
    of: dict[Activity | int, list[Wait]] = {}  # the waits of a task, and those of all tasks of an agent, by number
    for wait in waits:
        of[wait.activity] = [wait]
        of.setdefault(wait.activity.agent._number, []).append(wait)
    found: list[list[Wait]] = []
    finished: set[Activity] = set()
    for start in waits:
        path: list[tuple[Wait, list[Wait]]] = []  # a wait, and what it leads to that was not followed yet
        place: dict[Activity, int] = {}
        ahead = [start]
        while True:
            if ahead:
                wait = ahead.pop()
                if wait.activity in place:
                    found.append(_from_first([wait for wait, _ in path[place[wait.activity] :]]))
                elif wait.activity not in finished:
                    place[wait.activity] = len(path)
                    ahead = of.get(wait.key, [])[::-1]
                    path.append((wait, ahead))
            elif path:
                done, _ = path.pop()
                del place[done.activity]
                finished.add(done.activity)
                ahead = path[-1][1] if path else []
            else:
                break
    return sorted(found, key=lambda ring: _place(ring[0]))


def _from_first(ring: list[Wait]) -> list[Wait]:
    """A ring told from the one in it that was started first."""
    first = min(range(len(ring)), key=lambda place: _place(ring[place]))
    return ring[first:] + ring[:first]


def _place(wait: Wait) -> tuple[int, int]:
    return wait.activity.agent._number, wait.activity.order


def _name(what: Agent | Activity) -> str:
    if isinstance(what, Activity):
        return f"a task of {_name(what.agent)}"
    return what._id or "the program"


def busiest(agents: list[Agent], turns_then: list[int]) -> str:
    """Who had most turns since each had ``turns_then``, by name."""
    then = dict(enumerate(turns_then, 1))
    turns = {agent._id: agent._turns - then.get(agent._number, 0) for agent in agents}
    most = sorted(turns, key=lambda name: -turns[name])[:5]  # of equal ones those that were started first
    return ", ".join(f"{name} ({turns[name]:,})" for name in most if turns[name]) or "the program"
