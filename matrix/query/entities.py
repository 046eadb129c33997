"""Simulations, agents and goals as tables, read column by column from the index's SQLite tables.

A table is whole, or restricted by a condition that SQLite decides; its rows come in the order of its
key, and a column is fetched when it is first needed (several at once when the caller knows them).
References become row numbers: of an agent by (simulation, number), of a goal by (simulation, seq).
What a table holds stays true as long as the index follows nothing, so tables are kept between queries
(see `Entities`).
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matrix.index.data import decode_data
from matrix.limits import QUERY_TABLES_KEPT_MAX

from .frame import Linked, Table
from .syntax import Relation
from .value import Array, Type, Value, from_objects, text_array

_MISSING = -1


@dataclass(frozen=True, slots=True)
class Restriction:
    """A condition in SQL on a table called t0, with its parameters."""

    where: str
    params: tuple[Any, ...] = ()


_T = TypeVar("_T", bound="EntityTable")


class Entities:
    """The entity tables of a store at one moment of its index."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.prefetch: Mapping[str, frozenset[str]] = {}  # by table, what the query at hand will ask for
        self._tables: OrderedDict[tuple[type[EntityTable], Restriction | None], EntityTable] = OrderedDict()

    def table(self, kind: type[_T], only: Restriction | None = None) -> _T:
        """A table, whole or restricted; those used last are kept."""
        found = self._tables.pop((kind, only), None)
        if found is None:
            found = kind(self, only)
        found.load(self.prefetch.get(kind.table, ()))
        self._tables[kind, only] = found
        if len(self._tables) > QUERY_TABLES_KEPT_MAX:
            self._tables.popitem(last=False)
        assert isinstance(found, kind)
        return found

    @property
    def simulations(self) -> Simulations:
        return self.table(Simulations)

    @property
    def agents(self) -> Agents:
        return self.table(Agents)

    @property
    def goals(self) -> Goals:
        return self.table(Goals)


class EntityTable(Table):
    """A table of the index in key order."""

    table: str
    key: tuple[str, ...]
    texts: frozenset[str]

    def __init__(self, entities: Entities, only: Restriction | None) -> None:
        self.entities, self.only = entities, only
        self._raw: dict[str, list[Any]] = {}
        self._arrays: dict[str, Array] = {}
        self.load(dict.fromkeys((*self.key, *entities.prefetch.get(self.table, ()))))
        super().__init__(len(self._raw[self.key[0]]))

    def load(self, names: Iterable[str]) -> None:
        """Fetch those of these columns that are not here yet, in one pass over the table."""
        missing = [name for name in names if name not in self._raw]
        if not missing:
            return
        order = ", ".join(self.key)
        sql, params = self.select(", ".join(f't0."{name}"' for name in missing))
        rows = self.entities.connection.execute(f"{sql} ORDER BY {order}", params).fetchall()
        columns = zip(*rows, strict=True) if rows else ([] for _ in missing)
        for name, column in zip(missing, columns, strict=True):
            self._raw[name] = list(column)

    def select(self, columns: str) -> tuple[str, tuple[Any, ...]]:
        """The SQL that reads columns of this table's rows."""
        sql = f"SELECT {columns} FROM {self.table} AS t0"
        return (sql, ()) if self.only is None else (f"{sql} WHERE {self.only.where}", self.only.params)

    def linked(self, kind: type[_T], key: str, reference: str) -> _T:
        """The table that a reference leads to; for a restricted table only the rows that its rows refer to."""
        if self.only is None or self.is_most():
            return self.entities.table(kind)
        sql, params = self.select(reference)
        return self.entities.table(kind, Restriction(f"({key}) IN ({sql})", params))

    def is_most(self) -> bool:
        """Whether a restricted table holds so much of the whole that restricting what it links to saves nothing."""
        return False

    def raw(self, name: str) -> list[Any]:
        self.load((name,))
        return self._raw[name]

    def array(self, name: str) -> Array:
        """A column of whole numbers without NULLs."""
        if name not in self._arrays:
            self._arrays[name] = np.array(self.raw(name), np.int64)
        return self._arrays[name]

    def text(self, name: str) -> Value:
        """A column of text: as it is when every row has its own (ids), else dictionary-coded."""
        values = text_array(self.raw(name))
        values = values if name == "id" else pc.dictionary_encode(values)
        present = None if not values.null_count else np.asarray(values.is_valid())
        return Value.of(Type.TEXT, values, present)

    def number(self, name: str, type: Type = Type.INT) -> Value:
        """A column of whole numbers, NULL where missing."""
        raw = self.raw(name)
        if None not in raw:
            return Value.of(type, self.array(name))
        present = np.array([value is not None for value in raw], bool)
        return Value.of(type, np.array([value or 0 for value in raw], np.int64), present)

    # -- open data ----------------------------------------------------------------------------

    def blobs(self) -> Sequence[bytes | None]:
        """The encoded data of every row; None for an empty map."""
        return self.raw("data")

    def has_data(self) -> Array | None:
        """Which rows have data at all; None: all."""
        return None

    def data_at(self, rows: Array) -> Value:
        """The maps of some rows (-1: missing)."""
        blobs, has = self.blobs(), self.has_data()
        there = rows >= 0 if has is None else (rows >= 0) & has[rows]
        found = zip(rows.tolist(), there.tolist(), strict=True)
        return from_objects([decode_data(blobs[row]) if is_there else None for row, is_there in found])

    def values(self, name: str, rows: Array | None) -> Value:
        if name == "data":
            return self.data_at(np.arange(self.count) if rows is None else rows)
        return super().values(name, rows)

    def read_payload(self, key: str) -> Value:
        maps = self.data_at(np.arange(self.count)).objects()
        return from_objects([None if data is None else data.get(key) for data in maps])

    def read_field(self, name: str) -> Value:
        return self.text(name) if name in self.texts else self.read_special(name)

    def read_special(self, name: str) -> Value:
        return self.number(name)

    # -- what agents and goals share ----------------------------------------------------------

    def simulation_rows(self) -> Array:
        """The row of each row's simulation."""
        if "@simulation" not in self._arrays:
            self._arrays["@simulation"] = self.entities.simulations.rows_of(self.array("simulation"))
        return self._arrays["@simulation"]

    def duration(self) -> Value:
        """From start to end, or to the simulation's newest event while it has not ended."""
        newest = self.entities.simulations.array("duration")[self.simulation_rows()]
        ends = [last if end is None else end for end, last in zip(self.raw("end"), newest.tolist(), strict=True)]
        return Value.of(Type.DURATION, np.array(ends, np.int64) - self.array("start"))


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
        return Linked(self, np.arange(self.count))

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
            if self.entities.connection.execute("SELECT 1 FROM states WHERE agent > 0 LIMIT 1").fetchone() is None:
                self._raw["@state"], self._arrays["@state"] = found, has
                return found, has
            sql, params = self.select("simulation, number")
            only = "agent > 0" if self.only is None else f"(simulation, agent) IN ({sql})"
            select = f"SELECT simulation, agent, data FROM states WHERE {only}"
            states = self.entities.connection.execute(select, params).fetchall()
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
            self._arrays["@starts"], self._arrays["@table"] = starts, table
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


def pair_rows(simulations: Array, seqs: Array, wanted_simulations: Array, wanted_seqs: Array) -> Array:
    """The row of each wanted (simulation, seq) among ascending pairs; -1 where it is not."""
    if not len(seqs) or not len(wanted_seqs):
        return np.full(len(wanted_seqs), _MISSING, np.int64)
    span = int(max(seqs.max(), wanted_seqs.max())) + 1
    top = int(max(simulations.max(), wanted_simulations.max())) + 1
    assert span * top < 2**63, "more simulations times events than an int64 can number"
    keys = simulations.astype(np.int64) * span + seqs
    wanted = wanted_simulations.astype(np.int64) * span + wanted_seqs
    rows = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[rows] == wanted, rows, _MISSING)


def joined_ids(ids: Value, seqs: Array) -> Value:
    """Event and goal ids: the simulation's id, a colon, the seq."""
    lane = ids.only
    if lane is None:
        return Value.missing(len(seqs))
    words = lane.spread(len(seqs)).values
    words = words.cast(pa.string()) if pa.types.is_dictionary(words.type) else words
    numbers = pa.array(seqs.astype(np.int64, copy=False)).cast(pa.string())
    return Value.of(Type.TEXT, pc.binary_join_element_wise(words, numbers, ":"))


TABLES: dict[Relation, type[EntityTable]] = {
    Relation.SIMULATIONS: Simulations,
    Relation.AGENTS: Agents,
    Relation.GOALS: Goals,
}
