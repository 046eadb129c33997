"""The follower: reads committed blocks beyond the witness and writes rows and witness in one transaction.

What always holds, whoever dies when:

- A witness says up to which position of a shard everything is in the index: rows and witness commit together.
- Several processes may follow at once. Each re-reads the witness inside its transaction; whoever finds that
  another was there first throws its blocks away and starts from the new witness.
- A compacted segment has its events clustered by simulation, so no position in its middle splits what is applied
  from what is not: it is applied as a whole.
- The witness remembers its block, and the block's zone map is compared when following goes on. So an index that
  belongs to another log, or to events that were lost and whose positions have been given anew, is noticed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from matrix.errors import FormatError, IndexAhead, LogCorrupt
from matrix.index import entities, forks, zones
from matrix.index.batch import Batch
from matrix.index.schema import transaction
from matrix.limits import FOLLOW_EVENTS_MAX
from matrix.log.block import BlockRef
from matrix.log.reader import StaleBlock

if TYPE_CHECKING:
    from matrix.log.block import Block
    from matrix.log.reader import LogReader, SegmentInfo


class Witness(NamedTuple):
    """Everything of the shard up to ``position`` is in the index; ``ref`` is the block applied last."""

    position: int
    ref: BlockRef | None


class Mismatch(Exception):
    """The index does not belong to this log; the message says why. Never leaves this room: it leads to a rebuild."""


class _StartAgain(Exception):
    """Another process followed, or a segment was compacted, in the meantime."""


#: By shard, the witness that a follower wrote or compared itself, and the inode of the segment it names.
Checked: TypeAlias = dict[int, tuple[Witness, int]]


def follow(
    connection: sqlite3.Connection,
    reader: LogReader,
    *,
    batch_events: int = FOLLOW_EVENTS_MAX,
    checked: Checked | None = None,
) -> int:
    """Bring the index up to the newest committed block of every shard; returns how many events were applied.

    Who follows again and again, with one connection and one reader, hands over what it has ``checked`` already.
    Raises ``Mismatch`` when the index belongs to another log, ``IndexAhead`` when the log lacks what it knows,
    ``LogCorrupt`` when that is because it is damaged.
    """
    shards = reader.shards()
    for shard in _witnessed(connection):
        if shard not in shards:
            raise IndexAhead(f"the index knows shard {shard}, which the log no longer has: {_CLEAR}")
    checked = {} if checked is None else checked
    return sum(_follow_shard(connection, reader, shard, batch_events, checked) for shard in shards)


_CLEAR = "events were lost; `matrix reindex` accepts the log as it is now"


def _follow_shard(
    connection: sqlite3.Connection, reader: LogReader, shard: int, batch_events: int, checked: Checked
) -> int:
    applied = 0
    while True:
        try:
            witness = read_witness(connection, shard)
            infos = reader.segments(shard)  # after the witness was read: what it covers must be here
            _check_witness(connection, reader, shard, witness, infos, checked)
            changed = _match_segments(connection, reader, shard, witness, infos)
            for group in batches(reader.blocks(shard, after=witness.position), batch_events):
                witness, events = _apply(connection, reader, shard, witness, group, changed)
                applied, changed = applied + events, []
                _note_own(checked, shard, witness, infos)
            if changed:
                _write_segments(connection, shard, witness, changed)
            return applied
        except (_StartAgain, StaleBlock):
            continue


def _note_own(checked: Checked, shard: int, witness: Witness, infos: list[SegmentInfo]) -> None:
    """What was just written needs no comparison; of a segment that was not seen before, the next time makes it."""
    inode = next((info.inode for info in infos if witness.ref and info.number == witness.ref.segment), None)
    if inode is not None:
        checked[shard] = witness, inode


def batches(blocks: Iterable[Block], batch_events: int) -> Iterator[list[Block]]:
    """Blocks that are applied together: at least ``batch_events``, and never part of a compacted segment."""
    waiting: list[Block] = []
    events = 0
    for block in blocks:
        may_cut = not waiting or waiting[-1].ref.generation == 0 or waiting[-1].ref.segment != block.ref.segment
        if events >= batch_events and may_cut:
            yield waiting
            waiting, events = [], 0
        waiting.append(block)
        events += block.count
    if waiting:
        yield waiting


def _apply(
    connection: sqlite3.Connection,
    reader: LogReader,
    shard: int,
    before: Witness,
    group: list[Block],
    changed: list[SegmentInfo],
) -> tuple[Witness, int]:
    """Write the rows of some blocks and of segments that grew, and the witness.

    Returns the new one and how many events it covers more. What can be read is read before others are kept waiting.
    """
    maps = list(map(zones.block_row, group))
    with transaction(connection):
        if read_witness(connection, shard) != before:
            raise _StartAgain
        _write_changed(connection, shard, changed)
        for segment, generation in {(block.ref.segment, block.ref.generation) for block in group}:
            if _generation_of(connection, shard, segment) != generation:
                raise _StartAgain
        position = max(block.last_position for block in group)
        ref = group[-1].ref
        events = 0
        zones.write_rows(connection, maps)
        while group:  # taken off the list, so that what has been applied can be freed
            chunk = [group.pop(0)]
            while group and sum(block.count for block in chunk) < FOLLOW_EVENTS_MAX:
                chunk.append(group.pop(0))
            events += write_batch(connection, reader, Batch(shard, chunk, after=before.position))
        connection.execute(
            "INSERT OR REPLACE INTO witnesses VALUES (?, ?, ?, ?, ?)",
            (shard, position, ref.segment, ref.generation, ref.offset),
        )
    return Witness(position, ref), events


def write_batch(connection: sqlite3.Connection, reader: LogReader, batch: Batch) -> int:
    """Write everything a batch says about entities and catalogue; returns its number of events."""
    if batch.count:
        forks.write(connection, reader, batch)
        entities.write(connection, batch)
    return batch.count


# -- witnesses --------------------------------------------------------------------------------


def _witnessed(connection: sqlite3.Connection) -> list[int]:
    return [shard for (shard,) in connection.execute("SELECT shard FROM witnesses ORDER BY shard")]


def read_witness(connection: sqlite3.Connection, shard: int) -> Witness:
    """How far the index has followed a shard."""
    sql = "SELECT position, segment, generation, offset FROM witnesses WHERE shard = ?"
    row = connection.execute(sql, (shard,)).fetchone()
    return Witness(0, None) if row is None else Witness(row[0], BlockRef(shard, *row[1:]))


def _match_segments(
    connection: sqlite3.Connection, reader: LogReader, shard: int, witness: Witness, infos: list[SegmentInfo]
) -> list[SegmentInfo]:
    """Take over the maps of segments that were compacted; returns those that only grew, or are new."""
    known = zones.known_segments(connection, shard)
    changed = [info for info in infos if known.get(info.number) != zones.segment_row(shard, info)]
    if all(info.number not in known or known[info.number][2] == info.generation for info in changed):
        return changed
    with transaction(connection):
        if read_witness(connection, shard) != witness:
            raise _StartAgain
        known = zones.known_segments(connection, shard)
        for info in infos:
            row = known.get(info.number)
            if row is not None and row[2] != info.generation:
                _take_over(connection, reader, shard, info, witness)
            if row != zones.segment_row(shard, info):
                zones.write_segment(connection, shard, info)
    return []


def _write_segments(connection: sqlite3.Connection, shard: int, witness: Witness, changed: list[SegmentInfo]) -> None:
    """The rows of segments that changed without a new block: one was closed, or sealed."""
    with transaction(connection):
        if read_witness(connection, shard) != witness:
            raise _StartAgain
        _write_changed(connection, shard, changed)


def _write_changed(connection: sqlite3.Connection, shard: int, changed: list[SegmentInfo]) -> None:
    for info in changed:
        if _generation_of(connection, shard, info.number) not in (None, info.generation):
            raise _StartAgain
        zones.write_segment(connection, shard, info)


def _take_over(
    connection: sqlite3.Connection, reader: LogReader, shard: int, info: SegmentInfo, witness: Witness
) -> None:
    """Replace the block rows of a compacted segment; what it says about entities has not changed."""
    zones.drop_blocks(connection, shard, info.number)
    if info.first_position > witness.position:
        return  # not followed yet: its blocks come with its events
    for block in reader.blocks(shard, after=info.first_position - 1):
        if block.ref.segment != info.number:
            break
        if block.ref.generation != info.generation:
            raise _StartAgain
        zones.write_blocks(connection, [block])


def _generation_of(connection: sqlite3.Connection, shard: int, segment: int) -> int | None:
    sql = "SELECT generation FROM segments WHERE shard = ? AND number = ?"
    row = connection.execute(sql, (shard, segment)).fetchone()
    return None if row is None else int(row[0])


def _check_witness(
    connection: sqlite3.Connection,
    reader: LogReader,
    shard: int,
    witness: Witness,
    infos: list[SegmentInfo],
    checked: Checked,
) -> None:
    last = max((info.last_position for info in infos), default=0)
    if witness.position > last:
        _check_alarm(connection, shard, witness)
        for _ in reader.blocks(shard, after=last):
            pass  # a log that ends at damage has lost nothing yet: it says where the damage is
        known = f"the index knows shard {shard} up to position {witness.position}, the log ends at {last}"
        raise IndexAhead(f"{known}: {_CLEAR}")
    if witness.ref is None:
        return
    segment = next((info for info in infos if info.number == witness.ref.segment), None)
    if segment is None or not segment.first_position <= witness.position <= segment.last_position:
        raise Mismatch(f"position {witness.position} of shard {shard} is not in the segment that the index names")
    if segment.generation == witness.ref.generation and checked.get(shard) != (witness, segment.inode):
        _check_block(connection, reader, witness.ref)
        checked[shard] = witness, segment.inode


def _check_alarm(connection: sqlite3.Connection, shard: int, witness: Witness) -> None:
    """Before an alarm: an index whose own maps contradict its witness is damaged, not ahead."""
    sql = "SELECT max(last_position) FROM blocks WHERE shard = ?"
    (mapped,) = connection.execute(sql, (shard,)).fetchone()
    if mapped != witness.position:
        raise Mismatch(f"the index claims position {witness.position} of shard {shard}, its maps end at {mapped}")


def _check_block(connection: sqlite3.Connection, reader: LogReader, ref: BlockRef) -> None:
    """The block applied last must still be the one that the index mapped: its wall times tell logs apart."""
    sql = "SELECT * FROM blocks WHERE shard = ? AND segment = ? AND offset = ?"
    mapped = connection.execute(sql, (ref.shard, ref.segment, ref.offset)).fetchone()
    try:
        found = zones.block_row(reader.block(ref))
    except (LogCorrupt, FormatError):
        found = None  # if it is the log that is damaged, the rebuild finds out and says where
    if mapped is None or mapped != found:
        raise Mismatch(f"byte {ref.offset} of segment {ref.segment} of shard {ref.shard} is not the block it was")
