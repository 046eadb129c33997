"""The rows of a relation that meet a condition: what an index or a zone map can decide is decided there.

A condition on events is split into what zone maps can use (kinds, times, simulations, ids), what one
event alone decides (tried on each batch while it is read), and the rest, which looks at other rows
and waits until the survivors are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from matrix.limits import QUERY_CAUSED_ROWS_MAX
from matrix.query import syntax as q
from matrix.query.engine.frame import Frame, Scope
from matrix.query.engine.scan import Needs, Wanted, each_batch, expected_rows, scan
from matrix.query.engine.value import Array

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator
    from matrix.query.engine.events import EventTable

Result = TypeVar("Result")

_FAR_LINKS = frozenset({"cause", "state", "conversation"})
_BOUNDED = frozenset({"time", "wall", "seq"})
_SEQ_DIGITS_MAX = 19  # more than any seq has


def conjuncts(condition: q.Expr | None) -> list[q.Expr]:
    """The conditions that must all hold."""
    if condition is None:
        return []
    if isinstance(condition, q.And):
        return [part for item in condition.items for part in conjuncts(item)]
    return [condition]


def is_local(expr: q.Node, known: Sequence[q.Caused] = ()) -> bool:
    """Whether one event, with its agent, goal and simulation, decides the condition, and what is known of causes."""
    if any(node is expr for node in known):
        return True
    return _is_local(expr) and all(is_local(child, known) for child in q.children(expr))


def _is_local(node: q.Node) -> bool:
    if isinstance(node, q.Field):
        is_seen = node.seen_by_agent and (node.name in ("sent", "received") or "peer" in node.links)
        is_far = bool(_FAR_LINKS & set(node.links)) or node.name == "reply_to"
        return node.up == 0 and not node.step and not is_seen and not is_far
    return not isinstance(node, (q.Quantified, q.RelatedAggregate, q.ColumnRef, q.Sequence, q.MatchCount, q.Caused))


def mentions_outer(expr: q.Node, depth: int = 0, steps: frozenset[str] = frozenset()) -> bool:
    """Whether a condition on an inner row needs the row it was reached from; ``steps`` are named inside of it."""
    if isinstance(expr, q.Field):
        if expr.step:
            return expr.step not in steps
        if expr.up > depth:
            return True
        needs_viewer = expr.name in ("sent", "received") or expr.links[:1] == ("peer",)
        return expr.up == depth and expr.seen_by_agent and needs_viewer
    if isinstance(expr, q.Sequence):
        return _sequence_mentions_outer(expr, depth, steps)
    if isinstance(expr, (q.Related, q.Pattern)):
        depth += 1
    return any(mentions_outer(child, depth, steps) for child in q.children(expr))


def _sequence_mentions_outer(sequence: q.Sequence, depth: int, steps: frozenset[str]) -> bool:
    """Likewise of a sequence: the names of its steps are known to the steps behind them; its keys are of its events."""
    for step in sequence.steps:
        if any(mentions_outer(pattern, depth, steps) for pattern in step.patterns):
            return True
        steps |= {step.name}
    others = [*sequence.without, *([sequence.absent] if sequence.absent else [])]
    return any(mentions_outer(part, depth, steps) for part in others)


def read_rows(
    evaluator: Evaluator,
    relation: q.Relation,
    kinds: tuple[q.KindPattern, ...],
    condition: q.Expr | None,
    *,
    simulations: Array | None = None,
    bounds: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    needs: Needs | None = None,
    after: Mapping[int, int] | None = None,
) -> Frame:
    """The rows that meet a condition which needs no outer row, in no particular order.

    Events may be limited to those of some ``simulations``, to blocks within ``bounds``, and to those written ``after``
    some positions.
    """
    if relation not in (q.Relation.EVENTS, q.Relation.MESSAGES):
        frame = Frame(evaluator.world.entities(relation))
        return keep_all(evaluator, frame, conjuncts(condition))
    wanted, items = _wanted(evaluator, kinds, condition, simulations, bounds, after)
    causes = _causes_to_prepare(evaluator, wanted, items)
    evaluator.prepare(causes, _all_simulations(evaluator) if wanted.simulations is None else wanted.simulations)
    local = [item for item in items if is_local(item, causes)]
    table = scan(evaluator.world, relation, wanted, lambda batch: _keep(evaluator, batch, local), needs=needs)
    frame = keep_all(evaluator, Frame(table), [item for item in items if item not in local])
    evaluator.forget(causes)
    return frame


def each_frame(
    evaluator: Evaluator,
    relation: q.Relation,
    kinds: tuple[q.KindPattern, ...],
    condition: q.Expr | None,
    work: Callable[[Frame], Result],
) -> Iterator[Result]:
    """What ``work`` makes of the events, batch by batch, that meet a condition which one event decides."""
    wanted, items = _wanted(evaluator, kinds, condition)
    keep = lambda batch: work(keep_all(evaluator, Frame(batch), items))  # noqa: E731  # a thread's work on a batch
    return each_batch(evaluator.world, relation, wanted, keep)


def _wanted(
    evaluator: Evaluator,
    kinds: tuple[q.KindPattern, ...],
    condition: q.Expr | None,
    simulations: Array | None = None,
    bounds: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    after: Mapping[int, int] | None = None,
) -> tuple[Wanted, list[q.Expr]]:
    """Which events to look for, and the conditions that are left to try on them."""
    wanted = Wanted((kinds,) if kinds else (), dict(bounds), after=after)
    if simulations is not None:
        wanted = wanted.with_simulations(simulations)
    return _narrowed(evaluator, wanted, conjuncts(condition))


def _keep(evaluator: Evaluator, batch: EventTable, local: Sequence[q.Expr]) -> Array | None:
    return keep_all(evaluator, Frame(batch), local).rows if local else None


def keep_all(evaluator: Evaluator, frame: Frame, items: Sequence[q.Expr]) -> Frame:
    """The rows for which every condition holds, each tried on what the ones before have left."""
    for item in items:
        frame = frame.keep(evaluator.holds(item, Scope((frame,))))
    return frame


# -- what is found out before -------------------------------------------------------------------------


def _causes_to_prepare(evaluator: Evaluator, wanted: Wanted, items: Sequence[q.Expr]) -> list[q.Caused]:
    """Conditions on causes that are to be decided first, because too many rows would wait for them otherwise."""
    causes = [node for item in items for node in _causes(item)]
    if not causes or expected_rows(evaluator.world, wanted) <= QUERY_CAUSED_ROWS_MAX:
        return []
    return [node for node in causes if evaluator.can_prepare(node)]


def _causes(expr: q.Node) -> Iterator[q.Caused]:
    """The conditions on causes of the row itself."""
    if isinstance(expr, q.Caused):
        yield expr
    elif not isinstance(expr, (q.Related, q.Pattern)):
        for child in q.children(expr):
            yield from _causes(child)


def _all_simulations(evaluator: Evaluator) -> Array:
    return np.arange(evaluator.world.simulations.count)


# -- what zone maps can use ---------------------------------------------------------------------------


def _narrowed(evaluator: Evaluator, wanted: Wanted, items: Sequence[q.Expr]) -> tuple[Wanted, list[q.Expr]]:
    """Kinds, bounds and simulations from the conditions; those on kinds are then decided and left out."""
    left: list[q.Expr] = []
    for item in items:
        if isinstance(item, q.KindIs) and _is_own(item.item) and item.item.name == "kind":
            wanted = replace(wanted, kinds=(*wanted.kinds, item.kinds))
            continue
        left.append(item)
        ids = _ids(item)
        if ids is not None:
            wanted = _looked_up(evaluator, wanted, ids)
        if _only_simulation(item):
            wanted = wanted.with_simulations(_simulations(evaluator, item))
        for name, low, high in _bounds(evaluator, item):
            wanted = _within(wanted, name, low, high)
    return wanted, left


def _within(wanted: Wanted, name: str, low: float, high: float) -> Wanted:
    old = wanted.bounds.get(name, (-np.inf, np.inf))
    return replace(wanted, bounds={**wanted.bounds, name: (max(low, old[0]), min(high, old[1]))})


def _ids(item: q.Expr) -> list[Any] | None:
    """The only ids that events may have which meet a condition; None when it does not say."""
    match item:
        case q.Compare(op="=", left=q.Field() as field, right=q.Literal(value=value)) if _is_id(field):
            return [value]
        case q.Compare(op="=", left=q.Literal(value=value), right=q.Field() as field) if _is_id(field):
            return [value]
        case q.In(item=q.Field() as field, members=members) if _is_id(field):
            values = [member.value for member in members if isinstance(member, q.Literal)]
            return values if len(values) == len(members) else None
        case q.Caused(patterns=patterns) if all(pattern.event is not None for pattern in patterns):
            return [_simulation_of(pattern.event) for pattern in patterns]
    return None


def _is_id(field: q.Field) -> bool:
    return _is_own(field) and field.name == "id"


def _simulation_of(event: str | None) -> str:
    """The id without its seq: any event of that simulation."""
    return f"{event}".rpartition(":")[0] + ":"


def _looked_up(evaluator: Evaluator, wanted: Wanted, ids: Sequence[Any]) -> Wanted:
    """Only what may have these ids: simulations by their ids (several may share one), and the range of the seqs."""
    parts = [id.rpartition(":") for id in ids if isinstance(id, str)]
    wanted = wanted.with_simulations(evaluator.world.simulations.called([name for name, _, _ in parts]))
    seqs = [seq for _, _, seq in parts]
    if not all(seq.isdecimal() and len(seq) < _SEQ_DIGITS_MAX for seq in seqs) or not seqs:
        return wanted
    return _within(wanted, "seq", min(map(int, seqs)), max(map(int, seqs)))


def _is_own(node: q.Expr) -> bool:
    return isinstance(node, q.Field) and not node.links and node.up == 0 and not node.step


def _only_simulation(item: q.Expr) -> bool:
    """Whether a condition is about the event's simulation alone."""
    fields = [node for node in q.walk(item) if isinstance(node, q.Field)]
    others = (q.Quantified, q.RelatedAggregate, q.ColumnRef, q.Sequence, q.MatchCount, q.Caused)
    return (
        bool(fields)
        and all(field.links[:1] == ("simulation",) and field.up == 0 and not field.step for field in fields)
        and not any(isinstance(node, others) for node in q.walk(item))
    )


def _simulations(evaluator: Evaluator, item: q.Expr) -> Array:
    """The simulations for which such a condition holds: asked of their own table."""
    frame = Frame(evaluator.world.simulations)
    return np.flatnonzero(evaluator.holds(_moved(item), Scope((frame,))))


def _moved(node: Any) -> Any:
    """The condition with its fields read from the simulation itself."""
    if isinstance(node, q.Field):
        return replace(node, relation=q.Relation.SIMULATIONS, links=node.links[1:])
    if isinstance(node, q.Node):
        names = [name for name in type(node).__dataclass_fields__ if name != "span"]
        return replace(node, **{name: _moved(getattr(node, name)) for name in names})
    return tuple(_moved(item) for item in node) if isinstance(node, tuple) else node


def _bounds(evaluator: Evaluator, item: q.Expr) -> Iterator[tuple[str, float, float]]:
    """Inclusive bounds that a condition puts on a fixed column."""
    if isinstance(item, q.Range) and _is_own(item.item):
        low, high = _moment(evaluator, item.low), _moment(evaluator, item.high)
        yield from _bound(item.item, -np.inf if low is None else low, np.inf if high is None else high)
    elif isinstance(item, q.Compare):
        for field, op, other in ((item.left, item.op, item.right), (item.right, _flipped(item.op), item.left)):
            moment = _moment(evaluator, other) if _is_own(field) else None
            if moment is not None:
                low = moment if op in ("=", ">", ">=") else -np.inf
                yield from _bound(field, low, moment if op in ("=", "<", "<=") else np.inf)


def _bound(field: q.Expr, low: float, high: float) -> Iterator[tuple[str, float, float]]:
    if isinstance(field, q.Field) and field.name in _BOUNDED:
        yield field.name, low, high


def _flipped(op: str) -> str:
    return {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(op, op)


def _moment(evaluator: Evaluator, expr: q.Expr) -> float | None:
    """The number that a constant of a bound stands for."""
    match expr:
        case q.Literal(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case q.Now():
            return evaluator.world.now_us
        case q.Ago(duration=duration):
            return evaluator.world.now_us - duration
    return None
