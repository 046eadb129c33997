"""Verify: every frame, every checksum, every column of a log; changes nothing.

What always holds: each damage is found once, with its file and byte; a torn tail (which the next writer
cuts) is told apart from corruption (which nobody repairs).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from matrix.errors import FormatError, LogCorrupt, StoreError
from matrix.log.block import Block
from matrix.log.disk import DISK, Disk
from matrix.log.frame import FrameKind
from matrix.log.rows import FIXED_COLUMNS
from matrix.log.segment import Seal, Walk, durable_behind, segment_numbers, segment_path, shard_numbers


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``trouble`` is "corrupt", "torn" (a tail that recovery will cut) or "newer" (format)."""

    trouble: str
    shard: int
    path: Path
    offset: int
    message: str

    def __str__(self) -> str:
        return f"{self.trouble}: {self.path}: at byte {self.offset}: {self.message}"


@dataclass(slots=True)
class ShardReport:
    """What was found in one shard; sizes in bytes. It is sound when ``findings`` is empty."""

    shard: int
    segments: int = 0
    blocks: int = 0
    events: int = 0
    size_bytes: int = 0
    last_position: int = 0
    findings: list[Finding] = field(default_factory=list)


#: One report for each shard, in order of their numbers.
VerifyReport: TypeAlias = list[ShardReport]


def verify_log(log: Path, *, disk: Disk = DISK, progress: Callable[[ShardReport], None] | None = None) -> VerifyReport:
    """Reads everything and reports shard by shard; ``progress`` is called after each segment.

    >>> [report.findings for report in verify_log(Path("runs/log"))]      # doctest: +SKIP
    [[]]
    """
    return [_verify_shard(disk, log, shard, progress) for shard in shard_numbers(disk, log)]


def _verify_shard(disk: Disk, log: Path, shard: int, progress: Callable[[ShardReport], None] | None) -> ShardReport:
    report = ShardReport(shard)
    try:
        numbers = segment_numbers(disk, log, shard)
    except LogCorrupt as error:
        report.findings.append(Finding("corrupt", shard, error.path, error.offset, error.expected))
        return report
    before: Walk | None = None
    for number in numbers:
        path = segment_path(log, shard, number)
        try:
            walk = _walk(disk, path, report)
            _check_end(walk, report, is_last=number == numbers[-1])
            _check_link(walk, before, shard, number)
            before = walk
        except LogCorrupt as error:
            report.findings.append(Finding("corrupt", shard, error.path, error.offset, error.expected))
            before = None
        except (StoreError, OSError) as error:
            trouble = "newer" if isinstance(error, FormatError) else "corrupt"
            report.findings.append(Finding(trouble, shard, path, 0, str(error)))
            before = None
        report.segments += 1
        if progress:
            progress(report)
    return report


def _walk(disk: Disk, path: Path, report: ShardReport) -> Walk:
    file = disk.open(path)
    report.size_bytes += file.id().size
    walk = Walk(file, path, with_digest=True)
    listed: list[tuple[int, int, int]] = []
    for frame in walk.frames():
        if frame.header.kind == FrameKind.EVENTS:
            verify_block(walk.block(frame))
            listed.append((frame.offset, frame.length, frame.header.events))
            report.events += frame.header.events
            report.blocks += 1
    report.last_position = max(report.last_position, walk.place.position)
    if walk.seal:
        _check_directory(walk.seal, listed, path, walk)
    return walk


def verify_block(block: Block) -> None:
    """Decodes every column; ``LogCorrupt`` when one does not decode or contradicts the header."""
    for name in (*FIXED_COLUMNS, "kind", "to", "to_many"):
        getattr(block, name)
    if (int(block.positions.min()), int(block.positions.max())) != (block.first_position, block.last_position):
        raise block.corrupt("its positions are not those of its header")
    for kind in block.kinds:
        block.kind_rows(kind)
        for name in block.fields(kind):
            block.field(kind, name)


def _check_directory(seal: Seal, listed: list[tuple[int, int, int]], path: Path, walk: Walk) -> None:
    if [(entry.offset, entry.length, entry.events) for entry in seal.blocks] != listed:
        raise LogCorrupt(path, walk.place.offset, "the directory in the seal does not list the blocks that are there")


def _check_end(walk: Walk, report: ShardReport, *, is_last: bool) -> None:
    good = walk.group_start or walk.place
    if not is_last and walk.seal is None:
        trouble = walk.trouble or "the segment is cut off; it has a successor, so it was sealed"
        raise LogCorrupt(walk.path, walk.place.offset, trouble)
    if not walk.trouble and not walk.group_start:
        return
    durable = max(walk.durable, durable_behind(walk.file, salt=walk.salt, offset=walk.place.offset))
    if walk.seal or durable > good.position:
        raise LogCorrupt(walk.path, walk.place.offset, f"{walk.trouble}; durable up to position {durable}")
    trouble = walk.trouble or "a transaction is open"
    report.findings.append(Finding("torn", report.shard, walk.path, good.offset, trouble))


def _check_link(walk: Walk, before: Walk | None, shard: int, number: int) -> None:
    head = walk.head
    if (head.shard, head.segment) != (shard, number):
        raise LogCorrupt(walk.path, 0, f"this is segment {head.segment} of shard {head.shard}")
    if before is None or before.seal is None:
        return
    continues = (before.salt, before.seal.live_chain, before.seal.last_position + 1)
    if continues != (walk.salt, head.chain, head.first_position):
        raise LogCorrupt(walk.path, 0, "the segment does not continue the one before it")
