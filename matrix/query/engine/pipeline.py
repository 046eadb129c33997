"""Stages that reorder, choose or follow rows: sort, sample, and the relations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.frame import Frame, Scope
from matrix.query.engine.order import ranks
from matrix.query.engine.quantify import narrowed_table
from matrix.query.engine.reach import join, seen_by_any, simulation_rows
from matrix.query.engine.rows import conjuncts, is_local, keep_all, mentions_outer, read_rows
from matrix.query.engine.value import distinct

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator

_LAST = np.iinfo(np.int64).max


def sorted_rows(evaluator: Evaluator, keys: Sequence[q.SortKey], frame: Frame) -> Frame:
    """Stable, by the first key first; missing values last either way."""
    scope = Scope((frame,))
    columns = []
    for key in keys:
        codes = ranks(evaluator.value(key.expr, scope), tell_others_apart=False).codes
        columns.append(np.where(codes < 0, _LAST, -codes if key.is_descending else codes))
    return frame.take(np.lexsort(columns[::-1]))


def sampled(frame: Frame, count: int, seed: int) -> Frame:
    """The rows whose hash of (seed, id) is smallest, in the order they had.

    An agent's id names it in its simulation only, so that goes in front: else samples would be of namesakes.
    """
    if frame.count <= count:
        return frame
    ids = frame.field("id").objects()
    if frame.table.relation is q.Relation.AGENTS:
        ids = [f"{simulation}:{id}" for simulation, id in zip(frame.field("simulation").objects(), ids)]
    hashes = [blake2b(f"{seed}:{id}".encode(), digest_size=8).digest() for id in ids]
    numbers = np.frombuffer(b"".join(hashes), "<u8")
    chosen = np.argsort(numbers, kind="stable")[:count]
    return frame.take(np.sort(chosen))


def followed(evaluator: Evaluator, outer: Frame, to: q.Source) -> Frame:
    """Every row of a relation reached from any of the rows, once, that meets the condition."""
    items = conjuncts(to.where)
    first = [item for item in items if not mentions_outer(item) and (is_local(item) or not _is_event(to.relation))]
    condition = q.And(to.span, tuple(first)) if first else None
    simulations = distinct(simulation_rows(outer))
    inner = narrowed_table(read_rows(evaluator, to.relation, to.kinds, condition, simulations=simulations))
    joined = join(evaluator.world, outer, inner)
    is_reached = np.zeros(joined.hub_count + 1, bool)
    is_reached[joined.outer] = True
    is_reached[-1] = False  # the place of -1: no hub
    frame = inner.take(distinct(joined.inner[is_reached[joined.hubs]]))
    is_from_agents = outer.table.relation is q.Relation.AGENTS
    frame = replace(frame, agents=distinct(outer.index()) if is_from_agents else outer.agents)
    if is_from_agents and _is_event(to.relation):
        frame = replace(frame, seen=seen_by_any(frame, outer.index()))
    return keep_all(evaluator, frame, [item for item in items if item not in first])


def _is_event(relation: q.Relation) -> bool:
    return relation in (q.Relation.EVENTS, q.Relation.MESSAGES)
