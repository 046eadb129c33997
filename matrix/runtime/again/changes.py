"""Changes: in which fields two events differ, down to the innermost value, and how a person is shown that.

What always holds: events without a change are the same to ``matrix.log.compare``; where lists differ in
length only what was put in or taken out is a change, and a list in another order is one change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from matrix.event import Event
from matrix.log.alike import same_value
from matrix.log.columns import MISSING
from matrix.log.digest import is_environment

TEXT_SHOWN: Final = 88  # characters of a value
_BEFORE: Final = 32  # of them before the place where two texts part

_FOLLOWS: Final = "data.request_hash"  # of a model call: from the rest of what it says

NameOf = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs: ``Change("data.price", 40, 41)``; ``MISSING`` where there is none."""

    path: str
    recorded: Any
    actual: Any

    def lines(self) -> Iterator[str]:
        """As in a unified diff: where, then the value as recorded, then as it is now."""
        yield self.path
        if self.recorded is not MISSING:
            yield f"  - {shown(self.recorded, self.actual)}"
        if self.actual is not MISSING:
            yield f"  + {shown(self.actual, self.recorded)}"


def changes(recorded: Event, actual: Event, name_of: NameOf, name_now: NameOf | None = None) -> list[Change]:
    """All changes from one event to another, what matters most first; ``name_now`` if agents may have other numbers."""
    name_now = name_now or name_of
    pairs = [
        ("kind", recorded.kind, actual.kind),
        ("agent", name_of(recorded.agent), name_now(actual.agent)),
        ("to", [*map(name_of, recorded.to)], [*map(name_now, actual.to)]),
    ]
    found = [change for path, before, after in pairs for change in value_changes(path, before, after)]
    for name in dict.fromkeys([*recorded.data, *actual.data]):
        if not is_environment(actual.kind, name):
            before, after = recorded.data.get(name, MISSING), actual.data.get(name, MISSING)
            found += value_changes(f"data.{name}", before, after)
    if any(change.path.startswith("data.") and change.path != _FOLLOWS for change in found):
        found = [change for change in found if change.path != _FOLLOWS]
    if recorded.time != actual.time:
        found.append(Change("time", timedelta(microseconds=recorded.time), timedelta(microseconds=actual.time)))
    for name in ("turn", "goal", "state", "cause"):
        found += value_changes(name, getattr(recorded, name), getattr(actual, name))
    return found


def value_changes(path: str, recorded: Any, actual: Any) -> Iterator[Change]:
    """Where two values differ, innermost."""
    if type(recorded) is not type(actual):  # also where one is missing
        yield Change(path, recorded, actual)
    elif isinstance(recorded, dict):
        for name in dict.fromkeys([*recorded, *actual]):
            yield from value_changes(f"{path}.{name}", recorded.get(name, MISSING), actual.get(name, MISSING))
    elif isinstance(recorded, list):
        yield from _list_changes(path, recorded, actual)
    elif not same_value(recorded, actual):
        yield Change(path, recorded, actual)


def _list_changes(path: str, recorded: list[Any], actual: list[Any]) -> Iterator[Change]:
    if is_reordered(recorded, actual):
        yield Change(path, recorded, actual)
        return
    start = _alike(zip(recorded, actual))
    end = _alike(zip(reversed(recorded[start:]), reversed(actual[start:])))
    before, after = recorded[start : len(recorded) - end], actual[start : len(actual) - end]
    if len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after), start):
            yield from value_changes(f"{path}[{place}]", one, other)
    elif max(len(before), len(after)) == 1:
        yield Change(f"{path}[{start}]", *(some[0] if some else MISSING for some in (before, after)))
    else:
        span = f"{start}:{start + max(len(before), len(after))}"
        yield Change(f"{path}[{span}]", before or MISSING, after or MISSING)


def _alike(pairs: Any) -> int:
    """How many pairs at the beginning are the same."""
    count = 0
    for one, other in pairs:
        if not same_value(one, other):
            break
        count += 1
    return count


def is_reordered(recorded: Any, actual: Any) -> bool:
    """Whether two different lists hold the same elements.

    >>> is_reordered(["a", "b"], ["b", "a"]), is_reordered(["a", "b"], ["a", "b"])
    (True, False)
    """
    if not isinstance(recorded, list) or not isinstance(actual, list) or len(recorded) != len(actual):
        return False
    same = sorted(map(repr, recorded)) == sorted(map(repr, actual))
    return same and not same_value(recorded, actual)


# -- for people ---------------------------------------------------------------------------------


def shown(value: Any, beside: Any = MISSING) -> str:
    """A value on one line; of a long one the part around the place where it parts from the other.

    >>> shown("x" * 60 + "A" + "y" * 60, "x" * 60 + "B" + "y" * 60)
    "…'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxAyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy'…"
    """
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, str | bytes) and len(value) > TEXT_SHOWN:
        place = _parting(value, beside) if type(beside) is type(value) else 0
        start = max(0, min(place - _BEFORE, len(value) - TEXT_SHOWN))
        stop = start + TEXT_SHOWN
        return f"{'…' if start else ''}{value[start:stop]!r}{'…' if stop < len(value) else ''}"
    text = repr(value)
    if len(text) <= TEXT_SHOWN:
        return text
    place = _parting(text, repr(beside))
    start = max(0, min(place - _BEFORE, len(text) - TEXT_SHOWN))
    return f"{'…' if start else ''}{text[start : start + TEXT_SHOWN]}{'…' if start + TEXT_SHOWN < len(text) else ''}"


def duration(time: timedelta) -> str:
    """Virtual time as the query language writes it.

    >>> duration(timedelta(seconds=90)), duration(timedelta(seconds=2.5)), duration(timedelta())
    ('1m30s', '2.5s', '0s')
    """
    minutes, seconds = divmod(time, timedelta(minutes=1))
    hours, minutes = divmod(minutes, 60)
    text = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
    exact = f"{seconds.total_seconds():.6f}".rstrip("0").rstrip(".")
    return text + (f"{exact}s" if seconds or not text else "")


def summary(event: Event, name_of: NameOf) -> str:
    """An event on one line: ``offer by seller-2 to buyer-1 at 2.5s {'price': 40}``."""
    to = f" to {', '.join(map(name_of, event.to[:3]))}{', …' if len(event.to) > 3 else ''}" if event.to else ""
    said = f" {shown(dict(event.data))}" if event.data else ""
    return f"{event.kind} by {name_of(event.agent)}{to} at {duration(timedelta(microseconds=event.time))}{said}"


def _parting(one: Any, other: Any) -> int:
    """The first place where two texts differ."""
    return next((place for place, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
