"""From a moment to a cut: up to where each simulation is kept.

A cut is a prefix of each simulation. So what is looked for is, of each, the first event that is *late*: zone maps tell
which blocks are early or late as a whole, and only the others' columns are read. The log has the events of a simulation
in order, so once a late one of it was met, later blocks have nothing to add.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.cut import FOREVER, Cut, writers_in
from matrix.query.engine.scan import Zone, zones
from matrix.query.engine.value import INT64_MAX, Array

if TYPE_CHECKING:
    from matrix.log.block import Block
    from matrix.log.reader import LogReader
    from matrix.query.engine.entities import Entities


@dataclass(frozen=True, slots=True)
class Border:
    """What is late: ``bounds`` are the smallest and largest moment of a block, ``is_late`` looks at its rows."""

    limit: Callable[[Zone], int]
    bounds: Callable[[Zone], tuple[int, int]]
    is_late: Callable[[Block], Array]


def cut_at(moment: q.AsOf, entities: Entities, reader: LogReader) -> Cut:
    """What is left at a moment that a query names."""
    if moment.by == "event":
        return _cut_at_event(str(moment.value), entities)
    limit = int(moment.value)
    if moment.by == "turn":
        return _cut_at_turn(limit, entities, reader)
    by = moment.by

    def bounds(zone: Zone) -> tuple[int, int]:
        return (zone.time_min, zone.time_max) if by == "time" else (zone.wall_min, zone.wall_max)

    border = Border(lambda zone: limit, bounds, lambda block: getattr(block, by) > limit)
    ends = _with_shared(_first_late(entities, reader, border), entities)
    return Cut(entities, ends, ends > _firsts(entities))


def cut_at_positions(positions: Mapping[int, int], entities: Entities, reader: LogReader) -> Cut:
    """What was in the log when each shard had got to its position; a shard that is not named was not there.

    A fork was there as soon as its own first event was.
    """

    def late(block: Block) -> Array:
        found: Array = block.positions > positions.get(block.ref.shard, 0)
        return found

    border = Border(
        lambda zone: positions.get(zone.ref.shard, 0), lambda zone: (zone.position_min, zone.position_max), late
    )
    ends = _first_late(entities, reader, border)
    firsts = _firsts(entities)
    np.maximum.at(firsts, entities.forks.owners, entities.forks.lasts + 1)
    return Cut(entities, ends, ends > firsts)


# -- the first late event -------------------------------------------------------------------------


def _first_late(entities: Entities, reader: LogReader, border: Border) -> Array:
    """Of each simulation the seq of the first late event among those it wrote."""
    writers = entities.simulations
    ends = np.full(writers.count, FOREVER)
    for zone in zones(entities.connection, reader):
        low, high = writers_in(writers, zone)
        limit, (least, greatest) = border.limit(zone), border.bounds(zone)
        if greatest <= limit or (ends[low:high] < FOREVER).all():
            continue
        if least > limit and high - low == 1:
            ends[low] = zone.seq_min
            continue
        block = reader.block(zone.ref)
        rows = np.flatnonzero(border.is_late(block))
        np.minimum.at(ends, writers.rows_in_shard(zone.ref.shard, block.simulation[rows]), block.seq[rows])
    return ends


def _with_shared(own: Array, entities: Entities) -> Array:
    """The same with what forks share: a late event of their parents ends them too."""
    forks = entities.forks
    if not forks.count:
        return own
    late = own[entities.simulations.rows_of(forks.sources)]
    is_shared = late <= forks.lasts
    ends = own.copy()
    np.minimum.at(ends, forks.owners[is_shared], late[is_shared])
    return ends


def _firsts(entities: Entities) -> Array:
    """The seq with which each simulation begins: 1, or what a fork that lacks its parent's events begins with."""
    firsts = np.ones(entities.simulations.count, np.int64)
    sql = "SELECT gid, last_seq FROM forks WHERE source IS NULL"
    found = np.array(entities.connection.execute(sql).fetchall(), np.int64).reshape(-1, 2)
    firsts[entities.simulations.rows_of(found[:, 0])] = found[:, 1] + 1
    return firsts


# -- turns ----------------------------------------------------------------------------------------


def _cut_at_turn(turn: int, entities: Entities, reader: LogReader) -> Cut:
    """Agents up to a turn; simulations themselves up to the first event that is not left of an agent of theirs."""
    writers = entities.simulations
    own, is_left = np.full(writers.count, FOREVER), np.zeros(writers.count, bool)
    for zone in zones(entities.connection, reader):
        block = reader.block(zone.ref)
        rows = writers.rows_in_shard(zone.ref.shard, block.simulation)
        is_late = (block.agent > 0) & (block.turn > turn)
        np.minimum.at(own, rows[is_late], block.seq[is_late])
        is_left[rows[(block.agent > 0) & ~is_late]] = True
    ends = _with_shared(own, entities)
    return Cut(entities, ends, is_left | (ends > _firsts(entities)), turn)


# -- events ---------------------------------------------------------------------------------------

_EVENT_ID: Final = re.compile(r"(.*):([1-9][0-9]{0,18})", re.DOTALL)


def _cut_at_event(id: str, entities: Entities) -> Cut:
    """All simulations of that id up to the event; nothing of the others."""
    writers = entities.simulations
    ends = np.zeros(writers.count, np.int64)
    match = _EVENT_ID.fullmatch(id)
    if match is not None and (seq := int(match[2])) < INT64_MAX:
        named = writers.called([match[1]])
        firsts = _firsts(entities)[named]
        ends[named[(firsts <= seq) & (seq < firsts + writers.array("events")[named])]] = seq + 1
    return Cut(entities, ends, ends > 0)
