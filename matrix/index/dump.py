"""The digest of what an index says, for comparing a followed index with a rebuilt one.

Left out is what depends on where the log's blocks lie rather than on its events: ``segments``, ``blocks``,
and of the witnesses all but the position. So the digest is equal for a live and a compacted log too.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Final

from matrix.index.schema import KEYS, TABLES

LOGICAL_TABLES: Final = ("simulations", "agents", "goals", "states", "forks", "kinds", "paths", "witnesses")
_COLUMNS: Final = {"witnesses": ("shard", "position")}


def dump_digest(connection: sqlite3.Connection) -> str:
    """SHA-256 over the logical rows, table by table in the order of their keys."""
    digest = hashlib.sha256()
    for table in LOGICAL_TABLES:
        columns = ", ".join(f'"{name}"' for name in _COLUMNS.get(table, tuple(TABLES[table])))
        digest.update(f"{table} ({columns})\n".encode())
        for row in connection.execute(f"SELECT {columns} FROM {table} ORDER BY {', '.join(KEYS[table])}"):
            digest.update(repr(row).encode("utf-8", "surrogatepass"))
            digest.update(b"\n")
    return digest.hexdigest()
