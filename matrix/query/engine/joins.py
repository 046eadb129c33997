"""Pairs of a chain and an event that a condition looks at together: references between steps.

Which events come into question is found by place (after the chain, within its limits) and, where the
condition is an equality of both sides, by value; on what is left the condition itself is tried, many
pairs at a time. The number of pairs is limited: more is an error that says where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from matrix.errors import QueryError
from matrix.limits import QUERY_CHAIN_PAIRS_MAX, QUERY_CHAINS_MAX, QUERY_PAIRS_MAX
from matrix.query import syntax as q
from matrix.query.engine.bounds import portions, too_much_work
from matrix.query.engine.chains import Level
from matrix.query.engine.combine import concat
from matrix.query.engine.frame import Scope, expand
from matrix.query.engine.order import ranks
from matrix.query.engine.patterns import Test, names_used
from matrix.query.engine.streams import Entries
from matrix.query.engine.value import Array, Value


class Pairs(NamedTuple):
    """Chains, by number, each with the place of an event."""

    chains: Array
    places: Array


_NO_PAIRS = Pairs(np.empty(0, np.int64), np.empty(0, np.int64))


class _Equality(NamedTuple):
    """``event = step``: what a condition asks of the event and of an earlier one."""

    event: q.Expr
    step: q.Expr
    name: str


class Joins:
    """The pairs of one sequence's entries."""

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        self.tried = 0

    def behind(self, level: Level, number: int, hits: Sequence[Array], gap: q.Distance | None) -> Pairs:
        """All chains with each of the events behind them that meet a test of a step; some pairs may come twice."""
        plan, until = self.entries.plan, self._until(level, gap)
        found = [_NO_PAIRS]
        kept, span = 0, plan.sequence.steps[number].span
        for test, places in zip(plan.steps[number], hits, strict=True):
            for pairs in self.meeting(test, places, level.places, until, level.refs, span):
                found.append(pairs)
                kept += len(pairs.chains)
                if kept > QUERY_CHAINS_MAX:
                    raise self._too_much(f"more than {QUERY_CHAINS_MAX:,} chains of events lead here", span)
        return Pairs(np.concatenate([p.chains for p in found]), np.concatenate([p.places for p in found]))

    def latest_behind(self, level: Level, number: int, hits: Sequence[Array], gap: q.Distance | None) -> Pairs:
        """For each event the latest of the chains before it that meets a test of a step with it.

        Right where the latest chain is always the one to take (see `Search`), and tries few pairs where many would
        do: first the nearest chain, then the two before, the four before, and only of events that have none yet.
        """
        until, span = self._until(level, gap), self.entries.plan.sequence.steps[number].span
        found = [_NO_PAIRS]
        for test, places in zip(self.entries.plan.steps[number], hits, strict=True):
            first = np.searchsorted(until, places, side="left")
            ends, width = np.searchsorted(level.places, places, side="left"), 1
            while len(places):
                counts = np.clip(ends - first, 0, width)
                self._count(int(counts.sum()), span)
                met = np.full(len(places), -1)
                for few in portions(counts, QUERY_PAIRS_MAX):
                    owners, chains = expand(ends[few] - counts[few], counts[few])
                    owners += few.start
                    kept = self._tried(test, Pairs(chains, places[owners]), level.refs)
                    np.maximum.at(met, np.searchsorted(places, kept.places), kept.chains)
                found.append(Pairs(met[met >= 0], places[met >= 0]))
                ends = ends - counts
                is_left = (met < 0) & (ends > first)
                places, first, ends, width = places[is_left], first[is_left], ends[is_left], width * 2
        return Pairs(np.concatenate([p.chains for p in found]), np.concatenate([p.places for p in found]))

    def _until(self, level: Level, gap: q.Distance | None) -> Array:
        """The last entry that may come next, of each chain."""
        until = self.entries.lasts[level.places]
        for limit, since in ((gap, level.places), (self.entries.plan.sequence.within, level.starts)):
            if limit is not None:
                until = np.minimum(until, self.latest_within(since, limit))
        return until

    def any_between(
        self, test: Test, hits: Array, after: Array, until: Array, refs: Mapping[str, Array], span: q.Span
    ) -> Array:
        """Which chains have an event that meets a test, later than one place and up to another."""
        met = np.zeros(len(after), bool)
        for pairs in self.meeting(test, hits, after, until, refs, span):
            met[pairs.chains] = True
        return met

    def latest_within(self, places: Array, limit: q.Distance) -> Array:
        """The last entry of the same stream within a distance of each place."""
        clock, lasts = self.entries.clock(limit.unit), self.entries.lasts[places]
        if limit.unit == "events":
            nearest: Array = places + np.minimum(lasts - places, limit.amount)
            return nearest
        low, high = places.copy(), lasts.copy()  # the clock never runs back within a stream
        while (low < high).any():
            middle = (low + high + 1) // 2
            is_near = clock[middle] - clock[places] <= limit.amount
            low, high = np.where(is_near, middle, low), np.where(is_near, high, middle - 1)
        return low

    def meeting(
        self, test: Test, hits: Array, after: Array, until: Array, refs: Mapping[str, Array], span: q.Span
    ) -> Iterator[Pairs]:
        """The pairs that meet a test: events later than ``after`` and up to ``until``, of each chain."""
        equality = next((found for item in test.on_steps if (found := _equality(item))), None)
        if equality is None or not len(hits) or not len(after):
            owners, keys, lows = np.arange(len(after)), hits, np.stack((after, until))
            events = hits
        else:
            owners, codes, event_owners, event_codes = self._codes(equality, hits, refs[equality.name])
            count = self.entries.count
            order = np.argsort(event_codes * count + hits[event_owners], kind="stable")
            events = hits[event_owners][order]
            keys = event_codes[order] * count + events
            lows = codes * count + np.stack((after[owners], until[owners]))
        starts, ends = np.searchsorted(keys, lows[0], side="right"), np.searchsorted(keys, lows[1], side="right")
        counts = np.maximum(ends - starts, 0)
        self._count(int(counts.sum()), span)
        for few in portions(counts, QUERY_PAIRS_MAX):
            chosen, places = expand(starts[few], counts[few])
            if len(chosen):
                yield self._tried(test, Pairs(owners[few][chosen], events[places]), refs)

    def _count(self, pairs: int, span: q.Span) -> None:
        self.tried += pairs
        if self.tried > QUERY_CHAIN_PAIRS_MAX:
            raise self._too_much(f"more than {QUERY_CHAIN_PAIRS_MAX:,} pairs of events would be compared here", span)

    def _too_much(self, message: str, span: q.Span) -> QueryError:
        hint = "limit the time between the steps (then within 1m …), compare with =, or ask fewer rows"
        return too_much_work(message, hint, text=self.entries.evaluator.world.text, span=span)

    def _tried(self, test: Test, pairs: Pairs, refs: Mapping[str, Array]) -> Pairs:
        """The pairs for which every condition holds."""
        for item in test.on_steps:
            if len(pairs.chains):
                names = names_used(item) & refs.keys()
                scope = self.entries.scope(pairs.places, {name: refs[name][pairs.chains] for name in names})
                holds = self.entries.evaluator.holds(item, scope)
                pairs = Pairs(pairs.chains[holds], pairs.places[holds])
        return pairs

    # -- by value -----------------------------------------------------------------------------

    def _codes(self, equality: _Equality, hits: Array, steps: Array) -> tuple[Array, Array, Array, Array]:
        """A number for each value: (chains, their values' numbers, events by place in ``hits``, theirs).

        What is equal has one number, and so has what is missing. Either side may have several values.
        """
        shared, of_chain = np.unique(steps, return_inverse=True)
        owners, left = self._values(equality.step, self.entries.scope(shared, {equality.name: shared}))
        event_owners, right = self._values(equality.event, self.entries.scope(hits, {}))
        codes = ranks(concat([left, right])).codes
        codes = np.where(codes < 0, int(codes.max(initial=-1)) + 1, codes)
        order = np.argsort(owners, kind="stable")
        counts = np.bincount(owners, minlength=len(shared))
        starts = np.cumsum(counts) - counts
        chains, places = expand(starts[of_chain.reshape(-1)], counts[of_chain.reshape(-1)])
        return chains, codes[: left.count][order[places]], event_owners, codes[left.count :]

    def _values(self, expr: q.Expr, scope: Scope) -> tuple[Array, Value]:
        evaluator = self.entries.evaluator
        if isinstance(expr, q.Field) and expr.is_many:
            return evaluator.each(expr, scope)
        return np.arange(scope.count), evaluator.value(expr, scope)


def _equality(item: q.Expr) -> _Equality | None:
    """A condition that an event's value equals that of one earlier step, which a search can use."""
    if not isinstance(item, q.Compare) or item.op != "=":
        return None
    for event, step in ((item.left, item.right), (item.right, item.left)):
        names = names_used(step)
        if len(names) == 1 and not names_used(event) and _is_of_step_alone(step):
            return _Equality(event, step, next(iter(names)))
    return None


def uses_values(tests: Sequence[Test]) -> bool:
    """Whether pairs of some test are found by value."""
    return any(_equality(item) is not None for test in tests for item in test.on_steps)


def _is_of_step_alone(expr: q.Expr) -> bool:
    """Whether an expression reads nothing but events of steps."""
    others = (q.Quantified, q.RelatedAggregate, q.Sequence, q.MatchCount, q.Caused, q.ColumnRef)
    return all(bool(node.step) if isinstance(node, q.Field) else not isinstance(node, others) for node in q.walk(expr))
