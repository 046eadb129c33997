"""Goals as they were: read off their starts and ends (see ``matrix.index.goals``).

The first end of a goal counts. Steps and turns are those that its end recorded; where it recorded none, and while it
runs, they are counted.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from matrix.event import GOAL_ENDS, GOAL_STARTED
from matrix.index.batch import SEQ_MASK
from matrix.query.engine.entities import Goals
from matrix.query.engine.events import EventTable
from matrix.query.engine.past.census import steps_taken
from matrix.query.engine.past.table import PastTable, events_of, first_of_each, in_order, where, without_nulls
from matrix.query.engine.value import Array, Value

_ABSENT = -1


class PastGoals(PastTable, Goals):
    """The goals that were taken up, by seq in their simulation."""

    def made(self, name: str) -> Array | list[Any]:
        started, rows = self._started
        if name == "simulation":
            return self.past.simulations.array("gid")[started.simulation_rows()[rows]]
        if name in ("seq", "agent"):
            return started.raw(name)[rows]
        if name in ("start", "start_turn"):
            return started.raw("time" if name == "start" else "turn")[rows]
        if name == "parent":
            parents = _numbers(started.payload("parent").take(rows).objects(), absent=0)
            return np.where(parents < self.array("seq"), parents, 0)
        if name == "name":
            return _texts(started.payload("name").take(rows))
        return self._at_end(name)

    def _at_end(self, name: str) -> Array | list[Any]:
        """A column that a goal's end says, or what stands there while it runs."""
        ended, ends = self._ended
        if name == "end_seq":
            return where(ends, ended.raw("seq"), 0)
        if name == "end":
            times = where(ends, ended.raw("time"), 0).tolist()
            return [time if end >= 0 else None for time, end in zip(times, ends.tolist())]
        if name == "status":
            codes, words = ended.kinds()
            statuses = [*(GOAL_ENDS[word] for word in words), "running"]
            return [statuses[code] for code in where(ends, codes, -1).tolist()]
        if name == "reason":
            return _texts(ended.payload("reason").take(ends))
        assert name in ("steps", "turns"), f"goals as they were have no {name}"
        recorded = _numbers(ended.payload(name).take(ends).objects(), absent=_ABSENT)
        if (recorded != _ABSENT).all():
            return recorded
        counted = steps_taken(self.past) if name == "steps" else self._counted_turns()
        return np.where(recorded == _ABSENT, counted, recorded)

    @cached_property
    def _started(self) -> tuple[EventTable, Array]:
        """The starts, and their rows in order."""
        payload = {"name", "parent"} & self.past.columns["goals"]
        if "steps" in self.past.columns["goals"]:
            payload.add("parent")
        has_data = "data" in self.past.columns["goals"]
        events = events_of(self.past.world, (GOAL_STARTED,), ("agent", "time", "turn"), payload, has_data=has_data)
        return events, in_order(events)

    @cached_property
    def _ended(self) -> tuple[EventTable, Array]:
        """The ends, and for each goal the row of the first that is its, or -1."""
        payload = {"reason", "steps", "turns"} & self.past.columns["goals"]
        has_data = "data" in self.past.columns["goals"]
        events = events_of(self.past.world, GOAL_ENDS, ("goal", "time", "turn"), payload, has_data=has_data)
        order = in_order(events)
        under = events.raw("goal")[order]
        order = order[(under > 0) & (under < events.raw("seq")[order])]
        goals = self.rows_of(events.simulation_rows()[order], events.raw("goal")[order])
        order, goals = order[goals >= 0], goals[goals >= 0]
        return events, where(first_of_each(goals, self.count), order, -1)

    def _counted_turns(self) -> Array:
        """Turns from a goal's start to its end, or to the newest turn of its agent."""
        ended, ends = self._ended
        agents = self.past.agents.rows_of(self.simulation_rows(), self.array("agent"))
        newest = where(agents, self.past.agents.array("turns"), 0)
        found: Array = where(ends, ended.raw("turn").astype(np.int64), 0)
        return np.where(ends >= 0, found, newest) - self.array("start_turn") + 1

    def made_maps(self) -> list[dict[str, Any] | None]:
        started, rows = self._started
        ended, ends = self._ended
        beginnings, endings = started.field("data").objects(), ended.field("data").objects()
        found: list[dict[str, Any] | None] = []
        for row, end in zip(rows.tolist(), ends.tolist()):
            data = {name: value for name, value in (beginnings[row] or {}).items() if name not in ("name", "parent")}
            data.update(_extras(endings[end] or {}) if end >= 0 else {})
            found.append(without_nulls(data))
        return found


def _extras(said: dict[str, Any]) -> dict[str, Any]:
    """What an end says beside the fields of a goal; a reason that is no text stays with it."""
    known = ("steps", "turns", "reason") if isinstance(said.get("reason"), str) else ("steps", "turns")
    return {name: value for name, value in said.items() if name not in known and value is not None}


def _texts(said: Value) -> list[Any]:
    return [value if isinstance(value, str) else None for value in said.objects()]


def _numbers(values: list[Any], *, absent: int) -> Array:
    """The values as numbers of events; what is none, or not a sensible one, is ``absent``."""
    return np.array([v if type(v) is int and 0 <= v <= SEQ_MASK else absent for v in values], np.int64)
