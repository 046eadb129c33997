"""Conversations as a table. Nothing records them; they are found by reading all messages once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matrix.query.engine.events import EventTable
from matrix.query.engine.frame import Linked, Table
from matrix.query.engine.threads import Threads
from matrix.query.engine.value import Array, Type, Value, plain
from matrix.query.syntax import Relation

if TYPE_CHECKING:
    from matrix.query.engine.world import World


class Conversations(Table):
    """One row per set of agents that talk, with counts, times and changes of speaker of its messages."""

    relation = Relation.CONVERSATIONS

    def __init__(self, world: World, messages: EventTable) -> None:
        self._threads = Threads.of(messages)
        super().__init__(self._threads.count)
        self.world = world
        self._messages = messages
        self._members: tuple[Array, Array] | None = None
        self._numbers: dict[str, Array] = {}
        self._summarize(messages)

    def _summarize(self, messages: EventTable) -> None:
        threads = self._threads.numbers(messages)
        self._known = Linked(self, threads)  # of the messages that this was made of, which are asked for most
        order = np.lexsort((messages.raw("seq"), threads))
        threads = threads[order]
        counts = np.bincount(threads, minlength=self.count)
        firsts = np.cumsum(counts) - counts
        times, speakers = messages.raw("time")[order], messages.raw("agent")[order]
        changes = (speakers[1:] != speakers[:-1]) & (threads[1:] == threads[:-1])
        self._numbers = {
            "messages": counts,
            "turns": 1 + np.bincount(threads[1:][changes], minlength=self.count),
            "start": times[firsts],
            "end": times[firsts + counts - 1],
            "first_seq": messages.raw("seq")[order][firsts],
        }
        self._numbers["duration"] = self._numbers["end"] - self._numbers["start"]
        self._simulations: Array = messages.simulation_rows()[order][firsts]

    def of_messages(self, messages: EventTable) -> Linked:
        """The conversation of each message; -1 for an event sent to nobody."""
        if messages is self._messages:
            return self._known
        return Linked(self, self._threads.numbers(messages))

    def members(self) -> tuple[Array, Array]:
        """All (agent row, conversation row) pairs of agents that take part."""
        if self._members is None:
            self._members = self._threads.members()
        return self._members

    def simulation_rows(self) -> Array:
        """The row of each conversation's simulation."""
        return self._simulations

    def read_field(self, name: str) -> Value:
        if name in ("start", "end", "duration"):
            return Value.of(Type.DURATION, self._numbers[name].astype(np.int64))
        if name in ("turns", "messages"):
            return Value.of(Type.INT, self._numbers[name].astype(np.int64))
        assert name in ("id", "agents"), f"conversations have no field {name}"
        ids = self._ids(self.world.agents)
        if name == "agents":
            return Value.of(Type.TEXT, self._threads.texts(ids, np.arange(self.count), ", "))
        runs = self._ids(self.world.simulations).take(pa.array(self._simulations))
        names = self._threads.texts(ids, np.arange(self.count), "+")
        return Value.of(Type.TEXT, pc.binary_join_element_wise(runs, names, "/"))

    def _ids(self, table: Table) -> pa.Array:
        lane = table.field("id").only
        return pa.nulls(table.count, pa.string()) if lane is None else plain(lane.spread(table.count).values)

    def read_payload(self, key: str) -> Value:
        return Value.missing(self.count)

    def read_link(self, name: str) -> Linked:
        if name == "conversation":
            return Linked(self, np.arange(self.count))
        assert name == "simulation", f"conversations have no link {name}"
        return Linked(self.world.simulations, self._simulations)

    def order(self) -> tuple[Array, ...]:
        return self._simulations, self._numbers["start"], self._numbers["first_seq"]
