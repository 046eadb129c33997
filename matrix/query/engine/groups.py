"""The aggregate stage: rows into groups, one row of columns per group.

Groups come in ascending order of their keys, then of the bucket, a missing one last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.aggregate import aggregate, number_of
from matrix.query.engine.coding import group_rows
from matrix.query.engine.frame import Frame, NoTable, Scope
from matrix.query.engine.quantify import note_unfit
from matrix.query.engine.value import Array, Lane, Type, Value

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator

_ORDERED = ("first", "last")


class Groups(NoTable):
    """Rows that are groups."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """The group of each row, how many rows each group has, and its keys: the bucket is the key ``time``."""

    codes: Array
    sizes: Array
    keys: dict[str, Value]

    @property
    def count(self) -> int:
        return len(self.sizes)


def grouping(evaluator: Evaluator, stage: q.Aggregate, scope: Scope) -> Grouping:
    """The groups of the rows."""
    keys = {column.name: evaluator.value(column.expr, scope) for column in stage.keys}
    if stage.per is not None:
        keys["time"] = bucket(evaluator.value(stage.per.value, scope), stage.per.width)
    if not keys:
        return Grouping(np.zeros(scope.count, np.int64), np.array([scope.count]), {})
    found = group_rows(list(keys.values()), scope.count)
    values = dict(zip(keys, found.keys, strict=True))
    if stage.per is not None:
        values["time"] = _begun(values["time"], stage.per.width)
    return Grouping(found.codes, found.sizes, values)


def grouped(evaluator: Evaluator, stage: q.Aggregate, frame: Frame) -> Frame:
    """One row per group: the keys, ``time`` with ``per``, and the aggregates."""
    scope = Scope((frame,))
    found = grouping(evaluator, stage, scope)
    columns = dict(found.keys)
    for column in stage.values:
        columns[column.name] = _over_groups(evaluator, column.expr, scope, found)
    return Frame(Groups(found.count), columns=columns)


def needs_order(stage: q.Aggregate) -> bool:
    """Whether the order of the rows matters to the aggregates."""
    return any(isinstance(node, q.AggregateCall) and node.function in _ORDERED for node in q.walk(stage))


def bucket(value: Value, width: int) -> Value:
    """The number of the bucket each value falls into."""
    return _of_quantities(value, lambda values: values // width)


def _begun(value: Value, width: int) -> Value:
    """Where buckets of these numbers begin."""
    return _of_quantities(value, lambda values: values * width)


def _of_quantities(value: Value, function: Callable[[Array], Array]) -> Value:
    types = (Type.INT, Type.DURATION, Type.TIME, Type.FLOAT)
    lanes = (Lane(lane.type, function(lane.values), lane.present) for lane in value.lanes if lane.type in types)
    return Value(value.count, tuple(lanes))


def _over_groups(evaluator: Evaluator, expr: q.Expr, scope: Scope, found: Grouping) -> Value:
    """A value of each group: its aggregates first, then the arithmetic between them."""
    given = {
        id(node): _call(evaluator, node, scope, found) for node in q.walk(expr) if isinstance(node, q.AggregateCall)
    }
    return evaluator.value(expr, Scope((Frame(Groups(found.count)),), given))


def _call(evaluator: Evaluator, call: q.AggregateCall, scope: Scope, found: Grouping) -> Value:
    if call.function == "count":
        return counted(evaluator, call, scope, found)
    value, nothing = argument_of(evaluator, call, scope), nothing_of(call)
    return aggregate(call.function, value, found.codes, found.count, percentile=call.percentile, nothing=nothing)


def counted(evaluator: Evaluator, call: q.AggregateCall, scope: Scope, found: Grouping) -> Value:
    """How many rows of each group there are, or meet the condition."""
    if call.argument is None:
        return Value.of(Type.INT, found.sizes)
    return number_of(evaluator.holds(call.argument, scope), found.codes, found.count)


def argument_of(evaluator: Evaluator, call: q.AggregateCall, scope: Scope) -> Value:
    """What an aggregate is of, for each row; what it leaves out is counted for a notice."""
    assert call.argument is not None, "only count has no argument"
    value = evaluator.value(call.argument, scope)
    relation = scope.frames[0].table.relation
    note_unfit(evaluator, call.function, value, call.argument, "rows" if relation is None else str(relation))
    return value


def nothing_of(call: q.AggregateCall) -> Type:
    """What a sum of no values is: a number or a duration."""
    return Type.DURATION if call.argument is not None and call.argument.type is q.Type.DURATION else Type.INT
