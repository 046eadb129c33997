"""Writer, reader, compaction, digest and verify in order: what each promises."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matrix.errors import FormatError, LogCorrupt, LogWriteError, UsageError
from matrix.event import Event
from matrix.limits import BLOCK_EVENTS_MAX
from matrix.log.compact import compact_log
from matrix.log.digest import simulation_digest
from matrix.log.frame import FrameKind, Header, crc, encode_prefix
from matrix.log.reader import LogReader, StaleBlock
from matrix.log.rows import KindRows, Rows, Runs, rows_from_events
from matrix.log.segment import SegmentHead, Walk
from matrix.log.verify import verify_log
from matrix.log.writer import Durability, Writer
from matrix.testing.disk import MemoryDisk
from tests.log.histories import LOG, append, events, positioned, read_all, same_event, write_log

SEGMENT = LOG / "0001" / "00000001.seg"


# -- the writer -------------------------------------------------------------------------------


def test_positions_are_dense_and_go_on_after_reopening() -> None:
    disk = MemoryDisk()
    for round_ in range(5):
        with Writer.open(LOG, disk=disk, segment_bytes_max=1_500) as writer:
            assert writer.last_position == writer.durable_position == round_ * 20
            assert append(writer, 12) == round_ * 20 + 12
            assert append(writer, 8) == round_ * 20 + 20
    assert read_all(disk) == events(1, 100)


def test_the_next_simulation_counts_on_through_rolls_and_reopening() -> None:
    disk = MemoryDisk()
    for ordinal in range(1, 30):
        with Writer.open(LOG, disk=disk, segment_bytes_max=1_000) as writer:
            assert writer.next_simulation == ordinal
            started = dataclasses.replace(events(1, 1)[0], simulation=ordinal, seq=1, kind="simulation.started")
            writer.append(rows_from_events([started]))
            assert writer.next_simulation == ordinal + 1


def test_every_adoption_writes_under_the_next_epoch() -> None:
    disk = MemoryDisk()
    for _ in range(3):
        with Writer.open(LOG, disk=disk) as writer:
            append(writer, 1)
    walk = Walk(disk.open(SEGMENT), SEGMENT)
    epochs = [frame.header.epoch for frame in walk.frames() if frame.header.kind == FrameKind.EVENTS]
    assert epochs == [1, 2, 3]


def test_rows_beyond_one_block_are_split_and_still_all_or_nothing() -> None:
    disk = MemoryDisk()
    writer = Writer.open(LOG, disk=disk)
    many = events(1, BLOCK_EVENTS_MAX * 2 + 5)
    assert writer.append(rows_from_events(many)) == len(many)
    sizes = [block.count for block in LogReader(LOG, disk).blocks(1)]
    assert sizes == [BLOCK_EVENTS_MAX, BLOCK_EVENTS_MAX, 5]
    whole = disk.bytes_of(SEGMENT)
    disk.put(SEGMENT, whole[:-1])  # the last of its frames did not make it
    assert positioned(LogReader(LOG, disk)) == []


def test_events_too_large_for_one_frame_are_spread_and_one_alone_is_refused() -> None:
    disk = MemoryDisk()
    writer = Writer.open(LOG, disk=disk)
    texts = [f"{row}" * 3_000_000 for row in range(8)]
    rows = Rows(
        8, 1, np.arange(1, 9), 0, 0, 0, 0, 0, 0, 0, ["note"], 0,
        data={0: KindRows(range(8), [{"text": text} for text in texts])},
    )  # fmt: skip
    writer.append(rows)
    assert [event.data["text"] for _, event in positioned(LogReader(LOG, disk))] == texts
    with pytest.raises(UsageError, match="take more than"):
        writer.append(Rows(1, 1, 9, 0, 0, 0, 0, 0, 0, 0, ["note"], 0, data={0: KindRows([0], [{"text": "x" * 2**24}])}))
    assert append(writer, 1) == 9


def test_a_transaction_is_seen_whole_or_not_at_all() -> None:
    disk = MemoryDisk()
    writer = Writer.open(LOG, disk=disk)
    append(writer, 3)
    tail = LogReader(LOG, disk)
    with writer.transaction():
        append(writer, 3)
        append(writer, 3)
        assert writer.sync() == 3
        assert len(positioned(tail)) == 3
        crashed = disk.kill()
    assert len(positioned(tail)) == 9
    with Writer.open(LOG, shard=1, disk=crashed) as again:
        assert (again.last_position, again.next_simulation) == (3, 4)
        append(again, 2)
    assert read_all(crashed) == events(1, 5)


def test_a_transaction_that_fails_leaves_no_byte() -> None:
    disk = MemoryDisk()
    writer = Writer.open(LOG, disk=disk)
    append(writer, 3)
    before = disk.bytes_of(SEGMENT)
    with pytest.raises(UsageError, match="odd"), writer.transaction():
        writer.append(rows_from_events([*events(4, 3), dataclasses.replace(events(7, 1)[0], data={"odd": {1}})]))
    assert disk.bytes_of(SEGMENT) == before
    with pytest.raises(UsageError, match="do not nest"), writer.transaction(), writer.transaction():
        pass
    with writer.transaction():
        pass
    assert disk.bytes_of(SEGMENT) == before


def test_closing_in_a_transaction_takes_it_back() -> None:
    disk = MemoryDisk()
    writer = Writer.open(LOG, disk=disk)
    append(writer, 3)
    transaction = writer.transaction()
    transaction.__enter__()
    append(writer, 3)
    writer.close()
    assert read_all(disk) == events(1, 3)
    with pytest.raises(LogWriteError, match="has ended"):
        append(writer, 1)


def test_durable_is_only_what_was_synced() -> None:
    disk = MemoryDisk()
    writer = Writer.open(LOG, disk=disk)
    append(writer, 4)
    assert (writer.last_position, writer.durable_position) == (4, 0)
    assert writer.sync() == writer.durable_position == 4
    assert [level.value for level in Durability] == ["sync", "interval", "os"]


def test_a_log_of_a_newer_format_is_refused_by_name() -> None:
    disk = MemoryDisk()
    write_log(disk, blocks=1, per_block=3, segment_bytes_max=10**6)
    payload = SegmentHead(1, 1, 0, 1, 1, 0, 0, required=4).encode()
    prefix, _ = encode_prefix(Header(FrameKind.SEGMENT, 0, len(payload), 0, 1, 0, 0, 0, 7, 0, crc(payload)), 0)
    disk.put(SEGMENT, prefix + payload)
    with pytest.raises(FormatError, match="features 0x4"):
        positioned(LogReader(LOG, disk))
    with pytest.raises(FormatError, match="features 0x4"):
        Writer.open(LOG, shard=1, disk=disk)
    assert verify_log(LOG, disk=disk)[0].findings[0].trouble == "newer"


# -- the reader -------------------------------------------------------------------------------


def test_a_reader_begins_behind_any_position() -> None:
    disk = MemoryDisk()
    last = write_log(disk, blocks=30, per_block=7, segment_bytes_max=2_000)
    reader = LogReader(LOG, disk)
    for after in (0, 1, 6, 7, 8, 100, last - 1, last, last + 5):
        found = positioned(reader, after=after)
        assert [position for position, _ in found] == list(range(after + 1, last + 1))


def test_a_block_is_read_again_by_its_reference_until_it_is_compacted() -> None:
    disk = MemoryDisk()
    write_log(disk, blocks=30, per_block=7, segment_bytes_max=2_000)
    reader = LogReader(LOG, disk)
    blocks = list(reader.blocks(1))
    assert all(list(reader.block(block.ref).events()) == list(block.events()) for block in blocks)
    compact_log(LOG, disk=disk)
    fresh = LogReader(LOG, disk)
    with pytest.raises(StaleBlock):
        fresh.block(blocks[0].ref)
    assert list(reader.block(blocks[0].ref).events()) == events(1, 7)  # it still has the old file open
    assert all(list(fresh.block(block.ref).events()) == list(block.events()) for block in fresh.blocks(1))


def test_segments_tell_their_extent_and_directory() -> None:
    disk = MemoryDisk()
    last = write_log(disk, blocks=30, per_block=7, segment_bytes_max=2_000)
    infos = LogReader(LOG, disk).segments(1)
    assert [info.is_sealed for info in infos] == [True] * (len(infos) - 1) + [False]
    assert infos[0].first_position == 1
    assert infos[-1].last_position == last
    assert all(left.last_position + 1 == right.first_position for left, right in itertools.pairwise(infos))
    blocks = list(LogReader(LOG, disk).blocks(1))
    listed = [entry for info in infos for entry in info.blocks]
    assert [(entry.offset, entry.length, entry.events) for entry in listed] == [
        (block.ref.offset, block.length, block.count) for block in blocks[: len(listed)]
    ]


def test_a_simulation_is_read_in_its_order() -> None:
    disk = MemoryDisk()
    last = write_log(disk, blocks=30, per_block=7, segment_bytes_max=2_000)
    for _ in range(2):
        for ordinal in (1, 2, 3):
            expected = [event for event in events(1, last) if event.simulation == ordinal]
            assert list(LogReader(LOG, disk).simulation_events(1, ordinal)) == expected
        compact_log(LOG, disk=disk)


def test_an_empty_log_has_no_shards_and_no_blocks(tmp_path: Path) -> None:
    assert LogReader(tmp_path / "nothing").shards() == []
    Writer.open(tmp_path).close()
    assert list(LogReader(tmp_path).blocks(1)) == []


# -- compaction -------------------------------------------------------------------------------


def test_a_compacted_log_is_smaller_clustered_and_holds_the_same_events() -> None:
    disk = MemoryDisk()
    write_log(disk, blocks=100, per_block=40, segment_bytes_max=40_000)
    before, size = read_all(disk), sum(info.size_bytes for info in LogReader(LOG, disk).segments(1))
    report = compact_log(LOG, disk=disk)
    after = LogReader(LOG, disk).segments(1)
    assert report.segments == len(after) - 1
    assert report.bytes_after < report.bytes_before / 3
    assert sum(info.size_bytes for info in after) < size
    assert [info.generation for info in after] == [1] * (len(after) - 1) + [0]
    assert read_all(disk) == before
    block = next(LogReader(LOG, disk).blocks(1))
    assert np.all(np.diff(block.simulation.astype(np.int64)) >= 0)
    assert verify_log(LOG, disk=disk)[0].findings == []
    assert compact_log(LOG, disk=disk).segments == 0


def test_exact_payloads_survive_compaction() -> None:
    disk = MemoryDisk()
    odd: list[dict[str, Any]] = [
        {"a": 1}, {"a": 1.0}, {"a": True}, {"a": None}, {}, {"a": 2**70}, {"a": "x"}, {"a": b"x"},
        {"b": [1, {"c": None}]},
        {"a": -0.0, "b": float("inf")}, {f"field {number}": number for number in range(300)},
    ]  # fmt: skip
    history = [
        dataclasses.replace(event, data=odd[place % len(odd)], kind=f"kind {place % 3}")
        for place, event in enumerate(events(1, 220))
    ]
    with Writer.open(LOG, disk=disk, segment_bytes_max=100) as writer:
        for start in range(0, 220, 11):
            writer.append(rows_from_events(history[start : start + 11]))
    compact_log(LOG, disk=disk)
    assert all(map(same_event, [event for _, event in positioned(LogReader(LOG, disk))], history))


def test_a_damaged_segment_is_left_as_it_is() -> None:
    disk = MemoryDisk()
    write_log(disk, blocks=30, per_block=7, segment_bytes_max=2_000)
    rotten = bytearray(disk.bytes_of(SEGMENT))
    rotten[700] ^= 1
    disk.put(SEGMENT, bytes(rotten))
    report = compact_log(LOG, disk=disk)
    assert len(report.damaged) == 1
    assert disk.bytes_of(SEGMENT) == bytes(rotten)
    assert report.segments > 1


# -- the digest -------------------------------------------------------------------------------


def digest_of(history: list[Event], *, per_block: int = 10**6, compact: bool = False, ordinal: int = 1) -> str:
    disk = MemoryDisk()
    with Writer.open(LOG, disk=disk, segment_bytes_max=500) as writer:
        for start in range(0, len(history), per_block):
            writer.append(rows_from_events(history[start : start + per_block]))
        writer.append(rows_from_events(events(1, 1)))
    if compact:
        assert compact_log(LOG, disk=disk).segments
    return simulation_digest(LogReader(LOG, disk), 1, ordinal)


def one_simulation(count: int = 60) -> list[Event]:
    return [dataclasses.replace(event, simulation=9) for event in events(1, count)]


def test_the_digest_sees_only_the_history() -> None:
    history = one_simulation()
    expected = digest_of(history, ordinal=9)
    assert len(expected) == 32
    assert digest_of(history, per_block=7, ordinal=9) == expected
    assert digest_of(history, per_block=7, compact=True, ordinal=9) == expected
    others = [event for pair in zip(history, events(1, 60), strict=True) for event in pair]
    assert digest_of(others, per_block=11, ordinal=9) == expected
    elsewhere = [dataclasses.replace(event, wall=event.wall + 5, simulation=4) for event in history]
    assert digest_of(elsewhere, ordinal=4) == expected
    turned = [dataclasses.replace(event, data=dict(reversed(event.data.items()))) for event in history]
    assert digest_of(turned, ordinal=9) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 999}, {"time": 1}, {"agent": 99}, {"turn": 99}, {"goal": 98}, {"state": 98}, {"cause": 98},
        {"kind": "other"}, {"to": (9,)}, {"to": ()},
        {"data": {}}, {"data": {"nested": 1}}, {"data": {"nested": None}}, {"data": {"nested": True}},
    ],
)  # fmt: skip
def test_the_digest_sees_every_change(change: dict[str, Any]) -> None:
    history = one_simulation()
    changed = list(history)
    changed[30] = dataclasses.replace(history[30], **change)
    assert digest_of(changed, ordinal=9) != digest_of(history, ordinal=9)


def test_the_digest_tells_numbers_of_different_types_apart() -> None:
    base = one_simulation(3)
    variants = [
        [dataclasses.replace(event, data={"a": value}) for event in base] for value in (1, 1.0, True, "1", b"1", None)
    ]
    assert len({digest_of(history, ordinal=9) for history in variants}) == 6


# -- verify -----------------------------------------------------------------------------------


def test_verify_counts_what_is_there() -> None:
    disk = MemoryDisk()
    last = write_log(disk, blocks=30, per_block=7, segment_bytes_max=2_000)
    (report,) = verify_log(LOG, disk=disk)
    assert (report.shard, report.events, report.blocks, report.last_position) == (1, last, 30, last)
    assert report.findings == []


def test_verify_tells_a_torn_tail_from_corruption() -> None:
    disk = MemoryDisk()
    write_log(disk, blocks=3, per_block=7, segment_bytes_max=10**6)
    whole = disk.bytes_of(SEGMENT)
    disk.put(SEGMENT, whole[:-3])
    (finding,) = verify_log(LOG, disk=disk)[0].findings
    assert finding.trouble == "torn"
    damaged = bytearray(whole)
    damaged[500] ^= 1
    disk.put(SEGMENT, bytes(damaged))
    (finding,) = verify_log(LOG, disk=disk)[0].findings
    assert (finding.trouble, finding.path) == ("corrupt", SEGMENT)
    with pytest.raises(LogCorrupt) as caught:
        positioned(LogReader(LOG, disk))
    assert caught.value.offset == finding.offset


def test_runs_and_constants_make_small_blocks() -> None:
    disk = MemoryDisk()
    starts = np.arange(0, 8_000, 4)
    rows = Rows(
        8_000, 1, np.arange(1, 8_001), Runs(starts, starts * 10), Runs(starts, starts + 10**15),
        Runs(starts, starts % 97), Runs(starts, starts // 97), 0, 0, Runs(starts, starts), ["offer"], 0,
    )  # fmt: skip
    with Writer.open(LOG, disk=disk) as writer:
        writer.append(rows)
    (block,) = LogReader(LOG, disk).blocks(1)
    assert block.length < 5_000
    assert block.time.tolist() == np.repeat(starts * 10, 4).tolist()
    assert block.bounds("wall") == (10**15, 10**15 + 7_996)
