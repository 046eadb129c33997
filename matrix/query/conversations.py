"""Conversations: the messages of one simulation between one set of agents, as a table.

Nothing records them; they are found by reading the senders and receivers of all messages, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .events import EventTable, Receivers
from .frame import Linked, Table, expand
from .syntax import Relation
from .value import Array, Type, Value, from_objects

if TYPE_CHECKING:
    from .world import World


class Conversations(Table):
    """One row per set of agents that talk; ``members`` are rows of the agents table, in order of number."""

    relation = Relation.CONVERSATIONS

    def __init__(
        self, world: World, codes: dict[tuple[int, ...], int], messages: EventTable, threads: Array, order: Array
    ) -> None:
        super().__init__(len(codes))
        self.world = world
        self._codes = codes
        self._simulations = np.empty(len(codes), np.int64)
        self._numbers: dict[str, Array] = {}
        self._summarize(messages, threads, order)

    @classmethod
    def read(cls, world: World) -> Conversations:
        """Find all conversations of the store."""
        messages = world.messages
        codes: dict[tuple[int, ...], int] = {}
        threads = thread_codes(messages, codes)
        order = np.lexsort((messages.raw("seq"), threads))
        return cls(world, codes, messages, threads, order)

    def _summarize(self, messages: EventTable, threads: Array, order: Array) -> None:
        """Counts, times and changes of speaker of each thread, over messages in order of (thread, seq)."""
        sorted_threads = threads[order]
        counts = np.bincount(sorted_threads, minlength=self.count)
        firsts = np.cumsum(counts) - counts
        times, speakers = messages.raw("time")[order], messages.raw("agent")[order]
        changes = (speakers[1:] != speakers[:-1]) & (sorted_threads[1:] == sorted_threads[:-1])
        self._numbers = {
            "messages": counts,
            "turns": 1 + np.bincount(sorted_threads[1:][changes], minlength=self.count),
            "start": times[firsts],
            "end": times[firsts + counts - 1],
            "first_seq": messages.raw("seq")[order][firsts],
        }
        self._numbers["duration"] = self._numbers["end"] - self._numbers["start"]
        self._simulations = messages.simulation_rows()[order][firsts]

    def of_messages(self, messages: EventTable) -> Linked:
        """The conversation of each message; -1 for an event sent to nobody."""
        if messages.relation is Relation.MESSAGES:
            return Linked(self, thread_codes(messages, self._codes))
        sent = np.flatnonzero(messages.raw("to") > 0)
        found = np.full(messages.count, -1, np.int64)
        found[sent] = thread_codes(messages, self._codes)[sent]
        return Linked(self, found)

    def members(self) -> tuple[Array, Array]:
        """All (agent row, conversation row) pairs of agents that take part."""
        pairs = [(agent, row) for members, row in self._codes.items() for agent in members[1:]]
        both = np.array(pairs, np.int64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def simulation_rows(self) -> Array:
        """The row of each conversation's simulation."""
        return self._simulations

    def read_field(self, name: str) -> Value:
        if name in ("start", "end", "duration"):
            return Value.of(Type.DURATION, self._numbers[name].astype(np.int64))
        if name in ("turns", "messages"):
            return Value.of(Type.INT, self._numbers[name].astype(np.int64))
        if name == "agents":
            return from_objects([", ".join(names) for names in self._names()])
        assert name == "id", f"conversations have no field {name}"
        runs = self.world.simulations.field("id").take(self._simulations).objects()
        return from_objects([f"{run}/{'+'.join(names)}" for run, names in zip(runs, self._names(), strict=True)])

    def _names(self) -> list[list[str]]:
        ids = self.world.agents.raw("id")
        return [[ids[row] for row in members[1:]] for members in self._codes]

    def read_payload(self, key: str) -> Value:
        return Value.missing(self.count)

    def read_link(self, name: str) -> Linked:
        if name == "conversation":
            return Linked(self, np.arange(self.count))
        assert name == "simulation", f"conversations have no link {name}"
        return Linked(self.world.simulations, self._simulations)

    def order(self) -> tuple[Array, ...]:
        return self._simulations, self._numbers["start"], self._numbers["first_seq"]


def thread_codes(messages: EventTable, codes: dict[tuple[int, ...], int]) -> Array:
    """The conversation of each message; new ones are added to ``codes``: (simulation, agent rows ascending) -> row."""
    simulations, receivers = messages.simulation_rows(), messages.receivers()
    senders = messages.link("agent").rows
    found = np.full(messages.count, -1, np.int64)
    pairs = np.flatnonzero(receivers.counts == 1)
    if len(pairs):
        other = receivers.rows[receivers.starts[pairs]]
        low, high = np.minimum(senders[pairs], other), np.maximum(senders[pairs], other)
        stacked = np.stack([simulations[pairs], low, high], axis=1)
        distinct, inverse = np.unique(stacked, axis=0, return_inverse=True)
        found[pairs] = np.array([_code(codes, key) for key in distinct.tolist()], np.int64)[inverse.reshape(-1)]
    for row in np.flatnonzero(receivers.counts > 1).tolist():
        begin = int(receivers.starts[row])
        others = receivers.rows[begin : begin + int(receivers.counts[row])].tolist()
        found[row] = _code(codes, [int(simulations[row]), *sorted({int(senders[row]), *others})])
    return found


def _code(codes: dict[tuple[int, ...], int], key: list[int]) -> int:
    simulation, *agents = key
    members = tuple(agent for agent in dict.fromkeys(agents) if agent >= 0)
    return codes.setdefault((simulation, *members), len(codes))


def participants(messages: EventTable) -> tuple[Array, Array]:
    """All (message row, agent row) pairs of senders and receivers, each once."""
    receivers: Receivers = messages.receivers()
    owners, places = expand(receivers.starts, receivers.counts)
    rows = np.concatenate([np.arange(messages.count), owners])
    agents = np.concatenate([messages.link("agent").rows, receivers.rows[places]])
    known = agents >= 0
    pairs = np.unique(np.stack([rows[known], agents[known]], axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]
