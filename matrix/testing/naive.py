"""Evaluate a checked query over plain lists of events, row by row: the oracle of the query language.

``answer`` does what ``docs`` of the language say, in the order they say it, with a Python list for the
rows so far and a Python loop for everything. It knows nothing of indexes, blocks or columns and shares
no code with the executor, so that a difference between the two is a bug in one of them.

Only ``watch`` and ``explain``, which are not about the rows that a query has, are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from matrix.errors import UsageError
from matrix.event import Event
from matrix.query import syntax as q
from matrix.testing.naive_causes import walked
from matrix.testing.naive_conditions import Evaluator, shown
from matrix.testing.naive_funnel import funnelled
from matrix.testing.naive_groups import aggregated
from matrix.testing.naive_rows import Row
from matrix.testing.naive_sequences import all_matches
from matrix.testing.naive_shapes import COLUMNS, shaped
from matrix.testing.plain_values import sort_rank
from matrix.testing.reach import reached
from matrix.testing.world import Duration, Thing, World

Shards = Mapping[int, Iterable[Event]]


@dataclass(frozen=True)
class Answer:
    """What a query returns: column names in order, and one plain dict per row."""

    columns: list[str]
    rows: list[dict[str, Any]]


def evaluate(query: q.Query, shards: Shards, *, now: int = 0) -> list[dict[str, Any]]:
    """The rows a checked query has on these events; durations and times are plain microseconds."""
    return answer(query, World(shards), now=now).rows


def answer(query: q.Query, world: World, *, now: int = 0) -> Answer:
    """The columns and rows a checked query has in this world."""
    if query.is_explain or query.is_watch:
        raise UsageError("the naive evaluator neither explains nor watches")
    if query.source.as_of is not None:
        world = world.as_of(query.source.as_of)
    evaluator = Evaluator(world, now)
    rows = source_rows(evaluator, query.source, [Row(thing) for thing in world.rows(query.source.relation)])
    agents: list[Row] | None = None  # those that rows were last reached from
    for stage in query.stages:
        if isinstance(stage, q.Follow) and stage.source is q.Relation.AGENTS:
            agents = rows
        rows = staged(evaluator, stage, rows, query.text)
    shape = next((stage.name for stage in query.stages if isinstance(stage, q.Shape) and stage.name != "table"), "")
    if shape:
        found = shaped(world, shape, rows, agents)
        return Answer(COLUMNS[shape], [{name: shown(value) for name, value in row.items()} for row in found])
    found = [{c.name: shown(evaluator.value(c.expr, (row,))) for c in query.columns} for row in rows]
    return Answer([column.name for column in query.columns], found)


def source_rows(evaluator: Evaluator, source: q.Source, rows: list[Row]) -> list[Row]:
    """Those rows that are of the source's kinds and meet its condition."""
    if source.kinds:
        rows = [row for row in rows if evaluator.is_of_kinds(row, source.kinds)]
    if source.where is not None:
        rows = [row for row in rows if evaluator.holds(source.where, (row,))]
    return rows


def staged(evaluator: Evaluator, stage: q.Stage, rows: list[Row], text: str) -> list[Row]:
    """The rows after one stage of the query with this text."""
    match stage:
        case q.Where(condition=condition):
            return [row for row in rows if evaluator.holds(condition, (row,))]
        case q.Select(columns=columns):
            return [replace(row, columns={c.name: evaluator.value(c.expr, (row,)) for c in columns}) for row in rows]
        case q.Aggregate():
            return [Row(None, columns=columns) for columns in aggregated(evaluator, stage, rows)]
        case q.Funnel():
            return [Row(None, columns=columns) for columns in funnelled(evaluator, stage, rows, text)]
        case q.Sort(keys=keys):
            return sorted_rows(evaluator, keys, rows)
        case q.Limit(count=count):
            return rows[:count]
        case q.Sample(count=count, seed=seed):
            return sampled(rows, count, seed)
        case q.Follow(to=source):
            return source_rows(evaluator, source, followed(evaluator.world, rows, source.relation))
        case q.Match(sequence=sequence):
            return [found for row in rows for found in matched(evaluator, sequence, row)]
        case q.Causes(steps=steps):
            return walked(evaluator.world, rows, "caused by", steps)
        case q.Effects(steps=steps):
            return walked(evaluator.world, rows, "led to", steps)
    assert isinstance(stage, q.Shape), "there are no other stages"
    return rows


def matched(evaluator: Evaluator, sequence: q.Sequence, row: Row) -> list[Row]:
    """A row for each match of a row: its times are columns, and its named events are there for later stages."""
    found = []
    for match in all_matches(evaluator, sequence, (row,)):
        start, end = (match.entries[place].event.time for place in (0, -1))
        times = {"start": Duration(start), "end": Duration(end), "duration": Duration(match.duration)}
        found.append(replace(row, columns=times, steps=match.steps))
    return found


def sorted_rows(evaluator: Evaluator, keys: tuple[q.SortKey, ...], rows: list[Row]) -> list[Row]:
    """Stable, by the first key first; missing values last either way."""
    for key in reversed(keys):
        valued = [(evaluator.value(key.expr, (row,)), row) for row in rows]
        present = [(value, row) for value, row in valued if value is not None]
        present.sort(key=lambda pair: sort_rank(pair[0]), reverse=key.is_descending)
        rows = [row for _, row in present] + [row for value, row in valued if value is None]
    return rows


def sampled(rows: list[Row], count: int, seed: int) -> list[Row]:
    """The rows whose hash of (seed, id) is smallest, in the order they had."""

    def rank(numbered: tuple[int, Row]) -> tuple[int, int]:
        number, row = numbered
        assert row.thing is not None, "only rows of a relation have an id"
        thing = row.thing
        name = f"{thing.order[0]}:{thing.id}" if thing.relation == "agents" else thing.id  # by the simulation's gid
        digest = blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little"), number

    chosen = sorted(enumerate(rows), key=rank)[:count]
    return [row for _, row in sorted(chosen, key=lambda numbered: numbered[0])]


def followed(world: World, rows: list[Row], relation: q.Relation) -> list[Row]:
    """Every row of a relation reached from any of the rows, once; seen by those agents that reach it."""
    viewers: dict[Thing, set[int]] = {}
    for row in rows:
        assert row.thing is not None, "rows are reached from rows of a relation"
        for thing in reached(world, row.thing, relation):
            seen_by = viewers.setdefault(thing, set())
            if row.thing.relation == "agents":
                seen_by.add(row.thing.number)
    return [Row(thing, frozenset(viewers[thing])) for thing in world.rows(relation) if thing in viewers]
