"""Values: constants, paths, arithmetic, functions."""

from __future__ import annotations

from typing import Any, NoReturn, cast

from lark import Token, Tree

from matrix.query.language.context import Context, condition, handles, span_of, value
from matrix.query.language.fields import RELATION_OF_WORD
from matrix.query.language.literals import duration_us, number, parameter, time_us, unquote
from matrix.query.language.scope import Scope, resolve
from matrix.query.language.suggest import Edit, Refusal, did_you_mean, joined, listed, nearest, refusal
from matrix.query.language.types import CLOCKED, NAMES, arithmetic, merged
from matrix.query.syntax import Ago, ArithOp, Call, Coalesce, Expr, Literal, Negate, Now, Span, Type

TokenTree = Tree[Token]

CONSTANTS: dict[str, tuple[Any, Type]] = {
    "true": (True, Type.BOOL),
    "false": (False, Type.BOOL),
    "null": (None, Type.MISSING),
}


@handles("number", "string", "duration", "time", "true", "false", "null")
def check_literal(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """A constant as it is written."""
    return literal(tree.data, cast(Token, tree.children[0]))


def literal(rule: str, token: Token) -> Literal:
    """The constant that a token writes."""
    span, text = span_of(token), str(token)
    match rule:
        case "number":
            return Literal(span, number(text, span), Type.NUMBER)
        case "string":
            return Literal(span, unquote(text, span), Type.TEXT)
        case "duration":
            return Literal(span, duration_us(text, span), Type.DURATION)
        case "time":
            return Literal(span, time_us(text, span), Type.TIME)
    constant, type_ = CONSTANTS[rule]
    return Literal(span, constant, type_)


@handles("param")
def check_param(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``$name``: the value given for it."""
    token = cast(Token, tree.children[0])
    return parameter(token[1:], context.params, span_of(token))


@handles("now")
def check_now(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """The clock, when the query runs."""
    return Now(span_of(tree))


@handles("ago")
def check_ago(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``5m ago``."""
    token = cast(Token, tree.children[0])
    return Ago(span_of(tree), duration_us(token, span_of(token)))


@handles("path")
def check_path(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """A field, a column, or a path into data."""
    token = cast(Token, tree.children[0])
    return resolve(str(token), span_of(token), scope)


@handles("glob")
def check_glob(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``tool.*`` where a value is expected."""
    hint = "for other fields use: starts with"
    raise refusal("star-name", 'a * name only works with "kind"', span_of(tree), hint)


@handles("arith")
def check_arith(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """A chain of + and -, or of * / and %, from the left."""
    first, *rest = tree.children
    with context.deeper(tree, len(rest) // 2):
        result = value(context, first, scope)
        for operator, operand in zip(rest[::2], rest[1::2], strict=True):
            result = arithmetic(context.text, cast(ArithOp, str(operator)), result, value(context, operand, scope))
        return result


@handles("negate")
def check_negate(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``-x``; of a constant it is a constant."""
    item = value(context, tree.children[-1], scope)
    if item.type not in (Type.NUMBER, Type.DURATION, Type.ANY):
        raise refusal("no-arithmetic", f"{NAMES[item.type]} has no negative", item.span, 'leave out the "-"')
    if isinstance(item, Literal):
        return Literal(span_of(tree), -item.value, item.type)
    return Negate(span_of(tree), item, Type.DURATION if item.type is Type.DURATION else Type.NUMBER)


@handles("coalesce")
def check_coalesce(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``a ?? b ?? c``: the first that is present."""
    first, *rest = tree.children
    with context.deeper(tree, len(rest)):
        result = value(context, first, scope)
        for operand in rest:
            other = value(context, operand, scope)
            type_ = merged(result.type, other.type)
            if type_ is None:
                _refuse_mixture(result, other)
            result = Coalesce((result.span[0], other.span[1]), result, other, type_)
        return result


def _refuse_mixture(first: Expr, second: Expr) -> NoReturn:
    message = f"this would be {NAMES[first.type]} or {NAMES[second.type]}"
    raise refusal(
        "mixed-types", message, second.span, "both sides must be of one type; data holds no durations or times"
    )


# -- functions -----------------------------------------------------------------------------------------

_SIZED = frozenset({Type.TEXT, Type.LIST, Type.ANY})
_TEXTS = frozenset({Type.TEXT, Type.ANY})
_NUMBERS = frozenset({Type.NUMBER, Type.ANY})

#: name -> what each argument may be, and the result (None: the type of the argument).
FUNCTIONS: dict[str, tuple[tuple[frozenset[Type], ...], Type | None]] = {
    "len": ((_SIZED,), Type.NUMBER),
    "lower": ((_TEXTS,), Type.TEXT),
    "upper": ((_TEXTS,), Type.TEXT),
    "round": ((_NUMBERS, _NUMBERS), Type.NUMBER),
    "abs": ((_NUMBERS | {Type.DURATION},), None),
    "seconds": ((frozenset({Type.DURATION}),), Type.NUMBER),
    "duration": ((_NUMBERS | {Type.TEXT},), Type.DURATION),
    "time": ((_TEXTS,), Type.TIME),
    "number": ((_NUMBERS | {Type.TEXT},), Type.NUMBER),
    "text": ((frozenset(Type),), Type.TEXT),
    "if": ((), None),
}


@handles("call")
def check_call(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``f(a, b)``."""
    token = cast(Token, tree.children[0])
    name, arguments = str(token), [child for child in tree.children[1:] if child is not None]
    if name not in FUNCTIONS:
        _unknown_function(context, token, bool(arguments))
    if name == "if":
        return _check_if(context, tree, arguments, scope)
    allowed, result = FUNCTIONS[name]
    fewest = 1
    if not fewest <= len(arguments) <= len(allowed):
        takes = "one value" if len(allowed) == 1 else "one value, or two"
        example = "round(.price, 1)" if name == "round" else f"{name}(x)"
        raise refusal("wrong-arguments", f"{name}( ) takes {takes}", span_of(tree), f"for example: {example}")
    checked = tuple(_argument(context, argument, scope) for argument in arguments)
    for item, types in zip(checked, allowed, strict=False):
        _check_argument(context, name, item, types)
    if result is None:
        result = Type.DURATION if checked[0].type is Type.DURATION else Type.NUMBER
    return Call(span_of(tree), name, checked, result)


def _argument(context: Context, tree: Any, scope: Scope) -> Expr:
    """An argument; ``agents`` and the like are fields here, though the grammar reads them as relations."""
    if tree.data == "group":
        token, where = tree.children
        if where is not None:
            raise refusal(
                "not-a-value", f'"{token} (…)" is not a value', span_of(tree), f"to count them say: count({token} (…))"
            )
        return resolve(str(token), span_of(token), scope)
    return value(context, tree, scope)


def _check_argument(context: Context, name: str, item: Expr, types: frozenset[Type]) -> None:
    if item.type in types or item.type is Type.MISSING:
        return
    written = context.text[slice(*item.span)]
    wanted = " or ".join(NAMES[t] for t in Type if t in types and t is not Type.ANY)
    raise refusal("wrong-arguments", f"{name}( ) takes {wanted}", item.span, f'"{written}" is {NAMES[item.type]}')


def _check_if(context: Context, tree: TokenTree, arguments: list[Any], scope: Scope) -> Expr:
    if len(arguments) != 3:
        hint = 'for example: if(.price > 100, "dear", "cheap")'
        raise refusal("wrong-arguments", "if( ) takes a condition and two values", span_of(tree), hint)
    test = condition(context, arguments[0], scope)
    first, second = (_argument(context, argument, scope) for argument in arguments[1:])
    type_ = merged(first.type, second.type)
    if type_ is None or (type_ is Type.ANY and {first.type, second.type} & CLOCKED):
        _refuse_mixture(first, second)
    return Call(span_of(tree), "if", (test, first, second), type_)


def _unknown_function(context: Context, token: Token, has_arguments: bool) -> NoReturn:
    """A word before ( ) that is no function: a relation without its quantity, a kind of event, or a slip."""
    name, span = str(token), span_of(token)
    if name in RELATION_OF_WORD:
        raise needs_quantity(token)
    near = nearest(name, list(FUNCTIONS))
    hint = joined(did_you_mean(near), f"Functions are: {listed(FUNCTIONS)}")
    fixes = [Edit(*span, near)] if near else [_before(span, "any ")]
    if not near:
        hint = f"Functions are: {listed(FUNCTIONS)}; for events of this kind say: any {name} (…)"
    raise refusal("unknown-function", f'there is no function "{name}"', span, hint, *fixes)


def needs_quantity(token: Token) -> Refusal:
    """``agents (…)`` does not say how many of them."""
    one = RELATION_OF_WORD[str(token)].value[:-1]
    hint = f"say: any {one} (…), every {one} (…), no {one} (…) or at least 2 {one}s (…)"
    span = span_of(token)
    return refusal("no-quantity", f'"{token} (…)" needs a quantity', span, hint, Edit(*span, f"any {one}"))


def _before(span: Span, text: str) -> Edit:
    return Edit(span[0], span[0], text)
