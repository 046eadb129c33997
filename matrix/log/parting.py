"""Parting: where two histories part, event by event or only in what happens.

What always holds: a prefix that both share in the log is not read; how a simulation was begun is passed over,
since parameters and seed lead to all that follows; so is ``simulation.forked``, and what counts events behind it is
taken as if it were not there. So a fork that goes its parent's way does not part from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from matrix.event import GOAL_STARTED, SIMULATION_ENDS, SIMULATION_FORKED, SIMULATION_STARTED, Event
from matrix.log.alike import Selected, same_event, same_rows
from matrix.log.cells import Cells
from matrix.log.history import History, Piece, events_of

_REFERENCES: Final = frozenset({"seq", "goal", "state", "cause"})
_COUNTING: Final = frozenset({(GOAL_STARTED, "parent"), *((kind, "counts") for kind in SIMULATION_ENDS)})


@dataclass(frozen=True, slots=True)
class Parting:
    """The first events that differ: None where a history has come to its end.

    Behind a fork the numbers of the two may differ by that of ``simulation.forked``.
    """

    one: Event | None
    other: Event | None


def first_parting(one: History, other: History, *, is_timeless: bool = False) -> Parting | None:
    """Where two histories part; None when nothing else happens in one than in the other.

    ``is_timeless`` passes over virtual times, and over what was measured of calls: what two live runs never share.
    """
    first_seq = one.shared_with(other) + 1
    ours, theirs = _Stretch(one, first_seq), _Stretch(other, first_seq)
    while ours.has_more() and theirs.has_more():
        count = min(ours.left, theirs.left)
        pair = ours.take(count), theirs.take(count)
        if not same_rows(*pair, is_timeless=is_timeless):
            return _first(*pair, is_timeless=is_timeless)
    ends = [stretch.take(1).events()[0] if stretch.has_more() else None for stretch in (ours, theirs)]
    return Parting(*ends) if any(ends) else None


class _Stretch:
    """The events of a history from some on, to be taken as many at a time as one wants."""

    def __init__(self, history: History, first_seq: int) -> None:
        self._marks = np.array([fork.seq for fork in history.forks], np.int64)
        self._pieces: Iterator[Piece] = history.pieces(first_seq)
        self._piece: Piece | None = None
        self._rows = np.empty(0, np.int64)

    @property
    def left(self) -> int:
        """How many events can be taken at once."""
        return len(self._rows)

    def has_more(self) -> bool:
        """Whether there is another event; from here on some can be taken."""
        while not self.left:
            self._piece = next(self._pieces, None)
            if self._piece is None:
                return False
            block, rows = self._piece.block, self._piece.rows
            begun = [block.kind_rows(kind) for kind in (SIMULATION_STARTED, SIMULATION_FORKED)]
            self._rows = rows[~np.isin(rows, np.concatenate(begun))]
        return True

    def take(self, count: int) -> _Renumbered:
        """The next events."""
        assert self._piece is not None and count <= self.left, "there are so many"
        taken, self._rows = self._rows[:count], self._rows[count:]
        return _Renumbered(self._piece, taken, self._marks)


class _Renumbered(Selected):
    """Events whose references are counted without the marks of forks."""

    __slots__ = ("_marks",)

    def __init__(self, piece: Piece, rows: np.ndarray, marks: np.ndarray) -> None:
        super().__init__(piece.block, rows)
        self._marks = marks

    def fixed(self, name: str) -> np.ndarray:
        values = super().fixed(name)
        if name not in _REFERENCES or not len(self._marks):
            return values
        renumbered: np.ndarray = self._without_marks(values)
        return renumbered

    def cells(self, kind: str, name: str, places: Any) -> Cells | None:
        cells = super().cells(kind, name, places)
        if cells is None or not len(self._marks) or (kind, name) not in _COUNTING:
            return cells
        return dataclasses.replace(cells, dense=[self._counted(value) for value in _listed(cells.dense)])

    def plain(self) -> list[Event]:
        """The events as they would be numbered without the marks."""
        return [self._plain(event) for event in self.events()]

    def _plain(self, event: Event) -> Event:
        found: dict[str, Any] = {name: int(self._without_marks(getattr(event, name))) for name in _REFERENCES}
        counting = {name: self._counted(event.data[name]) for name in event.data if (event.kind, name) in _COUNTING}
        return dataclasses.replace(event, **found, data={**event.data, **counting})

    def _counted(self, value: Any) -> Any:
        """A value of a payload that is the number of an event, or counts all events."""
        if isinstance(value, dict):
            return {name: self._counted(one) if name == "events" else one for name, one in value.items()}
        return int(self._without_marks(value)) if type(value) is int else value

    def _without_marks(self, values: Any) -> Any:
        return values - np.searchsorted(self._marks, values, side="right")


def _first(one: _Renumbered, other: _Renumbered, *, is_timeless: bool) -> Parting:
    pairs = enumerate(zip(one.plain(), other.plain(), strict=True))
    place = next((place for place, pair in pairs if not same_event(*pair, is_timeless=is_timeless)), None)
    assert place is not None, "columns differ where no event does"
    found = (events_of(some.block, some.rows[place : place + 1])[0] for some in (one, other))
    return Parting(*found)


def _listed(dense: Any) -> list[Any]:
    return dense if isinstance(dense, list) else dense.tolist()
