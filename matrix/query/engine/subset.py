"""A part of a store: some of its simulations, each up to one of its events.

Whoever watches a store asks again only about simulations with new events, and asks some of them as they were. The
entity tables then hold nothing else (see ``matrix.index.part``); this tells a scan which rows of a block are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matrix.query.engine.value import Array

if TYPE_CHECKING:
    from matrix.log.block import Block


@dataclass(frozen=True, slots=True)
class Subset:
    """Simulations by ascending gid, and the last event that each of them wrote."""

    gids: Array
    last_seqs: Array

    @classmethod
    def of(cls, last_seqs: Mapping[int, int]) -> Subset:
        """From the last event of each simulation."""
        gids = np.array(sorted(last_seqs), np.int64)
        return cls(gids, np.array([last_seqs[gid] for gid in gids.tolist()], np.int64))

    def has(self, block: Block) -> Array:
        """Which rows of a block were written by these simulations."""
        return self._found(block)[0]

    def rows(self, block: Block) -> Array:
        """Which rows of a block are theirs, and not behind their last event."""
        is_here, places = self._found(block)
        if not len(self.gids):
            return is_here
        there: Array = is_here & (block.seq <= self.last_seqs[places])
        return there

    def _found(self, block: Block) -> tuple[Array, Array]:
        """Which rows are theirs, and for those the place of their simulation."""
        writers = block.simulation.astype(np.int64) | block.ref.shard << 32
        if not len(self.gids):
            return np.zeros(block.count, bool), writers
        places = np.minimum(np.searchsorted(self.gids, writers), len(self.gids) - 1)
        return self.gids[places] == writers, places
