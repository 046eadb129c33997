"""Reader: committed blocks of every shard, while writers write and segments are compacted.

What always holds: a reader takes no lock and changes no file; it returns a block only when its checksums
match and its transaction is whole; what is not whole at the end of the newest segment is "not yet", and
anywhere else ``LogCorrupt``. One reader may be used from several threads.

A walk (``blocks``) verifies all that it reads. Who asks for single blocks (``block``: queries) has each verified when
this reader first reads it; the bytes of a sealed segment never change, so of such a block its directory is
remembered, and from then on only the columns asked for are read. What decays on the disk under a reader that was
there before is found by the next walk (``verify``, a compaction, a replay), not by a query.

Who follows a log that grows reads the same few blocks several times within milliseconds: to index them, to see who
wrote, to answer. So the newest small ones that a walk has read stay decoded.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from matrix.errors import LogCorrupt, StoreError
from matrix.event import Event
from matrix.limits import DIRECTORIES_KEPT_MAX, RECENT_BLOCKS_KEPT_MAX, RECENT_EVENTS_KEPT_MAX
from matrix.log.block import Block, BlockRef, Directory, block_of
from matrix.log.disk import DISK, Disk, File, FileId
from matrix.log.frame import FRAME_PREFIX_BYTES, FrameKind
from matrix.log.references import Kept, References
from matrix.log.segment import (
    BlockEntry,
    Place,
    Seal,
    Walk,
    durable_behind,
    read_block,
    read_seal,
    references_in,
    segment_numbers,
    segment_path,
    shard_numbers,
)

_OPEN_FILES_MAX: Final = 64
_PLACE_EVERY_BYTES: Final = 256 * 1024  # how densely a reader remembers places in a segment that grows
_ENDS_KEPT: Final = 8  # places at which the newest walks ended: the next one mostly begins at one of them


class StaleBlock(StoreError):
    """The segment was compacted since the reference was made: plan again from the new generation."""


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """One segment as it lies; ``blocks`` is its directory, empty while it is active."""

    shard: int
    number: int
    path: Path
    generation: int
    first_position: int
    last_position: int
    is_sealed: bool
    size_bytes: int
    blocks: tuple[BlockEntry, ...]
    inode: int


@dataclass(slots=True)
class _Known:
    """What a reader remembers of a segment: valid while the path holds the same file (sealed) or it only grew."""

    id: FileId
    generation: int
    salt: int
    first_position: int
    chain: int
    seal: Seal | None
    places: list[Place]
    ends: deque[Place] = field(default_factory=lambda: deque(maxlen=_ENDS_KEPT))


class _Recent:
    """The blocks that walks of active segments have read last, as many as are small together; for any thread."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[BlockRef, Block] = OrderedDict()
        self._events = 0
        self._lock = threading.Lock()

    def get(self, ref: BlockRef) -> Block | None:
        return self._blocks.get(ref)

    def add(self, block: Block) -> None:
        with self._lock:
            if block.ref in self._blocks or block.count > RECENT_EVENTS_KEPT_MAX:
                return
            self._blocks[block.ref] = block
            self._events += block.count
            while self._events > RECENT_EVENTS_KEPT_MAX or len(self._blocks) > RECENT_BLOCKS_KEPT_MAX:
                self._events -= self._blocks.popitem(last=False)[1].count

    def clear(self) -> None:
        with self._lock:
            self._blocks.clear()
            self._events = 0


class _Columns:
    """Reads single columns of a block's payload, which begins at ``base``."""

    __slots__ = ("_base", "_file", "_path")

    def __init__(self, file: File, base: int, path: Path) -> None:
        self._file, self._base, self._path = file, base, path

    def __call__(self, start: int, size: int) -> bytes:
        try:
            return self._file.read(size, self._base + start)
        except OSError as error:
            raise StoreError(f"{self._path}: the segment cannot be read: {error}") from error


class LogReader:
    """Reads the log of a store.

    >>> reader = LogReader(Path("runs/log"))                 # doctest: +SKIP
    >>> for block in reader.blocks(1, after=cursor):         # doctest: +SKIP
    ...     cursor = max(cursor, block.last_position)
    """

    def __init__(self, log: Path, disk: Disk = DISK) -> None:
        self._log, self._disk = Path(log), disk
        self._known: dict[tuple[int, int], _Known] = {}
        self._files: OrderedDict[tuple[int, int, int], File] = OrderedDict()
        self._files_lock = threading.Lock()
        self._directories: dict[BlockRef, Directory] = {}  # of blocks in sealed segments, verified
        self._newest: dict[int, int] = {}  # a segment of each shard: all before it are sealed
        self._recent = _Recent()
        self._kept = Kept()  # values that blocks refer to
        self._referred: OrderedDict[BlockRef, References] = OrderedDict()  # of segments, named by their byte 0

    def close(self) -> None:
        """Forgets all files."""
        with self._files_lock:
            self._files.clear()
        self._directories.clear()
        self._forget_decoded()

    def shards(self) -> list[int]:
        """Numbers of the shards, ascending: ``[1, 2]``."""
        return shard_numbers(self._disk, self._log)

    def segments(self, shard: int) -> list[SegmentInfo]:
        """The shard's segments in order. Only the last may be active; ``LogCorrupt`` when another is not sealed."""
        numbers = segment_numbers(self._disk, self._log, shard)
        return [self._info(shard, number, is_last=number == numbers[-1]) for number in numbers]

    def blocks(self, shard: int, *, after: int = 0) -> Iterator[Block]:
        """Every committed block that holds a position behind ``after``, in stored order, up to the newest.

        The end of what is written so far ends the iteration and is no error: ask again later. Blocks of
        a compacted segment are clustered by simulation: they overlap in positions, may hold some that are not
        behind ``after``, and only the end of such a segment moves a cursor (to its ``last_position``).
        """
        try:
            yield from self._blocks(shard, after)
        except OSError as error:
            raise StoreError(f"{self._log}: shard {shard} cannot be read: {error}") from error

    def _blocks(self, shard: int, after: int) -> Iterator[Block]:
        number, newest = 0, after
        for number in segment_numbers(self._disk, self._log, shard):
            for block in self._blocks_of(shard, number, after):
                newest = max(newest, block.last_position)
                yield block
        # A roll may have happened meanwhile: then what looked like the end was not. The segment that was the last may
        # have grown before it was sealed, so it is read on from where it seemed to end, before the next.
        while number and number < len(segment_numbers(self._disk, self._log, shard)):
            for again_or_next in (number, number + 1):
                for block in self._blocks_of(shard, again_or_next, newest):
                    newest = max(newest, block.last_position)
                    yield block
            number += 1

    def block(self, ref: BlockRef) -> Block:
        """The block at a place that an index or ``Block.ref`` remembers; ``StaleBlock`` when it was compacted since."""
        recent = self._recent.get(ref)
        if recent is not None:
            return recent
        path = segment_path(self._log, ref.shard, ref.segment)
        try:
            file, known = self._file(ref), self._directories.get(ref)
            if known is not None:
                references = self._references(file, path, ref) if known.is_referring else None
                return Block.known(known, _Columns(file, ref.offset + FRAME_PREFIX_BYTES, path), path, ref, references)
            block = read_block(file, path, ref, self._references(file, path, ref))
            if self._is_sealed(ref):
                self._keep(block)
            return block
        except OSError as error:
            raise StoreError(f"{path}: the segment cannot be read: {error}") from error

    def _keep(self, block: Block) -> None:
        """Remember a directory; where there are too many the newest gives way: the next scan begins with the oldest."""
        with self._files_lock:
            while len(self._directories) >= DIRECTORIES_KEPT_MAX:
                self._directories.popitem()
            self._directories[block.ref] = block.directory

    def _is_sealed(self, ref: BlockRef) -> bool:
        if ref.generation:
            return True
        if ref.segment >= self._newest.get(ref.shard, 0):
            self._newest[ref.shard] = segment_numbers(self._disk, self._log, ref.shard)[-1]
        return ref.segment < self._newest[ref.shard]

    def simulation_events(self, shard: int, ordinal: int) -> Iterator[Event]:
        """All events of one simulation, in ``seq`` order; of a fork, also those that it shares with its parent."""
        from matrix.log.history import History  # which reads through this class

        return History(self, shard, ordinal).events()

    def make_durable(self, shard: int) -> None:
        """Have what a shard holds by now reach the disk, whoever writes it: before something else relies on it."""
        newest = segment_numbers(self._disk, self._log, shard)[-1]  # those before it were synced when they were sealed
        file = self._disk.open(segment_path(self._log, shard, newest))
        try:
            file.sync()
        finally:
            file.close()

    # -- segments -----------------------------------------------------------------------------

    def _info(self, shard: int, number: int, *, is_last: bool) -> SegmentInfo:
        path = segment_path(self._log, shard, number)
        known = self._knowledge(shard, number)
        if known.seal is None and not is_last:
            known = self._knowledge(shard, number)  # it may have been sealed between two looks
            if known.seal is None:
                raise LogCorrupt(path, known.id.size, "a segment that has a successor is not sealed")
        last = known.seal.last_position if known.seal else self._newest_position(known, path)
        blocks = tuple(known.seal.blocks) if known.seal else ()
        sealed = known.seal is not None
        first, (inode, size, _) = known.first_position, known.id
        return SegmentInfo(shard, number, path, known.generation, first, last, sealed, size, blocks, inode)

    def _newest_position(self, known: _Known, path: Path) -> int:
        walk = Walk(self._disk.open(path), path, place=known.places[-1])
        for _ in walk.frames():
            if walk.group_start is None:
                self._remember(known, walk.place)
        known.ends.append(known.places[-1])
        return (walk.group_start or walk.place).position

    def _knowledge(self, shard: int, number: int) -> _Known:
        """What is known of a segment, read again when the file at its path is another or has changed."""
        path = segment_path(self._log, shard, number)
        known = self._known.get((shard, number))
        found = self._disk.id(path)
        if known and known.id == found:
            return known
        if known and known.seal is None and known.id.inode == found.inode and found.size >= known.id.size:
            known.id = found
            known.seal = read_seal(self._disk.open(path), path)
            return known
        self._forget_decoded()  # if this segment is another than it was, so are its blocks
        file = self._disk.open(path)
        walk = Walk(file, path)
        if (walk.head.shard, walk.head.segment) != (shard, number):
            raise LogCorrupt(path, 0, f"this is segment {walk.head.segment} of shard {walk.head.shard}")
        head = walk.head
        seal = read_seal(file, path)
        known = _Known(file.id(), head.generation, walk.salt, head.first_position, head.chain, seal, [walk.place])
        if number > 1:
            self._check_link(known, shard, number)
        self._known[shard, number] = known
        return known

    def _check_link(self, known: _Known, shard: int, number: int) -> None:
        """A segment continues the one before it: so none is missing, swapped or from elsewhere."""
        before = self._knowledge(shard, number - 1)
        if before.seal is None:
            path = segment_path(self._log, shard, number - 1)
            raise LogCorrupt(path, before.id.size, "a segment that has a successor is not sealed")
        continues = (before.salt, before.seal.live_chain, before.seal.last_position + 1)
        if continues != (known.salt, known.chain, known.first_position):
            raise LogCorrupt(
                segment_path(self._log, shard, number), 0, "the segment does not continue the one before it"
            )

    def _file(self, ref: BlockRef) -> File:
        key = (ref.shard, ref.segment, ref.generation)
        with self._files_lock:
            file = self._files.get(key)
            if file:
                self._files.move_to_end(key)
                return file
        path = segment_path(self._log, ref.shard, ref.segment)
        file = self._disk.open(path)
        generation = Walk(file, path).head.generation
        if generation != ref.generation:
            self._directories.clear()  # those of this segment are of no use any more
            raise StaleBlock(f"{path}: generation {generation} where {ref.generation} is meant")
        with self._files_lock:
            self._files[key] = file
            while len(self._files) > _OPEN_FILES_MAX:
                self._files.popitem(last=False)  # closed once no other thread reads from it
        return file

    def _references(self, file: File, path: Path, ref: BlockRef) -> References:
        """Those of a segment: one for all its blocks, so that they keep one file open."""
        key = ref._replace(offset=0)
        with self._files_lock:
            found = self._referred.get(key)
            if found is None:
                found = self._referred[key] = references_in(file, path, key, self._kept)
                if len(self._referred) > _OPEN_FILES_MAX:
                    self._referred.popitem(last=False)
            return found

    def _forget_decoded(self) -> None:
        self._recent.clear()
        with self._files_lock:
            self._referred.clear()
        self._kept.clear()

    # -- blocks -------------------------------------------------------------------------------

    def _blocks_of(self, shard: int, number: int, after: int) -> Iterator[Block]:
        known = self._knowledge(shard, number)
        if known.seal and known.seal.last_position <= after:
            return
        path = segment_path(self._log, shard, number)
        walk = Walk(self._disk.open(path), path, place=self._start(known, after))
        if walk.head.generation != known.generation:  # compacted between two looks
            known = self._knowledge(shard, number)
            walk = Walk(self._disk.open(path), path, place=self._start(known, after))
        yield from self._committed(walk, known, shard, after)
        if walk.trouble or walk.seal is None:
            self._judge(walk, shard, number)

    def _start(self, known: _Known, after: int) -> Place | None:
        """The last remembered place before anything behind ``after``."""
        if known.generation:
            return None  # clustered: every block may hold some
        before = next((place for place in reversed(known.places) if place.position <= after), None)
        ends = [place for place in (*known.ends, before) if place is not None and place.position <= after]
        return max(ends, key=lambda place: place.offset, default=None)

    def _committed(self, walk: Walk, known: _Known, shard: int, after: int) -> Iterator[Block]:
        path, segment, generation = walk.path, walk.head.segment, walk.head.generation
        references = self._references(walk.file, path, BlockRef(shard, segment, generation, 0))
        pending: list[BlockRef] = []
        for frame in walk.frames():
            is_wanted = frame.header.kind == FrameKind.EVENTS and frame.header.last > after
            if walk.group_start is None or known.seal:  # a sealed segment holds no open transaction
                self._remember(known, walk.place)
                for ref in pending:
                    yield read_block(walk.file, path, ref, references)
                pending = []
                if is_wanted:
                    ref = BlockRef(shard, segment, generation, frame.offset)
                    block = self._recent.get(ref) or block_of(frame, path, ref, references)
                    if known.seal is None:
                        self._recent.add(block)
                    yield block
            elif is_wanted:
                # Only the reference: the frames of a long transaction would fill the memory.
                pending.append(BlockRef(shard, segment, generation, frame.offset))

    def _remember(self, known: _Known, place: Place) -> None:
        places = known.places
        if known.generation or place.offset <= places[-1].offset:
            return
        if len(places) > 1 and place.offset - places[-2].offset < _PLACE_EVERY_BYTES:
            places[-1] = place
        else:
            places.append(place)

    def _judge(self, walk: Walk, shard: int, number: int) -> None:
        """A walk ended before a seal: is that the end so far, or damage? Damage raises ``LogCorrupt``."""
        numbers = segment_numbers(self._disk, self._log, shard)
        place = walk.place
        may_grow = number == numbers[-1] and not walk.seal
        if may_grow and not walk.trouble:
            return
        if may_grow and durable_behind(walk.file, salt=walk.salt, offset=place.offset) <= place.position:
            return
        # Something behind must be whole, so what was seen may only have been seen too early: look again.
        self._known.pop((shard, number), None)
        known = self._knowledge(shard, number)
        again = Walk(self._disk.open(walk.path), walk.path)
        for _ in again.frames():
            pass
        is_whole = again.seal is not None if number < numbers[-1] else not again.trouble
        if is_whole or again.head.generation != walk.head.generation or again.place.offset > place.offset:
            return
        wanted = again.trouble or "the segment is cut off; it has a successor, so it was sealed"
        durable = known.seal.last_position if known.seal else walk.durable
        raise LogCorrupt(
            walk.path, again.place.offset, f"{wanted}; good up to position {again.place.position}, durable {durable}"
        )
