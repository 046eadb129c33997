"""The index of a store: entities, zone maps and catalogue in SQLite, derived from the log.

What always holds: the log is the truth. The file may be deleted, damaged, old, or belong to another log: then it
is made again, and ``Followed.rebuilt_because`` says why. Only an index that knows more than the log is not
touched: that is an alarm (``IndexAhead``), and ``rebuild`` is how a person accepts the loss.

SQLite keeps no checksums, so a bit flipped inside a value is beyond its notice, and ours; ``rebuild`` mends it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import cbor2

from matrix.errors import StoreError
from matrix.index import dump, file, follower, schema
from matrix.index.settling import Settling
from matrix.limits import FOLLOW_EVENTS_MAX

if TYPE_CHECKING:
    from matrix.log.reader import LogReader


@dataclass(frozen=True, slots=True)
class Followed:
    """What one ``follow`` did. ``rebuilt_because`` is None, or why the index was made again from the log."""

    events: int
    rebuilt_because: str | None = None


class Index:
    """The index of one store, for one process; several processes may each have it open.

    >>> with Index.open(store) as index:                                        # doctest: +SKIP
    ...     index.follow(LogReader(store / "log"))
    ...     index.connection.execute("SELECT count(*) FROM goals WHERE status = 'succeeded'").fetchone()
    Followed(events=8192, rebuilt_because=None)
    (812,)
    """

    def __init__(self, store: Path, *, is_steady: bool = False) -> None:
        self._store, self._is_steady = store, is_steady
        self._lock = threading.Lock()  # one follow at a time on this connection
        self._opened = self._open_file()
        self._remade_because = self._opened.remade_because
        self._checked: tuple[LogReader | None, follower.Checked] = None, {}

    @classmethod
    def open(cls, store: Path | str, *, is_steady: bool = False) -> Index:
        """The store's index; made if it is missing, in memory if the folder cannot be written.

        Who is steady follows many times a second, and is never kept waiting for the disk (see ``Settling``).
        """
        return cls(Path(store), is_steady=is_steady)

    @property
    def connection(self) -> sqlite3.Connection:
        """SQLite's connection, for reading. Ask again after each ``follow``: a damaged file is replaced."""
        return self._opened.connection

    @property
    def is_in_memory(self) -> bool:
        """Whether the index is not kept, because the store's folder cannot be written."""
        return self._opened.inode is None

    def position(self, shard: int) -> int:
        """How far a shard has been followed, by whomever."""
        with self._lock:
            return follower.read_witness(self.connection, shard).position

    def close(self) -> None:
        """Close the connection; what was followed is kept."""
        with self._lock:
            self.connection.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- following ----------------------------------------------------------------------------

    def follow(self, reader: LogReader, *, batch_events: int = FOLLOW_EVENTS_MAX) -> Followed:
        """Bring the index up to the newest committed block, and say what that took.

        Raises ``IndexAhead`` when the log has lost events that the index knows, ``LogCorrupt`` for a damaged
        log, ``StoreError`` when the index cannot be written (a full disk, another process that does not let go).
        """
        with self._lock, self._as_store_error():
            if file.was_replaced(self._store, self._opened):
                self._open_again()
            try:
                return self._followed(reader, batch_events)
            except follower.Mismatch as mismatch:
                because = str(mismatch)
            except (sqlite3.Error, cbor2.CBORError, TypeError, ValueError) as error:
                # Types and values, too: a damaged file may hand back anything where a number should be.
                damage = file.damage_of(self.connection, error)
                if damage is None:
                    raise
                because = damage
            self._open_again(remake_because=because)
            return self._followed(reader, batch_events)

    def rebuild(self, reader: LogReader) -> Followed:
        """Throw the file away and read the whole log, whatever the index knew."""
        with self._lock, self._as_store_error():
            self._open_again(remake_because="asked to")
            return self._followed(reader, FOLLOW_EVENTS_MAX)

    def mend(self, reader: LogReader, error: Exception) -> Followed | None:
        """After a question met ``error``: the index made anew if its file is to blame, else None.

        Following touches few of a file's pages, so damage may wait for whoever reads the others.
        """
        with self._lock, self._as_store_error():
            because = file.damage_of(self.connection, error)
            if because is None:
                return None
            self._open_again(remake_because=because)
            return self._followed(reader, FOLLOW_EVENTS_MAX)

    def dump_digest(self) -> str:
        """SHA-256 of what the index says; equal however, and in whatever steps, the log was followed."""
        with self._lock:
            return dump.dump_digest(self.connection)

    def _followed(self, reader: LogReader, batch_events: int) -> Followed:
        if self._checked[0] is not reader:
            self._checked = reader, {}
        events = follower.follow(self.connection, reader, batch_events=batch_events, checked=self._checked[1])
        if events and self._settling is not None:
            self._settling.note()
        because, self._remade_because = self._remade_because, None
        return Followed(events, because)

    def _open_again(self, *, remake_because: str | None = None) -> None:
        self.connection.close()
        self._opened = self._open_file(remake_because)
        self._remade_because = remake_because or self._opened.remade_because
        self._checked = None, {}

    def _open_file(self, remake_because: str | None = None) -> file.Opened:
        opened = file.open_file(self._store, remake_because=remake_because)
        is_kept = opened.inode is not None
        self._settling = Settling(self._store, opened) if self._is_steady and is_kept else None
        return opened

    @contextlib.contextmanager
    def _as_store_error(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self._store / schema.FILE_NAME}: {error}") from error
