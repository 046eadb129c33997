"""Simulations as they were: read off their starts, forks and ends (see ``matrix.index.simulations``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from matrix.event import SIMULATION_ENDS, SIMULATION_FORKED, SIMULATION_STARTED
from matrix.index.simulations import configuration, number_or_none, text_or_none
from matrix.query.engine.cut import FOREVER
from matrix.query.engine.entities import Simulations
from matrix.query.engine.past.census import last_times
from matrix.query.engine.past.table import PastTable, events_of, in_order, without_nulls
from matrix.query.engine.value import Array

_FIRST_SEQ = 1


@dataclass(slots=True)
class _Life:
    """What is said of one simulation, event by event."""

    id: str  # its own also at a moment before it was forked
    start: int
    is_started: bool = False
    name: str | None = None
    status: str = "running"
    seed: int | float | None = None
    end: int | None = None
    ended_at: int | None = None
    parent: str | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def meet(self, kind: str, said: dict[str, Any], wall: int, time: int) -> None:
        if kind == SIMULATION_STARTED and not self.is_started:
            self.is_started, self.start = True, wall
            self.name, self.seed = text_or_none(said.get("name")), number_or_none(said.get("seed"))
            self.parent = text_or_none(said.get("parent"))
            self.data = without_nulls({**configuration(said), **self.data})
        elif kind == SIMULATION_FORKED:
            self.name = text_or_none(said.get("name")) or self.name
            seed = number_or_none(said.get("seed"))
            self.seed = self.seed if seed is None else seed
            self.parent = text_or_none(said.get("parent"))
            self.data = without_nulls({**self.data, **configuration(said)})
        elif kind in SIMULATION_ENDS and self.status == "running":
            self.status, self.end, self.ended_at = SIMULATION_ENDS[kind], wall, time
            self.data = without_nulls(self.data | said)


class PastSimulations(PastTable, Simulations):
    """The simulations of which something is left, in the order of their gids."""

    def rows_of(self, gids: Array) -> Array:
        """The row of each gid; -1 for one of which nothing is left."""
        found: Array = self.past.cut.numbers[self.past.cut.writers.rows_of(gids)]
        return found

    def rows_in_shard(self, shard: int, ordinals: Array) -> Array:
        found: Array = self.past.cut.numbers[self.past.cut.writers.rows_in_shard(shard, ordinals)]
        return found

    def made(self, name: str) -> Array | list[Any]:
        if name == "gid":
            return self.past.cut.writers.array("gid")[self.past.cut.rows]
        if name == "duration":
            return last_times(self.past)
        if name == "events":  # the highest seq there can be: of an agent's later turns some are missing in between
            cut = self.past.cut
            counts: Array = cut.writers.array("events")[cut.rows]
            return counts if cut.turn is not None else np.minimum(counts, cut.ends[cut.rows] - 1)
        return [getattr(life, name) for life in self._lives]

    def made_maps(self) -> list[dict[str, Any] | None]:
        return [life.data for life in self._lives]

    @cached_property
    def _lives(self) -> list[_Life]:
        kinds = (SIMULATION_STARTED, SIMULATION_FORKED, *SIMULATION_ENDS)
        events = events_of(self.past.world, kinds, ("wall", "time"), has_data=True)
        order = in_order(events)
        ids = self.past.cut.writers.raw("id")
        rows = self.past.cut.rows.tolist()
        lives = [_Life(ids[row], start) for row, start in zip(rows, self._first_walls().tolist())]
        codes, words = events.kinds()
        data = events.field("data").objects()
        numbers = (
            column[order].tolist() for column in (events.simulation_rows(), events.raw("wall"), events.raw("time"))
        )
        for row, simulation, wall, time in zip(order.tolist(), *numbers):
            said = {key: value for key, value in (data[row] or {}).items() if value is not None}
            lives[simulation].meet(words[codes[row]], said, wall, time)
        return lives

    def _first_walls(self) -> Array:
        """When the first event of each simulation happened, which counts where its start is not there."""
        cut = self.past.cut
        whole = cut.writers
        walls: Array = whole.array("start")[cut.rows].copy()
        started = whole.array("started_seq")[cut.rows]
        late = np.flatnonzero((started > 0) & (cut.ends[cut.rows] != FOREVER) & (started >= cut.ends[cut.rows]))
        if len(late):
            table, rows = self.past.world.events_at(late, np.full(len(late), _FIRST_SEQ))
            found = table.field("wall").take(rows)
            walls[late] = [old if new is None else new for old, new in zip(walls[late].tolist(), found.objects())]
        return walls
