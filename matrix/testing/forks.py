"""Forks the plain way: a fork's events are its parent's up to where it was forked, copied, and then its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from matrix.event import SIMULATION_FORKED, Event

#: A simulation by shard and ordinal.
Place = tuple[int, int]


def whole(shards: Mapping[int, Iterable[Event]]) -> dict[int, list[Event]]:
    """The same store with nothing shared: every fork begins with copies of the events it has from its parent.

    A fork whose parent's events are not all there keeps its own only.

    >>> started = Event(1, 1, 0, 0, 0, 0, 0, 0, 0, "simulation.started")
    >>> data = {"parent_shard": 1, "parent_ordinal": 1, "at": 1}
    >>> forked = Event(2, 2, 0, 0, 0, 0, 0, 0, 1, "simulation.forked", data=data)
    >>> [(event.simulation, event.kind) for event in whole({1: [started, forked]})[1]]
    [(1, 'simulation.started'), (2, 'simulation.started'), (2, 'simulation.forked')]
    """
    own: dict[Place, list[Event]] = {}
    for shard in sorted(shards):
        for event in shards[shard]:
            own.setdefault((shard, event.simulation), []).append(event)
    for events in own.values():
        events.sort(key=lambda event: event.seq)
    found: dict[int, list[Event]] = {shard: [] for shard in sorted(shards)}
    for shard, ordinal in sorted(own):
        shared = shared_events(own, (shard, ordinal))
        copies = [replace(event, simulation=ordinal) for event in shared or []]
        found[shard] += [*copies, *own[shard, ordinal]]
    return found


def shared_events(own: Mapping[Place, list[Event]], place: Place) -> list[Event] | None:
    """What a simulation has from its parents; None when some of it is not there."""
    first = own[place][0]
    if first.kind != SIMULATION_FORKED or first.seq == 1:
        return []
    last, met = first.seq - 1, {place}
    shared: list[Event] = []
    while last > 0:
        place = (first.data.get("parent_shard", 0), first.data.get("parent_ordinal", 0))
        if place not in own or place in met:
            return None
        met.add(place)
        first = own[place][0]
        mine = [event for event in own[place] if event.seq <= last]
        shared = mine + shared
        last -= len(mine)
        if [event.seq for event in mine] != list(range(last + 1, last + 1 + len(mine))):
            return None
        if last > 0 and first.kind != SIMULATION_FORKED:
            return None
    return shared
