"""Chains of entries that meet the steps of a sequence in order: the kernel.

A `Level` holds the chains up to one event. Without conditions between steps the latest reachable event of
the step before is always the one to take: the start it carries never decreases along a stream, so it
minimises every gap, the whole span, and what must stay free, all at once. So each step is one search.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from matrix.query.engine.value import Array

_FEW = 32  # streams; fewer are walked one match at a time


@dataclass(frozen=True, slots=True)
class Level:
    """Chains in ascending order of their last event (a place), then of the chain before it.

    ``parents`` are those chains' places in the level before. ``repeats`` events of ``hits`` up to the last
    one belong to the level (all but the first of a step that is repeated). ``refs`` are the events of
    earlier steps that later conditions still look at.
    """

    step: int
    places: Array
    starts: Array
    parents: Array
    repeats: int = 1
    hits: Array | None = None
    refs: Mapping[str, Array] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.places)

    def events(self, chains: Array) -> list[Array]:
        """The events that belong to the level, of some chains, the last one first."""
        if self.hits is None:
            return [self.places[chains]]
        found = np.searchsorted(self.hits, self.places[chains])
        return [self.hits[found - back] for back in range(self.repeats)]


def beginning(step: int, hits: Array) -> Level:
    """The chains of one event."""
    return Level(step, hits, hits, np.full(len(hits), -1))


def latest(before: Level, step: int, hits: Array, begins: Array, clock: Array | None, limit: int) -> Level:
    """For each hit the latest chain before it, in its stream and, with a clock, within a limit of it."""
    found = np.searchsorted(before.places, hits) - 1
    if not before.count:
        return Level(step, hits[:0], hits[:0], found[:0])
    places = before.places[found]  # -1 finds the last one, which does not come before
    is_reached = (found >= 0) & (places >= begins[hits])
    if clock is not None:
        is_reached &= clock[hits] - clock[places] <= limit
    found = found[is_reached]
    return Level(step, hits[is_reached], before.starts[found], found)


def repeated(first: Level, hits: Array, begins: Array, more: int) -> Level:
    """``more`` hits behind each chain's event: the last ones, the chain being the latest before them."""
    seconds, ends = hits[: max(len(hits) - more + 1, 0)], hits[more - 1 :]
    found = np.searchsorted(first.places, seconds) - 1
    if not first.count:
        return Level(first.step, hits[:0], hits[:0], hits[:0])
    is_reached = (found >= 0) & (first.places[found] >= begins[ends]) & (seconds >= begins[ends])
    found = found[is_reached]
    return Level(first.step, ends[is_reached], first.starts[found], found, more, hits)


def is_free(starts: Array, ends: Array, forbidden: Array) -> Array:
    """Whether no forbidden entry lies strictly between start and end; those are of one stream."""
    if not len(forbidden):
        return np.ones(len(ends), bool)
    found = np.searchsorted(forbidden, ends) - 1
    free: Array = (found < 0) | (forbidden[found] <= starts)
    return free


# -- choosing ------------------------------------------------------------------------------------------


def first_chains(level: Level, chains: Array) -> Array:
    """The chains in the order in which matches are looked for: by last event, then the latest walking back."""
    places = level.places[chains]
    if not (places[1:] == places[:-1]).any():
        return chains
    return chains[np.lexsort((-chains, places))]


def not_overlapping(starts: Array, ends: Array, keyed: Array) -> Array:
    """Of chains in the order of their ends: the first, then the first that starts after its end, and so on.

    ``keyed`` is the stream of each. Starts and ends are places, so streams do not mix.

    >>> not_overlapping(np.array([0, 0, 3]), np.array([1, 2, 4]), np.array([0, 0, 0])).tolist()
    [0, 2]
    """
    count = len(ends)
    if not count:
        return np.empty(0, np.int64)
    following = np.append(np.searchsorted(np.maximum.accumulate(starts), ends, side="right"), count)
    streams = np.append(keyed, -1)
    here = np.flatnonzero(np.append(True, keyed[1:] != keyed[:-1]))
    found = [here]
    while len(here) > _FEW:
        behind = following[here]
        here = behind[streams[behind] == streams[here]]
        found.append(here)
    found.append(_walked(following, streams, here))
    return np.sort(np.concatenate(found))


def _walked(following: Array, streams: Array, here: Array) -> Array:
    """The chains behind these, one after the other."""
    found: list[int] = []
    for chain in here.tolist():
        stream = int(streams[chain])
        end = int(np.searchsorted(streams[:-1], stream, side="right"))
        steps = following[chain:end].tolist()
        place = steps[0] if steps else end
        while place < end:
            found.append(place)
            place = steps[place - chain]
    return np.array(found, np.int64)
