"""The search for the chains of a sequence in its entries, step by step, and which of them count.

``levels`` has a `Level` for every event that is searched for; the last one of each step stands in ``ends``.
A chain *holds* when the whole limit, what must not be between and what must not follow allow it; it is
*open* when what must not follow still may.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine import chains
from matrix.query.engine.absence import Absence
from matrix.query.engine.chains import Level
from matrix.query.engine.joins import Joins, uses_values
from matrix.query.engine.patterns import Test, names_used
from matrix.query.engine.streams import Entries
from matrix.query.engine.value import Array


class Ends(NamedTuple):
    """Chains that hold, by their number in a level, and those that are open."""

    level: Level
    holding: Array
    open: Array


class Search:
    """The chains of one sequence in some entries.

    ``keeps_all``: all chains that may be matches are kept; otherwise only whether there is one by each event.
    """

    def __init__(self, entries: Entries, *, keeps_all: bool) -> None:
        self.entries, self.plan, self.keeps_all = entries, entries.plan, keeps_all
        self.joins = Joins(entries)
        hits = iter(entries.hits)
        self._step_hits = [[next(hits) for _ in tests] for tests in self.plan.steps]
        self._without_hits = [[next(hits) for _ in tests] for tests in self.plan.without]
        self._absence = Absence(entries, self.joins, list(hits)) if self.plan.sequence.absent else None
        self.levels: list[Level] = []
        self.ends: list[int] = []
        for number in range(len(self.plan.steps)):
            self._step(number)
            self.ends.append(len(self.levels) - 1)

    # -- step by step -------------------------------------------------------------------------

    def _step(self, number: int) -> None:
        tests, hits = self.plan.steps[number], self._step_hits[number]
        before = self.levels[-1] if self.levels else None
        if before is None or self._is_plain(before, tests):
            self._plain_step(before, number, together(hits))
        else:
            self._joined_step(before, number, hits)

    def _is_plain(self, before: Level, tests: tuple[Test, ...]) -> bool:
        """Whether the latest chain before an event is always the one to take, and none has to be tried."""
        return not before.refs and not any(test.on_steps for test in tests) and _is_latest_best(before)

    def _takes_latest(self, before: Level, number: int) -> bool:
        """Whether the latest chain that meets a step's conditions is always the one to take: nothing else is asked."""
        step = self.plan.sequence.steps[number]
        is_asked = self.plan.named_after(number) - {step.name}
        has_values = uses_values(self.plan.steps[number])
        return step.times == 1 and not is_asked and not has_values and _is_latest_best(before)

    def _plain_step(self, before: Level | None, number: int, hits: Array) -> None:
        step, begins = self.plan.sequence.steps[number], self.entries.begins
        if before is None:
            level = chains.beginning(number, hits)
        else:
            clock = None if step.gap is None else self.entries.clock(step.gap.unit)
            level = chains.latest(before, number, hits, begins, clock, step.gap.amount if step.gap else 0)
        self.levels.append(level)
        if step.times > 1:
            self.levels.append(chains.repeated(level, hits, begins, step.times - 1))
        if step.name in self.plan.named_after(number):
            level = self.levels[-1]
            self.levels[-1] = replace(level, refs={step.name: level.places})

    def _joined_step(self, before: Level, number: int, hits: list[Array]) -> None:
        """Every pair of a chain and an event that meets the step's conditions, time after time."""
        step = self.plan.sequence.steps[number]
        level = before
        for left in reversed(range(step.times)):
            gap = step.gap if left == step.times - 1 else None
            pairs = self.joins.latest_behind if self._takes_latest(level, number) else self.joins.behind
            owners, places = pairs(level, number, hits, gap)
            order = np.lexsort((owners, places))
            owners, places = owners[order], places[order]
            is_new = np.ones(len(order), bool)
            is_new[1:] = (owners[1:] != owners[:-1]) | (places[1:] != places[:-1])
            owners, places = owners[is_new], places[is_new]
            live = self.plan.named_after(number if left == 0 else number - 1)
            refs = {name: events[owners] for name, events in level.refs.items() if name in live}
            if left == 0 and step.name in live:
                refs[step.name] = places
            level = self._pruned(Level(number, places, level.starts[owners], owners, refs=refs))
            if left == 0 and self._asks_for_starts_alone(level, number):
                level = _without_earlier_starts(level)
            self.levels.append(level)
            if not level.count:
                break

    def _asks_for_starts_alone(self, level: Level, number: int) -> bool:
        """Whether what may follow a chain, and whether it then holds, depends on nothing but its start."""
        steps = self.plan.sequence.steps[number + 1 :]
        return not self.keeps_all and not level.refs and bool(steps) and steps[0].gap is None

    def _pruned(self, level: Level) -> Level:
        """Without the chains that another one of the same last and referenced events makes superfluous.

        The one with the latest start will do to say whether there is a match. To choose among matches, one that
        starts later and is later walking back is better than another in all respects.
        """
        if level.count < 2:
            return level
        numbers = np.arange(level.count)
        refs = [level.refs[name] for name in sorted(level.refs)]
        order = np.lexsort((-numbers if self.keeps_all else -level.starts, *refs, level.places))
        keys = [level.places[order], *(places[order] for places in refs)]
        is_new = np.append(True, np.logical_or.reduce([key[1:] != key[:-1] for key in keys]))
        if self.keeps_all:
            best = (np.cumsum(is_new) - 1) * self.entries.count + level.starts[order]
            is_new[1:] |= best[1:] > np.maximum.accumulate(best)[:-1]
        kept = np.sort(order[is_new])
        chosen = {name: places[kept] for name, places in level.refs.items()}
        return replace(
            level, places=level.places[kept], starts=level.starts[kept], parents=level.parents[kept], refs=chosen
        )

    # -- which hold ---------------------------------------------------------------------------

    def holding(self, step: int) -> Ends:
        """The chains up to a step that hold as a sequence of their own."""
        level = self.levels[self.ends[step]]
        kept = self._within(level)
        for tests, hits, part in zip(self.plan.without, self._without_hits, self.plan.sequence.without, strict=True):
            if self._is_readable(tests, step):
                kept = kept[self._is_free(level, kept, tests, hits, part)]
        if self._absence is None or step < len(self.plan.steps) - 1:
            return Ends(level, kept, kept[:0])
        is_kept, is_open = self._absence.of(level, kept)
        return Ends(level, kept[is_kept], kept[is_open])

    def _within(self, level: Level) -> Array:
        limit = self.plan.sequence.within
        if limit is None:
            return np.arange(level.count)
        clock = self.entries.clock(limit.unit)
        return np.flatnonzero(clock[level.places] - clock[level.starts] <= limit.amount)

    def _is_readable(self, tests: tuple[Test, ...], step: int) -> bool:
        """Whether the steps that a ``without`` names are among those up to here (it does not apply before)."""
        known = {s.name for s in self.plan.sequence.steps[: step + 1]}
        named = {s.name for s in self.plan.sequence.steps} - known
        return not any(names_used(item) & named for test in tests for item in test.on_steps)

    def _is_free(self, level: Level, kept: Array, tests: tuple[Test, ...], hits: list[Array], part: q.Without) -> Array:
        starts, ends = level.starts[kept], level.places[kept]
        plain = [places for places, test in zip(hits, tests, strict=True) if not test.on_steps]
        free = chains.is_free(starts, ends, together(plain))
        for places, test in zip(hits, tests, strict=True):
            if test.on_steps:
                left = np.flatnonzero(free)
                refs = {name: events[kept[left]] for name, events in level.refs.items()}
                met = self.joins.any_between(test, places, starts[left], ends[left] - 1, refs, part.span)
                free[left[met]] = False
        return free

    # -- whole chains -------------------------------------------------------------------------

    def walk_back(self, step: int, numbers: Array) -> list[Array]:
        """Every event of some chains up to a step, the last one first."""
        events: list[Array] = []
        for level in reversed(self.levels[: self.ends[step] + 1]):
            events.extend(level.events(numbers))
            numbers = level.parents[numbers]
        return events

    def named(self, numbers: Array) -> dict[str, Array]:
        """The events of some whole chains that have a name."""
        found: dict[str, Array] = {}
        steps = self.plan.sequence.steps
        for place in range(self.ends[-1], -1, -1):
            level = self.levels[place]
            name = steps[level.step].name
            if name and place in self.ends:
                found[name] = level.places[numbers]
            numbers = level.parents[numbers]
        return {step.name: found[step.name] for step in steps if step.name}


def _is_latest_best(level: Level) -> bool:
    """Whether no later chain of a level starts earlier, so that the latest one before an event is the tightest."""
    is_unique = bool((level.places[1:] > level.places[:-1]).all())
    return is_unique and bool((level.starts[1:] >= level.starts[:-1]).all())


def _without_earlier_starts(level: Level) -> Level:
    """A level without the chains of which an earlier one starts as late: what follows them follows that one too."""
    latest = np.maximum.accumulate(level.starts)
    kept = np.flatnonzero(np.append(True, level.starts[1:] > latest[:-1]))[: level.count]
    return replace(level, places=level.places[kept], starts=level.starts[kept], parents=level.parents[kept])


def together(hits: list[Array]) -> Array:
    """The entries that meet any of several tests, in order."""
    if len(hits) == 1:
        return hits[0]
    return np.unique(np.concatenate(hits)) if hits else np.empty(0, np.int64)
