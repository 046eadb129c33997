"""Histories: a fork's is what it would be had its parent's events been copied, wherever they lie."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import StoreError, UsageError
from matrix.event import SIMULATION_ENDS, Event
from matrix.log.digest import simulation_digest
from matrix.log.history import Histories, History
from matrix.log.reader import LogReader
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from matrix.testing.disk import MemoryDisk
from tests.log.forked import Told, compact, forked, plain_event, societies, started, write
from tests.log.histories import LOG, patient, same_event

picks = st.lists(st.integers(0, 60), max_size=12)
segments = st.sampled_from([700, 1_500, 64 * 1024])


def alone(events: list[Event]) -> str:
    """The digest of some events, written as one simulation of a log of its own."""
    disk = MemoryDisk()
    with Writer.open(LOG, disk=disk) as writer:
        writer.append(rows_from_events([dataclasses.replace(event, simulation=1) for event in events]))
    return simulation_digest(LogReader(LOG, disk), 1, 1)


def same(found: list[Event], expected: list[Event]) -> bool:
    return len(found) == len(expected) and all(map(same_event, found, expected))


@patient
@given(societies(), picks, segments, st.booleans(), st.data())
def test_a_history_is_its_events_in_order_with_its_parents_before(
    told: list[Told], order: list[int], segment_bytes_max: int, is_compact: bool, data: st.DataObject
) -> None:
    disk = MemoryDisk()
    write(disk, told, order, segment_bytes_max=segment_bytes_max)
    if is_compact:
        compact(disk)
    histories = Histories(LogReader(LOG, disk))
    for one in told:
        history = histories.history(*one.place)
        whole = one.whole
        assert same(list(history.events()), whole)
        assert history.last_seq == len(whole)
        assert same_event(history.started, whole[0])
        assert history.end == (whole[-1] if whole[-1].kind in SIMULATION_ENDS else None)
        assert [event.seq for event in history.forks] == [e.seq for e in whole if e.kind == "simulation.forked"]
        first, last = data.draw(st.integers(1, len(whole))), data.draw(st.integers(1, len(whole)))
        kinds = data.draw(st.sets(st.sampled_from(["offer", "note", "simulation.started"])))
        wanted = [event for event in whole[first - 1 : last] if event.kind in kinds]
        assert same(list(history.events(first, last, kinds)), wanted)
        assert same_event(history.event(first), whole[first - 1])
        time = data.draw(st.integers(-1, whole[-1].time + 1))
        assert history.seq_at(time) == sum(event.time <= time for event in whole)
        rows = [seq for piece in history.pieces(first) for seq in piece.block.seq[piece.rows].tolist()]
        assert rows == list(range(first, len(whole) + 1))
        cut = histories.history(*one.place, last_seq=last)
        assert same(list(cut.events()), whole[:last])
        assert cut.digest() == alone(whole[:last])


@patient
@given(societies(), picks, segments, st.booleans())
def test_a_digest_is_that_of_the_events_copied_together(
    told: list[Told], order: list[int], segment_bytes_max: int, is_compact: bool
) -> None:
    disk = MemoryDisk()
    write(disk, told, order, segment_bytes_max=segment_bytes_max)
    if is_compact:
        compact(disk)
    reader = LogReader(LOG, disk)
    for one in told:
        assert simulation_digest(reader, *one.place) == alone(one.whole)
        assert same(list(reader.simulation_events(*one.place)), one.whole)


@patient
@given(societies(), picks, st.data())
def test_reading_goes_on_where_it_was_when_segments_are_compacted_meanwhile(
    told: list[Told], order: list[int], data: st.DataObject
) -> None:
    disk = MemoryDisk()
    write(disk, told, order, segment_bytes_max=700)
    one = data.draw(st.sampled_from(told))
    # Nothing is kept between reads: every block is fetched again, from a reader that keeps no old file open.
    reader = LogReader(LOG, disk)
    history = History(reader, *one.place, histories=Histories(reader, events_kept=1))
    when = data.draw(st.integers(0, len(one.whole)))
    found = []
    events = history.events()
    for _ in range(when):
        found.append(next(events))
    compact(disk)
    reader.close()
    found += events
    assert same(found, one.whole)
    assert history.digest() == alone(one.whole)


def test_a_history_ends_where_it_ended_when_it_was_made() -> None:
    disk = MemoryDisk()
    writer = Writer.open(LOG, disk=disk)
    writer.append(rows_from_events([started(), plain_event(2)]))
    reader = LogReader(LOG, disk)
    history = History(reader, 1, 1)
    writer.append(rows_from_events([plain_event(3)]))
    assert [event.seq for event in history.events()] == [1, 2]
    assert [event.seq for event in History(reader, 1, 1).events()] == [1, 2, 3]


def test_forks_of_forks_share_what_lies_before_both() -> None:
    disk = MemoryDisk()
    root = Told(1, 1, own := [started(), *map(plain_event, range(2, 9))], own)
    early = [forked((1, 1), 6, 60), plain_event(8)]
    late = [forked((1, 2), 3, 30), plain_event(5)]  # of the fork, but before the fork's own events
    write(disk, [root, *(_fork(number, own) for number, own in ((2, early), (3, late)))], [], segment_bytes_max=9_999)
    histories = Histories(LogReader(LOG, disk))
    whole, fork, fork_of_fork = (histories.history(1, ordinal) for ordinal in (1, 2, 3))
    assert [(part.ordinal, part.first_seq, part.last_seq) for part in fork_of_fork.parts] == [(1, 1, 3), (3, 4, 5)]
    assert [event.seq for event in fork_of_fork.forks] == [4]
    assert whole.shared_with(fork) == fork.shared_with(whole) == 6
    assert fork.shared_with(fork_of_fork) == whole.shared_with(fork_of_fork) == 3
    assert whole.shared_with(whole) == 8


def _fork(ordinal: int, own: list[Event]) -> Told:
    return Told(1, ordinal, [dataclasses.replace(event, simulation=ordinal) for event in own], [])


def test_a_fork_whose_parent_lost_events_is_told_as_that() -> None:
    disk = MemoryDisk()
    fork = [dataclasses.replace(event, simulation=2) for event in (forked((1, 1), 5, 50), plain_event(7))]
    write(disk, [Told(1, 1, [started(), plain_event(2)], []), Told(1, 2, fork, [])], [], segment_bytes_max=9_999)
    with pytest.raises(StoreError, match=r"events 3 to 5 of simulation 1 of shard 1 are not in the log"):
        list(History(LogReader(LOG, disk), 1, 2).events())


def test_a_fork_without_its_parent_and_one_that_is_its_own_are_told_as_that() -> None:
    for parent in ((3, 1), (1, 1)):
        disk = MemoryDisk()
        with Writer.open(LOG, disk=disk) as writer:
            writer.append(rows_from_events([forked(parent, 5, 50)]))
        with pytest.raises(StoreError, match="its own events are not there"):
            History(LogReader(LOG, disk), 1, 1)


def test_a_simulation_and_an_event_that_are_not_there_are_refused_by_name() -> None:
    disk = MemoryDisk()
    with Writer.open(LOG, disk=disk) as writer:
        writer.append(rows_from_events([started()]))
    reader = LogReader(LOG, disk)
    with pytest.raises(UsageError, match="no events of simulation 2 of shard 1"):
        History(reader, 1, 2)
    with pytest.raises(UsageError, match="no events of simulation 1 of shard 4"):
        History(reader, 4, 1)
    with pytest.raises(UsageError, match="no event 2: the history has events 1 to 1"):
        History(reader, 1, 1).event(2)


def test_one_simulation_among_many_reads_only_blocks_that_may_hold_it() -> None:
    disk = MemoryDisk()
    with Writer.open(LOG, disk=disk) as writer:
        for ordinal in range(1, 101):
            own = [started(), *map(plain_event, range(2, 20))]
            writer.append(rows_from_events([dataclasses.replace(event, simulation=ordinal) for event in own]))
    histories = Histories(_Counting(LOG, disk))
    history = histories.history(1, 40)
    assert [event.seq for event in history.events()] == list(range(1, 20))
    assert histories._reader.read == 1


def test_all_of_many_interleaved_simulations_read_each_block_a_few_times() -> None:
    disk = MemoryDisk()
    told: dict[int, list[Event]] = {ordinal: [] for ordinal in range(1, 101)}
    with Writer.open(LOG, disk=disk, segment_bytes_max=40_000) as writer:
        for seq in range(1, 41):
            some = [_varied(seq, ordinal) for ordinal in told]
            writer.append(rows_from_events(some))
            for event in some:
                told[event.simulation].append(event)
    reader = _Counting(LOG, disk)
    histories = Histories(reader)
    for ordinal, expected in told.items():
        history = histories.history(1, ordinal)
        assert same(list(history.events()), expected)
        assert same(list(history.events(7, kinds={"note"})), [e for e in expected[6:] if e.kind == "note"])
        assert history.digest() == alone(expected)
    assert reader.read <= 3 * 40
    compact(disk)
    reader.close()
    assert same(list(histories.history(1, 50).events()), told[50])  # from what it kept
    assert same(list(Histories(reader).history(1, 50).events()), told[50])


def _varied(seq: int, ordinal: int) -> Event:
    to = ((), (3,), (4, ordinal))[(seq + ordinal) % 3]
    data = ({}, {"x": None}, {"x": ordinal}, {"x": "text", "y": [seq]})[(seq * ordinal) % 4]
    return plain_event(seq, simulation=ordinal, to=to, data=data)


class _Counting(LogReader):
    read = 0

    def block(self, ref):
        self.read += 1
        return super().block(ref)


def test_the_digest_of_a_field_that_is_none_does_not_depend_on_what_shares_its_block() -> None:
    told = [Told(1, n, own, own) for n, own in ((1, [_noted(1, None)]), (2, [_noted(2, 1), _noted(2, 2)]))]
    together = MemoryDisk()
    with Writer.open(LOG, disk=together) as writer:
        writer.append(rows_from_events([told[0].own[0], *told[1].own]))
    assert simulation_digest(LogReader(LOG, together), 1, 1) == alone(told[0].own)


def _noted(simulation: int, value: int | None) -> Event:
    return plain_event(1, simulation=simulation, kind="note", data={"n": value})


def test_pieces_are_rows_of_blocks_that_others_share() -> None:
    disk = MemoryDisk()
    with Writer.open(LOG, disk=disk) as writer:
        own = [started(), plain_event(2), plain_event(3)]
        both = [dataclasses.replace(event, simulation=ordinal) for event in own for ordinal in (1, 2)]
        writer.append(rows_from_events(both))
    (piece,) = History(LogReader(LOG, disk), 1, 2).pieces(2)
    assert piece.rows.tolist() == [3, 5]
    assert (piece.first_seq, piece.last_seq, piece.block.count) == (2, 3, 6)
    assert np.array_equal(piece.block.simulation[piece.rows], [2, 2])
