"""Negative controls: the log broken on purpose must make its checks fail, or they would prove nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from matrix.errors import LogCorrupt
from matrix.log import compact, recovery, segment, writer
from matrix.log.disk import File
from matrix.log.pack import Packed, pack
from matrix.log.reader import LogReader
from matrix.log.rows import Rows
from matrix.log.writer import Writer
from matrix.testing.disk import FaultyDisk, MemoryDisk, MemoryFile
from tests.log.histories import LOG, append, events, positioned, write_log

SEGMENT = LOG / "0001" / "00000001.seg"


def rotten_payload(disk: MemoryDisk) -> MemoryDisk:
    """The price of one event changed by one bit."""
    write_log(disk, blocks=3, per_block=8, segment_bytes_max=10**6)
    copy, data = disk.kill(), bytearray(disk.bytes_of(SEGMENT))
    block = next(LogReader(LOG, disk).blocks(1))
    data[data.index(b"item", block.ref.offset)] ^= 1
    copy.put(SEGMENT, bytes(data))
    return copy


def test_without_the_payload_checksum_wrong_events_would_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    rotten = rotten_payload(MemoryDisk())
    with pytest.raises(LogCorrupt):
        positioned(LogReader(LOG, rotten))
    monkeypatch.setattr(segment, "payload_matches", lambda *_: True)
    assert [event for _, event in positioned(LogReader(LOG, rotten))] != events(1, 24)


def test_without_the_watermark_durable_events_would_be_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rotten = rotten_payload(MemoryDisk())
    with pytest.raises(LogCorrupt):
        Writer.open(LOG, shard=1, disk=rotten)
    monkeypatch.setattr(recovery, "durable_behind", lambda *_, **__: 0)
    with Writer.open(LOG, shard=1, disk=rotten) as cut:
        assert cut.last_position == 0


def test_without_the_roll_back_a_failed_write_would_leave_half_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FaultyDisk()
    broken = Writer.open(LOG, disk=disk)
    append(broken, 3)
    size = len(disk.bytes_of(SEGMENT))
    monkeypatch.setattr(MemoryFile, "truncate", lambda *_: None)
    disk.space = 100
    with pytest.raises(Exception, match="no space"):
        append(broken, 30)
    assert len(disk.bytes_of(SEGMENT)) == size + 100


def test_without_syncs_power_cuts_would_lose_acknowledged_events(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = 0
    monkeypatch.setattr(MemoryFile, "sync", lambda *_: None)
    for seed in range(40):
        disk = MemoryDisk()
        careless = Writer.open(LOG, disk=disk)
        for _ in range(3):
            append(careless, 8)
            acknowledged = careless.sync()
        after = disk.crash(seed)
        try:
            lost += len(positioned(LogReader(LOG, after))) < acknowledged
        except (LogCorrupt, FileNotFoundError):
            lost += 1
    assert lost > 20


def test_without_the_lock_two_writers_would_take_one_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = MemoryDisk()
    first = Writer.open(LOG, disk=disk)
    monkeypatch.setattr(MemoryFile, "lock", lambda _: True)
    second = Writer.open(LOG, disk=disk)
    assert (first.shard, second.shard) == (1, 1)
    append(second, 2)
    with pytest.raises(writer.LogWriteError, match="another process"):  # the last fence still stands
        append(first, 2)


def test_the_file_in_memory_does_what_the_real_one_does() -> None:
    promised = {name for name in vars(File) if not name.startswith("_")}
    assert promised <= set(vars(MemoryFile))


@pytest.mark.parametrize("column", ["time", "to", "price"])
def test_a_rewrite_that_is_not_equal_never_takes_the_original_s_place(
    monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    def pack_wrongly(rows: Rows, positions: Any, **how: Any) -> Packed:
        if column == "price":
            data = rows.data[rows.kinds.index("offer")]
            cells = dict(data.columns or {})
            cells["price"] = cells["price"].take(np.arange(len(data.rows))[::-1])
            data.columns = cells
        else:
            setattr(rows, column, getattr(rows, column) + 1)
        return pack(rows, positions, **how)

    disk = MemoryDisk()
    write_log(disk, blocks=6, per_block=20, segment_bytes_max=2_000)
    before = disk.bytes_of(SEGMENT)
    monkeypatch.setattr(compact, "pack", pack_wrongly)
    report = compact.compact_log(LOG, disk=disk)
    assert report.segments == 0
    assert f"another {'offer.price' if column == 'price' else column}" in report.damaged[0]
    assert disk.bytes_of(SEGMENT) == before
    assert not [path for path in disk.paths() if path.suffix == ".tmp"]
