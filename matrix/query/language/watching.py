"""What a watch cannot do: its rows are told as they happen, and what was told is never taken back.

Stages that need all rows first are refused, with what a watch can do instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from lark import Token, Tree

from matrix.query.language.context import Context, span_of
from matrix.query.language.suggest import Edit, refusal
from matrix.query.syntax import Aggregate, Column, ColumnRef, Limit, Match, Relation, Select, Span, Stage, Type, Where

#: Stages that no watch has -> what is wrong, what to say.
REFUSED = {
    "sort": ("a watch cannot be sorted: its rows arrive in order as they happen", 'leave out "sort"'),
    "sample": ("a watch cannot be sampled: its rows arrive in order as they happen", 'leave out "sample"'),
    "funnel": (
        "a watch has no funnel: more rows may reach each step later",
        "watch its matches: | match offer then accept",
    ),
    "effects": (
        "a watch has no effects: the effects of a row come after it",
        "watch them themselves: watch events where caused by tool.failed",
    ),
}


def refuse_in_watch(
    context: Context, tree: Tree[Token], relation: Relation | None, *, has_buckets: bool = False
) -> None:
    """Refuse a stage that no watch can have; ``relation`` is what the rows before it are, unless they are buckets."""
    start, end = span_of(tree)
    stage = str(tree.data)
    if stage in REFUSED:
        message, hint = REFUSED[stage]
        raise refusal("not-in-watch", message, (start, end), hint, _without(context, start, end))
    if stage == "shape" and tree.children[0] == "tree":
        message = "a watch is no tree: what hangs under a row comes after it"
        raise refusal("not-in-watch", message, (start, end), 'leave out "as tree"', _without(context, start, end))
    if stage == "aggregate" and has_buckets:
        message = "a watch tells each bucket once: there is nothing more to add up"
        raise refusal("not-in-watch", message, (start, end), "leave it out", _without(context, start, end))
    if stage == "aggregate" and _is_without_buckets(tree):
        per = "per 1h of wall" if relation is Relation.SIMULATIONS else "per 10s"
        message = "a watch adds up in buckets: a number over everything is never final"
        hint = f"say how long a bucket is: {context.text[start:end]} {per}"
        raise refusal("not-in-watch", message, (start, end), hint, Edit(end, end, f" {per}"))


def _is_without_buckets(tree: Any) -> bool:
    return tree.children[-1] is None


def _without(context: Context, start: int, end: int) -> Edit:
    """The stage left out, and the | before it."""
    before = context.text.rindex("|", 0, start)
    return Edit(len(context.text[:before].rstrip()), end, "")


def check_stages(stages: Sequence[Stage]) -> None:
    """Refuse stages that could stand in a watch, but not behind others."""
    for place, stage in enumerate(stages):
        before = stages[:place]
        if isinstance(stage, Match) and not all(isinstance(other, (Where, Select)) for other in before):
            hint = "put match right after the first rows"
            _refuse("a watch tells each match once, so match sees the first rows, not others", stage.span, hint)
        limit = next((other for other in before if isinstance(other, Limit)), None)
        if isinstance(stage, Aggregate) and limit is not None:
            hint = "put limit behind the aggregate"
            _refuse("a bucket is of all its rows, so a watch has its limit behind it", limit.span, hint)


def _refuse(message: str, span: Span, hint: str) -> NoReturn:
    raise refusal("not-in-watch", message, span, hint)


def keys_of_one_run(keys: tuple[Column, ...], others: Sequence[Column], span: Span) -> tuple[Column, ...]:
    """The keys of a watched aggregate: a bucket is of one run, so the first is ``simulation``."""
    if any(column.name == "simulation" for column in (*keys, *others)):
        return keys
    return (Column(span, "simulation", ColumnRef(span, "@simulation", Type.TEXT), Type.TEXT), *keys)
