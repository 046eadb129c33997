"""The aggregate stage right behind a scan: batch after batch becomes a few groups, and no row is kept.

A `Piece` is what one batch of rows comes to: its groups' keys, and for each aggregate what it takes to
put pieces together (a sum and a number of values for an average). Pieces of 50 million events are as
small as the answer; only percentiles, medians and different values keep something of each row, and that
is its group and its value. Putting pieces together is aggregating once more: sums are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.aggregate import aggregate, different
from matrix.query.engine.coding import group_rows
from matrix.query.engine.combine import concat
from matrix.query.engine.events import EventTable
from matrix.query.engine.frame import Frame, Scope
from matrix.query.engine.groups import Grouping, Groups, argument_of, counted, grouping, nothing_of
from matrix.query.engine.moments import Moments, deviation_of, mean_of, moments, sizes_of
from matrix.query.engine.rows import each_frame, is_local
from matrix.query.engine.value import Array, Type, Value

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator


_READ = (q.Relation.EVENTS, q.Relation.MESSAGES)


@dataclass(frozen=True, slots=True)
class Piece:
    """The groups of some rows: their keys, and of each aggregate call (by identity) its state."""

    count: int
    keys: Mapping[str, Value]
    states: Mapping[int, State]


class State(NamedTuple):
    """What an aggregate knows of the rows of a piece: one entry for each group, or for some values their group."""

    values: tuple[Value, ...]
    groups: Array | None = None  # None: entry i belongs to group i


class Way(NamedTuple):
    """How an aggregate is worked out in pieces: the state of some rows, and the result of all states."""

    state: Callable[[q.AggregateCall, Value, Grouping], State]
    result: Callable[[q.AggregateCall, tuple[Value, ...], Array, int], Value]


def grouped_while_read(evaluator: Evaluator, source: q.Source, stages: Sequence[q.Stage]) -> tuple[Frame, int] | None:
    """The groups of an aggregate right behind the source, and how many stages that were; None when it has to wait.

    It can be done when one event at a time decides everything up to the aggregate, whatever their order.
    """
    conditions = [] if source.where is None else [source.where]
    place = 0
    while place < len(stages) and isinstance(where := stages[place], q.Where):
        conditions.append(where.condition)
        place += 1
    stage = stages[place] if place < len(stages) else None
    if not isinstance(stage, q.Aggregate) or not in_pieces(stage) or source.relation not in _READ:
        return None
    if not all(is_local(part) for part in (*conditions, stage)):
        return None
    condition = q.And(source.span, tuple(conditions)) if conditions else None
    make = partial(piece_of, evaluator, stage)
    pieces = list(each_frame(evaluator, source.relation, source.kinds, condition, make))
    none = Frame(EventTable(evaluator.world, source.relation, []))
    return put_together(evaluator, stage, [p for p in pieces if p.count] or [make(none)]), place + 1


def in_pieces(stage: q.Aggregate) -> bool:
    """Whether all aggregates of a stage can be worked out in pieces: those that go by the order of rows cannot."""
    return all(node.function in _WAYS for node in q.walk(stage) if isinstance(node, q.AggregateCall))


def piece_of(evaluator: Evaluator, stage: q.Aggregate, frame: Frame) -> Piece:
    """What some rows come to."""
    scope = Scope((frame,))
    found = grouping(evaluator, stage, scope)
    states = {}
    for column in stage.values:
        for call in q.walk(column.expr):
            if isinstance(call, q.AggregateCall):
                states[id(call)] = _state(evaluator, call, scope, found)
    return Piece(found.count, found.keys, states)


def _state(evaluator: Evaluator, call: q.AggregateCall, scope: Scope, found: Grouping) -> State:
    if call.function == "count":
        return State((counted(evaluator, call, scope, found),))
    return _WAYS[call.function].state(call, argument_of(evaluator, call, scope), found)


def put_together(evaluator: Evaluator, stage: q.Aggregate, pieces: Sequence[Piece]) -> Frame:
    """The groups of all rows; there is at least one piece, be it of no rows."""
    keys = {name: concat([piece.keys[name] for piece in pieces]) for name in pieces[0].keys}
    total = sum(piece.count for piece in pieces)
    if keys:
        codes, sizes, values = group_rows(list(keys.values()), total)
        columns, count = dict(zip(keys, values, strict=True)), len(sizes)
    else:
        codes, columns, count = np.zeros(total, np.int64), {}, 1
    starts = np.cumsum([0, *(piece.count for piece in pieces)])
    for column in stage.values:
        given = {
            id(call): _result(call, [piece.states[id(call)] for piece in pieces], codes, starts, count)
            for call in q.walk(column.expr)
            if isinstance(call, q.AggregateCall)
        }
        columns[column.name] = evaluator.value(column.expr, Scope((Frame(Groups(count)),), given))
    return Frame(Groups(count), columns=columns)


def _result(call: q.AggregateCall, states: Sequence[State], codes: Array, starts: Array, count: int) -> Value:
    owners = [
        codes[start:end] if state.groups is None else codes[start + state.groups]
        for state, start, end in zip(states, starts[:-1], starts[1:], strict=True)
    ]
    values = tuple(concat(columns) for columns in zip(*(state.values for state in states), strict=True))
    return _WAYS[call.function].result(call, values, np.concatenate(owners), count)


# -- the ways --------------------------------------------------------------------------------------


def _summed(call: q.AggregateCall, value: Value, found: Grouping) -> State:
    return State((aggregate("sum", value, found.codes, found.count, nothing=nothing_of(call)),))


def _sum(call: q.AggregateCall, values: tuple[Value, ...], codes: Array, count: int) -> Value:
    return aggregate("sum", values[0], codes, count, nothing=nothing_of(call), is_nan_left_out=False)


def _end(call: q.AggregateCall, value: Value, found: Grouping) -> State:
    return State((aggregate(call.function, value, found.codes, found.count),))


def _end_of_all(call: q.AggregateCall, values: tuple[Value, ...], codes: Array, count: int) -> Value:
    return aggregate(call.function, values[0], codes, count)


def _totals(call: q.AggregateCall, value: Value, found: Grouping) -> State:
    sizes = sizes_of(value, found.codes, found.count)
    return State((*_summed(call, value, found).values, Value.of(Type.INT, sizes)))


def _mean(call: q.AggregateCall, values: tuple[Value, ...], codes: Array, count: int) -> Value:
    return mean_of(_sum(call, values[:1], codes, count), _whole(values[1], codes, count))


def _moments(call: q.AggregateCall, value: Value, found: Grouping) -> State:
    sizes, mean, squares = moments(value, found.codes, found.count)
    return State((Value.of(Type.INT, sizes), Value.of(Type.FLOAT, mean), Value.of(Type.FLOAT, squares)))


def _deviation(call: q.AggregateCall, values: tuple[Value, ...], codes: Array, count: int) -> Value:
    sizes, mean, squares = (value.lanes[0].spread(value.count).values for value in values)
    assert call.argument is not None, "a deviation is of something"
    return deviation_of(Moments(sizes, mean, squares), codes, count, _TYPES.get(call.argument.type, Type.FLOAT))


def _whole(value: Value, codes: Array, count: int) -> Array:
    numbers = value.lanes[0].spread(value.count).values
    return np.bincount(codes, numbers, minlength=count).astype(np.int64)


def _kept(call: q.AggregateCall, value: Value, found: Grouping) -> State:
    """Every value, with its group: nothing less will do."""
    rows = np.flatnonzero(value.present())
    return State((value.take(rows, is_whole=True),), found.codes[rows].astype(np.int32))


def _from_kept(call: q.AggregateCall, values: tuple[Value, ...], codes: Array, count: int) -> Value:
    return aggregate(call.function, values[0], codes, count, percentile=call.percentile, nothing=nothing_of(call))


def _different(call: q.AggregateCall, value: Value, found: Grouping) -> State:
    rows = different(value, found.codes)
    return State((value.take(rows, is_whole=True),), found.codes[rows].astype(np.int32))


def _counts(call: q.AggregateCall, values: tuple[Value, ...], codes: Array, count: int) -> Value:
    return Value.of(Type.INT, _whole(values[0], codes, count))


_TYPES = {q.Type.DURATION: Type.DURATION, q.Type.TIME: Type.TIME}
_WAYS: dict[str, Way] = {
    "count": Way(_summed, _counts),  # its state has a condition and no value: see _state
    "sum": Way(_summed, _sum),
    "min": Way(_end, _end_of_all),
    "max": Way(_end, _end_of_all),
    "avg": Way(_totals, _mean),
    "stddev": Way(_moments, _deviation),
    "median": Way(_kept, _from_kept),
    "percentile": Way(_kept, _from_kept),
    "distinct": Way(_different, _from_kept),
}
