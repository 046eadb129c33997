"""Writer: the one that appends to a shard.

What always holds: an append is all or nothing, to readers and across a crash; a position is
acknowledged as durable only after a sync returned; a failed write is rolled back to the last good
frame; a failed sync ends the writer for good, since a second try may claim success over lost data.
Only one thread appends at a time; ``sync`` may run in another meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from matrix.errors import LogCorrupt, LogWriteError, ShardBusy, UsageError
from matrix.limits import BLOCK_EVENTS_MAX, SEGMENT_BYTES_MAX
from matrix.log.block import Block, BlockRef
from matrix.log.disk import DISK, Disk, File, write_all
from matrix.log.frame import FRAME_PREFIX_BYTES, GROUP_OPEN, FrameKind, Header, crc, encode_prefix
from matrix.log.pack import Packed, pack_halving
from matrix.log.recovery import Tail, recover
from matrix.log.repeats import Repeats
from matrix.log.rows import Rows, cut_rows
from matrix.log.segment import (
    BlockEntry,
    Seal,
    SegmentHead,
    read_block,
    references_in,
    segment_path,
    shard_folder,
    shard_numbers,
)

_DIAGNOSTICS = logging.getLogger("matrix.log")


class Durability(StrEnum):
    """What survives what, once acknowledged.

    SYNC: power loss (acknowledged after the sync). INTERVAL: power loss less 100 ms; kill -9 loses nothing
    written. OS: kill -9. The end of a run, a seal and a close are always synced.
    """

    SYNC = "sync"
    INTERVAL = "interval"
    OS = "os"


class _State(NamedTuple):
    """All that an append changes, so that it can be taken back."""

    offset: int
    number: int
    chain: int
    last_position: int
    simulations: int
    blocks: int
    digest: Any


class Writer:
    """Owns one shard of a log.

    >>> with Writer.open(Path("runs/log")) as writer:        # doctest: +SKIP
    ...     writer.append(rows_from_events(events))
    ...     writer.sync()
    """

    def __init__(self, disk: Disk, log: Path, shard: int, lock: File, *, segment_bytes_max: int) -> None:
        self._disk, self._log, self.shard, self._lock = disk, log, shard, lock
        self._segment_bytes_max = segment_bytes_max
        self._process = os.getpid()
        self._sync_turn = threading.Lock()  # a roll must not close the file under a running sync
        self._ended = ""
        self._group: _State | None = None
        self._is_closed_in_order = False
        self._blocks: list[BlockEntry] = []  # of the active segment, for its seal
        self._repeats = Repeats()  # the long values of the active segment
        self._digest: Any = None  # running, over all frame prefixes of the active segment
        self.last_position = self.durable_position = 0
        # The end of the newest append or transaction that is whole: what a sync in another thread may acknowledge.
        self._whole_position = 0

    @classmethod
    def open(
        cls, log: Path, *, shard: int | None = None, segment_bytes_max: int = SEGMENT_BYTES_MAX, disk: Disk = DISK
    ) -> Writer:
        """Adopts the lowest idle shard after recovery, or makes the next one.

        With ``shard`` exactly that one: ``ShardBusy`` when another process writes it, ``LogCorrupt`` when it is
        damaged. Without, busy and damaged shards are passed over.
        """
        try:
            disk.make_folders(log)
            if shard is None:
                return cls._adopt_any(disk, log, segment_bytes_max)
            disk.make_folder(shard_folder(log, shard))
            writer = cls._adopt(disk, log, shard, segment_bytes_max)
        except OSError as error:
            raise LogWriteError(f"{log}: the log cannot be opened for writing: {error}") from error
        if writer is None:
            raise ShardBusy(f"{shard_folder(log, shard)}: another process writes this shard")
        return writer

    @classmethod
    def _adopt_any(cls, disk: Disk, log: Path, segment_bytes_max: int) -> Writer:
        for candidate in shard_numbers(disk, log):
            try:
                if writer := cls._adopt(disk, log, candidate, segment_bytes_max):
                    return writer
            except LogCorrupt as error:
                _DIAGNOSTICS.warning("a damaged shard is left as it is, and another written: %s", error)
        return cls._make_next(disk, log, segment_bytes_max)

    @classmethod
    def _make_next(cls, disk: Disk, log: Path, segment_bytes_max: int) -> Writer:
        while True:
            candidate = max(shard_numbers(disk, log), default=0) + 1
            # Only one of several processes makes the folder, but another may still be first to lock it.
            if disk.make_folder(shard_folder(log, candidate)):
                disk.sync_folder(log)
                if writer := cls._adopt(disk, log, candidate, segment_bytes_max):
                    return writer

    @classmethod
    def _adopt(cls, disk: Disk, log: Path, shard: int, segment_bytes_max: int) -> Writer | None:
        lock = disk.open_lock(shard_folder(log, shard) / "lock")
        if not lock.lock():
            lock.close()
            return None
        try:
            writer = cls(disk, log, shard, lock, segment_bytes_max=segment_bytes_max)
            tail = recover(disk, log, shard)
            writer._begin() if tail is None else writer._continue(tail)
        except OSError as error:
            lock.close()
            raise LogWriteError(f"{shard_folder(log, shard)}: the shard could not be opened: {error}") from error
        except BaseException:
            lock.close()
            raise
        return writer

    def _begin(self) -> None:
        self._epoch, self._salt = 1, self._disk.entropy()
        self.last_position, self._simulations = 0, 0
        self._create_segment(1, chain=0)

    def _continue(self, tail: Tail) -> None:
        walk, place = tail.walk, tail.walk.place
        self._epoch, self._salt = place.epoch + 1, walk.salt
        self.last_position, self._simulations = place.position, tail.simulations
        self.durable_position = self._whole_position = place.position  # recovery has synced
        self._head, self._file, self._blocks = walk.head, tail.file, tail.blocks
        self._offset, self._number = place.offset, place.number
        assert place.chain is not None and walk.digest is not None, "a walk from the head knows both"
        self._chain, self._digest = place.chain, walk.digest
        if walk.seal and walk.seal.live_chain:
            self._chain = walk.seal.live_chain  # compacted since: the next segment continues the original
        self._repeats = Repeats(self._earlier)
        self._is_closed_in_order = walk.is_closed
        self._is_sealed = walk.seal is not None

    def _earlier(self) -> Iterator[Block]:
        """The blocks that were written to the active segment before this writer, one read after the other."""
        ref = BlockRef(self.shard, self._head.segment, self._head.generation, 0)
        references = references_in(self._file, self._path, ref)
        for offset in [block.offset for block in self._blocks]:
            yield read_block(self._file, self._path, ref._replace(offset=offset), references)

    # -- what it tells ------------------------------------------------------------------------

    @property
    def next_simulation(self) -> int:
        """The ordinal that the next simulation of this shard gets, from 1."""
        return self._simulations + 1

    @property
    def segment(self) -> int:
        """The number of the segment that is written; those before it are sealed."""
        return self._head.segment

    @property
    def folder(self) -> Path:
        """The shard's folder."""
        return shard_folder(self._log, self.shard)

    # -- appending ----------------------------------------------------------------------------

    def append(self, rows: Rows) -> int:
        """Hands the events to the operating system; returns the position of the last.

        All or nothing, also for rows of more than one block. ``UsageError`` for rows that the log cannot
        hold, ``LogWriteError`` when the disk refuses: in both cases nothing was written.
        """
        self._check_usable()
        if rows.count == 0:
            return self.last_position
        self._roll_if_full()
        with self._rolled_back_on_error():
            waiting: Packed | None = None
            for packed in self._packed(rows):
                if waiting:
                    self._write_block(waiting, GROUP_OPEN)
                waiting = packed
            assert waiting is not None, "rows that are not empty make a block"
            self._write_block(waiting, GROUP_OPEN if self._group else 0)
        if not self._group:
            self._whole_position = self.last_position
        return self.last_position

    def _packed(self, rows: Rows) -> Iterator[Packed]:
        """The rows in blocks, each packed only when it is asked for."""
        position, offset = self.last_position + 1, self._offset
        for start in range(0, rows.count, BLOCK_EVENTS_MAX):
            whole = rows.count <= BLOCK_EVENTS_MAX
            part = rows if whole else cut_rows(rows, start, min(start + BLOCK_EVENTS_MAX, rows.count))
            for packed in pack_halving(part, position, self._repeats, offset):
                yield packed
                position += packed.events
                offset += FRAME_PREFIX_BYTES + len(packed.payload)

    def _write_block(self, packed: Packed, flags: int) -> None:
        first, last = self.last_position + 1, self.last_position + packed.events
        offset = self._offset
        about = (flags, packed.events, first, last, packed.is_referring)
        self._write_frame(FrameKind.EVENTS, packed.payload, *about)
        length = self._offset - offset
        span = (packed.simulation_first, packed.simulation_last)
        self._blocks.append(BlockEntry(offset, length, packed.events, first, last, *span))
        self._simulations = max(self._simulations, packed.simulation_last)
        self.last_position = last

    def _write_frame(
        self,
        kind: FrameKind,
        payload: bytes,
        flags: int = 0,
        events: int = 0,
        first: int = -1,
        last: int = -1,
        is_referring: bool = False,
    ) -> None:
        if first < 0:
            first = last = self.last_position
        header = Header(
            kind=kind,
            flags=flags,
            payload_bytes=len(payload),
            number=self._number,
            epoch=self._epoch,
            events=events,
            first=first,
            last=last,
            salt=self._salt,
            durable=self.durable_position,
            payload_crc=crc(payload),
            is_referring=is_referring,
        )
        prefix, chain = encode_prefix(header, self._chain)
        self._write(prefix + payload)
        if kind != FrameKind.SEAL:
            self._digest.update(prefix)
        self._chain, self._number = chain, self._number + 1
        self._is_closed_in_order = kind == FrameKind.CLOSE

    def _write(self, data: bytes) -> None:
        if self._file.id().size != self._offset:
            self._ended = "another process has written to this segment"
            raise LogWriteError(f"{self._path}: {self._ended}")
        write_all(self._file, data, self._offset)
        self._offset += len(data)

    # -- sync, transactions, close ------------------------------------------------------------

    def sync(self) -> int:
        """Waits until all that was appended before survives power loss; returns the last such position.

        Events of an open transaction do not count. After ``LogWriteError`` this writer is of no use any more.
        """
        self._check_usable()
        with self._sync_turn:
            position = self._whole_position
            if position > self.durable_position:
                self._sync_file(self._file)
                self.durable_position = max(self.durable_position, position)
        return self.durable_position

    def _sync_file(self, file: File) -> None:
        try:
            file.sync()
        except OSError as error:
            self._ended = f"a sync failed ({error}); what was not durable before may be lost"
            raise LogWriteError(f"{self._path}: {self._ended}. Open the store again") from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Writer]:
        """Several appends, all or nothing: readers see none before the end, an exception or a crash leaves none.

        >>> with writer.transaction():                       # doctest: +SKIP
        ...     for rows in rows_of_file: writer.append(rows)
        """
        self._check_usable()
        if self._group:
            raise UsageError("a transaction is open already; they do not nest")
        self._roll_if_full()
        self._group = self._state()
        try:
            yield self
            if self.last_position > self._group.last_position:
                self._check_usable()
                self._write_frame(FrameKind.MARK, b"\xf6")
            self._whole_position = self.last_position
        except BaseException as error:
            if self._group:  # not if the writer was closed meanwhile, which took it back
                self._roll_back(self._group)
            if isinstance(error, OSError):
                raise LogWriteError(f"{self._path}: {error}") from error
            raise
        finally:
            self._group = None

    def close(self) -> None:
        """Syncs, says so in the log and gives the shard back; twice is harmless. An open transaction is rolled back."""
        if self._ended == "closed":
            return
        try:
            if self._process == os.getpid() and not self._ended:
                self._close_in_order()
        finally:
            self._ended = "closed"
            self._file.close()
            if self._process == os.getpid():
                self._lock.unlock()
            self._lock.close()

    def _close_in_order(self) -> None:
        if self._group:
            self._roll_back(self._group)
            self._group = None
        self.sync()
        if self._is_closed_in_order or self._is_sealed:
            return
        with self._rolled_back_on_error():
            self._write_frame(FrameKind.CLOSE, b"\xf6")
        with self._sync_turn:
            self._sync_file(self._file)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- taking back --------------------------------------------------------------------------

    @property
    def _path(self) -> Path:
        return segment_path(self._log, self.shard, self._head.segment)

    def _check_usable(self) -> None:
        if self._ended:
            raise LogWriteError(f"{self.folder}: the writer has ended: {self._ended}")
        if self._process != os.getpid():
            raise LogWriteError(
                f"{self.folder}: this writer belongs to process {self._process}; open another after a fork"
            )

    def _state(self) -> _State:
        place = (self._offset, self._number, self._chain, self.last_position, self._simulations)
        return _State(*place, len(self._blocks), self._digest.copy())

    @contextlib.contextmanager
    def _rolled_back_on_error(self) -> Iterator[None]:
        before, segment = self._state(), self._head.segment
        try:
            yield
        except BaseException as error:
            if segment == self._head.segment:
                self._roll_back(before)
            if isinstance(error, OSError):
                raise LogWriteError(f"{self._path}: {error}; nothing of it was kept") from error
            raise

    def _roll_back(self, before: _State) -> None:
        self._offset, self._number, self._chain = before.offset, before.number, before.chain
        self.last_position, self._simulations = before.last_position, before.simulations
        del self._blocks[before.blocks :]
        self._repeats.cut(before.offset)
        self._digest = before.digest.copy()
        self._is_closed_in_order = False
        if self._ended:
            return  # not ours to touch any more; recovery decides
        try:
            self._file.truncate(self._offset)
        except OSError as error:
            self._ended = f"a failed write could not be taken back ({error})"
            raise LogWriteError(f"{self._path}: {self._ended}. Open the store again") from error

    # -- segments -----------------------------------------------------------------------------

    def _roll_if_full(self) -> None:
        if self._group:
            return  # a transaction stays in one segment, which may grow beyond its bound for it
        if not self._is_sealed and self._offset >= self._segment_bytes_max and self._blocks:
            with self._rolled_back_on_error():
                self._seal()
        if self._is_sealed:
            try:
                self._create_segment(self._head.segment + 1, chain=self._chain)
            except OSError as error:  # the next append tries again; what is sealed stays sealed
                raise LogWriteError(f"{self.folder}: no new segment could be begun: {error}") from error

    def _seal(self) -> None:
        first = self._head.first_position
        seal = Seal(first, self.last_position, self._simulations, self._digest.digest(), None, self._blocks)
        self._write_frame(FrameKind.SEAL, seal.encode(self._offset))
        with self._sync_turn:
            self._sync_file(self._file)
            self.durable_position = self.last_position
        self._is_sealed = True

    def _create_segment(self, number: int, *, chain: int) -> None:
        """Prepares a segment under another name, so that one which has its name is whole and durable."""
        head = SegmentHead(self.shard, number, 0, self._epoch, self.last_position + 1, self._simulations, chain)
        path = segment_path(self._log, self.shard, number)
        prepared = path.with_name(path.name + ".new")
        payload = head.encode()
        last = self.last_position
        header = Header(
            FrameKind.SEGMENT,
            0,
            len(payload),
            0,
            self._epoch,
            0,
            last,
            last,
            self._salt,
            self.durable_position,
            crc(payload),
        )
        prefix, new_chain = encode_prefix(header, chain)
        file = self._disk.create(prepared)
        data = prefix + payload
        write_all(file, data, 0)
        file.sync()
        self._disk.rename(prepared, path)
        self._disk.sync_folder(path.parent)
        with self._sync_turn:
            self._file, self._head = file, head
        self._digest = new_digest(prefix)
        self._blocks, self._repeats = [], Repeats()
        self._offset, self._number, self._chain = len(data), 1, new_chain
        self._is_sealed = self._is_closed_in_order = False


def new_digest(prefix: bytes) -> Any:
    """The running digest of a segment, begun with its first frame's prefix."""
    return hashlib.blake2b(prefix, digest_size=16)
