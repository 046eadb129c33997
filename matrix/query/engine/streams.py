"""Streams: for each row the events that it did or got (of an agent), or that are in it (of the others).

An *entry* is one event in one stream, and with ``same`` in one keyed stream, for each combination of the
values. Entries are sorted by stream and ``seq``, and are called by their *place* in that order: one event
is before another of its stream exactly when its place is smaller. Only events that some pattern could use
become entries, unless a distance counts events: then all do, and it is the difference of the places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matrix.limits import QUERY_PAIRS_MAX
from matrix.query import syntax as q
from matrix.query.engine.events import EventTable
from matrix.query.engine.frame import Frame, Scope, Seen, expand
from matrix.query.engine.links import ends_of, read_end
from matrix.query.engine.needs import columns_named
from matrix.query.engine.order import ranks
from matrix.query.engine.patterns import Plan, Test
from matrix.query.engine.scan import Needs, Wanted, each_batch
from matrix.query.engine.turns import TurnCounts
from matrix.query.engine.value import Array, Type, Value

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator


@dataclass(frozen=True, slots=True)
class Loose:
    """Entries in no order: rows of a table, the stream of each, whether its agent did and got it.

    ``met`` has a bit for each test that an entry meets as far as its event and role decide, eight to a column.
    """

    rows: Array
    streams: Array
    did: Array
    got: Array
    met: Array

    def take(self, places: Array) -> Loose:
        return Loose(self.rows[places], self.streams[places], self.did[places], self.got[places], self.met[places])

    def meeting(self, test: int) -> Array:
        """Which entries meet a test so far."""
        found: Array = self.met[:, test >> 3] & (128 >> (test & 7)) != 0
        return found

    @classmethod
    def joined(cls, parts: Sequence[Loose], starts: Sequence[int], tests: int) -> Loose:
        """The entries of several tables that were joined, each table's rows beginning at its start."""
        nothing = np.empty(0, np.int32)
        is_any = np.empty(0, bool)
        empty = cls(nothing, nothing, is_any, is_any, np.empty((0, (tests + 7) // 8), np.uint8))
        moved = [replace(part, rows=part.rows + np.int32(start)) for part, start in zip(parts, starts, strict=True)]
        all_parts = [(part.rows, part.streams, part.did, part.got, part.met) for part in (empty, *moved)]
        return cls(*[np.concatenate(column) for column in zip(*all_parts, strict=True)])


def stream_needs(plan: Plan, *, is_timed: bool) -> Needs:
    """The columns that a sequence reads of the events it finds."""
    later = [item for test in plan.tests for item in (*test.on_entry, *test.on_steps)]
    nodes = [node for part in (*later, *plan.sequence.same) for node in q.walk(part)]
    raw, payload, is_whole = columns_named(nodes)
    units = {distance.unit for distance in plan.distances}
    raw |= {"time"} if is_timed or "time" in units else set()
    raw |= {"turn"} if "turns" in units or plan.reads_turns else set()
    fields = frozenset({"data"} if is_whole else ())
    return Needs(frozenset(raw), frozenset(payload), fields, receivers="to" in raw)


def sees_receivers(plan: Plan) -> bool:
    """Whether it matters to whom events were sent."""
    if plan.sequence.source is not q.Relation.AGENTS:
        return False
    return plan.counts_events or any(test.role != "did" for test in plan.tests)


# -- finding them --------------------------------------------------------------------------------------


class Found(NamedTuple):
    """The events of a scan, and their entries."""

    table: EventTable
    loose: Loose


def _starts(parts: Sequence[Found]) -> list[int]:
    """The row at which each table begins when they are joined."""
    starts: list[int] = np.cumsum([0, *(part.table.count for part in parts)])[:-1].tolist()
    return starts


class Finder:
    """Finds the entries of some streams, batch by batch of a scan; ``outer`` has a row for each stream."""

    def __init__(self, evaluator: Evaluator, plan: Plan, outer: Frame) -> None:
        self.evaluator, self.plan, self.tests = evaluator, plan, plan.tests
        index = outer.index()
        self._is_single = len(np.unique(index)) == len(index)
        self._order = np.argsort(index, kind="stable")
        self._counts = np.bincount(index, minlength=outer.table.count + 1)  # the last one stands for -1
        self._starts = np.cumsum(self._counts) - self._counts
        self._lookup = np.full(outer.table.count + 1, -1, np.int32)
        self._lookup[index] = np.arange(len(index))

    def find(self, simulations: Array, needs: Needs) -> Found:
        """The entries that some pattern could use, of these runs."""
        is_of_messages = self.plan.sequence.source is q.Relation.CONVERSATIONS
        relation = q.Relation.MESSAGES if is_of_messages else q.Relation.EVENTS
        kinds = self.plan.kinds
        wanted = Wanted((kinds,) if kinds else (), simulations=simulations)

        def found_in(batch: EventTable) -> Found:
            found = self._found(batch)
            needs.read(found.table)
            return found

        world = self.evaluator.world
        parts = [part for part in each_batch(world, relation, wanted, found_in) if part.table.count]
        table = EventTable.joined(world, relation, [part.table for part in parts])
        return Found(table, Loose.joined([part.loose for part in parts], _starts(parts), len(self.tests)))

    def _found(self, batch: EventTable) -> Found:
        """The events of a batch that are in some stream; several threads find at once, so nothing is kept here."""
        masks = [test.meets(self.evaluator, batch) for test in self.tests]
        rows = np.arange(batch.count)
        if not self.plan.counts_events:
            rows = np.flatnonzero(np.logical_or.reduce(masks))
            masks = [mask[rows] for mask in masks]
        loose = self._entries(batch if len(rows) == batch.count else batch.narrow(rows), masks)
        is_used = np.zeros(len(rows), bool)
        is_used[loose.rows] = True
        places = (np.cumsum(is_used) - 1).astype(np.int32)
        used = rows[is_used]
        table = batch if len(used) == batch.count else batch.narrow(used)
        return Found(table, replace(loose, rows=places[loose.rows]))

    def _entries(self, table: EventTable, masks: list[Array]) -> Loose:
        """All (event, stream) pairs that meet a test as far as is known."""
        source = self.plan.sequence.source
        if source is q.Relation.AGENTS:
            return self._of_agents(table, masks)
        if source is q.Relation.SIMULATIONS:
            hubs = table.simulation_rows()
        else:
            hubs = table.link("goal" if source is q.Relation.GOALS else "conversation").rows
        rows, streams = self._streams_of(hubs)
        return self._loose(rows, streams, np.ones(len(rows), bool), np.zeros(len(rows), bool), masks)

    def _of_agents(self, table: EventTable, masks: list[Array]) -> Loose:
        senders = table.link("agent").rows
        rows, streams = self._streams_of(senders)
        if not sees_receivers(self.plan):
            return self._loose(rows, streams, np.ones(len(rows), bool), np.zeros(len(rows), bool), masks)
        receivers = table.receivers()
        owners, places = expand(receivers.starts, receivers.counts)
        agents = receivers.rows[places]
        is_own = agents == senders[owners]
        got_own = np.zeros(table.count, bool)
        got_own[owners[is_own]] = True
        owners, agents = owners[~is_own], agents[~is_own]
        if receivers.counts.max(initial=0) > 1:  # a receiver may be named twice
            width = table.world.agents.count + 1
            owners, agents = np.divmod(np.unique(owners * width + agents + 1), width)
            agents = agents - 1
        received, others = self._streams_of(agents)
        did = np.arange(len(rows) + len(received)) < len(rows)
        got = np.concatenate((got_own[rows], np.ones(len(received), bool)))
        rows, streams = np.concatenate((rows, owners[received])), np.concatenate((streams, others))
        return self._loose(rows, streams, did, got, masks)

    def _streams_of(self, hubs: Array) -> tuple[Array, Array]:
        """For things with a hub each (a row of the outer table, or -1) the streams of that row: (thing, stream)."""
        if self._is_single:
            streams = self._lookup[hubs]
            things = np.flatnonzero(streams >= 0)
            return things, streams[things]
        things, places = expand(self._starts[hubs], self._counts[hubs])
        return things, self._order[places]

    def _loose(self, rows: Array, streams: Array, did: Array, got: Array, masks: list[Array]) -> Loose:
        bits = [mask[rows] & test.sees(did, got) for test, mask in zip(self.tests, masks, strict=True)]
        met = np.packbits(np.stack(bits, axis=1), axis=1)
        loose = Loose(rows.astype(np.int32), streams.astype(np.int32), did, got, met)
        return loose if self.plan.counts_events else loose.take(np.flatnonzero(met.any(axis=1)))


# -- entries -------------------------------------------------------------------------------------------


class Entries:
    """The entries of a sequence's streams, in order; ``hits`` has for each test the entries that meet it."""

    def __init__(self, evaluator: Evaluator, plan: Plan, outer: Scope, found: Found, *, all_turns: bool) -> None:
        self.evaluator, self.plan, self.outer, self.table = evaluator, plan, outer, found.table
        self._all_turns = all_turns
        self._loose, keyed = self._in_order(found.loose)
        self.count = len(keyed)
        is_first = np.ones(self.count, bool)
        np.not_equal(keyed[1:], keyed[:-1], out=is_first[1:])
        self._firsts = np.flatnonzero(is_first).astype(np.int32)
        self.keyed: Array = np.cumsum(is_first, dtype=np.int32) - 1  # the keyed stream of each entry
        self.begins: Array = self._firsts[self.keyed]  # the first entry of each entry's keyed stream
        self.hits = self._hits()

    @cached_property
    def lasts(self) -> Array:
        """The last entry of each entry's keyed stream."""
        return np.append(self._firsts[1:], self.count)[self.keyed] - 1

    @property
    def rows(self) -> Array:
        """The event of each entry, as a row of the table."""
        return self._loose.rows

    @property
    def streams(self) -> Array:
        """The row of the outer scope whose stream an entry is in."""
        return self._loose.streams

    # -- making them --------------------------------------------------------------------------

    def _in_order(self, loose: Loose) -> tuple[Loose, Array]:
        keyed: Array = loose.streams.astype(np.int64)
        for key in self.plan.sequence.same:
            loose, keyed = self._split(loose, keyed, key)
        seqs = self.table.raw("seq")[loose.rows].astype(np.int64)
        order = _order(keyed, seqs)
        if self.plan.sequence.same and len(order):
            keyed, seqs = keyed[order], seqs[order]
            is_new = np.append(True, (keyed[1:] != keyed[:-1]) | (seqs[1:] != seqs[:-1]))
            order, keyed = order[is_new], keyed[is_new]  # two receivers may have led to the same key
            return loose.take(order), keyed
        return loose.take(order), keyed[order]

    def _split(self, loose: Loose, keyed: Array, key: q.Field) -> tuple[Loose, Array]:
        """The entries in the streams of each value of a key; those without a value in none."""
        reads_turn = key.name == "turn" and not key.links
        frame = self._frame(loose, self._turns_of(loose) if reads_turn else None)
        if not key.links:
            codes, owners = _codes(self.evaluator.field(key, Scope((frame,)))), np.arange(frame.count)
        else:
            owners, end = ends_of(frame, key.links)
            if key.owner in _ENTITIES and key.name != "data":  # each of the few entities is looked at once
                codes = np.append(_codes(end.table.field(key.name)), -1)[end.rows]
            else:
                codes = _codes(read_end(end, key))
        known = np.flatnonzero(codes >= 0)
        codes, owners = codes[known], owners[known]
        width = int(codes.max(initial=0)) + 1
        if int(keyed.max(initial=0) + 1) * width >= 2**62:
            keyed = np.unique(keyed, return_inverse=True)[1].reshape(-1)
        return loose.take(owners), keyed[owners] * width + codes

    def _hits(self) -> list[Array]:
        loose = self._loose
        return [
            self._on_entries(test, np.flatnonzero(loose.meeting(number))) for number, test in enumerate(self.plan.tests)
        ]

    def _on_entries(self, test: Test, places: Array) -> Array:
        """Those that also meet what the viewer and the outer rows decide."""
        for item in test.on_entry:
            kept = [np.empty(0, np.int64)]
            for begin in range(0, len(places), QUERY_PAIRS_MAX):
                some = places[begin : begin + QUERY_PAIRS_MAX]
                kept.append(some[self.evaluator.holds(item, self.scope(some, {}))])
            places = np.concatenate(kept)
        return places

    # -- reading them -------------------------------------------------------------------------

    def _frame(self, loose: Loose, turns: Array | None = None) -> Frame:
        is_seen = self.plan.sequence.source is q.Relation.AGENTS
        return Frame(self.table, loose.rows, Seen(loose.did, loose.got, turns) if is_seen else None)

    def frame(self, places: Array) -> Frame:
        """The events at these places, as their agents see them."""
        return self._frame(self._loose.take(places), self.turns[places] if self._reads_turns else None)

    def scope(self, places: Array, steps: Mapping[str, Array]) -> Scope:
        """What a condition on these events sees, of one stream each; ``steps`` are the places of earlier ones."""
        frame = self.frame(places)
        if steps:
            frame = replace(frame, steps={name: self.frame(earlier) for name, earlier in steps.items()})
        return self.outer.take(self.streams[places]).inside(frame)

    @cached_property
    def _reads_turns(self) -> bool:
        return self.plan.sequence.source is q.Relation.AGENTS and (self._all_turns or self.plan.reads_turns)

    @cached_property
    def times(self) -> Array:
        return self.table.raw("time")[self.rows]

    @cached_property
    def seqs(self) -> Array:
        return self.table.raw("seq")[self.rows]

    @cached_property
    def simulations(self) -> Array:
        """The simulation's row of each entry."""
        return self.table.simulation_rows()[self.rows]

    @cached_property
    def turn_counts(self) -> TurnCounts:
        """The turns of the agents whose streams these are."""
        return TurnCounts.read(self.evaluator.world, self.outer.frames[0].index())

    @cached_property
    def turns(self) -> Array:
        """How many turns the viewer had begun by each entry (of another's events only where that is asked for)."""
        return self._turns_of(self._loose)

    def _turns_of(self, loose: Loose) -> Array:
        turns: Array = self.table.raw("turn")[loose.rows].astype(np.int64)
        others = np.flatnonzero(~loose.did)
        if len(others) and (self._all_turns or self.plan.turns_of_others):
            agents = self.outer.frames[0].index()[loose.streams[others]]
            turns[others] = self.turn_counts.at(agents, self.table.raw("seq")[loose.rows[others]].astype(np.int64))
        return turns

    def clock(self, unit: str) -> Array:
        """What distances in a unit are differences of; it never decreases along a stream."""
        if unit == "events":
            return np.arange(self.count)
        return self.times if unit == "time" else self.turns


_ENTITIES = (q.Relation.AGENTS, q.Relation.GOALS, q.Relation.SIMULATIONS)


def _order(keyed: Array, seqs: Array) -> Array:
    """By keyed stream, and by seq within one."""
    span = int(seqs.max(initial=0)) + 1
    if (int(keyed.max(initial=0)) + 1) * span < 2**63:
        return np.argsort(keyed * span + seqs)
    return np.lexsort((seqs, keyed))


def _codes(value: Value) -> Array:
    """A number for each different value; -1 for what is missing or no number."""
    codes = ranks(value).codes
    floats = value.lane(Type.FLOAT)
    if floats is not None:
        whole = floats.spread(value.count)
        codes[whole.mask(value.count) & np.isnan(whole.values)] = -1
    return codes
