"""Texts of made-up queries of the whole language, but for ``watch`` and ``explain``.

A query is chosen top down, keeping track of what its rows are: things of a relation, or columns that a
stage made. Most texts pass the checker; whoever wants one asks it and lets the others go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

from matrix.testing import query_words as words
from matrix.testing.choices import Choices
from matrix.testing.query_conditions import compared, condition, counted, duration, number
from matrix.testing.query_conditions import text as made_text
from matrix.testing.query_places import Place
from matrix.testing.query_sequences import CAUSED, STREAMED, caused, moment, sequence


@dataclass(frozen=True)
class Shape:
    """What the rows are so far: of a relation (perhaps seen by agents), or columns with their kinds.

    ``made`` are what a stage put beside the fields of a relation, with their kinds.
    """

    relation: str
    seen_by_agent: bool = False
    columns: tuple[tuple[str, str], ...] = ()
    outer: tuple[tuple[str, str], ...] = ()
    made: tuple[tuple[str, str], ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """Where a condition on these rows stands."""
        return Place(self.relation, 2, self.seen_by_agent, self.outer, self.steps)

    def become(self, columns: list[tuple[str, str]]) -> Shape:
        """The rows once they are only columns."""
        return Shape(self.relation, columns=tuple(columns))


def query_text(c: Choices, *, stages_max: int = 3) -> str:
    """The text of one query."""
    shape = Shape(c.pick(words.RELATIONS))
    parts, shape = source(c, shape, may_look_back=True)
    whole = [parts]
    for _ in range(c.below(stages_max + 1)):
        part, shape = stage(c, shape)
        whole.append(part)
    if not shape.columns and c.chance(6):
        whole.append(f"as {final_shape(c, shape.relation)}")
    return " | ".join(whole)


def final_shape(c: Choices, relation: str) -> str:
    """A shape that rows of this relation can have."""
    special = {"events": ("tree",), "conversations": ("chat", "chat")}
    return c.pick(("timeline", *special.get(relation, ()), "table"))


def source(c: Choices, shape: Shape, *, may_look_back: bool = False) -> tuple[str, Shape]:
    """A relation with its kinds, alias and condition."""
    found = shape.relation
    if found == "events" and c.chance(2):
        found += " " + ", ".join(dict.fromkeys(c.some(words.EVENT_KINDS, least=1, most=2)))
    if c.chance(4):
        alias = c.pick(("a", "outer_row"))
        shape = replace(shape, outer=((alias, shape.relation),))
        found += f" as {alias}"
    if may_look_back and c.chance(8):
        found += f" as of {moment(c)}"
    if c.chance(2 + (shape.relation in STREAMED)):
        found += f" where {condition(c, shape.place)}"
    return found, shape


def stage(c: Choices, shape: Shape) -> tuple[str, Shape]:
    """One stage and what the rows are after it."""
    if shape.columns:
        return c.pick((_where_column, _sort_columns, _limit, _select_columns, _aggregate_columns))(c, shape)
    choices: list[Callable[[Choices, Shape], tuple[str, Shape]]] = [_probe, _aggregate, _aggregate, _select]
    choices += [_follow, _where, _sort, _limit, _sample]
    if shape.relation in STREAMED:
        choices += [_probe_order, _probe_order, _match, _match, _funnel]
    if shape.relation in CAUSED:
        choices += [_probe_causes, _probe_causes]
    if shape.relation in ("events", "messages"):
        choices += [_causes]
    if shape.made:
        choices += [_where_made, _aggregate, _select, _sort]
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
    made = [name for name, _ in shape.made] or fields
    keys = [
        c.pick((c.pick(fields), c.pick(paths), c.pick(made), number(c, shape.place.deeper()))) + c.pick(("", " desc"))
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
    if shape.made and c.chance(2):
        return c.pick(shape.made)
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
    return f"select {', '.join(items)}", shape.become(columns)


def _probe(c: Choices, shape: Shape) -> tuple[str, Shape]:
    """Conditions shown for every row: each row says whether the two evaluators agree."""
    return _shown(c, shape, [condition(c, shape.place) for _ in range(c.pick((1, 2, 3)))])


def _shown(c: Choices, shape: Shape, tests: list[str]) -> tuple[str, Shape]:
    shown, kind = c.pick((("if({}, 1, 0)", "number"), ("({})", "bool")))
    items = [f"{shown.format(test)} as c{place}" for place, test in enumerate(tests)]
    return f"select {', '.join(items)}", shape.become([(f"c{place}", kind) for place in range(len(tests))])


def _probe_order(c: Choices, shape: Shape) -> tuple[str, Shape]:
    """Sequences shown for every row, and how many matches they have."""
    if c.chance(4):
        found = [f"count({sequence(c, shape.place.deeper(), condition)}) as c{place}" for place in (0, 1)]
        return f"select {', '.join(found)}, {counted(c, shape.place)} as c2", shape.become(
            [(f"c{place}", "number") for place in (0, 1, 2)]
        )
    return _shown(c, shape, [sequence(c, shape.place, condition) for _ in range(c.pick((1, 2, 3)))])


def _probe_causes(c: Choices, shape: Shape) -> tuple[str, Shape]:
    """Conditions on causes shown for every row."""
    return _shown(c, shape, [caused(c, shape.place, condition) for _ in range(c.pick((1, 2, 3)))])


def _match(c: Choices, shape: Shape) -> tuple[str, Shape]:
    """The matches of a sequence, with what can be read from them."""
    names: list[str] = []
    found = f"match {sequence(c, replace(shape.place, steps=()), condition, names=names, free=True)}"
    made = [(name, "duration") for name in ("start", "end", "duration")]
    for name in names:
        made += [(item.format(n=name), kind) for item, kind in words.STEP_ITEMS.items()]
    made += [(f"({after}.time - {before}.time)", "duration") for before, after in pairwise(names)]
    return found, replace(shape, made=tuple(made), steps=tuple(names))


def _funnel(c: Choices, shape: Shape) -> tuple[str, Shape]:
    """How far the rows come along a sequence."""
    found = f"funnel {sequence(c, shape.place, condition, free=True)}"
    keys = [_item(c, shape) for _ in range(c.pick((0, 0, 1, 2)))]
    if keys:
        found += " by " + ", ".join(f"{text} as k{place}" for place, (text, _) in enumerate(keys))
    columns = [(f"k{place}", kind) for place, (_, kind) in enumerate(keys)]
    columns += [("step", "number"), ("event", "kind"), ("reached", "number")]
    return found, shape.become([*columns, ("share", "number"), ("median_time", "duration")])


def _causes(c: Choices, shape: Shape) -> tuple[str, Shape]:
    """The events that led to the rows, or that they led to."""
    found = c.pick(("causes", "effects")) + c.pick(("", "", " within 1 steps", " within 2 steps", " within 0 steps"))
    return found, Shape("events", made=(("depth", "number"), ("origin", "event id")))


def _where_made(c: Choices, shape: Shape) -> tuple[str, Shape]:
    """A condition on what a stage made."""
    name, kind = c.pick(shape.made)
    return f"where {compared(c, name, kind)}", shape


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
    return found, shape.become([*keyed, *buckets, *columns])


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
    numbers += [(name, kind) for name, kind in shape.made if kind in ("number", "duration")] * 2
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
