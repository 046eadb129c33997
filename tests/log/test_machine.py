"""The log against a plain list: whatever is done to it, it holds what the list holds."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from matrix.event import Event
from matrix.log.compact import compact_log
from matrix.log.reader import LogReader
from matrix.log.rows import rows_from_events
from matrix.log.verify import verify_log
from matrix.log.writer import Writer
from matrix.testing.disk import MemoryDisk
from tests.log.histories import LOG, any_event, patient, positioned, same_event

few_events = st.lists(any_event, min_size=1, max_size=4)


class LogMachine(RuleBasedStateMachine):
    """Rules do to the log what processes and the world do; ``model`` is what it must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = MemoryDisk()
        self.model: list[Event] = []
        self.durable = 0
        self.writer: Writer | None = None

    @initialize(size=st.sampled_from([600, 2_000, 10**6]))
    def begin(self, size: int) -> None:
        self.segment_bytes_max = size
        self.open()
        self.tail_reader = LogReader(LOG, self.disk)
        self.tailed = 0

    def open(self) -> None:
        self.writer = Writer.open(LOG, shard=1, disk=self.disk, segment_bytes_max=self.segment_bytes_max)

    @rule(history=few_events)
    def append(self, history: list[Event]) -> None:
        assert self.writer
        assert self.writer.append(rows_from_events(history)) == len(self.model) + len(history)
        self.model += history

    @rule(parts=st.lists(few_events, max_size=3), fails=st.booleans())
    def transaction(self, parts: list[list[Event]], fails: bool) -> None:
        assert self.writer
        try:
            with self.writer.transaction():
                for part in parts:
                    self.writer.append(rows_from_events(part))
                    assert len(positioned(LogReader(LOG, self.disk))) == len(self.model)
                if fails:
                    raise KeyError("the caller's own trouble")
        except KeyError:
            assert self.writer.last_position == len(self.model)
            return
        self.model += [event for part in parts for event in part]

    @rule()
    def sync(self) -> None:
        assert self.writer
        assert self.writer.sync() == len(self.model)
        self.durable = len(self.model)

    @rule()
    def reopen(self) -> None:
        assert self.writer
        self.writer.close()
        self.durable = len(self.model)
        self.open()

    @rule()
    def compact(self) -> None:
        assert not compact_log(LOG, disk=self.disk).damaged

    @rule()
    def kill(self) -> None:
        self.disk = self.disk.kill()
        self.reset_readers()
        self.open()

    @precondition(lambda self: self.writer is not None)
    @rule(seed=st.integers(0, 10**6))
    def power_cut(self, seed: int) -> None:
        self.disk = self.disk.crash(seed)
        self.reset_readers()
        assert self.writer
        before = self.writer.durable_position
        self.open()
        found = [event for _, event in positioned(LogReader(LOG, self.disk))]
        assert max(self.durable, before) <= len(found) <= len(self.model)
        assert all(map(same_event, found, self.model))
        self.model = self.model[: len(found)]
        self.durable = len(found)
        assert self.writer.last_position == len(found)

    def reset_readers(self) -> None:
        self.tail_reader, self.tailed = LogReader(LOG, self.disk), 0

    @rule()
    def tail(self) -> None:
        found = positioned(self.tail_reader, after=self.tailed)
        assert [position for position, _ in found] == list(range(self.tailed + 1, len(self.model) + 1))
        assert all(map(same_event, [event for _, event in found], self.model[self.tailed :]))
        self.tailed = len(self.model)

    @rule()
    def verify(self) -> None:
        assert verify_log(LOG, disk=self.disk)[0].findings == []

    @invariant()
    def the_log_holds_what_the_list_holds(self) -> None:
        if self.writer:
            found = positioned(LogReader(LOG, self.disk))
            assert [position for position, _ in found] == list(range(1, len(self.model) + 1))
            assert all(map(same_event, [event for _, event in found], self.model))
            assert self.writer.next_simulation == max([0, *(event.simulation for event in self.model)]) + 1


TestLogAgainstAList = LogMachine.TestCase
TestLogAgainstAList.settings = settings(patient, max_examples=12, stateful_step_count=20)
