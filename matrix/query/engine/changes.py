"""What was written between two moments of a log, by simulation.

A moment is a vector: for each shard the position up to which everything counts. So is what the index knows (its
witnesses), and what a watch has told.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from matrix.query.engine.value import Array

if TYPE_CHECKING:
    from matrix.log.reader import LogReader
    from matrix.query.engine.scan import Zone

#: By shard, the last position that counts.
Vector: TypeAlias = Mapping[int, int]

_ALL = 2**62  # an event behind all that a simulation has


class News(Protocol):
    """What is known of the moment that an index shows: a round (``matrix.query.round``)."""

    newest: dict[int, int]

    @property
    def connection(self) -> sqlite3.Connection: ...

    @property
    def reader(self) -> LogReader: ...

    def zones_behind(self, first: Vector) -> Sequence[Zone]: ...


def newest(connection: sqlite3.Connection) -> dict[int, int]:
    """The moment that the index shows."""
    return dict(connection.execute("SELECT shard, position FROM witnesses ORDER BY shard").fetchall())


@dataclass(frozen=True, slots=True)
class Changes:
    """The first event of each simulation (by gid) that was written behind one moment, and behind a later one."""

    behind_first: Mapping[int, int]
    behind_second: Mapping[int, int]

    @classmethod
    def read(cls, news: News, first: Vector, second: Vector) -> Changes:
        """From the blocks written behind the first moment; their fixed columns are read, nothing else."""
        if not any(first.values()) and news.newest == dict(second):
            return cls(_own_parts(news.connection), {})
        behind_first: dict[int, int] = {}
        behind_second: dict[int, int] = {}
        for zone in news.zones_behind(first):
            block, shard = news.reader.block(zone.ref), zone.ref.shard
            for vector, found in ((first, behind_first), (second, behind_second)):
                position = vector.get(shard, 0)
                if zone.position_min > position:
                    _note(found, shard, block.simulation, block.seq)
                elif zone.position_max > position:
                    rows = np.flatnonzero(block.positions > position)
                    _note(found, shard, block.simulation[rows], block.seq[rows])
        return cls(behind_first, behind_second)

    @classmethod
    def between(cls, news: News, first: Vector, second: Vector) -> Changes:
        """Likewise, from the blocks of events between the moments alone: good for those who wrote some."""
        behind_first: dict[int, int] = {}
        behind_second: dict[int, int] = {}
        for zone in news.zones_behind(first):
            low, high = first.get(zone.ref.shard, 0), second.get(zone.ref.shard, 0)
            if zone.position_min > high:
                continue
            block, shard = news.reader.block(zone.ref), zone.ref.shard
            rows = np.flatnonzero((block.positions > low) & (block.positions <= high))
            ordinals, seqs = block.simulation[rows], block.seq[rows]
            _note(behind_first, shard, ordinals, seqs)
            last: dict[int, int] = {}
            _note(last, shard, ordinals, -seqs)
            for gid, seq in last.items():
                behind_second[gid] = max(behind_second.get(gid, 0), 1 - seq)
        return cls(behind_first, behind_second)

    def changed(self) -> list[int]:
        """The simulations that wrote something between the two moments, ascending."""
        return sorted(gid for gid, seq in self.behind_first.items() if seq < self.behind_second.get(gid, _ALL))

    def last_seqs(self, gids: list[int], *, at_first: bool) -> dict[int, int]:
        """The last event of some simulations at the first or the second moment; a number behind all for the newest."""
        behind = self.behind_first if at_first else self.behind_second
        return {gid: behind.get(gid, _ALL) - 1 for gid in gids}

    def has_moved(self, gids: list[int], *, since_first: bool) -> bool:
        """Whether any of these wrote something behind a moment, so that the index shows it as it was not then."""
        behind = self.behind_first if since_first else self.behind_second
        return any(gid in behind for gid in gids)


def _own_parts(connection: sqlite3.Connection) -> dict[int, int]:
    """The first event that each simulation of the store wrote itself."""
    sql = """SELECT s.gid, coalesce(max(f.last_seq), 0) + 1 FROM simulations AS s LEFT JOIN forks AS f ON f.gid = s.gid
             GROUP BY s.gid"""
    return dict(connection.execute(sql).fetchall())


def _note(found: dict[int, int], shard: int, ordinals: Array, seqs: Array) -> None:
    """Keep the smallest seq of each simulation."""
    if not len(ordinals):
        return
    if int(ordinals[0]) == int(ordinals[-1]) and bool((ordinals == ordinals[0]).all()):  # most blocks are of one
        gid, seq = shard << 32 | int(ordinals[0]), int(seqs.min())
        found[gid] = min(found.get(gid, seq), seq)
        return
    order = np.lexsort((seqs, ordinals))
    firsts = np.flatnonzero(np.append(True, ordinals[order][1:] != ordinals[order][:-1]))
    for ordinal, seq in zip(ordinals[order][firsts].tolist(), seqs[order][firsts].tolist(), strict=True):
        gid = shard << 32 | ordinal
        found[gid] = min(found.get(gid, seq), seq)
