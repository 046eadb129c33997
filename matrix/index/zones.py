"""Zone maps: what each block and each segment holds, so that a query opens only what may matter."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from matrix.index.schema import TABLES

if TYPE_CHECKING:
    from matrix.log.block import Block
    from matrix.log.reader import SegmentInfo

_MAPPED = ("simulation", "seq", "time", "wall", "agent")
_BLOCK_INSERT = f"INSERT OR REPLACE INTO blocks VALUES ({', '.join('?' * len(TABLES['blocks']))})"
_SEGMENT_INSERT = f"INSERT OR REPLACE INTO segments VALUES ({', '.join('?' * len(TABLES['segments']))})"


def block_row(block: Block) -> tuple[Any, ...]:
    """The row of ``blocks`` for one block: smallest and largest of its columns, events by kind."""
    bounds: list[int] = []
    for name in _MAPPED:
        bounds += block.bounds(name)
    kinds = json.dumps(dict(sorted(block.kind_counts.items())), ensure_ascii=False, separators=(",", ":"))
    head = (*block.ref, block.length, block.count, block.first_position, block.last_position)
    return (*head, *bounds, kinds)


def write_blocks(connection: sqlite3.Connection, blocks: Iterable[Block]) -> None:
    """Add or replace the rows of these blocks."""
    write_rows(connection, map(block_row, blocks))


def write_rows(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Add or replace rows that ``block_row`` has made."""
    connection.executemany(_BLOCK_INSERT, rows)


def drop_blocks(connection: sqlite3.Connection, shard: int, segment: int) -> None:
    """Forget the blocks of a segment, whose file has been replaced."""
    connection.execute("DELETE FROM blocks WHERE shard = ? AND segment = ?", (shard, segment))


def segment_row(shard: int, info: SegmentInfo) -> tuple[Any, ...]:
    """The row of ``segments`` for one segment."""
    return (
        shard,
        info.number,
        info.generation,
        info.first_position,
        info.last_position,
        int(info.is_sealed),
        info.size_bytes,
    )


def write_segment(connection: sqlite3.Connection, shard: int, info: SegmentInfo) -> None:
    """Add or replace the row of a segment."""
    connection.execute(_SEGMENT_INSERT, segment_row(shard, info))


def known_segments(connection: sqlite3.Connection, shard: int) -> dict[int, tuple[Any, ...]]:
    """The rows of ``segments`` for one shard, by number."""
    rows = connection.execute("SELECT * FROM segments WHERE shard = ?", (shard,))
    return {row[1]: row for row in rows}
