"""The patterns of a sequence taken apart: what one event decides, what its stream does, what earlier steps do.

The first is tried while the log is scanned, the second once an event has its place in a stream (the
viewer, the row whose stream it is), the third on pairs of a chain of earlier events and a later one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.events import EventTable
from matrix.query.engine.frame import Frame
from matrix.query.engine.rows import conjuncts, is_local, keep_all
from matrix.query.engine.value import Array

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator


@dataclass(frozen=True, slots=True)
class Test:
    """One pattern, seen in one role; its conditions by what decides them."""

    role: q.Role
    kinds: tuple[q.KindPattern, ...]
    event: str | None
    on_event: tuple[q.Expr, ...]
    on_entry: tuple[q.Expr, ...]
    on_steps: tuple[q.Expr, ...]

    @classmethod
    def of(cls, role: q.Role, pattern: q.Pattern, names: frozenset[str]) -> Test:
        """A pattern whose conditions may use the steps of these names."""
        items = conjuncts(pattern.where)
        on_steps = tuple(item for item in items if names_used(item) & names)
        others = [item for item in items if item not in on_steps]
        on_event = tuple(item for item in others if is_local(item) and not (role != "did" and reads_turn(item)))
        on_entry = tuple(item for item in others if item not in on_event)
        return cls(role, pattern.kinds, pattern.event, on_event, on_entry, on_steps)

    def meets(self, evaluator: Evaluator, table: EventTable) -> Array:
        """Which events meet as much of the pattern as one event decides."""
        mask = self._of_kind(table)
        if self.event is not None:
            mask &= is_event(table, self.event)
        if self.on_event and mask.any():
            rows = np.flatnonzero(mask)
            kept = keep_all(evaluator, Frame(table, rows), self.on_event).index()
            mask = np.zeros(table.count, bool)
            mask[kept] = True
        return mask

    def _of_kind(self, table: EventTable) -> Array:
        if not self.kinds:
            return np.ones(table.count, bool)
        codes, words = table.kinds()
        fits = np.array([any(pattern.matches(word) for pattern in self.kinds) for word in words], bool)
        mask: Array = fits[codes] if len(words) else np.zeros(table.count, bool)
        return mask

    def sees(self, did: Array, got: Array) -> Array:
        """Which entries of streams the role fits."""
        if self.role == "saw":
            return did | got
        return did if self.role == "did" else got


_SEQ = re.compile("[1-9][0-9]{0,18}")


def is_event(table: EventTable, id: str) -> Array:
    """Which events have an id: a simulation's id, a colon, the seq."""
    simulation, _, number = id.rpartition(":")
    if not _SEQ.fullmatch(number):
        return np.zeros(table.count, bool)
    found: Array = table.raw("seq") == int(number)
    if found.any():
        found &= np.isin(table.simulation_rows(), table.world.simulations.called([simulation]))
    return found


def names_used(expr: q.Node) -> frozenset[str]:
    """The steps that a condition reads."""
    return frozenset(node.step for node in q.walk(expr) if isinstance(node, q.Field) and node.step)


def reads_turn(expr: q.Node) -> bool:
    """Whether a condition reads the turn of an event as its viewer counts."""
    return any(isinstance(node, q.Field) and node.name == "turn" and not node.links for node in q.walk(expr))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sequence asks for: the tests of its steps, of what must not be between, and of what must not follow."""

    sequence: q.Sequence
    steps: tuple[tuple[Test, ...], ...]
    without: tuple[tuple[Test, ...], ...]
    absent: tuple[Test, ...]

    @classmethod
    def of(cls, sequence: q.Sequence) -> Plan:
        names: frozenset[str] = frozenset()
        steps = []
        for step in sequence.steps:
            steps.append(tuple(Test.of(step.role, pattern, names) for pattern in step.patterns))
            names |= {step.name} - {""}
        without = [tuple(Test.of(part.role, p, names) for p in part.patterns) for part in sequence.without]
        last = sequence.absent
        absent = () if last is None else tuple(Test.of(last.role, p, names) for p in last.patterns)
        return cls(sequence, tuple(steps), tuple(without), absent)

    @property
    def tests(self) -> list[Test]:
        """All of them."""
        groups = (*self.steps, *self.without, self.absent)
        return [test for group in groups for test in group]

    @property
    def kinds(self) -> tuple[q.KindPattern, ...]:
        """The kinds of events that matter; none when all do."""
        if self.counts_events or not all(test.kinds for test in self.tests):
            return ()
        return tuple(dict.fromkeys(pattern for test in self.tests for pattern in test.kinds))

    @property
    def distances(self) -> list[q.Distance]:
        """Every distance that is measured."""
        found = [step.gap for step in self.sequence.steps]
        found.append(self.sequence.within)
        found.append(None if self.sequence.absent is None else self.sequence.absent.limit)
        return [distance for distance in found if distance is not None]

    @property
    def counts_events(self) -> bool:
        """Whether every event of a stream counts, of whatever kind."""
        return any(distance.unit == "events" for distance in self.distances)

    @property
    def has_references(self) -> bool:
        """Whether a condition looks back at an earlier step."""
        return any(test.on_steps for test in self.tests)

    @property
    def reads_turns(self) -> bool:
        """Whether a condition reads how many turns the viewer had begun."""
        return reads_turn(self.sequence)

    @property
    def turns_of_others(self) -> bool:
        """Whether the viewer's count of turns is asked at events that it did not do."""
        if self.sequence.source is not q.Relation.AGENTS:
            return False
        is_other_seen = self.counts_events or any(test.role != "did" for test in self.tests)
        is_searched = self.has_references or self.sequence.absent is not None  # windows are found in whole streams
        if self.reads_turns or (is_searched and any(distance.unit == "turns" for distance in self.distances)):
            return is_other_seen
        return any(role != "did" for role in self._measured_in_turns())

    def _measured_in_turns(self) -> set[q.Role]:
        """The roles of the events between which turns are counted."""
        sequence, roles = self.sequence, set[q.Role]()
        for before, step in zip(sequence.steps, sequence.steps[1:], strict=False):
            if step.gap is not None and step.gap.unit == "turns":
                roles |= {before.role, step.role}
        if sequence.within is not None and sequence.within.unit == "turns":
            roles |= {sequence.steps[0].role, sequence.steps[-1].role}
        return roles

    def named_after(self, step: int) -> frozenset[str]:
        """The names that the conditions behind a step use, of steps up to it."""
        groups: Sequence[tuple[Test, ...]] = (*self.steps[step + 1 :], *self.without, self.absent)
        used = {name for group in groups for test in group for item in test.on_steps for name in names_used(item)}
        return frozenset(used & {s.name for s in self.sequence.steps[: step + 1]})
