"""Quantifiers, counting and aggregates over the rows reached from each row.

The inner rows are found and filtered once. When their condition needs the outer row as well (an alias,
or a message's other party), it is tried on pairs of outer and inner rows, some at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matrix.limits import QUERY_PAIRS_MAX
from matrix.query import syntax as q
from matrix.query.engine.aggregate import aggregate, unfit
from matrix.query.engine.events import EventTable
from matrix.query.engine.frame import Frame, Scope
from matrix.query.engine.reach import Join, join, seen_by, simulation_rows
from matrix.query.engine.rows import conjuncts, mentions_outer, read_rows
from matrix.query.engine.value import NAMES, Array, Type, Value, distinct

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator


class Found(NamedTuple):
    """Inner rows with the group each belongs to; ``of_outer`` says which group is an outer row's (-1: none)."""

    inner: Scope
    codes: Array
    groups: int
    of_outer: Array


def quantified(evaluator: Evaluator, expr: q.Quantified, scope: Scope) -> Array:
    """For which rows the number of rows reached is within the quantity asked for."""
    found = related_rows(evaluator, expr.related, None, scope)
    counts = np.append(np.bincount(found.codes, minlength=found.groups), 0)[found.of_outer]
    mask: Array = counts >= expr.at_least
    return mask if expr.at_most is None else mask & (counts <= expr.at_most)


def related_aggregate(evaluator: Evaluator, expr: q.RelatedAggregate, scope: Scope) -> Value:
    """An aggregate of the rows reached from each row."""
    found = related_rows(evaluator, expr.related, expr.argument, scope)
    if expr.argument is None:
        counts = np.append(np.bincount(found.codes, minlength=found.groups), 0).astype(np.int64)
        return Value.of(Type.INT, counts[found.of_outer])
    value = evaluator.value(expr.argument, found.inner)
    note_unfit(evaluator, expr.function, value, expr.argument, str(expr.related.relation))
    nothing = Type.DURATION if expr.argument.type is q.Type.DURATION else Type.INT
    # one group more than there are: the one of rows that reach nothing
    values = aggregate(expr.function, value, found.codes, found.groups + 1, percentile=expr.percentile, nothing=nothing)
    return values.take(np.where(found.of_outer < 0, found.groups, found.of_outer))


def note_unfit(evaluator: Evaluator, function: str, value: Value, argument: q.Expr, rows: str) -> None:
    """Count what an aggregate leaves out because it is no number."""
    notices, place, start = evaluator.world.notices, evaluator.place(argument), argument.span[0]
    for type, mask in unfit(function, value):
        if mask.any():
            notices.unlike(rows, NAMES[type], place, start, int(mask.sum()))


def related_rows(evaluator: Evaluator, related: q.Related, argument: q.Expr | None, scope: Scope) -> Found:
    """The rows reached, filtered, each with its group; in the order of their relation within a group."""
    outer = scope.frames[0]
    items = conjuncts(related.where)
    on_inner = [item for item in items if not mentions_outer(item)]
    on_pairs = [item for item in items if mentions_outer(item)]
    condition = q.And(related.span, tuple(on_inner)) if on_inner else None
    simulations = distinct(simulation_rows(outer))
    inner = read_rows(evaluator, related.relation, related.kinds, condition, simulations=simulations).ordered()
    inner = narrowed_table(inner)
    joined = join(evaluator.world, outer, inner)
    if on_pairs or (argument is not None and mentions_outer(argument)):
        return _on_pairs(evaluator, related, on_pairs, scope, inner, joined)
    ordered = joined.ordered()
    return Found(Scope((inner.take(ordered.inner),)), ordered.hubs, joined.hub_count, joined.outer)


def narrowed_table(frame: Frame) -> Frame:
    """The same rows as the whole of a table, where the table can be cut: joins look at whole tables."""
    if frame.rows is None or not isinstance(frame.table, EventTable):
        return frame
    rows = np.sort(frame.rows)
    places = None if np.array_equal(rows, frame.rows) else np.searchsorted(rows, frame.rows)
    return replace(frame, table=frame.table.narrow(rows), rows=places)


def _on_pairs(
    evaluator: Evaluator, related: q.Related, items: list[q.Expr], scope: Scope, inner: Frame, joined: Join
) -> Found:
    kept_owners: list[Array] = []
    kept_rows: list[Array] = []
    for owners, rows in _chunks(*joined.pairs()):
        pairs = _pair_scope(related, scope, inner, owners, rows)
        mask = np.ones(len(owners), bool)
        for item in items:
            mask &= evaluator.holds(item, pairs)
        kept_owners.append(owners[mask])
        kept_rows.append(rows[mask])
    owners = np.concatenate(kept_owners) if kept_owners else np.empty(0, np.int64)
    rows = np.concatenate(kept_rows) if kept_rows else np.empty(0, np.int64)
    return Found(_pair_scope(related, scope, inner, owners, rows), owners, scope.count, np.arange(scope.count))


def _chunks(owners: Array, rows: Array) -> Iterator[tuple[Array, Array]]:
    for begin in range(0, len(owners), QUERY_PAIRS_MAX):
        yield owners[begin : begin + QUERY_PAIRS_MAX], rows[begin : begin + QUERY_PAIRS_MAX]


def _pair_scope(related: q.Related, scope: Scope, inner: Frame, owners: Array, rows: Array) -> Scope:
    frame = inner.take(rows)
    outer = scope.take(owners)
    sent = related.relation in (q.Relation.MESSAGES, q.Relation.EVENTS)
    if related.source is q.Relation.AGENTS and sent:
        frame = replace(frame, seen=seen_by(frame, outer.frames[0].index()))
    return outer.inside(frame)
