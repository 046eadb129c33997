"""The stream of a row: the events it looks at, in order, as sequences read them.

An agent's stream is every event it did or got; a simulation's, a goal's and a conversation's are all of
theirs. ``with same`` splits a stream into keyed streams, one for each combination of present values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from matrix.event import Event
from matrix.query import syntax as q
from matrix.testing import plain_values as plain
from matrix.testing.naive_rows import Row
from matrix.testing.reach import event_of
from matrix.testing.world import Run, Thing, participants, simulation_end

if TYPE_CHECKING:
    from matrix.testing.naive_conditions import Evaluator


@dataclass(frozen=True)
class Entry:
    """One event of a stream: its row there, and how many turns the viewer had begun by then."""

    row: Row
    event: Event
    turn: int


@dataclass(frozen=True)
class Stream:
    """The entries of a stream in order; ``viewer`` is the number of the agent whose it is, 0 for others."""

    run: Run
    viewer: int
    entries: list[Entry]

    def distance(self, unit: str, a: int, b: int) -> int:
        """How far the entry at place b is from the one at a: in microseconds, turns or events."""
        if unit == "events":
            return b - a
        first, second = self.entries[a], self.entries[b]
        return second.event.time - first.event.time if unit == "time" else second.turn - first.turn

    def is_over(self, limit: q.Distance | None, place: int) -> bool:
        """Whether no event that is still to come can be within the limit of the entry at this place."""
        if simulation_end(self.run) is not None:
            return True
        if limit is None:
            return False
        if limit.unit == "events":
            return len(self.entries) - 1 - place >= limit.amount
        entry = self.entries[place]
        if limit.unit == "time":
            return self.run.events[-1].time > entry.event.time + limit.amount
        return turn_at(self.run, self.viewer, self.run.events[-1].seq) > entry.turn + limit.amount


def turn_at(run: Run, viewer: int, seq: int) -> int:
    """The turn of an agent's latest own event at or before an event; 0 when it has none yet."""
    own = [event.turn for event in run.own[viewer] if event.seq <= seq]
    return own[-1] if own else 0


def stream_of(evaluator: Evaluator, row: Row) -> Stream:
    """The stream of a row of agents, simulations, goals or conversations."""
    thing = row.thing
    assert thing is not None, "only rows of a relation have a stream"
    run = evaluator.world.run_of(thing)
    if thing.relation != "agents":
        found = _events_of(run, thing)
        return Stream(run, 0, [Entry(Row(run.event_things[event.seq]), event, event.turn) for event in found])
    entries, turn = [], 0
    for event in run.seen[thing.number]:
        if event.agent == thing.number:
            turn = event.turn
        seen = Row(run.event_things[event.seq], frozenset((thing.number,)), turn=turn)
        entries.append(Entry(seen, event, turn))
    return Stream(run, thing.number, entries)


def _events_of(run: Run, thing: Thing) -> list[Event]:
    """The events of a simulation, of a goal (and none nested in it), or of a conversation."""
    if thing.relation == "simulations":
        return run.events
    if thing.relation == "goals":
        return [event for event in run.events if event.goal == event_of(thing).seq]
    return run.threads[participants(event_of(thing))]


def keyed_streams(evaluator: Evaluator, row: Row, same: Sequence[q.Field]) -> list[Stream]:
    """The streams that a sequence is read on: the row's own, or with keys one for each combination of their values."""
    whole = stream_of(evaluator, row)
    if not same:
        return [whole]
    split: dict[Any, list[Entry]] = {}
    for entry in whole.entries:
        values = [_present(evaluator.values(key, (entry.row, row))) for key in same]
        for key in dict.fromkeys(product(*values)):
            split.setdefault(key, []).append(entry)
    return [Stream(whole.run, whole.viewer, entries) for entries in split.values()]


def _present(values: list[Any]) -> list[Any]:
    """What values are compared by; those that are missing, or unequal even to themselves (NaN), are in no stream."""
    return [plain.group_key(value) for value in values if value is not None and plain.equal(value, value)]
