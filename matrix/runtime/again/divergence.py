"""Divergence: where a replay left its history, told so that somebody can mend it.

What always holds: it is about the first event that differs, since all later ones may only follow from
it; it is worked out from that difference and the two environments alone, so the same replay tells the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from matrix.event import Event
from matrix.log.alike import same_value
from matrix.log.compare import Difference
from matrix.runtime.again.causes import CALLED, is_untyped, likely_causes
from matrix.runtime.again.changes import Change, NameOf, changes, summary

KINDS: Final = {
    "request": "a call is not the one that was recorded",
    "order": "the events come in another order",
    "extra": "something happens that was not recorded",
    "missing": "something that was recorded does not happen",
    "event": "an event differs from the recorded one",
}
NO_CAUSE: Final = "nothing tells why: does the program read a file, its environment, or what other runs left behind?"
LINES_SHOWN: Final = 12  # of the difference
CAUSES_SHOWN: Final = 5
_PASSING: Final = frozenset(
    {"call_id", "ms", "step", "arrival", "attempts"}
)  # of a call: other when others came before


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first event in which a replay differs from its history.

    ``kind`` is "request", "order", "extra", "missing" or "event"; ``agent`` is an id, "" for the program itself;
    ``place`` says where the program was, ``diff`` what differs, ``causes`` why that may be, most likely first.

    >>> print(replay.divergence)                            # doctest: +SKIP
    1-3 diverges at event 1,204: a call is not the one that was recorded
    """

    simulation: str
    seq: int
    kind: str
    agent: str
    turn: int
    place: str
    recorded: Event | None = field(repr=False)
    actual: Event | None = field(repr=False)
    diff: tuple[str, ...]
    causes: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def as_data(self) -> dict[str, Any]:
        """As plain values, for machines."""
        found: dict[str, Any] = {name: getattr(self, name) for name in ("seq", "kind", "agent", "turn", "place")}
        found["recorded"], found["actual"] = _plain(self.recorded), _plain(self.actual)
        return found | {"diff": list(self.diff), "causes": list(self.causes)}

    def _lines(self) -> list[str]:
        who = f"agent {self.agent}" if self.agent else "the program"
        where = [who, f"turn {self.turn:,}", *([self.place] if self.place else [])]
        lines = [
            f"{self.simulation or 'the simulation'} diverges at event {self.seq:,}: {KINDS[self.kind]}",
            f"  {', '.join(where)}",
            *(f"    {line}" for line in islice(self.diff, LINES_SHOWN)),
        ]
        if len(self.diff) > LINES_SHOWN:
            lines.append(f"    … and {len(self.diff) - LINES_SHOWN} lines more")
        if not self.causes:
            return [*lines, f"  {NO_CAUSE}"]
        return [*lines, "  likely because", *(f"  - {cause}" for cause in self.causes[:CAUSES_SHOWN])]


def explain(
    difference: Difference,
    *,
    place: str,
    environment_then: Mapping[str, Any],
    environment_now: Mapping[str, Any],
    agents: Callable[[int], str],
) -> Divergence:
    """What a difference means.

    ``place`` is where the replayed program was (``market.py:31 in run``); the environments are what
    ``simulation.started`` says of program, parameters, versions, hash seed and code, then and now; ``agents``
    gives an agent's id, or "" when it knows none.
    """
    recorded, actual = difference.recorded, difference.actual
    told = actual or recorded
    assert told is not None, "a difference has at least one event"
    name_of = _namer(difference, agents)
    kind = _kind_of(difference)
    # Events of which one only takes the other's place say nothing about each other.
    pair = changes(recorded, actual, name_of) if recorded and actual and kind in ("event", "request") else []
    return Divergence(
        simulation=str(environment_then.get("id", "")),
        seq=difference.seq,
        kind=kind,
        agent=name_of(told.agent) if told.agent else "",
        turn=told.turn,
        place=place,
        recorded=recorded,
        actual=actual,
        diff=tuple(_diff(recorded, actual, pair, name_of)),
        causes=tuple(
            likely_causes(
                kind,
                pair,
                environment_then,
                environment_now,
                called=_call_name(told),
                shifted=_shifted(difference, pair),
            )
        ),
    )


def _namer(difference: Difference, agents: Callable[[int], str]) -> NameOf:
    def name_of(number: int) -> str:
        if not number:
            return "the program"
        return difference.agents.get(number) or agents(number) or f"agent {number}"

    return name_of


def _plain(event: Event | None) -> dict[str, Any] | None:
    return None if event is None else {name: getattr(event, name) for name in event.__slots__}


# -- which kind ---------------------------------------------------------------------------------


def _kind_of(difference: Difference) -> str:
    recorded, actual = difference.recorded, difference.actual
    if recorded is None or actual is None:
        return "missing" if actual is None else "extra"
    if is_shift(recorded, actual):
        return "event"
    comes_late = _is_among(recorded, difference.actual_next)
    came_early = _is_among(actual, difference.recorded_next)
    if comes_late and came_early:
        return "order"
    if comes_late:
        return "extra"
    if came_early and difference.actual_next:
        return "missing"
    if recorded.agent == actual.agent:
        return "request" if {recorded.kind, actual.kind} <= CALLED else "event"
    if recorded.kind == actual.kind and _is_same(recorded, actual, with_agent=False):
        return "order"
    return "order" if came_early else "request" if {recorded.kind, actual.kind} <= CALLED else "event"


def _is_among(event: Event, others: Sequence[Event]) -> bool:
    return any(_is_same(event, other) for other in others)


def _is_same(one: Event, other: Event, *, with_agent: bool = True) -> bool:
    """Whether two events say the same, whenever that was and whatever led to it."""
    if (one.kind, one.to) != (other.kind, other.to) or (with_agent and one.agent != other.agent):
        return False
    before, after = ({k: v for k, v in event.data.items() if k not in _PASSING} for event in (one, other))
    return same_value(before, after)


def is_shift(recorded: Event, actual: Event) -> bool:
    """Whether nothing differs but numbers that look drawn: then one event does not stand in another's place."""
    if (recorded.agent, recorded.kind, recorded.to) != (actual.agent, actual.kind, actual.to):
        return False
    found = [change for change in changes(recorded, actual, str) if change.path.startswith("data.")]
    return bool(found) and all(is_untyped(change.recorded) and is_untyped(change.actual) for change in found)


def _shifted(difference: Difference, pair: list[Change]) -> dict[str, str]:
    """Numbers that come an event later, or came earlier: somebody drew more, or less often before; by their path."""
    drawn = next((one for one in pair if is_untyped(one.recorded) and is_untyped(one.actual)), None)
    if drawn is None:
        return {}
    if drawn.actual in [_at(event, drawn.path) for event in difference.recorded_next]:
        return {drawn.path: "more"}
    return (
        {drawn.path: "less"} if drawn.recorded in [_at(event, drawn.path) for event in difference.actual_next] else {}
    )


def _at(event: Event, path: str) -> Any:
    """The value of an event at a path such as ``data.price``; None where there is none, or deeper."""
    return event.data.get(path.removeprefix("data."))


def _call_name(event: Event) -> str:
    family = event.kind.partition(".")[0]
    return str(event.data.get(family) or event.data.get("name") or "")


# -- what differs -------------------------------------------------------------------------------


def _diff(recorded: Event | None, actual: Event | None, pair: list[Change], name_of: NameOf) -> Iterator[str]:
    if recorded is not None and actual is not None and pair:
        yield actual.kind if recorded.kind == actual.kind else f"{actual.kind}, where {recorded.kind} was recorded"
        for change in pair:
            yield from change.lines()
        return
    yield f"- {summary(recorded, name_of)}" if recorded is not None else "- (the recorded history ends here)"
    yield f"+ {summary(actual, name_of)}" if actual is not None else "+ (the replay ends here)"
