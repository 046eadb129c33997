"""Branches: the simulations of one family, and which two of them are compared at which place.

What always holds: two histories are compared where one was forked from the other, or both from a third behind the same
event; so each decision that was tried again is compared with what was done there at first, and with its other tries. Of
two histories that are related in another way (forks of one parent at different events, a fork of a fork and its
grandparent) each is compared with those between them, and the two are not: that would tell the same decision twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from matrix.export.simulation import Simulation

#: An agent's conversation, in whichever branch: the agent's number, who talks, the how manieth of these.
Key: TypeAlias = tuple[int, str, int]


class Place(NamedTuple):
    """Where branches part in the log: behind event ``at`` of the simulation with this gid."""

    gid: int
    at: int


@dataclass(frozen=True, slots=True)
class Side:
    """A conversation of an agent in one branch: the row that it would be as chat, and the event of each message."""

    data: dict[str, Any]
    seqs: list[int]


@dataclass(frozen=True, slots=True)
class Branch:
    """One simulation of a family: where it was forked (None for no fork), its last event, its conversations."""

    gid: int
    id: str
    place: Place | None
    last_seq: int
    sides: dict[Key, Side] = field(default_factory=dict)

    @classmethod
    def of(cls, simulation: Simulation, connection: sqlite3.Connection) -> Branch:
        """The branch that a simulation is; one that is looked at as it was before it was forked is none yet."""
        gid, last_seq = simulation.selected.gid, simulation.last_seq
        sql = "SELECT source, last_seq FROM forks WHERE gid = ? AND last_seq < ? ORDER BY first_seq DESC LIMIT 1"
        found = connection.execute(sql, (gid, last_seq)).fetchone()
        return cls(gid, simulation.id, None if found is None else Place(*found), last_seq)


def places(branches: Sequence[Branch]) -> Iterator[tuple[Place, list[Branch]]]:
    """Each place at which at least two of these branches part, with those that do: what they were forked from first.

    >>> parent, one, other = (Branch(n, f"1-{n}", Place(1, 40) if n > 1 else None, 90) for n in (1, 2, 3))
    >>> [(place.at, [branch.id for branch in parted]) for place, parted in places([parent, one, other])]
    [(40, ['1-1', '1-2', '1-3'])]
    """
    forks: dict[Place, list[Branch]] = {}
    for branch in branches:
        if branch.place is not None:
            forks.setdefault(branch.place, []).append(branch)
    by_gid = {branch.gid: branch for branch in branches}
    for place, parted in forks.items():
        parent = by_gid.get(place.gid)
        found = [parent, *parted] if parent is not None and parent.last_seq > place.at else parted
        if len(found) > 1:
            yield place, found


def unrelated(branches: Sequence[Branch]) -> int:
    """How many pairs of a family's branches part at no place of their own."""
    related = sum(_pairs(len(parted)) for _, parted in places(branches))
    return _pairs(len(branches)) - related


def _pairs(count: int) -> int:
    return count * (count - 1) // 2
