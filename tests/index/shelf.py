"""A log in memory behind the reader's interface: blocks are packed and decoded for real, files are not.

So thousands of logs a minute can be followed in any steps, with blocks cut anywhere and segments compacted at
any time; the tests with a real log are in test_faults.py and test_processes.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from matrix.event import Event
from matrix.log.block import Block, BlockRef
from matrix.log.pack import pack
from matrix.log.reader import StaleBlock
from matrix.log.rows import rows_from_events
from matrix.log.segment import BlockEntry


class Info(NamedTuple):
    """A segment as the reader describes it."""

    number: int
    generation: int
    first_position: int
    last_position: int
    is_sealed: bool
    size_bytes: int
    blocks: tuple[BlockEntry, ...] = ()
    inode: int = 0


@dataclass
class Segment:
    """Events with their positions, cut into blocks."""

    number: int
    blocks: list[list[tuple[int, Event]]] = field(default_factory=list)
    generation: int = 0


@dataclass
class Shelf:
    """Shards of segments; ``append`` adds a block, ``roll`` a segment, ``compact`` rewrites one."""

    log: dict[int, list[Segment]] = field(default_factory=dict)

    def append(self, shard: int, events: Sequence[Event]) -> None:
        """Commit the events as one block."""
        segments = self.log.setdefault(shard, [Segment(1)])
        last = self.last_position(shard)
        segments[-1].blocks.append([(last + place, event) for place, event in enumerate(events, 1)])

    def roll(self, shard: int) -> None:
        """Begin the next segment, if the newest holds anything."""
        segments = self.log[shard]
        if segments[-1].blocks:
            segments.append(Segment(segments[-1].number + 1))

    def compact(self, shard: int, number: int, block_events: int) -> None:
        """Cluster a segment by simulation, in blocks of ``block_events``."""
        segment = self.log[shard][number - 1]
        rows = sorted((row for block in segment.blocks for row in block), key=lambda row: (row[1].simulation, row[0]))
        segment.blocks = [rows[at : at + block_events] for at in range(0, len(rows), block_events)]
        segment.generation += 1

    def last_position(self, shard: int) -> int:
        """The newest position of a shard."""
        return max((row[0] for segment in self.log[shard] for block in segment.blocks for row in block), default=0)

    # -- the reader's interface ---------------------------------------------------------------

    def shards(self) -> list[int]:
        """Every shard's number."""
        return sorted(self.log)

    def segments(self, shard: int) -> list[Info]:
        """Every segment that holds anything."""
        found, last = [], 0
        for segment in self.log.get(shard, ()):
            positions = [row[0] for block in segment.blocks for row in block]
            first, last = min(positions, default=last + 1), max(positions, default=last)
            is_sealed = segment is not self.log[shard][-1]
            size = 100 * len(positions)
            blocks = tuple(_entry(place, rows) for place, rows in enumerate(segment.blocks)) if is_sealed else ()
            found.append(Info(segment.number, segment.generation, first, last, is_sealed, size, blocks))
        return found

    def blocks(self, shard: int, *, after: int = 0) -> Iterator[Block]:
        """Blocks that hold a position beyond ``after``."""
        for segment in self.log.get(shard, ()):
            for place, rows in enumerate(segment.blocks):
                if max(row[0] for row in rows) > after:
                    yield self._block(shard, segment, place)

    def block(self, ref: BlockRef) -> Block:
        """One block by its place."""
        segment = self.log[ref.shard][ref.segment - 1]
        if segment.generation != ref.generation:
            raise StaleBlock(f"segment {ref.segment} was compacted")
        return self._block(ref.shard, segment, ref.offset)

    def _block(self, shard: int, segment: Segment, place: int) -> Block:
        rows = segment.blocks[place]
        positions: Any = np.array([row[0] for row in rows], np.int64)
        payload = pack(rows_from_events([row[1] for row in rows]), positions).payload
        ref = BlockRef(shard, segment.number, segment.generation, place)
        first, last = int(positions.min()), int(positions.max())
        return Block(payload, 0, len(payload), path=Path("shelf"), ref=ref, length=len(payload), first=first, last=last)


def _entry(place: int, rows: list[tuple[int, Event]]) -> BlockEntry:
    positions, ordinals = [row[0] for row in rows], [row[1].simulation for row in rows]
    return BlockEntry(place, 0, len(rows), min(positions), max(positions), min(ordinals), max(ordinals))
