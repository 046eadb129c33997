"""Conditions and values of one row, evaluated node by node.

A ``Scope`` is the row a condition is about, then the rows around it: ``up`` counts outwards. Values of
links and paths with ``[*]`` may be several; a predicate then holds when it holds for any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matrix.errors import UsageError
from matrix.query import syntax as q
from matrix.testing import plain_values as plain
from matrix.testing.naive_causes import chain, event_behind
from matrix.testing.naive_groups import aggregate
from matrix.testing.naive_rows import Row, Scope
from matrix.testing.naive_sequences import all_matches, holds
from matrix.testing.reach import event_of, reached
from matrix.testing.world import Duration, Thing, Time, World


class Evaluator:
    """Evaluates expressions in one world; ``now`` is the clock in microseconds since 1970."""

    def __init__(self, world: World, now: int) -> None:
        self.world, self.now = world, now

    # -- conditions --------------------------------------------------------------------------------

    def holds(self, expr: q.Expr, scope: Scope) -> bool:
        """Whether a condition holds; it does or it does not."""
        match expr:
            case q.And(items=items):
                return all(self.holds(item, scope) for item in items)
            case q.Or(items=items):
                return any(self.holds(item, scope) for item in items)
            case q.Not(item=item):
                return not self.holds(item, scope)
            case q.Quantified(at_least=least, at_most=most, related=related):
                count = len(self.related(related, scope))
                return least <= count and (most is None or count <= most)
            case q.Sequence():
                return holds(self, expr, scope)
            case q.Caused(direction=direction, patterns=patterns, steps=steps):
                return self.is_caused(direction, patterns, steps, scope)
            case q.Literal(value=value):
                return value is True
        return self.holds_for_values(expr, scope)

    def holds_for_values(self, expr: q.Expr, scope: Scope) -> bool:
        """A predicate over values: for any of the values its sides have."""

        def any_pair(left: q.Expr, right: q.Expr, test: Callable[[Any, Any], bool]) -> bool:
            return any(test(a, b) for a in self.values(left, scope) for b in self.values(right, scope))

        match expr:
            case q.Compare(op="=", left=left, right=right):
                return any_pair(left, right, plain.equal)
            case q.Compare(op=op, left=left, right=right):
                return any_pair(left, right, lambda a, b: plain.ordered(op, a, b))
            case q.KindIs(item=item, kinds=kinds):
                return any(_is_one_of(kinds, kind) for kind in self.values(item, scope))
            case q.In(item=item, members=members):
                return any(any_pair(item, member, plain.equal) for member in members)
            case q.Range(item=item, low=low, high=high):
                return self.is_within(self.values(item, scope), self.value(low, scope), self.value(high, scope))
            case q.Contains(item=item, part=part):
                return any_pair(item, part, plain.contains)
            case q.StartsWith(item=item, part=part):
                return any_pair(item, part, lambda a, b: _texts(a, b) and a.startswith(b))
            case q.EndsWith(item=item, part=part):
                return any_pair(item, part, lambda a, b: _texts(a, b) and a.endswith(b))
            case q.Matches(item=item, pattern=pattern, flags=flags):
                return any(plain.matches(text, pattern, flags) for text in self.values(item, scope))
            case q.Exists(item=item):
                return any(value is not None for value in self.values(item, scope))
        return self.value(expr, scope) is True

    def is_within(self, values: list[Any], low: Any, high: Any) -> bool:
        """Whether any of the values lies between the two ends, both included."""
        return any(plain.ordered(">=", value, low) and plain.ordered("<=", value, high) for value in values)

    # -- values ------------------------------------------------------------------------------------

    def values(self, expr: q.Expr, scope: Scope) -> list[Any]:
        """All values an operand has: several for a many-valued field; none at all is one missing value."""
        if isinstance(expr, q.Field) and expr.is_many:
            return self.field_values(expr, scope) or [None]
        return [self.value(expr, scope)]

    def value(self, expr: q.Expr, scope: Scope) -> Any:
        """The one value of an expression, None when it is missing."""
        match expr:
            case q.Literal(value=value, type=kind):
                return _typed(value, kind)
            case q.Now():
                return Time(self.now)
            case q.Ago(duration=duration):
                return Time(self.now - duration)
            case q.Field():
                return self.field_value(expr, scope)
            case q.ColumnRef(name=name):
                return scope[0].columns[name]
            case q.Coalesce(left=left, right=right):
                value = self.value(left, scope)
                return self.value(right, scope) if value is None else value
            case q.Arith(op=op, left=left, right=right):
                return plain.arithmetic(op, self.value(left, scope), self.value(right, scope))
            case q.Negate(item=item):
                return plain.negated(self.value(item, scope))
            case q.Call(name="if", arguments=(condition, yes, no)):
                return self.value(yes if self.holds(condition, scope) else no, scope)
            case q.Call(name=name, arguments=arguments):
                return plain.call(name, [self.value(argument, scope) for argument in arguments])
            case q.RelatedAggregate(function=function, related=related, argument=argument, percentile=percentile):
                rows = self.related(related, scope)
                found = rows if argument is None else [self.value(argument, (row, *scope)) for row in rows]
                return aggregate(function, found, percentile, of=argument.type if argument else q.Type.NUMBER)
            case q.MatchCount(sequence=sequence):
                return len(all_matches(self, sequence, scope))
            case q.AggregateCall():
                raise UsageError("an aggregate of a group is no value of one row")
        return self.holds(expr, scope)

    def field_value(self, expr: q.Field, scope: Scope) -> Any:
        """A field as one value: several agents' values are joined, elements of ``[*]`` become a list."""
        values = self.field_values(expr, scope)
        if expr.has_wildcard:
            return [value for value in values if value is not None]
        if not expr.is_many:
            return values[0] if values else None
        present = [value for value in values if value is not None]
        if len(present) < 2:
            return present[0] if present else None
        return ", ".join(plain.call("text", [value]) for value in present)

    def field_values(self, expr: q.Field, scope: Scope) -> list[Any]:
        """Every value a field has: over all receivers, and over all elements of ``[*]``."""
        row = beginning(expr, scope)
        if row is None:
            return [None]
        ends = [row]
        for link in expr.links:
            ends = [Row(thing) for end in ends for thing in linked(end, link)]
        found: list[Any] = []
        for end in ends:
            value = own_value(end, expr.name)
            found += followed_path(value, expr.path) if expr.path else [value]
        return found

    # -- rows reached ------------------------------------------------------------------------------

    def related(self, related: q.Related, scope: Scope) -> list[Row]:
        """The rows reached from the innermost row that are of the kinds asked for and meet the condition."""
        origin = scope[0].thing
        assert origin is not None, "rows are reached from rows of a relation"
        viewers = frozenset((origin.number,)) if origin.relation == "agents" else frozenset()
        rows = [Row(thing, viewers) for thing in reached(self.world, origin, related.relation)]
        if related.kinds:
            rows = [row for row in rows if self.is_of_kinds(row, related.kinds)]
        if related.where is None:
            return rows
        return [row for row in rows if self.holds(related.where, (row, *scope))]

    def is_caused(self, direction: str, patterns: Sequence[q.Pattern], steps: int | None, scope: Scope) -> bool:
        """Whether any proper ancestor, or descendant, of the row's event meets any of the patterns."""
        thing = scope[0].thing
        assert thing is not None, "only rows of a relation have causes"
        run = self.world.run_of(thing)
        linked_events = chain(run, event_behind(run, thing), direction, steps)
        rows = [Row(run.event_things[event.seq]) for event, _ in linked_events]
        return any(self.meets(pattern, (row, *scope)) for row in rows for pattern in patterns)

    def meets(self, pattern: q.Pattern, scope: Scope) -> bool:
        """Whether an event, the innermost row, meets a pattern."""
        row = scope[0]
        assert row.thing is not None, "a pattern is about an event"
        if pattern.kinds and not self.is_of_kinds(row, pattern.kinds):
            return False
        if pattern.event is not None and row.thing.id != pattern.event:
            return False
        return pattern.where is None or self.holds(pattern.where, scope)

    def is_of_kinds(self, row: Row, kinds: Sequence[q.KindPattern]) -> bool:
        """Whether an event or message is of one of these kinds."""
        assert row.thing is not None, "only rows of a relation have a kind"
        return _is_one_of(kinds, event_of(row.thing).kind)


def beginning(expr: q.Field, scope: Scope) -> Row | None:
    """The row a field begins at: so many scopes out, or the event of the innermost step of its name."""
    if not expr.step:
        return scope[expr.up]
    return next(row.steps[expr.step] for row in scope if expr.step in row.steps)


def _is_one_of(kinds: Sequence[q.KindPattern], kind: Any) -> bool:
    return isinstance(kind, str) and any(kind.startswith(k.name) if k.is_prefix else kind == k.name for k in kinds)


def _texts(a: Any, b: Any) -> bool:
    return isinstance(a, str) and isinstance(b, str)


def _typed(value: Any, kind: q.Type) -> Any:
    """A literal as a value: microseconds become a duration or a time."""
    if value is None or kind not in (q.Type.DURATION, q.Type.TIME):
        return value
    return Duration(value) if kind is q.Type.DURATION else Time(value)


def linked(row: Row, link: str) -> list[Thing]:
    """The things a link leads to: none when it is broken, several for ``to`` and ``peer``."""
    thing = row.thing
    assert thing is not None, "only rows of a relation have links"
    if link == "peer" and row.viewers and event_of(thing).agent not in row.viewers:
        link = "from" if thing.relation == "messages" else "agent"
    found = thing.fields[link]
    if found is None:
        return []
    return list(found) if isinstance(found, tuple) else [found]


def own_value(row: Row, name: str) -> Any:
    """A built-in field of a row; ``sent``, ``received`` and ``turn`` depend on who looks."""
    thing = row.thing
    assert thing is not None, "only rows of a relation have fields"
    if name == "sent":
        return event_of(thing).agent in row.viewers
    if name == "received":
        return any(number in row.viewers for number in event_of(thing).to)
    if name == "turn" and row.turn is not None:
        return row.turn
    return thing.fields[name]


def followed_path(value: Any, path: Sequence[q.PathPart]) -> list[Any]:
    """What is at a path: one value, or one for every element where it has ``[*]``."""
    if not path:
        return [value]
    part, rest = path[0], path[1:]
    if part is q.WILDCARD:
        return [v for element in value for v in followed_path(element, rest)] if isinstance(value, list) else []
    if isinstance(part, str):
        return followed_path(value.get(part), rest) if isinstance(value, Mapping) else [None]
    assert isinstance(part, int)
    if not isinstance(value, list) or not -len(value) <= part < len(value):
        return [None]
    return followed_path(value[part], rest)


def shown(value: Any) -> Any:
    """A value as a result shows it: durations and times are plain microseconds."""
    return value.us if isinstance(value, Duration | Time) else value
