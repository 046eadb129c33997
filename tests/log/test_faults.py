"""A disk that refuses, fills up, takes bytes in pieces or lies about a sync."""

from __future__ import annotations

import contextlib
import errno
import random

import pytest

from matrix.errors import LogCorrupt, LogWriteError
from matrix.log.compact import compact_log
from matrix.log.rows import rows_from_events
from matrix.log.verify import verify_log
from matrix.log.writer import Writer
from matrix.testing.disk import FaultyDisk, MemoryDisk
from tests.log.histories import LOG, append, events, read_all

SEGMENT = LOG / "0001" / "00000001.seg"


def test_a_full_disk_is_a_clear_error_and_appending_goes_on_once_there_is_space() -> None:
    disk = FaultyDisk()
    writer = Writer.open(LOG, disk=disk)
    append(writer, 5)
    for space in (0, 1, 50, 77, 78, 300):
        disk.space = space
        with pytest.raises(LogWriteError, match="no space left"):
            append(writer, 50)
        assert read_all(disk) == events(1, writer.last_position)
        disk.space = None
        append(writer, 5)
    assert read_all(disk) == events(1, 35)
    writer.close()
    assert verify_log(LOG, disk=disk)[0].findings == []


@pytest.mark.parametrize("error", [errno.EFBIG, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_a_refused_write_keeps_what_was_there(error: int) -> None:
    disk = FaultyDisk()
    writer = Writer.open(LOG, disk=disk)
    append(writer, 5)
    before = disk.bytes_of(SEGMENT)
    disk.fail("write", error=error)
    with pytest.raises(LogWriteError) as caught:
        append(writer, 5)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == error
    assert disk.bytes_of(SEGMENT) == before
    append(writer, 5)
    assert read_all(disk) == events(1, 10)


def test_short_writes_are_completed() -> None:
    for seed in range(20):
        disk = FaultyDisk(seed)
        writer = Writer.open(LOG, disk=disk, segment_bytes_max=3_000)
        disk.short_writes = True
        for _ in range(12):
            append(writer, 9)
        writer.close()
        assert read_all(disk) == events(1, 108)


def test_a_failed_sync_ends_the_writer_and_is_never_tried_again() -> None:
    disk = FaultyDisk()
    writer = Writer.open(LOG, disk=disk)
    append(writer, 5)
    writer.sync()
    append(writer, 5)
    disk.fail("sync")
    with pytest.raises(LogWriteError, match="sync failed"):
        writer.sync()
    disk.calls.clear()
    for act in (writer.sync, lambda: append(writer, 1), lambda: writer.transaction().__enter__()):
        with pytest.raises(LogWriteError, match="has ended"):
            act()
    writer.close()
    assert "sync" not in [call for call, _ in disk.calls]
    assert writer.durable_position == 5
    again = Writer.open(LOG, shard=1, disk=disk.crash(1))
    assert again.last_position >= 5


def test_recovery_after_a_failed_sync_believes_only_the_disk() -> None:
    disk = FaultyDisk()
    writer = Writer.open(LOG, disk=disk)
    append(writer, 5)
    disk.calls.clear()
    Writer.open(LOG, shard=1, disk=(killed := _recording(disk)))
    calls = [call for call, path in killed.calls if path == SEGMENT]
    assert calls.index("sync") < calls.index("forget") < len(calls) - calls[::-1].index("read")


def _recording(disk: FaultyDisk) -> FaultyDisk:
    copy = FaultyDisk()
    plain = disk.kill()
    copy._files, copy._folders = plain._files, plain._folders
    return copy


def test_a_failed_truncate_ends_the_writer_and_recovery_cuts_what_is_left() -> None:
    disk = FaultyDisk()
    writer = Writer.open(LOG, disk=disk)
    append(writer, 5)
    disk.space = 100
    disk.fail("truncate")
    with pytest.raises(LogWriteError, match="could not be taken back"):
        append(writer, 50)
    disk.heal()
    with pytest.raises(LogWriteError, match="has ended"):
        append(writer, 1)
    writer.close()
    with Writer.open(LOG, shard=1, disk=disk) as again:
        assert again.last_position == 5
        append(again, 5)
    assert read_all(disk) == events(1, 10)


def work(disk: MemoryDisk, done: list[int]) -> None:
    """A small life of a log: create, append, roll, a transaction, compaction, close, adopt; notes what was acked."""
    with Writer.open(LOG, shard=1, disk=disk, segment_bytes_max=900) as writer:
        for round_ in range(4):
            done[0] = append(writer, 8)
            if round_ == 2:
                with writer.transaction():
                    append(writer, 4)
                    append(writer, 4)
                done[0] = writer.last_position
            done[1] = writer.sync()
    compact_log(LOG, disk=disk)
    with Writer.open(LOG, shard=1, disk=disk, segment_bytes_max=900) as writer:
        done[0] = append(writer, 3)


@pytest.mark.parametrize("forever", [False, True])
def test_any_single_failing_operation_is_an_error_or_nothing_and_the_next_open_is_right(forever: bool) -> None:
    clean = FaultyDisk()
    work(clean, [0, 0])
    total = len(clean.calls)
    assert total >= 70
    for at in range(1, total + 1):
        disk, done = FaultyDisk(at), [0, 0]
        disk.fail("any", at=at, forever=forever)
        try:
            work(disk, done)
        except (LogWriteError, OSError):
            pass
        except LogCorrupt as error:  # a read that failed is no corruption
            pytest.fail(f"call {at} failed and was taken for damage: {error}")
        disk.heal()
        survivor = disk.kill()
        with Writer.open(LOG, shard=1, disk=survivor) as writer:
            assert writer.last_position >= done[0], f"call {at}: acknowledged events are gone"
            append(writer, 2)
            last = writer.last_position
        assert read_all(survivor) == events(1, last)
        assert verify_log(LOG, disk=survivor)[0].findings == []


def on_faulty(disk: MemoryDisk, seed: int) -> FaultyDisk:
    """The same contents on a disk whose calls can fail."""
    faulty = FaultyDisk(seed)
    faulty._files, faulty._folders, faulty._safe_names = disk._files, disk._folders, disk._safe_names
    return faulty


def test_power_cuts_keep_a_prefix_with_all_that_was_durable() -> None:
    for seed in range(150):
        draw = random.Random(seed)
        disk, done = FaultyDisk(seed), [0, 0]
        disk.short_writes = draw.random() < 0.5
        disk.fail("any", at=draw.randint(1, 95), forever=True)  # the machine stops here
        with contextlib.suppress(LogWriteError, OSError):
            work(disk, done)
        found = disk.crash(seed)
        for _ in range(draw.randint(0, 2)):  # and again during recovery
            recovering = on_faulty(found, seed)
            recovering.fail("any", at=draw.randint(1, 25), forever=True)
            with contextlib.suppress(LogWriteError):
                Writer.open(LOG, shard=1, disk=recovering)
            found = recovering.crash(draw.randrange(10**6))
        if LOG / "0001" not in found._folders:
            continue
        with Writer.open(LOG, shard=1, disk=found) as writer:
            assert writer.last_position >= done[1], f"seed {seed}"
            last = writer.last_position
        assert read_all(found) == events(1, last)
        assert verify_log(LOG, disk=found)[0].findings == []


def test_rows_that_cannot_be_written_leave_nothing() -> None:
    disk = FaultyDisk()
    writer = Writer.open(LOG, disk=disk)
    append(writer, 5)
    before = disk.bytes_of(SEGMENT)
    many = events(6, 9_000)
    many[-1].data["odd"] = {1, 2}  # type: ignore[index]  # found only in the second block
    with pytest.raises(Exception, match="odd"):
        writer.append(rows_from_events(many))
    assert disk.bytes_of(SEGMENT) == before
    append(writer, 5)
    assert read_all(disk) == events(1, 10)
