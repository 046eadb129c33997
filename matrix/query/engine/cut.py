"""A cut: which events of a log are left when it is looked at as it was.

What always holds:

- Of a simulation those events are left whose ``seq`` is below its *end*; with a cut by turn these are the simulation's
  own, and of its agents those up to that turn. Nothing that is left has a cause, goal or state behind it.
- Ends are by simulation of the whole index (its *writers*), since blocks are read that others share; a simulation of
  which nothing is left is none of the query's.
- A fork's events are those it shares and its own. What it shares is left for it as long as its end allows it, whatever
  is left of who wrote them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from matrix.query.engine.value import INT64_MAX, Array

if TYPE_CHECKING:
    from matrix.log.block import Block
    from matrix.query.engine.entities import Entities, Simulations
    from matrix.query.engine.forks import Forks
    from matrix.query.engine.scan import Zone

FOREVER: Final = INT64_MAX  # the end of a simulation of which everything is left


@dataclass(frozen=True)
class Cut:
    """What is left of each simulation of ``whole``: the events before ``ends``; by ``turn`` if it is not None."""

    whole: Entities
    ends: Array
    is_left: Array  # of which simulations there is anything
    turn: int | None = None

    @property
    def writers(self) -> Simulations:
        """All simulations of the index."""
        return self.whole.simulations

    @property
    def is_whole(self) -> bool:
        """Whether everything is left, and there is anything."""
        return bool(len(self.ends)) and bool((self.ends == FOREVER).all())

    @cached_property
    def rows(self) -> Array:
        """Those of which something is left, ascending: their rows among the writers."""
        return np.flatnonzero(self.is_left)

    @cached_property
    def numbers(self) -> Array:
        """For each writer its place among those of which something is left, or -1."""
        numbers = np.cumsum(self.is_left) - 1
        return np.where(self.is_left, numbers, -1)

    def forks(self) -> Forks:
        """What forks share, as far as it is left for them; owners are places among the simulations left."""
        forks = self.whole.forks
        lasts = forks.lasts
        if self.turn is None:
            lasts = np.minimum(lasts, self.ends[forks.owners] - 1)
        is_left = self.is_left[forks.owners] & (forks.firsts <= lasts)
        return replace(forks, owners=self.numbers[forks.owners], lasts=lasts)[is_left]

    # -- blocks -------------------------------------------------------------------------------

    def may_have(self, zone: Zone) -> bool:
        """Whether a block can hold events that are left for who wrote them."""
        low, high = writers_in(self.writers, zone)
        is_left = self.is_left[low:high]
        if self.turn is not None:
            return bool(is_left.any())
        return bool((is_left & (self.ends[low:high] > zone.seq_min)).any())

    def has_all(self, zone: Zone) -> bool:
        """Whether everything in a block is left."""
        low, high = writers_in(self.writers, zone)
        return self.turn is None and bool((self.is_left[low:high] & (self.ends[low:high] > zone.seq_max)).all())

    def mask(self, block: Block) -> Array:
        """Which rows of a block are left for who wrote them."""
        writers = self.writers.rows_in_shard(block.ref.shard, block.simulation)
        left: Array = self.is_left[writers] & (block.seq < self.ends[writers])
        if self.turn is None:
            return left
        return np.where(block.agent > 0, block.turn <= self.turn, left)

    def allows(self, simulations: Array, seqs: Array) -> Array:
        """Whether events may be left, of simulations given by their places among those left."""
        if self.turn is not None:
            return np.ones(len(seqs), bool)
        allowed: Array = seqs < self.ends[self.rows[simulations]]
        return allowed


def writers_in(writers: Simulations, zone: Zone) -> tuple[int, int]:
    """The range of simulations (rows) that may have written in a block."""
    gid_min, gid_max = zone.gids()
    low, high = np.searchsorted(writers.array("gid"), [gid_min, gid_max + 1])
    return int(low), int(high)
