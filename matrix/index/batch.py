"""A batch: the events of several blocks of one shard as one set of columns, read once and applied together.

The follower's work per event is numpy's, its work per noun is Python's and its work per transaction is
SQLite's; so blocks are joined until the last two are small beside the first.

A compacted block may hold events that the index has seen before: rows at or before ``after`` are left out here,
so nothing else needs to know. Rows of one simulation are in the order of their ``seq``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, compress, repeat
from typing import TYPE_CHECKING, Any, Final

import cbor2
import numpy as np

from matrix.log.items import MAP, head

if TYPE_CHECKING:
    from matrix.log.block import Block
    from matrix.log.history import Piece

SEQ_BITS: Final = 40  # a goal's place in a batch is (simulation's code << SEQ_BITS) | seq
SEQ_MASK: Final = (1 << SEQ_BITS) - 1
NEVER: Final = -(2**63)  # bound instead of NULL: sqlite3 asks an adapter about every None, 0.5 us each


class Batch:
    """Columns over the rows of ``blocks`` whose position is beyond ``after``.

    Row numbers count through all blocks. ``values("goal.started", "name")`` is aligned with
    ``kind_rows("goal.started")``.
    """

    def __init__(self, shard: int, blocks: Sequence[Block], *, after: int) -> None:
        self._take(shard, blocks, [_rows_beyond(block, after) for block in blocks])

    @classmethod
    def of_rows(cls, shard: int, blocks: Sequence[Block], keeps: Sequence[np.ndarray]) -> Batch:
        """The rows of some blocks for which their mask is true."""
        batch = cls.__new__(cls)
        batch._take(shard, blocks, list(keeps))
        return batch

    @classmethod
    def of_pieces(cls, shard: int, ordinal: int, pieces: Sequence[Piece]) -> Batch:
        """The events of one history, whoever wrote them, as events of the simulation ``ordinal`` of ``shard``."""
        batch = cls.__new__(cls)
        batch._take(shard, [piece.block for piece in pieces], [_only(piece.block, piece.rows) for piece in pieces])
        batch._columns["simulation"] = np.full(batch.count, ordinal, np.int64)
        return batch

    def _take(self, shard: int, blocks: Sequence[Block], keeps: list[np.ndarray | None]) -> None:
        self.shard, self.blocks, self.keeps = shard, blocks, keeps
        counts = [block.count if keep is None else int(keep.sum()) for block, keep in zip(blocks, keeps)]
        self.starts = np.concatenate(([0], np.cumsum(counts))).tolist()
        self.count: int = self.starts[-1]
        self._columns: dict[str, np.ndarray] = {}
        self._simulations: tuple[np.ndarray, np.ndarray] | None = None
        self._kind_codes: dict[str, int] = {}
        self._values: dict[tuple[str, str], list[Any]] = {}

    def column(self, name: str) -> np.ndarray:
        """One of the fixed numeric columns, as int64."""
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = self._joined(getattr(block, name) for block in self.blocks)
        return found

    def _joined(self, columns: Iterable[np.ndarray]) -> np.ndarray:
        parts = [column if keep is None else column[keep] for column, keep in zip(columns, self.keeps)]
        return np.concatenate(parts).astype(np.int64, copy=False)

    @property
    def simulations(self) -> np.ndarray:
        """The ordinals of the simulations in this batch, ascending."""
        return self._coded_simulations()[0]

    @property
    def simulation_codes(self) -> np.ndarray:
        """For each row, its simulation's place in ``simulations``."""
        return self._coded_simulations()[1]

    def _coded_simulations(self) -> tuple[np.ndarray, np.ndarray]:
        if self._simulations is None:
            self._simulations = group(self.column("simulation"))
        return self._simulations

    def gids(self, codes: np.ndarray) -> list[int]:
        """The simulations' keys in the index, for places in ``simulations``."""
        found: list[int] = ((self.shard << 32) | self.simulations)[codes].tolist()
        return found

    def keys(self, rows: np.ndarray, seqs: np.ndarray) -> np.ndarray:
        """The keys of events with these ``seqs`` in the simulations of these rows."""
        keys: np.ndarray = self.simulation_codes[rows] << SEQ_BITS | seqs
        return keys

    def gids_and_seqs(self, keys: np.ndarray) -> tuple[list[int], list[int]]:
        """What the keys stand for."""
        return self.gids(keys >> SEQ_BITS), (keys & SEQ_MASK).tolist()

    @property
    def kinds(self) -> dict[str, int]:
        """Every kind in this batch, and its code in ``kind_codes``."""
        if "kind" not in self._columns:
            self._read_kinds()
        return self._kind_codes

    @property
    def kind_codes(self) -> np.ndarray:
        """For each row, the code of its kind."""
        if "kind" not in self._columns:
            self._read_kinds()
        return self._columns["kind"]

    def _read_kinds(self) -> None:
        codes = self._kind_codes
        parts = []
        for block in self.blocks:
            table = np.array([codes.setdefault(kind, len(codes)) for kind in block.kinds], np.int64)
            parts.append(table[block.kind])
        self._columns["kind"] = self._joined(parts)

    def kind_counts(self) -> dict[str, int]:
        """How many events of each kind."""
        if all(keep is None for keep in self.keeps):
            counts: dict[str, int] = {}
            for block in self.blocks:
                for kind, count in block.kind_counts.items():
                    counts[kind] = counts.get(kind, 0) + count
            return counts
        found = np.bincount(self.kind_codes, minlength=len(self.kinds)).tolist()
        return {kind: found[code] for kind, code in self.kinds.items() if found[code]}

    def kind_rows(self, kind: str) -> np.ndarray:
        """The rows of one kind, ascending."""
        parts = [_NO_ROWS]
        for block, keep, start in zip(self.blocks, self.keeps, self.starts):
            rows = block.kind_rows(kind)
            if keep is not None and len(rows):
                rows = (np.cumsum(keep) - 1)[rows[keep[rows]]]
            parts.append(rows + start)
        return np.concatenate(parts).astype(np.int64, copy=False)

    def fields(self, kind: str) -> list[str]:
        """The names of all payload fields of a kind, sorted."""
        return sorted(set(chain.from_iterable(block.fields(kind) for block in self.blocks)))

    def values(self, kind: str, name: str) -> list[Any]:
        """One payload field as Python values, None where an event lacks it."""
        found = self._values.get((kind, name))
        if found is None:
            found = self._values[kind, name] = self._read_values(kind, name)
        return found

    def _read_values(self, kind: str, name: str) -> list[Any]:
        parts = []
        for block, keep in zip(self.blocks, self.keeps):
            rows = block.kind_rows(kind)
            if not len(rows):
                continue
            cells = block.cells(kind, name)
            values = [None] * len(rows) if cells is None else cells.to_pylist()
            parts.append(values if keep is None else list(compress(values, keep[rows].tolist())))
        return parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))

    def maps(self, kind: str, *, without: Iterable[str] = (), picks: np.ndarray | None = None) -> list[dict[str, Any]]:
        """Payloads as maps with sorted keys, nulls left out; ``picks`` are places among the kind's rows."""
        names = [name for name in self.fields(kind) if name not in without]
        columns = [self.values(kind, name) for name in names]
        count = len(self.kind_rows(kind)) if picks is None else len(picks)
        if not columns:
            return [{} for _ in range(count)]
        if picks is not None:
            places = picks.tolist()
            columns = [[column[place] for place in places] for column in columns]
        return [{n: v for n, v in zip(names, values) if v is not None} for values in zip(*columns)]


_NO_ROWS: Final = np.empty(0, np.int64)


def _rows_beyond(block: Block, after: int) -> np.ndarray | None:
    """Which rows of the block lie beyond a position; None for all, the usual case."""
    if block.first_position > after:
        return None
    keep: np.ndarray = block.positions > after
    return None if keep.all() else keep


def _only(block: Block, rows: np.ndarray) -> np.ndarray | None:
    """Some ascending rows of the block in that form."""
    if len(rows) == block.count:
        return None
    keep = np.zeros(block.count, np.bool_)
    keep[rows] = True
    return keep


def group(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys, ascending, and for each row its key's place among them."""
    low, high = int(keys.min()), int(keys.max())
    if high - low > 4 * len(keys) + 65_536:
        distinct, places = np.unique(keys, return_inverse=True)
        return distinct, places
    shifted = keys - low
    is_there = np.zeros(high - low + 1, np.bool_)  # a table is cheaper than a sort while it fits the cache
    is_there[shifted] = True
    return np.flatnonzero(is_there) + low, (np.cumsum(is_there) - 1)[shifted]


def find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each wanted key is among ascending ``keys``, and whether it is there at all."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return places, keys[places] == wanted


def packed(data: dict[str, Any]) -> bytearray:
    """A map as SQLite takes it fastest: sqlite3 asks an adapter about every ``bytes``, not about a bytearray."""
    return bytearray(cbor2.dumps(data))


def packed_maps(columns: dict[str, list[Any]], count: int) -> list[Any]:
    """One packed map per row from columns, with sorted keys and without nulls; 0 where a row has nothing.

    Bytes equal to those of ``packed``, put together from the columns' parts: 0.4 us a map instead of 1.4.
    """
    names = sorted(columns)
    if not names:
        return [0] * count
    pairs = [_packed_pairs(name, columns[name]) for name in names]
    if not any(None in columns[name] for name in names):
        return list(map(bytearray, map(b"".join, zip(repeat(head(MAP, len(names))), *pairs))))
    heads = [head(MAP, size) for size in range(len(names) + 1)]
    sized = ((len(names) - row.count(b""), row) for row in zip(*pairs))
    return [bytearray(b"".join((heads[size], *row))) if size else 0 for size, row in sized]


def _packed_pairs(name: str, values: list[Any]) -> Iterable[bytes]:
    """Name and value as CBOR, empty for None."""
    key = cbor2.dumps(name)
    if set(map(type, values)) in _ALIKE:  # equal values are the same value, which 1, 1.0 and True are not
        table = {value: key + cbor2.dumps(value) for value in set(values)}
        return map(table.__getitem__, values)
    return [b"" if value is None else key + cbor2.dumps(value) for value in values]


_ALIKE: Final[tuple[set[type], ...]] = ({int}, {str}, {bool})
