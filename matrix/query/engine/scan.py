"""Reading events: which blocks the zone maps leave, in batches, keeping the rows that a filter keeps.

Memory is bounded by what survives, not by the log: after each batch the filter is asked, the columns
that the rest of the query needs are read for the survivors, and the blocks are let go. A column that
nobody named beforehand is still found (the block is opened again), so `Needs` is about speed only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from matrix.limits import (
    QUERY_BATCH_EVENTS_MAX,
    QUERY_BLOCKS_KEPT_MAX,
    QUERY_THREADS_BLOCK_EVENTS,
    QUERY_ZONES_KEPT_MAX,
)
from matrix.log.block import BlockRef
from matrix.query.engine.events import EventTable, Part
from matrix.query.engine.forks import NO_FORKS, Forks
from matrix.query.engine.parallel import in_order, thread_count
from matrix.query.engine.value import Array, distinct
from matrix.query.syntax import KindPattern, Relation

if TYPE_CHECKING:
    import sqlite3

    from matrix.log.block import Block
    from matrix.log.reader import LogReader
    from matrix.query.engine.world import World

Filter = Callable[[EventTable], "Array | None"]  # which rows to keep; None: all
Result = TypeVar("Result")


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

    def with_others(self, others: Needs) -> Needs:
        """These columns, and those of others."""
        return Needs(
            self.raw | others.raw,
            self.payload | others.payload,
            self.fields | others.fields,
            self.receivers or others.receivers,
            self.identity or others.identity,
        )

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

    ``bounds`` are inclusive, by fixed column; ``simulations`` are rows of the simulations table; blocks of which
    ``may_be_in`` says no are left out; ``after`` are positions by shard, and only events written behind them are
    wanted, as events of those who wrote them.
    """

    kinds: tuple[tuple[KindPattern, ...], ...] = ()  # an event meets one pattern of each
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    simulations: Array | None = None
    may_be_in: Callable[[Zone], bool] | None = None
    after: Mapping[int, int] | None = None

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
    position_min: int
    position_max: int
    agent_max: int

    def gids(self) -> tuple[int, int]:
        """The smallest and the largest gid of those who wrote in the block."""
        base = self.ref.shard << 32
        return base | self.simulation_min, base | self.simulation_max

    def meets(self, bounds: dict[str, tuple[float, float]]) -> bool:
        """Whether rows within these bounds can be in the block."""
        return all(
            getattr(self, f"{name}_max") >= low and getattr(self, f"{name}_min") <= high
            for name, (low, high) in bounds.items()
        )


@lru_cache(maxsize=QUERY_ZONES_KEPT_MAX)
def kinds_of(text: str) -> tuple[str, ...]:
    """The kinds of events in a block, from its line in the zone maps."""
    return tuple(json.loads(text))


_ZONE_COLUMNS = (
    'shard, segment, generation, "offset", "count", simulation_min, simulation_max, seq_min, seq_max, '
    "time_min, time_max, wall_min, wall_max, kinds, first_position, last_position, "
    "agent_max"
)


_ZONES: WeakKeyDictionary[LogReader, tuple[list[Any], Sequence[Zone]]] = WeakKeyDictionary()


def zones(connection: sqlite3.Connection, reader: LogReader) -> Sequence[Zone]:
    """The zone maps of all blocks, in the order of the log; kept until the index follows or takes over a segment."""
    state = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("witnesses", "segments")]
    known = _ZONES.get(reader)
    if known is not None and known[0] == state:
        return known[1]
    found = _read_zones(connection)
    if len(found) <= QUERY_ZONES_KEPT_MAX:
        _ZONES[reader] = state, found
    return found


def _read_zones(connection: sqlite3.Connection) -> list[Zone]:
    rows = connection.execute(f'SELECT {_ZONE_COLUMNS} FROM blocks ORDER BY shard, segment, "offset"')
    return [Zone(BlockRef(*row[:4]), *row[4:]) for row in rows]


def zones_behind(connection: sqlite3.Connection, after: Mapping[int, int]) -> Iterator[Zone]:
    """The zone maps of the blocks that hold a position behind ``after``, in the order of the log."""
    holder = "SELECT coalesce(max(number), 0) FROM segments WHERE shard = ? AND first_position <= ?"
    sql = (
        f"SELECT {_ZONE_COLUMNS} FROM blocks WHERE shard = ? AND segment >= ? AND last_position > ? "
        'ORDER BY segment, "offset"'
    )
    for (shard,) in connection.execute("SELECT shard FROM witnesses ORDER BY shard").fetchall():
        position = after.get(shard, 0)
        (segment,) = connection.execute(holder, (shard, position + 1)).fetchone()
        for row in connection.execute(sql, (shard, segment, position)).fetchall():
            yield Zone(BlockRef(*row[:4]), *row[4:])


@dataclass(frozen=True, slots=True)
class Choice:
    """A block that may hold what is wanted: kinds to read there, whether for those who wrote them, for which forks."""

    zone: Zone
    kinds: list[str]
    is_own: bool
    forks: Forks


def chosen_zones(world: World, wanted: Wanted) -> Iterator[Choice]:
    """The blocks that may hold what is wanted."""
    everything = world.simulations.array("gid") if world.subset is not None else None
    gids = everything if wanted.simulations is None else world.simulations.array("gid")[wanted.simulations]
    forks = world.forks.of(wanted.simulations) if wanted.after is None else NO_FORKS
    after, decided = wanted.after, dict[tuple[str, ...], list[str]]()
    for zone in zones(world.connection, world.reader) if after is None else world.zones_behind(after):
        kinds = _wanted_kinds(wanted, kinds_of(zone.kinds), decided)
        if kinds and zone.meets(wanted.bounds) and (wanted.may_be_in is None or wanted.may_be_in(zone)):
            is_own = (gids is None or _holds_any(zone, gids)) and (world.cut is None or world.cut.may_have(zone))
            near = forks.within(*zone.gids(), zone.seq_min, zone.seq_max) if forks.count else forks
            if is_own or near.count:
                yield Choice(zone, kinds, is_own, near)


def expected_rows(world: World, wanted: Wanted) -> int:
    """At most how many rows a scan finds, as far as zone maps know."""
    return sum(json.loads(choice.zone.kinds)[kind] for choice in chosen_zones(world, wanted) for kind in choice.kinds)


def _wanted_kinds(wanted: Wanted, kinds: tuple[str, ...], decided: dict[tuple[str, ...], list[str]]) -> list[str]:
    """Those of a block's kinds that are wanted; most blocks hold the same kinds, so that is decided once for all."""
    found = decided.get(kinds)
    if found is None:
        found = decided[kinds] = [kind for kind in kinds if wanted.is_wanted(kind)]
    return found


def _holds_any(zone: Zone, gids: Array) -> bool:
    gid_min, gid_max = zone.gids()
    first = int(np.searchsorted(gids, gid_min))
    return first < len(gids) and int(gids[first]) <= gid_max


# -- scanning -----------------------------------------------------------------------------------


def scan(world: World, relation: Relation, wanted: Wanted, keep: Filter, *, needs: Needs | None = None) -> EventTable:
    """The wanted events that ``keep`` keeps, with the columns needed (those that the query needs, unless told)."""
    needs = world.needs if needs is None else needs

    def kept(table: EventTable) -> EventTable:
        rows = keep(table)
        if rows is not None and len(rows) < table.count:
            table = table.narrow(rows)
        needs.read(table)
        return table

    return EventTable.joined(
        world, relation, [table for table in each_batch(world, relation, wanted, kept) if table.count]
    )


def each_batch(
    world: World, relation: Relation, wanted: Wanted, work: Callable[[EventTable], Result]
) -> Iterator[Result]:
    """What ``work`` makes of each batch of the wanted events, in the order of the log; threads do it side by side."""
    world.on_scan(wanted)

    def worked(choices: list[Choice]) -> list[Result]:
        tables = (EventTable(world, relation, parts) for parts in _parts_of(world, relation, wanted, choices))
        return [work(_in_simulations(table, wanted)) for table in tables]

    batches = list(_batches(world, wanted))
    for results in in_order(worked, batches, threads=threads_for(batches)):
        yield from results


def has_plain_blocks(world: World) -> bool:
    """Whether each event of a block is one event of the query: no fork shares it, and nothing is left out."""
    return not world.forks.count and world.cut is None and world.subset is None


def each_block(world: World, wanted: Wanted, work: Callable[[Block], Result]) -> Iterator[Result]:
    """What ``work`` makes of each block that may hold what is wanted, whole and with its rows as they lie.

    For who reads fixed columns of all kinds: nothing is sorted out. Only where blocks are plain.
    """
    world.on_scan(wanted)

    def worked(choices: list[Choice]) -> list[Result]:
        return [work(world.reader.block(choice.zone.ref)) for choice in choices]

    batches = list(_batches(world, wanted))
    for results in in_order(worked, batches, threads=threads_for(batches)):
        yield from results


def threads_for(batches: list[list[Choice]]) -> int:
    """How many threads are worth it: blocks as written are so small that threads mostly wait for Python's lock."""
    blocks = sum(map(len, batches))
    events = sum(choice.zone.count for batch in batches for choice in batch)
    return thread_count() if events > blocks * QUERY_THREADS_BLOCK_EVENTS else 1


def filled(world: World, table: EventTable) -> EventTable:
    """The same rows with all columns that the query needs, each block opened once for all of them."""
    relation = Relation.MESSAGES if table.relation is Relation.MESSAGES else Relation.EVENTS
    pieces: list[EventTable] = []
    for begin in range(0, len(table.parts), QUERY_BLOCKS_KEPT_MAX):
        piece = EventTable(world, relation, table.parts[begin : begin + QUERY_BLOCKS_KEPT_MAX])
        world.needs.read(piece)
        pieces.append(piece)
    return EventTable.joined(world, relation, pieces)


def _batches(world: World, wanted: Wanted) -> Iterator[list[Choice]]:
    """The blocks to read, as many at once as a scan may hold."""
    batch: list[Choice] = []
    events = 0
    for choice in chosen_zones(world, wanted):
        if batch and events + choice.zone.count > QUERY_BATCH_EVENTS_MAX:
            yield batch
            batch, events = [], 0
        batch.append(choice)
        events += choice.zone.count
    if batch:
        yield batch


def _parts_of(world: World, relation: Relation, wanted: Wanted, choices: list[Choice]) -> Iterator[list[Part]]:
    """The parts of a batch of blocks; in several lists where forks share more events than may be held at once."""
    batch: list[Part] = []
    events = 0
    for choice in choices:
        block = world.reader.block(choice.zone.ref)
        sent = block.to > 0 if relation is Relation.MESSAGES else None
        if choice.is_own:
            own = _own_rows(world, wanted, block, sent)
            batch.extend(_parts(block, choice, _left(world, choice.zone, block, own)))
            events += block.count
        shared = _left_of_shared(world, block, sent) if choice.forks.count else None
        for part in _shared_parts(block, choice, shared) if choice.forks.count else ():
            if batch and events + part.count > QUERY_BATCH_EVENTS_MAX:
                yield batch
                batch, events = [], 0
            batch.append(part)
            events += part.count
    if batch:
        yield batch


def _own_rows(world: World, wanted: Wanted, block: Block, sent: Array | None) -> Array | None:
    """Which rows of a block are to be read as events of those who wrote them; None: all."""
    rows = sent
    if world.subset is not None:
        mine = world.subset.rows(block)
        rows = mine if rows is None else rows & mine
    if wanted.after is not None:
        behind = block.positions > wanted.after.get(block.ref.shard, 0)
        rows = behind if rows is None else rows & behind
    return rows


def _left(world: World, zone: Zone, block: Block, rows: Array | None) -> Array | None:
    """Those of a block's rows (a mask; None: all) that the query's moment leaves for who wrote them."""
    if world.cut is None or world.cut.has_all(zone):
        return rows
    mask = world.cut.mask(block)
    return mask if rows is None else mask & rows


def _left_of_shared(world: World, block: Block, rows: Array | None) -> Array | None:
    """Those that it leaves for forks, within what they share: a cut by turn is the same for all who have an event."""
    if world.cut is None or world.cut.turn is None:
        return rows
    mask = world.cut.mask(block)
    return mask if rows is None else mask & rows


def _parts(block: Block, choice: Choice, chosen: Array | None) -> Iterator[Part]:
    """The chosen rows of a block (a mask; None: all), as events of those who wrote them."""
    for kind in choice.kinds:
        part = Part(choice.zone.ref, kind, block.kind_counts[kind], None, block)
        if chosen is not None:
            part = part.narrow(np.flatnonzero(chosen[block.kind_rows(kind)]))
        if part.count:
            yield part


def _shared_parts(block: Block, choice: Choice, rows: Array | None) -> Iterator[Part]:
    """The chosen rows of a block that forks share, as theirs."""
    for kind in choice.kinds:
        chosen = None if rows is None else np.flatnonzero(rows[block.kind_rows(kind)])
        yield from choice.forks.parts(choice.zone.ref, kind, block, chosen)


def _in_simulations(table: EventTable, wanted: Wanted) -> EventTable:
    if wanted.simulations is None or not table.count or len(wanted.simulations) == table.world.simulations.count:
        return table
    rows = np.flatnonzero(np.isin(table.simulation_rows(), wanted.simulations))
    return table if len(rows) == table.count else table.narrow(rows)
