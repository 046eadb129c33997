"""Draw conditions and values of made-up queries, as text, for the rows of a given relation.

Every function takes hypothesis' ``draw`` and a ``Place`` and gives query text. The simplest form of
everything comes first, for that is what a failing query shrinks to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from matrix.testing import query_words as words

Draw = st.DrawFn


def pick(draw: Draw, items: Sequence[str]) -> str:
    """One of the items."""
    return draw(st.sampled_from(list(items)))


def chance(draw: Draw, out_of: int) -> bool:
    """True once in ``out_of`` times; shrinks to false."""
    return draw(st.integers(min_value=0, max_value=out_of - 1)) == out_of - 1


@dataclass(frozen=True)
class Place:
    """Where a condition stands: the rows it is about, how deep, and whether an agent looks."""

    relation: str
    depth: int = 2
    seen_by_agent: bool = False
    outer: tuple[tuple[str, str], ...] = ()  # aliases in sight and their relations

    def inside(self, relation: str) -> Place:
        """The place within the parentheses of a quantifier."""
        return Place(relation, self.depth - 1, self.relation == "agents" and relation == "messages", self.outer)

    def deeper(self) -> Place:
        """The same rows, one level further down."""
        return Place(self.relation, self.depth - 1, self.seen_by_agent, self.outer)


# -- values ------------------------------------------------------------------------------------------


def quoted(draw: Draw, word: str) -> str:
    """A word as text, in either kind of quotes."""
    return (
        json.dumps(word, ensure_ascii=False)
        if "'" in word or chance(draw, 2)
        else "'" + json.dumps(word, ensure_ascii=False)[1:-1].replace('\\"', '"') + "'"
    )


def named(draw: Draw, word: str) -> str:
    """A word beside a name field: bare when it can be."""
    is_plain = word.replace("_", "a").isalnum() and word.isascii() and word[:1].isalpha()
    return word if is_plain and word not in words.FIELDS["messages"] and chance(draw, 2) else quoted(draw, word)


def number(draw: Draw, place: Place) -> str:
    """A number: of a field, a path, a count, or calculated from them."""
    found: list[Callable[[], str]] = [
        lambda: pick(draw, [name for name, kind in words.FIELDS[place.relation].items() if kind == "number"] or ["1"]),
        lambda: pick(draw, [p for p, kind in words.PATHS[place.relation].items() if kind == "number"] or ["2"]),
        lambda: f"({pick(draw, list(words.PATHS[place.relation]) or ['1'])} ?? {pick(draw, words.COUNTS)})",
    ]
    if place.depth > 0:
        found += [lambda: calculated(draw, place.deeper()), lambda: counted(draw, place)]
    return draw(st.sampled_from(found))()


def calculated(draw: Draw, place: Place) -> str:
    """Arithmetic, or a function that gives a number."""
    form = pick(
        draw,
        (
            "({a} {op} {b})",
            "({a} {op} {c})",
            "-{c} * {a}",
            "abs({a})",
            "round({a})",
            "len({t})",
            "number({t})",
            "seconds({d})",
            "if({a} > {c}, {a}, {b})",
            "({d} / {e})",
        ),
    )
    return form.format(
        a=number(draw, place),
        b=number(draw, place) if "{b}" in form else "",
        c=pick(draw, words.COUNTS),
        op=pick(draw, ("+", "-", "*", "/", "%")),
        t=text(draw, place) if "{t}" in form else "",
        d=duration(draw, place) if "{d}" in form else "",
        e=pick(draw, words.DURATIONS),
    )


def counted(draw: Draw, place: Place) -> str:
    """Counting and summing inside a condition."""
    reached = words.REACHED[place.relation]
    if "events" in reached and chance(draw, 2):
        kind = pick(draw, words.EVENT_KINDS)
        if chance(draw, 2):
            return f"count({kind})"
        function = pick(
            draw, ("sum", "avg", "min", "max", "median", "p50", "p95", "distinct", "first", "last", "stddev")
        )
        return f"{function}({pick(draw, ('.price', '.tokens', '.ms', '.amount', 'seq', 'turn'))} of {kind})"
    relation = pick(draw, reached)
    return f"count({relation} ({condition(draw, place.inside(relation))}))"


def text(draw: Draw, place: Place) -> str:
    """A text: of a field, a path, or made by a function."""
    fields = [name for name, kind in words.FIELDS[place.relation].items() if kind in words.WORDS]
    paths = [p for p, kind in words.PATHS[place.relation].items() if kind in words.PATH_WORDS]
    return pick(
        draw,
        (
            pick(draw, fields),
            pick(draw, paths or fields),
            f"lower({pick(draw, paths or fields)})",
            f"({pick(draw, paths or fields)} ?? {quoted(draw, 'x')})",
        ),
    )


def duration(draw: Draw, place: Place) -> str:
    """A duration: of a field, or calculated."""
    fields = [name for name, kind in words.FIELDS[place.relation].items() if kind == "duration"]
    first = pick(draw, fields)
    return pick(
        draw, (first, first, f"({first} - {pick(draw, fields)})", f"({first} * 2)", f"({first} / 3)", f"({first} + 1s)")
    )


# -- conditions --------------------------------------------------------------------------------------


def condition(draw: Draw, place: Place) -> str:
    """Any condition at a place."""
    found: list[Callable[[Draw, Place], str]] = [on_field, on_field, on_path, on_path, on_many, on_link, on_number]
    if place.relation != "conversations":
        found.append(on_goal)
    if place.seen_by_agent:
        found.append(on_view)
    if place.outer:
        found.append(on_alias)
    if place.depth > 0:
        found += [combined, quantified, quantified]
    return draw(st.sampled_from(found))(draw, place)


def combined(draw: Draw, place: Place) -> str:
    """Conditions joined, or turned round."""
    inner = place.deeper()
    form = pick(draw, ("{a} and {b}", "{a} or {b}", "not ({a})", "({a} or {b}) and {c}", "not {a}", "({a})"))
    return form.format(**{name: f"({condition(draw, inner)})" for name in "abc" if "{" + name in form})


def on_field(draw: Draw, place: Place) -> str:
    """A condition on a built-in field."""
    name = pick(draw, list(words.FIELDS[place.relation]))
    return compared(draw, name, words.FIELDS[place.relation][name])


def compared(draw: Draw, name: str, kind: str) -> str:
    """A field or link of a known kind, compared in one of the ways it can be."""
    if chance(draw, 8):
        return f"{name} {pick(draw, ('exists', 'missing'))}"
    if kind == "number":
        return f"{name} {pick(draw, ('=', '!=', '<', '<=', '>', '>='))} {pick(draw, words.NUMBERS)}"
    if kind in ("duration", "time"):
        literals = words.DURATIONS if kind == "duration" else words.TIMES
        if chance(draw, 4):
            return f"{name} in {pick(draw, literals)}..{pick(draw, literals)}"
        return f"{name} {pick(draw, ('=', '!=', '<', '<=', '>', '>='))} {pick(draw, literals)}"
    word = pick(draw, words.WORDS[kind])
    form = pick(
        draw,
        (
            "= {w}",
            "= {w}",
            "!= {w}",
            "in ({w}, {v})",
            "not in ({w}, {v})",
            "~ {p}",
            "contains {t}",
            "starts with {t}",
            "ends with {t}",
            "> {q}",
        ),
    )
    if kind == "kind" and chance(draw, 3):
        return f"{name} {pick(draw, ('= tool.*', '!= tool.*', 'in (offer, goal.*)', '= message.*'))}"
    part = word[: draw(st.integers(min_value=0, max_value=2))]
    return f"{name} " + form.format(
        w=named(draw, word),
        v=named(draw, pick(draw, words.WORDS[kind])),
        p=pick(draw, words.PATTERNS),
        t=quoted(draw, part),
        q=quoted(draw, word),
    )


def on_path(draw: Draw, place: Place) -> str:
    """A condition on the open data."""
    paths = words.PATHS[place.relation]
    return on_data(draw, pick(draw, list(paths)), paths) if paths else on_field(draw, place)


def on_data(draw: Draw, path: str, paths: dict[str, str]) -> str:
    """A path compared with a literal that is mostly of its type, or with another path."""
    kind = paths[path]
    word = pick(draw, words.PATH_WORDS.get(kind, ("x",)))
    form = pick(
        draw,
        (
            "exists",
            "missing",
            "= {l}",
            "!= {l}",
            "> {n}",
            "<= {n}",
            "= null",
            "!= null",
            "in ({l}, {n})",
            "not in ({l}, null)",
            "= {o}",
            "< {o}",
            "in 0..3",
            "= true",
            "contains {t}",
            "starts with {t}",
            "~ {p}",
            "!= {o}",
        ),
    )
    literal = pick(draw, words.NUMBERS) if kind == "number" else quoted(draw, word)
    return f"{path} " + form.format(
        l=literal,
        n=pick(draw, words.NUMBERS),
        o=pick(draw, list(paths)),
        t=quoted(draw, word),
        p=pick(draw, words.PATTERNS),
    )


def on_many(draw: Draw, place: Place) -> str:
    """A condition on any element of a list."""
    paths = words.MANY_PATHS[place.relation]
    if not paths:
        return on_path(draw, place)
    path = pick(draw, list(paths))
    form = pick(draw, ("exists", "missing", "= {l}", "> {n}", "in ({l}, {n})", "~ {p}", "= {o}", "in 1..5", "< {m}"))
    literal = (
        pick(draw, words.NUMBERS)
        if paths[path] == "number"
        else quoted(draw, pick(draw, words.PATH_WORDS[paths[path]]))
    )
    others = list(words.PATHS[place.relation])
    test = f"{path} " + form.format(
        l=literal,
        n=pick(draw, words.NUMBERS),
        p=pick(draw, words.PATTERNS),
        o=pick(draw, others),
        m=pick(draw, list(paths)),
    )
    return f"not {test}" if chance(draw, 3) else test


def on_link(draw: Draw, place: Place) -> str:
    """A condition on something one or two links away."""
    name, relation = "", place.relation
    for _ in range(draw(st.sampled_from((1, 1, 2)))):
        if words.LINKS[relation]:
            link = pick(draw, list(words.LINKS[relation]))
            name, relation = f"{name}{link}.", words.LINKS[relation][link]
    if not name:
        return on_field(draw, place)
    if words.PATHS[relation] and chance(draw, 3):
        path = pick(draw, list(words.PATHS[relation]))
        return on_data(draw, f"{name}data{path}", {f"{name}data{path}": words.PATHS[relation][path]})
    field_name = pick(draw, list(words.FIELDS[relation]))
    return compared(draw, name + field_name, words.FIELDS[relation][field_name])


def on_number(draw: Draw, place: Place) -> str:
    """A calculated value compared."""
    if chance(draw, 3):
        return f"{duration(draw, place)} {pick(draw, ('<', '>=', '='))} {pick(draw, words.DURATIONS)}"
    return f"{number(draw, place)} {pick(draw, ('=', '<', '>=', '!='))} {pick(draw, words.NUMBERS)}"


def on_goal(draw: Draw, place: Place) -> str:
    """A goal test."""
    verb = pick(draw, ("succeeded", "failed", "cancelled", "started"))
    within = pick(draw, ("", "", " within 1s", " within 1m", " within 2 turns"))
    if place.relation == "goals":
        return verb + within
    name = pick(draw, ("", "", *(f" {quoted(draw, goal)}" for goal in words.WORDS["goal name"][:3])))
    return f"goal{name} {verb}{within}"


def on_view(draw: Draw, place: Place) -> str:
    """What only an agent's view of a message has."""
    return pick(
        draw, ("sent", "received", "not sent", "peer = alice", "peer.role = buyer", "peer missing", "sent and received")
    )


def on_alias(draw: Draw, place: Place) -> str:
    """A comparison with a row further out."""
    alias, relation = draw(st.sampled_from(place.outer))
    both = [
        (mine, theirs)
        for mine, kind in words.FIELDS[place.relation].items()
        for theirs, other in words.FIELDS[relation].items()
        if kind == other
    ]
    mine, theirs = draw(st.sampled_from(both)) if both else ("id", "id")
    return f"{mine} {pick(draw, ('=', '!='))} {alias}.{theirs}"


def quantified(draw: Draw, place: Place) -> str:
    """A condition on how many of the rows reached meet another."""
    quantity = pick(draw, ("any", "no", "every", "at least 2", "at most 1", "exactly 1", "exactly 0"))
    reached = words.REACHED[place.relation]
    if "goals" in reached and chance(draw, 4):
        return (
            f"{quantity} goal {pick(draw, ('', *words.GOALS_QUOTED))} {pick(draw, ('succeeded', 'failed', 'started'))}"
        )
    if "events" in reached and quantity != "every" and chance(draw, 3):
        kind = pick(draw, words.EVENT_KINDS)
        inner = f"({condition(draw, place.inside('events'))})" if chance(draw, 2) else ""
        return f"{quantity} {kind}{inner}"
    relation = pick(draw, reached)
    if quantity != "every" and relation not in ("goals", "events") and chance(draw, 6):
        return f"{quantity} {words.THINGS[relation]}"
    return f"{quantity} {words.THINGS[relation]} ({condition(draw, place.inside(relation))})"
