"""Single events, looked up by simulation and seq wherever they lie in the log.

What always holds: a block is opened once for all events asked for in it, and let go before many more are open; an
event that a fork shares is looked for where it was written, and found as the fork's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from matrix.log.block import BlockRef
from matrix.query.engine.events import EventTable, Part
from matrix.query.engine.frame import expand
from matrix.query.engine.keys import pair_rows
from matrix.query.engine.scan import Needs, Zone, zones
from matrix.query.engine.value import Array, distinct
from matrix.query.syntax import Relation

if TYPE_CHECKING:
    from matrix.log.block import Block
    from matrix.query.engine.world import World


def find_events(
    world: World, simulations: Array, seqs: Array, *, needs: Needs | None = None
) -> tuple[EventTable, Array]:
    """The events with these (simulation row, seq), and for each the row in that table or -1."""
    needs = world.needs if needs is None else needs
    asked = np.flatnonzero(seqs > 0)
    pairs = _where_written(world, _different(simulations[asked], seqs[asked].astype(np.int64)))
    parts: list[Part] = []
    pieces: list[EventTable] = []
    left = len(pairs)
    for zone in zones(world.connection, world.reader) if left else ():
        mine = _pairs_in(world, zone, pairs)
        if not len(mine):
            continue
        block = world.reader.block(zone.ref)
        rows, owners = _rows_of_pairs(world, block, mine)
        left -= len(rows)
        parts.extend(_split_by_kind(zone.ref, block, rows, owners))
        if len(parts) >= _PARTS_AT_ONCE:
            pieces.append(_with_columns(world, parts, needs))
            parts = []
        if not left:
            break
    table = EventTable.joined(world, Relation.EVENTS, [*pieces, _with_columns(world, parts, needs)])
    return table, _placed(table, simulations, seqs, asked)


_PARTS_AT_ONCE = 1_024  # of blocks that are open at once while single events are looked up


def _with_columns(world: World, parts: list[Part], needs: Needs) -> EventTable:
    table = EventTable(world, Relation.EVENTS, parts)
    needs.read(table)
    return table


def _where_written(world: World, pairs: Array) -> Array:
    """The pairs with those who wrote the events, as rows of the writers; who asks is a third column where these differ.

    Events that a moment leaves out are not looked for.
    """
    cut = world.cut
    if cut is not None:
        pairs = pairs[cut.allows(pairs[:, 0], pairs[:, 1])]
    sources = world.forks.sources_of(pairs[:, 0], pairs[:, 1]) if world.forks.count and len(pairs) else _NO_SOURCES
    if cut is None and not (sources >= 0).any():
        return pairs
    writers = pairs[:, 0].copy() if cut is None else cut.rows[pairs[:, 0]]
    if len(sources):
        writers[sources >= 0] = world.writers.rows_of(sources[sources >= 0])
    return np.stack((writers, pairs[:, 1], pairs[:, 0]), axis=1)[np.lexsort((pairs[:, 1], writers))]


_NO_SOURCES = np.empty(0, np.int64)


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
    gids = world.writers.array("gid")
    base = zone.ref.shard << 32
    low, high = np.searchsorted(gids, [base | zone.simulation_min, base | zone.simulation_max])
    first, last = np.searchsorted(pairs[:, 0], low), np.searchsorted(pairs[:, 0], high, side="right")
    mine: Array = pairs[first:last]
    return mine[(mine[:, 1] >= zone.seq_min) & (mine[:, 1] <= zone.seq_max)]


def _rows_of_pairs(world: World, block: Block, pairs: Array) -> tuple[Array, Array | None]:
    """The rows of the block that are asked for, and of which simulation each is to be an event."""
    here = slice(None) if world.subset is None else np.flatnonzero(world.subset.has(block))
    simulations = world.writers.rows_in_shard(block.ref.shard, block.simulation[here])
    found = pair_rows(pairs[:, 0], pairs[:, 1], simulations, block.seq[here])
    if world.subset is not None:
        everywhere = np.full(block.count, -1, np.int64)
        everywhere[here] = found
        found = everywhere
    is_found = found >= 0
    if world.cut is not None and world.cut.turn is not None:
        is_found &= world.cut.mask(block)
    rows = np.flatnonzero(is_found)
    if pairs.shape[1] == 2:
        return rows, None
    is_first = np.append(True, (pairs[1:, :2] != pairs[:-1, :2]).any(axis=1))
    counts = np.diff(np.append(np.flatnonzero(is_first), len(pairs)))  # several forks may share one event
    number = np.cumsum(is_first) - 1
    owners, places = expand(found[rows], counts[number[found[rows]]])
    return rows[owners], pairs[places, 2]


def _split_by_kind(ref: BlockRef, block: Block, rows: Array, owners: Array | None) -> Iterator[Part]:
    codes = block.kind[rows]
    for code in distinct(codes).tolist():
        kind = block.kinds[code]
        mine = codes == code
        chosen = rows[mine]
        places = np.searchsorted(block.kind_rows(kind), chosen)
        yield Part(ref, kind, len(chosen), places, block, None if owners is None else owners[mine])
