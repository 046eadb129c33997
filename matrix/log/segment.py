"""Segment: one file of frames. Its names, its head, its seal, and the walk over its frames.

    log/0001/00000001.seg     frames: SEGMENT, then EVENTS and MARKs, then SEAL (or CLOSE while active)
    log/0001/00000002.seg     ...
    log/0001/lock             flock of the one writer

What always holds: a segment exists only if the one before it is sealed and durable; a walk returns a
frame only if its checksums, its number, the chain, the salt of the shard, the epoch and (as written
live) the positions continue those before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from matrix.errors import FormatError, LogCorrupt, StoreError
from matrix.limits import FRAME_BYTES_MAX, SEGMENTS_PER_SHARD_MAX
from matrix.log import columns, integers, items
from matrix.log.block import Block, BlockRef, block_of
from matrix.log.disk import Disk, File
from matrix.log.frame import (
    FRAME_PREFIX_BYTES,
    GROUP_OPEN,
    Frame,
    FrameKind,
    NewerFormat,
    decode_prefix,
    find_prefix,
    payload_matches,
)
from matrix.log.items import ARRAY, Cursor, byte_string, head
from matrix.log.references import Kept, References, Stored

READ_BYTES: Final = 1024 * 1024  # how much a walk reads at once
_HEAD_BYTES: Final = 4096  # enough for a segment's head: a tail is looked at often, and rarely from the start
FEATURES_KNOWN: Final = 0  # bits of required features that this version can read
_SEAL_BYTES_MIN: Final = FRAME_PREFIX_BYTES + 16
_OFFSET_ITEM_BYTES: Final = 8


def shard_folder(log: Path, shard: int) -> Path:
    """``log/0001`` for shard 1."""
    return log / f"{shard:04d}"


@lru_cache(maxsize=1_024)  # asked for every block read
def segment_path(log: Path, shard: int, number: int) -> Path:
    """``log/0001/00000001.seg`` for segment 1 of shard 1."""
    assert 0 < number <= SEGMENTS_PER_SHARD_MAX, "segment numbers have eight digits"
    return shard_folder(log, shard) / f"{number:08d}.seg"


def shard_numbers(disk: Disk, log: Path) -> list[int]:
    """Numbers of the shards of a log, ascending; none when there is no such folder."""
    try:
        names = disk.names(log)
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if len(name) >= 4 and name.isdecimal() and name.isascii() and int(name))


def segment_numbers(disk: Disk, log: Path, shard: int) -> list[int]:
    """Numbers of a shard's segments, ascending; a gap is a lost file and raises ``LogCorrupt``."""
    try:
        names = disk.names(shard_folder(log, shard))
    except FileNotFoundError:
        return []
    numbers = sorted(
        int(name[:8]) for name in names if len(name) == 12 and name.endswith(".seg") and name[:8].isdecimal()
    )
    for expected, number in enumerate(numbers, 1):
        if number != expected:
            raise LogCorrupt(segment_path(log, shard, expected), 0, f"segment {expected} is missing, {number} is there")
    return numbers


# -- head and seal ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """The payload of a segment's first frame.

    ``first_position`` is that of the first event it may hold; ``simulations`` the highest ordinal before
    it; ``chain`` the chain value that its first frame continues; ``required`` bits of features without
    which it cannot be read.
    """

    shard: int
    segment: int
    generation: int
    epoch: int
    first_position: int
    simulations: int
    chain: int
    required: int = 0

    def encode(self) -> bytes:
        """As the payload of a frame."""
        return items.encode_value({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def decode(cls, payload: bytes) -> SegmentHead:
        """From the payload of a frame; ``FormatError`` when it needs a feature not known here."""
        found = items.decode_structure(payload)
        if type(found) is not dict or set(found) != set(cls.__slots__):
            raise FormatError("the head of a segment is not as it should be")
        if any(type(value) is not int or not 0 <= value < 2**63 for value in found.values()):
            raise FormatError("the head of a segment holds something that is not a number")
        if found["required"] & ~FEATURES_KNOWN:
            raise NewerFormat(f"a segment needs features {found['required']:#x} that this version does not know")
        return cls(**found)


_DIRECTORY = ("offset", "length", "events", "first", "last", "simulation_first", "simulation_last")


class BlockEntry(NamedTuple):
    """A block as the directory of a sealed segment lists it: place, size in bytes, events, positions, ordinals."""

    offset: int
    length: int
    events: int
    first: int
    last: int
    simulation_first: int
    simulation_last: int


@dataclass(slots=True)
class Seal:
    """The payload of a segment's last frame.

    ``simulations`` is the highest ordinal so far in the shard; ``digest`` is over all frame prefixes before
    the seal, hence over all checksums; ``live_chain`` is the chain value that the next segment continues: as
    stored it is none for a live segment (there it is the chain value of this very frame), and for a
    compacted one that of the original. One that was read always has it.
    """

    first_position: int
    last_position: int
    simulations: int
    digest: bytes
    live_chain: int | None = None
    blocks: list[BlockEntry] = field(default_factory=list)

    @property
    def events(self) -> int:
        """Events in all blocks."""
        return sum(block.events for block in self.blocks)

    def encode(self, offset: int) -> bytes:
        """As the payload of the frame at ``offset``, which its last eight bytes repeat: the end finds the start."""
        facts = {
            "first": self.first_position,
            "last": self.last_position,
            "simulations": self.simulations,
            "digest": self.digest,
            "live_chain": self.live_chain,
            "blocks": len(self.blocks),
        }
        table = np.array(self.blocks, np.int64).reshape(len(self.blocks), len(_DIRECTORY))
        stored = [columns.encode_integers(column) for column in table.T]
        parts = [items.encode_value(facts), *stored, offset.to_bytes(_OFFSET_ITEM_BYTES, "big")]
        return b"".join((head(ARRAY, len(parts)), *map(byte_string, parts)))

    @classmethod
    def decode(cls, data: bytes, start: int, stop: int, offset: int) -> Seal:
        """From the payload ``data[start:stop]`` of the frame at ``offset``."""
        cursor = Cursor(data, start, stop)
        if cursor.expect(ARRAY) != len(_DIRECTORY) + 2:
            raise FormatError("a seal is not as it should be")
        facts = _checked_facts(items.decode_structure(cursor.contents()))
        count = facts.pop("blocks")
        table = [integers.decode_integers(data, *cursor.span(), count).tolist() for _ in _DIRECTORY]
        if cursor.contents() != offset.to_bytes(_OFFSET_ITEM_BYTES, "big"):
            raise FormatError("a seal does not say where it is")
        cursor.finish()
        blocks = [BlockEntry(*row) for row in zip(*table, strict=True)]
        return cls(facts["first"], facts["last"], facts["simulations"], facts["digest"], facts["live_chain"], blocks)


def _checked_facts(facts: Any) -> dict[str, Any]:
    if type(facts) is not dict or set(facts) != {"first", "last", "simulations", "digest", "live_chain", "blocks"}:
        raise FormatError("a seal is not as it should be")
    numbers = [facts["first"], facts["last"], facts["simulations"], facts["blocks"], facts["live_chain"] or 0]
    if any(type(number) is not int or number < 0 for number in numbers) or type(facts["digest"]) is not bytes:
        raise FormatError("a seal holds something that is not a number")
    if facts["blocks"] > FRAME_BYTES_MAX // len(_DIRECTORY):
        raise FormatError("a seal claims more blocks than fit")
    return facts


# -- the walk ---------------------------------------------------------------------------------


class Place(NamedTuple):
    """A place between two frames, and what the next frame must continue. ``chain`` is None where unknown."""

    offset: int
    number: int
    chain: int | None
    position: int
    epoch: int


class Walk:
    """A pass over the frames of one segment, from its head or from a place found before.

    After ``frames()`` ends, ``trouble`` is empty when the file ended behind a frame, else it says what is
    wrong at ``place.offset``; ``group_start`` is set when a transaction was left open.
    """

    def __init__(
        self,
        file: File,
        path: Path,
        *,
        place: Place | None = None,
        with_digest: bool = False,
        kept: Kept | None = None,
    ) -> None:
        self.file, self.path = file, path
        self._data, self._base = b"", 0
        self.digest = hashlib.blake2b(digest_size=16) if with_digest else None
        self.durable, self.trouble = 0, ""
        self.seal: Seal | None = None
        self.is_closed = False
        self.group_start: Place | None = None
        self.head, self.salt, self.place = self._read_head()
        self.place = place or self.place
        self._kept = kept

    def frames(self) -> Iterator[Frame]:
        """Verified frames from the place on."""
        while True:
            try:
                frame = self._next()
            except NewerFormat as error:
                raise NewerFormat(f"{self.path}: at byte {self.place.offset}: {error}") from error
            except FormatError as error:
                self.trouble = str(error)
                return
            if frame is None:
                self.trouble = ""
                return
            yield frame

    @cached_property
    def references(self) -> References:
        """What references in the segment's blocks stand for."""
        return references_in(self.file, self.path, self._ref(0), self._kept)

    def block(self, frame: Frame) -> Block:
        """The block in a frame of events."""
        return block_of(frame, self.path, self._ref(frame.offset), self.references)

    def _ref(self, offset: int) -> BlockRef:
        return BlockRef(self.head.shard, self.head.segment, self.head.generation, offset)

    def _read_head(self) -> tuple[SegmentHead, int, Place]:
        start = Place(0, 0, None, 0, 0)
        try:
            self._data = data = self.file.read(_HEAD_BYTES, 0)
            if len(data) < FRAME_PREFIX_BYTES:
                raise FormatError("the file is too short to be a segment")
            first = decode_prefix(data, 0, None)
            frame = self._payload(first, start)
            if first.kind != FrameKind.SEGMENT or first.number != 0 or first.events:
                raise FormatError("the first frame is not the head of a segment")
            found = SegmentHead.decode(frame.payload)
            decode_prefix(self._data, 0 - self._base, found.chain)
            if (first.last, first.epoch) != (found.first_position - 1, found.epoch):
                raise FormatError("the head of a segment contradicts its frame")
        except NewerFormat as error:
            raise NewerFormat(f"{self.path}: {error}") from error
        except FormatError as error:
            raise LogCorrupt(self.path, 0, str(error)) from error
        if self.digest:
            self.digest.update(self._data[:FRAME_PREFIX_BYTES])
        self.durable = first.durable
        return found, first.salt, Place(frame.length, 1, first.chain, first.last, first.epoch)

    def _load(self, offset: int, size: int) -> bytes:
        """Has ``size`` bytes from ``offset`` in the data at hand; returns it, or nothing when the file is shorter."""
        at = offset - self._base
        if at < 0 or at + size > len(self._data):
            self._data, self._base = self.file.read(max(size, READ_BYTES), offset), offset
        return self._data if offset - self._base + size <= len(self._data) else b""

    def _next(self) -> Frame | None:
        place = self.place
        data = self._load(place.offset, FRAME_PREFIX_BYTES)
        if not data:
            if len(self._data) <= place.offset - self._base:
                return None
            raise FormatError("a frame's header is cut off")
        if self.seal:
            raise FormatError("bytes behind the seal")
        header = decode_prefix(data, place.offset - self._base, place.chain)
        prefix_at = place.offset - self._base
        prefix = data[prefix_at : prefix_at + FRAME_PREFIX_BYTES] if self.digest else b""
        self._check(header)
        frame = self._payload(header, place)
        self._advance(frame, prefix)
        return frame

    def _check(self, header: Any) -> None:
        place = self.place
        if header.salt != self.salt or header.number != place.number or header.epoch < place.epoch:
            raise FormatError("a frame of another shard, place or writer")
        if header.is_referring and header.kind != FrameKind.EVENTS:
            raise FormatError(f"a frame of kind {header.kind} with references")
        if header.kind == FrameKind.EVENTS:
            if self.head.generation == 0 and header.first != place.position + 1:
                raise FormatError(f"events from position {header.first} behind position {place.position}")
            if header.last - header.first < header.events - 1 or header.events < 1:
                raise FormatError("the positions of a frame do not fit its events")
        elif header.events or header.kind not in (FrameKind.MARK, FrameKind.SEAL, FrameKind.CLOSE):
            raise FormatError(f"a frame of kind {header.kind} with {header.events} events")

    def _payload(self, header: Any, place: Place) -> Frame:
        length = FRAME_PREFIX_BYTES + header.payload_bytes
        data = self._load(place.offset, length)
        if not data:
            raise FormatError("a frame's payload is cut off")
        start = place.offset - self._base + FRAME_PREFIX_BYTES
        if not payload_matches(header, data, start):
            raise FormatError("the checksum of a frame's payload does not match")
        return Frame(header, place.offset, data, start, start + header.payload_bytes)

    def _advance(self, frame: Frame, prefix: bytes) -> None:
        header, place = frame.header, self.place
        if header.kind == FrameKind.SEAL:
            self.seal = Seal.decode(frame.data, frame.start, frame.stop, frame.offset)
            self._check_seal(self.seal)
            self.seal.live_chain = self.seal.live_chain or header.chain
        elif self.digest:
            self.digest.update(prefix)
        if header.flags & GROUP_OPEN:
            self.group_start = self.group_start or place
        else:
            self.group_start = None
        self.is_closed = header.kind == FrameKind.CLOSE
        self.durable = max(self.durable, header.durable)
        position = max(place.position, header.last)
        self.place = Place(place.offset + frame.length, place.number + 1, header.chain, position, header.epoch)

    def _check_seal(self, seal: Seal) -> None:
        if self.digest and seal.digest != self.digest.digest():
            raise FormatError("the digest in the seal is not that of the segment")
        if self.head.generation and seal.live_chain is None:
            raise FormatError("the seal of a compacted segment does not say what it stands for")


def read_block(file: File, path: Path, ref: BlockRef, references: References | None) -> Block:
    """The block at a place, its checksums verified; ``LogCorrupt`` when there is none."""
    prefix = file.read(FRAME_PREFIX_BYTES, ref.offset)
    try:
        if len(prefix) < FRAME_PREFIX_BYTES:
            raise FormatError("a block is expected, the file ends")
        header = decode_prefix(prefix, 0, None)
        data = file.read(header.payload_bytes, ref.offset + FRAME_PREFIX_BYTES)
        if header.kind != FrameKind.EVENTS or len(data) < header.payload_bytes:
            raise FormatError("a block is expected here")
        if not payload_matches(header, data, 0):
            raise FormatError("the checksum of a frame's payload does not match")
    except FormatError as error:
        raise LogCorrupt(path, ref.offset, str(error)) from error
    return block_of(Frame(header, ref.offset, data, 0, len(data)), path, ref, references)


def references_in(file: File, path: Path, ref: BlockRef, kept: Kept | None = None) -> References:
    """What references in a segment stand for; ``ref`` is any block of it."""

    def fetch(offset: int) -> Callable[[int], Stored]:
        try:
            return read_block(file, path, ref._replace(offset=offset), None).stored
        except OSError as error:
            raise StoreError(f"{path}: the segment cannot be read: {error}") from error

    return References(fetch, kept, ref[:3])


def read_seal(file: File, path: Path) -> Seal | None:
    """The seal at the end of a segment, found from the file's last bytes; None when there is none."""
    size = file.id().size
    tail = file.read(_OFFSET_ITEM_BYTES, size - _OFFSET_ITEM_BYTES) if size > _SEAL_BYTES_MIN else b""
    offset = int.from_bytes(tail, "big")
    if not 0 < offset < size - _SEAL_BYTES_MIN or size - offset > FRAME_BYTES_MAX + FRAME_PREFIX_BYTES:
        return None
    data = file.read(size - offset, offset)
    try:
        header = decode_prefix(data, 0, None)
        start = FRAME_PREFIX_BYTES
        if header.kind != FrameKind.SEAL or start + header.payload_bytes != len(data):
            return None
        if not payload_matches(header, data, start):
            return None
        seal = Seal.decode(data, start, len(data), offset)
        seal.live_chain = seal.live_chain or header.chain
        return seal
    except FormatError:
        return None  # the walk says what is wrong, and where


def durable_behind(file: File, *, salt: int, offset: int) -> int:
    """The highest watermark in any intact header of this shard behind ``offset``, 0 when there is none.

    A frame behind a hole proves nothing about what lies before it, but its watermark was written only
    after a sync had returned: what it calls durable must be there.
    """
    durable, at = 0, offset
    while data := file.read(4 * READ_BYTES, at):
        place = find_prefix(data, 0, len(data))
        while 0 <= place <= len(data) - FRAME_PREFIX_BYTES:
            try:
                header = decode_prefix(data, place, None)
                durable = max(durable, header.durable if header.salt == salt else 0)
            except FormatError:
                pass  # those bytes only look like a header
            place = find_prefix(data, place + 1, len(data))
        if len(data) <= FRAME_PREFIX_BYTES:
            break
        at += len(data) - FRAME_PREFIX_BYTES
        if len(data) < 4 * READ_BYTES:
            break
    return durable
