"""Forks: what a simulation shares with its parent is here as if it had been copied.

A fork's own part of the log begins with ``simulation.forked``, whose ``seq`` goes on where its parent was left. What
always holds:

- Entities of a fork are those of its whole history: before the first of its own events is applied, its rows are made
  from its parents' events, read from the log. So neither the order in which shards are followed nor what the
  index knows of the parent matters. Of several forks at one place of one parent only the first is made so; its rows
  are copied for the others.
- Events stay where they are: ``forks`` says which events of which simulation a fork has too, in pieces of ascending
  ``seq``, and a scan reads them there. A source is where the events lie, never itself a fork's view of them.
- A fork whose parent is not there, or not whole, has its own part only. Its row in ``forks`` names no source, and
  answers say so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from matrix.errors import LogCorrupt, MatrixError, StoreError
from matrix.event import SIMULATION_FORKED
from matrix.index import entities
from matrix.index.batch import Batch
from matrix.index.schema import TABLES
from matrix.index.simulations import first_and_last
from matrix.limits import FOLLOW_EVENTS_MAX

if TYPE_CHECKING:
    from matrix.log.history import Histories, History, Part, Piece
    from matrix.log.reader import LogReader

#: A fork that begins in a batch, and how many events it shares with its parent.
Fork = tuple[int, int]

_INSERT = "INSERT OR REPLACE INTO forks (gid, first_seq, last_seq, source) VALUES (?, ?, ?, ?)"


def write(connection: sqlite3.Connection, reader: LogReader, batch: Batch) -> None:
    """Make the rows that forks beginning in this batch have from their parents; nothing else of the batch."""
    found = _beginning(connection, batch)
    if not found:
        return
    from matrix.log.history import Histories  # most logs have no forks

    histories = Histories(reader)
    alike: dict[tuple[Part, ...], list[Fork]] = {}
    for gid, shared in found:
        alike.setdefault(_shared_parts(histories, gid, shared), []).append((gid, shared))
    for parts, forks in alike.items():
        if not parts or not _share(connection, histories, parts, forks):
            connection.executemany(_INSERT, [(gid, 1, shared, None) for gid, shared in forks])


def _beginning(connection: sqlite3.Connection, batch: Batch) -> list[Fork]:
    """The simulations that the index has not met before and whose first event here says that they are forks."""
    rows = batch.kind_rows(SIMULATION_FORKED)
    if not len(rows):
        return []
    first, _ = first_and_last(batch.simulation_codes, len(batch.simulations))
    codes = batch.simulation_codes[rows]
    seqs = batch.column("seq")[rows]
    begins = (first[codes] == rows) & (seqs > 1)
    known = "SELECT 1 FROM simulations WHERE gid = ?"
    return [
        (gid, seq - 1)
        for gid, seq in zip(batch.gids(codes[begins]), seqs[begins].tolist())
        if connection.execute(known, (gid,)).fetchone() is None
    ]


def _shared_parts(histories: Histories, gid: int, shared: int) -> tuple[Part, ...]:
    """Where the first ``shared`` events of a fork lie; empty when they are not all there."""
    try:
        parts = histories.history(gid >> 32, gid & 0xFFFF_FFFF, last_seq=shared).parts
    except LogCorrupt:
        raise
    except MatrixError:
        return ()
    ends = [0, *(part.last_seq for part in parts)]
    is_whole = ends[-1] == shared and all(part.first_seq == end + 1 for part, end in zip(parts, ends))
    return tuple(parts) if is_whole else ()


def _share(
    connection: sqlite3.Connection, histories: Histories, parts: tuple[Part, ...], forks: Sequence[Fork]
) -> bool:
    """Make the rows of forks that share these parts; False, and nothing made, when events are missing there."""
    (gid, shared), *others = forks
    history = histories.history(gid >> 32, gid & 0xFFFF_FFFF, last_seq=shared)
    connection.execute("SAVEPOINT sharing")
    try:
        for batch in _batches(gid, history):
            entities.write(connection, batch, times=len(forks))
    except _Incomplete:
        connection.execute("ROLLBACK TO sharing")
        return False
    finally:
        if connection.in_transaction:  # SQLite ends it by itself when the disk is full
            connection.execute("RELEASE sharing")
    _copy(connection, gid, [other for other, _ in others])
    rows = [(part.first_seq, part.last_seq, part.shard << 32 | part.ordinal) for part in parts]
    connection.executemany(_INSERT, [(fork, *row) for fork, _ in forks for row in rows])
    return True


class _Incomplete(Exception):
    """Events that a fork shares with its parent are not in the log."""


def _batches(gid: int, history: History) -> Iterator[Batch]:
    """A history's events as batches of the fork's own."""
    shard, ordinal = gid >> 32, gid & 0xFFFF_FFFF
    waiting: list[Piece] = []
    events = 0
    for piece in _whole(history):
        waiting.append(piece)
        events += len(piece.rows)
        if events >= FOLLOW_EVENTS_MAX:
            yield Batch.of_pieces(shard, ordinal, waiting)
            waiting, events = [], 0
    if waiting:
        yield Batch.of_pieces(shard, ordinal, waiting)


def _whole(history: History) -> Iterator[Piece]:
    """The pieces of a history; ``_Incomplete`` if they are not each and every event of it."""
    expected = 1
    try:
        for piece in history.pieces():
            if not np.array_equal(piece.block.seq[piece.rows], np.arange(expected, expected + len(piece.rows))):
                raise _Incomplete
            expected += len(piece.rows)
            yield piece
    except LogCorrupt:
        raise
    except StoreError as error:
        raise _Incomplete from error
    if expected <= history.last_seq:
        raise _Incomplete


_COPIED = ("agents", "goals", "states")


def _copy(connection: sqlite3.Connection, gid: int, others: Sequence[int]) -> None:
    """Give other forks the rows that one has."""
    own = {
        "gid": ":to",
        "shard": ":to >> 32",
        "ordinal": ":to & 0xFFFFFFFF",
        "id": "(:to >> 32) || '-' || (:to & 0xFFFFFFFF)",
    }
    statements = [_copy_statement("simulations", own, "gid")]
    statements += [_copy_statement(table, {"simulation": ":to"}, "simulation") for table in _COPIED]
    for statement in statements:
        connection.executemany(statement, [{"gid": gid, "to": other} for other in others])


def _copy_statement(table: str, replaced: dict[str, str], key: str) -> str:
    names = [f'"{name}"' for name in TABLES[table]]
    values = [replaced.get(name, f'"{name}"') for name in TABLES[table]]
    return f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {table} WHERE {key} = :gid"
