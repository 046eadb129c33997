"""What may stand at a place, form by form: each offer is a right word there, with a line that says what it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from heapq import nsmallest
from typing import NamedTuple, Protocol

from matrix.event import BUILT_IN_KINDS
from matrix.limits import COMPLETIONS_MAX
from matrix.query.language.cursor import Place, has_probe
from matrix.query.language.failure import keyword_words
from matrix.query.language.fields import (
    OUTCOMES,
    REACHED,
    RELATION_OF_WORD,
    SHAPES,
    STATUSES,
    FieldInfo,
    fields_of,
    is_known_kind,
)
from matrix.query.language.habits import AGGREGATES
from matrix.query.language.literals import quote
from matrix.query.language.payload_paths import Kinds, paths_of
from matrix.query.language.scope import Scope, field_behind
from matrix.query.language.suggest import how_well, is_one_slip
from matrix.query.language.values import FUNCTIONS
from matrix.query.language.watching import REFUSED
from matrix.query.language.words import is_kind_field
from matrix.query.syntax import Field, Query, Relation

S, A, G, E, M, C = Relation
GOAL_NAMES = (G, "name")
UNITS = ("s", "ms", "m", "h", "d", "us")
_AGENTS_SHOWN = 10
#: What comes first where nothing was written: names, then paths, then words.
_NAMES, _PATHS, _WORDS, _FUNCTIONS = range(4)
_WITHOUT_ROWS = {"any", "every", "no", "at", "exactly", "did", "got", "saw", "goal", "caused", "led", "directly"}
_WITHOUT_ROWS |= {"match", "funnel", "causes", "effects", "sample"}


class Offer(NamedTuple):
    """One thing that may stand here; ``often`` says how many there are, ``group`` what comes before what."""

    text: str
    kind: str
    detail: str
    group: int
    often: int = 0


class Names(Protocol):
    """The names that a store has."""

    @property
    def kinds(self) -> Mapping[str, int]:
        """Every kind, with its events."""

    def values(self, relation: Relation, field: str) -> Mapping[str, int]:
        """The most frequent values of a field."""


# -- words ---------------------------------------------------------------------------------------------


def keywords(place: Place, scope: Scope | None) -> Iterator[Offer]:
    """Words of the language that the parser takes here, but for those that the rows here cannot have."""
    hidden = _hidden(place, scope)
    for word in place.keywords:
        if word not in hidden:
            is_relation = word in RELATION_OF_WORD
            yield Offer(word, "keyword", "rows" if is_relation else "word", _WORDS)
    is_goal = place.last == "GOAL" or (len(place.tokens) > 1 and place.tokens[-2].type == "GOAL")
    if "VERB" in place.accepts and (is_goal or (scope is not None and scope.relation is G)):
        for outcome in OUTCOMES:
            yield Offer(outcome, "keyword", "outcome of a goal", _NAMES)
    if "AGG" in place.accepts:
        for name in (*AGGREGATES, "p95"):
            yield Offer(f"{name}(", "function", "aggregate", _FUNCTIONS)


def _hidden(place: Place, scope: Scope | None) -> set[str]:
    """Words that the grammar takes here and the checker does not."""
    hidden: set[str] = set()
    if any(token.type == "WATCH" for token in place.tokens[:2]) and place.last == "VBAR":
        hidden |= REFUSED.keys()
    if scope is None:
        return hidden
    relation = scope.relation
    if relation is None:
        return hidden | _WITHOUT_ROWS | set(RELATION_OF_WORD)
    if relation in (E, M):
        hidden |= {"did", "got", "saw", "match", "funnel"}
    elif relation is not A:
        hidden |= {"got", "saw"}
    if relation not in (E, M, G):
        hidden |= {"caused", "led", "directly"}
    if relation not in (E, M):
        hidden |= {"causes", "effects"}
    if place.last in ("VBAR", "ANY", "EVERY", "NO", "NUMBER"):
        hidden |= {word for word, to in RELATION_OF_WORD.items() if to not in REACHED[relation]}
    return hidden


def after_as(place: Place, probed: Callable[[str], object]) -> Iterator[Offer]:
    """After ``| as`` a shape; elsewhere a new name, which nobody can guess."""
    if len(place.tokens) > 1 and place.tokens[-2].type == "VBAR":
        for shape in SHAPES:
            if isinstance(probed(f"{place.before} {shape}"), Query):
                yield Offer(shape, "shape", "shape of the result", _NAMES)
    elif "OF" in place.accepts:
        yield Offer("of", "keyword", "a moment", _WORDS)


def units(place: Place) -> Iterator[Offer]:
    """Units behind a number that was begun: 5s, 5ms."""
    if place.written.isdigit() and place.written.isascii() and "DURATION" in place.accepts:
        for unit in UNITS:
            yield Offer(f"{place.written}{unit}", "value", "duration", _NAMES)


# -- names ---------------------------------------------------------------------------------------------


def in_scope(place: Place, scope: Scope) -> Iterator[Offer]:
    """Fields, columns, steps and aliases; behind a dot the fields of what the links lead to."""
    base, dot, _ = place.written.rpartition(".")
    if dot and not base:
        return
    if dot:
        found = _followed(base.split("."), scope)
        for name, info in (found or {}).items():
            yield Offer(f"{base}.{name}", "field", _detail(info), _NAMES)
        return
    for name, column in scope.columns.items():
        yield Offer(name, "column", column.type, _NAMES, 2)
    for name, info in scope.fields().items():
        if name not in scope.columns:
            yield Offer(name, "field", _detail(info), _NAMES, 1)
    inner: Scope | None = scope
    while inner is not None:
        for step in inner.steps:
            yield Offer(f"{step}.", "step", "event of the sequence", _NAMES)
        if inner.alias and inner.relation:
            yield Offer(f"{inner.alias}.", "alias", f"one of {inner.relation}", _NAMES)
        inner = inner.outer
    if "NAME" in place.accepts and place.last not in ("SAME", "OF") and scope.relation is not None:
        for name in FUNCTIONS:
            yield Offer(f"{name}(", "function", "function", _FUNCTIONS)


def _detail(info: FieldInfo) -> str:
    return f"link to {info.link}" if info.link else str(info.type)


def _followed(names: list[str], scope: Scope) -> Mapping[str, FieldInfo] | None:
    """The fields of the row that links lead to, from the row here, a step or an alias."""
    known: Mapping[str, FieldInfo] = scope.fields()
    rest = names
    if names[0] not in known or names[0] in scope.columns:
        started = _started(names[0], scope)
        if started is None:
            return None
        known, rest = started, names[1:]
    for name in rest:
        info = known.get(name)
        if info is None or info.link is None:
            return None
        known = fields_of(info.link, seen_by_agent=False)
    return known


def _started(name: str, scope: Scope) -> Mapping[str, FieldInfo] | None:
    inner: Scope | None = scope
    while inner is not None:
        if name in inner.steps:
            return fields_of(E, seen_by_agent=inner.steps_seen_by_agent)
        if name == inner.alias and inner.relation:
            return fields_of(inner.relation, seen_by_agent=inner.seen_by_agent)
        inner = inner.outer
    return None


def goal_names(place: Place, names: Mapping[str, int]) -> Iterator[Offer]:
    """Names of goals after ``goal``."""
    for name, count in names.items():
        yield Offer(_text(place, name, quoted=True), "goal", f"{count:,} goals", _NAMES, count)


def kinds(place: Place, counts: Mapping[str, int], scope: Scope | None) -> Iterator[Offer]:
    """Kinds of events; built-in ones that the store does not have come last, without a count."""
    known = {**counts, **{kind: 0 for kind in BUILT_IN_KINDS if kind not in counts}}
    for kind, count in _fitting(place, known):
        if is_known_kind(kind):
            detail = f"{count:,} events" if count else "no events here"
            yield Offer(_text(place, kind, quoted=_needs_quotes(kind, scope)), "kind", detail, _NAMES, count)


def _fitting(place: Place, counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The names that fit what was begun, the best of them; of thousands only these are looked at any closer."""
    fits = [(fit, -count, name) for name, count in counts.items() if (fit := how_well(place.written, name)) is not None]
    return [(name, -count) for _, count, name in nsmallest(COMPLETIONS_MAX, fits)]


def values(place: Place, left: object, scope: Scope, names: Names) -> Iterator[Offer]:
    """The values that a field has, beside a comparison."""
    if isinstance(left, Field) and is_kind_field(left, scope):
        yield from kinds(place, names.kinds, scope)
        return
    field = field_behind(left, scope)
    if field is None:
        return
    if field.name == "status" and field.owner in STATUSES:
        for status in STATUSES[field.owner]:
            yield Offer(_text(place, status, quoted=False), "value", "status", _NAMES)
        return
    found = list(names.values(field.owner, field.name).items())
    shown = found[:_AGENTS_SHOWN] if field.name == "id" and not place.written else found
    for value, count in shown:
        yield Offer(_text(place, value, quoted=_needs_quotes(value, scope)), "value", f"{count:,}", _NAMES, count)


def _needs_quotes(word: str, scope: Scope | None) -> bool:
    """Whether a bare word would not be read as this name."""
    parts = word.split(".")
    if not all(part.isidentifier() for part in parts) or word in keyword_words():
        return True
    if len(parts) == 1 and any(is_one_slip(word, other) for other in RELATION_OF_WORD):
        return True
    is_name = scope is not None and parts[0] in scope.names()
    return (is_name or parts[0] in keyword_words()) and word not in BUILT_IN_KINDS


def _text(place: Place, name: str, *, quoted: bool) -> str:
    if place.quote == "'" and "'" not in name and "\\" not in name and name.isprintable():
        return f"'{name}'"
    return quote(name) if quoted or place.quote else name


# -- paths ---------------------------------------------------------------------------------------------


def data_prefix(base: str) -> str | None:
    """What stands before a path: "" for the row itself, ``o.data`` for a step; None when no path can come."""
    if not base or base.startswith("."):
        return ""
    found = re.match(r"(?:\w+\.)*?data(?=\.|$)", base)
    return found.group() if found else None


def kinds_of_probe(found: object) -> Kinds | None:
    """The kinds of event whose payload is read at the probe; None when it is no payload."""
    if not isinstance(found, Query):
        return None
    return next((place.kinds for place in paths_of(found) if has_probe(place.path)), None)


def paths(start: str, found: Mapping[str, tuple[str, int]]) -> Iterator[Offer]:
    """Payload paths; an element of a list is offered as the first, which may stand anywhere."""
    for path, (type_, count) in found.items():
        yield Offer(f"{start}.{path.replace('[*]', '[0]')}", "path", f"{type_}, {count:,}", _PATHS, count)
