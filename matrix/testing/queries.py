"""Hypothesis strategies for query texts of the executed half of the language.

A query is drawn top down, keeping track of what its rows are: things of a relation, or columns that a
stage made. Most drawn texts pass the checker; whoever draws asks it and lets the others go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from matrix.testing import query_words as words
from matrix.testing.query_conditions import Place, chance, compared, condition, duration, number, pick

AGGREGATES = ("sum", "avg", "min", "max", "median", "stddev", "p50", "p95", "distinct", "first", "last")


@dataclass(frozen=True)
class Shape:
    """What the rows are so far: of a relation (perhaps seen by agents), or columns with their kinds."""

    relation: str
    seen_by_agent: bool = False
    columns: tuple[tuple[str, str], ...] = ()
    outer: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> Place:
        """Where a condition on these rows stands."""
        return Place(self.relation, 2, self.seen_by_agent, self.outer)


@st.composite
def queries(draw: st.DrawFn, *, stages_max: int = 3) -> str:
    """The text of one query."""
    shape = Shape(pick(draw, words.RELATIONS))
    parts, shape = source(draw, shape)
    whole = [parts]
    for _ in range(draw(st.integers(min_value=0, max_value=stages_max))):
        part, shape = stage(draw, shape)
        whole.append(part)
    return " | ".join(whole)


def source(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    """A relation with its kinds, alias and condition."""
    found = shape.relation
    if found == "events" and chance(draw, 2):
        found += " " + ", ".join(
            draw(st.lists(st.sampled_from(words.EVENT_KINDS), min_size=1, max_size=2, unique=True))
        )
    if chance(draw, 4):
        alias = pick(draw, ("a", "outer_row"))
        shape = replace(shape, outer=((alias, shape.relation),))
        found += f" as {alias}"
    if not chance(draw, 3):
        found += f" where {condition(draw, shape.place)}"
    return found, shape


def stage(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    """One stage and what the rows are after it."""
    if shape.columns:
        return draw(st.sampled_from((_where_column, _sort_columns, _limit, _select_columns, _aggregate_columns)))(
            draw, shape
        )
    choices: tuple[Callable[[st.DrawFn, Shape], tuple[str, Shape]], ...] = (
        _aggregate,
        _aggregate,
        _select,
        _follow,
        _where,
        _sort,
        _limit,
        _sample,
    )
    return draw(st.sampled_from(choices))(draw, shape)


# -- stages over the rows of a relation ----------------------------------------------------------------


def _where(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    return f"where {condition(draw, shape.place)}", shape


def _follow(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    relation = pick(draw, words.REACHED[shape.relation])
    seen = shape.relation == "agents" and relation == "messages"
    return source(draw, Shape(relation, seen))


def _limit(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    return f"limit {pick(draw, ('1', '3', '10', '0'))}", shape


def _sample(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    return f"sample {pick(draw, ('1', '3', '10'))}{pick(draw, ('', ' seed 7'))}", shape


def _sort(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    fields = list(words.FIELDS[shape.relation])
    paths = list(words.PATHS[shape.relation]) or fields
    keys = [
        pick(draw, (pick(draw, fields), pick(draw, paths), number(draw, shape.place.deeper())))
        + pick(draw, ("", " desc"))
        for _ in range(draw(st.sampled_from((1, 2))))
    ]
    return f"sort {', '.join(keys)}", shape


def _item(draw: st.DrawFn, shape: Shape) -> tuple[str, str]:
    """An expression to select or to group by, and its kind."""
    fields = list(words.FIELDS[shape.relation].items())
    paths = list(words.PATHS[shape.relation].items()) or fields
    links = [
        (f"{link}.{name}", kind)
        for link, relation in words.LINKS[shape.relation].items()
        if link not in ("to", "peer")
        for name, kind in words.FIELDS[relation].items()
    ]
    found = [draw(st.sampled_from(fields)), draw(st.sampled_from(paths)), draw(st.sampled_from(paths))]
    if links:
        found.append(draw(st.sampled_from(links)))
    return draw(st.sampled_from(found))


def _select(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    items: list[str] = []
    columns: list[tuple[str, str]] = []
    for place in range(draw(st.sampled_from((1, 2, 3)))):
        name, (text, kind) = f"c{place}", _item(draw, shape)
        if chance(draw, 4):
            text, kind = number(draw, shape.place), "number"
        elif chance(draw, 8):
            text, kind = duration(draw, shape.place), "duration"
        elif words.MANY_PATHS[shape.relation] and chance(draw, 8):
            text, kind = pick(draw, list(words.MANY_PATHS[shape.relation])), "list"
        items.append(f"{text} as {name}")
        columns.append((name, kind))
    return f"select {', '.join(items)}", replace(shape, columns=tuple(columns), outer=())


def _aggregate(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    values, columns = [], []
    for place in range(draw(st.sampled_from((1, 1, 2)))):
        text, kind = _value(draw, shape)
        values.append(f"{text} as v{place}")
        columns.append((f"v{place}", kind))
    keys = [_item(draw, shape) for _ in range(draw(st.sampled_from((0, 1, 1, 2))))]
    found = ", ".join(values)
    if keys:
        found += " by " + ", ".join(f"{text} as k{place}" for place, (text, _) in enumerate(keys))
    buckets: list[tuple[str, str]] = []
    if shape.relation in ("events", "messages") and chance(draw, 3):
        width, kind = draw(
            st.sampled_from((("1s", "duration"), ("1m", "duration"), ("1h of wall", "time"), ("2 turns", "number")))
        )
        found += f" per {width}"
        buckets = [("time", kind)]
    keyed = [(f"k{place}", kind) for place, (_, kind) in enumerate(keys)]
    return found, replace(shape, columns=(*keyed, *buckets, *columns), outer=())


def _value(draw: st.DrawFn, shape: Shape) -> tuple[str, str]:
    """An aggregate, or arithmetic between two."""
    form = pick(draw, ("count", "one", "one", "one", "counted", "rate"))
    if form == "count":
        return "count", "number"
    if form == "counted":
        return f"count({condition(draw, shape.place.deeper())})", "number"
    if form == "rate":
        return f"count({condition(draw, shape.place.deeper())}) / count", "number"
    function = pick(draw, AGGREGATES)
    numbers = [(name, kind) for name, kind in words.PATHS[shape.relation].items() if kind in ("number", "any")]
    numbers += [(name, kind) for name, kind in words.FIELDS[shape.relation].items() if kind in ("number", "duration")]
    if function in ("distinct", "first", "last"):
        numbers.append(_item(draw, shape))
    text, kind = draw(st.sampled_from(numbers))
    return f"{function}({text})", "number" if function == "distinct" else kind


# -- stages over columns -------------------------------------------------------------------------------


def _where_column(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    name, kind = draw(st.sampled_from(shape.columns))
    if kind in words.WORDS or kind in ("number", "duration", "time"):
        return f"where {compared(draw, name, kind)}", shape
    return f"where {name} {pick(draw, ('exists', 'missing', '= 3', '> 1', '!= null'))}", shape


def _sort_columns(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    names = [name for name, _ in shape.columns]
    keys = [pick(draw, names) + pick(draw, ("", " desc")) for _ in range(draw(st.sampled_from((1, 2))))]
    return f"sort {', '.join(keys)}", shape


def _select_columns(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    chosen = draw(st.lists(st.sampled_from(shape.columns), min_size=1, max_size=2, unique=True))
    return "select " + ", ".join(name for name, _ in chosen), replace(shape, columns=tuple(chosen))


def _aggregate_columns(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    name, kind = draw(st.sampled_from(shape.columns))
    key, key_kind = draw(st.sampled_from(shape.columns))
    function = pick(draw, AGGREGATES if kind in ("number", "duration") else ("distinct", "first", "last"))
    columns = ((key, key_kind), ("v0", "number" if function == "distinct" else kind))
    return f"{function}({name}) as v0 by {key}", replace(shape, columns=columns)
