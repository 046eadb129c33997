"""``then no P within D``: which chains nothing follows that must not, and for which that is not settled yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matrix.query.engine.chains import Level
from matrix.query.engine.value import Array, Type

if TYPE_CHECKING:
    from matrix.query.engine.joins import Joins
    from matrix.query.engine.streams import Entries


class Absence:
    """What must not follow, in the entries of one sequence; ``hits`` meet its tests."""

    def __init__(self, entries: Entries, joins: Joins, hits: list[Array]) -> None:
        absent = entries.plan.sequence.absent
        assert absent is not None, "the sequence says what must not follow"
        self.entries, self.joins, self.hits = entries, joins, hits
        self.limit, self.span = absent.limit, absent.span

    def of(self, level: Level, chains: Array) -> tuple[Array, Array]:
        """Which of these chains hold, and which are open: nothing followed so far, but something still may."""
        ends = level.places[chains]
        until = self.entries.lasts[ends] if self.limit is None else self.joins.latest_within(ends, self.limit)
        is_clear = np.ones(len(chains), bool)
        for test, hits in zip(self.entries.plan.absent, self.hits, strict=True):
            left = np.flatnonzero(is_clear)
            if test.on_steps:
                refs = {name: events[chains[left]] for name, events in level.refs.items()}
                met = self.joins.any_between(test, hits, ends[left], until[left], refs, self.span)
            else:
                following = np.append(hits, self.entries.count)
                met = following[np.searchsorted(hits, ends[left], side="right")] <= until[left]
            is_clear[left[met]] = False
        is_settled = self._is_settled(ends)
        return is_clear & is_settled, is_clear & ~is_settled

    def _is_settled(self, ends: Array) -> Array:
        """Whether no later event can come into the window any more: the run has ended, or is past it."""
        simulations = self.entries.simulations[ends]
        settled = ~self._running()[simulations]
        going = np.flatnonzero(~settled)
        if self.limit is None or not len(going):
            return settled
        settled[going] = self._is_past(ends[going], simulations[going], self.limit.amount)
        return settled

    def _running(self) -> Array:
        """Which simulations are still running."""
        simulations = self.entries.evaluator.world.simulations
        lane = simulations.field("status").lane(Type.TEXT)
        words = [] if lane is None else lane.spread(simulations.count).values.to_pylist()
        return np.array([word == "running" for word in words], bool)

    def _is_past(self, ends: Array, simulations: Array, amount: int) -> Array:
        assert self.limit is not None, "a window has a limit"
        entries = self.entries
        if self.limit.unit == "events":  # differences, since a sum with a limit may be more than an int64 holds
            past: Array = entries.lasts[ends] - ends >= amount
        elif self.limit.unit == "time":
            past = entries.evaluator.world.simulations.array("duration")[simulations] - entries.times[ends] > amount
        else:
            agents = entries.outer.frames[0].index()[entries.streams[ends]]
            past = entries.turn_counts.newest(agents) - entries.turns[ends] > amount
        return past
