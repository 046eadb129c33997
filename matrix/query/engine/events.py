"""Events as a table: parts of blocks, whose columns are decoded when somebody asks for them.

A `Part` is the rows of one kind in one block, so a payload column is read as it lies and other
kinds' payload never is. A table that outlives the scan lets its blocks go (`release`): what was
already read stays, and a column that is asked for later opens the block again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from matrix.log.columns import MISSING
from matrix.query.engine.combine import concat, one_dictionary
from matrix.query.engine.frame import Linked, Table
from matrix.query.engine.jsons import Texts, json_texts
from matrix.query.engine.keys import joined_ids
from matrix.query.engine.value import Array, Type, Value, coded, from_arrow, from_objects
from matrix.query.syntax import Relation

if TYPE_CHECKING:
    from matrix.log.block import Block, BlockRef, Field
    from matrix.query.engine.world import World

#: The link to a conversation of which only the id or the agents are asked: those need no other message.
CONVERSATION_BY_NAME = "conversation by name"

#: The data of events as JSON, and the CBOR of what that does not hold: for answers, which only pass it on.
DATA_TEXT, DATA_EXACT = "data as text", "data beside the text"

#: The fixed columns by the name a block has for them, and how a field of that name shows them.
_NUMBERS = {"seq": Type.INT, "turn": Type.INT, "time": Type.DURATION, "wall": Type.TIME}
_NARROW = {"simulation": np.uint32, "agent": np.uint32, "turn": np.uint32, "to": np.uint32}


@dataclass(slots=True)
class Part:
    """``count`` rows of one kind in one block; ``places`` are those among its rows of that kind (None: all).

    ``owners`` are the simulations whose events the rows are here, where that is not who wrote them: forks.
    """

    ref: BlockRef
    kind: str
    count: int
    places: Array | None = None
    block: Block | None = None  # None once released
    owners: Array | None = None  # rows of simulations

    def open(self, world: World) -> Block:
        return self.block if self.block is not None else world.block(self.ref)

    def rows(self, world: World) -> Array:
        """The row numbers within the block."""
        rows: Array = self.open(world).kind_rows(self.kind)
        return rows if self.places is None else rows[self.places]

    def narrow(self, chosen: Array) -> Part:
        """Only the rows at ``chosen`` (ascending places in this part)."""
        places = chosen if self.places is None else self.places[chosen]
        owners = None if self.owners is None else self.owners[chosen]
        return Part(self.ref, self.kind, len(chosen), places, self.block, owners)


class Receivers(NamedTuple):
    """To whom each row was sent: agents ``rows[starts[i]:starts[i] + counts[i]]`` (-1: an unknown agent)."""

    starts: Array
    counts: Array
    rows: Array


class EventTable(Table):
    """Events (or messages) of one store; rows are in the order of ``parts`` until a frame orders them."""

    def __init__(self, world: World, relation: Relation, parts: Sequence[Part]) -> None:
        super().__init__(sum(part.count for part in parts))
        self.world, self.relation, self.parts = world, relation, list(parts)
        self._raw: dict[str, Array] = {}
        self._rows: list[tuple[Block, Array]] | None = None
        self._receivers: Receivers | None = None

    # -- fixed columns ------------------------------------------------------------------------

    def raw(self, name: str) -> Array:
        """A fixed column of the log."""
        if name not in self._raw:
            arrays = [getattr(block, name)[rows] for block, rows in self._block_rows()]
            self._raw[name] = np.concatenate(arrays) if arrays else np.empty(0, _NARROW.get(name, np.int64))
        return self._raw[name]

    def _block_rows(self) -> list[tuple[Block, Array]]:
        """The blocks that the parts are of, and their rows, until the blocks are let go."""
        if self._rows is None:
            found = list(self._find_block_rows())
            if not all(part.block is not None for part in self.parts):
                return found
            self._rows = found
        return self._rows

    def _find_block_rows(self) -> Iterator[tuple[Block, Array]]:
        """Neighbours of one block together."""
        for _, parts in groupby(self.parts, key=lambda part: part.ref):
            first, *others = parts
            rows = first.rows(self.world)
            if others:
                rows = np.concatenate([rows, *(part.rows(self.world) for part in others)])
            yield first.open(self.world), rows

    def _per_part(self, value_of: Callable[[Part], int]) -> Array:
        values = np.array([value_of(part) for part in self.parts], np.int64)
        return np.repeat(values, [part.count for part in self.parts])

    def simulation_rows(self) -> Array:
        """The row of each event's simulation."""
        if "@simulation" not in self._raw:
            ordinals, simulations = self.raw("simulation"), self.world.simulations
            shards = {part.ref.shard for part in self.parts}
            if len(shards) == 1:
                found = simulations.rows_in_shard(next(iter(shards)), ordinals)
            else:
                found = simulations.rows_of((self._per_part(lambda part: part.ref.shard) << 32) | ordinals)
            begin = 0
            for part in self.parts:
                if part.owners is not None:
                    found[begin : begin + part.count] = part.owners
                begin += part.count
            self._raw["@simulation"] = found
        return self._raw["@simulation"]

    def kinds(self) -> tuple[Array, list[str]]:
        """The kind of each row as codes into a list."""
        words = sorted({part.kind for part in self.parts})
        codes = {kind: code for code, kind in enumerate(words)}
        if "@kind" not in self._raw:
            self._raw["@kind"] = self._per_part(lambda part: codes[part.kind])
        return self._raw["@kind"], words

    def receivers(self) -> Receivers:
        """The agents each event was sent to."""
        if self._receivers is None:
            self._receivers = self._read_receivers()
        return self._receivers

    def _read_receivers(self) -> Receivers:
        first = self.raw("to").astype(np.int64)
        rows = self.world.agents.rows_of(self.simulation_rows(), first)
        counts = (first > 0).astype(np.int64)
        many = self._sent_to_many()
        if not many and counts.all():
            return Receivers(np.arange(self.count), counts, rows)
        for row, numbers in many.items():
            counts[row] = len(numbers)
        starts = np.cumsum(counts) - counts
        flat = np.empty(int(counts.sum()), np.int64)
        flat[starts[counts == 1]] = rows[counts == 1]
        for row, numbers in many.items():
            simulation = np.full(len(numbers), self.simulation_rows()[row])
            flat[starts[row] : starts[row] + len(numbers)] = self.world.agents.rows_of(
                simulation, np.array(numbers, np.int64)
            )
        return Receivers(starts, counts, flat)

    def _sent_to_many(self) -> dict[int, tuple[int, ...]]:
        found: dict[int, tuple[int, ...]] = {}
        begin = 0
        for part in self.parts:
            to_many = part.open(self.world).to_many
            if to_many:
                rows = np.fromiter(to_many, np.int64, len(to_many))
                mine = part.rows(self.world)
                for place in np.flatnonzero(np.isin(mine, rows)).tolist():
                    found[begin + place] = to_many[int(mine[place])]
            begin += part.count
        return found

    # -- fields -------------------------------------------------------------------------------

    def read_field(self, name: str) -> Value:
        if name in _NUMBERS:
            return Value.of(_NUMBERS[name], self.raw(name).astype(np.int64, copy=False))
        if name == "kind":
            return coded(*self.kinds())
        if name == "id":
            return joined_ids(self.world.simulations.field("id").take(self.simulation_rows()), self.raw("seq"))
        if name in ("cause id", "state id"):
            return self._linked_ids(self.raw(name.removesuffix(" id")))
        if name == "role":
            agents, rows = self.link("agent")
            return agents.field("role").take(rows)
        if name == "text":
            lane = self.payload("text").lane(Type.TEXT)
            return Value.missing(self.count) if lane is None else Value(self.count, (lane,))
        if name == "reply_to":
            return self._reply_to()
        if name in (DATA_TEXT, DATA_EXACT):
            return self._read_data_texts(name)
        assert name == "data", f"events have no field {name}"
        return from_objects([data for _, payloads in self.payloads() for data in payloads])

    def data_texts(self, rows: Array | None) -> Texts | None:
        """The data of some rows (all when None) as JSON, made without keeping it; None where it is kept already."""
        if "data" in self._fields:
            return None
        if rows is not None and DATA_TEXT not in self._fields and len(rows) < self.count:
            chosen = np.unique(rows)
            few = EventTable(self.world, Relation.EVENTS, self._narrowed(chosen))
            return few.data_texts(np.searchsorted(chosen, rows))
        texts, exact = self.values(DATA_TEXT, rows), self.values(DATA_EXACT, rows)
        lane = texts.only
        if lane is None:
            return Texts(pa.nulls(texts.count, pa.large_string()), None)
        kept = pa.array(exact.objects(), pa.large_binary()) if exact.lanes else None
        return Texts(lane.spread(texts.count).values, kept)

    def _read_data_texts(self, name: str) -> Value:
        found = json_texts(data for _, payloads in self.payloads() for data in payloads)
        texts = Value.of(Type.TEXT, found.texts)
        exact = Value.missing(self.count) if found.exact is None else from_objects(found.exact.to_pylist())
        self._fields |= {DATA_TEXT: texts, DATA_EXACT: exact}
        return self._fields[name]

    def payloads(self) -> Iterator[tuple[str, Iterable[dict[str, Any]]]]:
        """The data of all rows in their order, those of one kind in one block together."""
        for part in self.parts:
            yield part.kind, self._data(part)

    def has_plain_ids(self) -> bool:
        """Whether events that this one names are there for certain: seqs are dense, unless a part is left out."""
        world = self.world
        return world.cut is None and world.subset is None and not (world.forks.count or world.tables.incomplete_forks)

    def _linked_ids(self, seqs: Array) -> Value:
        simulations = self.simulation_rows()
        is_there = (seqs > 0) & (seqs <= self.world.simulations.array("events")[simulations])
        return joined_ids(self.world.simulations.field("id").take(simulations), seqs).where(is_there)

    def _data(self, part: Part) -> Iterable[dict[str, Any]]:
        payloads = part.open(self.world).payloads(part.kind)
        return payloads if part.places is None else (payloads[place] for place in part.places.tolist())

    def _reply_to(self) -> Value:
        """The id of the cause, when it is a message sent to this one's sender by one of its receivers."""
        cause, rows = self.link("cause")
        assert isinstance(cause, EventTable)
        known = np.flatnonzero(rows >= 0)
        theirs = rows[known]
        to_us = _is_among(cause.receivers(), theirs, self.link("agent").rows[known])
        to_them = _is_among(self.receivers(), known, cause.link("agent").rows[theirs])
        answered = np.full(self.count, -1)
        answered[known] = np.where(to_us & to_them, theirs, -1)
        return cause.field("id").take(answered)

    def read_payload(self, key: str) -> Value:
        return concat(_runs([self._column(part, key) for part in self.parts])) if self.parts else Value.missing(0)

    def _column(self, part: Part, key: str) -> pa.Array | Value:
        found = part.open(self.world).coded(part.kind, key)
        if found is None:
            return Value.missing(part.count)
        return _chosen(found, part.places)

    # -- links --------------------------------------------------------------------------------

    def read_link(self, name: str) -> Linked:
        world, simulations = self.world, self.simulation_rows()
        if name == "simulation":
            return Linked(world.simulations, simulations)
        if name in ("agent", "from"):
            return Linked(world.agents, world.agents.rows_of(simulations, self.raw("agent").astype(np.int64)))
        if name == "goal":
            return Linked(world.goals, world.goals.rows_of(simulations, self.raw("goal")))
        if name in ("cause", "state"):
            return world.events_at(simulations, self.raw(name))
        if name == CONVERSATION_BY_NAME:
            return world.named_conversations(self)
        assert name == "conversation", f"events have no link {name}"
        return world.conversations.of_messages(self)

    def order(self) -> tuple[Array, ...]:
        return self.simulation_rows(), self.raw("seq")

    # -- fewer rows, more rows, no blocks -----------------------------------------------------

    def narrow(self, rows: Array) -> EventTable:
        """A table of only these rows (ascending), with the columns already read."""
        relation = Relation.MESSAGES if self.relation is Relation.MESSAGES else Relation.EVENTS
        table = EventTable(self.world, relation, self._narrowed(rows))
        table._raw = {name: array[rows] for name, array in self._raw.items() if name != "@kind"}
        table._fields = {name: value.take(rows) for name, value in self._fields.items()}
        table._payload = {name: value.take(rows) for name, value in self._payload.items()}
        table._links = {name: Linked(to, found[rows]) for name, (to, found) in self._links.items()}
        if self._receivers is not None:
            starts, counts, agents = self._receivers
            table._receivers = Receivers(starts[rows], counts[rows], agents)
        return table

    def _narrowed(self, rows: Array) -> list[Part]:
        parts: list[Part] = []
        ends = np.cumsum([part.count for part in self.parts])
        cuts = np.concatenate(([0], np.searchsorted(rows, ends)))
        for i, part in enumerate(self.parts):
            if cuts[i + 1] > cuts[i]:
                parts.append(part.narrow(rows[cuts[i] : cuts[i + 1]] - (ends[i] - part.count)))
        return parts

    @contextlib.contextmanager
    def forgetting(self) -> Iterator[None]:
        """What is read in here is not kept, nor what ``data_texts`` gives: for a table that is done with."""
        kept = {name: value for name, value in self._fields.items() if name not in (DATA_TEXT, DATA_EXACT)}
        kept_payload = dict(self._payload)
        yield
        self._fields, self._payload = kept, kept_payload

    def release(self) -> None:
        """Let the blocks go: what was not read yet is read from the log again when asked for."""
        self._rows = None
        for part in self.parts:
            part.block = None

    @classmethod
    def joined(cls, world: World, relation: Relation, tables: Sequence[EventTable]) -> EventTable:
        """The rows of several tables, with the columns that all of them have read."""
        table = cls(world, relation, [part for other in tables for part in other.parts])
        if not tables:
            return table
        for name in set.intersection(*(set(other._raw) for other in tables)) - {"@kind"}:
            table._raw[name] = np.concatenate([other._raw[name] for other in tables])
        for name in set.intersection(*(set(other._fields) for other in tables)) - {"kind"}:
            table._fields[name] = concat([other._fields[name] for other in tables])
        for name in set.intersection(*(set(other._payload) for other in tables)):
            table._payload[name] = concat([other._payload[name] for other in tables])
        for name in set.intersection(*(set(other._links) for other in tables)):
            if len({id(other._links[name].table) for other in tables}) == 1:
                rows = np.concatenate([other._links[name].rows for other in tables])
                table._links[name] = Linked(tables[0]._links[name].table, rows)
        table._receivers = _joined_receivers([other._receivers for other in tables])
        return table


def _joined_receivers(parts: Sequence[Receivers | None]) -> Receivers | None:
    """The receivers of several tables; None when one of them has not read its own."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    shifts = np.cumsum([0, *(len(part.rows) for part in known)])
    starts = [part.starts + shift for part, shift in zip(known, shifts.tolist(), strict=False)]
    return Receivers(
        np.concatenate(starts),
        np.concatenate([part.counts for part in known]),
        np.concatenate([part.rows for part in known]),
    )


def _chosen(found: Field, places: Array | None) -> pa.Array | Value:
    values = found.values
    if isinstance(values, list):
        chosen = values if places is None else [values[place] for place in places.tolist()]
        return from_objects([None if v is MISSING else v for v in chosen])
    return values if places is None else values.take(pa.array(places))


def _runs(columns: Sequence[pa.Array | Value]) -> list[Value]:
    """Columns as values, neighbours of one Arrow type joined first: one conversion instead of thousands."""
    values: list[Value] = []
    run: list[pa.Array] = []
    for column in columns:
        if run and (isinstance(column, Value) or column.type != run[0].type):
            values.append(_from_arrays(run))
            run = []
        if isinstance(column, Value):
            values.append(column)
        else:
            run.append(column)
    if run:
        values.append(_from_arrays(run))
    return values


def _from_arrays(arrays: list[pa.Array]) -> Value:
    if pa.types.is_dictionary(arrays[0].type) and len(arrays) > 1:
        return from_arrow(one_dictionary(arrays))
    return from_arrow(pa.concat_arrays(arrays))


def _is_among(receivers: Receivers, rows: Array, agents: Array) -> Array:
    """Whether the agent is among the receivers of each of these rows."""
    found = np.zeros(len(rows), bool)
    for more in range(int(receivers.counts[rows].max()) if len(rows) else 0):
        has = receivers.counts[rows] > more
        found[has] |= receivers.rows[receivers.starts[rows[has]] + more] == agents[has]
    return found & (agents >= 0)
