"""Bare words: names where a text is meant (``role = buyer``), kinds of events, statuses.

Each has a closed list or a field it may be mistaken for, so each is checked where it is written.
"""

from __future__ import annotations

from typing import Any, NoReturn, cast

from lark import Token, Tree

from matrix.event import BUILT_IN_KINDS
from matrix.query.language.context import Context, span_of, value
from matrix.query.language.fields import ALL_STATUSES, STATUSES, is_known_kind, is_known_prefix
from matrix.query.language.literals import duration_us, parameter, quote, unquote
from matrix.query.language.scope import PROBE, Probed, Scope, field_behind, field_info, find_origin, parts_of, resolve
from matrix.query.language.suggest import Edit, Refusal, did_you_mean, joined, listed, nearest, refusal
from matrix.query.syntax import Expr, Field, KindPattern, Literal, Relation, Span, Type

TokenTree = Tree[Token]
CONSTANTS_ELSEWHERE = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"} | dict.fromkeys(
    ("None", "NULL", "nil", "undefined", "Null"), "null"
)


def is_kind_field(item: Expr, scope: Scope) -> bool:
    """Whether this reads the kind of an event."""
    return isinstance(item, Field) and item.name == "kind" and item.owner in (Relation.EVENTS, Relation.MESSAGES)


def word_or_value(context: Context, left: Expr, tree: Any, scope: Scope, *, may_be_word: bool) -> Expr:
    """The right side of a comparison: a bare word when the left side is a name, else a value."""
    outcome = _outcome_word(tree)
    if outcome is not None:
        return _check_outcome_word(context, left, tree, outcome, scope)
    if tree.data != "path":
        return value(context, tree, scope)
    token = cast(Token, tree.children[0])
    info = field_info(left, scope)
    if may_be_word and info is not None and info.is_name:
        return _word_or_field(left, token, scope)
    try:
        return value(context, tree, scope)
    except Refusal as refused:
        if refused.code in ("unknown-field", "unknown-column") and refused.span == span_of(token):
            text = quote(str(token))
            hint, fix = f"text needs quotes: {text}", Edit(*refused.span, text)
            if (constant := CONSTANTS_ELSEWHERE.get(str(token))) is not None:
                hint, fix = f"say: {constant}", Edit(*refused.span, constant)
            raise refusal(refused.code, refused.message, refused.span, hint, fix) from None
        raise


def _word_or_field(left: Expr, token: Token, scope: Scope) -> Expr:
    """``role = buyer`` is a text, ``peer.role = a.role`` two fields, ``agent = role`` could be either."""
    text, span = str(token), span_of(token)
    if text == PROBE:
        raise Probed(scope, left)
    word = Literal(span, text, Type.TEXT)
    if token.type == "DATA":
        return resolve(text, span, scope)
    parts = parts_of(text, span[0])
    is_plain = all(part.is_name for part in parts)
    if is_plain and is_kind_field(left, scope) and text in BUILT_IN_KINDS:
        return word
    first = str(parts[0].value)
    if len(parts) == 1:
        if first in scope.names():
            hint = (
                f'write "{text}" in quotes for the text; to compare two fields write data on the left, '
                "or name a link such as agent.role"
            )
            raise refusal(
                "field-or-text", f'"{text}" could be the field or the text', span, hint, Edit(*span, quote(text))
            )
        return word
    is_known = first in scope.names() or find_origin(first, scope) is not None
    if is_plain and is_known and is_kind_field(left, scope):
        return _kind_or_path(text, span, scope)
    if is_plain and not is_known and (is_kind_field(left, scope) or not scope.is_step):
        return word
    return resolve(text, span, scope)


def _kind_or_path(text: str, span: Span, scope: Scope) -> Expr:
    """``kind = cause.kind`` is a path, ``kind = goal.suceeded`` a kind that is misspelt."""
    try:
        return resolve(text, span, scope)
    except Refusal:
        if nearest(text, BUILT_IN_KINDS):
            check_kind(text, span)
        raise


def _outcome_word(tree: Any) -> Token | None:
    """The word of ``status = failed``, which the grammar reads as the outcome of a goal."""
    if tree.data == "goal_test" and tree.children[0] is None:
        tree = tree.children[-1]
    return tree.children[0] if tree.data == "outcome" else None


def _check_outcome_word(context: Context, left: Expr, tree: Any, token: Token, scope: Scope) -> Expr:
    span = span_of(token)
    outcome = tree.children[-1] if tree.data == "goal_test" else tree
    if outcome.children[1] is not None:
        hint = "put it after a goal: goal failed within 5s"
        raise refusal("misplaced-within", '"within" cannot follow a comparison', span_of(outcome.children[1]), hint)
    field = field_behind(left, scope)
    if field is not None and field.owner is Relation.GOALS and field.name == "name" and field.links[-1:] == ("goal",):
        whole = (left.span[0], span[1])
        message = f'"{context.text[slice(*whole)]}" asks for a goal with the name {token}'
        fix = Edit(*whole, f"goal {token}")
        raise refusal("goal-name", message, whole, f"to ask what happened say: goal {token}", fix)
    info = field_info(left, scope)
    if info is None or not info.is_name:
        text = quote(str(token))
        raise refusal(
            "needs-quotes",
            f'"{token}" is a word of the language',
            span,
            f"text needs quotes: {text}",
            Edit(*span, text),
        )
    return Literal(span, str(token), Type.TEXT)


def check_word(context: Context, left: Expr, right: Expr, scope: Scope) -> None:
    """A kind or a status compared with a constant: it must be one that can exist."""
    if not isinstance(right, Literal) or right.type is not Type.TEXT:
        return
    field = field_behind(left, scope)
    if field is not None and is_kind_field(field, scope):
        check_kind(right.value, right.span)
    if field is not None and field.name == "status":
        _check_status(right.value, right.span, field.owner)


def _check_status(status: str, span: Span, owner: Relation) -> None:
    if status in STATUSES[owner]:
        return
    if status in ALL_STATUSES or status == "started":
        near = "succeeded" if (owner, status) == (Relation.GOALS, "finished") else ""
        hint = joined(did_you_mean(near), f"{owner.value} can be: {listed(STATUSES[owner])}")
        raise refusal(
            "unknown-status", f'{owner.value} are never "{status}"', span, hint, *([Edit(*span, near)] if near else [])
        )
    near = nearest(status, STATUSES[owner])
    hint = joined(did_you_mean(near), f"A status is: {listed(ALL_STATUSES)}")
    raise refusal("unknown-status", f'"{status}" is not a status', span, hint, *([Edit(*span, near)] if near else []))


# -- kinds ---------------------------------------------------------------------------------------------


def check_kind(kind: str, span: Span) -> None:
    """Own kinds are open; one under a reserved prefix must be built in."""
    if is_known_kind(kind):
        return
    if kind.endswith(".*") and is_known_prefix(kind[:-1]):
        hint = f"leave out the quotes: {kind}"
        raise refusal("unknown-kind", f'there is no event kind "{kind}"', span, hint, Edit(*span, kind))
    near = nearest(kind, BUILT_IN_KINDS)
    family = kind.partition(".")[0]
    kinds = listed(k for k in BUILT_IN_KINDS if k.startswith(f"{family}."))
    hint = did_you_mean(near) if near else f"{family}. has: {kinds}"
    raise refusal(
        "unknown-kind", f'there is no event kind "{kind}"', span, hint, *([Edit(*span, near)] if near else [])
    )


def kind_pattern(context: Context, tree: Any) -> KindPattern:
    """A kind as a pattern, a source or a comparison names it: a word, a quoted text, ``tool.*`` or a parameter."""
    token = cast(Token, tree.children[0] if isinstance(tree, Tree) else tree)
    span, text = span_of(token), str(token)
    if text == PROBE:
        raise Probed(None, is_kind=True)
    if token.type == "GLOB":
        prefix = text[:-1]
        if not is_known_prefix(prefix):
            near = nearest(prefix[:-1], [kind.partition(".")[0] for kind in BUILT_IN_KINDS])
            family = prefix.partition(".")[0]
            kinds = listed(kind for kind in BUILT_IN_KINDS if kind.startswith(f"{family}."))
            hint = did_you_mean(f"{near}.*" if near not in ("", family) else "") or f"{family}. has: {kinds}"
            fixes = [Edit(*span, f"{near}.*")] if near else []
            raise refusal("unknown-kind", f'no event kind starts with "{prefix}"', span, hint, *fixes)
        return KindPattern(span, prefix, is_prefix=True)
    if token.type == "STRING":
        text = unquote(text, span)
    elif token.type == "PARAM":
        given = parameter(text[1:], context.params, span)
        if given.type is not Type.TEXT:
            raise refusal("bad-parameter", f"{text} is not a kind of event", span, "a kind is given as a text")
        text = given.value
    elif not all(part.is_name for part in parts_of(text, span[0])):
        raise refusal(
            "bad-kind", f'"{text}" is not a kind', span, "a kind is a dotted name, such as offer or tool.failed"
        )
    check_kind(text, span)
    return KindPattern(span, text)


def refuse_star(tree: Any) -> NoReturn:
    """``role = tool.*``."""
    raise refusal("star-name", 'a * name only works with "kind"', span_of(tree), "for other fields use: starts with")


def refuse_kind_as_condition(token: Token, scope: Scope) -> None:
    """``agents where tool.failed``: a kind where a condition belongs; anything else passes."""
    text, span = str(token), span_of(token)
    if token.type == "DATA":
        return
    try:
        resolve(text, span, scope)
    except Refusal as refused:
        if scope.relation is None or not all(part.is_name for part in parts_of(text, span[0])):
            raise
        if refused.code != "unknown-field" or ("." not in text and nearest(text, scope.names())):
            raise
        is_event = scope.relation in (Relation.EVENTS, Relation.MESSAGES)
        says = f"say: kind = {text}" if is_event else f"say: did {text}, any {text} or no {text}"
        words = ("kind = ",) if is_event else ("did ", "any ")
        fixes = [Edit(span[0], span[0], word) for word in words]
        if "." not in text:
            hint = f"{refused.hint}; for events of this kind {says}"
            raise refusal(refused.code, refused.message, refused.span, hint, *fixes) from None
        check_kind(text, span)
        raise refusal("kind-as-condition", f'"{text}" is an event kind, not a condition', span, says, *fixes) from None


def event_id(context: Context, token: Token) -> str:
    """The id in ``event "r7:1042"``."""
    span = span_of(token)
    if token.type == "STRING":
        return unquote(str(token), span)
    given = parameter(token[1:], context.params, span)
    if given.type is not Type.TEXT:
        raise refusal("bad-parameter", f"{token} is not an event's id", span, 'an id is a text such as "r7:1042"')
    return cast(str, given.value)


# -- sizes and durations -------------------------------------------------------------------------------


def size(context: Context, tree: Any) -> int:
    """A whole number, written or given."""
    token = cast(Token, tree.children[0] if isinstance(tree, Tree) else tree)
    span, text = span_of(token), str(token)
    if token.type == "PARAM":
        given = parameter(text[1:], context.params, span)
        if given.type is not Type.NUMBER or not isinstance(given.value, int) or given.value < 0:
            raise refusal("not-a-size", f"{text} is not a whole number", span, "for example: 10")
        found = given.value
    else:
        digits = text.replace("_", "")
        if not digits.isdigit():
            raise refusal("not-a-size", f'"{text}" is not a whole number', span, "for example: 10")
        found = int(digits[:20])
    if found >= 2**63:
        raise refusal(
            "number-too-large", f'"{text[:20]}" is too large a number', span, f"the largest whole number is {2**63 - 1}"
        )
    return int(found)


def duration(context: Context, token: Token) -> int:
    """A duration in microseconds, written or given."""
    span = span_of(token)
    if token.type == "DURATION":
        return duration_us(str(token), span)
    given = parameter(token[1:], context.params, span)
    if given.type is not Type.DURATION:
        raise refusal("bad-parameter", f"{token} is not a duration", span, "a duration is given as a timedelta")
    if given.value < 0:
        raise refusal("bad-parameter", f"{token} is negative", span, "a duration here is zero or longer")
    return cast(int, given.value)
