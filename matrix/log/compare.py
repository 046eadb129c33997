"""Compare: the events of a run that is repeated against the history of the first, column by column.

What always holds: events are the same exactly when their digests are: ``wall`` and what says where a
simulation was run are not compared, 1, 1.0 and True differ, so do None and absent, and NaN is NaN.
New rows take the way of those that are written (packed, then read), so comparing costs what writing
does; only when columns differ are single events looked at, and the first that differs is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cbor2
import numpy as np

from matrix.event import AGENT_STARTED, Event
from matrix.limits import BLOCK_EVENTS_MAX, COMPARE_EVENTS_SHOWN, FIELDS_PER_KIND_MAX
from matrix.log.block import Block, BlockRef
from matrix.log.cells import Cells
from matrix.log.digest import Streams, is_environment, same_cells
from matrix.log.history import History, Piece, events_of
from matrix.log.pack import pack_halving
from matrix.log.rows import Rows, cut_rows

#: The fixed columns that say what happened: all but ``simulation``, which a replay has of its own, and ``wall``.
COMPARED: Final = ("seq", "time", "agent", "turn", "goal", "state", "cause")
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
        self._streams = Streams()
        self._pieces = history.pieces()
        self._piece: Piece | None = None
        self._at = 0  # rows of the piece that were compared already

    def check(self, rows: Rows) -> Difference | None:
        """The first difference of the next events, which begin with event ``next_seq``; None: they are the same.

        After a difference nothing more is to be checked.
        """
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

    def _check_block(self, block: Block) -> Difference | None:
        start = 0
        while start < block.count:
            piece = self._next_piece()
            if piece is None or self.next_seq > self.last_seq:
                return self._difference(None, events_of(block, np.array([start]))[0], block)
            count = min(len(piece.rows) - self._at, block.count - start, self.last_seq - self.next_seq + 1)
            rows = piece.rows[self._at : self._at + count]
            pair = _Selected(piece.block, rows), _Selected(block, np.arange(start, start + count))
            if not _same(*pair):
                recorded, actual = _first_difference(*pair)
                self.next_seq = recorded.seq
                return self._difference(recorded, actual, block)
            start, self._at, self.next_seq = start + count, self._at + count, self.next_seq + count
        return None

    def _next_piece(self) -> Piece | None:
        """The piece with the next event; None at the end of the history."""
        if self._piece is None or self._at == len(self._piece.rows):
            self._piece, self._at = next(self._pieces, None), 0
        return self._piece

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


def _blocks_of(rows: Rows) -> Iterator[Block]:
    """The rows as they would be read back, without having been written."""
    for start in range(0, rows.count, BLOCK_EVENTS_MAX):
        whole = rows.count <= BLOCK_EVENTS_MAX
        part = rows if whole else cut_rows(rows, start, min(start + BLOCK_EVENTS_MAX, rows.count))
        for packed in pack_halving(part, 1):
            data = packed.payload
            yield Block(data, 0, len(data), path=Path("replay"), ref=_NOWHERE, length=len(data), first=1, last=1)


# -- columns ------------------------------------------------------------------------------------


class _Selected:
    """Some ascending rows of a block."""

    __slots__ = ("block", "rows", "span")

    def __init__(self, block: Block, rows: np.ndarray) -> None:
        self.block, self.rows = block, rows
        first, last = int(rows[0]), int(rows[-1]) + 1
        self.span: Any = slice(first, last) if last - first == len(rows) else rows  # a slice copies nothing

    def fixed(self, name: str) -> np.ndarray:
        """A fixed column."""
        values: np.ndarray = getattr(self.block, name)[self.span]
        return values

    def events(self) -> list[Event]:
        """The events themselves."""
        return events_of(self.block, self.rows)

    def receivers(self) -> dict[int, tuple[int, ...]]:
        """All receivers of the rows with more than one, by their place among the rows."""
        if not self.block.to_many:
            return {}
        place_of = {row: place for place, row in enumerate(self.rows.tolist())}
        return {place_of[row]: to for row, to in self.block.to_many.items() if row in place_of}

    def places(self, kind: str) -> Any:
        """Which of the block's rows of a kind are among these."""
        of_kind = self.block.kind_rows(kind)
        if isinstance(self.span, slice):
            return slice(*np.searchsorted(of_kind, (self.span.start, self.span.stop)).tolist())
        return np.flatnonzero(np.isin(of_kind, self.rows, assume_unique=True))

    def cells(self, kind: str, name: str, places: Any) -> Cells | None:
        """A payload field in these rows; None when none of them has it."""
        cells = self.block.cells(kind, name)
        if cells is None:
            return None
        some = cells.part(places.start, places.stop) if isinstance(places, slice) else cells.take(places)
        return some if some.has_any else None


def _same(recorded: _Selected, actual: _Selected) -> bool:
    if not all(np.array_equal(recorded.fixed(name), actual.fixed(name)) for name in (*COMPARED, "to")):
        return False
    code_of = {kind: code for code, kind in enumerate(actual.block.kinds)}
    renumbered = np.array([code_of.get(kind, -1) for kind in recorded.block.kinds], np.int64)
    if not np.array_equal(renumbered[recorded.fixed("kind")], actual.fixed("kind")):
        return False
    if recorded.receivers() != actual.receivers():
        return False
    return all(_same_payloads(recorded, actual, kind) for kind in actual.block.kinds)


def _same_payloads(recorded: _Selected, actual: _Selected, kind: str) -> bool:
    mine = actual.places(kind)
    if isinstance(mine, slice) and mine.start == mine.stop:
        return True  # the kind is that of other rows of the block
    theirs = recorded.places(kind)
    names = dict.fromkeys([*actual.block.fields(kind), *recorded.block.fields(kind)])
    if len(names) > FIELDS_PER_KIND_MAX:  # fields that have no columns of their own
        whole, other = actual.block.payloads(kind), recorded.block.payloads(kind)
        some = np.arange(len(other))[theirs].tolist()
        return all(_same_data(kind, other[place], data) for place, data in zip(some, whole[mine], strict=True))
    for name in names:
        if not is_environment(kind, name):
            one, two = recorded.cells(kind, name, theirs), actual.cells(kind, name, mine)
            if (one is None) != (two is None) or (one is not None and two is not None and not same_cells(one, two)):
                return False
    return True


# -- single events ------------------------------------------------------------------------------


def same_value(one: Any, other: Any) -> bool:
    """Whether two payload values are the same: of the same types all the way down, NaN as NaN, maps in any order.

    >>> same_value({"a": 1, "b": [None]}, {"b": [None], "a": 1}), same_value(1, 1.0), same_value(1, True)
    (True, False, False)
    """
    # Short forms and sorted keys: equal bytes are equal values, and the digest sees them so, too.
    encoded: bytes = cbor2.dumps(one, canonical=True)
    return encoded == cbor2.dumps(other, canonical=True)


def same_event(recorded: Event, actual: Event) -> bool:
    """Whether two events are the same but for ``wall`` and where they were recorded."""
    fixed = all(getattr(recorded, name) == getattr(actual, name) for name in (*COMPARED, "kind", "to"))
    return fixed and _same_data(actual.kind, recorded.data, actual.data)


def _same_data(kind: str, recorded: Mapping[str, Any], actual: Mapping[str, Any]) -> bool:
    one, other = (
        {name: value for name, value in data.items() if not is_environment(kind, name)} for data in (recorded, actual)
    )
    return same_value(one, other)


def _first_difference(recorded: _Selected, actual: _Selected) -> tuple[Event, Event]:
    pairs = zip(recorded.events(), actual.events(), strict=True)
    found = next((pair for pair in pairs if not same_event(*pair)), None)
    assert found is not None, "columns differ where no event does"
    return found
