"""Compare: the events of a run that is repeated against the history of the first, column by column.

What always holds: events are the same as ``alike`` says. New rows take the way of those that are
written (packed, then read), so comparing costs what writing does; only when columns differ are single
events looked at, and the first that differs is found.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from matrix.event import AGENT_STARTED, Event
from matrix.limits import BLOCK_EVENTS_MAX, COMPARE_EVENTS_SHOWN
from matrix.log.alike import Selected, same_event, same_rows
from matrix.log.block import Block, BlockRef
from matrix.log.digest import Streams
from matrix.log.history import History, events_of
from matrix.log.pack import pack_halving
from matrix.log.rows import FIXED_COLUMNS, Column, Rows, Runs, cut_rows

FEW_EVENTS: Final = 128  # at most so many are compared one by one
_NOWHERE: Final = BlockRef(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first event that is not the same: as recorded, and as it came now.

    ``recorded`` is None when there is an event too many now, ``actual`` when there is one too few. ``agents``
    has the ids of the agents that the two name, as far as they are known; ``recorded_next`` and ``actual_next``
    are the events that follow the two, as far as they are at hand: enough to tell a change from another order.
    """

    seq: int
    recorded: Event | None
    actual: Event | None
    agents: Mapping[int, str] = field(default_factory=dict)
    recorded_next: tuple[Event, ...] = ()
    actual_next: tuple[Event, ...] = ()


class Comparer:
    """The next events of a repeated run against a history.

    >>> comparer = Comparer(history)                         # doctest: +SKIP
    >>> comparer.check(rows)                                 # doctest: +SKIP
    >>> comparer.next_seq, comparer.missing()                # doctest: +SKIP
    (7206, None)
    >>> comparer.digest()                                    # doctest: +SKIP
    '0c5c9a8c3f0d4be1e7b2b7b1f0c0a6d4'
    """

    def __init__(self, history: History, *, last_seq: int | None = None) -> None:
        """Compares with the history up to ``last_seq``."""
        self.history = history
        self.last_seq = history.last_seq if last_seq is None else min(last_seq, history.last_seq)
        self.next_seq = 1
        self.few_events = FEW_EVENTS
        self._streams = Streams()
        self._pieces = history.pieces()
        self._ahead: deque[tuple[Block, np.ndarray]] = deque()  # looked at, and not compared yet

    def check(self, rows: Rows) -> Difference | None:
        """The first difference of the next events, which begin with event ``next_seq``; None: they are the same.

        After a difference nothing more is to be checked.
        """
        if rows.count <= self.few_events and self._are_few_same(rows):
            return None
        for block in _blocks_of(rows):
            difference = self._check_block(block)
            if difference is not None:
                return difference
            self._streams.feed(block, np.arange(block.count))
        return None

    def missing(self) -> Difference | None:
        """The next event that was recorded, when the repeated run has come to its end; None when all came."""
        if self.next_seq > self.last_seq:
            return None
        recorded = self.history.event(self.next_seq)
        return Difference(recorded.seq, recorded, None, self._names([recorded], []), self._behind(recorded.seq))

    def digest(self) -> str:
        """The digest of what was compared so far: the history's own when that was all of it."""
        return self._streams.digest()

    def _are_few_same(self, rows: Rows) -> bool:
        """Whether a few events are the same, looked at one by one: packing them would cost more. False: ask again."""
        stretches = self._upcoming(rows.count)
        actual = _events_of_rows(rows)
        if actual is None or sum(len(picked) for _, picked in stretches) < rows.count:
            return False
        recorded = (event for stretch in stretches for event in events_of(*stretch))
        if not all(map(same_event, recorded, actual)):
            return False
        for block, picked in stretches:
            self._streams.feed(block, picked)
            self._advance(len(picked))
        return True

    def _check_block(self, block: Block) -> Difference | None:
        start = 0
        while start < block.count:
            stretches = self._upcoming(block.count - start)
            if not stretches:
                return self._difference(None, events_of(block, np.array([start]))[0], block)
            recorded_block, rows = stretches[0]
            pair = Selected(recorded_block, rows), Selected(block, np.arange(start, start + len(rows)))
            if not same_rows(*pair):
                recorded, actual = _first_difference(*pair)
                self.next_seq = recorded.seq
                return self._difference(recorded, actual, block)
            start += len(rows)
            self._advance(len(rows))
        return None

    def _upcoming(self, count: int) -> list[tuple[Block, np.ndarray]]:
        """Where the next recorded events are, at most so many: blocks, and their rows there."""
        count = min(count, self.last_seq - self.next_seq + 1)
        found: list[tuple[Block, np.ndarray]] = []
        number = 0
        while count > 0:
            if number == len(self._ahead):
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._ahead.append((piece.block, piece.rows))
            block, rows = self._ahead[number]
            found.append((block, rows[:count]))
            number, count = number + 1, count - len(rows)
        return found

    def _advance(self, count: int) -> None:
        """So many of what is upcoming, within one stretch, have come."""
        block, rows = self._ahead.popleft()
        if count < len(rows):
            self._ahead.appendleft((block, rows[count:]))
        self.next_seq += count

    def _difference(self, recorded: Event | None, actual: Event, block: Block) -> Difference:
        known = [recorded, actual] if recorded else [actual]
        new = events_of(block, np.arange(block.count))
        behind = [event for event in new if event.seq > actual.seq][:COMPARE_EVENTS_SHOWN]
        names = self._names(known, new)
        return Difference(actual.seq, recorded, actual, names, self._behind(actual.seq), tuple(behind))

    def _behind(self, seq: int) -> tuple[Event, ...]:
        return tuple(self.history.events(seq + 1, min(seq + COMPARE_EVENTS_SHOWN, self.last_seq)))

    def _names(self, named: list[Event], new: list[Event]) -> dict[int, str]:
        """The ids of the agents that some events name, from the history or from new events."""
        wanted = {number for event in named for number in (event.agent, *event.to)} - {0}
        found: dict[int, str] = {}
        for started in (*self._started(wanted), *new):
            if started.kind == AGENT_STARTED and started.agent in wanted:
                found.setdefault(started.agent, str(started.data.get("id", "")))
        return found

    def _started(self, wanted: set[int]) -> Iterator[Event]:
        left = set(wanted)
        for started in self.history.events(kinds={AGENT_STARTED}) if left else ():
            if started.agent in left:
                yield started
                left.discard(started.agent)
                if not left:
                    return


def _events_of_rows(rows: Rows) -> list[Event] | None:
    """The events of rows whose payloads are dicts; None when they are columns."""
    data: dict[int, dict[str, Any]] = {}
    for of_kind in rows.data.values():
        if of_kind.payloads is None:
            return None
        of_rows = of_kind.rows.tolist() if isinstance(of_kind.rows, np.ndarray) else of_kind.rows
        data.update(zip(of_rows, of_kind.payloads, strict=True))
    names = (*FIXED_COLUMNS, "kind", "to")
    columns = (_listed(getattr(rows, name), rows.count) for name in names)
    found = []
    for row, (*fixed, code, to) in enumerate(zip(*columns, strict=True)):
        receivers = rows.to_many.get(row) or ((to,) if to else ())
        found.append(Event(*fixed, rows.kinds[code], receivers, data.get(row, {})))  # type: ignore[call-arg]  # nine
    return found


def _listed(column: Column, count: int) -> list[int]:
    if isinstance(column, int):
        return [column] * count
    if isinstance(column, Runs):
        return list(np.repeat(column.values, np.diff(column.starts, append=count)).tolist())
    return list(column.tolist())


def _blocks_of(rows: Rows) -> Iterator[Block]:
    """The rows as they would be read back, without having been written."""
    for start in range(0, rows.count, BLOCK_EVENTS_MAX):
        whole = rows.count <= BLOCK_EVENTS_MAX
        part = rows if whole else cut_rows(rows, start, min(start + BLOCK_EVENTS_MAX, rows.count))
        for packed in pack_halving(part, 1):
            data = packed.payload
            yield Block(data, 0, len(data), path=Path("replay"), ref=_NOWHERE, length=len(data), first=1, last=1)


def _first_difference(recorded: Selected, actual: Selected) -> tuple[Event, Event]:
    pairs = zip(recorded.events(), actual.events(), strict=True)
    found = next((pair for pair in pairs if not same_event(*pair)), None)
    assert found is not None, "columns differ where no event does"
    return found
