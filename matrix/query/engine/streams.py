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
from matrix.query.engine.scan import Needs, Wanted, scan
from matrix.query.engine.turns import TurnCounts
from matrix.query.engine.value import Array, Type, Value

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator


class Found(NamedTuple):
    """The events of a scan, and which of them meet each test as far as one event decides."""

    table: EventTable
    masks: list[Array]


def find(evaluator: Evaluator, plan: Plan, simulations: Array, needs: Needs) -> Found:
    """The events of some simulations that the patterns of a sequence could use."""
    tests = plan.tests
    kept: list[list[Array]] = [[] for _ in tests]

    def keep(table: EventTable) -> Array | None:
        masks = [test.meets(evaluator, table) for test in tests]
        rows = None if plan.counts_events else np.flatnonzero(np.logical_or.reduce(masks))
        for place, mask in enumerate(masks):
            kept[place].append(mask if rows is None else mask[rows])
        return rows

    is_of_messages = plan.sequence.source is q.Relation.CONVERSATIONS
    relation = q.Relation.MESSAGES if is_of_messages else q.Relation.EVENTS
    wanted = Wanted((plan.kinds,) if plan.kinds else (), simulations=simulations)
    table = scan(evaluator.world, relation, wanted, keep, needs=needs)
    return Found(table, [np.concatenate(masks) if masks else np.empty(0, bool) for masks in kept])


_OWN_COLUMNS = {q.Relation.AGENTS: ("agent",), q.Relation.GOALS: ("goal",), q.Relation.CONVERSATIONS: ("agent", "to")}


def stream_needs(plan: Plan, *, is_timed: bool) -> Needs:
    """The columns that a sequence reads of the events it finds."""
    later = [item for test in plan.tests for item in (*test.on_entry, *test.on_steps)]
    nodes = [node for part in (*later, *plan.sequence.same) for node in q.walk(part)]
    raw, payload, is_whole = columns_named(nodes)
    raw |= set(_OWN_COLUMNS.get(plan.sequence.source, ()))
    units = {distance.unit for distance in plan.distances}
    raw |= {"time"} if is_timed or "time" in units else set()
    raw |= {"turn"} if "turns" in units or plan.reads_turns else set()
    raw |= {"to", "agent"} if _sees_receivers(plan) else set()
    fields = frozenset({"data"} if is_whole else ())
    return Needs(frozenset(raw), frozenset(payload), fields, receivers="to" in raw)


def _sees_receivers(plan: Plan) -> bool:
    """Whether it matters to whom events were sent."""
    if plan.sequence.source is not q.Relation.AGENTS:
        return False
    return plan.counts_events or any(test.role != "did" for test in plan.tests)


# -- entries -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Loose:
    """Entries in no order: rows of the table, the stream of each, whether its agent did and got it."""

    rows: Array
    streams: Array
    did: Array
    got: Array

    def take(self, places: Array) -> _Loose:
        return _Loose(self.rows[places], self.streams[places], self.did[places], self.got[places])


class Entries:
    """The entries of a sequence's streams, in order; ``hits`` has for each test the entries that meet it."""

    def __init__(self, evaluator: Evaluator, plan: Plan, outer: Scope, found: Found, *, all_turns: bool) -> None:
        self.evaluator, self.plan, self.outer, self.table = evaluator, plan, outer, found.table
        self._all_turns = all_turns
        self._loose, keyed = self._in_order(found)
        count = len(keyed)
        is_first = np.ones(count, bool)
        np.not_equal(keyed[1:], keyed[:-1], out=is_first[1:])
        firsts = np.flatnonzero(is_first)
        self.keyed: Array = np.cumsum(is_first) - 1  # the keyed stream of each entry
        self.firsts: Array = firsts  # the first entry of each keyed stream
        self.begins: Array = firsts[self.keyed]  # the first entry of each entry's keyed stream
        self.lasts: Array = np.append(firsts[1:], count)[self.keyed] - 1  # and the last one
        self.hits = self._hits(found)

    @property
    def count(self) -> int:
        return len(self.keyed)

    @property
    def rows(self) -> Array:
        """The event of each entry, as a row of the table."""
        return self._loose.rows

    @property
    def streams(self) -> Array:
        """The row of the outer scope whose stream an entry is in."""
        return self._loose.streams

    # -- making them --------------------------------------------------------------------------

    def _in_order(self, found: Found) -> tuple[_Loose, Array]:
        loose = self._entries(found)
        keyed = loose.streams
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

    def _entries(self, found: Found) -> _Loose:
        """All (event, stream) pairs that meet a test as far as is known."""
        source = self.plan.sequence.source
        if source is q.Relation.AGENTS:
            return self._of_agents(found)
        table = self.table
        if source is q.Relation.SIMULATIONS:
            hubs = table.simulation_rows()
        else:
            hubs = table.link("goal" if source is q.Relation.GOALS else "conversation").rows
        entries, streams = self._streams_of(hubs)
        everyone = np.ones(len(entries), bool)
        return _Loose(entries, streams, everyone, np.zeros(len(entries), bool))

    def _of_agents(self, found: Found) -> _Loose:
        table, tests = self.table, self.plan.tests
        senders = table.link("agent").rows
        rows = np.arange(table.count)
        if not _sees_receivers(self.plan):
            entries, streams = self._streams_of(senders)
            return _Loose(entries, streams, np.ones(len(entries), bool), np.zeros(len(entries), bool))
        owners, places = expand(table.receivers().starts, table.receivers().counts)
        agents = table.receivers().rows[places]
        to_self = (agents == senders[owners]) & (agents >= 0)
        got_own = np.zeros(table.count, bool)
        got_own[owners[to_self]] = True
        others = ~to_self & (agents >= 0)
        owners, agents = owners[others], agents[others]
        if table.receivers().counts.max(initial=0) > 1:  # a receiver may be named twice
            width = table.world.agents.count + 1
            owners, agents = np.divmod(np.unique(owners * width + agents), width)
        loose = _Loose(
            np.concatenate((rows, owners)),
            np.concatenate((senders, agents)),
            np.arange(len(rows) + len(owners)) < len(rows),
            np.concatenate((got_own, np.ones(len(owners), bool))),
        )
        if not self.plan.counts_events:
            loose = loose.take(np.flatnonzero(_any_hit(tests, found.masks, loose)))
        entries, streams = self._streams_of(loose.streams)
        return replace(loose.take(entries), streams=streams)

    def _streams_of(self, hubs: Array) -> tuple[Array, Array]:
        """For things with a hub each (a row of the outer table, or -1) the streams of that row: (thing, stream)."""
        index = self.outer.frames[0].index()
        order = np.argsort(index, kind="stable")
        counts = np.bincount(index, minlength=int(max(hubs.max(initial=-1), index.max(initial=-1))) + 2)
        starts = np.cumsum(counts) - counts
        if counts.max(initial=0) <= 1:
            lookup = np.full(len(counts), -1, np.int64)
            lookup[index] = np.arange(len(index))
            streams = lookup[hubs]  # -1 leads to the last place, which no row has
            things = np.flatnonzero(streams >= 0)
            return things, streams[things]
        things, places = expand(starts[hubs], counts[hubs])
        return things, order[places]

    def _split(self, loose: _Loose, keyed: Array, key: q.Field) -> tuple[_Loose, Array]:
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

    def _hits(self, found: Found) -> list[Array]:
        loose = self._loose
        return [
            self._on_entries(test, np.flatnonzero(mask[loose.rows] & test.sees(loose.did, loose.got)))
            for test, mask in zip(self.plan.tests, found.masks, strict=True)
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

    def _frame(self, loose: _Loose, turns: Array | None = None) -> Frame:
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

    def _turns_of(self, loose: _Loose) -> Array:
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


def _any_hit(tests: Sequence[Test], masks: Sequence[Array], loose: _Loose) -> Array:
    found = np.zeros(len(loose.rows), bool)
    for test, mask in zip(tests, masks, strict=True):
        found |= mask[loose.rows] & test.sees(loose.did, loose.got)
    return found


def _order(keyed: Array, seqs: Array) -> Array:
    """By keyed stream, and by seq within one."""
    span = int(seqs.max(initial=0)) + 1
    if (int(keyed.max(initial=0)) + 1) * span < 2**63:
        return np.argsort(keyed * span + seqs, kind="stable")
    return np.lexsort((seqs, keyed))


def _codes(value: Value) -> Array:
    """A number for each different value; -1 for what is missing or no number."""
    codes = ranks(value).codes
    floats = value.lane(Type.FLOAT)
    if floats is not None:
        whole = floats.spread(value.count)
        codes[whole.mask(value.count) & np.isnan(whole.values)] = -1
    return codes
