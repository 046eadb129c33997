"""The aggregate stage: rows into groups, one row of columns per group.

Groups come in ascending order of their keys, then of the bucket, a missing one last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.aggregate import aggregate, counted
from matrix.query.engine.frame import Frame, NoTable, Scope
from matrix.query.engine.order import groups
from matrix.query.engine.quantify import note_unfit
from matrix.query.engine.value import Array, Lane, Type, Value

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator

_ORDERED = ("first", "last")


class Groups(NoTable):
    """Rows that are groups."""


def grouped(evaluator: Evaluator, stage: q.Aggregate, frame: Frame) -> Frame:
    """One row per group: the keys, ``time`` with ``per``, and the aggregates."""
    scope = Scope((frame,))
    keys = {column.name: evaluator.value(column.expr, scope) for column in stage.keys}
    if stage.per is not None:
        keys["time"] = bucket(evaluator.value(stage.per.value, scope), stage.per.width)
    if keys:
        codes, firsts = groups(list(keys.values()), frame.count)
        count = len(firsts)
    else:
        codes, firsts, count = np.zeros(frame.count, np.int64), np.empty(0, np.int64), 1
    columns = {name: value.take(firsts) for name, value in keys.items()}
    for column in stage.values:
        columns[column.name] = _over_groups(evaluator, column.expr, scope, codes, count)
    return Frame(Groups(count), columns=columns)


def needs_order(stage: q.Aggregate) -> bool:
    """Whether the order of the rows matters to the aggregates."""
    return any(isinstance(node, q.AggregateCall) and node.function in _ORDERED for node in q.walk(stage))


def bucket(value: Value, width: int) -> Value:
    """The beginning of the bucket each value falls into."""
    lanes = [
        Lane(lane.type, lane.values // width * width, lane.present)
        for lane in value.lanes
        if lane.type in (Type.INT, Type.DURATION, Type.TIME, Type.FLOAT)
    ]
    return Value(value.count, tuple(lanes))


def _over_groups(evaluator: Evaluator, expr: q.Expr, scope: Scope, codes: Array, count: int) -> Value:
    """A value of each group: its aggregates first, then the arithmetic between them."""
    given = {
        id(node): _call(evaluator, node, scope, codes, count)
        for node in q.walk(expr)
        if isinstance(node, q.AggregateCall)
    }
    return evaluator.value(expr, Scope((Frame(Groups(count)),), given))


def _call(evaluator: Evaluator, call: q.AggregateCall, scope: Scope, codes: Array, count: int) -> Value:
    if call.function == "count":
        mask = np.ones(scope.count, bool) if call.argument is None else evaluator.holds(call.argument, scope)
        return counted(mask, codes, count)
    assert call.argument is not None, "only count has no argument"
    value = evaluator.value(call.argument, scope)
    relation = scope.frames[0].table.relation
    note_unfit(evaluator, call.function, value, call.argument, "rows" if relation is None else str(relation))
    nothing = Type.DURATION if call.argument.type is q.Type.DURATION else Type.INT
    return aggregate(call.function, value, codes, count, percentile=call.percentile, nothing=nothing)
