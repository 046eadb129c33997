"""What may come next in a query that is being written: words of the language, and names that the store has.

>>> [found.text for found in complete("agents whe", None, Vocabulary(connection))]       # doctest: +SKIP
['where']

Any text and any cursor is answered, if only with nothing. A completion replaces the word under the cursor alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal as OneOf
from typing import NamedTuple, TypeAlias

from matrix.limits import COMPLETIONS_MAX, QUERY_REPAIR_CHARS_MAX
from matrix.query.check import probed
from matrix.query.engine.vocabulary import Vocabulary
from matrix.query.language import offers
from matrix.query.language.cursor import Place, place_at
from matrix.query.language.offers import Offer
from matrix.query.language.scope import PROBE, Probed, Scope
from matrix.query.language.suggest import Refusal, how_well

CompletionKind: TypeAlias = OneOf[
    "keyword", "field", "path", "kind", "goal", "value", "function", "shape", "step", "column", "alias"
]


@dataclass(frozen=True, slots=True)
class Completion:
    """Replace ``text[start:end]`` of the query by ``text``. ``detail`` is one short line: a type, a count.

    >>> Completion("offer", 7, 8, "kind", "812 events")
    Completion(text='offer', start=7, end=8, kind='kind', detail='812 events')
    """

    text: str
    start: int
    end: int
    kind: CompletionKind
    detail: str


def complete(text: str, cursor: int | None, names: Vocabulary) -> list[Completion]:
    """What may stand at the cursor (None: at the end), what fits best first."""
    at = len(text) if cursor is None else min(max(cursor, 0), len(text))
    try:
        text[:at].encode()
    except UnicodeEncodeError:
        return []
    place = None if at > QUERY_REPAIR_CHARS_MAX else place_at(text, at)
    if place is None:
        return []
    ranked = []
    for number, offer in enumerate(dict.fromkeys(_offers(place, names))):
        fits = how_well(place.written, offer.text)
        if fits is not None:
            ranked.append((fits, offer.group, -offer.often, number, offer))
    ranked.sort(key=lambda item: item[:4])
    return [
        Completion(offer.text, place.start, place.end, offer.kind, offer.detail)  # type: ignore[arg-type]  # named there
        for *_, offer in ranked[:COMPLETIONS_MAX]
    ]


class _Known(NamedTuple):
    """What the checker says of a place."""

    scope: Scope | None
    left: object
    is_kind: bool


def _known(place: Place) -> _Known:
    """The scope at a place, and what a name there would be."""
    found = place.probe(f"where {PROBE} exists" if place.last == "VBAR" else PROBE, probed)
    if isinstance(found, Probed):
        return _Known(found.scope, found.left, found.is_kind)
    return _Known(None, None, False)


def _offers(place: Place, names: Vocabulary) -> Iterator[Offer]:
    """Everything that may stand at a place, whatever was begun."""
    if place.last == "AS":
        yield from offers.after_as(place, probed)
        return
    yield from offers.units(place)
    known = _known(place)
    yield from _names(place, known, names)
    if "." not in place.written and not place.quote and known.left is None:
        yield from offers.keywords(place, known.scope)
    if known.left is None and ("." in place.written or "DATA" in place.accepts):
        yield from _paths(place, names)


def _names(place: Place, known: _Known, names: Vocabulary) -> Iterator[Offer]:
    """Names: goals, kinds, values, or what is in scope."""
    if place.last == "GOAL" and "VERB" in place.accepts:
        yield from offers.goal_names(place, names.values(*offers.GOAL_NAMES))
    elif known.is_kind:
        yield from offers.kinds(place, names.kinds, known.scope)
    elif known.left is not None and known.scope is not None:
        yield from offers.values(place, known.left, known.scope, names)
        if "." in place.written and not place.quote:  # a field of another row: peer.role = a.role
            yield from offers.in_scope(place, known.scope)
    elif known.scope is not None and place.last != "VBAR" and not place.quote:
        yield from offers.in_scope(place, known.scope)


def _paths(place: Place, names: Vocabulary) -> Iterator[Offer]:
    """Payload paths of the kinds that can stand here."""
    base, _, _ = place.written.rpartition(".")
    if place.quote:
        return
    start = offers.data_prefix(base)
    if start is None:
        return
    try:
        found = place.probe(f"{start}.{PROBE}", probed)
    except Refusal:
        return
    kinds = offers.kinds_of_probe(found)
    if kinds is not None:
        yield from offers.paths(start, names.paths(kinds))
