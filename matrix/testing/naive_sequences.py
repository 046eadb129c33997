"""Sequences by plain search: which events of a stream are a match.

A step of N events is N slots. The search fills the last slot first, from the earliest event on, and each
slot before it from the latest event backwards; so the first filling that passes every check is the match
that ends first and is, walking back, as late as possible. What failed once is remembered, together with
everything that the checks which failed could have looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from matrix.query import syntax as q
from matrix.testing.naive_rows import Row, Scope
from matrix.testing.streams import Entry, Stream, keyed_streams

if TYPE_CHECKING:
    from matrix.testing.naive_conditions import Evaluator

Patterns = tuple[q.Pattern, ...]
Names = dict[str, Row | None]
#: The places of the events of a match in their stream.
Places = tuple[int, ...]


@dataclass(frozen=True)
class Check:
    """What must hold between the events of some slots."""

    slots: frozenset[int]
    holds: Callable[[list[int]], bool]


@dataclass(frozen=True)
class Match:
    """The events of one match, in order, and those that have a name."""

    entries: list[Entry]
    steps: Names

    @property
    def rank(self) -> tuple[int, ...]:
        """Where it stands among others: by the end, then walking back."""
        return tuple(entry.event.seq for entry in reversed(self.entries))

    @property
    def duration(self) -> int:
        """The virtual time from its first event to its last."""
        return self.entries[-1].event.time - self.entries[0].event.time


def holds(evaluator: Evaluator, sequence: q.Sequence, scope: Scope) -> bool:
    """Whether a row's stream has the sequence."""
    return any(True for search in searches(evaluator, sequence, scope) for _ in search.matches())


def all_matches(evaluator: Evaluator, sequence: q.Sequence, scope: Scope) -> list[Match]:
    """The matches of a row, over all its keyed streams, ordered by where they end and then walking back."""
    found = [match for search in searches(evaluator, sequence, scope) for match in search.matches()]
    return sorted(found, key=lambda match: match.rank)


def first_match(evaluator: Evaluator, sequence: q.Sequence, scope: Scope, *, names: Sequence[str] = ()) -> Match | None:
    """The first of a row's matches: of its keyed streams the one that ends first, then the latest walking back."""
    firsts = [next(search.matches(), None) for search in searches(evaluator, sequence, scope, names=names)]
    found = [match for match in firsts if match is not None]
    return min(found, key=lambda m: [m.rank[0], *(-seq for seq in m.rank[1:])], default=None)


def searches(
    evaluator: Evaluator, sequence: q.Sequence, scope: Scope, *, names: Sequence[str] = ()
) -> Iterator[Search]:
    """A search for each stream that the sequence is read on; ``names`` are of steps that have no event here."""
    for stream in keyed_streams(evaluator, scope[0], sequence.same):
        yield Search(evaluator, sequence, scope, stream, names)


class Search:
    """The matches of one sequence in one stream."""

    def __init__(
        self, evaluator: Evaluator, sequence: q.Sequence, scope: Scope, stream: Stream, names: Sequence[str]
    ) -> None:
        self.evaluator, self.sequence, self.scope, self.stream = evaluator, sequence, scope, stream
        self.slots = [step for step in sequence.steps for _ in range(min(step.times, len(stream.entries) + 1))]
        self.last = len(self.slots) - 1
        self.missing: Names = dict.fromkeys(names)
        self.slot_of: dict[str, int] = {}  # a name means the last event of its step
        self.first_of: list[int] = []  # of each slot's step
        for slot, step in enumerate(self.slots):
            if step.name:
                self.slot_of[step.name] = slot
            is_repeated = slot > 0 and self.slots[slot - 1] is step
            self.first_of.append(self.first_of[-1] if is_repeated else slot)
        self.failed: set[tuple[int, ...]] = set()

    # -- the search ------------------------------------------------------------------------------------

    def matches(self) -> Iterator[Match]:
        """Match after match, none overlapping the one before."""
        if len(self.slots) > len(self.stream.entries):
            return
        self._prepare()
        after = -1
        while (places := self._next(after)) is not None:
            entries = [self.stream.entries[place] for place in places]
            yield Match(entries, self._named(list(places), self.slot_of))
            after = places[-1]

    def _prepare(self) -> None:
        self.references = [self._references(slot) for slot in range(len(self.slots))]
        self.checks = list(self._checks())
        self.candidates = [self._candidates(slot) for slot in range(len(self.slots))]
        alone = [without for without in self.sequence.without if not self._names_in(without.patterns)]
        self.forbidden = {
            place
            for place in range(len(self.stream.entries))
            for without in alone
            if self._meets(without.role, without.patterns, place, self.missing)
        }
        #: By slot: the later slots that its own checks and those still to come look at.
        self.watched = [
            sorted({s for check in self.checks if min(check.slots) <= slot for s in check.slots if s > slot})
            for slot in range(len(self.slots))
        ]

    def _next(self, after: int) -> Places | None:
        """The match that comes next, all of it behind the place ``after``."""
        chosen = [0] * len(self.slots)
        for end in self.candidates[self.last]:
            if end > after and self._place(self.last, end, chosen, after):
                return tuple(chosen)
        return None

    def _place(self, slot: int, place: int, chosen: list[int], after: int) -> bool:
        """Put an event into a slot and others, the latest possible, into the slots before it."""
        chosen[slot] = place
        key = (slot, place, chosen[self.last], *(chosen[later] for later in self.watched[slot]))
        if key in self.failed:
            return False
        if all(check.holds(chosen) for check in self.checks if min(check.slots) == slot):
            if slot == 0:
                return True
            for before in reversed(self.candidates[slot - 1]):
                if before <= after or (before < place and self._is_too_far(before, chosen[self.last])):
                    break
                if before < place and self._place(slot - 1, before, chosen, after):
                    return True
        self.failed.add(key)
        return False

    def _is_too_far(self, place: int, end: int) -> bool:
        """Whether no match that ends there can begin at this place, nor at one before it."""
        if any(place < forbidden < end for forbidden in self.forbidden):
            return True
        limit = self.sequence.within
        return limit is not None and self.stream.distance(limit.unit, place, end) > limit.amount

    # -- what must hold --------------------------------------------------------------------------------

    def _candidates(self, slot: int) -> list[int]:
        """Places of events that may be in a slot by themselves; conditions on other steps are looked at later."""
        step = self.slots[slot]
        patterns = step.patterns
        if self.references[slot]:
            patterns = tuple(replace(pattern, where=None) for pattern in patterns)
        return [place for place in range(len(self.stream.entries)) if self._meets(step.role, patterns, place, {})]

    def _checks(self) -> Iterator[Check]:
        """Gaps, the whole span, conditions on earlier steps, what must not lie between, what must not follow."""
        within = self.sequence.within
        if within is not None:
            yield Check(frozenset((0, self.last)), lambda chosen: self._is_within(within, chosen[0], chosen[-1]))
        for slot, step in enumerate(self.slots):
            if step.gap is not None and self.first_of[slot] == slot:
                yield self._gap(step.gap, slot)
            if references := self.references[slot]:
                yield self._condition(slot, references)
        for without in self.sequence.without:
            yield self._without(without, self._only(self._names_in(without.patterns)))
        if self.sequence.absent is not None:
            yield self._absent(self.sequence.absent, self._only(self._names_in(self.sequence.absent.patterns)))

    def _is_within(self, limit: q.Distance, a: int, b: int) -> bool:
        return self.stream.distance(limit.unit, a, b) <= limit.amount

    def _gap(self, limit: q.Distance, slot: int) -> Check:
        return Check(frozenset((slot - 1, slot)), lambda chosen: self._is_within(limit, chosen[slot - 1], chosen[slot]))

    def _condition(self, slot: int, references: dict[str, int]) -> Check:
        step = self.slots[slot]

        def is_met(chosen: list[int]) -> bool:
            names = self._named(chosen, references)
            return self._meets(step.role, step.patterns, chosen[slot], names)

        return Check(frozenset((slot, *references.values())), is_met)

    def _without(self, without: q.Without, references: dict[str, int]) -> Check:
        def is_free(chosen: list[int]) -> bool:
            names = {**self.missing, **self._named(chosen, references)}
            between = range(chosen[0] + 1, chosen[-1])
            return not any(self._meets(without.role, without.patterns, place, names) for place in between)

        return Check(frozenset((0, self.last, *references.values())), is_free)

    def _absent(self, absent: q.Absent, references: dict[str, int]) -> Check:
        def is_absent(chosen: list[int]) -> bool:
            """Whether nothing forbidden follows, and nothing that could is still to come."""
            end, limit = chosen[-1], absent.limit
            names = self._named(chosen, references)
            later = range(end + 1, len(self.stream.entries))
            near = [place for place in later if limit is None or self._is_within(limit, end, place)]
            if any(self._meets(absent.role, absent.patterns, place, names) for place in near):
                return False
            return self.stream.is_over(limit, end)

        return Check(frozenset((self.last, *references.values())), is_absent)

    # -- events and patterns ---------------------------------------------------------------------------

    def _meets(self, role: q.Role, patterns: Patterns, place: int, names: Names) -> bool:
        """Whether an event of the stream has the role and meets any of the patterns."""
        entry, viewer = self.stream.entries[place], self.stream.viewer
        if viewer and role == "did" and entry.event.agent != viewer:
            return False
        if viewer and role == "got" and viewer not in entry.event.to:
            return False
        row = replace(entry.row, steps=names)
        return any(self.evaluator.meets(pattern, (row, *self.scope)) for pattern in patterns)

    def _named(self, chosen: list[int], slots: dict[str, int]) -> Names:
        return {name: self.stream.entries[chosen[slot]].row for name, slot in slots.items()}

    def _only(self, names: set[str]) -> dict[str, int]:
        return {name: slot for name, slot in self.slot_of.items() if name in names}

    def _names_in(self, patterns: Patterns) -> set[str]:
        """The named steps of this sequence that patterns speak of."""
        said = {node.step for pattern in patterns for node in q.walk(pattern) if isinstance(node, q.Field)}
        return said & self.slot_of.keys()

    def _references(self, slot: int) -> dict[str, int]:
        """The named steps that the condition of a slot speaks of: only of steps before its own."""
        names = self._names_in(self.slots[slot].patterns)
        return {name: at for name, at in self._only(names).items() if at < self.first_of[slot]}
