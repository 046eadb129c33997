"""Ancestors and descendants along the causes, link by link."""

from __future__ import annotations

from collections.abc import Sequence

from matrix.event import GOAL_ENDS, Event
from matrix.testing.naive_rows import Row
from matrix.testing.reach import event_of
from matrix.testing.world import Run, Thing, World

#: An event of a chain, and how many links away it is.
Link = tuple[Event, int]


def chain(run: Run, event: Event, direction: str, steps: int | None) -> list[Link]:
    """The proper ancestors (``caused by``) or descendants (``led to``) of an event within so many links."""
    found = ancestors(run, event) if direction == "caused by" else descendants(run, event)
    return [(other, depth) for other, depth in found if steps is None or depth <= steps]


def ancestors(run: Run, event: Event) -> list[Link]:
    """Its cause, the cause of that, and so on; a cause that is not there ends the chain."""
    found: list[Link] = []
    seqs = {other.seq: other for other in run.events}
    while event.cause in seqs:
        event = seqs[event.cause]
        found.append((event, len(found) + 1))
    return found


def descendants(run: Run, event: Event) -> list[Link]:
    """What it caused, what that caused, and so on."""
    found: list[Link] = []
    nearest = [event.seq]
    while nearest:
        caused = [other for other in run.events if other.cause in nearest]
        depth = found[-1][1] + 1 if found else 1
        found += [(other, depth) for other in caused]
        nearest = [other.seq for other in caused]
    return found


def event_behind(run: Run, thing: Thing) -> Event:
    """The event whose causes a row has: a goal's is the one that ended it, or while it runs began it."""
    event = event_of(thing)
    if thing.relation != "goals":
        return event
    return next((other for other in run.events if other.kind in GOAL_ENDS and other.goal == event.seq), event)


def walked(world: World, rows: Sequence[Row], direction: str, steps: int | None) -> list[Row]:
    """The stage ``causes`` or ``effects``: a row for each event reached from each row, in order of the events."""
    found: list[tuple[tuple[int, ...], Row]] = []
    for place, row in enumerate(rows):
        assert row.thing is not None, "causes are walked from events"
        origin, run = row.thing, world.run_of(row.thing)
        for event, depth in chain(run, event_of(origin), direction, steps):
            thing = run.event_things[event.seq]
            reached = Row(thing, columns={"depth": depth, "origin": origin.id})
            found.append(((*thing.order, *origin.order, place), reached))
    return [row for _, row in sorted(found, key=lambda numbered: numbered[0])]
