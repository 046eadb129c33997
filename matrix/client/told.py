"""What a server tells in plain values, as the types that a local store returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from matrix.differ import Diff, First, Side
from matrix.errors import ServerFailed
from matrix.event import Event
from matrix.index.lookup import KindEntry, SimulationSummary, StoreSummary
from matrix.query.complete import Completion
from matrix.runtime.again.divergence import Divergence
from matrix.runtime.again.replay import Replay

T = TypeVar("T")


def store_summary(told: Mapping[str, Any]) -> StoreSummary:
    """A store at a glance."""
    return _read(lambda: StoreSummary(**_named(StoreSummary, told)))


def kinds(told: Mapping[str, Any]) -> list[KindEntry]:
    """The kinds of events, most frequent first."""
    return _read(lambda: [KindEntry(**_named(KindEntry, entry)) for entry in told["kinds"]])


def simulation_summary(told: Mapping[str, Any]) -> SimulationSummary:
    """One simulation at a glance."""

    def read() -> SimulationSummary:
        counts = {name: _flat(told[name]) for name in ("agents", "goals")}
        return SimulationSummary(**{**_named(SimulationSummary, told), **counts})

    return _read(read)


def completions(told: Mapping[str, Any]) -> list[Completion]:
    """What may come next."""
    return _read(lambda: [Completion(**_named(Completion, each)) for each in told["completions"]])


def diff(told: Mapping[str, Any]) -> Diff:
    """Two simulations side by side."""
    return _read(
        lambda: Diff(
            one=_side(told["one"]),
            other=_side(told["other"]),
            shared=told["shared"],
            first=_first(told["first"]),
            first_beyond_time=_first(told["first_beyond_time"]),
        )
    )


def replays(told: Mapping[str, Any]) -> list[Replay]:
    """What the replays of a batch found."""
    return _read(lambda: [_replay(row) for row in told["rows"]])


def _side(told: Mapping[str, Any]) -> Side:
    goals = {(each["role"], each["name"], each["status"]): each["count"] for each in told["goals"]}
    return Side(**{**_named(Side, told), "goals": goals})


def _first(told: Mapping[str, Any] | None) -> First | None:
    if told is None:
        return None
    return First(_event(told["one"]), _event(told["other"]), tuple(told["lines"]))


def _replay(told: Mapping[str, Any]) -> Replay:
    parting = told["divergence"]
    return Replay(
        **{
            **_named(Replay, told),
            "notes": tuple(told["notes"]),
            "divergence": None if parting is None else _divergence(told["id"], parting),
        }
    )


def _divergence(simulation: str, told: Mapping[str, Any]) -> Divergence:
    events = {which: _event(told[which]) for which in ("recorded", "actual")}
    lines = {name: tuple(told[name]) for name in ("diff", "causes")}
    return Divergence(**{**_named(Divergence, told), **events, **lines, "simulation": simulation})


def _event(told: Mapping[str, Any] | None) -> Event | None:
    if told is None:
        return None
    found = _named(Event, told)
    return Event(**{**found, "to": tuple(found.get("to") or ())})


def _named(kind: type, told: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass; a server of a later version may tell more."""
    return {field.name: told[field.name] for field in fields(kind) if field.name in told}


def _flat(nested: Mapping[str, Mapping[str, int]]) -> dict[tuple[str | None, str], int]:
    """Counts by (name, status); over the wire nobody's name is "" ."""
    return {(name or None, status): count for name, counts in nested.items() for status, count in counts.items()}


def _read(read: Callable[[], T]) -> T:
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ServerFailed("the server told something else than was asked for; is it of another version?") from None
