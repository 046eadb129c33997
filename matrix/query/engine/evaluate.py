"""Conditions and values over whole frames: one column in, one column out.

A condition is a mask with a truth for every row. A predicate over a many-valued field (``to``,
``peer``, a path with ``[*]``) is tried on each of the values and holds when it does for any.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from matrix.errors import QueryError
from matrix.query import syntax as q
from matrix.query.engine.arithmetic import arithmetic, negate
from matrix.query.engine.caused import Prepared, can_be_prepared, caused
from matrix.query.engine.combine import first_present, merge
from matrix.query.engine.compare import Match, compare, contains, ends_with, is_in, matches, starts_with
from matrix.query.engine.frame import Frame, Scope, any_of
from matrix.query.engine.functions import call
from matrix.query.engine.links import end_of, ends_of, id_of, links_of, read_end, read_joined
from matrix.query.engine.paths import elements
from matrix.query.engine.quantify import quantified, related_aggregate
from matrix.query.engine.sequences import match_counts, sequence_holds
from matrix.query.engine.value import NAMES, Array, Type, Value, as_lanes

if TYPE_CHECKING:
    from matrix.query.engine.world import World

_FEW = 0.5  # when fewer rows than this are left, the rest of a conjunction looks at those only


class Evaluator:
    """Evaluates expressions in one world."""

    tells_rows = False  # whether someone wants to be told the rows of every stage, so that none is skipped

    def __init__(self, world: World) -> None:
        self.world = world
        self.prepared: dict[int, Prepared] = {}  # by identity of the node, what is known of its answer already

    def can_prepare(self, node: q.Caused) -> bool:
        """Whether its answer can be known without the rows."""
        return can_be_prepared(node)

    def prepare(self, causes: Sequence[q.Caused], simulations: Array) -> None:
        """Find out for every event of these simulations whether it was caused so, before rows are read."""
        for node in causes:
            self.prepared[id(node)] = Prepared(self, node, simulations)

    def forget(self, causes: Sequence[q.Caused]) -> None:
        """What was prepared is good for the simulations that were read only."""
        for node in causes:
            del self.prepared[id(node)]

    @contextlib.contextmanager
    def at(self, node: q.Node, before: Frame | None = None) -> Iterator[Callable[[Frame], None]]:
        """Work on a source or a stage, told the rows it made; who explains a query listens here."""
        yield lambda after: None

    # -- conditions ---------------------------------------------------------------------------

    def holds(self, expr: q.Expr, scope: Scope) -> Array:
        """For which rows a condition holds."""
        match expr:
            case q.And(items=items):
                return self._all(items, scope)
            case q.Or(items=items):
                return ~self._none(items, scope)
            case q.Not(item=item):
                return ~self.holds(item, scope)
            case q.Quantified():
                return quantified(self, expr, scope)
            case q.Caused():
                return caused(self, expr, scope)
            case q.Sequence():
                return sequence_holds(self, expr, scope)
            case q.Compare() | q.KindIs() | q.In() | q.Range() | q.Contains() | q.StartsWith() | q.EndsWith():
                return self._predicate(expr, scope)
            case q.Matches() | q.Exists():
                return self._predicate(expr, scope)
        return self.value(expr, scope).truth()

    def _all(self, items: Sequence[q.Expr], scope: Scope) -> Array:
        mask = self.holds(items[0], scope).copy()
        for item in items[1:]:
            rows = np.flatnonzero(mask)
            if len(rows) > _FEW * scope.count:
                mask &= self.holds(item, scope)
            elif len(rows):
                mask[rows] = self.holds(item, scope.take(rows))
        return mask

    def _none(self, items: Sequence[q.Expr], scope: Scope) -> Array:
        mask = ~self.holds(items[0], scope)
        for item in items[1:]:
            rows = np.flatnonzero(mask)
            if len(rows) > _FEW * scope.count:
                mask &= ~self.holds(item, scope)
            elif len(rows):
                mask[rows] = ~self.holds(item, scope.take(rows))
        return mask

    # -- predicates ---------------------------------------------------------------------------

    def _predicate(self, expr: q.Expr, scope: Scope) -> Array:
        """A predicate over values: for any of the values that its many-valued operands have."""
        for operand in operands(expr):
            if isinstance(operand, q.Field) and operand.is_many and id(operand) not in scope.given:
                owners, values = self.each(operand, scope)
                wide = scope.take(owners)
                tried = Scope(wide.frames, {**wide.given, id(operand): values})
                return any_of(owners, self._predicate(expr, tried), scope.count)
        match = self._test(expr, scope)
        if match.unlike is not None:
            self._notice(expr, match.unlike, scope)
        return match.holds

    def _test(self, expr: q.Expr, scope: Scope) -> Match:
        match expr:
            case q.Compare(op=op, left=left, right=right):
                return compare(op, self.value(left, scope), self.value(right, scope))
            case q.KindIs(item=item, kinds=kinds):
                return Match(self._is_kind(self.value(item, scope), kinds), None)
            case q.In(item=item, members=members):
                return is_in(self.value(item, scope), [self.value(member, scope) for member in members])
            case q.Range(item=item, low=low, high=high):
                value = self.value(item, scope)
                above, below = (
                    compare(">=", value, self.value(low, scope)),
                    compare("<=", value, self.value(high, scope)),
                )
                return Match(above.holds & below.holds, above.unlike)
            case q.Contains(item=item, part=part):
                return contains(self.value(item, scope), self.value(part, scope))
            case q.StartsWith(item=item, part=part):
                return starts_with(self.value(item, scope), self.value(part, scope))
            case q.EndsWith(item=item, part=part):
                return ends_with(self.value(item, scope), self.value(part, scope))
            case q.Matches(item=item, pattern=pattern, flags=flags):
                return self._matches(expr, self.value(item, scope), pattern, flags)
        assert isinstance(expr, q.Exists), f"{type(expr).__name__} is not a predicate"
        return Match(self.value(expr.item, scope).present(), None)

    def _matches(self, expr: q.Expr, value: Value, pattern: str, flags: str) -> Match:
        try:
            return matches(value, pattern, flags)
        except pa.ArrowInvalid as error:
            start, end = expr.span
            reason = str(error).removeprefix("Invalid regular expression: ")
            raise QueryError(
                f"the pattern cannot be read: {reason}", code="bad-pattern", text=self.world.text, start=start, end=end
            ) from None

    def _is_kind(self, value: Value, kinds: Sequence[q.KindPattern]) -> Array:
        lane = value.lane(Type.TEXT)
        if lane is None:
            return np.zeros(value.count, bool)
        words = lane.values.dictionary if pa.types.is_dictionary(lane.values.type) else lane.values
        fits = np.array([w is not None and any(k.matches(w) for k in kinds) for w in words.to_pylist()], bool)
        if words is lane.values:
            return np.broadcast_to(fits, value.count) & lane.mask(value.count)
        codes = lane.values.indices.fill_null(0).to_numpy(zero_copy_only=False)
        hits = fits[codes] if len(fits) else np.zeros(len(codes), bool)
        return np.broadcast_to(hits, value.count) & lane.mask(value.count)

    def _notice(self, expr: q.Expr, unlike: Array, scope: Scope) -> None:
        """Say of which kind the values were that could not be compared."""
        table = scope.frames[0].table
        rows = "rows" if table.relation is None else str(table.relation)
        operand = next((o for o in operands(expr) if getattr(o, "type", None) is q.Type.ANY), None)
        if operand is None:
            return
        for lane in self.value(operand, scope).lanes:
            count = int((unlike & lane.mask(scope.count)).sum())
            if count:
                self.world.notices.unlike(rows, NAMES[lane.type], self.place(operand), operand.span[0], count)

    def place(self, node: q.Node) -> str:
        """The query's own words for a node."""
        return self.world.text[node.span[0] : node.span[1]]

    # -- values -------------------------------------------------------------------------------

    def value(self, expr: q.Expr, scope: Scope) -> Value:
        """The one value of an expression for each row."""
        if id(expr) in scope.given:
            return scope.given[id(expr)]
        match expr:
            case q.Literal(value=value, type=type):
                return literal(value, type, scope.count)
            case q.Now():
                return Value.one(self.world.now_us, scope.count, Type.TIME)
            case q.Ago(duration=duration):
                return Value.one(self.world.now_us - duration, scope.count, Type.TIME)
            case q.Field():
                return self.field(expr, scope)
            case q.ColumnRef(name=name):
                return scope.frames[0].columns[name]
            case q.Coalesce(left=left, right=right):
                return first_present(self.value(left, scope), self.value(right, scope))
            case q.Arith(op=op, left=left, right=right):
                return arithmetic(op, self.value(left, scope), self.value(right, scope)).value
            case q.Negate(item=item):
                return negate(self.value(item, scope)).value
            case q.Call(name="if", arguments=(condition, yes, no)):
                return self._if(condition, yes, no, scope)
            case q.Call(name=name, arguments=arguments):
                return call(name, [self.value(argument, scope) for argument in arguments])
            case q.RelatedAggregate():
                return related_aggregate(self, expr, scope)
            case q.MatchCount(sequence=sequence):
                return match_counts(self, sequence, scope)
        assert not isinstance(expr, q.AggregateCall), "aggregates of a group are computed by their stage"
        return as_lanes(self.holds(expr, scope))

    def _if(self, condition: q.Expr, yes: q.Expr, no: q.Expr, scope: Scope) -> Value:
        mask = self.holds(condition, scope)
        return merge(self.value(yes, scope).where(mask), self.value(no, scope).where(~mask))

    def field(self, field: q.Field, scope: Scope) -> Value:
        """A field of each row; over several agents the values are joined, ``[*]`` gives the list."""
        frame = scope.frame_of(field)
        if not field.links and field.name in ("sent", "received"):
            assert frame.seen is not None, "sent and received are asked of messages reached from agents"
            return as_lanes(frame.seen.sent if field.name == "sent" else frame.seen.received)
        if field.name == "turn" and not field.links and frame.seen is not None and frame.seen.turns is not None:
            return Value.of(Type.INT, frame.seen.turns)
        if any(link in q.MANY_LINKS for link in field.links):
            return read_joined(ends_of(frame, field.links), field, frame.count)
        known = id_of(frame, field)
        return read_end(end_of(frame, links_of(field)), field) if known is None else known

    def each(self, field: q.Field, scope: Scope) -> tuple[Array, Value]:
        """Every value of a many-valued field: (the row each belongs to, the values)."""
        frame = scope.frame_of(field)
        ends = ends_of(frame, field.links)
        if not field.has_wildcard:
            return ends.owners, read_end(ends.end, field)
        head = field.path[: field.path.index(q.WILDCARD)]
        inner, values = elements(ends.end.path(head), field.path[len(head) :])
        return ends.owners[inner], values


def operands(expr: q.Expr) -> tuple[q.Expr, ...]:
    """The values that a predicate is about."""
    match expr:
        case q.Compare(left=left, right=right):
            return left, right
        case q.In(item=item, members=members):
            return item, *members
        case q.Contains(item=item, part=part) | q.StartsWith(item=item, part=part) | q.EndsWith(item=item, part=part):
            return item, part
        case q.Range(item=item) | q.KindIs(item=item) | q.Matches(item=item) | q.Exists(item=item):
            return (item,)
    return ()


_TYPES = {q.Type.DURATION: Type.DURATION, q.Type.TIME: Type.TIME}


def literal(value: Any, type: q.Type, count: int) -> Value:
    """A constant for every row."""
    return Value.missing(count) if value is None else Value.one(value, count, _TYPES.get(type))
