"""Execute a checked query: the first relation's rows, then stage after stage, then Arrow.

    >>> execute(check("agents where goal succeeded | count by role"), source).rows()   # doctest: +SKIP
    [{'role': 'buyer', 'count': 812}, {'role': 'seller', 'count': 340}]

The index is brought up to the newest committed block first, and read in one transaction. A segment
may be compacted while a query reads it; then the query starts again, on the new blocks.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa

from matrix.errors import QueryError, StoreError
from matrix.limits import QUERY_BATCH_EVENTS_MAX, QUERY_RETRIES_MAX
from matrix.log.reader import StaleBlock
from matrix.query import syntax as q
from matrix.query.engine.catalogue import kind_counts
from matrix.query.engine.entities import TABLES
from matrix.query.engine.evaluate import Evaluator
from matrix.query.engine.events import EventTable
from matrix.query.engine.frame import Frame, Scope
from matrix.query.engine.funnel import funnelled
from matrix.query.engine.groups import grouped, needs_order
from matrix.query.engine.kept import kept_entities
from matrix.query.engine.moment import cut_at, cut_at_positions
from matrix.query.engine.needs import early_needs, entity_columns, is_whole_data, needs_of, past_columns
from matrix.query.engine.output import ArrowColumn, arrow_column, json_column
from matrix.query.engine.pieces import grouped_while_read
from matrix.query.engine.pipeline import followed, sampled, sorted_rows
from matrix.query.engine.pushdown import is_closed, restriction
from matrix.query.engine.quantify import narrowed_table
from matrix.query.engine.rows import read_rows
from matrix.query.engine.scan import Needs, filled
from matrix.query.engine.sequences import matched
from matrix.query.engine.shapes import SHAPES
from matrix.query.engine.unknown import unknown_names
from matrix.query.engine.walks import walked
from matrix.query.engine.world import World
from matrix.query.explain import explain
from matrix.query.result import Result

if TYPE_CHECKING:
    import sqlite3

    from matrix.query.engine.scan import Source

Told = TypeVar("Told")


def execute(
    query: q.Query, source: Source, *, now_us: int | None = None, positions: Mapping[int, int] | None = None
) -> Result:
    """The rows a checked query has in a store; ``now_us`` is what ``now`` means, else the clock.

    With ``positions`` the store is seen as it was when each shard had got to that position; a shard that is not among
    them had not begun.
    """

    def answered(evaluator: Evaluator) -> Result:
        return explain(query, evaluator.world, answer) if query.is_explain else answer(query, evaluator)

    return asked(query, source, answered, now_us=now_us, positions=positions)


def asked(
    query: q.Query,
    source: Source,
    told: Callable[[Evaluator], Told],
    *,
    now_us: int | None = None,
    positions: Mapping[int, int] | None = None,
) -> Told:
    """What is told of a query in its world, which is the newest moment of the store, in one transaction."""
    nodes = list(q.walk(query))
    _refuse_watch(query)
    moment = time.time_ns() // 1000 if now_us is None else now_us
    for _ in range(QUERY_RETRIES_MAX):
        source.refresh()
        try:
            with one_moment(source.connection):
                return told(Evaluator(_world(query, nodes, source, moment, positions)))
        except StaleBlock:
            continue  # compacted under our feet: the index has the new blocks after a refresh
    raise StoreError(f"the log was rewritten {QUERY_RETRIES_MAX} times while the query read it; ask again")


def _refuse_watch(query: q.Query) -> None:
    """A watch is not answered once; what its rows would be so far may be explained."""
    if query.is_watch and not query.is_explain:
        start = query.text.rindex("watch", 0, query.source.span[0])
        raise QueryError(
            "a watch goes on for ever, and this asks for one answer",
            code="not-one-answer",
            text=query.text,
            start=start,
            end=start + len("watch"),
            hint="from Python: store.watch(…), or matrix watch; leave out the word for what is there by now",
        )


def _world(
    query: q.Query, nodes: Sequence[q.Node], source: Source, now_us: int, positions: Mapping[int, int] | None
) -> World:
    """The store as the query sees it: whole, or cut at a moment."""
    columns = entity_columns(nodes)
    as_of = query.source.as_of
    is_whole = as_of is None and positions is None
    entities = kept_entities(source, columns if is_whole else {})
    cut = None
    if positions is not None:
        assert as_of is None, "who gives positions looks at one moment already"
        cut = cut_at_positions(positions, entities, source.reader)
    elif as_of is not None:
        cut = cut_at(as_of, entities, source.reader)
    if cut is not None and cut.is_whole:  # nothing is behind the moment, so the index knows
        cut, entities = None, kept_entities(source, columns)
    needs = needs_of(query, nodes)
    world = World(
        entities, source.reader, text=query.text, now_us=now_us, needs=needs, cut=cut, columns=past_columns(nodes)
    )
    world.notices.others.extend(unknown_names(source.connection, nodes))
    world.notices.others.extend(entities.incomplete_forks)
    if as_of is not None and as_of.by == "event" and cut is not None and not len(cut.rows):
        world.notices.others.append(f'no event "{as_of.value}" in this store: nothing is left of it')
    return world


@contextlib.contextmanager
def one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """One read transaction: what other processes write to the index meanwhile is not seen."""
    is_ours = not connection.in_transaction
    if is_ours:
        connection.execute("BEGIN")
    try:
        yield
    finally:
        if is_ours:
            connection.execute("ROLLBACK")


def answer(query: q.Query, evaluator: Evaluator) -> Result:
    """The rows of a query in the world of an evaluator, as a table."""
    return result_of(evaluator, query, rows_of(query, evaluator))


def rows_of(query: q.Query, evaluator: Evaluator) -> Frame:
    """The rows of a query in the world of an evaluator, in order."""
    world = evaluator.world
    counts = kind_counts(query, world.connection) if world.cut is None else None
    stages = _stages(query)
    early = early_needs(query, stages)
    grouped = (counts, 1) if counts is not None else None
    with evaluator.at(query.source):
        if grouped is None and not evaluator.tells_rows:
            grouped = grouped_while_read(evaluator, query.source, stages)
        frame, done_before = grouped or (_first_rows(evaluator, query, stages, early), 0)
    is_ordered = done_before > 0
    for stage in stages[done_before:]:
        if not is_ordered and not _keeps_order(stage):
            frame, is_ordered = frame.ordered(), True
        with evaluator.at(stage, frame) as done:
            frame, is_ordered = staged(evaluator, stage, frame, is_ordered)
            done(frame)
        if early is not None and isinstance(stage, (q.Limit, q.Sample)):
            frame, early = _filled(world, frame), None
    return frame if is_ordered else frame.ordered()


def _stages(query: q.Query) -> list[q.Stage]:
    """The stages; a limit goes before the select it follows, so that only those rows are evaluated."""
    stages = list(query.stages)
    for place in range(1, len(stages)):
        if isinstance(stages[place], q.Limit) and isinstance(stages[place - 1], q.Select):
            stages[place - 1], stages[place] = stages[place], stages[place - 1]
    return stages


def _filled(world: World, frame: Frame) -> Frame:
    """The few rows that were chosen, with the columns that the rest of the query needs."""
    frame = narrowed_table(frame)
    assert isinstance(frame.table, EventTable), "only events bring their columns later"
    return replace(frame, table=filled(world, frame.table))


def _first_rows(evaluator: Evaluator, query: q.Query, stages: Sequence[q.Stage], early: Needs | None) -> Frame:
    """The rows of the query's first relation: chosen by SQLite alone where it can decide the condition."""
    first = query.source
    if evaluator.world.cut is not None:  # the index knows only how things are now
        return read_rows(evaluator, first.relation, first.kinds, first.where, needs=early)
    kind = TABLES.get(first.relation)
    if kind is not None and first.where is not None and is_closed(query):
        only = restriction(first.relation, first.where)
        if only is not None:
            tables = evaluator.world.tables
            later = [node for part in (*query.stages, *query.columns) for node in q.walk(part)]
            tables.prefetch = entity_columns(later)  # what the condition alone names stays in SQLite
            return Frame(tables.table(kind, only))
    if kind is None and stages and isinstance(stages[0], q.Limit):
        if first.relation is q.Relation.EVENTS and not first.kinds and first.where is None:
            return _first_events(evaluator, stages[0].count, early)
        found = _from_the_first_simulations(evaluator, first, stages[0].count, early)
        if found is not None:
            return found
    return read_rows(evaluator, first.relation, first.kinds, first.where, needs=early)


def _first_events(evaluator: Evaluator, count: int, needs: Needs | None) -> Frame:
    """At least the first ``count`` events of the store: no others are looked at than those of the first simulations."""
    simulations = evaluator.world.simulations
    enough = int(np.searchsorted(np.cumsum(simulations.array("events")), count)) + 1
    rows = np.arange(min(enough, simulations.count))
    return read_rows(evaluator, q.Relation.EVENTS, (), None, simulations=rows, bounds={"seq": (1, count)}, needs=needs)


def _from_the_first_simulations(evaluator: Evaluator, first: q.Source, count: int, needs: Needs | None) -> Frame | None:
    """The rows of as many simulations as a batch holds, if ``count`` are among them: no other row comes before."""
    if first.relation is q.Relation.CONVERSATIONS:
        return None  # which are made of all messages
    ends = np.cumsum(evaluator.world.simulations.array("events"))
    some = int(np.searchsorted(ends, QUERY_BATCH_EVENTS_MAX)) + 1
    if some >= len(ends):
        return None
    frame = read_rows(evaluator, first.relation, first.kinds, first.where, simulations=np.arange(some), needs=needs)
    return frame if frame.count >= count else None


def _keeps_order(stage: q.Stage) -> bool:
    """Whether a stage can take rows before they are ordered."""
    return isinstance(stage, (q.Where, q.Select, q.Follow, q.Causes, q.Effects, q.Funnel)) or (
        isinstance(stage, q.Aggregate) and not needs_order(stage)
    )


def staged(evaluator: Evaluator, stage: q.Stage, frame: Frame, is_ordered: bool) -> tuple[Frame, bool]:
    """The rows after one stage, and whether they are in order."""
    match stage:
        case q.Where(condition=condition):
            return frame.keep(evaluator.holds(condition, Scope((frame,)))), is_ordered
        case q.Select(columns=columns):
            values = {column.name: evaluator.value(column.expr, Scope((frame,))) for column in columns}
            return replace(frame, columns=values), is_ordered
        case q.Aggregate():
            return grouped(evaluator, stage, frame), True
        case q.Sort(keys=keys):
            return sorted_rows(evaluator, keys, frame), True
        case q.Limit(count=count):
            return (frame.take(np.arange(count)) if count < frame.count else frame), True
        case q.Sample(count=count, seed=seed):
            return sampled(frame, count, seed), True
        case q.Match():
            return matched(evaluator, stage.sequence, frame), True
        case q.Funnel():
            return funnelled(evaluator, stage, frame), True
        case q.Follow(to=source):
            return followed(evaluator, frame, source), False
        case q.Causes() | q.Effects():
            return walked(evaluator, stage, frame), True
        case q.Shape(name=name) if name != "table":
            return SHAPES[name](evaluator, stage, frame), True
    assert isinstance(stage, q.Shape), f"{type(stage).__name__} was refused before"
    return frame, is_ordered


def result_of(evaluator: Evaluator, query: q.Query, frame: Frame) -> Result:
    scope = Scope((frame,))
    columns = _columns(evaluator, query.columns, scope)
    schema = pa.schema([column.field for column in columns])
    table = pa.Table.from_arrays([column.values for column in columns], schema=schema)
    if not columns:
        table = pa.table({})
    exact = {column.field.name: column.exact for column in columns if column.exact is not None}
    return Result(table, evaluator.world.notices.as_texts(), exact)


def _columns(evaluator: Evaluator, columns: Sequence[q.Column], scope: Scope) -> list[ArrowColumn]:
    """The columns of a result. The largest is made first, and what one was made of is let go before the next."""
    frame = scope.frames[0]
    made: dict[int, ArrowColumn] = {}
    for place in sorted(range(len(columns)), key=lambda place: not is_whole_data(columns[place].expr)):
        with frame.table.forgetting() if isinstance(frame.table, EventTable) else contextlib.nullcontext():
            made[place] = _column(evaluator, columns[place], frame, scope)
    return [made[place] for place in range(len(columns))]


def _column(evaluator: Evaluator, column: q.Column, frame: Frame, scope: Scope) -> ArrowColumn:
    if is_whole_data(column.expr) and isinstance(frame.table, EventTable):
        found = frame.table.data_texts(frame.rows)
        if found is not None:
            return json_column(column.name, found)
    return arrow_column(column, evaluator.value(column.expr, scope))
