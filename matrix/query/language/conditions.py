"""Conditions over one row: logic, comparisons, membership, text, presence."""

from __future__ import annotations

from typing import Any, cast

from lark import Token, Tree

from matrix.query.language.context import HANDLERS, Context, condition, expression, handles, not_a_condition, span_of
from matrix.query.language.literals import parameter, parameter_members, unquote
from matrix.query.language.scope import Scope, field_info
from matrix.query.language.suggest import Edit, refusal
from matrix.query.language.types import NAMES, check_equal, check_ordered
from matrix.query.language.values import literal
from matrix.query.language.words import (
    check_word,
    is_kind_field,
    kind_pattern,
    refuse_kind_as_condition,
    refuse_star,
    word_or_value,
)
from matrix.query.syntax import (
    And,
    Compare,
    CompareOp,
    Contains,
    EndsWith,
    Exists,
    Expr,
    Field,
    In,
    KindIs,
    KindPattern,
    Literal,
    Matches,
    Not,
    Or,
    Range,
    StartsWith,
    Type,
    Value,
)

TokenTree = Tree[Token]


@handles("condition")
def check_condition(context: Context, tree: Any, scope: Scope) -> Expr:
    """Any tree that must be a condition; a field that is true or false is one by itself."""
    if tree.data == "path":
        refuse_kind_as_condition(tree.children[0], scope)
    found = HANDLERS[tree.data](context, tree, scope)
    if found.type is not Type.BOOL:
        not_a_condition(context, found)
    if isinstance(found, Value):
        return Compare(found.span, "=", found, Literal(found.span, True, Type.BOOL))
    return found


@handles("and")
def check_and(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """All hold."""
    return And(span_of(tree), tuple(condition(context, child, scope) for child in tree.children))


@handles("or")
def check_or(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """One holds."""
    return Or(span_of(tree), tuple(condition(context, child, scope) for child in tree.children))


@handles("not")
def check_not(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """The condition does not hold."""
    return Not(span_of(tree), condition(context, tree.children[0], scope))


@handles("compare")
def check_compare(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``a = b`` and its kin; ``!=`` is exactly ``not a = b``."""
    left_tree, operator, right_tree = tree.children
    op = str(operator)
    left = expression(context, left_tree, scope)
    span = span_of(tree)
    if isinstance(right_tree, Tree) and right_tree.data == "glob":
        if not is_kind_field(left, scope):
            refuse_star(right_tree)
        if op not in ("=", "!="):
            message = "a * name can be compared with = and != only"
            hint = f"kinds that start with it are: kind = {context.written(right_tree)}"
            raise refusal("no-order", message, span_of(right_tree), hint, Edit(*span_of(operator), "="))
        return _negated(op == "!=", KindIs(span, cast(Field, left), (kind_pattern(context, right_tree),)))
    is_equality = op in ("=", "!=")
    right = word_or_value(context, left, right_tree, scope, may_be_word=is_equality)
    if op == "!=":
        _refuse_other_than_any(context, left, right, span)
    if not is_equality:
        check_ordered(context.text, left, right)
        return Compare(span, cast(CompareOp, op), left, right)
    check_word(context, left, right, scope)
    check_equal(context.text, left, right)
    if is_kind_field(left, scope) and isinstance(right, Literal) and right.type is Type.TEXT:
        return _negated(op == "!=", KindIs(span, cast(Field, left), (KindPattern(right.span, right.value),)))
    return _negated(op == "!=", Compare(span, "=", left, right))


def _negated(is_negated: bool, found: Expr) -> Expr:
    return Not(found.span, found) if is_negated else found


def _refuse_other_than_any(context: Context, left: Expr, right: Expr, span: tuple[int, int]) -> None:
    """``.tags[*] != "x"`` would be read as "no element is x" by some and "some element is not" by others."""
    if any(isinstance(side, Field) and side.has_wildcard for side in (left, right)):
        said = f"not {context.text[slice(*left.span)]} = {context.text[slice(*right.span)]}"
        hint = f"for no element say: {said}"
        raise refusal(
            "wildcard-other-than", "[*] means any element, which != would make unclear", span, hint, Edit(*span, said)
        )


@handles("in")
def check_in(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``a in (x, y)``, ``a in $list``, ``a in 5s..10s``, and ``not in``."""
    item_tree, negation, members_tree = tree.children
    item = expression(context, item_tree, scope)
    first = cast(TokenTree, members_tree).children[0]
    span = span_of(tree)
    if negation is not None and isinstance(item, Field) and item.has_wildcard:
        start, end = span_of(negation)
        edits = (Edit(start, end + 1, ""), Edit(item.span[0], item.span[0], "not "))
        hint = f"for no element say: not {context.text[slice(*item.span)]} in (…)"
        raise refusal(
            "wildcard-other-than", "[*] means any element, which not in would make unclear", span, hint, edits
        )
    if isinstance(first, Token):
        members: tuple[Expr, ...] = parameter_members(first[1:], context.params, span_of(first))
        for member in members:
            check_word(context, item, member, scope)
        return _negated(negation is not None, _membership(context, item, members, span, scope))
    if first.data == "edge":
        return _negated(negation is not None, _range(context, item, cast(TokenTree, members_tree), span))
    return _negated(negation is not None, _listed(context, item, cast(TokenTree, members_tree), span, scope))


def _listed(context: Context, item: Expr, tree: TokenTree, span: tuple[int, int], scope: Scope) -> Expr:
    """Members in ( ): values, bare words, and for a kind also ``tool.*``."""
    is_kind = is_kind_field(item, scope)
    members: list[Expr] = []
    patterns: list[KindPattern] = []
    for child in cast(list[TokenTree], tree.children):
        if child.data == "glob":
            if not is_kind:
                refuse_star(child)
            patterns.append(kind_pattern(context, child))
            continue
        member = word_or_value(context, item, child, scope, may_be_word=True)
        if isinstance(member, Literal) and member.type is Type.LIST and len(tree.children) == 1:
            written = context.written(child)
            hint, fix = f"say: in {written}", Edit(*span_of(tree), written)
            raise refusal("list-in-list", "a list stands here by itself, without ( )", span_of(tree), hint, fix)
        check_word(context, item, member, scope)
        members.append(member)
    if not patterns:
        return _membership(context, item, tuple(members), span, scope)
    for member in members:
        if not isinstance(member, Literal) or member.type is not Type.TEXT:
            hint = "compare the rest by itself: kind in (offer, tool.*) or kind = …"
            raise refusal("mixed-kinds", "beside a * name only kinds may be listed", member.span, hint)
        patterns.append(KindPattern(member.span, member.value))
    return KindIs(span, cast(Field, item), tuple(sorted(patterns, key=lambda pattern: pattern.span)))


def _membership(context: Context, item: Expr, members: tuple[Expr, ...], span: tuple[int, int], scope: Scope) -> Expr:
    for member in members:
        check_equal(context.text, item, member)
    texts = [m for m in members if isinstance(m, Literal) and m.type is Type.TEXT]
    if is_kind_field(item, scope) and len(texts) == len(members):
        return KindIs(span, cast(Field, item), tuple(KindPattern(m.span, m.value) for m in texts))
    return In(span, item, members)


def _range(context: Context, item: Expr, tree: TokenTree, span: tuple[int, int]) -> Expr:
    low, high = (_edge(context, cast(TokenTree, edge)) for edge in tree.children)
    check_ordered(context.text, item, low)
    check_ordered(context.text, item, high)
    check_ordered(context.text, low, high)
    if low.value > high.value:
        fix = Edit(
            low.span[0], high.span[1], f"{context.written(tree.children[1])}..{context.written(tree.children[0])}"
        )
        raise refusal(
            "empty-range", "nothing lies in this range", (low.span[0], high.span[1]), "the lower end comes first", fix
        )
    return Range(span, item, low, high)


def _edge(context: Context, tree: TokenTree) -> Literal:
    *sign, token = [child for child in tree.children if child is not None]
    token = cast(Token, token)
    if token.type == "PARAM":
        return parameter(token[1:], context.params, span_of(token))
    found = literal(token.type.lower(), token)
    return Literal(span_of(tree), -found.value, found.type) if sign else found


# -- texts ---------------------------------------------------------------------------------------------


def _check_text(context: Context, item: Expr, doing: str) -> None:
    if item.type not in (Type.TEXT, Type.ANY):
        written = context.text[slice(*item.span)]
        message = f'"{written}" is {NAMES[item.type]}: {doing} is about texts'
        raise refusal("not-a-text", message, item.span, "text(x) makes a text of any value")


@handles("contains")
def check_contains(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """A part of a text, or an element of a list."""
    item, part = _two_sides(context, tree, scope)
    if item.type not in (Type.TEXT, Type.ANY, Type.LIST):
        message = f'"{context.text[slice(*item.span)]}" is {NAMES[item.type]}: contains looks into texts and lists'
        raise refusal("not-a-text", message, item.span, "compare it with =")
    if item.type is Type.TEXT:
        _check_text(context, part, "a part of a text")
    elif part.type in (Type.DURATION, Type.TIME, Type.MISSING):
        hint = "lists in data hold texts, numbers, true and false; for a list without a value say: … missing"
        raise refusal("incomparable", f"no list in data holds {NAMES[part.type]}", part.span, hint)
    return Contains(span_of(tree), item, part)


@handles("starts")
def check_starts(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``a starts with b``."""
    item, part = _two_sides(context, tree, scope)
    _check_text(context, item, "starts with")
    _check_text(context, part, "starts with")
    return StartsWith(span_of(tree), item, part)


@handles("ends")
def check_ends(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``a ends with b``."""
    item, part = _two_sides(context, tree, scope)
    _check_text(context, item, "ends with")
    _check_text(context, part, "ends with")
    return EndsWith(span_of(tree), item, part)


def _two_sides(context: Context, tree: TokenTree, scope: Scope) -> tuple[Expr, Expr]:
    left, right = tree.children
    item = expression(context, left, scope)
    return item, word_or_value(context, item, cast(TokenTree, right), scope, may_be_word=False)


@handles("regex")
def check_regex(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``a ~ /re/i``; a text or a parameter is a pattern without flags."""
    item_tree, _, token = tree.children
    item = expression(context, item_tree, scope)
    _check_text(context, item, "~")
    token = cast(Token, token)
    span = span_of(token)
    if token.type == "REGEX":
        body, _, flags = token[1:].rpartition("/")
        pattern = body.replace("\\/", "/")
    elif token.type == "STRING":
        pattern, flags = unquote(str(token), span), ""
    else:
        given = parameter(token[1:], context.params, span)
        if given.type is not Type.TEXT:
            hint = "a pattern is given as a text"
            raise refusal("bad-parameter", f"{token} is {NAMES[given.type]}, not a pattern", span, hint)
        pattern, flags = given.value, ""
    check_pattern(pattern, span)
    return Matches(span_of(tree), item, pattern, "".join(sorted(set(flags))))


def check_pattern(pattern: str, span: tuple[int, int]) -> None:
    """Whether RE2 takes a pattern: it has no backreferences and no lookaround, and so is linear in time."""
    import pyarrow as pa  # RE2 comes with Arrow; imported only for queries that have a pattern
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        reason = str(error).partition(": ")[2] or str(error)
        hint = "patterns have RE2 syntax: no \\1, no (?=…)"
        raise refusal("bad-pattern", f"this is not a pattern: {reason}", span, hint) from None


# -- presence ------------------------------------------------------------------------------------------


@handles("exists")
def check_exists(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """The value is there."""
    return Exists(span_of(tree), _present(context, tree, scope))


@handles("missing")
def check_missing(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """The value is not there."""
    span = span_of(tree)
    return Not(span, Exists(span, _present(context, tree, scope)))


def _present(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    child = tree.children[0]
    found = expression(context, child, scope)
    if found.type is Type.BOOL and not isinstance(found, Literal | Field) and field_info(found, scope) is None:
        raise refusal("not-a-value", "a condition always holds or does not", found.span, "leave out exists or missing")
    return found
