"""Where a query reads payloads: each path, with the kinds of event that can stand at its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from matrix.query import syntax as q

#: The kinds an event can be of; () for any.
Kinds: TypeAlias = tuple[q.KindPattern, ...]
_EVENTS = (q.Relation.EVENTS, q.Relation.MESSAGES)


class PathAt(NamedTuple):
    """A path into the payload of an event of one of ``kinds``; () for any kind."""

    kinds: Kinds
    path: tuple[q.PathPart, ...]


@dataclass(frozen=True)
class Here:
    """The kinds of the rows at a place, innermost first, and those of the steps that have a name."""

    scopes: tuple[Kinds, ...]
    steps: Mapping[str, Kinds]

    def inside(self, kinds: Kinds) -> Here:
        """One scope deeper."""
        return Here((kinds, *self.scopes), self.steps)

    def kinds_of(self, field: q.Field) -> Kinds:
        """What the row that a field begins at can be."""
        if field.links:
            return ()
        if field.step:
            return self.steps.get(field.step, ())
        return self.scopes[field.up] if field.up < len(self.scopes) else ()


def paths_of(query: q.Query) -> Iterator[PathAt]:
    """Every path into a payload that the query reads."""
    here = Here((narrowed(query.source.kinds, query.source.where),), {})
    yield from _within(query.source, here)
    for stage in query.stages:
        yield from _within(stage, here if not isinstance(stage, q.Follow) else Here((), {}))
        here = _after(stage, here)


def _after(stage: q.Stage, here: Here) -> Here:
    """What the rows are behind a stage."""
    match stage:
        case q.Where(condition=condition):
            return Here((narrowed(here.scopes[0], condition),), here.steps)
        case q.Match(sequence=sequence):
            return Here(((),), _steps(sequence))
        case q.Follow(to=source):
            return Here((narrowed(source.kinds, source.where),), {})
        case q.Causes() | q.Effects() | q.Select() | q.Aggregate() | q.Funnel():
            return Here(((),), {})
    return here


def narrowed(kinds: Kinds, condition: q.Expr | None) -> Kinds:
    """The kinds of rows that meet a condition, as far as it names them: ``kind = offer and …``."""
    parts = condition.items if isinstance(condition, q.And) else (condition,)
    for part in parts:
        is_own = isinstance(part, q.KindIs) and not (part.item.links or part.item.up or part.item.step)
        if is_own and not kinds:
            assert isinstance(part, q.KindIs)
            return part.kinds
    return kinds


def _steps(sequence: q.Sequence) -> dict[str, Kinds]:
    return {step.name: _any_of(step.patterns) for step in sequence.steps if step.name}


def _any_of(patterns: tuple[q.Pattern, ...]) -> Kinds:
    found = [narrowed(pattern.kinds, pattern.where) for pattern in patterns]
    return tuple(kind for kinds in found for kind in kinds) if all(found) else ()


def _within(node: q.Node, here: Here) -> Iterator[PathAt]:
    """The paths in a node and below it."""
    match node:
        case q.Field():
            if node.owner in _EVENTS and node.name == "data" and node.path:
                yield PathAt(_spanless(here.kinds_of(node)), node.path)
            return
        case q.Follow(to=source):
            yield from _within(source, Here((narrowed(source.kinds, source.where),), {}))
            return
        case q.Related():
            here = here.inside(narrowed(node.kinds, node.where))
        case q.RelatedAggregate(related=related, argument=argument):
            yield from _within(related, here)
            if argument is not None:
                yield from _within(argument, here.inside(narrowed(related.kinds, related.where)))
            return
        case q.Pattern():
            here = here.inside(narrowed(node.kinds, node.where))
        case q.Sequence():
            yield from _in_sequence(node, here)
            return
    for child in q.children(node):
        yield from _within(child, here)


def _in_sequence(sequence: q.Sequence, here: Here) -> Iterator[PathAt]:
    """In a sequence steps may be named, and what is the same is read on all of them."""
    inside = Here(here.scopes, {**here.steps, **_steps(sequence)})
    everywhere = [_any_of(step.patterns) for step in sequence.steps]
    same = tuple(kind for kinds in everywhere for kind in kinds) if all(everywhere) else ()
    for child in q.children(sequence):
        yield from _within(child, inside.inside(same) if child in sequence.same else inside)


def _spanless(kinds: Kinds) -> Kinds:
    """The kinds without their places in the text, so that equal places are one."""
    return tuple(q.KindPattern((0, 0), kind.name, kind.is_prefix) for kind in kinds)
