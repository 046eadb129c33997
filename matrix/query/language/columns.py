"""The names of columns: what a path, an aggregate or a whole row is called in a result."""

from __future__ import annotations

from typing import Any

from lark import Token

from matrix.query.language.context import Context, span_of
from matrix.query.language.fields import FIELDS, FieldInfo
from matrix.query.language.scope import Scope, name_of
from matrix.query.language.suggest import Edit, refusal
from matrix.query.syntax import Column, ColumnRef, Field, Relation, Span, Type


def column_name(context: Context, tree: Any) -> str:
    """A path gives its names joined with ``_``; an aggregate its own and those of what it is of."""
    if tree.data == "path":
        name = name_of(str(tree.children[0]))
        if name:
            return name
    if tree.data in ("related_agg", "agg"):
        return aggregate_name(context, tree)
    span = span_of(tree)
    written = context.text[slice(*span)]
    hint = f'name it with "as", for example: {written} as value'
    raise refusal("needs-name", "this column needs a name", span, hint, Edit(span[1], span[1], " as value"))


def aggregate_name(context: Context, tree: Any) -> str:
    """``sum(.tokens)`` is ``sum_tokens``, ``count(succeeded)`` ``count_succeeded``, sums of aggregates need a name."""
    if tree.data not in ("related_agg", "agg"):
        span = span_of(tree)
        raise refusal(
            "needs-name", "this column needs a name", span, 'name it with "as"', Edit(span[1], span[1], " as value")
        )
    function, argument = tree.children[0], tree.children[1]
    return "_".join(part for part in (str(function), _words_of(argument)) if part)


def _words_of(tree: Any) -> str:
    """The words that a name takes from an argument; none from a longer expression."""
    if tree is None:
        return ""
    if isinstance(tree, Token):
        return str(tree)
    if tree.data == "path":
        return name_of(str(tree.children[0]))
    if tree.data in ("related_agg", "agg"):
        return "_".join(part for part in (str(tree.children[0]), _words_of(tree.children[1])) if part)
    if tree.data == "goal_test":
        return str(tree.children[-1].children[0])
    return ""


def default_columns(scope: Scope, span: Span) -> tuple[Column, ...]:
    """What a row shows when nothing was selected: its fields in the order of the catalogue, and what stages made."""
    if scope.relation is None:
        return tuple(
            Column(span, name, ColumnRef(span, name, column.type), column.type)
            for name, column in scope.columns.items()
        )
    columns = [_default(scope.relation, name, info, scope, span) for name, info in scope.fields().items()]
    made = [name for name in scope.columns if name not in scope.fields()]
    columns.extend(
        Column(span, name, ColumnRef(span, name, scope.columns[name].type), scope.columns[name].type) for name in made
    )
    for step in scope.steps:
        seen = scope.steps_seen_by_agent
        event = Field(span, Relation.EVENTS, (), Relation.EVENTS, "id", (), Type.TEXT, step=step, seen_by_agent=seen)
        columns.append(Column(span, step, event, Type.TEXT))
    return tuple(columns)


def _default(relation: Relation, name: str, info: FieldInfo, scope: Scope, span: Span) -> Column:
    if name in scope.columns:
        column = scope.columns[name]
        return Column(span, name, ColumnRef(span, name, column.type), column.type)
    seen = scope.seen_by_agent
    if info.link is not None:
        type_ = FIELDS[info.link][info.bare].type
        link = Field(span, relation, (name,), info.link, info.bare, (), type_, seen_by_agent=seen)
        return Column(span, name, link, type_)
    return Column(span, name, Field(span, relation, (), relation, name, (), info.type, seen_by_agent=seen), info.type)


_SHAPES: dict[str, dict[str, Type]] = {
    "chat": {"simulation": Type.TEXT, "conversation": Type.TEXT, "agent": Type.TEXT, "messages": Type.LIST},
    "tree": {
        "tree": Type.TEXT,
        "id": Type.TEXT,
        "parent": Type.TEXT,
        "level": Type.NUMBER,
        "agent": Type.TEXT,
        "time": Type.DURATION,
        "data": Type.MAP,
    },
    "timeline": {
        "simulation": Type.TEXT,
        "lane": Type.TEXT,
        "what": Type.TEXT,
        "start": Type.DURATION,
        "end": Type.DURATION,
        "status": Type.TEXT,
        "bar": Type.TEXT,
    },
}


def shape_columns(name: str, relation: Relation | None, span: Span) -> tuple[Column, ...]:
    """The columns of ``as chat``, ``as tree`` and ``as timeline``; a timeline of simulations is by the clock."""
    types = dict(_SHAPES[name])
    if name == "timeline" and relation is Relation.SIMULATIONS:
        types |= {"start": Type.TIME, "end": Type.TIME}
    return tuple(Column(span, name, ColumnRef(span, name, type_), type_) for name, type_ in types.items())


def check_unique(columns: tuple[Column, ...]) -> None:
    """No two columns of one name."""
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            hint = f'name one with "as", for example: … as {column.name}2'
            fix = Edit(column.span[1], column.span[1], f" as {column.name}2")
            raise refusal("two-columns", f'two columns are called "{column.name}"', column.span, hint, fix)
        seen.add(column.name)
