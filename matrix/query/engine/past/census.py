"""What all events are needed for: turns begun, steps of goals, when a simulation was last heard of.

The log is read once for each, batch by batch, and only when a query asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from matrix.event import is_action
from matrix.query import syntax as q
from matrix.query.engine.cut import FOREVER
from matrix.query.engine.events import EventTable
from matrix.query.engine.scan import Needs, Wanted, scan
from matrix.query.engine.value import Array
from matrix.query.syntax import Relation

if TYPE_CHECKING:
    from matrix.query.engine.past.entities import PastEntities
    from matrix.query.engine.world import World

_NO_ROWS = np.empty(0, np.int64)


def turns_begun(past: PastEntities) -> Array:
    """How many turns each agent had begun."""
    agents = past.agents
    turns = np.zeros(agents.count, np.int64)

    def count(events: EventTable) -> None:
        rows = agents.rows_of(events.simulation_rows(), events.raw("agent").astype(np.int64))
        np.maximum.at(turns, rows[rows >= 0], events.raw("turn")[rows >= 0])

    _each_batch(past.world, Wanted(), count)
    return turns


def steps_taken(past: PastEntities) -> Array:
    """How many actions of its own agent each goal had, until it ended, its nested goals' included."""
    goals = past.goals
    simulations = goals.simulation_rows()
    agents = goals.array("agent")
    parents = goals.rows_of(simulations, goals.array("parent"))
    ends = np.where(goals.array("end_seq") > 0, goals.array("end_seq"), FOREVER)
    steps = np.zeros(goals.count, np.int64)

    def count(events: EventTable) -> None:
        under, seqs = events.raw("goal"), events.raw("seq")
        places = np.where((under > 0) & (under < seqs), goals.rows_of(events.simulation_rows(), under), -1)
        actors = events.raw("agent").astype(np.int64)
        while (places >= 0).any():
            is_nested = places >= 0
            places, seqs, actors = places[is_nested], seqs[is_nested], actors[is_nested]
            is_step = (agents[places] == actors) & (seqs < ends[places])
            np.add(steps, np.bincount(places[is_step], minlength=len(steps)), out=steps)
            places = parents[places]

    kinds = [kind for (kind,) in past.connection.execute("SELECT kind FROM kinds") if is_action(kind)]
    _each_batch(past.world, _of_kinds(kinds), count)
    return steps


def last_times(past: PastEntities) -> Array:
    """The virtual time of each simulation's newest event."""
    cut = past.cut
    times = cut.writers.array("duration")[cut.rows].copy()
    if cut.turn is not None:
        return _times_of_newest(past)
    ends = cut.ends[cut.rows]
    ended = np.flatnonzero(ends != FOREVER)
    if not len(ended):
        return times
    table, rows = past.world.events_at(ended, ends[ended] - 1)
    assert isinstance(table, EventTable)
    if not table.count or (rows < 0).any():  # a log with gaps
        return _times_of_newest(past)
    times[ended] = table.raw("time")[rows]
    return times


def _times_of_newest(past: PastEntities) -> Array:
    count = past.simulations.count
    newest, times = np.zeros(count, np.int64), np.zeros(count, np.int64)

    def note(events: EventTable) -> None:
        simulations, seqs = events.simulation_rows(), events.raw("seq")
        np.maximum.at(newest, simulations, seqs)
        is_newest = newest[simulations] == seqs
        times[simulations[is_newest]] = events.raw("time")[is_newest]

    _each_batch(past.world, Wanted(), note)
    return times


def _of_kinds(kinds: Iterable[str]) -> Wanted:
    return Wanted((tuple(q.KindPattern((0, 0), kind) for kind in kinds),))


def _each_batch(world: World, wanted: Wanted, look: Callable[[EventTable], None]) -> None:
    """Look at all wanted events, and keep none."""

    def keep(events: EventTable) -> Array:
        look(events)
        return _NO_ROWS

    scan(world, Relation.EVENTS, wanted, keep, needs=Needs(identity=False))
