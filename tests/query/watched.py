"""What a watch has to tell, by the rules and in plain Python: over whole prefixes of a store, asked one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from matrix.event import SIMULATION_ENDS, Event
from matrix.query import syntax as q
from matrix.testing.forks import shared_events
from matrix.testing.histories import Shards
from matrix.testing.naive import source_rows, staged
from matrix.testing.naive_conditions import Evaluator, shown
from matrix.testing.naive_groups import aggregated
from matrix.testing.naive_rows import Row
from matrix.testing.plain_values import sort_rank
from matrix.testing.world import Duration, Time, World

Moment = Mapping[int, int]  # by shard, how many events are written
Told = list[dict[str, Any]]


def told_by_rules(query: q.Query, shards: Shards, moments: Sequence[Moment]) -> list[Told]:
    """The rows of each look but the first, which only begins."""
    stages, limits = list(query.stages), [stage.count for stage in query.stages if isinstance(stage, q.Limit)]
    looks = []
    for before, after in pairwise(moments):
        world = World({shard: events[: after.get(shard, 0)] for shard, events in shards.items()})
        evaluator = Evaluator(world, 0)
        first, per, rest = _parts(stages)
        first = [_named(stage) for stage in first]
        rows = _new_rows(query, first, per, shards, before, after, evaluator)
        if any(left == 0 for left in limits):
            rows = []
        limit = 0
        for stage in rest:
            if isinstance(stage, q.Limit):
                rows = rows[: limits[limit]]
                limits[limit] -= len(rows)
                limit += 1
            elif rows:
                rows = staged(evaluator, stage, rows, query.text)
        looks.append([{c.name: shown(evaluator.value(c.expr, (row,))) for c in query.columns} for row in rows])
    return looks


def _parts(stages: Sequence[q.Stage]) -> tuple[Sequence[q.Stage], q.Aggregate | None, Sequence[q.Stage]]:
    for place, stage in enumerate(stages):
        if isinstance(stage, q.Aggregate):
            return stages[:place], stage, stages[place + 1 :]
    count = 0
    while count < len(stages) and isinstance(stages[count], (q.Where, q.Select, q.Match)):
        count += 1
    return stages[:count], None, stages[count:]


def _new_rows(
    query: q.Query,
    first: Sequence[q.Stage],
    per: q.Aggregate | None,
    shards: Shards,
    before: Moment,
    after: Moment,
    evaluator: Evaluator,
) -> list[Row]:
    rows = _asked(query, first, evaluator)
    moved = {
        (shard << 32 | event.simulation, event.seq)
        for shard, events in shards.items()
        for event in events[before.get(shard, 0) : after.get(shard, 0)]
    }
    runs = {gid for gid, _ in moved}
    if per is not None:
        rows = [row for row in rows if row.thing and row.thing.order[0] in runs]
        return list(_closed(per, rows, shards, before, after, evaluator))
    if query.source.relation in (q.Relation.EVENTS, q.Relation.MESSAGES):
        return [row for row in rows if row.thing and row.thing.order in moved]
    earlier = World({shard: events[: before.get(shard, 0)] for shard, events in shards.items()})
    there = Counter(map(_identity, _asked(query, first, Evaluator(earlier, 0))))
    return [row for row in rows if (there.subtract([_identity(row)]) or there[_identity(row)] < 0)]


def _named(stage: q.Stage) -> q.Stage:
    """A match whose steps all have names: then a row says which events it is of."""
    if not isinstance(stage, q.Match):
        return stage
    steps = [replace(step, name=step.name or f"step {i}") for i, step in enumerate(stage.sequence.steps)]
    return replace(stage, sequence=replace(stage.sequence, steps=tuple(steps)))


def _identity(row: Row) -> tuple[Any, ...]:
    """What a row is of: a thing, and the events of a match."""
    assert row.thing is not None
    return row.thing.order, *(step.thing.order for step in row.steps.values() if step and step.thing)


def _asked(query: q.Query, first: Sequence[q.Stage], evaluator: Evaluator) -> list[Row]:
    things = evaluator.world.rows(query.source.relation)
    rows = source_rows(evaluator, query.source, [Row(thing) for thing in things])
    for stage in first:
        rows = staged(evaluator, stage, rows, query.text)
    return rows


# -- buckets --------------------------------------------------------------------------------------


def _closed(
    stage: q.Aggregate, rows: list[Row], shards: Shards, before: Moment, after: Moment, evaluator: Evaluator
) -> Iterator[Row]:
    """The groups of buckets that a run had not passed before and has by now, run by run, then bucket by bucket."""
    assert stage.per is not None
    by_run: dict[int, list[Row]] = {}
    for row in rows:
        assert row.thing is not None
        by_run.setdefault(row.thing.order[0], []).append(row)
    for gid in sorted(by_run):
        kept = [
            replace(row, columns={**row.columns, "@simulation": _simulation(row)})
            for row in by_run[gid]
            if not _is_closed(stage.per, row, _written(shards, gid, before), evaluator)
            and _is_closed(stage.per, row, _written(shards, gid, after), evaluator)
        ]
        groups = [Row(None, columns=columns) for columns in aggregated(evaluator, stage, kept)]
        groups.sort(key=lambda row: (row.columns["time"] is None, _rank(row.columns["time"])))
        yield from groups


def _rank(value: Any) -> Any:
    return () if value is None else sort_rank(value)


def _simulation(row: Row) -> Any:
    assert row.thing is not None
    simulation = row.thing if row.thing.relation == "simulations" else row.thing.fields["simulation"]
    return simulation.id


def _written(shards: Shards, gid: int, moment: Moment) -> list[Event]:
    """What a run had written itself."""
    shard, ordinal = gid >> 32, gid & 0xFFFF_FFFF
    return [event for event in shards[shard][: moment.get(shard, 0)] if event.simulation == ordinal]


def _is_closed(per: q.Per, row: Row, events: list[Event], evaluator: Evaluator) -> bool:
    if any(event.kind in SIMULATION_ENDS for event in events):
        return True
    value = evaluator.value(per.value, (row,))
    if isinstance(value, (Duration, Time)):
        value = value.us
    if value is None or per.unit == "turns" or not events:
        return False
    newest = max(event.time if per.unit == "time" else event.wall for event in events)
    return bool(newest >= value // per.width * per.width + per.width)


# -- pieces ---------------------------------------------------------------------------------------


def in_possible_order(shards: Shards, choose: Any) -> Iterator[int]:
    """The shards in the order in which their events are written: chosen freely, but a fork comes after its parent."""
    written = dict.fromkeys(shards, 0)
    own: dict[tuple[int, int], list[Event]] = {}
    while True:
        ready = []
        for shard, events in shards.items():
            if written[shard] < len(events):
                event = events[written[shard]]
                place = (shard, event.simulation)
                trial = {**own, place: [*own.get(place, []), event]}
                if place in own or shared_events(trial, place) is not None:
                    ready.append(shard)
        if not ready:
            break
        shard = choose(ready)
        event = shards[shard][written[shard]]
        own.setdefault((shard, event.simulation), []).append(event)
        written[shard] += 1
        yield shard
