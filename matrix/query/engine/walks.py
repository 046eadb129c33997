"""The stages ``causes`` and ``effects``: a row for each of the rows so far and each event above, or below, it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matrix.limits import QUERY_BATCH_EVENTS_MAX, QUERY_CAUSE_LOOKUPS_MAX, QUERY_CAUSE_ROWS_MAX
from matrix.query import syntax as q
from matrix.query.engine.bounds import too_much_work
from matrix.query.engine.caused import Events, events_of
from matrix.query.engine.events import EventTable
from matrix.query.engine.forest import Children, climb, forests
from matrix.query.engine.frame import Frame
from matrix.query.engine.lookup import find_events
from matrix.query.engine.scan import Needs
from matrix.query.engine.value import Array, Type, Value, distinct

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator
    from matrix.query.engine.world import World

_FEW_ROWS = 1_000
_MANY_EVENTS = 4 * QUERY_BATCH_EVENTS_MAX  # to read the causes of so many takes longer than some look-ups


class Reached(NamedTuple):
    """Events come to: the row each was reached from, where it is, how many links lie between."""

    origins: Array
    simulations: Array
    seqs: Array
    depths: Array


def walked(evaluator: Evaluator, stage: q.Causes | q.Effects, frame: Frame) -> Frame:
    """The ancestors (descendants) of the rows with ``depth`` and ``origin``, in their order."""
    world, events = evaluator.world, events_of(frame)
    found: list[Reached] = []
    room = _Room(world.text, stage)
    steps, left = stage.steps, np.arange(frame.count)
    above, depth = events, 0
    if isinstance(stage, q.Causes) and _is_for_look_ups(world, events):
        above, left, depth = _looked_up(frame, events, stage.steps, found)
        steps = None if steps is None else steps - depth
    for forest in forests(world, above.simulations if steps != 0 else np.empty(0, np.int64)):
        rows = above.among(forest.simulations)
        places = forest.places(above.simulations[rows], above.seqs[rows])
        walks = (
            climb(forest.cause, places, steps=steps)
            if isinstance(stage, q.Causes)
            else Children.of(forest.cause).descend(places, steps=steps)
        )
        for walk in walks:
            room.take(len(walk.places))
            found.append(Reached(left[rows[walk.owners]], *forest.events(walk.places), walk.depths + depth))
    return _as_frame(world, frame, events, _joined(found))


class _Room:
    """How many rows there may be still."""

    def __init__(self, text: str, stage: q.Node) -> None:
        self.text, self.stage, self.left = text, stage, QUERY_CAUSE_ROWS_MAX

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            word = "causes" if isinstance(self.stage, q.Causes) else "effects"
            raise too_much_work(
                f"{word} would give more than {QUERY_CAUSE_ROWS_MAX:,} rows, one for each row and event on its way",
                f"begin with fewer rows, or bound the way: {word} within 3 steps",
                text=self.text,
                span=self.stage.span,
            )


def _joined(parts: list[Reached]) -> Reached:
    if not parts:
        return Reached(*(np.empty(0, np.int64) for _ in Reached._fields))
    return Reached(*(np.concatenate(columns).astype(np.int64, copy=False) for columns in zip(*parts, strict=True)))


def _as_frame(world: World, frame: Frame, origins: Events, found: Reached) -> Frame:
    """By event, then by the row it was reached from."""
    order = np.lexsort((found.origins, origins.seqs[found.origins], found.seqs, found.simulations))
    found = Reached(*(column[order] for column in found))
    table, rows = find_events(world, found.simulations, found.seqs)
    columns = {
        "depth": Value.of(Type.INT, found.depths),
        "origin": frame.field("id").take(found.origins),
    }
    return Frame(table, rows, columns=columns, agents=frame.agents)


# -- few rows of large simulations ------------------------------------------------------------------------


def _is_for_look_ups(world: World, events: Events) -> bool:
    sizes = world.simulations.array("events")[distinct(events.simulations)]
    return len(events.seqs) <= _FEW_ROWS and int(sizes.sum()) > _MANY_EVENTS


def _looked_up(frame: Frame, events: Events, steps: int | None, found: list[Reached]) -> tuple[Events, Array, int]:
    """Add the ancestors some links up, one look-up a link; gives back where that ends, whose those are, how far up."""
    table = frame.table
    assert isinstance(table, EventTable)
    at, origins = events, np.arange(frame.count)
    causes = table.raw("cause")[frame.index()]
    for depth in range(min(QUERY_CAUSE_LOOKUPS_MAX, QUERY_CAUSE_LOOKUPS_MAX if steps is None else steps)):
        causes = np.where(causes < at.seqs, causes, 0)
        above, rows = find_events(table.world, at.simulations, causes, needs=Needs(frozenset({"cause"})))
        is_there = np.flatnonzero(rows >= 0)
        at, origins = Events(at.simulations[is_there], causes[is_there]), origins[is_there]
        if not len(origins):
            return at, origins, depth
        found.append(Reached(origins, *at, np.full(len(origins), depth + 1)))
        causes = above.raw("cause")[rows[is_there]]
    return at, origins, depth + 1
