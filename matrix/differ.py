"""Diff: two simulations side by side: where they part, and how they came out.

What always holds: what both share in the log, because one is a fork of the other or both of a third, is not
read; counts are of whole histories; goals are counted by the query language, so they are what it says they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from matrix.event import AGENT_STARTED, SIMULATION_FORKED, Event
from matrix.query.engine.notation import duration_text
from matrix.runtime.again.changes import TEXT_SHOWN, changes, shown, summary

if TYPE_CHECKING:
    from matrix.log.history import Histories, History
    from matrix.log.parting import Parting
    from matrix.store import Store

CHANGES_SHOWN: Final = 8
_REFERENCES: Final = {"cause", "goal", "state"}  # numbers of other events: they follow from what came before
_MEASURED: Final = {"time", "data.ms", "data.waited_ms", "data.step", "data.arrival"}
GOAL_STATUSES: Final = ("succeeded", "failed", "cancelled", "running")


@dataclass(frozen=True)
class Side:
    """One of the two: how it was begun, and how it came out.

    ``goals`` counts by (role, name, status), ``kinds`` events by kind; ``given`` has parameters, options and what
    forks set.
    """

    id: str
    name: str
    parent: str | None
    seed: int | float | None
    given: Mapping[str, Any]
    status: str
    reason: str
    events: int
    duration: int  #: virtual microseconds
    turns: int
    agents: int
    goals: Mapping[tuple[str, str, str], int]
    kinds: Mapping[str, int]
    state: Mapping[str, Any]  #: the simulation's own, as it was in the end


@dataclass(frozen=True)
class First:
    """The first events that differ, None where a simulation has come to its end, and in what they do."""

    one: Event | None
    other: Event | None
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Diff:
    """Two simulations side by side.

    ``shared`` counts the events that both have from one place in the log. ``first`` is where they part: None when
    all events are the same, but for what says how they were begun. ``first_beyond_time`` is where they part in more
    than virtual time and measured durations, which two live runs never share; None when they do not.

    >>> print(matrix.open("runs").diff("1-3", "1-4"))                      # doctest: +SKIP
    """

    one: Side
    other: Side
    shared: int
    first: First | None
    first_beyond_time: First | None

    @property
    def is_same(self) -> bool:
        """Whether the same happened in both, at the same times, however they were begun."""
        return self.first is None

    def rows(self, *, everything: bool = False) -> Iterator[tuple[str, Any, Any]]:
        """What is compared, with the value of each; only what differs, unless asked for everything."""
        for what, before, after in _rows(self.one, self.other):
            if everything or before != after:
                yield what, before, after

    def as_data(self) -> dict[str, Any]:
        """As plain values, for machines."""
        found: dict[str, Any] = {"one": _plain_side(self.one), "other": _plain_side(self.other), "shared": self.shared}
        for name in ("first", "first_beyond_time"):
            first = getattr(self, name)
            events = () if first is None else (("one", first.one), ("other", first.other))
            found[name] = {which: _plain_event(event) for which, event in events} or None
            if first is not None:
                found[name]["lines"] = list(first.lines)
        return found

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """As a person reads it: where they part, then what came out differently."""
        one, other = self.one, self.other
        yield from self.parting_lines()
        table = [(what, _shown(before, what), _shown(after, what)) for what, before, after in self.rows()]
        if not table:
            yield "they were begun alike; outcomes, goals and counts are the same"
            return
        table.insert(0, ("", one.id, other.id))
        first, second = (max(len(row[column]) for row in table) for column in (0, 1))
        yield ""
        for what, before, after in table:
            yield f"  {what:{first}}  {before:{second}}  {after}".rstrip()

    def parting_lines(self) -> Iterator[str]:
        """Where they part, as a person reads it."""
        if self.shared:
            yield f"{self.one.id} and {self.other.id} share their first {self.shared:,} events"
        if self.first is None:
            yield f"the same happens in {self.one.id} and {self.other.id}, event by event"
            return
        later = self.first_beyond_time
        if later == self.first:
            yield from _first_lines("they part", self.first)
            return
        yield from _first_lines("they part in time", self.first)
        if later is None:
            yield "nothing else happens in one than in the other"
        else:
            yield from _first_lines("they part in what happens", later)


def diff(store: Store, one: str, other: str) -> Diff:
    """Compare two simulations of a store."""
    from matrix.log.history import Histories
    from matrix.log.parting import first_parting

    source = Histories(store.reader)
    found = [_side(store, source, id) for id in (one, other)]
    sides, histories = [side for side, _ in found], [history for _, history in found]
    parting = first_parting(*histories)
    beyond = None if parting is None else first_parting(*histories, is_timeless=True)
    return Diff(
        one=sides[0],
        other=sides[1],
        shared=histories[0].shared_with(histories[1]),
        first=None if parting is None else _first(parting, histories),
        first_beyond_time=None if beyond is None else _first(beyond, histories, is_timeless=beyond != parting),
    )


# -- how each came out --------------------------------------------------------------------------


def _side(store: Store, source: Histories, id: str) -> tuple[Side, History]:
    told = store.simulation(id)
    history = source.history(told.shard, told.ordinal)
    kinds, turns = _counted(history)
    last = history.event(history.last_seq)
    end = history.end
    goals = store.query("goals where simulation = $id | count by role, name, status", id=id).rows()
    side = Side(
        id=told.id,
        name=told.name or "",
        parent=told.parent,
        seed=told.seed,
        given=_given(history),
        status=told.status,
        reason="" if end is None else str(end.data.get("reason", "")),
        events=sum(kinds.values()),
        duration=last.time,
        turns=turns,
        agents=kinds.get(AGENT_STARTED, 0),
        goals={(row["role"] or "", row["name"] or "", row["status"]): row["count"] for row in goals},
        kinds=kinds,
        state=dict(history.event(last.state).data) if last.state else {},
    )
    return side, history


def _given(history: History) -> dict[str, Any]:
    """Parameters, options and what forks set, under names of their own."""
    found: dict[str, Any] = {}
    for begun in (history.started, *history.forks):
        for what, group in (("parameter", "parameters"), ("option", "options"), ("set", "set")):
            values = begun.data.get(group)
            if isinstance(values, Mapping):
                found |= {f"{what} {name}": value for name, value in values.items()}
    return found


def _counted(history: History) -> tuple[dict[str, int], int]:
    """Events by kind, most frequent first, and the turns that agents took (as far as events tell)."""
    kinds: Counter[str] = Counter()
    turns = np.zeros(1, np.int64)
    for piece in history.pieces():
        block, rows = piece.block, piece.rows
        counts = np.bincount(block.kind[rows], minlength=len(block.kinds)).tolist()
        kinds.update({kind: count for kind, count in zip(block.kinds, counts) if count})
        agents = block.agent[rows]
        if int(agents.max()) >= len(turns):
            turns = np.concatenate((turns, np.zeros(int(agents.max()) + 1 - len(turns), np.int64)))
        np.maximum.at(turns, agents, block.turn[rows])
    return dict(kinds.most_common()), int(turns.sum())


def _rows(one: Side, other: Side) -> Iterator[tuple[str, Any, Any]]:
    for name in ("name", "seed"):
        yield name, getattr(one, name), getattr(other, name)
    for name in dict.fromkeys([*one.given, *other.given]):
        yield name, one.given.get(name), other.given.get(name)
    for name in ("status", "reason", "events", "duration", "turns", "agents"):
        yield name, getattr(one, name), getattr(other, name)
    order = {status: place for place, status in enumerate(GOAL_STATUSES)}
    goals = sorted({*one.goals, *other.goals}, key=lambda goal: (goal[:2], order.get(goal[2], len(order)), goal[2]))
    for goal in goals:
        role, name, status = goal
        yield f"goals {role + ' ' if role else ''}{name} {status}", one.goals.get(goal, 0), other.goals.get(goal, 0)
    for kind in dict.fromkeys([*one.kinds, *other.kinds]):
        if kind == SIMULATION_FORKED:
            continue  # that one is a fork was said already
        yield f"events {kind}", one.kinds.get(kind, 0), other.kinds.get(kind, 0)
    for key in dict.fromkeys([*one.state, *other.state]):
        yield f"state {key}", one.state.get(key), other.state.get(key)


# -- where they part ----------------------------------------------------------------------------


def _first(parting: Parting, histories: Sequence[History], *, is_timeless: bool = False) -> First:
    names = [_Names(history) for history in histories]
    lines = [
        f"{sign} {event.seq:,} {summary(event, name_of)}" if event is not None else f"{sign} (its end)"
        for sign, event, name_of in zip("-+", (parting.one, parting.other), names)
    ]
    if parting.one is not None and parting.other is not None and parting.one.kind == parting.other.kind:
        differing = changes(parting.one, parting.other, *names)
        spared = _REFERENCES | (_MEASURED if is_timeless else set())
        told = [change for change in differing if change.path not in spared] or differing
        lines += [f"    {line}" for change in told[:CHANGES_SHOWN] for line in change.lines()]
    return First(parting.one, parting.other, tuple(lines))


class _Names:
    """The ids of a history's agents by number, looked up when they are asked for."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._known: dict[int, str] = {}

    def __call__(self, number: int) -> str:
        if not number:
            return "the program"
        if number not in self._known:
            for started in self._history.events(kinds={AGENT_STARTED}):
                self._known.setdefault(started.agent, str(started.data.get("id", "")))
                if started.agent == number:
                    break
        return self._known.get(number) or f"agent {number}"


def _first_lines(what: str, first: First) -> Iterator[str]:
    event = first.one or first.other
    assert event is not None, "of two events that differ one is there"
    yield f"{what} at event {event.seq:,}"
    yield from (f"  {line}" for line in first.lines)


# -- as values ----------------------------------------------------------------------------------


def _shown(value: Any, what: str) -> str:
    if value is None or value == "":
        return "-"
    if what == "duration":
        return duration_text(value)
    if isinstance(value, int) and what != "seed" and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) and len(value) < TEXT_SHOWN else shown(value)


def _plain_side(side: Side) -> dict[str, Any]:
    found = {field.name: getattr(side, field.name) for field in fields(side)}
    found |= {name: dict(found[name]) for name in ("given", "kinds", "state")}
    goals = [{"role": r, "name": n, "status": s, "count": count} for (r, n, s), count in side.goals.items()]
    return found | {"goals": goals}


def _plain_event(event: Event | None) -> dict[str, Any] | None:
    return None if event is None else {name: getattr(event, name) for name in event.__slots__}
