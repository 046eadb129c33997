"""What is done to a store in the background while a runtime writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from matrix.errors import IndexAhead
from matrix.event import Event
from matrix.index.index import Index
from matrix.log.reader import LogReader
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from matrix.runtime import caretaker
from matrix.runtime.caretaker import Caretaker


def append(writer: Writer, count: int) -> None:
    first = writer.last_position + 1
    started = [Event(1, 1, 0, 0, 0, 0, 0, 0, 0, "simulation.started", data={"id": "s"})] if first == 1 else []
    notes = range(first + len(started), first + count)
    events = [*started, *(Event(1, seq, seq, 0, 0, 0, 0, 0, 0, "note", data={"text": f"{seq}"}) for seq in notes)]
    writer.append(rows_from_events(events))


async def test_the_index_follows_and_sealed_segments_are_compacted_while_a_writer_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caretaker, "CARE_INTERVAL_US", 1_000)
    reader = LogReader(tmp_path / "log")
    with Writer.open(tmp_path / "log", segment_bytes_max=2_000) as writer:
        care = Caretaker(tmp_path, writer, compact=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(care.keep)
            with trio.fail_after(30):
                while sum(info.generation for info in reader.segments(1)) < 2:
                    append(writer, 100)
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        await care.close()
    with Index.open(tmp_path) as index:
        (events,) = index.connection.execute("SELECT events FROM simulations").fetchone()
    assert events == writer.last_position
    assert [event.seq for event in reader.simulation_events(1, 1)] == list(range(1, writer.last_position + 1))


async def test_closing_gives_up_a_compaction_under_way(tmp_path: Path) -> None:
    with Writer.open(tmp_path / "log", segment_bytes_max=2_000) as writer:
        for _ in range(10):
            append(writer, 100)
        care = Caretaker(tmp_path, writer, compact=True)
        await care.close()
        care._compact()
    assert [info.generation for info in LogReader(tmp_path / "log").segments(1)][:2] == [0, 0]
    assert not list((tmp_path / "log" / "0001").glob("*.tmp"))


async def test_a_log_that_lost_events_is_an_alarm_before_the_first_new_one(tmp_path: Path) -> None:
    with Writer.open(tmp_path / "log") as writer:
        append(writer, 50)
        size = (tmp_path / "log" / "0001" / "00000001.seg").stat().st_size
        append(writer, 50)
    with Index.open(tmp_path) as index:
        index.follow(LogReader(tmp_path / "log"))
    with (tmp_path / "log" / "0001" / "00000001.seg").open("r+b") as segment:
        segment.truncate(size)
    with Writer.open(tmp_path / "log") as writer:
        assert writer.last_position == 50
        care = Caretaker(tmp_path, writer, compact=False)
        with pytest.raises(IndexAhead):
            await care.look()


async def test_an_index_that_others_bring_up_is_left_to_them_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[int] = []
    reader = LogReader(tmp_path / "log")
    with Writer.open(tmp_path / "log") as writer, Index.open(tmp_path) as other:
        care = Caretaker(tmp_path, writer, compact=False)
        monkeypatch.setattr(care, "_follow", lambda: followed.append(writer.last_position))
        for _ in range(3):
            append(writer, 10)
            other.follow(reader)
            care._follow_unless_others_do()
        assert followed == []
        append(writer, 10)
        care._follow_unless_others_do()  # nobody else has done it since
        assert followed == [40]
        await care.close()
    assert followed == [40, 40]
