"""Who waits for what: the reports of a deadlock and of a livelock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import ProgramError

if TYPE_CHECKING:
    from matrix.runtime.activity import Activity
    from matrix.runtime.agent import Agent


class Deadlock(ProgramError):
    """Nothing can happen any more, and agents wait for each other."""


class Livelock(ProgramError):
    """Turn follows turn, and virtual time does not move."""


def who_waits(stuck: list[Activity]) -> str:
    """Those who wait for something that cannot come, each with what that is."""
    said = []
    for activity in stuck[:10]:
        who = activity.agent._id or "the program"
        waits = activity.waits_for
        said.append(
            f"{who} waits in {waits[0]} for {waits[1]}" if isinstance(waits, tuple) else f"{who} waits in {waits}"
        )
    more = f" and {len(stuck) - 10} more" if len(stuck) > 10 else ""
    return f"{'; '.join(said)}{more}"


def busiest(agents: list[Agent], turns_then: list[int]) -> str:
    """Who had most turns since each had ``turns_then``, by name."""
    then = dict(enumerate(turns_then, 1))
    turns = {agent._id: agent._turns - then.get(agent._number, 0) for agent in agents}
    most = sorted(turns, key=lambda name: -turns[name])[:5]  # of equal ones those that were started first
    return ", ".join(f"{name} ({turns[name]:,})" for name in most if turns[name]) or "the program"
