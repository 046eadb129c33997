"""Counts of events by kind, which the index's catalogue knows without reading a block."""

from __future__ import annotations

import sqlite3

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.frame import Frame
from matrix.query.engine.groups import Groups
from matrix.query.engine.value import Type, Value, text_array


def kind_counts(query: q.Query, connection: sqlite3.Connection) -> Frame | None:
    """The groups of ``events … | count [by kind]``, which the catalogue knows; None for any other query."""
    source, stage = query.source, query.stages[0] if query.stages else None
    if source.relation is not q.Relation.EVENTS or source.where is not None or not isinstance(stage, q.Aggregate):
        return None
    if stage.per is not None or not all(_is_kind(column.expr) for column in stage.keys) or len(stage.keys) > 1:
        return None
    if not all(_is_count(column.expr) for column in stage.values):
        return None
    found = connection.execute("SELECT kind, events FROM kinds ORDER BY kind").fetchall()
    rows = [(k, n) for k, n in found if not source.kinds or any(pattern.matches(k) for pattern in source.kinds)]
    counts = np.array([count for _, count in rows], np.int64)
    if not stage.keys:
        counts = counts.sum(keepdims=True)
    columns = {column.name: Value.of(Type.TEXT, text_array([kind for kind, _ in rows])) for column in stage.keys}
    columns.update({column.name: Value.of(Type.INT, counts) for column in stage.values})
    return Frame(Groups(len(counts)), columns=columns)


def _is_kind(expr: q.Expr) -> bool:
    return isinstance(expr, q.Field) and expr.name == "kind" and not expr.links


def _is_count(expr: q.Expr) -> bool:
    return isinstance(expr, q.AggregateCall) and expr.function == "count" and expr.argument is None
