"""``caused by`` and ``led to``: which rows have an ancestor, or a descendant, that meets a pattern.

The events that meet the pattern are found first, by a scan of their own; only simulations that have both rows and
such events are walked. When the pattern asks for the row as well (an alias), it is tried on pairs of a row and an
event above or below it, of which there may be many: then the work is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matrix.limits import QUERY_CAUSE_PAIRS_MAX, QUERY_PAIRS_MAX
from matrix.query import syntax as q
from matrix.query.engine.bounds import too_much_work
from matrix.query.engine.entities import Goals
from matrix.query.engine.events import EventTable
from matrix.query.engine.forest import Forest, Walk, above, below_marked, climb, forests, jumps, nearest
from matrix.query.engine.frame import Frame, Scope, expand
from matrix.query.engine.needs import pattern_needs
from matrix.query.engine.quantify import narrowed_table
from matrix.query.engine.rows import conjuncts, mentions_outer, read_rows
from matrix.query.engine.value import Array, distinct

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator

_AT_ONCE = 65_536  # pairs gathered before the condition is tried on them, as far as there are so many


class Events(NamedTuple):
    """Events by simulation row and seq."""

    simulations: Array
    seqs: Array

    def among(self, simulations: Array) -> Array:
        return np.flatnonzero(np.isin(self.simulations, simulations))


def events_of(frame: Frame) -> Events:
    """The event of each row: itself; of a goal the one that ended it, or while it runs the one that began it."""
    table, rows = frame.table, frame.index()
    if isinstance(table, Goals):
        ends = table.array("end_seq")[rows]
        return Events(table.simulation_rows()[rows], np.where(ends > 0, ends, table.array("seq")[rows]))
    assert isinstance(table, EventTable), "only events, messages and goals have causes"
    return Events(table.simulation_rows()[rows], table.raw("seq")[rows])


def caused(evaluator: Evaluator, expr: q.Caused, scope: Scope) -> Array:
    """For which rows some ancestor, or descendant, meets the patterns."""
    holds = np.zeros(scope.count, bool)
    events = events_of(scope.frames[0])
    known = evaluator.prepared.get(id(expr))
    if known is not None:
        return known.holds(events)
    alone = [pattern for pattern in expr.patterns if _stands_alone(pattern)]
    simulations = _possible(scope.frames[0], events, expr)
    if alone and len(simulations):
        matching = _joined([events_of(_matching(evaluator, pattern, simulations)) for pattern in alone])
        shared = np.intersect1d(simulations, matching.simulations)
        for forest in forests(evaluator.world, shared):
            _mark(holds, forest, events, matching, expr)
    for pattern in expr.patterns:
        if pattern not in alone:
            _try_pairs(evaluator, expr, pattern, scope, events, holds)
    return holds


def can_be_prepared(expr: q.Caused) -> bool:
    """Whether no pattern asks for the row, so that the answer is known for every event before any row is read."""
    return all(map(_stands_alone, expr.patterns))


def _stands_alone(pattern: q.Pattern) -> bool:
    return not any(map(_asks_for_row, conjuncts(pattern.where)))


class Prepared:
    """The answer for every event of some simulations, a byte each: for a scan of more rows than could wait for it."""

    def __init__(self, evaluator: Evaluator, expr: q.Caused, simulations: Array) -> None:
        self._parts: list[tuple[Forest, Array]] = []
        matching = _joined([events_of(_matching(evaluator, pattern, simulations)) for pattern in expr.patterns])
        for forest in forests(evaluator.world, np.intersect1d(simulations, matching.simulations)):
            marked = _placed(forest, matching).places
            if expr.direction == "led to":
                answer = above(forest.cause, marked, expr.steps)
            else:
                is_marked = np.zeros(len(forest.cause), bool)
                is_marked[marked] = True
                answer = below_marked(forest.cause, is_marked, expr.steps)
            self._parts.append((forest.without_causes(), answer))

    def holds(self, events: Events) -> Array:
        """The answer for these events."""
        found = np.zeros(len(events.seqs), bool)
        for forest, answer in self._parts:
            rows, places = _placed(forest, events)
            found[rows] |= answer[places]
        return found


def _asks_for_row(item: q.Expr) -> bool:
    """Whether a condition on an event above or below a row needs the row, or what the row is inside of."""
    return mentions_outer(item) or any(isinstance(node, q.Field) and node.step for node in q.walk(item))


def _possible(frame: Frame, events: Events, expr: q.Caused) -> Array:
    """The simulations in which a row can be caused by something: some row there has a cause."""
    if expr.direction == "led to" or not isinstance(frame.table, EventTable):
        return distinct(events.simulations)
    return distinct(events.simulations[frame.table.raw("cause")[frame.index()] > 0])


def _joined(parts: list[Events]) -> Events:
    return Events(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _matching(evaluator: Evaluator, pattern: q.Pattern, simulations: Array) -> Frame:
    """The events in these simulations that meet what a pattern asks of them alone."""
    items = [item for item in conjuncts(pattern.where) if not _asks_for_row(item)]
    if pattern.event is not None:
        id = q.Field(pattern.span, q.Relation.EVENTS, (), q.Relation.EVENTS, "id", (), q.Type.TEXT)
        items.append(q.Compare(pattern.span, "=", id, q.Literal(pattern.span, pattern.event, q.Type.TEXT)))
    condition = q.And(pattern.span, tuple(items)) if items else None
    needs = pattern_needs(pattern)
    return read_rows(evaluator, q.Relation.EVENTS, pattern.kinds, condition, simulations=simulations, needs=needs)


def _mark(holds: Array, forest: Forest, events: Events, matching: Events, expr: q.Caused) -> None:
    """The rows of one forest that are below, or above, an event that matches."""
    rows, places = _placed(forest, events)
    marked = _placed(forest, matching).places
    if expr.direction == "led to":
        holds[rows] |= above(forest.cause, marked, expr.steps)[places]
        return
    is_marked = np.zeros(len(forest.cause), bool)
    is_marked[marked] = True
    found, distance = nearest(forest.cause, is_marked, places)
    holds[rows] |= found >= 0 if expr.steps is None else (found >= 0) & (distance <= expr.steps)


# -- patterns that ask for the row ------------------------------------------------------------------------


def _try_pairs(
    evaluator: Evaluator, expr: q.Caused, pattern: q.Pattern, scope: Scope, events: Events, holds: Array
) -> None:
    simulations = _possible(scope.frames[0], events, expr)
    inner = narrowed_table(_matching(evaluator, pattern, simulations))
    matching = events_of(inner)
    items = [item for item in conjuncts(pattern.where) if _asks_for_row(item)]
    tried = 0
    for forest in forests(evaluator.world, np.intersect1d(simulations, matching.simulations)):
        for rows, found in _pairs(forest, events, matching, expr, holds):
            tried += len(rows)
            if tried > QUERY_CAUSE_PAIRS_MAX:
                raise too_much_work(
                    f"this would be tried on more than {QUERY_CAUSE_PAIRS_MAX:,} pairs of a row and an event above or "
                    "below it",
                    "say what the row must be first, or bound the way: … within 3 steps",
                    text=evaluator.world.text,
                    span=expr.span,
                )
            for begin in range(0, len(rows), QUERY_PAIRS_MAX):
                some = slice(begin, begin + QUERY_PAIRS_MAX)
                pairs = scope.take(rows[some]).inside(inner.take(found[some]))
                mask = evaluator.holds(q.And(pattern.span, tuple(items)), pairs)
                holds[rows[some][mask]] = True


def _pairs(
    forest: Forest, events: Events, matching: Events, expr: q.Caused, holds: Array
) -> Iterator[tuple[Array, Array]]:
    """Pairs of a row and a matching event above (or below) it, for rows of which it is not known yet that they hold."""
    is_up = expr.direction == "caused by"
    mine, theirs = _placed(forest, events), _placed(forest, matching)
    lower, upper = (mine, theirs) if is_up else (theirs, mine)
    order = np.argsort(upper.places, kind="stable")  # several rows may be one event
    marks = upper.places[order]
    is_marked = np.zeros(len(forest.cause), bool)
    is_marked[marks] = True
    to, length = jumps(forest.cause, is_marked)
    for walk in _gathered(climb(to, lower.places, steps=expr.steps, length=length)):
        begin, end = (np.searchsorted(marks, walk.places, side=side) for side in ("left", "right"))
        owners, found = expand(begin, end - begin)
        low, high = lower.rows[walk.owners[owners]], upper.rows[order[found]]
        rows, matched = (low, high) if is_up else (high, low)
        left = ~holds[rows]
        yield rows[left], matched[left]


class Placed(NamedTuple):
    """Rows whose events are in a forest, and where."""

    rows: Array
    places: Array


def _placed(forest: Forest, events: Events) -> Placed:
    rows = events.among(forest.simulations)
    places = forest.places(events.simulations[rows], events.seqs[rows])
    return Placed(rows[places >= 0], places[places >= 0])


def _gathered(walks: Iterator[Walk]) -> Iterator[Walk]:
    """The same, several at a time where they are short: a condition costs the same for one pair as for a thousand."""
    waiting: list[Walk] = []
    count = 0
    for walk in walks:
        waiting.append(walk)
        count += len(walk.places)
        if count >= _AT_ONCE:
            yield Walk(*(np.concatenate(columns) for columns in zip(*waiting, strict=True)))
            waiting, count = [], 0
    if waiting:
        yield Walk(*(np.concatenate(columns) for columns in zip(*waiting, strict=True)))
