"""Agents as they were: read off their starts, ends and states (see ``matrix.index.agents``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from matrix.event import AGENT_ENDS, AGENT_RESTARTED, AGENT_STARTED, STATE_CHANGED
from matrix.index.simulations import text_or_none
from matrix.query import syntax as q
from matrix.query.engine.cut import writers_in
from matrix.query.engine.entities import Agents
from matrix.query.engine.events import EventTable
from matrix.query.engine.keys import pair_rows
from matrix.query.engine.past.census import turns_begun
from matrix.query.engine.past.table import (
    PastTable,
    events_of,
    in_order,
    last_of_each,
    where,
    without_nulls,
)
from matrix.query.engine.scan import Needs, Wanted, Zone, scan
from matrix.query.engine.value import INT64_MAX, Array, Value
from matrix.query.syntax import Relation

_NEEDS = Needs(frozenset({"agent", "time"}))


class _Met(NamedTuple):
    """Agents by (simulation, number), and the event (row) by which each is known."""

    simulations: Array
    numbers: Array
    rows: Array
    events: EventTable

    def times(self) -> Array:
        found: Array = self.events.raw("time")[self.rows]
        return found


class PastAgents(PastTable, Agents):
    """The agents that were started, or acted, by number in their simulation."""

    def made(self, name: str) -> Array | list[Any]:
        started, strangers = self._started, self._strangers
        if name in ("simulation", "number", "start"):
            parts = {
                "simulation": (started.simulations, strangers.simulations),
                "number": (started.numbers, strangers.numbers),
                "start": (started.times(), strangers.times()),
            }[name]
            found = np.concatenate(parts)[self._order]
            return self.past.simulations.array("gid")[found] if name == "simulation" else found
        if name == "turns":
            return turns_begun(self.past)
        if name == "goal":
            return self._newest_goals()
        if name in ("status", "end"):
            return [status if name == "status" else end for status, end in self._ends]
        assert name in ("id", "role"), f"agents as they were have no {name}"
        return self._texts(name)

    # -- who there is -------------------------------------------------------------------------

    @cached_property
    def _started(self) -> _Met:
        """The agents that were started, by the newest start of each."""
        payload = {"id", "role"} & self.past.columns["agents"]
        events = events_of(self.past.world, (AGENT_STARTED,), ("agent", "time"), payload)
        return _met(events, np.flatnonzero(events.raw("agent")), is_newest=True)

    @cached_property
    def _strangers(self) -> _Met:
        """Agents that acted and were not started, by the first event of each: those of the index are looked for.

        In a sound log there is none. So blocks are read only in which such an agent's number may occur.
        """
        whole, cut = self.past.cut.whole.agents, self.past.cut
        simulations, numbers = cut.numbers[whole.simulation_rows()], whole.array("number")
        simulations, numbers = simulations[simulations >= 0], numbers[simulations >= 0]
        is_other = pair_rows(self._started.simulations, self._started.numbers, simulations, numbers) < 0
        simulations, numbers = simulations[is_other], numbers[is_other]
        wanted = Wanted(may_be_in=self._may_hold(simulations, numbers)).with_simulations(simulations)

        def keep(table: EventTable) -> Array:
            agents = table.raw("agent").astype(np.int64)
            return np.flatnonzero(pair_rows(simulations, numbers, table.simulation_rows(), agents) >= 0)

        events = scan(self.past.world, Relation.EVENTS, wanted, keep, needs=_NEEDS)
        return _met(events, np.arange(events.count), is_newest=False)

    def _may_hold(self, simulations: Array, numbers: Array) -> Callable[[Zone], bool]:
        """Whether a block may hold events of some agents, going by the smallest number in each simulation."""
        cut = self.past.cut
        lowest = np.full(cut.writers.count, INT64_MAX)
        np.minimum.at(lowest, cut.rows[simulations], numbers)
        forks = cut.whole.forks  # what a fork has too lies in blocks of others
        if forks.count:
            np.minimum.at(lowest, cut.writers.rows_of(forks.sources), lowest[forks.owners])

        def may_hold(zone: Zone) -> bool:
            low, high = writers_in(cut.writers, zone)
            return bool((lowest[low:high] <= zone.agent_max).any())

        return may_hold

    @cached_property
    def _order(self) -> Array:
        """The started and the strangers, one behind the other, in the order of rows."""
        numbers = np.concatenate((self._started.numbers, self._strangers.numbers))
        simulations = np.concatenate((self._started.simulations, self._strangers.simulations))
        return np.lexsort((numbers, simulations))

    def _texts(self, name: str) -> list[Any]:
        started = self._started
        said = started.events.payload(name).take(started.rows).objects()
        found = [text_or_none(value) for value in said] + [None] * len(self._strangers.rows)
        found = [found[place] for place in self._order.tolist()]
        if name == "id":
            found = [str(number) if id is None else id for id, number in zip(found, self.raw("number"))]
        return found

    # -- what became of them ------------------------------------------------------------------

    @cached_property
    def _ends(self) -> list[tuple[str, int | None]]:
        """Status and end: as its own last end or restart says; who waits when its simulation ends, ends with it."""
        events = events_of(self.past.world, (*AGENT_ENDS, AGENT_RESTARTED), ("agent", "time"))
        newest = self._newest(events)
        codes, words = events.kinds()
        ends = {AGENT_RESTARTED: "running", **AGENT_ENDS}
        simulations = self.past.simulations
        found: list[tuple[str, int | None]] = []
        kinds, times = where(newest, codes, -1).tolist(), where(newest, events.raw("time"), 0).tolist()
        statuses, ended = simulations.raw("status"), simulations.raw("ended_at")
        for simulation, code, time in zip(self.simulation_rows().tolist(), kinds, times):
            status, end = ("running", None) if code < 0 else (ends[words[code]], time)
            if status == "running":
                end = ended[simulation]
                if end is not None:
                    status = "finished" if statuses[simulation] == "finished" else "cancelled"
            found.append((status, end))
        return found

    def _newest(self, events: EventTable) -> Array:
        """The row of each agent's newest among some events, or -1."""
        if not events.count:
            return np.full(self.count, -1, np.int64)
        order = in_order(events)
        agents = self.rows_of(events.simulation_rows()[order], events.raw("agent")[order].astype(np.int64))
        order, agents = order[agents >= 0], agents[agents >= 0]
        return where(last_of_each(agents, self.count), order, -1)

    def _newest_goals(self) -> Array:
        goals = self.past.goals
        newest = np.zeros(self.count, np.int64)
        rows = self.rows_of(goals.simulation_rows(), goals.array("agent"))
        np.maximum.at(newest, rows[rows >= 0], goals.array("seq")[rows >= 0])
        return newest

    # -- states -------------------------------------------------------------------------------

    @cached_property
    def _changes(self) -> tuple[EventTable, Array]:
        """Changes of state, each agent's newest among them, and where that is.

        Of a batch only the newest of each agent are kept: a log may be made of changes of state.
        """

        def keep(table: EventTable) -> Array:
            return np.sort(_met(table, np.arange(table.count), is_newest=True).rows)

        needs = Needs(frozenset({"agent"}), self.past.columns.get("states", frozenset()))
        changes = Wanted(((q.KindPattern((0, 0), STATE_CHANGED),),))
        events = scan(self.past.world, Relation.EVENTS, changes, keep, needs=needs)
        return events, self._newest(events)

    def read_payload(self, key: str) -> Value:
        events, newest = self._changes
        return events.payload(key).take(newest)

    def made_maps(self) -> list[dict[str, Any] | None]:
        events, newest = self._changes
        said = events.field("data").objects()
        return [None if row < 0 else without_nulls(said[row] or {}) for row in newest.tolist()]


def _met(events: EventTable, rows: Array, *, is_newest: bool) -> _Met:
    """The agents of some rows of events, by the newest or the first of each."""
    simulations, numbers = events.simulation_rows()[rows], events.raw("agent")[rows].astype(np.int64)
    order = np.lexsort((events.raw("seq")[rows], numbers, simulations))
    rows, simulations, numbers = rows[order], simulations[order], numbers[order]
    is_new = np.ones(len(rows), bool)
    is_new[1:] = (simulations[1:] != simulations[:-1]) | (numbers[1:] != numbers[:-1])
    places = np.flatnonzero(np.append(is_new[1:], True)) if is_newest and len(rows) else np.flatnonzero(is_new)
    return _Met(simulations[places], numbers[places], rows[places], events)
