"""What a watch cannot do: its rows are told as they happen, and what was told is never taken back.

Stages that need all rows first are refused, with what a watch can do instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from lark import Token, Tree

from matrix.query.language.context import Context, span_of
from matrix.query.language.suggest import Edit, refusal
from matrix.query.syntax import (
    Aggregate,
    Column,
    ColumnRef,
    Compare,
    Expr,
    Field,
    Limit,
    Literal,
    Match,
    Relation,
    Select,
    Source,
    Span,
    Stage,
    Type,
    Where,
)

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
    context: Context, tree: Tree[Token], relation: Relation, source: Source | None, *, has_buckets: bool = False
) -> None:
    """Refuse a stage that no watch can have.

    ``relation`` is what the rows before it are, or were before they became columns; ``source`` is given when it is
    the first stage.
    """
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
    if stage != "aggregate":
        return
    per: Any = tree.children[-1]
    if relation in _EVENTS_OF:
        _refuse_changing(context, (start, end), relation, source, "" if per is not None else _PER[relation])
    if per is None:
        message = "a watch adds up in buckets: a number over everything is never final"
        hint = f"say how long a bucket is: {context.text[start:end]} per 10s"
        raise refusal("not-in-watch", message, (start, end), hint, Edit(end, end, " per 10s"))


#: Rows that go on changing -> by status, the event that says so; with none, that of their start.
_EVENTS_OF: dict[Relation, dict[str | None, str]] = {
    Relation.GOALS: {
        None: "goal.started",
        "succeeded": "goal.succeeded",
        "failed": "goal.failed",
        "cancelled": "goal.cancelled",
    },
    Relation.AGENTS: {
        None: "agent.started",
        "finished": "agent.finished",
        "failed": "agent.failed",
        "cancelled": "agent.cancelled",
    },
    Relation.SIMULATIONS: {
        None: "simulation.started",
        "finished": "simulation.finished",
        "failed": "simulation.failed",
        "stopped": "simulation.stopped",
    },
    Relation.CONVERSATIONS: {},
}
_EXAMPLES = {
    Relation.GOALS: "events goal.failed | count",
    Relation.AGENTS: "events agent.failed | count",
    Relation.SIMULATIONS: "events simulation.failed | count",
    Relation.CONVERSATIONS: "messages | count",
}
_PER = dict.fromkeys(_EXAMPLES, " per 10s") | {Relation.SIMULATIONS: " per 1h of wall"}


def _refuse_changing(context: Context, span: Span, relation: Relation, source: Source | None, per: str) -> NoReturn:
    """A bucket is of when things started: one that fails after its bucket was told would never be counted."""
    message = f"a watch tells each bucket once, and {relation} go on changing after theirs"
    hint = f"count events instead: watch {_EXAMPLES[relation]}{_PER[relation]}"
    kind = None if source is None or source.alias else _EVENTS_OF[relation].get(_status(source.where), "")
    if not kind or source is None:
        raise refusal("not-in-watch", message, span, hint)
    edits = (Edit(*source.span, f"events {kind}"), Edit(span[1], span[1], per))
    raise refusal("not-in-watch", message, span, hint, edits if per else edits[:1])


def _status(where: Expr | None) -> str | None:
    """The one status that a condition asks for; None without a condition, nothing for any other."""
    if where is None:
        return None
    if isinstance(where, Compare) and where.op == "=" and isinstance(where.left, Field) and not where.left.links:
        is_own = where.left.name == "status" and not where.left.path and where.left.owner is where.left.relation
        if is_own and isinstance(where.right, Literal):
            return str(where.right.value)
    return ""


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
