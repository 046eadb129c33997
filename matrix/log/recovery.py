"""Recovery: what a writer does to a shard before it appends.

What always holds: nothing known durable is ever cut. Let D be the highest watermark in the segment.
Damage at or below D, in a sealed segment, a missing segment or a broken chain is corruption: reported,
never touched. Beyond D it is a torn tail: a copy is kept beside the segment (``.torn``), the segment is
cut behind its last good frame, and the cut is told to the diagnostics.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from matrix.errors import LogCorrupt
from matrix.limits import FRAME_BYTES_MAX
from matrix.log.disk import Disk, File, write_all
from matrix.log.frame import Frame, FrameKind
from matrix.log.segment import BlockEntry, Place, Walk, durable_behind, read_seal, segment_numbers, segment_path

_DIAGNOSTICS = logging.getLogger("matrix.log")


@dataclass(slots=True)
class Tail:
    """Where a shard ends: the newest segment, open for writing and good up to ``walk.place``.

    ``blocks`` are those of this segment; ``simulations`` is the highest ordinal in the shard.
    """

    number: int
    file: File
    walk: Walk
    blocks: list[BlockEntry]
    simulations: int
    torn_bytes: int = 0


def recover(disk: Disk, log: Path, shard: int) -> Tail | None:
    """Makes a shard ready to be appended to; None when it has no segment yet. Call it with the shard's lock held."""
    numbers = segment_numbers(disk, log, shard)
    _remove_leftovers(disk, segment_path(log, shard, len(numbers) or 1).parent)
    if not numbers:
        return None
    path = segment_path(log, shard, numbers[-1])
    file = disk.open(path, writable=True)
    # What is read may still be in the cache alone, also behind a close or a seal: the process may have died before
    # its sync. And after a failed sync the cache may show what the disk does not hold: believe only the disk.
    file.sync()
    file.forget()
    tail = _walk_tail(file, path, shard, numbers[-1])
    _check_link(disk, log, shard, tail)
    if tail.walk.trouble or tail.walk.group_start:
        _cut_torn_tail(disk, tail)
    return tail


def _remove_leftovers(disk: Disk, folder: Path) -> None:
    """A segment that was being prepared and never got its name holds no events."""
    for name in disk.names(folder):
        if name.endswith(".seg.new"):
            disk.remove(folder / name)


def _walk_tail(file: File, path: Path, shard: int, number: int) -> Tail:
    walk = Walk(file, path, with_digest=True)
    tail = Tail(number, file, walk, [], walk.head.simulations)
    pending: list[BlockEntry] = []
    for frame in walk.frames():
        if frame.header.kind == FrameKind.EVENTS:
            pending.append(_entry(frame, walk))
        if walk.group_start is None:
            tail.blocks += pending
            pending = []
    tail.simulations = max([tail.simulations, *(block.simulation_last for block in tail.blocks)])
    return tail


def _entry(frame: Frame, walk: Walk) -> BlockEntry:
    header, span = frame.header, walk.block(frame).bounds("simulation")
    return BlockEntry(frame.offset, frame.length, header.events, header.first, header.last, *span)


def _check_link(disk: Disk, log: Path, shard: int, tail: Tail) -> None:
    """The newest segment must continue the one before it, which must be sealed."""
    path = segment_path(log, shard, tail.number)
    head = tail.walk.head
    if (head.shard, head.segment) != (shard, tail.number):
        raise LogCorrupt(path, 0, f"this is segment {head.segment} of shard {head.shard}")
    if tail.number == 1:
        return
    before = segment_path(log, shard, tail.number - 1)
    file = disk.open(before)
    seal = read_seal(file, before)
    if seal is None:
        raise LogCorrupt(before, file.id().size, "a segment that has a successor is not sealed")
    if seal.last_position + 1 != head.first_position or seal.live_chain != head.chain:
        raise LogCorrupt(path, 0, "the segment does not continue the one before it")


def _cut_torn_tail(disk: Disk, tail: Tail) -> None:
    walk = tail.walk
    good = walk.group_start or walk.place
    durable = max(walk.durable, durable_behind(tail.file, salt=walk.salt, offset=walk.place.offset))
    if durable > good.position:
        raise LogCorrupt(
            walk.path,
            walk.place.offset,
            f"{walk.trouble or 'a transaction is cut off'}; positions {good.position + 1} to {durable} were durable "
            "here. Nothing was changed; the events before can be read",
        )
    size = tail.file.id().size
    _keep_copy(disk, tail.file, walk.path, good, size)
    tail.file.truncate(good.offset)
    tail.file.sync()
    tail.torn_bytes = size - good.offset
    walk.place, walk.group_start, walk.trouble = good, None, ""
    _rewalk(tail)
    _DIAGNOSTICS.warning(
        "%s: a torn tail of %d bytes behind position %d was cut off", walk.path, tail.torn_bytes, good.position
    )


def _rewalk(tail: Tail) -> None:
    """Walks what is left, so that the running digest covers it and nothing else."""
    tail.walk = Walk(tail.file, tail.walk.path, with_digest=True)
    for _ in tail.walk.frames():
        pass
    assert not tail.walk.trouble, "what is left of a segment after its torn tail is cut is whole"


def _keep_copy(disk: Disk, file: File, path: Path, good: Place, size: int) -> None:
    """The bytes to be cut, beside the segment: for whoever wants to look. At most one frame's worth and a bit."""
    copy = disk.create(path.with_name(f"{path.name}.{good.offset}.torn"))
    data = file.read(min(size - good.offset, 2 * FRAME_BYTES_MAX), good.offset)
    write_all(copy, data, 0)
    copy.sync()
    copy.close()
