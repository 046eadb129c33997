"""Forks: events that lie in the log once and are of several simulations.

The index says in pieces which events of which other simulation (its *source*) a fork has too. A scan reads a block once
and gives its rows also to the forks that share them; a look-up of single events asks the source's block. A store
without forks has an empty `Forks`, which costs nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matrix.limits import QUERY_BATCH_EVENTS_MAX
from matrix.query.engine.bounds import portions
from matrix.query.engine.events import Part
from matrix.query.engine.frame import expand
from matrix.query.engine.value import Array

if TYPE_CHECKING:
    from matrix.log.block import Block, BlockRef
    from matrix.query.engine.entities import Entities

_SEQ_BITS = 40  # as in the index: no simulation has a longer history


@dataclass(frozen=True, slots=True)
class Forks:
    """Pieces of histories: ``owners`` (simulation rows) have events ``firsts`` to ``lasts`` of ``sources`` (gids).

    They are in order of ``sources``, of which a block's range of simulations cuts a part.
    """

    owners: Array
    firsts: Array
    lasts: Array
    sources: Array

    @classmethod
    def read(cls, connection: sqlite3.Connection, entities: Entities) -> Forks:
        """Those of the whole store, or of the simulations that the tables have."""
        forks = entities.source("forks")
        sql = f"SELECT gid, first_seq, last_seq, source FROM {forks} WHERE source IS NOT NULL ORDER BY source, gid"
        rows = np.array(connection.execute(sql).fetchall(), np.int64).reshape(-1, 4)
        if not len(rows):
            return NO_FORKS
        return cls(entities.simulations.rows_of(rows[:, 0]), rows[:, 1], rows[:, 2], rows[:, 3])

    @property
    def count(self) -> int:
        return len(self.owners)

    def __getitem__(self, places: Array | slice) -> Forks:
        return Forks(self.owners[places], self.firsts[places], self.lasts[places], self.sources[places])

    def of(self, simulations: Array | None) -> Forks:
        """The pieces of some simulations (ascending rows; None: all)."""
        if simulations is None or not self.count:
            return self
        return self[np.isin(self.owners, simulations)]

    def within(self, gid_min: int, gid_max: int, seq_min: int, seq_max: int) -> Forks:
        """The pieces that may lie in a block with events within these bounds."""
        low, high = np.searchsorted(self.sources, [gid_min, gid_max + 1])
        near = self[low:high]
        return near[(near.firsts <= seq_max) & (near.lasts >= seq_min)] if near.count else near

    def parts(self, ref: BlockRef, kind: str, block: Block, chosen: Array | None) -> Iterator[Part]:
        """Rows of one kind in a block as events of the forks that share them, so many at once as a scan may hold.

        ``chosen`` are the places, among the block's rows of that kind, of those wanted; None: all.
        """
        rows = block.kind_rows(kind)
        sources, codes = np.unique(self.sources & 0xFFFF_FFFF, return_inverse=True)
        places = np.arange(len(rows)) if chosen is None else chosen
        simulations = block.simulation[rows[places]]
        found = np.minimum(np.searchsorted(sources, simulations), len(sources) - 1)
        is_shared = sources[found] == simulations
        places = places[is_shared]
        keys = found[is_shared] << _SEQ_BITS | block.seq[rows[places]].astype(np.int64)
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], codes << _SEQ_BITS | self.firsts)
        counts = np.searchsorted(keys[order], codes << _SEQ_BITS | self.lasts, side="right") - starts
        for few in portions(counts, QUERY_BATCH_EVENTS_MAX):
            owners, shared = expand(starts[few], counts[few])
            if len(shared):
                yield Part(ref, kind, len(shared), places[order[shared]], block, self.owners[few][owners])

    def sources_of(self, simulations: Array, seqs: Array) -> Array:
        """For events given by simulation row and seq, the gid in whose part of the log they lie; -1: the own one."""
        order = np.lexsort((self.lasts, self.owners))
        span = int(max(self.lasts.max(), seqs.max(initial=0))) + 1
        keys = self.owners[order] * span + self.lasts[order]
        found = order[np.minimum(np.searchsorted(keys, simulations * span + seqs), len(order) - 1)]
        is_shared = (self.owners[found] == simulations) & (self.firsts[found] <= seqs) & (seqs <= self.lasts[found])
        return np.where(is_shared, self.sources[found], -1)


_NOTICES_MAX = 3


def incomplete(connection: sqlite3.Connection, entities: Entities) -> list[str]:
    """A notice for each fork whose parent's events are not in the log: it has only its own."""
    forks, simulations = entities.source("forks"), entities.source("simulations")
    sql = f"""SELECT s.id, s.parent, f.last_seq FROM {forks} AS f JOIN {simulations} AS s ON s.gid = f.gid
             WHERE f.source IS NULL ORDER BY f.gid"""
    found = [
        f"fork {id} has only its own events: 1 to {last:,} of {parent or 'its parent'} are not in the log"
        for id, parent, last in connection.execute(sql)
    ]
    more = len(found) - _NOTICES_MAX
    return found if more <= 0 else [*found[:_NOTICES_MAX], f"{more:,} more forks have only their own events"]


_NO_ROWS = np.empty(0, np.int64)
NO_FORKS = Forks(_NO_ROWS, _NO_ROWS, _NO_ROWS, _NO_ROWS)
