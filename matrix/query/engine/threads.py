"""Which messages are of one conversation: those of one simulation between one set of agents.

Nearly all messages have one sender and one receiver, so a set of up to two agents is one int64 key and
all of them are told apart at once; larger sets are tuples in a dict. Agents are rows of the agents
table, which tells them apart across simulations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matrix.query.engine.events import EventTable
from matrix.query.engine.frame import expand
from matrix.query.engine.value import Array, distinct

_NOBODY = -1


@dataclass(frozen=True, slots=True)
class Threads:
    """Sets of agents, numbered: first the small ones by key, then the others."""

    keys: Array  # ascending, see _keys
    width: int
    many: dict[tuple[int, ...], int]  # ascending agent rows -> number

    @classmethod
    def of(cls, messages: EventTable) -> Threads:
        """All sets of agents that talk in these messages."""
        width = messages.world.agents.count + 1
        pairs, sets = _participants(messages)
        keys = distinct(_keys(messages, pairs, width)[pairs[0] != _MANY])
        found: dict[tuple[int, ...], int] = {}
        for members in sets.values():
            found.setdefault(members, len(keys) + len(found))
        return cls(keys, width, found)

    @property
    def count(self) -> int:
        return len(self.keys) + len(self.many)

    def numbers(self, messages: EventTable) -> Array:
        """The number of each message's set; -1 for an event sent to nobody."""
        pairs, sets = _participants(messages)
        keys = _keys(messages, pairs, self.width)
        found = np.searchsorted(self.keys, keys)
        for row, members in sets.items():
            found[row] = self.many[members]
        found[messages.receivers().counts == 0] = -1
        return found

    def texts(self, words: pa.Array, numbers: Array, separator: str) -> pa.Array:
        """For each of these sets the words of its agents, in order of agent, joined."""
        keys = np.append(self.keys, -1)[np.minimum(numbers, len(self.keys))]
        low, high = np.divmod(keys, self.width)
        first = words.take(pa.array(low, mask=keys < 0))
        second = words.take(pa.array(high, mask=(keys < 0) | (low == high)))
        # with nulls skipped Arrow 26 forgets rows of which nothing is left, so there are none
        rest = pc.fill_null(pc.binary_join_element_wise(pa.scalar(separator), second, ""), "")
        joined = pc.binary_join_element_wise(pc.fill_null(first, ""), rest, "")
        if not self.many:
            return joined
        members = {number: agents for agents, number in self.many.items()}
        found = joined.to_pylist()
        for place in np.flatnonzero(numbers >= len(self.keys)).tolist():
            found[place] = separator.join(words[agent].as_py() for agent in members[int(numbers[place])])
        return pa.array(found, pa.string())

    def members(self) -> tuple[Array, Array]:
        """All (agent row, number) pairs of agents that take part, by number and then by agent."""
        numbers = np.arange(len(self.keys))
        known = self.keys >= 0
        low, high = np.divmod(self.keys[known], self.width)
        is_two = low != high
        agents = [low, high[is_two]]
        owners = [numbers[known], numbers[known][is_two]]
        for members, number in self.many.items():
            agents.append(np.array(members, np.int64))
            owners.append(np.full(len(members), number))
        rows, of = np.concatenate(agents), np.concatenate(owners)
        order = np.lexsort((rows, of))
        return rows[order], of[order]


_MANY = -2  # in place of the lower agent: more than two take part


def _participants(messages: EventTable) -> tuple[tuple[Array, Array], dict[int, tuple[int, ...]]]:
    """The lower and the higher agent of each message's set (equal for one agent), and the sets of more than two."""
    receivers, senders = messages.receivers(), messages.link("agent").rows
    other = np.full(messages.count, _NOBODY, np.int64)
    single = receivers.counts == 1
    other[single] = receivers.rows[receivers.starts[single]]
    low, high = np.minimum(senders, other), np.maximum(senders, other)
    low = np.where(low == _NOBODY, high, low)
    sets: dict[int, tuple[int, ...]] = {}
    for row in np.flatnonzero(receivers.counts > 1).tolist():
        begin = int(receivers.starts[row])
        everyone = {int(senders[row]), *receivers.rows[begin : begin + int(receivers.counts[row])].tolist()}
        members = tuple(sorted(everyone - {_NOBODY}))
        if len(members) > 2:
            sets[row] = members
            low[row] = _MANY
        else:
            low[row], high[row] = (members[0], members[-1]) if members else (_NOBODY, _NOBODY)
    return (low, high), sets


def _keys(messages: EventTable, pairs: tuple[Array, Array], width: int) -> Array:
    """One number for each set of up to two agents; for nobody at all, one for the simulation."""
    low, high = pairs
    return np.where(high == _NOBODY, -1 - messages.simulation_rows(), low * width + high)


def participants(messages: EventTable) -> tuple[Array, Array]:
    """All (message row, agent row) pairs of senders and receivers, each once."""
    receivers = messages.receivers()
    senders = messages.link("agent").rows
    owners, places = expand(receivers.starts, receivers.counts)
    others = receivers.rows[places]
    rows = np.concatenate([np.arange(messages.count), owners])
    agents = np.concatenate([senders, np.where(others == senders[owners], _NOBODY, others)])
    known = agents >= 0
    rows, agents = rows[known], agents[known]
    if receivers.counts.max(initial=0) < 2:
        return rows, agents
    width = int(agents.max(initial=0)) + 1
    keys = distinct(rows * width + agents)  # a receiver may be named twice
    return np.divmod(keys, width)
