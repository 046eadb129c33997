"""From a query to what is exported: which agents of which simulations, and which of their goals, events, conversations.

    agents where goal succeeded             those agents
    goals where name = "resolve"            the agents of those goals; as episodes, those goals alone
    simulations where seed in 1..10         all of their agents
    events tool.failed                      the agents of those events; as events, those events alone
    conversations where turns > 4           their members, in those conversations alone
    agents where … | conversations          the same, told by those agents alone

So a query of other things chooses the agents that ``| agents`` behind it would. Every stage that keeps rows counts:
``where``, ``sort``, ``limit``, ``sample``, ``match``, ``causes``, other relations. With ``as of`` the histories end at
that moment, too. What always holds: the order is that of the store, whatever the query's is, and a thing found
twice is exported once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from matrix.errors import UsageError
from matrix.query import syntax as q
from matrix.query.check import check
from matrix.query.things import Things, things

if TYPE_CHECKING:
    from matrix.export.contract import Reading

_NOT_A_CHOICE = {
    q.Aggregate: "counts and groups are of many rows together, and name none: leave out everything from their | on",
    q.Funnel: "a funnel counts rows, and names none: put its steps behind where, as agents where did offer then accept",
    q.Shape: "a {name} is another shape of the rows: leave out | as {name}, and say --as chat for conversations",
}
_EVENTS = (q.Relation.EVENTS, q.Relation.MESSAGES)


@dataclass(frozen=True, slots=True)
class Selected:
    """What is chosen of one simulation; None means: no choice was made there, take all.

    ``agents`` are numbers, ``goals`` and ``events`` are ``seq`` (``events`` ascending), ``conversations`` the members
    of those that are meant, by agent. ``last_seq`` and ``turn`` bound the history, of each agent to that turn.
    """

    gid: int
    id: str
    name: str | None
    seed: int | float | None
    parent: str | None
    family: str
    agents: frozenset[int] | None = None
    goals: frozenset[int] | None = None
    events: np.ndarray | None = None
    conversations: Mapping[int, frozenset[tuple[int, ...]]] | None = None
    last_seq: int | None = None
    turn: int | None = None

    def has_agent(self, number: int) -> bool:
        """Whether this agent is meant."""
        return self.agents is None or number in self.agents


class Selection:
    """What a query chose, simulation by simulation.

    >>> chosen = Selection(store, "agents where goal succeeded")                # doctest: +SKIP
    >>> [(one.id, sorted(one.agents)) for one in chosen]                        # doctest: +SKIP
    [('1-1', [1, 2]), ('1-4', [2])]

    Raises ``QueryError`` for a query that cannot be read or checked, and ``UsageError`` for one whose rows are nothing
    that could be exported, saying what to write instead.
    """

    def __init__(self, store: Reading, query: str, parameters: Mapping[str, Any] | None = None) -> None:
        self.query, self.parameters = query, dict(parameters or {})
        self._store = store
        self._found = things(choosing(check(query, self.parameters)), store)
        order = np.lexsort((self._found.numbers, self._found.gids))
        self._order, self._gids = order, self._found.gids[order]

    @property
    def relation(self) -> str:
        """What the query's rows are: ``agents``, ``goals`` and so on."""
        return str(self._found.relation)

    @property
    def rows(self) -> int:
        """How many rows the query has."""
        return len(self._gids)

    @property
    def notices(self) -> tuple[str, ...]:
        """What the query has to say beside its rows."""
        return self._found.notices

    def __len__(self) -> int:
        return len(np.unique(self._gids))

    def __iter__(self) -> Iterator[Selected]:
        pairs = _Pairs(self._found)
        bounds = [*np.flatnonzero(np.diff(self._gids, prepend=-1)).tolist(), len(self._gids)]
        for start, stop in pairwise(bounds):
            yield self._selected(int(self._gids[start]), self._order[start:stop], pairs)

    def _selected(self, gid: int, rows: np.ndarray, pairs: _Pairs) -> Selected:
        found, relation = self._found, self._found.relation
        simulation = _simulation(self._store, gid)
        one = replace(simulation, last_seq=(found.ends or {}).get(gid), turn=found.turn)
        if relation is q.Relation.SIMULATIONS:
            return one
        agents = frozenset(pairs.agents(rows).tolist())
        if relation is q.Relation.GOALS:
            return replace(one, agents=agents, goals=frozenset(found.numbers[rows].tolist()))
        if relation in _EVENTS:
            return replace(one, agents=agents, events=np.unique(found.numbers[rows]))
        if relation is q.Relation.CONVERSATIONS:
            return replace(one, agents=agents, conversations=pairs.conversations(rows))
        return replace(one, agents=agents)


def choosing(query: q.Query) -> q.Query:
    """The query without what only shows its rows; ``UsageError`` when it does not choose any."""
    if query.is_explain:
        raise UsageError('an export needs rows, and explain tells how they are found: leave out "explain"')
    if query.is_watch:
        raise UsageError('an export ends, and a watch does not: leave out "watch"')
    relation, stages = query.source.relation, list(query.stages)
    for place, stage in enumerate(stages):
        if isinstance(stage, q.Follow):
            relation = stage.to.relation
        elif isinstance(stage, (q.Causes, q.Effects)):
            relation = q.Relation.EVENTS
        elif isinstance(stage, q.Select):
            _check_select(stage, relation)
        elif isinstance(stage, q.Shape) and stage.name in ("table", "chat"):
            assert place == len(stages) - 1, "the checker lets a shape come last only"
            stages.pop()
        elif type(stage) in _NOT_A_CHOICE:
            name = stage.name if isinstance(stage, q.Shape) else ""
            raise UsageError(f"this query chooses nothing to export: {_NOT_A_CHOICE[type(stage)].format(name=name)}")
    return replace(query, stages=tuple(stages))


def _check_select(stage: q.Select, relation: q.Relation) -> None:
    """A select that keeps the id says which rows are meant; one that does not asks for values, not for rows."""
    if not any(_is_id(column.expr) for column in stage.columns):
        raise UsageError(
            f"this query chooses values, and an export needs {relation}: leave out select (the columns of an export are"
            " its own), or keep id in it"
        )


def _is_id(expr: q.Expr) -> bool:
    return isinstance(expr, q.Field) and expr.name == "id" and not (expr.links or expr.step or expr.up)


class _Pairs:
    """Which agents each row of the query is of."""

    def __init__(self, found: Things) -> None:
        self._agents, self._members = found.agents, found.members
        self._starts = np.searchsorted(found.of, np.arange(len(found.gids) + 1))

    def agents(self, rows: np.ndarray) -> np.ndarray:
        """The agents of some rows, each once."""
        starts, counts = self._starts[rows], self._starts[rows + 1] - self._starts[rows]
        ends = np.cumsum(counts)
        within = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)
        found: np.ndarray = np.unique(self._agents[np.repeat(starts, counts) + within])
        return found

    def conversations(self, rows: np.ndarray) -> dict[int, frozenset[tuple[int, ...]]]:
        """By agent, the members of those conversations among some rows that it tells."""
        found: dict[int, set[tuple[int, ...]]] = {}
        for row in rows.tolist():
            for agent in self._agents[self._starts[row] : self._starts[row + 1]].tolist():
                found.setdefault(agent, set()).add(self._members[row])
        return {agent: frozenset(members) for agent, members in found.items()}


# -- simulations ----------------------------------------------------------------------------------


def _simulation(store: Reading, gid: int) -> Selected:
    sql = "SELECT id, name, seed, parent FROM simulations WHERE gid = ?"
    id, name, seed, parent = store.connection.execute(sql, (gid,)).fetchone()
    return Selected(gid, id, name, seed, parent, family=_family(store, gid))


def _family(store: Reading, gid: int) -> str:
    """The id of the simulation that has the first event of this one; where that is lost, the oldest known by name."""
    connection = store.connection
    sql = """SELECT coalesce((SELECT source FROM forks WHERE gid = :gid AND first_seq = 1), :gid)"""
    (root,) = connection.execute(sql, {"gid": gid}).fetchone()
    id, parent = connection.execute("SELECT id, parent FROM simulations WHERE gid = ?", (root,)).fetchone()
    met = {id}
    while parent is not None and parent not in met:
        met.add(parent)
        found = connection.execute("SELECT parent FROM simulations WHERE id = ? ORDER BY gid", (parent,)).fetchone()
        id, parent = parent, None if found is None else found[0]
    return str(id)
