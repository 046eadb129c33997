"""What a watch cannot have: stages whose rows are only known when all rows are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from matrix.query.language.suggest import refusal
from matrix.query.syntax import (
    Aggregate,
    Column,
    ColumnRef,
    Effects,
    Funnel,
    Limit,
    Match,
    Select,
    Shape,
    Source,
    Span,
    Stage,
    Type,
    Where,
)


def check_watch(source: Source, stages: Sequence[Stage]) -> None:
    """Refuse what a watch cannot answer; ``sort`` and ``sample`` have been refused where they stand."""
    if source.as_of is not None:
        _refuse("a watch sees the log as it grows, not as of a moment", source.as_of.span, 'leave out "as of"')
    for place, stage in enumerate(stages):
        before = stages[:place]
        if isinstance(stage, Funnel):
            _refuse("a funnel is of all rows, and a watch never has them all", stage.span, "ask for it without watch")
        if isinstance(stage, Effects):
            hint = "turn it round: watch the events that come of it, with caused by"
            _refuse("a watch tells rows as they come, and their effects come later", stage.span, hint)
        if isinstance(stage, Shape) and stage.name == "tree":
            _refuse("a tree is drawn of all rows, and a watch never has them all", stage.span, 'leave out "as tree"')
        if isinstance(stage, Aggregate):
            _check_aggregate(stage, before)
        if isinstance(stage, Match) and not all(isinstance(other, (Where, Select)) for other in before):
            hint = "put match right after the first rows"
            _refuse("a watch tells each match once, so match sees the first rows, not others", stage.span, hint)


def _check_aggregate(stage: Aggregate, before: Sequence[Stage]) -> None:
    if stage.per is None:
        _refuse("a watch never has all rows, so it aggregates buckets", stage.span, "for example: per 1m")
    if any(isinstance(other, Aggregate) for other in before):
        hint = "leave out the second aggregate"
        _refuse("a watch tells each bucket once, so there is nothing more to aggregate", stage.span, hint)
    limit = next((other for other in before if isinstance(other, Limit)), None)
    if limit is not None:
        _refuse("a bucket is of all its rows, so a watch has its limit after them", limit.span, "put limit last")


def _refuse(message: str, span: Span, hint: str) -> NoReturn:
    raise refusal("not-in-watch", message, span, hint)


def keys_of_one_run(keys: tuple[Column, ...], others: Sequence[Column], span: Span) -> tuple[Column, ...]:
    """The keys of a watched aggregate: a bucket is of one run, so the first is ``simulation``."""
    if any(column.name == "simulation" for column in (*keys, *others)):
        return keys
    return (Column(span, "simulation", ColumnRef(span, "@simulation", Type.TEXT), Type.TEXT), *keys)
