"""Alike: whether rows of two blocks are the same events, column by column, and what that means for a single value.

What always holds: events are the same exactly when their digests are: ``wall``, the simulation's number
and what says where it was run do not matter, 1, 1.0 and True differ, so do None and absent, and NaN is NaN.
Apart from time (``is_timeless``) also what was measured of calls does not matter: two live runs never share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import cbor2
import numpy as np

from matrix.event import CALL_KINDS, SIMULATION_INPUT, Event
from matrix.limits import FIELDS_PER_KIND_MAX
from matrix.log.block import Block
from matrix.log.cells import Cells
from matrix.log.digest import is_environment, same_cells
from matrix.log.history import events_of

#: The fixed columns that say what happened: all but ``simulation``, which a replay has of its own, and ``wall``.
COMPARED: Final = ("seq", "time", "agent", "turn", "goal", "state", "cause", "to")
_MEASURED: Final = frozenset({"ms", "waited_ms", "tries", "step", "arrival"})
_MEASURING: Final = frozenset({*CALL_KINDS, SIMULATION_INPUT})


class Selected:
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
        return self.block.places(kind, self.rows)

    def cells(self, kind: str, name: str, places: Any) -> Cells | None:
        """A payload field in these rows; None when none of them has it."""
        cells = self.block.cells(kind, name)
        some = None if cells is None else cells.pick(places)
        return some if some is not None and some.has_any else None


# -- columns ------------------------------------------------------------------------------------


def same_rows(one: Selected, other: Selected, *, is_timeless: bool = False) -> bool:
    """Whether as many rows of two blocks are the same events."""
    names = [name for name in COMPARED if not (is_timeless and name == "time")]
    if not all(np.array_equal(one.fixed(name), other.fixed(name)) for name in names):
        return False
    code_of = {kind: code for code, kind in enumerate(other.block.kinds)}
    renumbered = np.array([code_of.get(kind, -1) for kind in one.block.kinds], np.int64)
    if not np.array_equal(renumbered[one.fixed("kind")], other.fixed("kind")):
        return False
    if one.receivers() != other.receivers():
        return False
    return all(_same_payloads(one, other, kind, is_timeless) for kind in other.block.kinds)


def _same_payloads(one: Selected, other: Selected, kind: str, is_timeless: bool) -> bool:
    places = other.places(kind)
    if (places.start == places.stop) if isinstance(places, slice) else not len(places):
        return True  # the kind is that of other rows of the block
    others = one.places(kind)
    names = dict.fromkeys([*other.block.fields(kind), *one.block.fields(kind)])
    if len(names) > FIELDS_PER_KIND_MAX:  # fields that have no columns of their own
        whole, before = other.block.payloads(kind), one.block.payloads(kind)
        pairs = zip(_picked(before, others), _picked(whole, places), strict=True)
        return all(same_data(kind, *pair, is_timeless=is_timeless) for pair in pairs)
    for name in names:
        if _matters(kind, name, is_timeless):
            mine, theirs = one.cells(kind, name, others), other.cells(kind, name, places)
            if (mine is None) != (theirs is None):
                return False
            if mine is not None and theirs is not None and not same_cells(mine, theirs):
                return False
    return True


def _picked(payloads: list[dict[str, Any]], places: Any) -> list[dict[str, Any]]:
    return payloads[places] if isinstance(places, slice) else [payloads[place] for place in places.tolist()]


def _matters(kind: str, name: str, is_timeless: bool) -> bool:
    return not is_environment(kind, name) and not (is_timeless and name in _MEASURED and kind in _MEASURING)


# -- single events ------------------------------------------------------------------------------


def same_value(one: Any, other: Any) -> bool:
    """Whether two payload values are the same: of the same types all the way down, NaN as NaN, maps in any order.

    >>> same_value({"a": 1, "b": [None]}, {"b": [None], "a": 1}), same_value(1, 1.0), same_value(1, True)
    (True, False, False)
    """
    # Short forms and sorted keys: equal bytes are equal values, and the digest sees them so, too.
    encoded: bytes = cbor2.dumps(one, canonical=True)
    return encoded == cbor2.dumps(other, canonical=True)


def same_event(one: Event, other: Event, *, is_timeless: bool = False) -> bool:
    """Whether two events are the same but for ``wall`` and where they were recorded."""
    names = [name for name in (*COMPARED, "kind") if not (is_timeless and name == "time")]
    fixed = all(getattr(one, name) == getattr(other, name) for name in names)
    return fixed and same_data(one.kind, one.data, other.data, is_timeless=is_timeless)


def same_data(kind: str, one: Mapping[str, Any], other: Mapping[str, Any], *, is_timeless: bool = False) -> bool:
    """Whether the payloads of two events of a kind say the same."""
    mine, theirs = ({n: v for n, v in data.items() if _matters(kind, n, is_timeless)} for data in (one, other))
    return same_value(mine, theirs)
