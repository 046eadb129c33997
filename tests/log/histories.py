"""Events for tests: a deterministic history, and hypothesis strategies for hostile ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from matrix.event import Event
from matrix.log.disk import Disk
from matrix.log.reader import LogReader
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer

LOG = Path("/store/log")

#: For properties: a busy machine is no failure.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
KINDS = ("offer", "note", "accept", "message.sent")


def event(position: int, simulations: int = 3) -> Event:
    """The event that belongs at a position: everything about it follows from the number."""
    payloads: tuple[dict[str, Any], ...] = (
        {"price": position % 97, "lot": position, "item": f"item {position % 5}"},
        {"text": f"é {position}", "n": None} if position % 8 < 4 else {"n": position / 4, "flag": position % 16 < 8},
        {},
        {"nested": {"list": [position, None, "x"]}, "raw": bytes([position % 256])},
    )
    return Event(
        simulation=1 + position % simulations,
        seq=position,
        time=position // 4 * 1000,
        wall=1_700_000_000_000_000 + position * 17,
        agent=position // 4 % 7,
        turn=position // 28,
        goal=position // 50 * 3,
        state=position // 100,
        cause=max(0, position - 2),
        kind=KINDS[position % 4],
        to=((), (1,), (2, 3), (4, 5, 6))[position % 4],
        data=payloads[position % 4],
    )


def events(first: int, count: int) -> list[Event]:
    """The events at ``count`` positions from ``first``."""
    return [event(position) for position in range(first, first + count)]


def append(writer: Writer, count: int) -> int:
    """Appends the next events as one block (or more, if they are many)."""
    return writer.append(rows_from_events(events(writer.last_position + 1, count)))


def write_log(disk: Disk, log: Path = LOG, *, blocks: int, per_block: int, segment_bytes_max: int) -> int:
    """A log closed in order; returns its last position."""
    with Writer.open(log, disk=disk, segment_bytes_max=segment_bytes_max) as writer:
        for _ in range(blocks):
            append(writer, per_block)
        return writer.last_position


def positioned(reader: LogReader, shard: int = 1, after: int = 0) -> list[tuple[int, Event]]:
    """Every committed event with its position, in order of position."""
    found = []
    for block in reader.blocks(shard, after=after):
        found += zip(block.positions.tolist(), block.events(), strict=True)
    return sorted((pair for pair in found if pair[0] > after), key=lambda pair: pair[0])


def read_all(disk: Disk, log: Path = LOG, shard: int = 1) -> list[Event]:
    """Every committed event in order of position; the positions must be dense."""
    found = positioned(LogReader(log, disk), shard)
    assert [position for position, _ in found] == list(range(1, len(found) + 1))
    return [found_event for _, found_event in found]


integers = st.one_of(
    st.integers(-3, 300), st.integers(-(2**63), 2**64), st.integers(), st.sampled_from([2**63 - 1, -(2**63), 2**63])
)
leaves = st.one_of(
    st.none(), st.booleans(), integers, st.floats(allow_nan=False), st.text(max_size=12), st.binary(max_size=12)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
payloads = st.dictionaries(st.sampled_from(["a", "b", "price", "é", ""]), values, max_size=4)
fixed = st.integers(0, 2**63 - 1)
narrow = st.integers(0, 2**32 - 1)
any_event = st.builds(
    Event,
    simulation=st.integers(1, 4),
    seq=fixed,
    time=st.integers(-(2**63), 2**63 - 1),
    wall=st.integers(-(2**63), 2**63 - 1),
    agent=narrow,
    turn=narrow,
    goal=fixed,
    state=fixed,
    cause=fixed,
    kind=st.sampled_from(KINDS) | st.text(min_size=1, max_size=5),
    to=st.just(()) | st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=4).map(tuple),
    data=payloads,
)


def same(left: Any, right: Any) -> bool:
    """Equal in value and type all the way down: 1, 1.0 and True differ, -0.0 and 0.0 too."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return repr(left) == repr(right) if isinstance(left, float) else bool(left == right)


def same_event(left: Event, right: Event) -> bool:
    """Equal events, their payloads in type too."""
    names = [name for name in Event.__slots__ if name != "data"]
    return all(getattr(left, name) == getattr(right, name) for name in names) and same(
        dict(left.data), dict(right.data)
    )
