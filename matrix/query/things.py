"""What the rows of a query are, by number: for whoever reads on in the log, as an export does.

A result tells things by their ids, and two simulations may have been given one id. Here a simulation is its gid, an
agent its number, an event or a goal its ``seq``. What always holds: these are the rows that the query has, in its
order, each as often; rows that are only columns (groups, funnels, trees) are no things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.conversations import Conversations
from matrix.query.engine.events import EventTable
from matrix.query.engine.reach import simulation_rows
from matrix.query.engine.threads import participants
from matrix.query.execute import asked, rows_of

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator
    from matrix.query.engine.frame import Frame
    from matrix.query.engine.scan import Source
    from matrix.query.engine.value import Array
    from matrix.query.engine.world import World


@dataclass(frozen=True, slots=True)
class Things:
    """The rows of a query: ``relation`` says what they are, ``gids`` in which simulation each is.

    ``numbers`` are those of agents, or the ``seq`` of goals, events and messages. Row ``of[i]`` is of the agent
    ``agents[i]`` (a simulation's own events are of nobody, conversations of several, and simulations are not told
    apart by agents). ``members`` are all agents of each conversation. Of a query that looks at a moment, ``ends`` has
    by gid the ``seq`` of the last event that is left, and ``turn`` is the last turn left of each agent.
    """

    relation: q.Relation
    gids: Array
    numbers: Array
    of: Array
    agents: Array
    members: tuple[tuple[int, ...], ...] = ()
    ends: Mapping[int, int] | None = None
    turn: int | None = None
    notices: tuple[str, ...] = ()


def things(query: q.Query, source: Source) -> Things:
    """What the rows of a checked query are, which must not be only columns (but for those of a ``select``)."""
    only = replace(query, columns=_needed(query))  # nothing else of the rows is decoded
    return asked(only, source, lambda evaluator: _things(evaluator, rows_of(only, evaluator)))


def _needed(query: q.Query) -> tuple[q.Column, ...]:
    if query.source.relation not in (q.Relation.EVENTS, q.Relation.MESSAGES):
        return ()
    seq = q.Field(query.span, query.source.relation, (), query.source.relation, "seq", (), q.Type.NUMBER)
    return (q.Column(query.span, "seq", seq, q.Type.NUMBER),)


def _things(evaluator: Evaluator, frame: Frame) -> Things:
    world, table = evaluator.world, frame.table
    assert table.relation is not None, "rows that are only columns are no things"
    of, agents = _agents(world, frame)
    return Things(
        table.relation,
        gids=world.simulations.array("gid")[simulation_rows(frame)],
        numbers=table.order()[-1][frame.index()].astype(np.int64),
        of=of,
        agents=agents,
        members=_members(world, table, frame.index()) if isinstance(table, Conversations) else (),
        ends=None if world.cut is None else _ends(world),
        turn=None if world.cut is None else world.cut.turn,
        notices=tuple(world.notices.as_texts()),
    )


def _agents(world: World, frame: Frame) -> tuple[Array, Array]:
    """The agents of each row, as (row, number).

    Of a conversation, and of a message that was reached from agents, those that it was reached from.
    """
    table, rows = frame.table, frame.index()
    numbers = world.agents.array("number") if table.relation is not q.Relation.SIMULATIONS else np.zeros(0, np.int64)
    if table.relation is q.Relation.SIMULATIONS:
        return np.zeros(0, np.int64), numbers
    if isinstance(table, Conversations):
        agents, owners = table.members()
    elif table.relation is q.Relation.MESSAGES and frame.agents is not None:
        assert isinstance(table, EventTable)
        owners, agents = participants(table)
    else:
        agents = table.link("agent").rows[rows]
        here = np.flatnonzero(agents >= 0)
        linked = table.link("agent").table
        return here, linked.order()[-1][agents[here]].astype(np.int64)
    if frame.agents is not None:
        is_told = np.isin(agents, frame.agents)
        agents, owners = agents[is_told], owners[is_told]
    return _by_row(owners, numbers[agents], rows)


def _by_row(owners: Array, numbers: Array, rows: Array) -> tuple[Array, Array]:
    """Pairs of a table's row and a number, for chosen rows of the table: (place among the chosen, number)."""
    order = np.argsort(owners, kind="stable")
    owners, numbers = owners[order], numbers[order]
    starts, stops = np.searchsorted(owners, rows), np.searchsorted(owners, rows, side="right")
    places = np.repeat(np.arange(len(rows)), stops - starts)
    found = [numbers[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    return places, np.concatenate(found) if found else np.zeros(0, np.int64)


def _members(world: World, table: Conversations, rows: Array) -> tuple[tuple[int, ...], ...]:
    agents, of = table.members()
    numbers = world.agents.array("number")[agents]
    starts = np.searchsorted(of, np.arange(table.count + 1))
    return tuple(tuple(numbers[starts[row] : starts[row + 1]].tolist()) for row in rows.tolist())


def _ends(world: World) -> dict[int, int]:
    assert world.cut is not None, "only a query that looks at a moment leaves something out"
    gids = world.cut.writers.array("gid")[world.cut.rows]
    return dict(zip(gids.tolist(), (world.cut.ends[world.cut.rows] - 1).tolist(), strict=True))
