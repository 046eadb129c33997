"""How many turns an agent had begun when it saw an event that another did.

That is the ``turn`` of its latest own event at or before this one, so its own events of every kind are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matrix.query.engine.events import EventTable
from matrix.query.engine.scan import Needs, Wanted, scan
from matrix.query.engine.value import Array, distinct
from matrix.query.syntax import Relation

if TYPE_CHECKING:
    from matrix.query.engine.world import World


@dataclass(frozen=True, slots=True)
class TurnCounts:
    """The turns of some agents' own events, in order of agent and seq; ``keys`` are ``agent * span + seq``."""

    keys: Array
    span: int
    turns: Array

    @classmethod
    def read(cls, world: World, agents: Array) -> TurnCounts:
        """Of these agents (rows of the agents table)."""
        is_asked = np.zeros(world.agents.count + 1, bool)  # the last one stands for -1
        is_asked[agents] = True

        def keep(table: EventTable) -> Array:
            return np.flatnonzero(is_asked[table.link("agent").rows])

        wanted = Wanted(simulations=distinct(world.agents.link("simulation").rows[agents]))
        table = scan(world, Relation.EVENTS, wanted, keep, needs=Needs(frozenset({"agent", "turn"})))
        seqs = table.raw("seq").astype(np.int64)
        span = int(seqs.max(initial=0)) + 2
        keys = table.link("agent").rows * span + seqs
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], span, table.raw("turn")[order].astype(np.int64))

    def at(self, agents: Array, seqs: Array) -> Array:
        """How many turns each agent had begun by an event; 0 before it did anything."""
        if not len(self.keys):
            return np.zeros(len(agents), np.int64)
        wanted = agents * self.span + np.minimum(seqs, self.span - 1)
        found = np.searchsorted(self.keys, wanted, side="right") - 1
        is_own = (found >= 0) & (self.keys[found] // self.span == agents)
        return np.where(is_own, self.turns[found], 0)

    def newest(self, agents: Array) -> Array:
        """How many turns each agent has begun by its latest event."""
        return self.at(agents, np.full(len(agents), self.span - 1))
