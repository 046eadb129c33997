"""What a sync acknowledges: never more than is whole, and nothing that only the cache holds."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from matrix.errors import LogWriteError
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from matrix.testing.disk import FaultyDisk, MemoryDisk
from tests.log.histories import LOG, append, events, read_all


class SyncsAmidAppend(FaultyDisk):
    """Calls ``writer.sync()`` before the second write of an append, as another thread may; that write then fails."""

    writer: Writer | None = None
    writes = 0

    def on_call(self, call: str, path: Path) -> None:
        if call == "write" and self.writer is not None:
            self.writes += 1
            if self.writes == 2:
                self.writer.sync()
                raise OSError(errno.ENOSPC, "no space left on device")
        super().on_call(call, path)


def test_a_sync_amid_an_append_that_fails_acknowledges_nothing_of_it() -> None:
    disk = SyncsAmidAppend()
    writer = Writer.open(LOG, disk=disk)
    append(writer, 10)
    assert writer.sync() == 10
    disk.writer = writer
    with pytest.raises(LogWriteError):
        writer.append(rows_from_events(events(11, 20_000)))  # more than one block
    disk.writer = None
    assert (writer.last_position, writer.durable_position) == (10, 10)
    append(writer, 5)
    syncs = sum(call == "sync" for call, _ in disk.calls)
    assert writer.sync() == 15
    assert sum(call == "sync" for call, _ in disk.calls) == syncs + 1


def test_events_of_an_open_transaction_are_not_acknowledged_by_a_sync() -> None:
    writer = Writer.open(LOG, disk=MemoryDisk())
    append(writer, 3)
    with writer.transaction():
        append(writer, 4)
        assert writer.sync() == 3
    assert writer.sync() == 7


@pytest.mark.parametrize("seed", range(40))
def test_what_the_next_writer_takes_over_survives_a_power_cut_even_if_its_writer_was_killed_before_a_sync(
    seed: int,
) -> None:
    disk = MemoryDisk()
    writer = Writer.open(LOG, disk=disk, segment_bytes_max=2_000)
    while len(disk.paths()) < 3:  # the lock, a sealed segment, and the next one begun
        append(writer, 9)
    append(writer, 4)
    last = writer.last_position
    killed = disk.kill()
    heir = Writer.open(LOG, disk=killed, segment_bytes_max=2_000)
    assert heir.durable_position == heir.last_position == last
    assert read_all(killed.crash(seed)) == events(1, last)


def test_a_seal_that_was_not_synced_is_synced_by_the_next_writer() -> None:
    disk = FaultyDisk()
    writer = Writer.open(LOG, disk=disk, segment_bytes_max=600)
    append(writer, 30)
    disk.fail("sync")
    with pytest.raises(LogWriteError, match="sync failed"):
        append(writer, 1)  # rolls: writes the seal, whose sync fails
    killed = disk.kill()
    Writer.open(LOG, disk=killed)
    for seed in range(40):
        assert read_all(killed.crash(seed)) == events(1, 30)
