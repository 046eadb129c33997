"""One look of a watch: the rows that are new between two moments, read in one transaction of the index.

A look sees only the simulations that wrote something between the two moments, at the later one; of those whose rows
at the earlier one nobody remembers, it sees that, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from matrix.index.part import own_firsts, show_as_they_were, show_only, sources_of
from matrix.limits import WATCH_LOOK_EVENTS_MAX, WATCH_LOOKS_BEHIND, WATCH_NAMED_MAX, WATCH_RUNS_NAMED_MAX
from matrix.query import syntax as q
from matrix.query.engine.buckets import Progress, closed_buckets, progress_between, still_open
from matrix.query.engine.changes import Changes, Vector
from matrix.query.engine.entities import Entities
from matrix.query.engine.evaluate import Evaluator
from matrix.query.engine.fixed import starts_behind, stop_within
from matrix.query.engine.fresh import Identity, Plan, asked_rows, identities, new_places
from matrix.query.engine.scan import Wanted, kinds_of
from matrix.query.engine.subset import Subset
from matrix.query.engine.world import World
from matrix.query.engine.written import led_to_by, touched_by
from matrix.query.execute import result_of, staged
from matrix.query.result import Result

if TYPE_CHECKING:
    from matrix.query.engine.frame import Frame
    from matrix.query.engine.scan import Needs, Zone
    from matrix.query.round import Round

#: By simulation, the rows that are there.
There: TypeAlias = Mapping[int, Set[Identity]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A watched query, and which columns it names."""

    plan: Plan
    needs: Needs
    columns: Mapping[str, frozenset[str]]
    is_fixed: bool  # whether it names of events only what nothing later changes (see fixed.py)
    is_near: bool  # whether a row leads to nothing but what its own events name (see written.py)
    is_own: bool  # whether only events about an agent or goal itself change whether it is asked for


class Moments(NamedTuple):
    """Two moments of a log, and what ``now`` means at each."""

    before: Vector
    after: Vector
    clocks: tuple[int, int]


class Found(NamedTuple):
    """What a look finds: rows; how many each limit has let through by now; and what is good to remember."""

    result: Result
    taken: tuple[int, ...]
    there: There
    progress: Mapping[int, Progress]
    asked_again: There | None = None  # only these rows were looked at; of them ``there`` says which are there


class Look:
    """A look in a round, which holds a transaction that reads."""

    def __init__(self, asked: Asked, round: Round) -> None:
        self.asked, self.round = asked, round
        self.connection, self.reader = round.connection, round.reader
        self.newest, self.now_us = round.newest, round.now_us

    def rows_between(
        self, moments: Moments, *, taken: tuple[int, ...], there: There, progress: Mapping[int, Progress]
    ) -> Found:
        """What is new; ``there`` and ``progress`` are what is remembered of some simulations at the first moment."""
        if self._has_no_news(moments.before):
            return Found(Result.empty(), taken, {}, {})
        if self.asked.plan.tells_events:
            return Found(*self._events(moments, taken), {}, {})
        changes = self.round.changes(moments.before, moments.after)
        gids = changes.changed()
        if not gids:
            return Found(Result.empty(), taken, {}, {})
        if self.asked.plan.per is not None:
            return self._buckets(moments, changes, gids, taken, progress)
        if self.asked.is_own and moments.after == self.newest:
            found_again = self._touched(moments, changes, gids, taken, there)
            if found_again is not None:
                return found_again
        before = self._there_before(moments, changes, gids, there)
        with self._at_second(changes, gids, moments.clocks[1]) as evaluator:
            frame = asked_rows(evaluator, self.asked.plan, set(gids))
            found = identities(evaluator, frame)
            now = {gid: frozenset(identity for identity, _ in found.get(gid, ())) for gid in gids}
            frame = frame.take(np.array(new_places(found, before), np.int64))
            return Found(*self._through_rest(evaluator, frame, taken), now, {})

    def _touched(
        self, moments: Moments, changes: Changes, gids: list[int], taken: tuple[int, ...], there: There
    ) -> Found | None:
        """The new rows among the agents or goals that the new events are about; None where all have to be asked."""
        everyone = sorted({*gids, *sources_of(self.connection, gids)})
        if len(everyone) > WATCH_RUNS_NAMED_MAX or any(gid not in there for gid in self._old(changes, gids)):
            return None
        written = self.round.written(moments.before, moments.after)
        if any(written[gid].turns for gid in gids):
            return None
        relation = self.asked.plan.query.source.relation
        asked = {gid: touched_by(self.connection, relation, gid, written[gid]) for gid in gids}
        named = led_to_by(self.connection, relation, asked)
        if named.size > WATCH_NAMED_MAX:
            return None
        entities = Entities(self.connection, everyone, named)
        evaluator = self._evaluator(entities, changes.last_seqs(everyone, at_first=False), moments.clocks[1])
        frame = asked_rows(evaluator, self.asked.plan, set(gids))
        rows = {
            gid: [(identity, place) for identity, place in found if identity[0] in asked[gid]]
            for gid, found in identities(evaluator, frame).items()
        }
        now = {gid: {identity for identity, _ in rows.get(gid, ())} for gid in gids}
        again = {gid: {(number, 1) for number in numbers} for gid, numbers in asked.items()}
        frame = frame.take(np.array(new_places(rows, there), np.int64))
        return Found(*self._through_rest(evaluator, frame, taken), now, {}, again)

    def rows_there(self, gids: Collection[int]) -> There:
        """The rows of some simulations at the newest moment."""
        return self._identities(Changes({}, {}), list(gids), self.now_us, at_first=False)

    def next_moment(self, before: Vector) -> dict[int, int]:
        """The moment to look at behind another: the newest; of events, so near that their rows fit in memory.

        Where entities have to be made again as they were, a step is not too short either: each reads whole runs.
        """
        if not self.asked.plan.tells_events:
            return self.newest
        near = stop_within(before, self.newest, WATCH_LOOK_EVENTS_MAX)
        if near == self.newest:
            return near
        gids = self.round.changes_between(before, near).changed()
        sources = sources_of(self.connection, gids)
        if sources and len({gid >> 32 for gid in (*sources, *gids)}) > 1:
            return self.newest  # of a fork all is there that its parent had, in whichever shard
        if not gids or self._is_as_it_was(near, gids):
            return near
        behind = sum(position - before.get(shard, 0) for shard, position in self.newest.items())
        return stop_within(before, self.newest, max(WATCH_LOOK_EVENTS_MAX, behind // WATCH_LOOKS_BEHIND))

    def _is_as_it_was(self, moment: Vector, gids: list[int]) -> bool:
        """Whether what the query names of these simulations is now what it was at a moment."""
        return self.newest == moment or (self.asked.is_fixed and not starts_behind(self.round, moment, gids))

    def _events(self, moments: Moments, taken: tuple[int, ...]) -> tuple[Result, tuple[int, ...]]:
        """Events between the moments, with everything as it was at the second."""
        before, after, clocks = moments
        is_newest = self.newest == after
        changes = self.round.changes(before, after) if is_newest else self.round.changes_between(before, after)
        gids = changes.changed()
        if not gids:
            return Result.empty(), taken
        has_moved = not self._is_as_it_was(after, gids)
        if not is_newest and sources_of(self.connection, gids):  # how far these had come is asked, too
            changes = self.round.changes(before, after)
        named = (before, after) if self.asked.is_near else None
        with self._world(changes, gids, clocks[1], at_first=False, has_moved=has_moved, named=named) as evaluator:
            evaluator.world.zones_behind = lambda first: self._zones_between(first, after)
            frame = asked_rows(evaluator, self.asked.plan, set(gids), after=before)
            return self._through_rest(evaluator, frame, taken)

    def _zones_between(self, first: Vector, second: Vector) -> Sequence[Zone]:
        """The zone maps of the blocks that hold a position between two moments."""
        zones = self.round.zones_behind(first)
        if second == self.newest:
            return zones
        return [zone for zone in zones if zone.position_min <= second.get(zone.ref.shard, 0)]

    def _has_no_news(self, before: Vector) -> bool:
        """Whether events are to be told, and the new blocks have none of a kind asked for."""
        kinds = self.asked.plan.query.source.kinds
        if not kinds or not self.asked.plan.tells_events:
            return False
        wanted = Wanted((kinds,))
        texts = {zone.kinds for zone in self.round.zones_behind(before)}
        return not any(wanted.is_wanted(kind) for text in texts for kind in kinds_of(text))

    # -- the moment before ------------------------------------------------------------------------

    def _there_before(self, moments: Moments, changes: Changes, gids: list[int], there: There) -> There:
        """Which rows were there: remembered, or looked up in the log as it was."""
        forgotten = [gid for gid in self._old(changes, gids) if gid not in there]
        found = self._identities(changes, forgotten, moments.clocks[0], at_first=True)
        return {**found, **{gid: there[gid] for gid in gids if gid in there}}

    def _old(self, changes: Changes, gids: list[int]) -> list[int]:
        """The simulations that had written something by the first moment."""
        firsts = own_firsts(self.connection, gids)
        return [gid for gid in gids if changes.behind_first[gid] > firsts[gid]]

    def _identities(self, changes: Changes, gids: list[int], now_us: int, *, at_first: bool) -> There:
        if not gids:
            return {}
        with self._world(changes, gids, now_us, at_first=at_first) as evaluator:
            found = identities(evaluator, asked_rows(evaluator, self.asked.plan, set(gids)))
        return {gid: frozenset(identity for identity, _ in found.get(gid, ())) for gid in gids}

    # -- buckets ----------------------------------------------------------------------------------

    def _buckets(
        self,
        moments: Moments,
        changes: Changes,
        gids: list[int],
        taken: tuple[int, ...],
        remembered: Mapping[int, Progress],
    ) -> Found:
        plan = self.asked.plan
        assert plan.per is not None, "only a query with buckets has some to tell"
        old = self._old(changes, gids)
        forgotten = [gid for gid in old if gid not in remembered]
        before = {gid: remembered[gid] for gid in old if gid in remembered}
        if forgotten:
            before |= progress_between(self.round, {}, moments.before, forgotten)
        came = progress_between(self.round, moments.before, moments.after)
        after = {gid: before.get(gid, Progress()).and_then(came[gid]) for gid in gids}
        is_plain = all(isinstance(stage, (q.Where, q.Select)) for stage in plan.first)
        bounds = still_open(plan.per, [before.get(gid, Progress()) for gid in gids]) if is_plain else {}
        with self._at_second(changes, gids, moments.clocks[1]) as evaluator:
            frame = asked_rows(evaluator, plan, set(gids), bounds=bounds)
            frame = closed_buckets(evaluator, plan.per, frame, before, after)
            return Found(*self._through_rest(evaluator, frame, taken), {}, after)

    # -- what both are made of --------------------------------------------------------------------

    def _through_rest(
        self, evaluator: Evaluator, frame: Frame, taken: tuple[int, ...]
    ) -> tuple[Result, tuple[int, ...]]:
        """New rows through the other stages; a limit lets through what is left of it."""
        plan, counts, limit = self.asked.plan, list(taken), 0
        if not frame.count:
            return Result.empty(evaluator.world.notices.as_texts()), taken
        for stage in plan.rest:
            if isinstance(stage, q.Limit):
                left = max(stage.count - counts[limit], 0)
                frame = frame.take(np.arange(min(left, frame.count)))
                counts[limit] += frame.count
                limit += 1
                continue
            frame, is_ordered = staged(evaluator, stage, frame, True)
            frame = frame if is_ordered else frame.ordered()
        return result_of(evaluator, plan.query, frame), tuple(counts)

    def _at_second(
        self, changes: Changes, gids: list[int], now_us: int
    ) -> contextlib.AbstractContextManager[Evaluator]:
        return self._world(changes, gids, now_us, at_first=False)

    @contextlib.contextmanager
    def _world(
        self,
        changes: Changes,
        gids: list[int],
        now_us: int,
        *,
        at_first: bool,
        has_moved: bool | None = None,
        named: tuple[Vector, Vector] | None = None,
    ) -> Iterator[Evaluator]:
        """Some simulations, and those that have events of theirs, at one of the two moments; nothing else is there."""
        everyone = sorted({*gids, *sources_of(self.connection, gids)})
        lasts = changes.last_seqs(everyone, at_first=at_first)
        if has_moved is None:
            has_moved = changes.has_moved(everyone, since_first=at_first)
        if not has_moved and len(everyone) <= WATCH_RUNS_NAMED_MAX:
            yield self._evaluator(self.round.entities(everyone, named), lasts, now_us)
            return
        self.connection.execute("SAVEPOINT part")
        try:
            if has_moved:
                show_as_they_were(self.connection, self.reader, lasts)
            else:
                show_only(self.connection, everyone)
            there = {gid: lasts[gid] for (gid,) in self.connection.execute("SELECT gid FROM simulations").fetchall()}
            yield self._evaluator(Entities(self.connection), there, now_us)
        finally:
            if self.connection.in_transaction:  # SQLite ends it by itself when the disk is full
                self.connection.execute("ROLLBACK TO part")
                self.connection.execute("RELEASE part")

    def _evaluator(self, entities: Entities, last_seqs: Mapping[int, int], now_us: int) -> Evaluator:
        entities.prefetch = self.asked.columns
        return Evaluator(
            World(
                entities,
                self.reader,
                text=self.asked.plan.query.text,
                now_us=now_us,
                needs=self.asked.needs,
                subset=Subset.of(last_seqs),
                zones_behind=self.round.zones_behind,
            )
        )
