"""Compact: a sealed segment rewritten with its events clustered by simulation, in large blocks under zstd.

What always holds: the new segment holds the same events at the same positions; it takes the old one's
place by one rename, after it was synced and walked; its generation is one higher and its seal carries
the chain value of the original, so its neighbours still fit. A crash leaves the old segment and a
``.tmp`` that nobody reads. Writers never touch sealed segments, and readers of the old file keep it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from matrix.errors import LogCorrupt, StoreError
from matrix.limits import COMPACT_BLOCK_EVENTS_MAX, FIELDS_PER_KIND_MAX, SEGMENT_BYTES_MAX
from matrix.log.block import Block
from matrix.log.cells import Cells, join_cells
from matrix.log.digest import same_cells
from matrix.log.disk import DISK, Disk, File, write_all
from matrix.log.frame import FRAME_PREFIX_BYTES, FrameKind, Header, crc, encode_prefix
from matrix.log.pack import Packed, pack
from matrix.log.references import Kept
from matrix.log.repeats import Repeats
from matrix.log.rows import FIXED_COLUMNS, KindRows, Rows, TooLarge
from matrix.log.segment import (
    BlockEntry,
    Seal,
    SegmentHead,
    Walk,
    read_seal,
    segment_numbers,
    segment_path,
    shard_folder,
    shard_numbers,
)


@dataclass(slots=True)
class CompactReport:
    """What a compaction did: segments rewritten, their events, bytes before and after, and what it left alone."""

    segments: int = 0
    events: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    damaged: list[str] = field(default_factory=list)
    busy_shards: list[int] = field(default_factory=list)


def compact_log(
    log: Path,
    *,
    shard: int | None = None,
    disk: Disk = DISK,
    progress: Callable[[CompactReport], None] | None = None,
    is_stopped: Callable[[], bool] = bool,
) -> CompactReport:
    """Compacts every sealed segment that is not yet, of one shard or of all. May run in any thread.

    A shard that another process compacts at this moment is passed over, a damaged segment left as it is;
    the report names both. ``progress`` is called after each segment. When ``is_stopped`` says so, which is
    asked before each block, the segment under way is given up and the report is of those before it.

    >>> compact_log(Path("runs/log"))                        # doctest: +SKIP
    CompactReport(segments=3, events=4100000, bytes_before=201326592, bytes_after=33554432, ...)
    """
    report = CompactReport()
    for number in shard_numbers(disk, log) if shard is None else [shard]:
        lock = disk.open_lock(shard_folder(log, number) / "compact.lock")
        try:
            if lock.lock():
                _compact_shard(disk, log, number, report, progress, is_stopped)
            else:
                report.busy_shards.append(number)
        except _Stopped:
            break
        finally:
            lock.close()
    return report


class _Stopped(Exception):
    """Somebody wants this to end."""


def _compact_shard(
    disk: Disk,
    log: Path,
    shard: int,
    report: CompactReport,
    progress: Callable[[CompactReport], None] | None,
    is_stopped: Callable[[], bool],
) -> None:
    for number in segment_numbers(disk, log, shard):
        path = segment_path(log, shard, number)
        try:
            found = _read(disk, path)
            if found is None:
                continue
            after = _replace(disk, path, *found, is_stopped)
        except (StoreError, OSError) as error:
            report.damaged.append(str(error))
            continue
        report.segments += 1
        report.events += found[1].events
        report.bytes_before += found[0].place.offset
        report.bytes_after += after
        if progress:
            progress(report)


# -- reading the old --------------------------------------------------------------------------


def _read(disk: Disk, path: Path) -> tuple[Walk, Seal, list[Block]] | None:
    """A sealed segment as it was written, every checksum verified; None when it is active or compacted already."""
    file = disk.open(path)
    if read_seal(file, path) is None:
        return None
    # All blocks are decoded together: what they share must stay one thing, or memory is that of all written out.
    walk = Walk(file, path, with_digest=True, kept=Kept(SEGMENT_BYTES_MAX))
    if walk.head.generation:
        return None
    blocks = []
    for frame in walk.frames():
        if frame.header.kind == FrameKind.EVENTS:
            blocks.append(walk.block(frame))
    if walk.trouble or walk.seal is None:
        raise LogCorrupt(path, walk.place.offset, walk.trouble or "the seal is missing")
    if not blocks or sum(block.count for block in blocks) != walk.seal.events:
        raise LogCorrupt(path, walk.place.offset, "the blocks are not those that the seal lists")
    return walk, walk.seal, blocks


class Clustered:
    """The events of many blocks as one table, its rows ordered by simulation and then as they were written."""

    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        self._simulations: np.ndarray | None = None  # in order
        self.count = sum(block.count for block in blocks)
        self.starts = np.cumsum([0, *(block.count for block in blocks)])
        self.fixed = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in FIXED_COLUMNS}
        self.positions = np.concatenate([block.positions for block in blocks])
        self.to = np.concatenate([block.to for block in blocks])
        self.to_many = {
            int(start) + row: to
            for start, block in zip(self.starts, blocks, strict=False)
            for row, to in block.to_many.items()
        }
        self.kinds = list(dict.fromkeys(kind for block in blocks for kind in block.kinds))
        code_of = {kind: code for code, kind in enumerate(self.kinds)}
        recoded = [np.array([code_of[kind] for kind in block.kinds], np.int64)[block.kind] for block in blocks]
        self.kind = np.concatenate(recoded)
        self.order = np.argsort(self.fixed["simulation"], kind="stable")
        self.rank = np.zeros(self.count, np.int64)  # of an event among those of its kind, as written
        for code in range(len(self.kinds)):
            rows = np.flatnonzero(self.kind == code)
            self.rank[rows] = np.arange(len(rows))
        self._columns = {kind: self._join(kind) for kind in self.kinds}

    def _join(self, kind: str) -> dict[str, Cells] | list[dict[str, object]]:
        holding = [block for block in self._blocks if kind in block.kind_counts]
        fields = list(dict.fromkeys(name for block in holding for name in block.fields(kind)))
        if len(fields) > FIELDS_PER_KIND_MAX:
            return [payload for block in holding for payload in block.payloads(kind)]
        counts = [block.kind_counts[kind] for block in holding]
        return {name: join_cells([block.cells(kind, name) for block in holding], counts) for name in fields}

    def span(self, simulation: int) -> tuple[int, int]:
        """The ordered rows of one simulation: from the first, up to the second (exclusive)."""
        if self._simulations is None:
            self._simulations = self.fixed["simulation"][self.order]
        first, stop = np.searchsorted(self._simulations, (simulation, simulation + 1)).tolist()
        return first, stop

    def rows(self, start: int, stop: int) -> tuple[Rows, np.ndarray]:
        """Ordered rows ``start`` to ``stop`` (exclusive) and their positions."""
        picked = self.order[start:stop]
        kind = self.kind[picked]
        many = self.to_many
        numbered = enumerate(picked.tolist()) if many else ()
        rows = Rows(
            count=len(picked),
            **{name: column[picked] for name, column in self.fixed.items()},
            kinds=self.kinds,
            kind=kind,
            to=self.to[picked],
            to_many={place: many[row] for place, row in numbered if row in many},
            data={int(code): self._payload(int(code), kind, picked) for code in np.unique(kind)},
        )
        return rows, self.positions[picked]

    def _payload(self, code: int, kind: np.ndarray, picked: np.ndarray) -> KindRows:
        rows = np.flatnonzero(kind == code)
        ranks = self.rank[picked[rows]]
        joined = self._columns[self.kinds[code]]
        if isinstance(joined, list):
            return KindRows(rows, payloads=[joined[rank] for rank in ranks.tolist()])
        taken = {name: cells.take(ranks) for name, cells in joined.items()}
        return KindRows(rows, columns={name: cells for name, cells in taken.items() if cells.has_any})

    def difference(self, block: Block, start: int) -> str:
        """The first column in which a block differs from the rows from ``start`` on; "" when there is none."""
        rows, positions = self.rows(start, start + block.count)
        for name in (*FIXED_COLUMNS, "to"):
            if not np.array_equal(getattr(rows, name), getattr(block, name)):
                return name
        if not np.array_equal(positions, block.positions) or rows.to_many != block.to_many:
            return "position or list of receivers"
        if not np.array_equal(np.array(rows.kinds)[rows.kind], np.array(block.kinds)[block.kind]):
            return "kind"
        differing = (name for code, data in rows.data.items() for name in _differing(block, rows.kinds[code], data))
        return next(differing, "")

    def packed(self, offset: int) -> Iterator[tuple[Packed, np.ndarray]]:
        """The whole as payloads of large blocks that stand in a segment from a byte on, each with its positions."""
        repeats = Repeats()
        for start in range(0, self.count, COMPACT_BLOCK_EVENTS_MAX):
            for found in self._packed(start, min(start + COMPACT_BLOCK_EVENTS_MAX, self.count), repeats, offset):
                yield found
                offset += FRAME_PREFIX_BYTES + len(found[0].payload)

    def _packed(self, start: int, stop: int, repeats: Repeats, offset: int) -> Iterator[tuple[Packed, np.ndarray]]:
        rows, positions = self.rows(start, stop)
        try:
            yield pack(rows, positions, is_compact=True, repeats=repeats, offset=offset), positions
        except TooLarge:
            repeats.cut(offset)
            if stop - start == 1:
                raise
            middle = (start + stop) // 2
            for half in ((start, middle), (middle, stop)):
                for found in self._packed(*half, repeats, offset):
                    yield found
                    offset += FRAME_PREFIX_BYTES + len(found[0].payload)


def _differing(block: Block, kind: str, data: KindRows) -> Iterator[str]:
    """The payload fields of a kind that are not in a block as they were."""
    if data.payloads is not None:
        if repr(block.payloads(kind)) != repr(data.payloads):  # so that NaN is NaN
            yield f"payload of {kind}"
        return
    columns = data.columns or {}
    for name in dict.fromkeys([*columns, *block.fields(kind)]):
        expected, found = columns.get(name), block.cells(kind, name)
        if expected is None or found is None or not same_cells(expected, found):
            yield f"{kind}.{name}"


# -- writing the new --------------------------------------------------------------------------


def _replace(
    disk: Disk, path: Path, walk: Walk, seal: Seal, blocks: list[Block], is_stopped: Callable[[], bool]
) -> int:
    """Writes the compacted segment and puts it in place; returns its size in bytes."""
    prepared = path.with_name(path.name + ".tmp")
    file = disk.create(prepared)
    try:
        clustered = Clustered(blocks)
        size = _write(file, walk, seal, clustered, is_stopped)
        file.sync()
        _check(file, prepared, seal, clustered)
    except BaseException:
        disk.remove(prepared)
        raise
    finally:
        file.close()
    disk.rename(prepared, path)
    disk.sync_folder(path.parent)
    return size


def _write(file: File, walk: Walk, seal: Seal, clustered: Clustered, is_stopped: Callable[[], bool]) -> int:
    head = walk.head
    new_head = SegmentHead(
        head.shard, head.segment, 1, head.epoch, head.first_position, head.simulations, head.chain, head.required
    )
    frames = _Frames(file, walk, seal)
    before = head.first_position - 1
    frames.write(FrameKind.SEGMENT, new_head.encode(), events=0, first=before, last=before)
    entries = []
    for packed, positions in clustered.packed(frames.offset):
        if is_stopped():
            raise _Stopped
        first, last, offset = int(positions.min()), int(positions.max()), frames.offset
        counted = {"events": packed.events, "first": first, "last": last}
        frames.write(FrameKind.EVENTS, packed.payload, **counted, is_referring=packed.is_referring)
        span = (packed.simulation_first, packed.simulation_last)
        entries.append(BlockEntry(offset, frames.offset - offset, packed.events, first, last, *span))
    last = seal.last_position
    new_seal = Seal(seal.first_position, last, seal.simulations, frames.digest.digest(), seal.live_chain, entries)
    frames.write(FrameKind.SEAL, new_seal.encode(frames.offset), events=0, first=last, last=last)
    return frames.offset


class _Frames:
    """Frames one behind the other into a new file."""

    def __init__(self, file: File, walk: Walk, seal: Seal) -> None:
        self._file, self._walk, self._durable = file, walk, seal.last_position
        self._number, self._chain = 0, walk.head.chain
        self.offset = 0
        self.digest = hashlib.blake2b(digest_size=16)

    def write(
        self, kind: FrameKind, payload: bytes, *, events: int, first: int, last: int, is_referring: bool = False
    ) -> None:
        epoch, salt = self._walk.head.epoch, self._walk.salt
        place = (self._number, epoch, events, first, last, salt, self._durable)
        header = Header(kind, 0, len(payload), *place, crc(payload), is_referring=is_referring)
        prefix, self._chain = encode_prefix(header, self._chain)
        data = prefix + payload
        write_all(self._file, data, self.offset)
        if kind != FrameKind.SEAL:
            self.digest.update(prefix)
        self.offset, self._number = self.offset + len(data), self._number + 1


def _check(file: File, path: Path, seal: Seal, clustered: Clustered) -> None:
    """What was written, read again and compared with the original before it replaces the only copy."""
    walk = Walk(file, path, with_digest=True, kept=Kept(SEGMENT_BYTES_MAX))
    start = 0
    for frame in walk.frames():
        if frame.header.kind == FrameKind.EVENTS:
            block = walk.block(frame)
            if difference := clustered.difference(block, start):
                raise LogCorrupt(path, frame.offset, f"the rewritten segment has another {difference}; it was not used")
            start += block.count
    if walk.trouble or walk.seal is None or walk.seal.events != seal.events or start != seal.events:
        raise LogCorrupt(path, walk.place.offset, walk.trouble or "the rewritten segment lacks events")
