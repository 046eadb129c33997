"""The options of one simulation: its limits, and how time and order go in it.

They are part of its history: ``simulation.started`` records those that differ from the default, and a
replay takes them from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal

from matrix.errors import ProgramError
from matrix.runtime.clock import microseconds
from matrix.runtime.guard import Guard, check_guard

Pace = Literal["pace", "freeze", "free"]
PACES = ("pace", "freeze", "free")


@dataclass(frozen=True, slots=True)
class Options:
    """What ``Runtime.start`` takes beside the program, its seed and its parameters.

    >>> Options(until=3600, pace="free").recorded()
    {'until': 3600000000, 'pace': 'free'}
    """

    until: float | timedelta | None = None  #: virtual seconds after which it ends
    turns_max: int | None = None
    events_max: int | None = None
    pace: Pace = "pace"
    guard: Guard = "raise"  #: what becomes of a turn that uses what no log has: see guard.py

    def __post_init__(self) -> None:
        _one_of("pace", self.pace, PACES)
        check_guard(self.guard)
        _at_least_one("turns_max", self.turns_max)
        _at_least_one("events_max", self.events_max)
        if self.until is not None:
            microseconds(self.until)  # refuses what is no duration

    @property
    def until_us(self) -> int | None:
        """The end in virtual microseconds."""
        return None if self.until is None else microseconds(self.until)

    def recorded(self) -> dict[str, Any]:
        """Those that differ from the default, as the log holds them; durations in microseconds."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return found | ({"until": self.until_us} if self.until is not None else {})

    @classmethod
    def from_recorded(cls, said: Mapping[str, Any]) -> Options:
        """The options that ``simulation.started`` tells of; unknown ones, of a newer version, are refused."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(said) - known):
            raise ProgramError(f"the simulation was run with options that this version does not know: {unknown}")
        given = dict(said)
        if given.get("until") is not None:
            given["until"] = timedelta(microseconds=given["until"])
        return cls(**given)


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ProgramError(f"{name} is one of {', '.join(known)}, not {value!r}")


def _at_least_one(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ProgramError(f"{name} is {value}; it is at least 1")
