"""Which rows a watch tells: what a watched query is made of, and when a row of it is new.

What always holds: whether a row is told at a moment depends on that moment and the one before it alone, never on
what somebody remembers. So a watch that goes on elsewhere tells the same rows.

- Events and messages are new when they were written between the two moments.
- Other rows, and matches, are new when they are there at the later moment and not at the earlier one. They are known
  by what they are of: a simulation, the number of an agent, the events of a match.
- A bucket is new when it is closed at the later moment and was not at the earlier one (see ``buckets``).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.frame import Frame
from matrix.query.engine.reach import simulation_rows
from matrix.query.engine.rows import read_rows
from matrix.query.engine.value import Array
from matrix.query.execute import staged

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator

#: What a row is of, within its simulation.
Identity: TypeAlias = tuple[int, ...]
_EVENTS = (q.Relation.EVENTS, q.Relation.MESSAGES)


@dataclass(frozen=True, slots=True)
class Plan:
    """A watched query: ``first`` is asked as a whole, and only what is new goes through ``rest``.

    ``per`` is the aggregate whose buckets are told, if there is one; ``first`` is then what comes before it.
    """

    query: q.Query
    first: tuple[q.Stage, ...]
    per: q.Aggregate | None
    rest: tuple[q.Stage, ...]

    @classmethod
    def of(cls, query: q.Query) -> Plan:
        """Stages that decide row by row belong to the condition; from the first other one on they see new rows only."""
        stages = query.stages
        for place, stage in enumerate(stages):
            if isinstance(stage, q.Aggregate):
                return cls(query, stages[:place], stage, stages[place + 1 :])
        count = 0
        while count < len(stages) and isinstance(stages[count], (q.Where, q.Select, q.Match)):
            count += 1
        return cls(query, tuple(_named(stage) for stage in stages[:count]), None, stages[count:])

    @property
    def tells_events(self) -> bool:
        """Whether what is told are events as they are written."""
        return self.per is None and self.query.source.relation in _EVENTS


def _named(stage: q.Stage) -> q.Stage:
    """A match whose steps all have names, so that its rows say which events they are of."""
    if not isinstance(stage, q.Match):
        return stage
    steps = tuple(
        step if step.name else replace(step, name=f"{_UNNAMED}{i}") for i, step in enumerate(stage.sequence.steps)
    )
    return replace(stage, sequence=replace(stage.sequence, steps=steps))


_UNNAMED = "step "  # no name that a query could give


def asked_rows(
    evaluator: Evaluator,
    plan: Plan,
    simulations: Set[int],
    *,
    after: Mapping[int, int] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Frame:
    """The rows of some simulations (by gid) that a plan asks for, through its first stages, in order.

    Events may be limited to those written ``after`` some positions, and to blocks within ``bounds``.
    """
    source = plan.query.source
    frame = read_rows(evaluator, source.relation, source.kinds, source.where, bounds=bounds or {}, after=after)
    frame = frame.ordered()
    frame = frame.keep(np.isin(gids_of(evaluator, frame), list(simulations)))
    for stage in plan.first:
        frame, is_ordered = staged(evaluator, stage, frame, True)
        if not is_ordered:
            frame = frame.ordered()
    return frame


def gids_of(evaluator: Evaluator, frame: Frame) -> Array:
    """The simulation of each row, by gid."""
    gids: Array = evaluator.world.simulations.array("gid")[simulation_rows(frame)]
    return gids


def identities(evaluator: Evaluator, frame: Frame) -> dict[int, list[tuple[Identity, int]]]:
    """By simulation, what each row is of, and its place in the frame."""
    columns = [frame.table.order()[-1][frame.index()]]
    columns += [step.table.order()[-1][step.index()] for step in frame.steps.values()]
    rows = zip(gids_of(evaluator, frame).tolist(), *(column.tolist() for column in columns))
    found: dict[int, list[tuple[Identity, int]]] = {}
    met: dict[tuple[int, ...], int] = {}
    for place, (gid, *key) in enumerate(rows):
        # An event sent to several may end a match with each of them: then the same events make several rows.
        times = met[gid, *key] = met.get((gid, *key), 0) + 1
        found.setdefault(gid, []).append(((*key, times), place))
    return found


def new_places(found: Mapping[int, list[tuple[Identity, int]]], before: Mapping[int, Set[Identity]]) -> list[int]:
    """The places of rows that were not there before, in order."""
    nothing: frozenset[Identity] = frozenset()
    return sorted(
        place for gid, rows in found.items() for identity, place in rows if identity not in before.get(gid, nothing)
    )
