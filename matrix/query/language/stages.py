"""Sources and stages: what the rows are after each, and which columns the result has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from lark import Token, Tree

from matrix.query.language.aggregates import aggregate_of, check_argument, result_type
from matrix.query.language.columns import (
    aggregate_name,
    check_unique,
    column_name,
    default_columns,
    shape_columns,
)
from matrix.query.language.context import Context, condition, handles, span_of, value
from matrix.query.language.context import expression as any_expression
from matrix.query.language.fields import SHAPES
from matrix.query.language.related import sees, source_of
from matrix.query.language.scope import Scope, field_info
from matrix.query.language.sequences import TAKEN_WORDS, check_new_name, check_sequence, steps_of
from matrix.query.language.suggest import Edit, did_you_mean, joined, listed, nearest, refusal
from matrix.query.language.watching import keys_of_one_run, refuse_in_watch
from matrix.query.language.words import duration, event_id, kind_pattern, size
from matrix.query.syntax import (
    Aggregate,
    AggregateCall,
    AsOf,
    Causes,
    Column,
    ColumnRef,
    Effects,
    Expr,
    Field,
    Follow,
    Funnel,
    Limit,
    Match,
    Per,
    Relation,
    Sample,
    Select,
    Shape,
    Sort,
    SortKey,
    Source,
    Span,
    Stage,
    Type,
    Where,
)

TokenTree = Tree[Token]
EVENT_LIKE = (Relation.EVENTS, Relation.MESSAGES)


class StageChecker:
    """The stages of one query; ``scope`` is what the rows are so far."""

    def __init__(self, context: Context, *, is_watch: bool, is_explain: bool) -> None:
        self.context, self.is_watch, self.is_explain = context, is_watch, is_explain
        self.has_buckets = False
        self.scope = Scope(None)
        self.relation = Relation.EVENTS  # what the rows are, or were before they became columns
        self.first: Source | None = None  # until the first stage
        self.shape: Shape | None = None

    # -- sources -------------------------------------------------------------------------------------

    def source(self, tree: TokenTree) -> Source:
        """The first relation of the query."""
        things, _, as_of, _ = cast(list[Any], tree.children)
        self.scope = Scope(Relation(str(things.children[0])))
        if as_of is not None and self.is_watch:
            hint = 'leave out "watch" to ask how things were, or "as of" to be told how they go on'
            raise refusal("not-in-watch", "a watch looks at what comes, not at a moment", span_of(as_of), hint)
        self.first = self._source(tree, None if as_of is None else self._as_of(as_of))
        return self.first

    def _source(self, tree: TokenTree, as_of: AsOf | None) -> Source:
        things, alias, _, where = cast(list[Any], tree.children)
        word, kinds = (*things.children, None)[:2]
        patterns = () if kinds is None else tuple(kind_pattern(self.context, kind) for kind in kinds.children)
        if alias is not None:
            check_new_name(alias, [])
            self._refuse_shape_as_alias(alias)
            self.scope.alias = str(alias)
        checked = None if where is None else condition(self.context, where.children[0], self.scope)
        return Source(span_of(tree), Relation(str(word)), patterns, str(alias or ""), as_of, checked)

    def _refuse_shape_as_alias(self, alias: Token) -> None:
        """``conversations as chat``: a shape, and not another name for the rows."""
        if alias in SHAPES:
            start, end = span_of(alias)
            fix = Edit(self.context.text.rindex("as", 0, start), end, f"| as {alias}")
            raise refusal("name-taken", f'"{alias}" is a shape', (start, end), f"say: | as {alias}", fix)

    def _as_of(self, tree: TokenTree) -> AsOf:
        first, second = cast(list[Any], (*tree.children, None)[:2])
        span = span_of(tree)
        if first.type == "TURN":
            return AsOf(span, "turn", size(self.context, second))
        if first.type == "EVENT":
            return AsOf(span, "event", event_id(self.context, second))
        moment = any_expression(self.context, Tree(first.type.lower(), [first], tree.meta), self.scope)
        if moment.type is Type.DURATION:
            return AsOf(span, "time", moment.value)  # type: ignore[union-attr]  # a literal, by its rule
        if moment.type is Type.TIME:
            return AsOf(span, "wall", moment.value)  # type: ignore[union-attr]
        hint = 'a moment is a duration, a clock time, turn 12, or event "r7:1042"'
        raise refusal("bad-parameter", f"{first} is not a moment", span_of(first), hint)

    # -- stages --------------------------------------------------------------------------------------

    def stage(self, tree: TokenTree) -> Stage:
        """One stage, and what the rows are after it."""
        if self.shape is not None and self.shape.name != "table":
            raise refusal(
                "shape-last", f'"as {self.shape.name}" comes last', self.shape.span, "put it after the other stages"
            )
        if self.is_watch:
            self.relation = self.scope.relation or self.relation
            refuse_in_watch(self.context, tree, self.relation, self.first, has_buckets=self.has_buckets)
            self.first = None
        check = getattr(self, f"_{tree.data}")
        return cast(Stage, check(tree))

    def _where(self, tree: TokenTree) -> Where:
        return Where(span_of(tree), condition(self.context, tree.children[0], self.scope))

    def _select(self, tree: TokenTree) -> Select:
        columns = self._items(tree.children, can_star=True)
        check_unique(columns)
        self._rows_become(columns)
        return Select(span_of(tree), columns)

    def _items(self, items: list[Any], *, can_star: bool) -> tuple[Column, ...]:
        """``a, b as c, *``: columns with their names."""
        columns: list[Column] = []
        for item in items:
            child, name = (*item.children, None)[:2]
            if isinstance(child, Token):
                if not can_star:
                    hint = "name the columns to group by"
                    raise refusal("star-here", "* stands for columns: it belongs in select", span_of(child), hint)
                columns.extend(replace(c, span=span_of(child)) for c in default_columns(self.scope, span_of(child)))
                continue
            read = any_expression if can_star else value
            expr = read(self.context, child, self.scope)
            columns.append(Column(span_of(item), self._name(child, name), expr, expr.type))
        return tuple(columns)

    def _name(self, tree: Any, name: Token | None) -> str:
        if name is None:
            return column_name(self.context, tree)
        check_column_name(name)
        return str(name)

    def _rows_become(self, columns: tuple[Column, ...]) -> None:
        """After this the rows are only columns; what they were is kept behind them, for names and statuses."""
        behind = {}
        for column in columns:
            expr = column.expr
            if isinstance(expr, ColumnRef) and expr.name in self.scope.columns:
                column = replace(column, expr=self.scope.columns[expr.name].expr)
            behind[column.name] = column
        self.scope = Scope(None, columns=behind)

    def _sort(self, tree: TokenTree) -> Sort:
        keys = []
        for item in cast(list[TokenTree], tree.children):
            expr, order = item.children
            keys.append(SortKey(span_of(item), value(self.context, expr, self.scope), order == "desc"))
        return Sort(span_of(tree), tuple(keys))

    def _limit(self, tree: TokenTree) -> Limit:
        return Limit(span_of(tree), size(self.context, tree.children[0]))

    def _sample(self, tree: TokenTree) -> Sample:
        if self.scope.relation is None:
            hint = "put sample before the stage that makes columns"
            raise refusal(
                "columns-only", "a sample is chosen by the ids of rows, and these have none", span_of(tree), hint
            )
        count, seed = cast(list[Any], tree.children)
        return Sample(span_of(tree), size(self.context, count), 0 if seed is None else size(self.context, seed))

    # -- aggregates ----------------------------------------------------------------------------------

    def _aggregate(self, tree: TokenTree) -> Aggregate:
        *items, by, per_tree = cast(list[Any], tree.children)
        values = tuple(self._aggregate_column(item) for item in items)
        keys = () if by is None else self._items(by.children, can_star=False)
        per = None if per_tree is None else self._per(per_tree)
        bucket = () if per is None else (Column(per.span, "time", per.value, _bucket_type(per)),)
        self.has_buckets = True
        if self.is_watch and not self.is_explain:
            keys = keys_of_one_run(keys, values, span_of(tree))
        columns = (*keys, *bucket, *values)
        check_unique(columns)
        self._rows_become(columns)
        return Aggregate(span_of(tree), keys, per, values)

    def _aggregate_column(self, item: TokenTree) -> Column:
        tree, name = cast(list[Any], item.children)
        expr = any_expression(self.context, tree, self.scope)
        if name is not None:
            check_column_name(name)
        found = str(name) if name is not None else aggregate_name(self.context, tree)
        return Column(span_of(item), found, expr, expr.type)

    def _per(self, tree: TokenTree) -> Per:
        first, second = cast(list[Any], (*tree.children, None)[:2])
        span = span_of(tree)
        if isinstance(second, Token) and second.type == "TURNS":
            return Per(
                span, self._bucketed("turn", Type.NUMBER, span), self._width(size(self.context, first), span), "turns"
            )
        width = self._width(duration(self.context, first), span)
        if second is None:
            return Per(span, self._bucketed("time", Type.DURATION, span), width, "time")
        return Per(span, self._bucketed("wall", Type.TIME, span), width, "wall")

    def _width(self, width: int, span: Span) -> int:
        if width <= 0:
            raise refusal("empty-range", "a bucket needs a width", span, "for example: per 1m")
        return width

    def _bucketed(self, name: str, type_: Type, span: Span) -> Field | ColumnRef:
        """What is cut into buckets: ``time``, ``wall`` or ``turn``, else ``start`` when that is of the type."""
        for candidate in (name, "time", "start"):
            column = self.scope.columns.get(candidate)
            if column is not None and column.type is type_:
                return ColumnRef(span, candidate, type_)
            info = self.scope.fields().get(candidate)
            if self.scope.relation and info is not None and info.type is type_ and column is None:
                relation = self.scope.relation
                seen = self.scope.seen_by_agent
                return Field(span, relation, (), relation, candidate, (), type_, seen_by_agent=seen)
        kind = {"time": "time inside the simulation", "wall": "wall-clock time", "turn": "turn"}[name]
        has_wall = self.scope.relation is Relation.SIMULATIONS and name == "time"
        hint = "say: per 1h of wall" if has_wall else "group by a column instead: | count by …, or keep one called time"
        raise refusal("no-buckets", f"{self.scope.what()} have no {kind} to cut into buckets", span, hint)

    # -- sequences and causes ------------------------------------------------------------------------

    def _match(self, tree: TokenTree) -> Match:
        sequence = check_sequence(self.context, cast(TokenTree, tree.children[0]), self.scope)
        span = span_of(tree)
        made = {
            name: Column(span, name, ColumnRef(span, name, Type.DURATION), Type.DURATION)
            for name in ("start", "end", "duration")
        }
        steps = tuple(step.name for step in sequence.steps if step.name)
        is_agents = self.scope.relation is Relation.AGENTS
        self.scope = replace(self.scope, columns=made, steps=steps, steps_seen_by_agent=is_agents)
        return Match(span, sequence)

    def _funnel(self, tree: TokenTree) -> Funnel:
        sequence_tree, by = cast(list[Any], tree.children)
        sequence = check_sequence(self.context, sequence_tree, self.scope)
        keys = () if by is None else self._items(by.children, can_star=False)
        span = span_of(tree)
        types = {
            "step": Type.NUMBER,
            "event": Type.TEXT,
            "reached": Type.NUMBER,
            "share": Type.NUMBER,
            "median_time": Type.DURATION,
        }
        made = tuple(Column(span, name, ColumnRef(span, name, type_), type_) for name, type_ in types.items())
        check_unique((*keys, *made))
        self._rows_become((*keys, *made))
        return Funnel(span, sequence, keys)

    def _causes(self, tree: TokenTree) -> Causes:
        return Causes(span_of(tree), self._walk("causes", tree))

    def _effects(self, tree: TokenTree) -> Effects:
        return Effects(span_of(tree), self._walk("effects", tree))

    def _walk(self, word: str, tree: TokenTree) -> int | None:
        span = span_of(tree)
        if self.scope.relation not in EVENT_LIKE:
            hint = "for example: events goal.failed | causes"
            raise refusal("needs-events", f'"{word}" needs events to start from', (span[0], span[0] + len(word)), hint)
        made = {"depth": Type.NUMBER, "origin": Type.TEXT}
        columns = {name: Column(span, name, ColumnRef(span, name, type_), type_) for name, type_ in made.items()}
        self.scope = Scope(Relation.EVENTS, columns=columns)
        within = tree.children[0]
        return None if within is None else steps_of(self.context, cast(TokenTree, within))

    # -- other rows, other shapes --------------------------------------------------------------------

    def _follow(self, tree: TokenTree) -> Follow:
        source_tree = cast(TokenTree, tree.children[0])
        things, _, as_of, _ = cast(list[Any], source_tree.children)
        if as_of is not None:
            hint = "the whole query then sees the log as it was"
            raise refusal("late-as-of", '"as of" belongs to the first relation', span_of(as_of), hint)
        word = things.children[0]
        relation = Relation(str(word))
        before = source_of(relation, span_of(word), self.scope)
        self.scope = Scope(relation, seen_by_agent=sees(before, relation))
        return Follow(span_of(tree), before, self._source(source_tree, None))

    def _shape(self, tree: TokenTree) -> Shape:
        token = cast(Token, tree.children[0])
        name, span = str(token), span_of(token)
        if name not in SHAPES:
            near = nearest(name, SHAPES)
            hint = joined(did_you_mean(near), f"Shapes are: {listed(SHAPES)}")
            raise refusal(
                "unknown-shape", f'there is no shape "{name}"', span, hint, *([Edit(*span, near)] if near else [])
            )
        relation = self.scope.relation
        if name == "chat" and relation is not Relation.CONVERSATIONS:
            fix = Edit(span_of(tree)[0], span_of(tree)[0], "conversations | ")
            raise refusal("wrong-shape", "a chat is made of conversations", span, "say: | conversations | as chat", fix)
        if name == "tree" and relation is not Relation.EVENTS:
            raise refusal(
                "wrong-shape", "a tree is made of events", span, "for example: events goal.failed | causes | as tree"
            )
        if name == "timeline" and relation is None:
            hint = "put it before the stage that made columns of the rows, or leave it out"
            raise refusal("wrong-shape", "a timeline is made of rows with times, not of columns", span, hint)
        self.shape = Shape(span_of(tree), cast(Any, name))
        if name != "table":
            self._rows_become(shape_columns(name, relation, span_of(tree)))
        return self.shape


def check_column_name(token: Token) -> None:
    """A column may have any one word for a name that a later stage can read."""
    name, span = str(token), span_of(token)
    if not name.isidentifier():
        raise refusal(
            "bad-name", f'"{name}" is not a name', span, "a name is one word", Edit(*span, name.replace(".", "_"))
        )
    if name in TAKEN_WORDS and name != "data":
        other = f"{name}_1" if not name.endswith("ed") else f"{name}_count"
        hint = f"choose another name, such as {other}"
        raise refusal("name-taken", f'"{name}" is a word of the language', span, hint, Edit(*span, other))


def _bucket_type(per: Per) -> Type:
    return {"time": Type.DURATION, "wall": Type.TIME, "turns": Type.NUMBER}[per.unit]


@handles("agg")
def check_aggregate(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """An aggregate in a stage: ``count``, ``count(condition)``, ``avg(x)``."""
    function, argument = cast(list[Any], tree.children)
    span = span_of(tree)
    if function.type == "COUNT":
        return AggregateCall(span, "count", _counted(context, argument, scope), Type.NUMBER)
    name, percentile = aggregate_of(function)
    item = value(context, argument, scope)
    check_argument(context.text, name, str(function), item)
    return AggregateCall(span, name, item, result_type(name, item), percentile)


def _counted(context: Context, argument: Any, scope: Scope) -> Expr | None:
    """The condition in ``count( )``; a value there is a mistake that has two likely meanings."""
    if argument is None:
        return None
    if argument.data == "path":
        token = argument.children[0]
        is_field = token.type == "DATA" or str(token).partition(".")[0] in scope.names()
        if (is_field and field_info(any_expression(context, argument, scope), scope) is None) or is_field:
            found = any_expression(context, argument, scope)
            if found.type is not Type.BOOL:
                hint = (
                    f"for rows that have a value say count({token} exists), for different values say distinct({token})"
                )
                raise refusal("count-of-value", "count( ) counts rows where a condition holds", span_of(argument), hint)
    return condition(context, argument, scope)
