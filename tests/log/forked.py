"""Logs with forks for tests: a few simulations told event by event, and what the history of each should be."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from matrix.event import Event
from matrix.log.compact import compact_log
from matrix.log.disk import Disk
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from tests.log.histories import LOG, leaves, payloads

KINDS = ("offer", "note", "call.completed", "message.sent")
data = payloads | st.dictionaries(st.sampled_from("ab"), leaves | st.floats(), max_size=2)


def plain_event(seq: int, **changed: Any) -> Event:
    """Event ``seq`` of a simulation that says little."""
    fixed = {"simulation": 1, "time": seq * 10, "wall": seq, "agent": seq % 5, "turn": seq // 5, "goal": 0}
    return Event(**{**fixed, "state": 0, "cause": seq - 1, "seq": seq, "kind": KINDS[seq % 4], **changed})


def started(**changed: Any) -> Event:
    """The first event of a simulation."""
    told = {"id": "1-1", "name": "market", "seed": 7, "versions": {"python": "3.11.7"}}
    return plain_event(1, kind="simulation.started", agent=0, data=told | changed)


def forked(parent: tuple[int, int], at: int, time: int, **changed: Any) -> Event:
    """The first event of a fork's own."""
    told = {"id": "f", "parent": "1-1", "parent_shard": parent[0], "parent_ordinal": parent[1], "at": at, "seed": 8}
    return plain_event(at + 1, kind="simulation.forked", agent=0, cause=at, time=time, data=told | changed)


@dataclass
class Told:
    """One simulation: where it lies, its own events, and its whole history as if its parent's had been copied."""

    shard: int
    ordinal: int
    own: list[Event]
    whole: list[Event]

    @property
    def place(self) -> tuple[int, int]:
        return self.shard, self.ordinal


def write(disk: Disk, told: list[Told], picks: list[int], *, segment_bytes_max: int, log: Path = LOG) -> None:
    """Writes all simulations, interleaved: each pick names the simulation whose next events follow, and how many."""
    left = [list(one.own) for one in told]
    writers: dict[int, Writer] = {}
    for one in told:
        if one.shard not in writers:
            writers[one.shard] = Writer.open(log, shard=one.shard, disk=disk, segment_bytes_max=segment_bytes_max)
    waiting: dict[int, list[Event]] = {shard: [] for shard in writers}
    for pick in [*picks, *([1_000 * len(told) - 1 - n for n in range(len(told))])]:
        number, count = pick % len(told), pick // len(told)
        shard = told[number].shard
        waiting[shard] += left[number][:count]
        del left[number][:count]
        if (pick % 3 == 0 or count >= 900) and waiting[shard]:
            writers[shard].append(rows_from_events(waiting[shard]))
            waiting[shard] = []
    for shard, writer in writers.items():
        if waiting[shard]:
            writer.append(rows_from_events(waiting[shard]))
        writer.close()


def compact(disk: Disk) -> None:
    """Compacts all that is sealed."""
    compact_log(LOG, disk=disk)


@st.composite
def societies(draw: st.DrawFn) -> list[Told]:
    """Up to five simulations in two shards, some of them forks of earlier ones."""
    told: list[Told] = []
    for _ in range(draw(st.integers(1, 5))):
        shard = draw(st.integers(1, 2))
        ordinal = 1 + sum(one.shard == shard for one in told)
        parent = draw(st.sampled_from(told)) if told and draw(st.booleans()) else None
        if parent is None:
            prefix, first = [], started(seed=draw(st.integers(0, 9)))
        else:
            at = draw(st.integers(1, len(parent.whole)))
            prefix, first = parent.whole[:at], forked(parent.place, at, parent.whole[at - 1].time)
        own = [first]
        for _ in range(draw(st.integers(0, 9))):
            before = own[-1]
            own.append(plain_event(before.seq + 1, **draw(_anything(before.time))))
        if draw(st.booleans()):
            own.append(plain_event(own[-1].seq + 1, kind="simulation.finished", time=own[-1].time))
        own = [dataclasses.replace(event, simulation=ordinal) for event in own]
        told.append(Told(shard, ordinal, own, prefix + own))
    return told


def _anything(time: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "time": st.integers(time, time + 20),
            "kind": st.sampled_from(KINDS),
            "to": st.sampled_from([(), (3,), (3, 4), (9, 2, 7)]),
            "data": data,
        }
    )
