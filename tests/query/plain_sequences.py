"""Sequences read from their rules, by trying everything: one list of events, all ways to choose some of them.

Shares nothing with the engine. A question is told twice: as query text, and as what `Asked` says of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from matrix.event import Event

Chosen = dict[str, "Entry"]  # the events of named steps


@dataclass(frozen=True)
class Entry:
    """One event in the stream of one agent (or of a whole simulation)."""

    event: Event
    did: bool
    got: bool
    turns: int
    position: int = 0

    def value(self, name: str) -> Any:
        return self.event.data.get(name)

    def peers(self) -> list[int]:
        return list(self.event.to) if self.did else [self.event.agent]


@dataclass(frozen=True)
class Meets:
    """What an event must be: its role, one of these kinds (any when empty), and a condition that sees earlier steps."""

    role: str
    kinds: tuple[str, ...]
    condition: Callable[[Entry, Chosen], bool]

    def __call__(self, entry: Entry, chosen: Chosen) -> bool:
        fits = {"did": entry.did, "got": entry.got, "saw": entry.did or entry.got}[self.role]
        return fits and (not self.kinds or entry.event.kind in self.kinds) and self.condition(entry, chosen)


@dataclass(frozen=True)
class Limit:
    amount: int
    unit: str

    def allows(self, a: Entry, b: Entry) -> bool:
        return self.distance(a, b) <= self.amount

    def distance(self, a: Entry, b: Entry) -> int:
        if self.unit == "time":
            return b.event.time - a.event.time
        return b.turns - a.turns if self.unit == "turns" else b.position - a.position


@dataclass(frozen=True)
class AskedStep:
    meets: Meets
    times: int = 1
    name: str = ""
    gap: Limit | None = None


@dataclass(frozen=True)
class Asked:
    """A sequence; ``keys`` give the values of an event for each ``same``, each as something that equals its like."""

    steps: tuple[AskedStep, ...]
    within: Limit | None = None
    without: tuple[Meets, ...] = ()
    keys: tuple[Callable[[Entry], list[Any]], ...] = ()
    absent: Meets | None = None
    absent_within: Limit | None = None

    def up_to(self, count: int) -> Asked:
        """Its first steps, as a sequence of their own."""
        if count == len(self.steps):
            return self
        return Asked(self.steps[:count], self.within, self.without, self.keys)


@dataclass(frozen=True)
class Run:
    """What a stream does not say: whether the run goes on, and how far it has come."""

    is_running: bool
    newest_time: int
    newest_turns: int


@dataclass(frozen=True)
class Found:
    """A match: every event of it, and those that have a name."""

    events: tuple[Entry, ...]
    named: Chosen

    def back(self) -> list[int]:
        return [entry.event.seq for entry in reversed(self.events)]


def streams_of(asked: Asked, entries: Sequence[Entry]) -> list[list[Entry]]:
    """The keyed streams: one for each combination of values."""
    keyed: list[tuple[Any, Entry]] = [((), entry) for entry in entries]
    for key in asked.keys:
        keyed = [((*before, value), entry) for before, entry in keyed for value in dict.fromkeys(key(entry))]
    order = {code: place for place, code in enumerate(dict.fromkeys(code for code, _ in keyed))}
    keyed.sort(key=lambda pair: (order[pair[0]], pair[1].event.seq))
    found = []
    for _, group in groupby(keyed, key=lambda pair: pair[0]):
        stream = [entry for _, entry in group]
        found.append([Entry(e.event, e.did, e.got, e.turns, place) for place, e in enumerate(stream)])
    return found


def choices(asked: Asked, stream: list[Entry]) -> Iterator[Found]:
    """Every way to choose events for all steps, by steps and gaps alone."""

    def go(step: int, time: int, begin: int, events: tuple[Entry, ...], named: Chosen) -> Iterator[Found]:
        if step == len(asked.steps):
            yield Found(events, named)
            return
        asks = asked.steps[step]
        for place in range(begin, len(stream)):
            entry = stream[place]
            if time == 0 and asks.gap and not asks.gap.allows(events[-1], entry):
                continue
            if not asks.meets(entry, named):
                continue
            more = (*events, entry)
            if time + 1 < asks.times:
                yield from go(step, time + 1, place + 1, more, named)
            else:
                names = {**named, asks.name: entry} if asks.name else named
                yield from go(step + 1, 0, place + 1, more, names)

    yield from go(0, 0, 0, (), {})


def judged(asked: Asked, stream: list[Entry], run: Run, found: Found) -> str:
    """Whether a choice is "valid", "open" or "not" one."""
    first, last = found.events[0], found.events[-1]
    if asked.within and not asked.within.allows(first, last):
        return "not"
    between = stream[first.position + 1 : last.position]
    if any(part(entry, found.named) for part in asked.without for entry in between):
        return "not"
    if asked.absent is None:
        return "valid"
    limit = asked.absent_within
    window = [entry for entry in stream[last.position + 1 :] if limit is None or limit.allows(last, entry)]
    if any(asked.absent(entry, found.named) for entry in window):
        return "not"
    return "valid" if not run.is_running or _is_closed(limit, stream, run, last) else "open"


def _is_closed(limit: Limit | None, stream: list[Entry], run: Run, last: Entry) -> bool:
    if limit is None:
        return False
    if limit.unit == "time":
        return run.newest_time > last.event.time + limit.amount
    if limit.unit == "turns":
        return run.newest_turns > last.turns + limit.amount
    return len(stream) - 1 - last.position >= limit.amount


def matches(asked: Asked, stream: list[Entry], run: Run) -> list[Found]:
    """The matches of one keyed stream: by rule, the first to end, the latest walking back, then on after its end."""
    valid = [found for found in choices(asked, stream) if judged(asked, stream, run, found) == "valid"]
    taken: list[Found] = []
    begin = 0
    while True:
        left = [found for found in valid if found.events[0].position >= begin]
        if not left:
            return taken
        end = min(found.events[-1].position for found in left)
        best = max((found for found in left if found.events[-1].position == end), key=Found.back)
        taken.append(best)
        begin = end + 1


def is_open(asked: Asked, entries: Sequence[Entry], run: Run) -> bool:
    """Whether some choice is open."""
    return any(
        judged(asked, stream, run, found) == "open"
        for stream in streams_of(asked, entries)
        for found in choices(asked, stream)
    )


def all_matches(asked: Asked, entries: Sequence[Entry], run: Run) -> list[Found]:
    """The matches of all keyed streams, in the order of the stage ``match``."""
    found = [match for stream in streams_of(asked, entries) for match in matches(asked, stream, run)]
    return sorted(found, key=Found.back)


def first_match(asked: Asked, entries: Sequence[Entry], run: Run) -> Found | None:
    """The one that ends first; among several keyed streams', the latest walking back."""
    firsts = [found[0] for stream in streams_of(asked, entries) if (found := matches(asked, stream, run))]
    if not firsts:
        return None
    end = min(found.events[-1].event.seq for found in firsts)
    return max((found for found in firsts if found.events[-1].event.seq == end), key=Found.back)
