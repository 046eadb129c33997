"""Simulations, agents and goals as tables, read column by column from the index's SQLite tables.

Each table is whole, in the order of its key; a column is fetched when it is first needed (several at
once when the caller knows them). References become row numbers: of an agent by (simulation, number),
of a goal by (simulation, seq).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matrix.index.data import decode_data

from .frame import Linked, Table
from .syntax import Relation
from .value import Array, Type, Value, from_objects, text_array

if TYPE_CHECKING:
    from .world import World

_MISSING = -1


class EntityTable(Table):
    """A table of the index, whole, in key order."""

    table: str
    key: tuple[str, ...]
    texts: frozenset[str]

    def __init__(self, world: World) -> None:
        self.world = world
        self._raw: dict[str, list[Any]] = {}
        self._arrays: dict[str, Array] = {}
        self.load(self.key)
        super().__init__(len(self._raw[self.key[0]]))

    def load(self, names: Iterable[str]) -> None:
        """Fetch those of these columns that are not here yet, in one pass over the table."""
        missing = [name for name in names if name not in self._raw]
        if not missing:
            return
        listed = ", ".join(f'"{name}"' for name in missing)
        order = ", ".join(self.key)
        rows = self.world.connection.execute(f"SELECT {listed} FROM {self.table} ORDER BY {order}").fetchall()
        columns = zip(*rows, strict=True) if rows else ([] for _ in missing)
        for name, column in zip(missing, columns, strict=True):
            self._raw[name] = list(column)

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
        return self._text(values if name == "id" else pc.dictionary_encode(values))

    def _text(self, values: pa.Array) -> Value:
        present = None if not values.null_count else np.asarray(values.is_valid())
        return Value.of(Type.TEXT, values, present)

    def number(self, name: str, type: Type = Type.INT) -> Value:
        """A column of whole numbers, NULL where missing."""
        return from_objects(self.raw(name), type if type is not Type.INT else None)

    def read_payload(self, key: str) -> Value:
        return from_objects([None if data is None else data.get(key) for data in self.data()])

    def data(self) -> list[dict[str, Any] | None]:
        """The open data of every row."""
        if "data" not in self._fields:
            self._fields["data"] = from_objects(self.read_data())
        return self._fields["data"].objects()

    def read_data(self) -> Sequence[dict[str, Any] | None]:
        """The data of every row: a map, empty where nothing was recorded."""
        return [decode_data(blob) for blob in self.raw("data")]

    def read_field(self, name: str) -> Value:
        if name == "data":
            self.data()
            return self._fields["data"]
        if name in self.texts:
            return self.text(name)
        return self.read_special(name)

    def read_special(self, name: str) -> Value:
        return self.number(name)

    # -- what agents and goals share ----------------------------------------------------------

    def simulation_rows(self) -> Array:
        """The row of each row's simulation."""
        if "@simulation" not in self._arrays:
            self._arrays["@simulation"] = self.world.simulations.rows_of(self.array("simulation"))
        return self._arrays["@simulation"]

    def duration(self) -> Value:
        """From start to end, or to the simulation's newest event while it has not ended."""
        newest = self.world.simulations.array("duration")[self.simulation_rows()]
        ends = [last if end is None else end for end, last in zip(self.raw("end"), newest.tolist(), strict=True)]
        return Value.of(Type.DURATION, np.array(ends, np.int64) - self.array("start"))


class Simulations(EntityTable):
    relation = Relation.SIMULATIONS
    table = "simulations"
    key = ("gid",)
    texts = frozenset({"id", "name", "status", "parent"})

    def __init__(self, world: World) -> None:
        super().__init__(world)
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

    def read_data(self) -> Sequence[dict[str, Any] | None]:
        found: list[dict[str, Any] | None] = [None] * self.count
        states = self.world.connection.execute("SELECT simulation, agent, data FROM states WHERE agent > 0").fetchall()
        if states:
            gids, numbers, blobs = zip(*states, strict=True)
            simulations = self.world.simulations.rows_of(np.array(gids, np.int64))
            for row, blob in zip(self.rows_of(simulations, np.array(numbers, np.int64)).tolist(), blobs, strict=True):
                if row >= 0:
                    found[row] = decode_data(blob)
        return found

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
            width = np.ones(self.world.simulations.count, np.int64)
            np.maximum.at(width, simulations, numbers + 1)
            starts = np.concatenate(([0], np.cumsum(width)))
            table = np.full(int(starts[-1]) + 1, _MISSING, np.int64)
            table[starts[simulations] + numbers] = np.arange(self.count)
            self._arrays["@starts"], self._arrays["@table"] = starts, table
        return self._arrays["@starts"], self._arrays["@table"]

    def read_link(self, name: str) -> Linked:
        if name == "simulation":
            return Linked(self.world.simulations, self.simulation_rows())
        if name == "agent":
            return Linked(self, np.arange(self.count))
        assert name == "goal", f"agents have no link {name}"
        goals = self.world.goals
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
            ids = self.world.simulations.field("id").take(self.simulation_rows())
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
            return Linked(self.world.simulations, self.simulation_rows())
        if name == "agent":
            agents = self.world.agents
            return Linked(agents, agents.rows_of(self.simulation_rows(), self.array("agent")))
        if name == "goal":
            return Linked(self, np.arange(self.count))
        assert name == "parent", f"goals have no link {name}"
        return Linked(self, self.rows_of(self.simulation_rows(), self.array("parent")))

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
