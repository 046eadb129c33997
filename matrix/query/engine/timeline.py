"""``as timeline``: rows with times as bars, a lane for each agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.chat import Shaped
from matrix.query.engine.frame import Frame
from matrix.query.engine.links import end_of
from matrix.query.engine.order import ranks
from matrix.query.engine.reach import simulation_rows
from matrix.query.engine.value import Array, Value, coded
from matrix.query.syntax import Relation

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator

BAR_CHARS = 40
_LINE, _POINT, _ON = "━", "•", "▶"
_NEVER = np.iinfo(np.int64).max

#: Where the lane and the name of what happens are read: links, then a field.
_LANES: dict[Relation, tuple[tuple[str, ...], str]] = {
    Relation.EVENTS: (("agent",), "id"),
    Relation.MESSAGES: (("from",), "id"),
    Relation.AGENTS: ((), "id"),
    Relation.GOALS: (("agent",), "id"),
    Relation.CONVERSATIONS: ((), "agents"),
    Relation.SIMULATIONS: ((), "id"),
}
_WHAT = {
    Relation.EVENTS: "kind",
    Relation.MESSAGES: "kind",
    Relation.AGENTS: "role",
    Relation.GOALS: "name",
    Relation.SIMULATIONS: "name",
}
_EVENTS = (Relation.EVENTS, Relation.MESSAGES)


class Spans(NamedTuple):
    """When each row begins and ends; one that runs has no end yet, one without a beginning cannot be drawn."""

    starts: Array
    ends: Array
    has_start: Array
    is_running: Array


def as_timeline(evaluator: Evaluator, stage: q.Shape, frame: Frame) -> Frame:
    """By simulation, then lane after lane in the order in which they begin, and in a lane by start."""
    relation = frame.table.relation
    assert relation is not None, "rows of a timeline have times"
    simulations = simulation_rows(frame)
    lanes = _lanes(frame, relation)
    start, end = (frame.field("time"),) * 2 if relation in _EVENTS else (frame.field("start"), frame.field("end"))
    spans = _spans(start, end)
    order = _order(simulations, lanes, spans)
    axes = np.zeros(frame.count, np.int64) if relation is Relation.SIMULATIONS else simulations
    has_status = relation not in (*_EVENTS, Relation.CONVERSATIONS)
    columns = {
        "simulation": evaluator.world.simulations.field("id").take(simulations),
        "lane": lanes,
        "what": _what(frame, relation),
        "start": start,
        "end": end,
        "status": frame.field("status") if has_status else Value.missing(frame.count),
        "bar": _bars(axes, spans),
    }
    return Frame(Shaped(frame.count), columns={name: value.take(order) for name, value in columns.items()})


def _lanes(frame: Frame, relation: Relation) -> Value:
    links, name = _LANES[relation]
    end = end_of(frame, links)
    return end.table.values(name, end.rows)


def _what(frame: Frame, relation: Relation) -> Value:
    if relation is Relation.CONVERSATIONS:
        return Value.one("conversation", frame.count)
    return frame.field(_WHAT[relation])


def _spans(start: Value, end: Value) -> Spans:
    starts, has_start = _numbers(start)
    ends, has_end = _numbers(end)
    return Spans(starts, np.where(has_end, ends, starts), has_start, has_start & ~has_end)


def _numbers(value: Value) -> tuple[Array, Array]:
    lane = value.only
    if lane is None:
        return np.zeros(value.count, np.int64), np.zeros(value.count, bool)
    lane = lane.spread(value.count)
    return lane.values, lane.mask(value.count)


def _order(simulations: Array, lanes: Value, spans: Spans) -> Array:
    found = ranks(lanes)
    width = len(found.firsts) + 1  # events of the simulation itself are a lane too
    keys = simulations * width + found.codes + 1
    _, places = np.unique(keys, return_inverse=True)
    starts = np.where(spans.has_start, spans.starts, _NEVER)
    count = int(places.max(initial=-1)) + 1
    first_starts, first_rows = np.full(count, _NEVER), np.full(count, _NEVER)
    np.minimum.at(first_starts, places, starts)
    np.minimum.at(first_rows, places, np.arange(len(places)))
    rows = np.arange(len(places))
    return np.lexsort((rows, starts, first_rows[places], first_starts[places], simulations))


def _bars(axes: Array, spans: Spans) -> Value:
    """Each row from its first to its last column, between the earliest and the latest moment of its axis."""
    count = int(axes.max(initial=-1)) + 1
    low, high = np.full(count, _NEVER), np.full(count, -_NEVER)
    known = spans.has_start
    np.minimum.at(low, axes[known], spans.starts[known])
    np.maximum.at(high, axes[known], spans.ends[known])
    low, high = np.where(known, low[axes], 0), np.where(known, high[axes], 0)
    ends = np.where(spans.is_running, high, spans.ends)
    width = np.maximum(high - low, 1)
    firsts, lasts = (_column(moments - low, width) for moments in (spans.starts, ends))
    lasts = np.where(spans.is_running, BAR_CHARS - 1, np.maximum(firsts, lasts))
    is_point = ~spans.is_running & (ends == spans.starts)
    marks = np.where(spans.is_running, 2, np.where(is_point, 1, 0))
    keys, codes = np.unique((firsts * BAR_CHARS + lasts) * 3 + marks, return_inverse=True)
    return coded(np.where(known, codes, -1), [_bar(key) for key in keys.tolist()])


def _column(moments: Array, width: Array) -> Array:
    # In floats: forty columns are few, and microseconds times forty may be more than an int64 holds.
    return np.clip((moments / width * BAR_CHARS).astype(np.int64), 0, BAR_CHARS - 1)


def _bar(key: int) -> str:
    columns, mark = divmod(key, 3)
    first, last = divmod(columns, BAR_CHARS)
    line = _POINT if mark == 1 else _LINE * (last - first) + (_ON if mark == 2 else _LINE)
    return (" " * first + line).ljust(BAR_CHARS)
