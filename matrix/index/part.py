"""A part of the index, shown in place of the whole: some simulations only, or those as they were.

Both are made of temporary views and tables that have the names of the index's own, so every statement meets them
first. What always holds: the caller is inside a transaction that only reads, and rolls it back; the index itself
is not changed, and what it says of blocks stays whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from matrix.index import entities
from matrix.index.batch import Batch
from matrix.limits import FOLLOW_EVENTS_MAX
from matrix.log.block import BlockRef
from matrix.log.history import Piece

if TYPE_CHECKING:
    from matrix.log.block import Block
    from matrix.log.reader import LogReader

#: The tables of entities, and their column with the simulation's key.
_KEYS: Final = {"simulations": "gid", "agents": "simulation", "goals": "simulation", "states": "simulation"}
_NUMBERS: Final = {"agents": "number", "goals": "seq", "states": "agent"}
_TABLES: Final = (*_KEYS, "forks")
_CATALOGUE: Final = ("kinds", "paths")


def sources_of(connection: sqlite3.Connection, gids: Iterable[int]) -> set[int]:
    """The simulations in whose part of the log some forks among these have events."""
    found: set[int] = set()
    for gid in gids:
        sql = "SELECT source FROM main.forks WHERE gid = ? AND source IS NOT NULL"
        found.update(source for (source,) in connection.execute(sql, (gid,)))
    return found


def own_firsts(connection: sqlite3.Connection, gids: Iterable[int]) -> dict[int, int]:
    """The first event that each of these simulations wrote itself: 1, or for a fork ``simulation.forked``."""
    sql = "SELECT coalesce(max(last_seq), 0) + 1 FROM main.forks WHERE gid = ?"
    return {gid: int(connection.execute(sql, (gid,)).fetchone()[0]) for gid in gids}


def chosen(table: str, gids: Iterable[int], numbers: Mapping[int, Collection[int]] | None = None) -> str:
    """A table of entities with these simulations only, as it may stand behind FROM: good for a few.

    ``numbers`` are the only agents (of goals: the only seqs) that are wanted of each.

    >>> chosen("agents", [1, 2])
    '(SELECT * FROM main.agents WHERE simulation IN (1, 2))'
    >>> chosen("goals", [7], {7: [12]})
    '(SELECT * FROM main.goals WHERE simulation = 7 AND seq IN (12))'
    """
    key = _KEYS.get(table, "gid")
    if numbers is None:
        return f"(SELECT * FROM main.{table} WHERE {key} IN ({_listed(gids)}))"
    parts = [
        f"SELECT * FROM main.{table} WHERE {key} = {gid} AND {_NUMBERS[table]} IN ({_listed(numbers.get(gid, ()))})"
        for gid in gids
    ]
    return f"({' UNION ALL '.join(parts)})"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def show_only(connection: sqlite3.Connection, gids: Iterable[int]) -> None:
    """Let the tables of entities show these simulations only."""
    connection.execute("CREATE TEMP TABLE chosen (gid INTEGER PRIMARY KEY)")
    connection.executemany("INSERT INTO temp.chosen VALUES (?)", ((gid,) for gid in gids))
    for table, key in {**_KEYS, "forks": "gid"}.items():
        connection.execute(
            f"CREATE TEMP VIEW {table} AS SELECT * FROM main.{table} WHERE {key} IN (SELECT gid FROM temp.chosen)"
        )


def show_as_they_were(connection: sqlite3.Connection, reader: LogReader, last_seqs: Mapping[int, int]) -> None:
    """Let the tables of entities show these simulations only, as they were after an event each had written itself.

    ``last_seqs`` says after which; those that have written nothing behind it are copied, the others made again.
    """
    _make_tables(connection)
    firsts = own_firsts(connection, last_seqs)
    # Of an event that is not there yet: nothing at all, although a fork has its parent's from the first on.
    there = {gid: last for gid, last in last_seqs.items() if last >= firsts[gid]}
    newest = "SELECT events FROM main.simulations WHERE gid = ?"
    moved: dict[int, int] = {}
    for gid, last in there.items():
        row = connection.execute(newest, (gid,)).fetchone()
        connection.execute("INSERT INTO temp.forks SELECT * FROM main.forks WHERE gid = ?", (gid,))
        if row is not None and row[0] <= last:
            for table, key in _KEYS.items():
                connection.execute(f"INSERT INTO temp.{table} SELECT * FROM main.{table} WHERE {key} = ?", (gid,))
        else:
            moved[gid] = last
    for gid in moved:
        _write_shared(connection, reader, gid)
    for shard in sorted({gid >> 32 for gid in moved}):
        _write_own(connection, reader, shard, {g & 0xFFFF_FFFF: last for g, last in moved.items() if g >> 32 == shard})


def _make_tables(connection: sqlite3.Connection) -> None:
    """Empty temporary tables with the names, columns and indexes of the index's own."""
    sql = "SELECT type, tbl_name, sql FROM main.sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC"
    for kind, table, made_by in connection.execute(sql).fetchall():
        if table in (*_TABLES, *_CATALOGUE):
            old, new = ("CREATE TABLE ", "CREATE TEMP TABLE ") if kind == "table" else ("INDEX ", "INDEX temp.")
            connection.execute(made_by.replace(old, new, 1))


def _write_shared(connection: sqlite3.Connection, reader: LogReader, gid: int) -> None:
    """What a fork has from its parents."""
    sql = "SELECT first_seq, last_seq, source FROM main.forks WHERE gid = ? AND source IS NOT NULL ORDER BY first_seq"
    for first, last, source in connection.execute(sql, (gid,)).fetchall():
        for block in _blocks(connection, reader, source >> 32, {source & 0xFFFF_FFFF: last}):
            is_theirs = block.simulation == source & 0xFFFF_FFFF
            rows = np.flatnonzero(is_theirs & (block.seq >= first) & (block.seq <= last))
            if len(rows):
                piece = Piece(block, rows, int(block.seq[rows[0]]))
                entities.write(connection, Batch.of_pieces(gid >> 32, gid & 0xFFFF_FFFF, [piece]))


def _write_own(connection: sqlite3.Connection, reader: LogReader, shard: int, lasts: Mapping[int, int]) -> None:
    """What simulations of a shard, by ordinal, say themselves up to an event of each."""
    ordinals = np.array(sorted(lasts), np.int64)
    bounds = np.array([lasts[ordinal] for ordinal in ordinals.tolist()], np.int64)
    blocks: list[Block] = []
    keeps: list[np.ndarray] = []
    for block in _blocks(connection, reader, shard, lasts):
        places = np.minimum(np.searchsorted(ordinals, block.simulation), len(ordinals) - 1)
        keep = (ordinals[places] == block.simulation) & (block.seq <= bounds[places])
        if not keep.any():
            continue
        blocks.append(block)
        keeps.append(keep)
        if sum(block.count for block in blocks) >= FOLLOW_EVENTS_MAX:
            entities.write(connection, Batch.of_rows(shard, blocks, keeps))
            blocks, keeps = [], []
    if blocks:
        entities.write(connection, Batch.of_rows(shard, blocks, keeps))


def _blocks(connection: sqlite3.Connection, reader: LogReader, shard: int, lasts: Mapping[int, int]) -> Iterator[Block]:
    """The blocks that may hold events of these simulations up to those, in the order of the log."""
    sql = """SELECT segment, generation, "offset", simulation_min, simulation_max FROM main.blocks
             WHERE shard = ? AND simulation_max >= ? AND simulation_min <= ? AND seq_min <= ?
             ORDER BY segment, "offset" """
    bounds = (shard, min(lasts), max(lasts), max(lasts.values()))
    ordinals = np.array(sorted(lasts), np.int64)
    for segment, generation, offset, low, high in connection.execute(sql, bounds).fetchall():
        first = int(np.searchsorted(ordinals, low))
        if first < len(ordinals) and ordinals[first] <= high:
            yield reader.block(BlockRef(shard, segment, generation, offset))
