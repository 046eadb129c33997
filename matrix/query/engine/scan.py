"""Reading events: which blocks the zone maps leave, in batches, keeping the rows that a filter keeps.

Memory is bounded by what survives, not by the log: after each batch the filter is asked, the columns
that the rest of the query needs are read for the survivors, and the blocks are let go. A column that
nobody named beforehand is still found (the block is opened again), so `Needs` is about speed only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from matrix.limits import QUERY_BATCH_EVENTS_MAX, QUERY_BLOCKS_KEPT_MAX, QUERY_ZONES_KEPT_MAX
from matrix.log.block import BlockRef
from matrix.query.engine.events import EventTable, Part
from matrix.query.engine.keys import pair_rows
from matrix.query.engine.value import Array, distinct
from matrix.query.syntax import KindPattern, Relation

if TYPE_CHECKING:
    import sqlite3

    from matrix.log.block import Block
    from matrix.log.reader import LogReader
    from matrix.query.engine.world import World

Filter = Callable[[EventTable], "Array | None"]  # which rows to keep; None: all


class Source(Protocol):
    """Where a query reads: the index's connection and the log.

    ``refresh`` brings the index up to the newest committed block; it is called once before a query,
    and again when a segment was compacted under the query's feet.
    """

    @property
    def connection(self) -> sqlite3.Connection: ...

    @property
    def reader(self) -> LogReader: ...

    def refresh(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Needs:
    """The columns of events that a query names: read for the survivors of each batch while its blocks are open."""

    raw: frozenset[str] = frozenset()
    payload: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    receivers: bool = False
    identity: bool = True  # simulation and seq: to order the rows, and to join them with others

    def read(self, table: EventTable) -> None:
        """Read the columns named, and let the blocks go."""
        for name in self.raw:
            table.raw(name)
        for key in self.payload:
            table.payload(key)
        for name in self.fields:
            table.field(name)
        if self.receivers:
            table.receivers()
        if self.identity:
            table.simulation_rows()
            table.raw("seq")
        table.release()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events to look for: kinds (none: any), and bounds that zone maps can use.

    ``bounds`` are inclusive, by fixed column; ``simulations`` are rows of the simulations table.
    """

    kinds: tuple[tuple[KindPattern, ...], ...] = ()  # an event meets one pattern of each
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    simulations: Array | None = None

    def is_wanted(self, kind: str) -> bool:
        return all(any(pattern.matches(kind) for pattern in patterns) for patterns in self.kinds)

    def with_simulations(self, rows: Array) -> Wanted:
        """Only events of these simulations, and of those asked for already."""
        rows = distinct(rows)
        return replace(self, simulations=rows if self.simulations is None else np.intersect1d(rows, self.simulations))


@dataclass(frozen=True, slots=True)
class Zone:
    """One block's line in the zone maps."""

    ref: BlockRef
    count: int
    simulation_min: int
    simulation_max: int
    seq_min: int
    seq_max: int
    time_min: int
    time_max: int
    wall_min: int
    wall_max: int
    kinds: str

    def meets(self, bounds: dict[str, tuple[float, float]]) -> bool:
        """Whether rows within these bounds can be in the block."""
        return all(
            getattr(self, f"{name}_max") >= low and getattr(self, f"{name}_min") <= high
            for name, (low, high) in bounds.items()
        )


@lru_cache(maxsize=QUERY_ZONES_KEPT_MAX)
def _kinds(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


_ZONE_COLUMNS = (
    'shard, segment, generation, "offset", "count", simulation_min, simulation_max, seq_min, seq_max, '
    "time_min, time_max, wall_min, wall_max, kinds"
)


def zones(world: World) -> list[Zone]:
    """The zone maps of all blocks, in the order of the log."""
    rows = world.connection.execute(f'SELECT {_ZONE_COLUMNS} FROM blocks ORDER BY shard, segment, "offset"')
    return [Zone(BlockRef(*row[:4]), *row[4:]) for row in rows]


def chosen_zones(world: World, wanted: Wanted) -> Iterator[tuple[Zone, list[str]]]:
    """The blocks that may hold what is wanted, with the kinds to read there."""
    gids = None if wanted.simulations is None else world.simulations.array("gid")[wanted.simulations]
    decided: dict[str, bool] = {}
    for zone in zones(world):
        kinds = [kind for kind in _kinds(zone.kinds) if _is_wanted(wanted, kind, decided)]
        if kinds and zone.meets(wanted.bounds) and (gids is None or _holds_any(zone, gids)):
            yield zone, kinds


def _is_wanted(wanted: Wanted, kind: str, decided: dict[str, bool]) -> bool:
    found = decided.get(kind)
    if found is None:
        found = decided[kind] = wanted.is_wanted(kind)
    return found


def _holds_any(zone: Zone, gids: Array) -> bool:
    base = zone.ref.shard << 32
    first = int(np.searchsorted(gids, base | zone.simulation_min))
    return first < len(gids) and int(gids[first]) <= (base | zone.simulation_max)


# -- scanning -----------------------------------------------------------------------------------


def scan(world: World, relation: Relation, wanted: Wanted, keep: Filter, *, needs: Needs | None = None) -> EventTable:
    """The wanted events that ``keep`` keeps, with the columns needed (those that the query needs, unless told)."""
    needs = world.needs if needs is None else needs
    survivors: list[EventTable] = []
    for batch in _batches(chosen_zones(world, wanted)):
        parts = [part for zone, kinds in batch for part in _parts(world, zone, kinds, relation)]
        table = EventTable(world, relation, parts)
        table = _in_simulations(table, wanted)
        rows = keep(table)
        if rows is not None and len(rows) < table.count:
            table = table.narrow(rows)
        needs.read(table)
        if table.count:
            survivors.append(table)
    return EventTable.joined(world, relation, survivors)


def filled(world: World, table: EventTable) -> EventTable:
    """The same rows with all columns that the query needs, each block opened once for all of them."""
    relation = Relation.MESSAGES if table.relation is Relation.MESSAGES else Relation.EVENTS
    pieces: list[EventTable] = []
    for begin in range(0, len(table.parts), QUERY_BLOCKS_KEPT_MAX):
        piece = EventTable(world, relation, table.parts[begin : begin + QUERY_BLOCKS_KEPT_MAX])
        world.needs.read(piece)
        pieces.append(piece)
    return EventTable.joined(world, relation, pieces)


def _batches(chosen: Iterable[tuple[Zone, list[str]]]) -> Iterator[list[tuple[Zone, list[str]]]]:
    batch: list[tuple[Zone, list[str]]] = []
    events = 0
    for zone, kinds in chosen:
        batch.append((zone, kinds))
        events += zone.count
        if events >= QUERY_BATCH_EVENTS_MAX:
            yield batch
            batch, events = [], 0
    if batch:
        yield batch


def _parts(world: World, zone: Zone, kinds: Sequence[str], relation: Relation) -> Iterator[Part]:
    block = world.reader.block(zone.ref)
    sent = block.to > 0 if relation is Relation.MESSAGES else None
    for kind in kinds:
        part = Part(zone.ref, kind, block.kind_counts[kind], None, block)
        if sent is not None:
            part = part.narrow(np.flatnonzero(sent[block.kind_rows(kind)]))
        if part.count:
            yield part


def _in_simulations(table: EventTable, wanted: Wanted) -> EventTable:
    if wanted.simulations is None or not table.count:
        return table
    rows = np.flatnonzero(np.isin(table.simulation_rows(), wanted.simulations))
    return table if len(rows) == table.count else table.narrow(rows)


# -- single events ------------------------------------------------------------------------------


def find_events(world: World, simulations: Array, seqs: Array) -> tuple[EventTable, Array]:
    """The events with these (simulation row, seq), and for each the row in that table or -1."""
    asked = np.flatnonzero(seqs > 0)
    pairs = _different(simulations[asked], seqs[asked].astype(np.int64))
    parts: list[Part] = []
    left = len(pairs)
    for zone in zones(world) if left else ():
        mine = _pairs_in(world, zone, pairs)
        if not len(mine):
            continue
        block = world.reader.block(zone.ref)
        rows = _rows_of_pairs(world, block, mine)
        left -= len(rows)
        parts.extend(_split_by_kind(zone.ref, block, rows))
        if not left:
            break
    table = EventTable(world, Relation.EVENTS, parts)
    world.needs.read(table)
    return table, _placed(table, simulations, seqs, asked)


def _different(simulations: Array, seqs: Array) -> Array:
    """The different pairs, ascending, as two columns."""
    span = int(seqs.max(initial=0)) + 1
    assert (int(simulations.max(initial=0)) + 1) * span < 2**63, (
        "more simulations times events than an int64 can number"
    )
    return np.stack(np.divmod(distinct(simulations * span + seqs), span), axis=1)


def _placed(table: EventTable, simulations: Array, seqs: Array, asked: Array) -> Array:
    found = np.full(len(seqs), -1)
    if table.count:
        order = np.lexsort((table.raw("seq"), table.simulation_rows()))
        rows = pair_rows(
            table.simulation_rows()[order],
            table.raw("seq")[order],
            simulations[asked],
            seqs[asked].astype(np.int64),
        )
        found[asked] = np.where(rows >= 0, order[rows], -1)
    return found


def _pairs_in(world: World, zone: Zone, pairs: Array) -> Array:
    """Those of the ascending pairs that may lie in the block."""
    gids = world.simulations.array("gid")
    base = zone.ref.shard << 32
    low, high = np.searchsorted(gids, [base | zone.simulation_min, base | zone.simulation_max])
    first, last = np.searchsorted(pairs[:, 0], low), np.searchsorted(pairs[:, 0], high, side="right")
    mine: Array = pairs[first:last]
    return mine[(mine[:, 1] >= zone.seq_min) & (mine[:, 1] <= zone.seq_max)]


def _rows_of_pairs(world: World, block: Block, pairs: Array) -> Array:
    simulations = world.simulations.rows_in_shard(block.ref.shard, block.simulation)
    rows = pair_rows(pairs[:, 0], pairs[:, 1], simulations, block.seq)
    return np.flatnonzero(rows >= 0)


def _split_by_kind(ref: BlockRef, block: Block, rows: Array) -> Iterator[Part]:
    codes = block.kind[rows]
    for code in distinct(codes).tolist():
        kind = block.kinds[code]
        chosen = rows[codes == code]
        yield Part(ref, kind, len(chosen), np.searchsorted(block.kind_rows(kind), chosen), block)
