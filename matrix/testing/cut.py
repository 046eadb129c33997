"""The log as it was at a moment: of each simulation, the events that are left."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from matrix.event import Event
from matrix.query import syntax as q


def cut(events: Sequence[Event], moment: q.AsOf, simulation: str) -> list[Event]:
    """What is left of one simulation, whose id is given, when the log is cut after a moment.

    >>> events = [Event(1, seq, seq * 10, 0, 0, 0, 0, 0, 0, "note") for seq in (1, 2, 3)]
    >>> [event.seq for event in cut(events, q.AsOf((0, 0), "time", 20), "r1")]
    [1, 2]
    """
    value = moment.value
    if moment.by == "event":
        return _up_to(events, f"{value}", simulation)
    assert isinstance(value, int), "all moments but an event are numbers"
    if moment.by == "turn":
        return _in_turns(events, value)
    if moment.by == "time":
        return list(takewhile(lambda event: event.time <= value, events))
    return list(takewhile(lambda event: event.wall <= value, events))


def _up_to(events: Sequence[Event], id: str, simulation: str) -> list[Event]:
    """The events up to the one of this id; none when it is not there."""
    last = next((event.seq for event in events if f"{simulation}:{event.seq}" == id), 0)
    return [event for event in events if event.seq <= last]


def _in_turns(events: Sequence[Event], turn: int) -> list[Event]:
    """Each agent's events up to a turn of its own; the simulation's own up to the first that is cut off."""
    first_gone = next((event.seq for event in events if event.agent and event.turn > turn), events[-1].seq + 1)
    return [event for event in events if (event.turn <= turn if event.agent else event.seq < first_gone)]
