"""Conditions about other rows: goals, quantifiers, and counting the rows reached from a row."""

from __future__ import annotations

from typing import Any, NoReturn, cast

from lark import Token, Tree

from matrix.query.language.aggregates import aggregate_of, check_argument, result_type
from matrix.query.language.context import Context, condition, expression, handles, span_of, value
from matrix.query.language.fields import FIELDS, REACHED, RELATION_OF_WORD
from matrix.query.language.literals import parameter, unquote
from matrix.query.language.scope import Scope, columns_only
from matrix.query.language.suggest import Edit, did_you_mean, distance, likeness, listed, refusal
from matrix.query.language.types import NAMES
from matrix.query.language.values import needs_quantity
from matrix.query.language.words import duration, event_id, kind_pattern, size
from matrix.query.syntax import (
    And,
    Compare,
    Exists,
    Expr,
    Field,
    KindPattern,
    Literal,
    MatchCount,
    Not,
    Quantified,
    Related,
    RelatedAggregate,
    Relation,
    Sequence,
    Span,
    Type,
)

TokenTree = Tree[Token]
ROWS_OF_KINDS = {
    Relation.SIMULATIONS: Relation.EVENTS,
    Relation.AGENTS: Relation.EVENTS,
    Relation.GOALS: Relation.EVENTS,
    Relation.CONVERSATIONS: Relation.MESSAGES,
}


# -- goals ---------------------------------------------------------------------------------------------


@handles("goal_test")
def check_goal_test(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``goal "x" failed within 5s``, read by what the rows are."""
    word, name, outcome = cast(list[Any], tree.children)
    span = span_of(tree)
    match scope.relation:
        case Relation.GOALS:
            if word is not None:
                _refuse_goal_of_goal(context, word, name, outcome)
            return all_of(span, _outcome(context, outcome, scope, ()))
        case Relation.EVENTS | Relation.MESSAGES if word is not None:
            goal = _goal_conditions(context, name, outcome, scope, ("goal",))
            return all_of(span, goal)
        case Relation.AGENTS | Relation.SIMULATIONS if word is not None:
            inner = Scope(Relation.GOALS, outer=scope)
            where = all_of(span, _goal_conditions(context, name, outcome, inner, ()))
            return Quantified(span, 1, None, Related(span, scope.relation, Relation.GOALS, where=where))
    if scope.relation is None:
        raise columns_only(scope, span)
    if scope.relation is Relation.CONVERSATIONS and word is not None:
        fix = Edit(span[0], span[0], "any ")
        raise refusal("no-goal", "a conversation has no goal; its agents have", span, "say: any goal succeeded", fix)
    verb = str(outcome.children[0])
    fixes = [Edit(span[0], span[0], "goal "), Edit(span[0], span[0], "any goal ")]
    raise refusal(
        "no-goal", f"it is a goal that has {verb}, not {scope.relation.value}", span, f"say: goal {verb}", *fixes
    )


def _refuse_goal_of_goal(context: Context, word: Token, name: Token | None, outcome: TokenTree) -> NoReturn:
    if name is None:
        raise refusal("goal-of-goal", "each row is already a goal", span_of(word), f"say: {outcome.children[0]}")
    quoted = str(name) if name.type != "NAME" else f'"{name}"'
    fix = Edit(word.start_pos or 0, name.end_pos or 0, f"name = {quoted} and")
    hint = f"say: name = {quoted} and {outcome.children[0]}"
    raise refusal("goal-of-goal", "each row is already a goal", span_of(word), hint, fix)


def _goal_conditions(
    context: Context, name: Token | None, outcome: TokenTree, scope: Scope, links: tuple[str, ...]
) -> list[Expr]:
    named = [] if name is None else [_is_named(context, name, scope, links)]
    return [*named, *_outcome(context, outcome, scope, links)]


def _is_named(context: Context, token: Token, scope: Scope, links: tuple[str, ...]) -> Expr:
    span = span_of(token)
    if token.type == "PARAM":
        given = parameter(token[1:], context.params, span)
        if given.type is not Type.TEXT:
            raise refusal(
                "bad-parameter", f"{token} is {NAMES[given.type]}, not a goal's name", span, "give it as a text"
            )
        text = given.value
    else:
        text = unquote(str(token), span) if token.type == "STRING" else str(token)
    return Compare(span, "=", _goal_field(span, scope, links, "name"), Literal(span, text, Type.TEXT))


def _outcome(context: Context, tree: TokenTree, scope: Scope, links: tuple[str, ...]) -> list[Expr]:
    """``failed within 5s``: the status, and the bound of the goal's duration or turns."""
    verb, within = cast(list[Any], tree.children)
    span = span_of(verb)
    conditions: list[Expr] = []
    if verb == "started":
        conditions.append(Exists(span, _goal_field(span, scope, links, "id")))
    else:
        status = _goal_field(span, scope, links, "status")
        conditions.append(Compare(span, "=", status, Literal(span, str(verb), Type.TEXT)))
    if within is not None:
        conditions.append(_within(context, within, scope, links))
    return conditions


def _within(context: Context, tree: TokenTree, scope: Scope, links: tuple[str, ...]) -> Expr:
    token, unit = (*tree.children, None)[:2]
    span = span_of(tree)
    if unit is None:
        limit = Literal(span, duration(context, cast(Token, token)), Type.DURATION)
        return Compare(span, "<=", _goal_field(span, scope, links, "duration"), limit)
    if str(unit).startswith("event"):
        raise refusal("bad-distance", "a goal is not measured in events", span, "say: within 5s, or: within 10 turns")
    limit = Literal(span, size(context, token), Type.NUMBER)
    return Compare(span, "<=", _goal_field(span, scope, links, "turns"), limit)


def _goal_field(span: Span, scope: Scope, links: tuple[str, ...], name: str) -> Field:
    assert scope.relation is not None
    type_ = FIELDS[Relation.GOALS][name].type
    return Field(span, scope.relation, links, Relation.GOALS, name, (), type_, seen_by_agent=scope.seen_by_agent)


def all_of(span: Span, conditions: list[Expr]) -> Expr:
    """One condition out of several that must all hold."""
    return conditions[0] if len(conditions) == 1 else And(span, tuple(conditions))


# -- quantifiers ---------------------------------------------------------------------------------------


@handles("quantified")
def check_quantified(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``any agent (C)``, ``at least 2 goals (C)``."""
    quantity, thing, where = cast(list[Any], tree.children)
    thing = thing if isinstance(thing, Token) else thing.children[0]
    related = reach(context, span_of(tree), span_of(thing), RELATION_OF_WORD[str(thing)], scope, where=where)
    return quantify(context, quantity, span_of(tree), related, None)


@handles("quantified_goal")
def check_quantified_goal(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``no goal "x" failed``: X is the goals of that name, the outcome is what must hold of them."""
    quantity, word, name, outcome = cast(list[Any], tree.children)
    related = reach(context, span_of(tree), span_of(word), Relation.GOALS, scope)
    inner = Scope(Relation.GOALS, outer=scope)
    if name is not None:
        related = _narrowed(related, _is_named(context, name, inner, ()))
    holds = all_of(span_of(outcome), _outcome(context, outcome, inner, ()))
    return quantify(context, quantity, span_of(tree), related, holds)


@handles("quantified_kind")
def check_quantified_kind(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``any tool.failed (C)``, ``no event (C)``."""
    quantity, pattern = cast(list[Any], tree.children)
    return quantify(context, quantity, span_of(tree), reach_kind(context, pattern, scope), None)


def quantify(context: Context, tree: TokenTree, span: Span, related: Related, holds: Expr | None) -> Expr:
    """The quantity over the rows reached. ``holds`` is what must hold of them, beside what makes them X."""
    first, *rest = [child for child in tree.children if child is not None]
    word = str(first)
    if word == "every":
        return _every(span, related, holds)
    if holds is not None:
        related = _narrowed(related, holds)
    if word == "any":
        return Quantified(span, 1, None, related)
    if word == "no":
        return Quantified(span, 0, 0, related)
    count = size(context, rest[-1])
    if word == "exactly":
        return Quantified(span, count, count, related)
    return Quantified(span, count, None, related) if word == "least" else Quantified(span, 0, count, related)


def _every(span: Span, related: Related, holds: Expr | None) -> Expr:
    """``every X (C)`` is ``any X and no X (not C)``. X is the kind or relation; C all that was said of it."""
    if holds is None:
        holds, related = related.where, Related(related.span, related.source, related.relation, related.kinds)
    some = Quantified(span, 1, None, related)
    if holds is None:
        return some
    exception = _narrowed(related, Not(holds.span, holds))
    return And(span, (some, Quantified(span, 0, 0, exception)))


def _narrowed(related: Related, condition_: Expr) -> Related:
    where = condition_ if related.where is None else And(related.span, (related.where, condition_))
    return Related(related.span, related.source, related.relation, related.kinds, where)


# -- rows reached --------------------------------------------------------------------------------------


def reach(
    context: Context,
    span: Span,
    word: Span,
    relation: Relation,
    scope: Scope,
    *,
    kinds: tuple[KindPattern, ...] = (),
    where: Any = None,
) -> Related:
    """The rows of a relation reached from the row of this scope; ``where`` is a tree, checked in a scope of its own."""
    source = source_of(relation, word, scope)
    inner = Scope(relation, seen_by_agent=sees(source, relation), outer=scope)
    checked = None if where is None else condition(context, where, inner)
    return Related(span, source, relation, kinds, checked)


def source_of(relation: Relation, word: Span, scope: Scope) -> Relation:
    """The relation of the row here, if rows of ``relation`` can be reached from it."""
    if scope.relation is None:
        raise columns_only(scope, word)
    if relation not in REACHED[scope.relation]:
        found = listed(r.value for r in Relation if r in REACHED[scope.relation])
        message = f"{scope.relation.value} do not lead to {relation.value} here"
        raise refusal("not-reached", message, word, f"{scope.relation.value} lead to: {found}")
    return scope.relation


def sees(source: Relation, relation: Relation) -> bool:
    """Whether rows reached so are seen by an agent: then there is an other party, and sent and received."""
    return source is Relation.AGENTS and relation in (Relation.EVENTS, Relation.MESSAGES)


def reach_kind(context: Context, tree: TokenTree, scope: Scope) -> Related:
    """The events of a kind (in a conversation: the messages) reached from the row of this scope."""
    first, where = cast(list[Any], (*tree.children, None)[:2])
    span = span_of(tree)
    if isinstance(first, Token):  # EVENT, alone, with an id, or with a condition
        related_to = Relation.EVENTS
        if isinstance(where, Token):
            related = reach(context, span, span_of(first), related_to, scope)
            here = Field(span, related_to, (), related_to, "id", (), Type.TEXT)
            wanted = Literal(span_of(where), event_id(context, where), Type.TEXT)
            return _narrowed(related, Compare(span, "=", here, wanted))
        return reach(context, span, span_of(first), related_to, scope, where=where)
    refuse_thing_as_kind(first, scope)
    kind = kind_pattern(context, first)
    if scope.relation in (Relation.EVENTS, Relation.MESSAGES):
        hint = "look along the causes: caused by …, led to …, or compare the kind: kind = …"
        raise refusal("not-reached", f"one {scope.relation.value[:-1]} does not lead to others here", kind.span, hint)
    relation = ROWS_OF_KINDS.get(scope.relation, Relation.EVENTS) if scope.relation else Relation.EVENTS
    return reach(context, span, kind.span, relation, scope, kinds=(kind,), where=where)


def refuse_thing_as_kind(tree: TokenTree, scope: Scope) -> None:
    """``any agnt (…)``: a word one letter from a relation is not taken for an own kind (quoted, it is)."""
    token = cast(Token, tree.children[0])
    if token.type != "NAME" or str(token) in RELATION_OF_WORD:
        return
    near = [word for word in RELATION_OF_WORD if distance(str(token), word) == 1]
    if near:
        word, span = min(near, key=lambda choice: likeness(str(token), choice)), span_of(token)
        message = f'no event of kind "{token}" is known'
        raise refusal("unknown-kind", message, span, did_you_mean(word), Edit(*span, word))


# -- counting ------------------------------------------------------------------------------------------


@handles("related_agg")
def check_related_aggregate(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``count(tool.failed)``, ``count(agents (C))``, ``sum(.tokens of model.completed)``."""
    function, argument, of = cast(list[Any], tree.children)
    span = span_of(tree)
    if function.type == "COUNT":
        if of is not None:
            raise refusal(
                "wrong-arguments", "count( ) counts rows: leave out the value", span_of(argument), "say: count(offer)"
            )
        return _count(context, argument, span, scope)
    name, percentile = aggregate_of(function)
    if of is None:
        hint = f"say: {name}(… of tool.completed), or use a stage: | {function}(…)"
        if percentile is not None:
            hint = f"say: {function}(… of tool.completed), or use a stage: | {function}(…)"
        raise refusal("needs-of", f"{function}( ) here needs to know over what", span, hint)
    related, inner = _rows_of(context, of, scope)
    item = value(context, argument, inner)
    check_argument(context.text, name, str(function), item)
    return RelatedAggregate(span, name, related, item, result_type(name, item), percentile)


def _rows_of(context: Context, of: Any, scope: Scope) -> tuple[Related, Scope]:
    related = _group(context, of, scope) if of.data == "group" else reach_kind(context, of, scope)
    inner = Scope(related.relation, seen_by_agent=sees(related.source, related.relation), outer=scope)
    return related, inner


def _group(context: Context, tree: TokenTree, scope: Scope) -> Related:
    word, where = cast(list[Any], tree.children)
    return reach(context, span_of(tree), span_of(word), Relation(str(word)), scope, where=where)


@handles("group")
def check_group(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``agents (…)`` where a value or a condition must be."""
    raise needs_quantity(cast(Token, tree.children[0]))


def _count(context: Context, argument: Any, span: Span, scope: Scope) -> Expr:
    """What is counted may be a relation, a kind (with a condition, it looks like a call), or a sequence."""
    if argument.data == "sequence":
        sequence = cast(Sequence, expression(context, argument, scope))
        return MatchCount(span, sequence)
    if argument.data == "group":
        return RelatedAggregate(span, "count", _group(context, argument, scope), None, Type.NUMBER)
    related = _kind_counted(context, argument, scope)
    return RelatedAggregate(span, "count", related, None, Type.NUMBER)


def _kind_counted(context: Context, tree: Any, scope: Scope) -> Related:
    token = tree.children[0] if tree.data in ("path", "glob", "string", "param", "call") else None
    if token is None or token.type in ("DATA", "GOAL", "COUNT") or len(tree.children) > 2:
        hint = "for example: count(tool.failed), count(goals (failed)), count(did offer then got accept)"
        fixes = []
        if tree.data == "goal_test" or (token is not None and token.type == "GOAL"):
            outcome = context.written(tree.children[-1])
            fixes = [Edit(*span_of(tree), f"goals ({outcome})")]
        raise refusal("nothing-to-count", "count( ) here counts events, rows or sequences", span_of(tree), hint, *fixes)
    where = tree.children[1] if tree.data == "call" else None
    if str(token) in RELATION_OF_WORD:
        plural = RELATION_OF_WORD[str(token)].value
        raise refusal(
            "nothing-to-count",
            f'say "{plural}" here',
            span_of(token),
            f"for example: count({plural})",
            Edit(*span_of(token), plural),
        )
    kind: Any = Tree("kind", [token], tree.meta)
    pattern: TokenTree = Tree("pattern", cast(Any, [kind, where]), tree.meta)
    return reach_kind(context, pattern, scope)
