"""Texts of made-up queries of the executed half of the language.

A query is chosen top down, keeping track of what its rows are: things of a relation, or columns that a
stage made. Most texts pass the checker; whoever wants one asks it and lets the others go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from matrix.testing import query_words as words
from matrix.testing.choices import Choices
from matrix.testing.query_conditions import Place, compared, condition, duration, number
from matrix.testing.query_conditions import text as made_text


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


def query_text(c: Choices, *, stages_max: int = 3) -> str:
    """The text of one query."""
    shape = Shape(c.pick(words.RELATIONS))
    parts, shape = source(c, shape)
    whole = [parts]
    for _ in range(c.below(stages_max + 1)):
        part, shape = stage(c, shape)
        whole.append(part)
    return " | ".join(whole)


def source(c: Choices, shape: Shape) -> tuple[str, Shape]:
    """A relation with its kinds, alias and condition."""
    found = shape.relation
    if found == "events" and c.chance(2):
        found += " " + ", ".join(dict.fromkeys(c.some(words.EVENT_KINDS, least=1, most=2)))
    if c.chance(4):
        alias = c.pick(("a", "outer_row"))
        shape = replace(shape, outer=((alias, shape.relation),))
        found += f" as {alias}"
    if c.chance(2):
        found += f" where {condition(c, shape.place)}"
    return found, shape


def stage(c: Choices, shape: Shape) -> tuple[str, Shape]:
    """One stage and what the rows are after it."""
    if shape.columns:
        return c.pick((_where_column, _sort_columns, _limit, _select_columns, _aggregate_columns))(c, shape)
    choices: tuple[Callable[[Choices, Shape], tuple[str, Shape]], ...] = (
        _probe,
        _probe,
        _aggregate,
        _aggregate,
        _select,
        _follow,
        _where,
        _sort,
        _limit,
        _sample,
    )
    return c.pick(choices)(c, shape)


# -- stages over the rows of a relation ----------------------------------------------------------------


def _where(c: Choices, shape: Shape) -> tuple[str, Shape]:
    return f"where {condition(c, shape.place)}", shape


def _follow(c: Choices, shape: Shape) -> tuple[str, Shape]:
    relation = c.pick(words.REACHED[shape.relation])
    seen = shape.relation == "agents" and relation == "messages"
    return source(c, Shape(relation, seen))


def _limit(c: Choices, shape: Shape) -> tuple[str, Shape]:
    return f"limit {c.pick(('10', '3', '1', '0'))}", shape


def _sample(c: Choices, shape: Shape) -> tuple[str, Shape]:
    return f"sample {c.pick(('1', '3', '10'))}{c.pick(('', ' seed 7'))}", shape


def _sort(c: Choices, shape: Shape) -> tuple[str, Shape]:
    fields = list(words.FIELDS[shape.relation])
    paths = list(words.PATHS[shape.relation]) or fields
    keys = [
        c.pick((c.pick(fields), c.pick(paths), number(c, shape.place.deeper()))) + c.pick(("", " desc"))
        for _ in range(c.pick((1, 2)))
    ]
    return f"sort {', '.join(keys)}", shape


def _item(c: Choices, shape: Shape) -> tuple[str, str]:
    """An expression to select or to group by, and its kind."""
    fields = list(words.FIELDS[shape.relation].items())
    paths = list(words.PATHS[shape.relation].items()) or fields
    links = [
        (f"{link}.{name}", kind)
        for link, relation in words.LINKS[shape.relation].items()
        if link not in ("to", "peer")
        for name, kind in words.FIELDS[relation].items()
    ]
    found = [c.pick(fields), c.pick(paths), c.pick([*paths[:4], *paths])]
    if links:
        found.append(c.pick(links))
    return c.pick(found)


def _select(c: Choices, shape: Shape) -> tuple[str, Shape]:
    items: list[str] = []
    columns: list[tuple[str, str]] = []
    for place in range(c.pick((1, 2, 3))):
        name, (text, kind) = f"c{place}", _item(c, shape)
        if c.chance(4):
            text, kind = made_text(c, shape.place), "any"
        elif c.chance(2):
            text, kind = number(c, shape.place), "number"
        elif c.chance(8):
            text, kind = duration(c, shape.place), "duration"
        elif words.MANY_PATHS[shape.relation] and c.chance(8):
            text, kind = c.pick(list(words.MANY_PATHS[shape.relation])), "list"
        items.append(f"{text} as {name}")
        columns.append((name, kind))
    return f"select {', '.join(items)}", replace(shape, columns=tuple(columns), outer=())


def _probe(c: Choices, shape: Shape) -> tuple[str, Shape]:
    """Conditions shown for every row: each row says whether the two evaluators agree."""
    tests = [condition(c, shape.place) for _ in range(c.pick((1, 2, 3)))]
    shown, kind = c.pick((("if({}, 1, 0)", "number"), ("({})", "bool")))
    items = [f"{shown.format(test)} as c{place}" for place, test in enumerate(tests)]
    columns = tuple((f"c{place}", kind) for place in range(len(tests)))
    return f"select {', '.join(items)}", replace(shape, columns=columns, outer=())


def _aggregate(c: Choices, shape: Shape) -> tuple[str, Shape]:
    values, columns = [], []
    for place in range(c.pick((1, 1, 2))):
        text, kind = _value(c, shape)
        values.append(f"{text} as v{place}")
        columns.append((f"v{place}", kind))
    keys = [_item(c, shape) for _ in range(c.pick((0, 1, 1, 2)))]
    found = ", ".join(values)
    if keys:
        found += " by " + ", ".join(f"{text} as k{place}" for place, (text, _) in enumerate(keys))
    buckets: list[tuple[str, str]] = []
    if shape.relation != "simulations" and c.chance(3):
        width, kind = c.pick(words.WIDTHS if shape.relation in ("events", "messages") else words.WIDTHS[:2])
        found += f" per {width}"
        buckets = [("time", kind)]
    keyed = [(f"k{place}", kind) for place, (_, kind) in enumerate(keys)]
    return found, replace(shape, columns=(*keyed, *buckets, *columns), outer=())


def _value(c: Choices, shape: Shape) -> tuple[str, str]:
    """An aggregate, or arithmetic between two."""
    form = c.pick(("count", "one", "one", "one", "counted", "rate"))
    if form == "count":
        return "count", "number"
    if form == "counted":
        return f"count({condition(c, shape.place.deeper())})", "number"
    if form == "rate":
        return f"count({condition(c, shape.place.deeper())}) / count", "number"
    function = c.pick(words.AGGREGATES)
    numbers = [(name, kind) for name, kind in words.PATHS[shape.relation].items() if kind in ("number", "any")]
    numbers += [(name, kind) for name, kind in words.FIELDS[shape.relation].items() if kind in ("number", "duration")]
    if function in ("distinct", "first", "last"):
        numbers.append(_item(c, shape))
    text, kind = c.pick(numbers)
    return f"{function}({text})", "number" if function == "distinct" else kind


# -- stages over columns -------------------------------------------------------------------------------


def _where_column(c: Choices, shape: Shape) -> tuple[str, Shape]:
    name, kind = c.pick(shape.columns)
    if kind in words.WORDS or kind in ("number", "duration", "time"):
        return f"where {compared(c, name, kind)}", shape
    return f"where {name} {c.pick(('exists', 'missing', '= 3', '> 1', '!= null'))}", shape


def _sort_columns(c: Choices, shape: Shape) -> tuple[str, Shape]:
    names = [name for name, _ in shape.columns]
    keys = [c.pick(names) + c.pick(("", " desc")) for _ in range(c.pick((1, 2)))]
    return f"sort {', '.join(keys)}", shape


def _select_columns(c: Choices, shape: Shape) -> tuple[str, Shape]:
    chosen = list(dict.fromkeys(c.some(shape.columns, least=1, most=2)))
    return "select " + ", ".join(name for name, _ in chosen), replace(shape, columns=tuple(chosen))


def _aggregate_columns(c: Choices, shape: Shape) -> tuple[str, Shape]:
    name, kind = c.pick(shape.columns)
    key, key_kind = c.pick(shape.columns)
    function = c.pick(words.AGGREGATES if kind in ("number", "duration") else ("distinct", "first", "last"))
    value = "v0" if key != "v0" else "v1"
    columns = ((key, key_kind), (value, "number" if function == "distinct" else kind))
    return f"{function}({name}) as {value} by {key}", replace(shape, columns=columns)
