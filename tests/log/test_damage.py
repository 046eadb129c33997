"""Truncation, bit rot, missing and foreign segments: found every time, and told apart from a torn tail."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.errors import FormatError, LogCorrupt
from matrix.log.block import Block
from matrix.log.frame import FRAME_PREFIX_BYTES, Frame, FrameKind
from matrix.log.reader import LogReader
from matrix.log.segment import Place, Walk, segment_path
from matrix.log.verify import verify_log
from matrix.log.writer import Writer
from matrix.testing.disk import MemoryDisk
from tests.log.histories import LOG, append, events, positioned, read_all, write_log

SEGMENTS = [segment_path(LOG, 1, number) for number in (1, 2, 3)]


def three_segments(*, closed: bool = True, segment_bytes: int = 4_500) -> tuple[MemoryDisk, int]:
    disk = MemoryDisk()
    writer = Writer.open(LOG, disk=disk, segment_bytes_max=segment_bytes)
    while len(disk.names(LOG / "0001")) < 4:  # the lock and three segments
        append(writer, 16)
    append(writer, 16)
    append(writer, 16)
    if closed:
        writer.close()
    return disk, writer.last_position


def damaged(disk: MemoryDisk, path: Path, data: bytes) -> MemoryDisk:
    copy = disk.kill()
    copy.put(path, data)
    return copy


def frames_of(disk: MemoryDisk, path: Path) -> list[tuple[Place, Frame | None]]:
    """Every frame of a segment with the place before it; the head's frame is None."""
    walk = Walk(disk.open(path), path)
    found: list[tuple[Place, Frame | None]] = [(Place(0, 0, None, 0, 0), None)]
    before = walk.place
    for frame in walk.frames():
        found.append((before, frame))
        before = walk.place
    return found


def payload_of(block: Block) -> bytes:
    start, stop = block.directory.starts[0], block.directory.stops[-1]
    return block._data[start:stop]


def payloads_of(disk: MemoryDisk) -> list[tuple[int, bytes]]:
    """First position and bytes of every block: equal bytes are equal events, and compared a thousand times faster."""
    return [(block.first_position, payload_of(block)) for block in LogReader(LOG, disk).blocks(1)]


def assert_prefix(disk: MemoryDisk, whole: list[tuple[int, bytes]], *, after: int = 0) -> int:
    """The reader returns a prefix of the blocks, whose last position this is, or reports damage (-1)."""
    found, last = [], after
    whole = [pair for pair in whole if pair[0] > after]
    try:
        for block in LogReader(LOG, disk).blocks(1, after=after):
            found.append((block.first_position, payload_of(block)))
            last = block.last_position
    except LogCorrupt:
        last = -1
    assert found == whole[: len(found)]
    return last


def cuts() -> Iterator[tuple[Path, int]]:
    disk, _ = three_segments()
    for path in SEGMENTS:
        yield from ((path, size) for size in range(len(disk.bytes_of(path))))


def test_a_log_cut_at_any_byte_reads_as_an_exact_prefix_or_is_reported() -> None:
    disk, _ = three_segments()
    assert read_all(disk) == events(1, 16 * len(payloads_of(disk)))
    whole = payloads_of(disk)
    before = dict(zip(SEGMENTS, (0, *(info.last_position for info in LogReader(LOG, disk).segments(1))), strict=False))
    for path, size in cuts():
        cut = damaged(disk, path, disk.bytes_of(path)[:size])
        length = assert_prefix(cut, whole, after=before[path])
        if path != SEGMENTS[-1]:
            assert length == -1, f"{path} is sealed and was cut at {size}"


def test_a_writer_opens_a_log_cut_in_its_last_segment_behind_an_exact_prefix() -> None:
    disk, _ = three_segments()
    whole, blocks = disk.bytes_of(SEGMENTS[-1]), payloads_of(disk)
    boundaries = {place.offset for place, _ in frames_of(disk, SEGMENTS[-1])}
    for size in {*range(0, len(whole), 7), *boundaries, *(offset - 1 for offset in boundaries if offset)}:
        cut = damaged(disk, SEGMENTS[-1], whole[:size])
        before = assert_prefix(cut, blocks)
        try:
            writer = Writer.open(LOG, shard=1, disk=cut)
        except LogCorrupt:
            assert size < frames_of(disk, SEGMENTS[-1])[1][0].offset, "only a segment without its head is beyond repair"
            continue
        assert writer.last_position == before
        append(writer, 3)
        writer.close()
        assert [event for _, event in positioned(LogReader(LOG, cut), after=before)] == events(before + 1, 3)


def test_a_sealed_segment_cut_anywhere_stops_the_writer() -> None:
    disk, _ = three_segments()
    whole = disk.bytes_of(SEGMENTS[1])
    for size in range(0, len(whole), 61):
        cut = damaged(disk, SEGMENTS[1], whole[:size])
        with pytest.raises(LogCorrupt):
            Writer.open(LOG, shard=1, disk=cut)
        assert verify_log(LOG, disk=cut)[0].findings[0].trouble == "corrupt"


class OneFile:
    """A file of given bytes, as much of one as a walk needs."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int, offset: int) -> bytes:
        return self.data[offset : offset + size]


def test_every_single_bit_flip_of_every_frame_is_detected() -> None:
    disk, _ = three_segments(segment_bytes=7_500)
    flips = 0
    for path in SEGMENTS:
        whole = disk.bytes_of(path)
        for place, frame in frames_of(disk, path):
            stop = place.offset + (frame.length if frame else frames_of(disk, path)[1][0].offset)
            flips += flip_each_bit(whole, path, place, stop, is_head=frame is None)
    assert flips == 8 * sum(len(disk.bytes_of(path)) for path in SEGMENTS)
    assert flips >= 8 * 16 * 1024


def flip_each_bit(whole: bytes, path: Path, place: Place, stop: int, *, is_head: bool) -> int:
    walk = Walk(OneFile(whole), path, place=place)  # type: ignore[arg-type]  # a File in what a walk asks of it
    for bit in range(8 * place.offset, 8 * stop):
        flipped = bytearray(whole[place.offset : stop])
        flipped[bit // 8 - place.offset] ^= 1 << bit % 8
        if is_head:
            with pytest.raises((LogCorrupt, FormatError)):
                Walk(OneFile(bytes(flipped)), path)  # type: ignore[arg-type]
        else:
            walk.file, walk.place, walk.seal = OneFile(bytes(place.offset) + bytes(flipped)), place, None  # type: ignore[assignment]
            walk._data, walk._base = bytes(flipped), place.offset
            assert list(walk.frames()) == [], f"bit {bit} of {path} was flipped and nobody noticed"
            assert walk.trouble
    return 8 * (stop - place.offset)


def test_flipped_bits_never_give_wrong_events_and_never_cut_durable_ones() -> None:
    disk, last = three_segments()
    blocks = payloads_of(disk)
    draw = random.Random(5)
    for path in SEGMENTS:
        whole = disk.bytes_of(path)
        for _ in range(60):
            bit = draw.randrange(8 * len(whole))
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            rotten = damaged(disk, path, bytes(flipped))
            assert verify_log(LOG, disk=rotten)[0].findings, f"bit {bit} of {path}"
            assert assert_prefix(rotten, blocks) in (-1, last)
            try:
                with Writer.open(LOG, shard=1, disk=rotten) as writer:
                    assert writer.last_position == last
            except (LogCorrupt, FormatError):
                pass


def test_bursts_of_damage_are_found() -> None:
    disk, last = three_segments()
    blocks = payloads_of(disk)
    draw = random.Random(6)
    for _ in range(100):
        path = draw.choice(SEGMENTS)
        whole = bytearray(disk.bytes_of(path))
        at, size = draw.randrange(len(whole)), draw.randint(1, 5)
        noise = draw.randbytes(size)
        if bytes(whole[at : at + size]) == noise[: len(whole) - at]:
            continue
        whole[at : at + size] = noise[: len(whole) - at]
        rotten = damaged(disk, path, bytes(whole))
        assert verify_log(LOG, disk=rotten)[0].findings
        assert assert_prefix(rotten, blocks) in (-1, last)


def test_a_missing_segment_is_reported() -> None:
    disk, _ = three_segments()
    for path in SEGMENTS[:2]:
        copy = disk.kill()
        copy.remove(path)
        with pytest.raises(LogCorrupt, match="is missing"):
            positioned(LogReader(LOG, copy))
        with pytest.raises(LogCorrupt, match="is missing"):
            Writer.open(LOG, shard=1, disk=copy)


def test_swapped_doubled_and_foreign_segments_are_reported() -> None:
    disk, _ = three_segments()
    other = MemoryDisk()
    other.entropy()  # so that the other log gets another salt
    write_log(other, blocks=12, per_block=16, segment_bytes_max=4_000)
    for path, data in (
        (SEGMENTS[1], disk.bytes_of(SEGMENTS[0])),
        (SEGMENTS[0], disk.bytes_of(SEGMENTS[1])),
        (SEGMENTS[1], other.bytes_of(SEGMENTS[1])),
    ):
        rotten = damaged(disk, path, data)
        with pytest.raises(LogCorrupt):
            positioned(LogReader(LOG, rotten))
        assert verify_log(LOG, disk=rotten)[0].findings


def test_a_torn_tail_is_cut_kept_aside_and_told(caplog: pytest.LogCaptureFixture) -> None:
    disk, _ = three_segments(closed=False)
    path = SEGMENTS[-1]
    whole = disk.bytes_of(path)
    torn = damaged(disk, path, whole[:-5])
    with Writer.open(LOG, shard=1, disk=torn) as writer:
        kept = writer.last_position
    assert read_all(torn) == events(1, kept)
    assert "torn tail" in caplog.text
    (aside,) = [name for name in torn.paths() if name.suffix == ".torn"]
    assert whole[:-5].endswith(torn.bytes_of(aside))


def test_damage_below_what_is_durable_is_corruption_and_nothing_is_changed() -> None:
    disk = MemoryDisk()
    writer = Writer.open(LOG, disk=disk)
    for _ in range(4):
        append(writer, 8)
        writer.sync()
    append(writer, 8)  # its header says that all before is durable
    path = SEGMENTS[0]
    for place, frame in frames_of(disk, path)[1:-1]:
        assert frame is not None
        rotten = bytearray(disk.bytes_of(path))
        rotten[place.offset + FRAME_PREFIX_BYTES + 9] ^= 4
        copy = damaged(disk, path, bytes(rotten))
        with pytest.raises(LogCorrupt) as caught:
            Writer.open(LOG, shard=1, disk=copy)
        assert caught.value.offset == place.offset
        assert copy.bytes_of(path) == bytes(rotten)
        with pytest.raises(LogCorrupt):
            positioned(LogReader(LOG, copy))


def test_damage_behind_what_is_durable_is_a_torn_tail_whatever_stands_behind_it() -> None:
    disk = MemoryDisk()
    writer = Writer.open(LOG, disk=disk)
    append(writer, 8)
    writer.sync()
    for _ in range(4):
        append(writer, 8)  # nothing says that these are durable
    path = SEGMENTS[0]
    for place, frame in frames_of(disk, path)[2:]:
        assert frame is not None and frame.header.kind == FrameKind.EVENTS
        rotten = bytearray(disk.bytes_of(path))
        rotten[place.offset : place.offset + frame.length] = bytes(frame.length)  # pages A 0 0 D
        copy = damaged(disk, path, bytes(rotten))
        assert len(positioned(LogReader(LOG, copy))) == place.position
        with Writer.open(LOG, shard=1, disk=copy) as recovered:
            assert recovered.last_position == place.position


def test_a_damaged_shard_is_passed_over_and_stays_readable() -> None:
    disk, _ = three_segments()
    rotten = bytearray(disk.bytes_of(SEGMENTS[1]))
    rotten[200] ^= 1
    copy = damaged(disk, SEGMENTS[1], bytes(rotten[:-20]))
    with Writer.open(LOG, disk=copy) as writer:
        assert writer.shard == 2
    first = next(LogReader(LOG, copy).blocks(1))
    assert list(first.events()) == events(1, 16)


def test_zeros_are_not_a_frame() -> None:
    disk, last = three_segments()
    path = SEGMENTS[-1]
    for count in (1, 76, 77, 4096):
        copy = damaged(disk, path, disk.bytes_of(path) + bytes(count))
        assert assert_prefix(copy, payloads_of(disk)) == last
        with Writer.open(LOG, shard=1, disk=copy) as writer:
            assert writer.last_position == last
