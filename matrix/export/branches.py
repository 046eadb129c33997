"""Branches: the simulations of one family, and which two of them are compared at which place.

What always holds: two histories are compared where one was forked from the other, or both from a third behind the same
event; so each decision that was tried again is compared with what was done there at first, and with its other tries. Of
two histories that are related in another way (a fork and its parent's other fork elsewhere, a fork of a fork and its
grandparent) each is compared with those between them, and the two are not: that would tell the same decision twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from matrix.export.selection import Selected
from matrix.log.history import History

#: A simulation by shard and ordinal.
Owner: TypeAlias = tuple[int, int]


class Place(NamedTuple):
    """Where branches part in the log: behind event ``at`` of a simulation."""

    shard: int
    ordinal: int
    at: int


@dataclass(frozen=True, slots=True)
class Branch:
    """One simulation of a family: where it was forked, None for no fork, and its last event."""

    selected: Selected
    owner: Owner
    place: Place | None
    last_seq: int

    @classmethod
    def of(cls, selected: Selected, history: History) -> Branch:
        """The branch that a history is, by where its events lie."""
        owner = (selected.gid >> 32, selected.gid & 0xFFFF_FFFF)
        before = [part for part in history.parts if (part.shard, part.ordinal) != owner]
        is_begun = len(before) < len(history.parts)  # else it is looked at as it was before it was forked
        place = Place(before[-1].shard, before[-1].ordinal, before[-1].last_seq) if before and is_begun else None
        return cls(selected, owner, place, history.last_seq)


def places(branches: Sequence[Branch]) -> Iterator[tuple[Place, list[Branch]]]:
    """Each place at which at least two of these branches part, with those that do; where they part from stands first."""
    forks: dict[Place, list[Branch]] = {}
    for branch in branches:
        if branch.place is not None:
            forks.setdefault(branch.place, []).append(branch)
    by_owner = {branch.owner: branch for branch in branches}
    for place, parted in forks.items():
        parent = by_owner.get((place.shard, place.ordinal))
        found = [parent, *parted] if parent is not None and parent.last_seq > place.at else parted
        if len(found) > 1:
            yield place, found


def unrelated(branches: Sequence[Branch]) -> int:
    """How many pairs of a family's branches part at no place of their own."""
    related = sum(_pairs(len(parted)) for _, parted in places(branches))
    return _pairs(len(branches)) - related


def _pairs(count: int) -> int:
    return count * (count - 1) // 2
