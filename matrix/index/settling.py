"""Settling: what a steady follower has written is moved from SQLite's write-ahead log into the file beside it.

SQLite itself does that inside of every hundredth commit or so, and waits for the disk twice: tens of milliseconds in
which a watch would tell nothing. What always holds: it is done in a thread of its own, by a connection of its own,
which lets others write meanwhile; where that does not keep up, SQLite does it inside of a commit after all, so
the write-ahead log stays bounded.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import StoreError
from matrix.index import file
from matrix.limits import SETTLE_EVERY, SETTLE_PAGES_MAX

if TYPE_CHECKING:
    from matrix.index.file import Opened


class Settling:
    """Sees to the file of one steady follower."""

    def __init__(self, store: Path, opened: Opened) -> None:
        assert opened.inode is not None, "an index in memory has nothing to settle"
        self._store, self._inode = store, opened.inode
        self._count = 0
        self._thread: threading.Thread | None = None
        opened.connection.execute(f"PRAGMA wal_autocheckpoint = {SETTLE_PAGES_MAX}")

    def note(self) -> None:
        """Something was followed."""
        self._count += 1
        if self._count >= SETTLE_EVERY and (self._thread is None or not self._thread.is_alive()):
            self._count = 0
            self._thread = threading.Thread(target=self._settle, name="matrix-settle", daemon=True)
            self._thread.start()

    def _settle(self) -> None:
        with contextlib.suppress(sqlite3.Error, StoreError, OSError):  # it is tried again; trouble is told by follow
            file.settle(self._store, self._inode)
