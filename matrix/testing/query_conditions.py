"""Draw conditions and values of made-up queries, as text, for the rows of a given relation.

Every function takes ``Choices`` and a ``Place`` and gives query text. The simplest form of
everything comes first, for that is what a failing query shrinks to.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from matrix.testing import query_words as words
from matrix.testing.choices import Choices
from matrix.testing.query_places import Place, filled
from matrix.testing.query_sequences import CAUSED, STREAMED, caused, sequence

# -- values ------------------------------------------------------------------------------------------


def quoted(c: Choices, word: str) -> str:
    """A word as text, in either kind of quotes."""
    return (
        json.dumps(word, ensure_ascii=False)
        if "'" in word or c.chance(2)
        else "'" + json.dumps(word, ensure_ascii=False)[1:-1].replace('\\"', '"') + "'"
    )


def named(c: Choices, word: str) -> str:
    """A word beside a name field: bare when it can be."""
    is_plain = word.replace("_", "a").isalnum() and word.isascii() and word[:1].isalpha()
    return word if is_plain and word not in words.FIELDS["messages"] and c.chance(2) else quoted(c, word)


def number(c: Choices, place: Place) -> str:
    """A number: of a field, a path, a count, or calculated from them."""
    found: list[Callable[[], str]] = [
        lambda: c.pick([name for name, kind in words.FIELDS[place.relation].items() if kind == "number"] or ["1"]),
        lambda: c.pick([p for p, kind in words.PATHS[place.relation].items() if kind == "number"] or ["2"]),
        lambda: f"({c.pick(list(words.PATHS[place.relation]) or ['1'])} ?? {c.pick(words.COUNTS)})",
    ]
    if place.depth > 0:
        found += [lambda: calculated(c, place.deeper())] * 3 + [lambda: counted(c, place)]
    return c.pick(found)()


def calculated(c: Choices, place: Place) -> str:
    """Arithmetic, or a function that gives a number."""
    return filled(
        c.pick(words.CALCULATIONS),
        a=lambda: number(c, place),
        b=lambda: number(c, place),
        c=lambda: c.pick(words.COUNTS),
        op=lambda: c.pick(("+", "-", "*", "/", "%")),
        t=lambda: text(c, place),
        d=lambda: duration(c, place),
        e=lambda: c.pick(words.DURATIONS),
    )


def counted(c: Choices, place: Place) -> str:
    """Counting and summing inside a condition."""
    reached = words.REACHED[place.relation]
    if place.relation in STREAMED and c.chance(3):
        return f"count({sequence(c, place.deeper(), condition)})"
    if c.chance(4):
        relation = c.pick([name for name in reached if name != "conversations"])
        numbers = [name for name, kind in words.FIELDS[relation].items() if kind in ("number", "duration")]
        return f"distinct({c.pick(numbers)} of {relation})"
    if "events" in reached and c.chance(2):
        kind = c.pick(words.EVENT_KINDS)
        if c.chance(2):
            return f"count({kind})"
        return f"{c.pick(words.AGGREGATES)}({c.pick(('.price', '.tokens', '.ms', '.amount', 'seq', 'turn'))} of {kind})"
    relation = c.pick(reached)
    return f"count({relation} ({condition(c, place.inside(relation))}))"


def text(c: Choices, place: Place) -> str:
    """A text: of a field, a path, or made by a function."""
    fields = [name for name, kind in words.FIELDS[place.relation].items() if kind in words.WORDS]
    paths = [p for p, kind in words.PATHS[place.relation].items() if kind in words.PATH_WORDS] or fields
    return filled(
        c.pick(("{f}", "{p}", "lower({p})", "upper({f})", "({p} ?? {q})", "text({a})", 'if({a} > 2, "x", {p})')),
        f=lambda: c.pick(fields),
        p=lambda: c.pick(paths),
        q=lambda: quoted(c, "x"),
        a=lambda: c.pick([*words.PATHS[place.relation]] or fields),
    )


def duration(c: Choices, place: Place) -> str:
    """A duration: of a field, calculated, or of the rows reached."""
    fields = [name for name, kind in words.FIELDS[place.relation].items() if kind == "duration"]
    form = c.pick(
        ("{f}", "{f}", "({f} - {g})", "({f} * 2)", "({f} / 3)", "({f} + 1s)", "{a}({h} of {r})", "duration({n})")
    )
    relation = c.pick([name for name in words.REACHED[place.relation] if name != "conversations"])
    theirs = [name for name, kind in words.FIELDS[relation].items() if kind == "duration"]
    return filled(
        form,
        f=lambda: c.pick(fields),
        g=lambda: c.pick(fields),
        a=lambda: c.pick(("sum", "avg", "min", "max", "median", "p50", "first", "last")),
        h=lambda: c.pick(theirs),
        r=lambda: relation,
        n=lambda: number(c, Place(place.relation, 0)),
    )


# -- conditions --------------------------------------------------------------------------------------


def any_path(c: Choices, paths: dict[str, str]) -> str:
    """One of the paths, more often one of the first."""
    return c.pick([*list(paths)[:4], *paths])


def condition(c: Choices, place: Place) -> str:
    """Any condition at a place."""
    found: list[Callable[[Choices, Place], str]] = [on_path, on_field, on_many, on_link, on_number, on_number]
    if words.MANY_PATHS[place.relation]:
        found += [on_path, on_path, on_path, on_many]
    if place.relation != "conversations":
        found.append(on_goal)
    if place.seen_by_agent:
        found.append(on_view)
    if place.outer:
        found.append(on_alias)
    if place.steps:
        found += [on_step, on_step]
    if place.depth > 0:
        found += [on_text, combined, quantified, quantified]
        found += [in_order, in_order] if place.relation in STREAMED else []
        found += [by_cause] if place.relation in CAUSED else []
    return c.pick(found)(c, place)


def in_order(c: Choices, place: Place) -> str:
    """A sequence."""
    return f"({sequence(c, place, condition)})"


def by_cause(c: Choices, place: Place) -> str:
    """A condition on causes."""
    return f"({caused(c, place, condition)})"


def on_step(c: Choices, place: Place) -> str:
    """A condition on the event of a step: beside the row's own when that is an event, else alone."""
    name = c.pick(place.steps)
    if place.relation == "events":
        return c.pick(words.STEP_REFERENCES).format(n=name)
    item, kind = c.pick([(item.format(n=name), kind) for item, kind in words.STEP_ITEMS.items()])
    return compared(c, item, kind)


def combined(c: Choices, place: Place) -> str:
    """Conditions joined, or turned round."""
    inner = place.deeper()
    form = c.pick(("{a} and {b}", "{a} or {b}", "not ({a})", "({a} or {b}) and {c}", "not {a}", "({a})"))
    return form.format(**{name: f"({condition(c, inner)})" for name in "abc" if "{" + name in form})


def on_field(c: Choices, place: Place) -> str:
    """A condition on a built-in field."""
    name = c.pick(list(words.FIELDS[place.relation]))
    return compared(c, name, words.FIELDS[place.relation][name])


def compared(c: Choices, name: str, kind: str) -> str:
    """A field or link of a known kind, compared in one of the ways it can be."""
    if c.chance(8):
        return f"{name} {c.pick(('exists', 'missing'))}"
    if kind == "number":
        return f"{name} {c.pick(('=', '!=', '<', '<=', '>', '>='))} {c.pick(words.NUMBERS)}"
    if kind in ("duration", "time"):
        literals = words.DURATIONS if kind == "duration" else words.TIMES
        if c.chance(4):
            low, high = sorted((literals.index(c.pick(literals)), literals.index(c.pick(literals))))
            return f"{name} in {literals[low]}..{literals[high]}"
        return f"{name} {c.pick(('=', '!=', '<', '<=', '>', '>='))} {c.pick(literals)}"
    word = c.pick(words.WORDS[kind])
    if kind == "kind" and c.chance(3):
        return f"{name} {c.pick(('= tool.*', '!= tool.*', 'in (offer, goal.*)', '= message.*'))}"
    part = word[: c.below(3)]
    return f"{name} " + filled(
        c.pick(words.NAME_TESTS),
        w=lambda: named(c, word),
        v=lambda: named(c, c.pick(words.WORDS[kind])),
        p=lambda: c.pick(words.PATTERNS),
        t=lambda: quoted(c, part),
        q=lambda: quoted(c, word),
    )


def on_path(c: Choices, place: Place) -> str:
    """A condition on the open data."""
    paths = words.PATHS[place.relation]
    return on_data(c, any_path(c, paths), paths) if paths else on_field(c, place)


def on_data(c: Choices, path: str, paths: dict[str, str]) -> str:
    """A path compared with a literal that is mostly of its type, or with another path."""
    kind = paths[path]
    word = c.pick(words.PATH_WORDS.get(kind, ("x",)))
    literal = c.pick(words.NUMBERS) if kind == "number" else quoted(c, word)
    tests = words.DATA_TESTS if c.chance(3) else words.TYPED_TESTS.get(kind, words.TEXT_TESTS)
    return f"{path} " + filled(
        c.pick(tests),
        l=lambda: literal,
        n=lambda: c.pick(words.NUMBERS),
        o=lambda: any_path(c, paths),
        t=lambda: quoted(c, word),
        p=lambda: c.pick(words.PATTERNS),
    )


def on_many(c: Choices, place: Place) -> str:
    """A condition on any element of a list."""
    paths = words.MANY_PATHS[place.relation]
    if not paths:
        return on_path(c, place)
    path = c.pick(list(paths))
    literal = c.pick(words.NUMBERS) if paths[path] == "number" else quoted(c, c.pick(words.PATH_WORDS[paths[path]]))
    test = f"{path} " + filled(
        c.pick(words.MANY_TESTS),
        l=lambda: literal,
        n=lambda: c.pick(words.NUMBERS),
        p=lambda: c.pick(words.PATTERNS),
        o=lambda: any_path(c, words.PATHS[place.relation]),
    )
    return f"not {test}" if c.chance(3) else test


def on_link(c: Choices, place: Place) -> str:
    """A condition on something one or two links away."""
    name, relation = "", place.relation
    for _ in range(c.pick((1, 1, 2))):
        if words.LINKS[relation]:
            link = c.pick(list(words.LINKS[relation]))
            name, relation = f"{name}{link}.", words.LINKS[relation][link]
    if not name:
        return on_field(c, place)
    if words.PATHS[relation] and c.chance(3):
        path = c.pick(list(words.PATHS[relation]))
        return on_data(c, f"{name}data{path}", {f"{name}data{path}": words.PATHS[relation][path]})
    field_name = c.pick(list(words.FIELDS[relation]))
    return compared(c, name + field_name, words.FIELDS[relation][field_name])


def on_number(c: Choices, place: Place) -> str:
    """A calculated value compared."""
    if c.chance(3):
        return f"{duration(c, place)} {c.pick(('<', '>=', '='))} {c.pick(words.DURATIONS)}"
    return f"{number(c, place)} {c.pick(('=', '<', '>=', '!='))} {c.pick(words.NUMBERS)}"


def on_text(c: Choices, place: Place) -> str:
    """A made text compared."""
    word = c.pick(("deal", "3", "0.5", "true", "x", "alice", ""))
    return f"{text(c, place)} {c.pick(('=', '!=', 'contains', '<', 'starts with'))} {quoted(c, word)}"


def on_goal(c: Choices, place: Place) -> str:
    """A goal test."""
    verb = c.pick(("succeeded", "failed", "cancelled", "started"))
    within = c.pick(("", "", " within 1s", " within 1m", " within 2 turns"))
    if place.relation == "goals":
        return verb + within
    name = c.pick(("", "", *(f" {quoted(c, goal)}" for goal in words.WORDS["goal name"][:3])))
    return f"goal{name} {verb}{within}"


def on_view(c: Choices, place: Place) -> str:
    """What only an agent's view of a message has."""
    return c.pick(
        ("sent", "received", "not sent", "peer = alice", "peer.role = buyer", "peer missing", "sent and received")
    )


def on_alias(c: Choices, place: Place) -> str:
    """A comparison with a row further out."""
    alias, relation = c.pick(place.outer)
    both = [
        (mine, theirs)
        for mine, kind in words.FIELDS[place.relation].items()
        for theirs, other in words.FIELDS[relation].items()
        if kind == other
    ]
    mine, theirs = c.pick(both) if both else ("id", "id")
    return f"{mine} {c.pick(('=', '!='))} {alias}.{theirs}"


def quantified(c: Choices, place: Place) -> str:
    """A condition on how many of the rows reached meet another."""
    quantity = c.pick(("any", "no", "every", "at least 2", "at most 1", "exactly 1", "exactly 0"))
    reached = words.REACHED[place.relation]
    if "goals" in reached and c.chance(4):
        return f"{quantity} goal {c.pick(('', *words.GOALS_QUOTED))} {c.pick(('succeeded', 'failed', 'started'))}"
    has_kinds = "events" in reached or place.relation == "conversations"
    if has_kinds and quantity != "every" and c.chance(3):
        kind = c.pick(words.EVENT_KINDS)
        inner = f"({condition(c, place.inside('events'))})" if "events" in reached and c.chance(2) else ""
        return f"{quantity} {kind}{inner}"
    relation = c.pick(reached)
    if quantity != "every" and relation not in ("goals", "events") and c.chance(6):
        return f"{quantity} {words.THINGS[relation]}"
    return f"{quantity} {words.THINGS[relation]} ({condition(c, place.inside(relation))})"
