"""What the aggregates take and give; the same in a stage and in a condition."""

from __future__ import annotations

from typing import cast

from matrix.query.language.suggest import refusal
from matrix.query.language.types import NAMES
from matrix.query.syntax import AggregateName, Expr, Field, Type

#: Aggregates that add values up, and so take numbers and durations only.
SUMMING = frozenset({"sum", "avg", "stddev"})
#: Aggregates that put values in order.
ORDERING = frozenset({"min", "max", "median", "percentile"})


def aggregate_of(word: str) -> tuple[AggregateName, float | None]:
    """``p95`` is the percentile 95; every other word is the aggregate of that name."""
    if word.startswith("p"):
        return "percentile", float(word[1:])
    return cast(AggregateName, str(word)), None


def check_argument(text: str, name: AggregateName, word: str, item: Expr) -> None:
    """Whether an aggregate can be taken of these values."""
    written = text[slice(*item.span)]
    if isinstance(item, Field) and item.has_wildcard:
        hint = "name one element, such as .items[0].price, or use it in a comparison: .items[*].price > 100"
        raise refusal("wildcard", "[*] means any element, so it has no single value", item.span, hint)
    taken = {Type.NUMBER, Type.DURATION, Type.ANY}
    if name in ORDERING:
        taken |= {Type.TIME}
    if name in ("min", "max"):
        taken |= {Type.TEXT}
    if name in SUMMING | ORDERING and item.type not in taken:
        message = f"{word}( ) takes numbers or durations"
        raise refusal("wrong-arguments", message, item.span, f'"{written}" is {NAMES[item.type]}')


def result_type(name: AggregateName, item: Expr) -> Type:
    """The type of an aggregate of these values; of data, only numbers are taken where order or sums matter."""
    if name in ("count", "distinct"):
        return Type.NUMBER
    if name in ("first", "last"):
        return item.type
    return Type.NUMBER if item.type is Type.ANY else item.type
