"""The options of one simulation: its limits, and how time and order go in it.

They are part of its history: ``simulation.started`` records those that differ from the default, and a
replay takes them from there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal

from matrix.errors import ProgramError
from matrix.limits import TURNS_WITHOUT_TIME_MAX
from matrix.runtime.durations import microseconds
from matrix.runtime.guards.guard import Guard, check_guard
from matrix.runtime.scheduling.restart import Policy, policy_data, policy_of

Pace = Literal["pace", "freeze", "free"]
PACES = ("pace", "freeze", "free")
Delivery = Literal["arrival", "ordered"]
DELIVERIES = ("arrival", "ordered")
Time = Literal["virtual", "real"]
TIMES = ("virtual", "real")


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
    delivery: Delivery = "arrival"  #: of answers to calls: as they come, or in the order of the calls
    repeatable: Mapping[str, bool] | None = None  #: what the runtime says of calls, by name
    guard: Guard = "raise"  #: what becomes of a turn that uses what no log has: see guard.py
    policy: Policy = "propagate"  #: when an agent fails that has no policy of its own
    turns_without_time_max: int = TURNS_WITHOUT_TIME_MAX  #: turns at one instant that are a livelock
    time: Time = "virtual"  #: "real" follows the wall clock throughout, for demonstrations
    speed: float = 1.0  #: virtual seconds for each second of the wall clock, where time is real
    shuffle: bool = False  #: seeded chance says who goes first among agents ready at one time and priority

    def __post_init__(self) -> None:
        _one_of("pace", self.pace, PACES)
        _one_of("delivery", self.delivery, DELIVERIES)
        _one_of("time", self.time, TIMES)
        object.__setattr__(self, "policy", policy_of(self.policy))
        _check_speed(self.speed, self.time)
        if type(self.shuffle) is not bool:
            raise ProgramError(f"shuffle is true or false, not {self.shuffle!r}")
        check_guard(self.guard)
        _at_least_one("turns_max", self.turns_max)
        _at_least_one("events_max", self.events_max)
        _at_least_one("turns_without_time_max", self.turns_without_time_max)
        if self.until is not None:
            microseconds(self.until)  # refuses what is no duration

    @property
    def until_us(self) -> int | None:
        """The end in virtual microseconds."""
        return None if self.until is None else microseconds(self.until)

    def recorded(self) -> dict[str, Any]:
        """Those that differ from the default, as the log holds them; durations in microseconds."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if self.until is not None:
            found["until"] = self.until_us
        if "policy" in found:
            found["policy"] = policy_data(self.policy)
        return found

    @classmethod
    def from_recorded(cls, said: Mapping[str, Any]) -> Options:
        """The options that ``simulation.started`` tells of; unknown ones, of a newer version, are refused."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(said) - known):
            raise ProgramError(f"the simulation was run with options that this version does not know: {unknown}")
        given = dict(said)
        if given.get("until") is not None:
            given["until"] = timedelta(microseconds=given["until"])
        if "policy" in given:
            given["policy"] = policy_of(given["policy"])
        return cls(**given)


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ProgramError(f"{name} is one of {', '.join(known)}, not {value!r}")


def _at_least_one(name: str, value: Any) -> None:
    if value is None:
        return
    if type(value) is not int:
        raise ProgramError(f"{name} is a whole number, not {value!r}")
    if value < 1:
        raise ProgramError(f"{name} is {value}; it is at least 1")


def _check_speed(speed: Any, time: str) -> None:
    if not isinstance(speed, (int, float)) or isinstance(speed, bool) or not 0 < speed < math.inf:
        raise ProgramError(f"speed is a number above 0, not {speed!r}")
    if speed != 1 and time != "real":
        raise ProgramError(f'speed={speed!r} is of use with time="real" only: virtual time waits for nobody')
