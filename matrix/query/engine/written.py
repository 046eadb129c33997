"""What new events are about: who wrote them and to whom, and which goals they name; by simulation, read off the blocks.

A look at a run with a long history reads of its agents and goals only those that the new events name. What always
holds: this only leaves out rows that the query would not have used, or whose answer cannot have changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from matrix.event import AGENT_STARTED, GOAL_ENDS, GOAL_STARTED, SIMULATION_ENDS, SIMULATION_FORKED, SIMULATION_STARTED
from matrix.index.part import chosen
from matrix.query import syntax as q
from matrix.query.engine.fixed import FIXED, OTHERS

if TYPE_CHECKING:
    import sqlite3

    from matrix.log.block import Block
    from matrix.query.engine.changes import News, Vector
    from matrix.query.engine.fresh import Plan
    from matrix.query.engine.value import Array

_TURNS: Final = frozenset({SIMULATION_STARTED, SIMULATION_FORKED, *SIMULATION_ENDS})


class Named(NamedTuple):
    """Agents (by number) and goals (by seq) of some simulations: nothing else of theirs is looked at."""

    agents: Mapping[int, frozenset[int]]
    goals: Mapping[int, frozenset[int]]

    @property
    def size(self) -> int:
        """How many they are."""
        return sum(map(len, (*self.agents.values(), *self.goals.values())))

    def of(self, table: str) -> Mapping[int, frozenset[int]] | None:
        """Those of one of the index's tables; None: all of it."""
        return {"agents": self.agents, "states": self.agents, "goals": self.goals}.get(table)


@dataclass(slots=True)
class Written:
    """What the new events of one simulation name. ``goals_moved`` are those that began or ended."""

    acting: set[int] = field(default_factory=set)
    receiving: set[int] = field(default_factory=set)
    starting: set[int] = field(default_factory=set)
    goals: set[int] = field(default_factory=set)
    goals_moved: set[int] = field(default_factory=set)
    turns: bool = False  # the simulation itself began, was forked or ended: then anything may be another


def written_between(news: News, first: Vector, second: Vector) -> dict[int, Written]:
    """By simulation, what was written between two moments."""
    found: dict[int, Written] = {}
    for zone in news.zones_behind(first):
        low, high = first.get(zone.ref.shard, 0), second.get(zone.ref.shard, 0)
        if zone.position_min > high:
            continue
        block = news.reader.block(zone.ref)
        rows = np.flatnonzero((block.positions > low) & (block.positions <= high))
        for ordinal in np.unique(block.simulation[rows]).tolist():
            mine = rows[block.simulation[rows] == ordinal]
            _note(found.setdefault(zone.ref.shard << 32 | ordinal, Written()), block, mine)
    return found


def _note(written: Written, block: Block, rows: Array) -> None:
    written.acting.update(_distinct(block.agent[rows]))
    written.receiving.update(_distinct(block.to[rows]))
    if block.to_many:
        mine = set(rows.tolist())
        written.receiving.update(to for row, many in block.to_many.items() if row in mine for to in many)
    written.goals.update(_distinct(block.goal[rows]))
    kinds = {block.kinds[code] for code in _distinct(block.kind[rows], least=0)}
    written.turns |= not _TURNS.isdisjoint(kinds)
    for kind in kinds & {GOAL_STARTED, AGENT_STARTED, *GOAL_ENDS}:
        of_kind = np.intersect1d(block.kind_rows(kind), rows, assume_unique=True)
        if kind == AGENT_STARTED:
            written.starting.update(_distinct(block.agent[of_kind]))
        else:
            moved = block.seq if kind == GOAL_STARTED else block.goal
            written.goals_moved.update(_distinct(moved[of_kind]))


def _distinct(numbers: Array, *, least: int = 1) -> list[int]:
    found: list[int] = np.unique(numbers).tolist()
    return found if not found or found[0] >= least else found[1:]


def named_by_events(written: Mapping[int, Written], gids: Iterable[int]) -> Named:
    """The agents and goals that events lead to by one link."""
    known = {gid: written.get(gid, Written()) for gid in gids}
    return Named(
        {gid: frozenset(one.acting | one.receiving) for gid, one in known.items()},
        {gid: frozenset(one.goals) for gid, one in known.items()},
    )


def touched_by(connection: sqlite3.Connection, relation: q.Relation, gid: int, written: Written) -> frozenset[int]:
    """The agents or goals of a simulation of which new events can have changed anything that ``is_own`` allows."""
    if relation is q.Relation.AGENTS:
        return frozenset(written.acting)
    renamed: set[int] = set()
    for number in written.starting:  # of these the role may be another now
        sql = "SELECT seq FROM main.goals WHERE simulation = ? AND agent = ?"
        renamed.update(seq for (seq,) in connection.execute(sql, (gid, number)))
    return frozenset(written.goals_moved | renamed)


def led_to_by(connection: sqlite3.Connection, relation: q.Relation, asked: Mapping[int, frozenset[int]]) -> Named:
    """These agents or goals, and those that they lead to by one link."""
    table, others = ("agents", "number, goal") if relation is q.Relation.AGENTS else ("goals", "agent, parent")
    agents, goals = dict(asked), dict(asked)
    for gid, numbers in asked.items():
        sql = f"SELECT {others} FROM {chosen(table, [gid], {gid: numbers})}"
        rows = connection.execute(sql).fetchall()
        agents[gid] = frozenset(agent for agent, _ in rows)
        goals[gid] = frozenset(goal for _, goal in rows if goal)
    if relation is q.Relation.GOALS:
        goals = {gid: goals[gid] | asked[gid] for gid in asked}
    return Named(agents, goals)


# -- which queries look at no more -----------------------------------------------------------------

_NEAR: Final = ((), ("simulation",), ("agent",), ("from",), ("to",), ("peer",), ("goal",), ("parent",))
_EARLIER: Final = (("cause",), ("state",))  # events that may name agents of their own
_EVENTS: Final = (q.Relation.EVENTS, q.Relation.MESSAGES)
_OWN: Final = {
    q.Relation.GOALS: frozenset({"id", "name", "status", "reason", "start", "end", "role", "data"}),
    q.Relation.AGENTS: frozenset({"id", "role", "status", "start", "end", "turns", "data"}),
}


def is_near(nodes: Iterable[q.Node]) -> bool:
    """Whether a query names of other things only those that a row leads to by one link."""
    return not any(isinstance(node, OTHERS) or (isinstance(node, q.Field) and not _leads_near(node)) for node in nodes)


def _leads_near(field: q.Field) -> bool:
    if field.up or field.step or field.seen_by_agent:
        return False
    if field.links in _EARLIER:
        return field.name not in ("role", "reply_to")
    return field.links in _NEAR or (field.links == ("conversation",) and field.name == "id")


def is_own(plan: Plan) -> bool:
    """Whether only events about an agent or a goal itself can change whether it is asked for."""
    own = _OWN.get(plan.query.source.relation)
    if own is None or not all(isinstance(stage, (q.Where, q.Select)) for stage in plan.first):
        return False
    conditions = [] if plan.query.source.where is None else [plan.query.source.where]
    last = max((place for place, stage in enumerate(plan.first) if isinstance(stage, q.Where)), default=-1)
    nodes = [node for part in (*conditions, *plan.first[: last + 1]) for node in q.walk(part)]
    return not any(
        isinstance(node, (*OTHERS, q.Now, q.Ago)) or (isinstance(node, q.Field) and not _is_own_field(node, own))
        for node in nodes
    )


def _is_own_field(field: q.Field, own: frozenset[str]) -> bool:
    if field.links == ():
        return field.name in own
    if field.links == ("agent",):
        return field.relation is q.Relation.GOALS and field.name in ("id", "role")
    return field.links == ("simulation",) and field.name in FIXED[q.Relation.SIMULATIONS]
