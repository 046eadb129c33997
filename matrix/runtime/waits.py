"""Who waits for what: the reports of a deadlock and of a livelock.

What always holds: a report depends on the history alone, so a replay gives the same one; it names
everything in the order in which agents were started, and says how much it left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from matrix.errors import ProgramError
from matrix.runtime.activity import ENDED, Activity

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent

NAMED_MAX = 10  # cycles, and waits beside them, that a report spells out


class Wait(NamedTuple):
    """One coroutine's wait: who waits, in what, for whom; ``on`` is None where that is no agent."""

    agent: Agent
    verb: str
    what: str
    on: Agent | None

    @classmethod
    def of(cls, activity: Activity) -> Wait:
        """The wait an activity is in."""
        waits: Any = activity.waits_for
        if not isinstance(waits, tuple):
            return cls(activity.agent, str(waits or "receive"), "", None)
        verb, target = waits
        if isinstance(target, Activity):
            return cls(activity.agent, verb, f"a task of {_name(target.agent)}", target.agent)
        if isinstance(target, str):
            return cls(activity.agent, verb, target, None)
        return cls(activity.agent, verb, _name(target), target)

    def __str__(self) -> str:
        return f"{_name(self.agent)} waits in {self.verb}" + (f" for {self.what}" if self.what else "")


class Deadlock(ProgramError):
    """Nothing can happen any more, and agents wait for each other.

    ``waits`` says of each that waits: its id, what it waits in, and for what; ``cycles`` are the ids of those that
    wait for each other in a ring.
    """

    def __init__(self, stuck: list[Activity]) -> None:
        waits = [Wait.of(activity) for activity in stuck]
        cycles = _cycles(waits)
        self.waits = tuple((_name(wait.agent), wait.verb, wait.what) for wait in waits)
        self.cycles = tuple(tuple(_name(wait.agent) for wait in cycle) for cycle in cycles)
        super().__init__(f"nothing can happen any more, but {_report(waits, cycles)}")


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
    stuck = {wait.agent._number for wait in waits}
    idle = {wait.on._number: wait.on for wait in others[:NAMED_MAX] if wait.on is not None}
    free = [_name(agent) for number, agent in idle.items() if number not in stuck and agent._mode != ENDED]
    if free:
        said.append(f"{', '.join(free)} wait{'s' if len(free) == 1 else ''} for messages")
    return "; ".join(said)


def _shortened(cycle: list[Wait]) -> list[Any]:
    if len(cycle) <= NAMED_MAX:
        return cycle
    return [*cycle[: NAMED_MAX - 1], f"... {len(cycle) - NAMED_MAX:,} more ...", cycle[-1]]


def _cycles(waits: list[Wait]) -> list[list[Wait]]:
    """Rings among those who wait for each other, one for each group that has any; found without recursion."""
    of: dict[int, list[Wait]] = {}
    for wait in waits:
        of.setdefault(wait.agent._number, []).append(wait)
    found: list[list[Wait]] = []
    finished: set[int] = set()
    for start in of:
        path: list[tuple[int, list[Wait], Wait | None]] = []  # an agent, its waits not yet followed, the one followed
        place: dict[int, int] = {}
        if start not in finished:
            place[start] = 0
            path.append((start, of[start][::-1], None))
        while path:
            number, rest, _ = path[-1]
            if not rest:
                path.pop()
                del place[number]
                finished.add(number)
                continue
            wait = rest.pop()
            path[-1] = number, rest, wait
            target = wait.on._number if wait.on is not None else -1
            if target in place:
                ring = [followed for _, _, followed in path[place[target] :] if followed is not None]
                found.append(_from_first(ring))
            elif target in of and target not in finished:
                place[target] = len(path)
                path.append((target, of[target][::-1], None))
    return sorted(found, key=lambda ring: ring[0].agent._number)


def _from_first(ring: list[Wait]) -> list[Wait]:
    """A ring told from the agent in it that was started first."""
    first = min(range(len(ring)), key=lambda place: ring[place].agent._number)
    return ring[first:] + ring[:first]


def _name(agent: Agent) -> str:
    return agent._id or "the program"


def busiest(agents: list[Agent], turns_then: list[int]) -> str:
    """Who had most turns since each had ``turns_then``, by name."""
    then = dict(enumerate(turns_then, 1))
    turns = {agent._id: agent._turns - then.get(agent._number, 0) for agent in agents}
    most = sorted(turns, key=lambda name: -turns[name])[:5]  # of equal ones those that were started first
    return ", ".join(f"{name} ({turns[name]:,})" for name in most if turns[name]) or "the program"
