"""What every part of the checker shares: the text, the parameters, the depth, and the table of handlers.

A handler checks the tree of one grammar rule. Handlers call each other only through ``expression``
and ``condition``, so files do not import each other in circles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from lark import Token, Tree

from matrix.limits import QUERY_DEPTH_MAX
from matrix.query.language.scope import Scope
from matrix.query.language.suggest import Edit, refusal
from matrix.query.language.types import NAMES
from matrix.query.syntax import Expr, Field, Span, Type

Part: TypeAlias = Any  # a Tree, a Token, or None where something optional is absent


@dataclass(slots=True)
class Context:
    """One query being checked."""

    text: str
    params: Mapping[str, Any] = field(default_factory=dict)
    depth: int = 0

    def written(self, part: Part) -> str:
        """A part of the query as it was written."""
        return self.text[slice(*span_of(part))]

    @contextmanager
    def deeper(self, part: Part, by: int = 1) -> Iterator[None]:
        """Inside of this block, expressions are nested deeper by so many levels."""
        self.depth += by
        if self.depth > QUERY_DEPTH_MAX:
            hint = f"{QUERY_DEPTH_MAX} levels are the most; split the query, or use in (…)"
            raise refusal("too-deep", "the query is nested too deeply", span_of(part), hint)
        yield
        self.depth -= by


def span_of(part: Part) -> Span:
    """Where a tree or a token is in the text."""
    if isinstance(part, Token):
        return (part.start_pos or 0, part.end_pos or 0)
    return (part.meta.start_pos, part.meta.end_pos)


Handler: TypeAlias = Callable[[Context, Tree[Token], Scope], Expr]
HANDLERS: dict[str, Handler] = {}


def handles(*rules: str) -> Callable[[Handler], Handler]:
    """Register a function as the checker of these grammar rules."""

    def register(handler: Handler) -> Handler:
        for rule in rules:
            assert rule not in HANDLERS, f"two handlers for {rule}"
            HANDLERS[rule] = handler
        return handler

    return register


def expression(context: Context, tree: Part, scope: Scope) -> Expr:
    """The checked form of any expression: a value or a condition."""
    with context.deeper(tree):
        return HANDLERS[tree.data](context, tree, scope)


def value(context: Context, tree: Part, scope: Scope) -> Expr:
    """The checked form of an operand: not a whole list, and without ``[*]``."""
    found = expression(context, tree, scope)
    if isinstance(found, Field) and found.has_wildcard:
        hint = "use it in a comparison, such as .items[*].price > 100"
        raise refusal("wildcard", "[*] means any element, so it has no single value", found.span, hint)
    return found


def condition(context: Context, tree: Part, scope: Scope) -> Expr:
    """The checked form of a condition; a value in its place is refused."""
    with context.deeper(tree):
        return HANDLERS["condition"](context, tree, scope)


def not_a_condition(context: Context, found: Expr) -> None:
    """Refuse a value that stands where a condition must."""
    written = context.text[slice(*found.span)]
    if found.type is Type.ANY:
        hint = f"say: {written} = true, or: {written} exists"
        raise refusal(
            "not-a-condition", f"{written} is a value, not a condition", found.span, hint, _after(found, " exists")
        )
    hint = f"compare it, for example: {written} = …, or say: {written} exists"
    fixes = [_after(found, " exists")] if isinstance(found, Field) else []
    message = f'"{written}" is {NAMES[found.type]}, not a condition'
    raise refusal("not-a-condition", message, found.span, hint, *fixes)


def _after(found: Expr, text: str) -> Edit:
    return Edit(found.span[1], found.span[1], text)
