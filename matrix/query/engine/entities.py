"""Simulations, agents and goals as tables of the index.

References become row numbers: of an agent by (simulation, number), of a goal by (simulation, seq).
What a table holds stays true as long as the index follows nothing, so tables are kept between queries.
The threads of a scan share them. Only who reads SQLite holds the ``lock``, and waits for nobody meanwhile; what is
worked out from it may be worked out twice, and is the same both times.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matrix.index.part import chosen
from matrix.limits import QUERY_TABLES_KEPT_MAX
from matrix.query.engine.entity_table import EntityTable, Restriction, T
from matrix.query.engine.forks import Forks, incomplete
from matrix.query.engine.frame import Linked
from matrix.query.engine.keys import joined_ids, pair_rows
from matrix.query.engine.value import Array, Type, Value, from_objects, plain
from matrix.query.syntax import Relation

if TYPE_CHECKING:
    from matrix.query.engine.written import Named

_MISSING = -1


class Entities:
    """The entity tables of a store at one moment of its index.

    Of some simulations (by gid) only, if told so, and of these only the agents and goals that are ``named``.
    """

    def __init__(
        self, connection: sqlite3.Connection, gids: Sequence[int] | None = None, named: Named | None = None
    ) -> None:
        self.connection, self._gids, self._named = connection, gids, named
        self.lock = threading.RLock()
        self.prefetch: Mapping[str, frozenset[str]] = {}  # by table, what the query at hand will ask for
        self._tables: OrderedDict[tuple[type[EntityTable], Restriction | None], EntityTable] = OrderedDict()

    def source(self, table: str) -> str:
        """What stands for a table of the index behind FROM."""
        if self._gids is None:
            return table
        return chosen(table, self._gids, None if self._named is None else self._named.of(table))

    def table(self, kind: type[T], only: Restriction | None = None) -> T:
        """A table, whole or restricted; those used last are kept."""
        with self.lock:
            found = self._tables.pop((kind, only), None)
            if found is None:
                found = kind(self, only)
            found.load(self.prefetch.get(kind.table, ()))
            self._tables[kind, only] = found
            if len(self._tables) > QUERY_TABLES_KEPT_MAX:
                self._tables.popitem(last=False)
        assert isinstance(found, kind)
        return found

    @cached_property
    def forks(self) -> Forks:
        """Which simulations have events that others wrote."""
        return Forks.read(self.connection, self)

    @cached_property
    def incomplete_forks(self) -> list[str]:
        """A notice for each fork that lacks its parent's events."""
        return incomplete(self.connection, self)

    @property
    def simulations(self) -> Simulations:
        return self.table(Simulations)

    @property
    def agents(self) -> Agents:
        return self.table(Agents)

    @property
    def goals(self) -> Goals:
        return self.table(Goals)


class Simulations(EntityTable):
    relation = Relation.SIMULATIONS
    table = "simulations"
    key = ("gid",)
    texts = frozenset({"id", "name", "status", "parent"})

    def __init__(self, entities: Entities, only: Restriction | None) -> None:
        super().__init__(entities, only)
        self._by_ordinal: dict[int, Array] = {}

    def rows_of(self, gids: Array) -> Array:
        """The row of each gid; every simulation that an event names is here."""
        known = self.array("gid")
        rows = np.searchsorted(known, gids)
        assert not len(gids) or (rows.max() < len(known) and bool((known[rows] == gids).all())), "an unknown simulation"
        return rows

    def rows_in_shard(self, shard: int, ordinals: Array) -> Array:
        """The row of each simulation of one shard, given by ordinal: a table look-up, quicker than a search."""
        if shard not in self._by_ordinal:
            gids = self.array("gid")
            rows = np.flatnonzero(gids >> 32 == shard)
            known = gids[rows] & 0xFFFF_FFFF
            table = np.full(int(known.max()) + 1 if len(known) else 1, _MISSING, np.int64)
            table[known] = rows
            self._by_ordinal[shard] = table
        found: Array = self._by_ordinal[shard][ordinals]
        return found

    def called(self, ids: Sequence[str]) -> Array:
        """The rows of the simulations with one of these ids, which several may share."""
        lane = self.field("id").lane(Type.TEXT)
        if lane is None:
            return np.empty(0, np.int64)
        known = plain(lane.spread(self.count).values)
        return np.flatnonzero(np.asarray(pc.is_in(known, pa.array(ids, pa.string()))))

    def read_special(self, name: str) -> Value:
        if name in ("start", "end"):
            return self.number(name, Type.TIME)
        if name == "duration":
            return self.number(name, Type.DURATION)
        if name == "took":
            both = zip(self.raw("start"), self.raw("end"), strict=True)
            return from_objects([None if b is None or a is None else b - a for a, b in both], Type.DURATION)
        if name == "seed":  # any number; beyond int64 SQLite holds a float
            return from_objects(self.raw(name))
        return self.number(name)

    def read_link(self, name: str) -> Linked:
        assert name == "simulation", f"simulations have no link {name}"
        if self.only is None:
            return Linked(self, np.arange(self.count))
        everything = self.entities.simulations  # a row of "the simulations" is one among all of them
        return Linked(everything, everything.rows_of(self.array("gid")))

    def order(self) -> tuple[Array, ...]:
        return (self.array("gid"),)


class Agents(EntityTable):
    relation = Relation.AGENTS
    table = "agents"
    key = ("simulation", "number")
    texts = frozenset({"id", "role", "status"})

    def read_special(self, name: str) -> Value:
        if name == "duration":
            return self.duration()
        return self.number(name, Type.DURATION if name in ("start", "end") else Type.INT)

    def is_most(self) -> bool:
        return 3 * self.count > int(self.entities.simulations.array("agents").sum())

    def blobs(self) -> Sequence[bytes | None]:
        return self._states()[0]

    def has_data(self) -> Array | None:
        return self._states()[1]

    def _states(self) -> tuple[list[bytes | None], Array]:
        """The newest state of each agent, and which have one."""
        if "@state" not in self._arrays:
            found: list[bytes | None] = [None] * self.count
            has = np.zeros(self.count, bool)
            states = self._read_states()
            if states:
                gids, numbers, blobs = zip(*states, strict=True)
                simulations = self.entities.simulations.rows_of(np.array(gids, np.int64))
                rows = self.rows_of(simulations, np.array(numbers, np.int64))
                has[rows[rows >= 0]] = True
                for row, blob in zip(rows.tolist(), blobs, strict=True):
                    if row >= 0:
                        found[row] = blob
            self._raw["@state"], self._arrays["@state"] = found, has
        return self._raw["@state"], self._arrays["@state"]

    def _read_states(self) -> list[tuple[int, int, bytes | None]]:
        with self.entities.lock:
            states = self.entities.source("states")
            if self.entities.connection.execute(f"SELECT 1 FROM {states} WHERE agent > 0 LIMIT 1").fetchone() is None:
                return []
            sql, params = self.select("simulation, number")
            only = "agent > 0" if self.only is None else f"(simulation, agent) IN ({sql})"
            select = f"SELECT simulation, agent, data FROM {states} WHERE {only}"
            return self.entities.connection.execute(select, params).fetchall()

    def rows_of(self, simulations: Array, numbers: Array) -> Array:
        """The row of each agent given by simulation row and number; -1 for number 0 and for unknown ones."""
        starts, table = self._lookup()
        width = starts[simulations + 1] - starts[simulations]
        is_known = numbers < width
        return np.where(is_known, table[np.where(is_known, starts[simulations] + numbers, 0)], _MISSING)

    def _lookup(self) -> tuple[Array, Array]:
        """A table with room for numbers 0..max of each simulation: (where each begins, the rows)."""
        if "@starts" not in self._arrays:
            simulations, numbers = self.simulation_rows(), self.array("number")
            width = np.ones(self.entities.simulations.count, np.int64)
            np.maximum.at(width, simulations, numbers + 1)
            starts = np.concatenate(([0], np.cumsum(width)))
            table = np.full(int(starts[-1]) + 1, _MISSING, np.int64)
            table[starts[simulations] + numbers] = np.arange(self.count)
            self._arrays["@table"] = table  # first, since another thread looks whether "@starts" is there
            self._arrays["@starts"] = starts
        return self._arrays["@starts"], self._arrays["@table"]

    def read_link(self, name: str) -> Linked:
        if name == "simulation":
            return Linked(self.entities.simulations, self.simulation_rows())
        if name == "agent":
            return Linked(self, np.arange(self.count))
        assert name == "goal", f"agents have no link {name}"
        goals = self.linked(Goals, "t0.simulation, t0.seq", "t0.simulation, t0.goal")
        return Linked(goals, goals.rows_of(self.simulation_rows(), self.array("goal")))

    def order(self) -> tuple[Array, ...]:
        return self.array("simulation"), self.array("start"), self.array("number")


class Goals(EntityTable):
    relation = Relation.GOALS
    table = "goals"
    key = ("simulation", "seq")
    texts = frozenset({"name", "status", "reason"})

    def read_special(self, name: str) -> Value:
        if name == "id":
            ids = self.entities.simulations.field("id").take(self.simulation_rows())
            return joined_ids(ids, self.array("seq"))
        if name == "role":
            agents, rows = self.link("agent")
            return agents.field("role").take(rows)
        if name == "duration":
            return self.duration()
        return self.number(name, Type.DURATION if name in ("start", "end") else Type.INT)

    def rows_of(self, simulations: Array, seqs: Array) -> Array:
        """The row of each goal given by simulation row and seq; -1 where there is none."""
        return pair_rows(self.simulation_rows(), self.array("seq"), simulations, seqs)

    def read_link(self, name: str) -> Linked:
        if name == "simulation":
            return Linked(self.entities.simulations, self.simulation_rows())
        if name == "agent":
            agents = self.linked(Agents, "t0.simulation, t0.number", "t0.simulation, t0.agent")
            return Linked(agents, agents.rows_of(self.simulation_rows(), self.array("agent")))
        if name == "goal":
            return Linked(self, np.arange(self.count))
        assert name == "parent", f"goals have no link {name}"
        goals = self.linked(Goals, "t0.simulation, t0.seq", "t0.simulation, t0.parent")
        return Linked(goals, goals.rows_of(self.simulation_rows(), self.array("parent")))

    def order(self) -> tuple[Array, ...]:
        return self.array("simulation"), self.array("start"), self.array("seq")


TABLES: dict[Relation, type[EntityTable]] = {
    Relation.SIMULATIONS: Simulations,
    Relation.AGENTS: Agents,
    Relation.GOALS: Goals,
}
