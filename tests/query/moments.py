"""Moments in made-up histories, and what is left of a history at one: the rule of ``as of`` in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from matrix.event import SIMULATION_FORKED, SIMULATION_STARTED, Event
from matrix.testing.forks import whole
from matrix.testing.histories import Shards


@dataclass(frozen=True)
class Moment:
    """A moment as a query writes it (``text``); ``value`` is microseconds, a turn, or an event's id."""

    by: str
    value: int | str

    @property
    def text(self) -> str:
        if self.by == "time":
            return f"{self.value}us"
        if self.by == "wall":
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(self.value))
            return f"@{moment:%Y-%m-%dT%H:%M:%S.%fZ}"
        return f"turn {self.value}" if self.by == "turn" else f'event "{self.value}"'


def asked_at(query: str, moment: Moment) -> str:
    """A query that looks at a moment: ``as of`` stands behind relation, kinds and alias."""
    ends = [place for word in (" where ", " | ") if (place := query.find(word)) >= 0]
    end = min(ends, default=len(query))
    return f"{query[:end]} as of {moment.text}{query[end:]}"


def moments(shards: Shards) -> Iterator[Moment]:
    """Moments that divide a history in every way: at each event, just before it, before all and after all."""
    events = [event for events in whole(shards).values() for event in events]
    for time in sorted({0, *(event.time for event in events), *(event.time - 1 for event in events if event.time)}):
        yield Moment("time", time)
    for wall in sorted({event.wall for event in events} | {event.wall - 1 for event in events}):
        yield Moment("wall", wall)
    for turn in range(max(event.turn for event in events) + 2):
        yield Moment("turn", turn)
    for shard, ordinal, run in _runs(shards):
        for event in run:
            yield Moment("event", f"{_id(shard, ordinal, run)}:{event.seq}")
    yield Moment("event", "nowhere:1")


def _runs(shards: Shards) -> Iterator[tuple[int, int, list[Event]]]:
    """Every simulation with its shard and its number there, whole."""
    for shard, events in whole(shards).items():
        for ordinal in dict.fromkeys(event.simulation for event in events):
            run = [event for event in events if event.simulation == ordinal]
            yield shard, ordinal, sorted(run, key=lambda event: event.seq)


def _id(shard: int, ordinal: int, run: list[Event]) -> str:
    """What a simulation is called: as its newest fork says, else as its start says."""
    forks = [event for event in run if event.kind == SIMULATION_FORKED]
    starts = [event for event in run if event.kind == SIMULATION_STARTED]
    said = [*starts[:1], *forks][-1:]
    return next((event.data["id"] for event in said if event.data.get("id")), f"{shard}-{ordinal}")


def left_at(shards: Shards, moment: Moment) -> Shards:
    """The events that are left, with nothing shared between forks."""
    left: Shards = {shard: [] for shard in shards}
    for shard, ordinal, run in _runs(shards):
        left[shard] += _left_of(run, moment, _id(shard, ordinal, run))
    return left


def is_a_log(shards: Shards, moment: Moment) -> bool:
    """Whether what is left at a moment can be a log of its own, with the same meaning.

    Its seqs must have no gaps, as they may have at a turn of each agent; and every simulation must still say its id,
    which it has at all times: a fork from before it was forked would be called like its parent.
    """
    names = {(shard, ordinal): _id(shard, ordinal, run) for shard, ordinal, run in _runs(shards)}
    left = list(_runs(left_at(shards, moment)))
    is_dense = all(run[-1].seq == len(run) for _, _, run in left)
    return is_dense and all(_id(shard, ordinal, run) == names[shard, ordinal] for shard, ordinal, run in left)


def _left_of(run: list[Event], moment: Moment, id: str) -> list[Event]:
    if moment.by == "event":
        name, _, seq = str(moment.value).rpartition(":")
        is_there = name == id and any(event.seq == int(seq) for event in run)
        return [event for event in run if event.seq <= int(seq)] if is_there else []
    value = int(moment.value)
    if moment.by == "turn":
        before = _before(run, lambda event: event.agent > 0 and event.turn > value)
        return [event for event in run if (event.turn <= value if event.agent else event in before)]
    if moment.by == "time":
        return _before(run, lambda event: event.time > value)
    return _before(run, lambda event: event.wall > value)


def _before(run: list[Event], is_late: Callable[[Event], bool]) -> list[Event]:
    """The events before the first late one."""
    first = next((place for place, event in enumerate(run) if is_late(event)), len(run))
    return run[:first]
