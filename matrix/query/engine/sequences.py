"""Sequences in a query: as a condition, as a number of matches, and as the stage ``match``.

Equal rows share their stream. No sequence crosses runs, so the runs are worked through in groups of so
many events as may be read at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matrix.limits import QUERY_STREAM_EVENTS_MAX
from matrix.query import syntax as q
from matrix.query.engine.bounds import portions
from matrix.query.engine.chains import first_chains, not_overlapping
from matrix.query.engine.events import EventTable
from matrix.query.engine.frame import Frame, Scope, Seen, expand
from matrix.query.engine.patterns import Plan
from matrix.query.engine.reach import simulation_rows
from matrix.query.engine.rows import mentions_outer
from matrix.query.engine.scan import Needs
from matrix.query.engine.search import Search
from matrix.query.engine.streams import Entries, Finder, stream_needs
from matrix.query.engine.value import Array, Type, Value, distinct

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator
    from matrix.query.engine.world import World


def sequence_holds(evaluator: Evaluator, sequence: q.Sequence, scope: Scope) -> Array:
    """For which rows a sequence holds."""
    read = StreamReader(evaluator, sequence, scope)
    holds, is_open = np.zeros(read.count, bool), np.zeros(read.count, bool)
    for streams, search in read.searches(keeps_all=False):
        ends = search.holding(len(sequence.steps) - 1)
        of_place = streams[search.entries.streams]
        holds[of_place[ends.level.places[ends.holding]]] = True
        is_open[of_place[ends.level.places[ends.open]]] = True
    read.note_open(is_open & ~holds)
    return holds[read.of_row]


def match_counts(evaluator: Evaluator, sequence: q.Sequence, scope: Scope) -> Value:
    """How many matches each row's stream has, over all values of its keys."""
    read = StreamReader(evaluator, sequence, scope)
    counts = np.zeros(read.count, np.int64)
    for streams, search in read.searches(keeps_all=True):
        matches = read.matches(streams, search)
        found = streams[search.entries.streams[search.levels[-1].places[matches]]]
        counts += np.bincount(found, minlength=read.count)
    read.note_open()
    return Value.of(Type.INT, counts[read.of_row])


class StreamReader:
    """The streams of the rows of a scope: one for each different row, or for each row when outer rows matter too."""

    def __init__(self, evaluator: Evaluator, sequence: q.Sequence, scope: Scope) -> None:
        self.evaluator, self.sequence, self.plan = evaluator, sequence, Plan.of(sequence)
        frame = scope.frames[0]
        if mentions_outer(sequence):
            self.scope, self.of_row = scope, np.arange(scope.count)
        else:
            _, firsts, of_row = np.unique(frame.index(), return_index=True, return_inverse=True)
            self.scope, self.of_row = Scope((frame.take(firsts),)), of_row.reshape(-1)
        self._is_open = np.zeros(self.count, bool)

    @property
    def count(self) -> int:
        """The number of streams."""
        return self.scope.count

    def searches(
        self, *, keeps_all: bool, is_timed: bool = False, has_prefixes: bool = False, named: Needs | None = None
    ) -> Iterator[tuple[Array, Search]]:
        """The search in the streams of each group of runs, with the numbers of these streams.

        ``named`` are the columns that later stages read of named steps; ``has_prefixes``: shorter sequences are
        looked at too, so that any step may be the last.
        """
        needs = stream_needs(self.plan, is_timed=is_timed)
        if named is not None:
            needs = needs.with_others(named)
        whole = self.sequence.within
        all_turns = (named is not None and "turn" in named.raw) or (
            has_prefixes and whole is not None and whole.unit == "turns"
        )
        of_stream = simulation_rows(self.scope.frames[0])
        # where every event of a stream counts, of whatever kind, several times as many entries are kept
        events_max = QUERY_STREAM_EVENTS_MAX // (4 if self.plan.counts_events else 1)
        runs = distinct(of_stream)
        for some in portions(self.evaluator.world.simulations.array("events")[runs], events_max):
            simulations = runs[some]
            streams = np.flatnonzero(np.isin(of_stream, simulations))
            scope = self.scope.take(streams)
            found = Finder(self.evaluator, self.plan, scope.frames[0]).find(simulations, needs)
            entries = Entries(self.evaluator, self.plan, scope, found, all_turns=all_turns)
            yield streams, Search(entries, keeps_all=keeps_all)

    def matches(self, streams: Array, search: Search) -> Array:
        """The chains that are matches, in order of stream, key and last event."""
        ends = search.holding(len(self.sequence.steps) - 1)
        places, starts, entries = ends.level.places, ends.level.starts, search.entries
        self.mark_open(streams[entries.streams[places[ends.open]]])
        chains = first_chains(ends.level, ends.holding)
        return chains[not_overlapping(starts[chains], places[chains], entries.keyed[places[chains]])]

    def mark_open(self, streams: Array) -> None:
        """These streams have a chain that is open."""
        self._is_open[streams] = True

    def note_open(self, is_open: Array | None = None) -> None:
        """Say in how many streams a match may still come to be, or not, as the run goes on."""
        count = int((self._is_open if is_open is None else is_open).sum())
        if count:
            start, end = self.sequence.span
            text = self.evaluator.world.text[start:end]
            self.evaluator.world.notices.others.append(
                f"{_of(count, self.sequence.source)} an open match, in a run that goes on: {text}"
            )


# -- in order ------------------------------------------------------------------------------------------


def in_order(search: Search, step: int, chains: Array, *, latest_first: bool = False) -> Array:
    """Chains up to a step by stream, last event, and then walking back (the latest first, if asked for)."""
    level, entries = search.levels[search.ends[step]], search.entries
    places = level.places[chains]
    streams, seqs = entries.streams[places], entries.seqs[places]
    order = np.lexsort((seqs, streams))
    streams, seqs = streams[order], seqs[order]
    is_same = np.concatenate(([False], (streams[1:] == streams[:-1]) & (seqs[1:] == seqs[:-1]), [False]))
    tied = np.flatnonzero(is_same[1:] | is_same[:-1])  # several keyed streams have the event
    if len(tied):
        some = order[tied]
        sign = -1 if latest_first else 1
        back = [sign * entries.seqs[events].astype(np.int64) for events in search.walk_back(step, chains[some])]
        order[tied] = some[np.lexsort((*back[:0:-1], seqs[tied], streams[tied]))]
    return chains[order]


# -- the stage -----------------------------------------------------------------------------------------


class _Named(NamedTuple):
    """The events of one group's matches that have a name: rows of a table, and how their agents see them."""

    table: EventTable
    rows: dict[str, Array]
    seen: dict[str, Seen]


@dataclass(slots=True)
class _Matches:
    streams: list[Array]
    starts: list[Array]
    ends: list[Array]
    named: list[_Named]


def matched(evaluator: Evaluator, sequence: q.Sequence, frame: Frame) -> Frame:
    """One row for each match of each row, in order."""
    read = StreamReader(evaluator, sequence, Scope((frame,)))
    names = [step.name for step in sequence.steps if step.name]
    found = _Matches([], [], [], [])
    for streams, search in read.searches(keeps_all=True, is_timed=True, named=evaluator.world.needs if names else None):
        chains = in_order(search, len(sequence.steps) - 1, read.matches(streams, search))
        level, times = search.levels[-1], search.entries.times
        found.streams.append(streams[search.entries.streams[level.places[chains]]])
        found.starts.append(times[level.starts[chains]])
        found.ends.append(times[level.places[chains]])
        if names:
            found.named.append(_named(search, chains))
    read.note_open()
    streams, starts, ends = (np.concatenate([_NONE, *parts]) for parts in (found.streams, found.starts, found.ends))
    order = np.argsort(streams, kind="stable")
    counts = np.bincount(streams, minlength=read.count)
    begins = np.cumsum(counts) - counts
    rows, places = expand(begins[read.of_row], counts[read.of_row])
    places = order[places]
    made = {"start": starts[places], "end": ends[places], "duration": (ends - starts)[places]}
    columns = {name: Value.of(Type.DURATION, values.astype(np.int64)) for name, values in made.items()}
    steps = {name: step.take(places) for name, step in _steps(evaluator.world, names, found.named).items()}
    return replace(frame.take(rows), columns=columns, steps=steps)


_NONE = np.empty(0, np.int64)


def _named(search: Search, chains: Array) -> _Named:
    """The named events of some matches, of a table that has no others."""
    entries = search.entries
    events = search.named(chains)
    used = distinct(np.concatenate([entries.rows[places] for places in events.values()]))
    rows = {name: np.searchsorted(used, entries.rows[places]) for name, places in events.items()}
    frames = {name: entries.frame(places) for name, places in events.items()}
    seen = {name: frame.seen for name, frame in frames.items() if frame.seen is not None}
    return _Named(entries.table.narrow(used), rows, seen)


def _steps(world: World, names: list[str], groups: list[_Named]) -> dict[str, Frame]:
    """The named events of all matches, group after group."""
    relation = next((group.table.relation for group in groups), None) or q.Relation.EVENTS
    table = EventTable.joined(world, relation, [group.table for group in groups])
    shifts = np.cumsum([0, *(group.table.count for group in groups)])
    found: dict[str, Frame] = {}
    for name in names:
        parts = [group.rows[name] + shift for group, shift in zip(groups, shifts.tolist(), strict=False)]
        seen = [group.seen[name] for group in groups if name in group.seen]
        found[name] = Frame(table, np.concatenate([_NONE, *parts]), _joined_seen(seen) if seen else None)
    return found


def _joined_seen(parts: list[Seen]) -> Seen:
    turns = [part.turns for part in parts if part.turns is not None]
    return Seen(
        np.concatenate([part.sent for part in parts]),
        np.concatenate([part.received for part in parts]),
        np.concatenate(turns) if turns else None,
    )


def _of(count: int, relation: q.Relation) -> str:
    """``1 agent has``, ``2 agents have``."""
    return f"1 {relation.removesuffix('s')} has" if count == 1 else f"{count:,} {relation} have"
