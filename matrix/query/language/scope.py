"""What names mean at a place in a query: the rows there, the columns made so far, aliases and steps.

A path is resolved to a ``Field`` or a ``ColumnRef``, or refused with the name that was likely meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from matrix.query.language.fields import FIELDS, FieldInfo, fields_of, relations_with
from matrix.query.language.literals import unquote
from matrix.query.language.suggest import Edit, Refusal, did_you_mean, joined, listed, nearest, refusal
from matrix.query.syntax import WILDCARD, Column, ColumnRef, Field, PathPart, Relation, Span, Type


class Part(NamedTuple):
    """One part of a path: a key, an index or ``[*]``; ``is_name`` when it was written as a plain word."""

    value: PathPart
    span: Span
    is_name: bool


_PART = re.compile(r'\.?(?:([^\W\d]\w*)|("(?:\\.|[^"\\\n])*")|\[(-?\d+|\*)\])')


def parts_of(text: str, start: int) -> list[Part]:
    """A path's parts: ``.items[0]."odd key"`` is items, 0, odd key."""
    parts = []
    for found in _PART.finditer(text):
        name, quoted, index = found.groups()
        group = 1 if name else 2 if quoted else 3
        span = (start + found.start(group), start + found.end(group))
        if name:
            parts.append(Part(name, span, True))
        elif quoted:
            parts.append(Part(unquote(quoted, span), span, False))
        elif index == "*":
            parts.append(Part(WILDCARD, span, False))
        else:
            if len(index) > 10:
                raise refusal(
                    "number-too-large",
                    f"[{index[:10]}…] is too large an index",
                    span,
                    "an index has ten digits at most; [-1] is the last element",
                )
            parts.append(Part(int(index), span, False))
    return parts


def name_of(text: str) -> str:
    """The column name of a path: its names joined with ``_``."""
    return "_".join(str(part.value) for part in parts_of(text, 0) if part.value is not WILDCARD)


@dataclass(slots=True)
class Scope:
    """The rows a condition is about. ``relation`` is None once rows are only columns.

    ``columns`` were made by stages and come before fields of the same name. ``steps`` are the
    events of a sequence that have a name here. ``outer`` is the scope this one is inside of.
    """

    relation: Relation | None
    seen_by_agent: bool = False
    alias: str = ""
    columns: dict[str, Column] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    is_step: bool = False  # the row is an event of a sequence
    steps_seen_by_agent: bool = False
    outer: Scope | None = None

    def what(self) -> str:
        """What the rows are called in a message."""
        return self.relation.value if self.relation else "these rows"

    def fields(self) -> dict[str, FieldInfo]:
        """The fields of the rows; none once they are only columns."""
        return fields_of(self.relation, seen_by_agent=self.seen_by_agent) if self.relation else {}

    def names(self) -> list[str]:
        """Every bare name that has a meaning here."""
        return [*self.columns, *(name for name in self.fields() if name not in self.columns)]


#: A name that no query has: the checker stops at it and says what may stand there.
PROBE = "zz_completed_here"


class Probed(Exception):
    """What the checker knew at the place of ``PROBE``: the rows there, and what the name would be."""

    def __init__(self, scope: Scope | None, left: object = None, *, is_kind: bool = False) -> None:
        super().__init__("a place to complete")
        self.scope, self.left, self.is_kind = scope, left, is_kind


class Origin(NamedTuple):
    """Where a path begins: a row some scopes out, or the event of a step."""

    relation: Relation
    up: int
    step: str
    seen_by_agent: bool


def find_origin(name: str, scope: Scope) -> Origin | None:
    """The alias or step of this name, in this scope or one further out."""
    inner: Scope | None = scope
    up = 0
    while inner is not None:
        if name in inner.steps:
            return Origin(Relation.EVENTS, 0, name, inner.steps_seen_by_agent)
        if name == inner.alias and inner.relation:
            return Origin(inner.relation, up, "", inner.seen_by_agent)
        inner, up = inner.outer, up + 1
    return None


def resolve(text: str, span: Span, scope: Scope) -> Field | ColumnRef:
    """What a path means here; refused when it means nothing."""
    if text == PROBE:
        raise Probed(scope)
    parts = parts_of(text, span[0])
    if text.startswith("."):
        return _own_data(text, span, parts, scope)
    first = str(parts[0].value)
    if first in scope.columns:
        column = scope.columns[first]
        if len(parts) > 1:
            hint = f"select the value itself, before there are only columns: … as {first}_{parts[1].value}"
            if parts[1].value is WILDCARD or not parts[1].is_name:
                hint = f"leave out what follows: {first}"
            raise refusal("nothing-follows", f'"{first}" is a column: nothing can follow it', parts[1].span, hint)
        return ColumnRef(span, first, column.type)
    if scope.relation and first in scope.fields():
        here = Origin(scope.relation, 0, "", scope.seen_by_agent)
        return _follow(span, parts, here, scope)
    origin = find_origin(first, scope)
    if origin is None:
        _unknown_name(text, span, parts, scope)
    if len(parts) == 1:
        hint = f"say which of its fields, for example {first}.{'id' if origin.step == '' else 'time'}"
        raise refusal("alias-alone", f'"{first}" is a whole row', span, hint)
    return _follow(span, parts[1:], origin, scope)


def _own_data(text: str, span: Span, parts: list[Part], scope: Scope) -> Field:
    """A path with a leading dot: into the data of the row itself."""
    if scope.relation is None:
        near = nearest(str(parts[0].value), list(scope.columns))
        raise columns_only(scope, span, near, *([Edit(*span, near)] if near else []))
    _refuse_unless_it_has_data(scope.relation, span)
    path = tuple(part.value for part in parts)
    relation = scope.relation
    return Field(span, relation, (), relation, "data", path, Type.ANY, seen_by_agent=scope.seen_by_agent)


def columns_only(scope: Scope, span: Span, near: str = "", *fixes: Edit) -> Refusal:
    """What needs rows of a relation stands where there are only columns."""
    hint = did_you_mean(near) or "put this before the stage that made columns of the rows"
    message = f"after this stage the columns are: {listed(scope.columns)}"
    return refusal("columns-only", message, span, hint, *fixes)


def _refuse_unless_it_has_data(relation: Relation, span: Span) -> None:
    if "data" not in FIELDS[relation]:
        hint = "its messages have: any message (…), or the stage | messages"
        raise refusal("no-data", f"{relation.value} have no data of their own", span, hint)


def _follow(span: Span, parts: list[Part], origin: Origin, scope: Scope) -> Field:
    """Follow links part by part to a field, or into the data at the end of them."""
    owner = origin.relation
    links: tuple[str, ...] = ()
    known = fields_of(owner, seen_by_agent=origin.seen_by_agent)
    for index, part in enumerate(parts):
        name = str(part.value)
        if not part.is_name or name not in known:
            _unknown_part(parts, index, owner, known)
        info = known[name]
        rest = parts[index + 1 :]
        if name == "data":
            path = tuple(p.value for p in rest)
            return _field(span, origin, links, owner, name, path, Type.ANY if path else Type.MAP)
        if info.link is None:
            if rest:
                hint = (
                    "your own data starts with a dot or with data"
                    if rest[0].is_name
                    else f"leave out what follows: {name}"
                )
                raise refusal(
                    "nothing-follows", f'"{name}" is a {info.type}: nothing can follow it', rest[0].span, hint
                )
            return _field(span, origin, links, owner, name, (), info.type)
        links = (*links, name)
        owner = info.link
        if not rest:
            return _field(span, origin, links, owner, info.bare, (), Type.TEXT)
        known = fields_of(owner, seen_by_agent=False)
    raise AssertionError("a path has at least one part")


def _field(
    span: Span,
    origin: Origin,
    links: tuple[str, ...],
    owner: Relation,
    name: str,
    path: tuple[PathPart, ...],
    type_: Type,
) -> Field:
    return Field(span, origin.relation, links, owner, name, path, type_, origin.up, origin.step, origin.seen_by_agent)


def _unknown_part(parts: list[Part], index: int, owner: Relation, known: dict[str, FieldInfo]) -> NoReturn:
    """A name after a link (or an alias) that is no field of what the link leads to."""
    part = parts[index]
    if not part.is_name:
        raise refusal("nothing-follows", f"{owner.value} have no element to take here", part.span, "say data first")
    near = nearest(str(part.value), list(known))
    has_data = "data" in known
    hint = joined(did_you_mean(near), f"Its own data is under data: data.{part.value}" if has_data else "")
    hint = hint or _has(owner)
    fixes = [Edit(*part.span, near)] if near else [Edit(*part.span, f"data.{part.value}")] if has_data else []
    raise refusal("unknown-field", f'{owner.value} have no field "{part.value}"', part.span, hint, *fixes)


def _has(relation: Relation) -> str:
    """All fields of a relation, for a name that is like none of them."""
    return f"{relation.value} have: {listed(FIELDS[relation])}"


def _unknown_name(text: str, span: Span, parts: list[Part], scope: Scope) -> NoReturn:
    """A name that is no column, field, alias or step."""
    first = parts[0]
    name = str(first.value)
    steps = _steps_around(scope)
    aliases = _aliases_around(scope)
    if len(parts) > 1 and parts[1].is_name and not steps and (near := nearest(name, aliases)):
        message = f'{scope.what()} have no field "{name}"'
        raise refusal("unknown-field", message, first.span, did_you_mean(near), Edit(*first.span, near))
    if len(parts) > 1 and parts[1].is_name and (scope.is_step or steps):
        near = nearest(name, [*steps, *aliases]) or (steps[0] if len(steps) == 1 else "")
        so_far = f"steps so far: {listed(steps)}" if steps else 'name a step with "as", for example: did offer as o'
        hint = joined(did_you_mean(near) if len(near) > 1 else "", so_far)
        raise refusal(
            "unknown-step", f'no step is named "{name}"', span, hint, *([Edit(*first.span, near)] if near else [])
        )
    if scope.relation is None:
        _unknown_column(name, first.span, scope)
    if name in FIELDS[scope.relation]:
        hint = f"say for example: agents where any {scope.what()[:-1]} ({name})"
        message = f'{scope.what()} have "{name}" only where they are reached from an agent'
        raise refusal("needs-agent", message, first.span, hint)
    if name == "count":
        hint = "to count rows use a stage: | count; to count what a row leads to say of what: count(offer)"
        raise refusal("unknown-field", f'{scope.what()} have no field "count"', first.span, hint)
    near = nearest(name, scope.names())
    elsewhere = [relation for relation in relations_with(name) if relation is not scope.relation]
    own = f".{text}"
    has_data = "data" in FIELDS[scope.relation]
    message = f'{scope.what()} have no field "{name}"'
    if elsewhere and len(parts) == 1:
        hint = joined(f"{elsewhere[0].value} have it;", f"your own data starts with a dot: {own}" if has_data else "")
        raise refusal("unknown-field", message, first.span, hint.removesuffix(";"))
    fixes = [Edit(*first.span, near)] if near else []
    if has_data and len(parts) == 1:
        fixes.append(Edit(*span, own))
    hint = joined(did_you_mean(near), f"Your own data starts with a dot: {own}" if has_data else "")
    raise refusal("unknown-field", message, first.span, hint or _has(scope.relation), *fixes)


def _unknown_column(name: str, span: Span, scope: Scope) -> NoReturn:
    near = nearest(name, list(scope.columns))
    hint = joined(
        did_you_mean(near),
        f'The columns here are: {listed(scope.columns)}; name one with "as", for example: count as errors',
    )
    message = f'these rows have no field "{name}"'
    raise refusal("unknown-column", message, span, hint, *([Edit(*span, near)] if near else []))


def _steps_around(scope: Scope) -> list[str]:
    """Every step that has a name here."""
    steps: list[str] = []
    inner: Scope | None = scope
    while inner is not None:
        steps.extend(inner.steps)
        inner = inner.outer
    return steps


def _aliases_around(scope: Scope) -> list[str]:
    """Every alias that can be used here."""
    aliases = []
    inner: Scope | None = scope
    while inner is not None:
        aliases.append(inner.alias)
        inner = inner.outer
    return [alias for alias in aliases if alias]


def field_info(item: object, scope: Scope) -> FieldInfo | None:
    """What the catalogue says of the field that an expression reads, seeing through columns."""
    if isinstance(item, ColumnRef) and item.name in scope.columns:
        item = scope.columns[item.name].expr
    if isinstance(item, Field) and item.name != "data":
        return FIELDS[item.owner].get(item.name)
    return None


def field_behind(item: object, scope: Scope) -> Field | None:
    """The built-in field an expression reads, seeing through columns."""
    if isinstance(item, ColumnRef) and item.name in scope.columns:
        item = scope.columns[item.name].expr
    return item if isinstance(item, Field) and item.name != "data" else None
