"""What all events are needed for: turns begun, steps of goals, when a simulation was last heard of.

The log is read once for each, batch by batch, and only when a query asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from matrix.event import is_action
from matrix.query import syntax as q
from matrix.query.engine.cut import FOREVER
from matrix.query.engine.events import EventTable
from matrix.query.engine.scan import Wanted, each_batch
from matrix.query.engine.value import Array
from matrix.query.syntax import Relation

if TYPE_CHECKING:
    from matrix.query.engine.past.entities import PastEntities

_NO_ROWS = np.empty(0, np.int64)


def turns_begun(past: PastEntities) -> Array:
    """How many turns each agent had begun."""
    agents = past.agents
    turns = np.zeros(agents.count, np.int64)
    agents.rows_of(_NO_ROWS, _NO_ROWS)  # its table is made here, before threads ask for it

    def seen(events: EventTable) -> tuple[Array, Array]:
        rows = agents.rows_of(events.simulation_rows(), events.raw("agent").astype(np.int64))
        return rows[rows >= 0], events.raw("turn")[rows >= 0]

    for rows, begun in each_batch(past.world, Relation.EVENTS, Wanted(), seen):
        np.maximum.at(turns, rows, begun)
    return turns


def steps_taken(past: PastEntities) -> Array:
    """How many actions of its own agent each goal had, until it ended, its nested goals' included."""
    goals = past.goals
    simulations = goals.simulation_rows()
    agents = goals.array("agent")
    parents = goals.rows_of(simulations, goals.array("parent"))
    ends = np.where(goals.array("end_seq") > 0, goals.array("end_seq"), FOREVER)

    def counted(events: EventTable) -> Array:
        steps = np.zeros(goals.count, np.int64)
        under, seqs = events.raw("goal"), events.raw("seq")
        places = np.where((under > 0) & (under < seqs), goals.rows_of(events.simulation_rows(), under), -1)
        actors = events.raw("agent").astype(np.int64)
        while (places >= 0).any():
            is_nested = places >= 0
            places, seqs, actors = places[is_nested], seqs[is_nested], actors[is_nested]
            is_step = (agents[places] == actors) & (seqs < ends[places])
            steps += np.bincount(places[is_step], minlength=len(steps))
            places = parents[places]
        return steps

    kinds = [kind for (kind,) in past.connection.execute("SELECT kind FROM kinds") if is_action(kind)]
    total = np.zeros(goals.count, np.int64)
    for steps in each_batch(past.world, Relation.EVENTS, _of_kinds(kinds), counted):
        total += steps
    return total


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

    def said(events: EventTable) -> tuple[Array, Array, Array]:
        return events.simulation_rows(), events.raw("seq"), events.raw("time")

    for simulations, seqs, moments in each_batch(past.world, Relation.EVENTS, Wanted(), said):
        np.maximum.at(newest, simulations, seqs)
        is_newest = newest[simulations] == seqs
        times[simulations[is_newest]] = moments[is_newest]
    return times


def _of_kinds(kinds: Iterable[str]) -> Wanted:
    return Wanted((tuple(q.KindPattern((0, 0), kind) for kind in kinds),))
