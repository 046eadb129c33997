"""The catalogue: which kinds there are, and which payload paths of which types, with exact counts of events.

Whole columns answer for numbers, text, booleans and byte strings: no value of theirs is looked at. Mixed and
nested columns are walked value by value. A count is a sum over events, so neither the bounds of blocks nor the
order of shards nor compaction can change it. None counts as absent, as everywhere in the language.

A payload whose keys are data (``scores: {agent-1: 3, …}``) would make a catalogue without end: of each kind only
the first ``CATALOGUE_PATHS_MAX`` paths stay, shallow before deep, then by name. What falls out can never come
back, since the paths that outrank it are still there; so this too depends on the events alone.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from matrix.index.batch import Batch
from matrix.limits import CATALOGUE_PATHS_MAX

if TYPE_CHECKING:
    from matrix.log.block import Block
    from matrix.log.cells import Cells


class Path(NamedTuple):
    """One way into a payload: ``("items[*].price", "number", 3)``; depth counts names and ``[*]``."""

    text: str
    type: str
    depth: int


_PLAIN_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TYPES: Final = {bool: "bool", int: "number", float: "number", str: "text", bytes: "bytes", dict: "map", list: "list"}


def path_name(name: str) -> str:
    """A name as the language writes it in a path.

    >>> path_name("price"), path_name("odd key")
    ('price', '"odd key"')
    """
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def paths_of(batch: Batch) -> dict[str, Counter[Path]]:
    """By kind: every path in the batch's payloads, and how many events have it."""
    found: dict[str, Counter[Path]] = {}
    for block, keep in zip(batch.blocks, batch.keeps):
        for kind in block.kind_counts:
            names = block.fields(kind)
            if names:
                is_kept = None if keep is None else keep[block.kind_rows(kind)]
                _count_block(found.setdefault(kind, Counter()), block, kind, is_kept)
    return found


def _count_block(paths: Counter[Path], block: Block, kind: str, is_kept: np.ndarray | None) -> None:
    for name in block.fields(kind):
        cells = block.cells(kind, name)
        if cells is not None:
            count_cells(paths, path_name(name), cells, is_kept)


def count_cells(paths: Counter[Path], name: str, cells: Cells, is_kept: np.ndarray | None) -> None:
    """Count one payload column into ``paths``."""
    if isinstance(cells.dense, list):
        values = cells.dense
        if is_kept is not None:
            values = [value for value in compress(cells.to_pylist(), is_kept.tolist()) if value is not None]
        _count_values(paths, name, values)
        return
    if is_kept is None:
        there = len(cells.dense)
    else:
        there = int((is_kept if cells.valid is None else is_kept & cells.valid).sum())
    if there:
        paths[Path(name, _column_type(cells.dense), 1)] += there


def _column_type(dense: Any) -> str:
    if isinstance(dense, np.ndarray):
        return "bool" if dense.dtype == np.bool_ else "number"
    return "text" if str(dense.type) == "string" else "bytes"


def _count_values(paths: Counter[Path], name: str, values: Sequence[Any]) -> None:
    for kind, count in Counter(map(type, values)).items():
        if kind in _TYPES:
            paths[Path(name, _TYPES[kind], 1)] += count
    for value in values:
        if type(value) in _NESTED:
            inner: set[Path] = set()
            _walk(inner, name, value, 1)
            paths.update(inner)


_NESTED: Final = (dict, list)


def _walk(found: set[Path], path: str, value: Any, depth: int) -> None:
    """Add every path inside a map or list; ``value`` itself has been counted."""
    if type(value) is dict:
        inside = [(f"{path}.{path_name(str(name))}", inner) for name, inner in value.items()]
    else:
        path = f"{path}[*]"
        scalars = {_TYPES[kind] for kind in set(map(type, value)) if kind in _TYPES and kind not in _NESTED}
        found.update(Path(path, name, depth + 1) for name in scalars)
        inside = [(path, inner) for inner in value if type(inner) in _NESTED]
    for text, inner in inside:
        kind = type(inner)
        if kind in _TYPES:
            found.add(Path(text, _TYPES[kind], depth + 1))
        if kind in _NESTED:
            _walk(found, text, inner, depth + 1)


_KIND_UPSERT = "INSERT INTO kinds VALUES (?, ?) ON CONFLICT DO UPDATE SET events = events + excluded.events"
_PATH_UPDATE = "UPDATE paths SET events = events + ? WHERE kind = ? AND path = ? AND type = ?"
_PATH_INSERT = "INSERT INTO paths (events, kind, path, type, depth) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_PATHS_CUT = """
    DELETE FROM paths WHERE kind = :kind AND (depth, path, type) >
        (SELECT depth, path, type FROM paths WHERE kind = :kind ORDER BY depth, path, type LIMIT 1 OFFSET :last)
"""


def write(connection: sqlite3.Connection, batch: Batch, *, times: int = 1) -> None:
    """Add the batch's kinds and paths, its events counted ``times`` times."""
    connection.executemany(_KIND_UPSERT, [(kind, count * times) for kind, count in batch.kind_counts().items()])
    found = paths_of(batch)
    rows = [
        (count * times, kind, path.text, path.type, path.depth)
        for kind, paths in found.items()
        for path, count in paths.items()
    ]
    if connection.executemany(_PATH_UPDATE, [row[:4] for row in rows]).rowcount == len(rows):
        return  # no path is new, which is the usual case
    connection.executemany(_PATH_INSERT, rows)
    for kind in found:
        (known,) = connection.execute("SELECT count(*) FROM paths WHERE kind = ?", (kind,)).fetchone()
        if known > CATALOGUE_PATHS_MAX:
            connection.execute(_PATHS_CUT, {"kind": kind, "last": CATALOGUE_PATHS_MAX - 1})
