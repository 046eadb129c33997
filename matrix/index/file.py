"""The file ``index.sqlite``: opened, made, found damaged, put away.

What always holds: only one process at a time opens, makes or removes the file (a lock on the store's folder, held
for milliseconds), so nobody removes what another has just made. A process that still has a removed file open goes
on with it unharmed, and notices by ``was_replaced``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cbor2

from matrix.errors import NotAStore, StoreError
from matrix.index import schema

_NOT_WRITABLE: Final = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
_SHORT_READ: Final = 522  # SQLITE_IOERR_SHORT_READ: the file ends before its own page count


@dataclass(frozen=True, slots=True)
class Opened:
    """An open index: ``inode`` is None in memory; ``remade_because`` says why an existing file was thrown away."""

    connection: sqlite3.Connection
    inode: int | None
    remade_because: str | None = None


def open_file(store: Path, *, remake_because: str | None = None) -> Opened:
    """The store's index, made if it is missing or not one; in memory if the folder cannot be written.

    ``remake_because`` says why the file that is there is to be thrown away.
    """
    path = store / schema.FILE_NAME
    try:
        with _only_opener(store):
            return _open_or_make(path, remake_because)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in _NOT_WRITABLE:
            return Opened(_made(schema.connect(None)), None)
        raise StoreError(f"{path}: {error}") from error
    except PermissionError:
        return Opened(_made(schema.connect(None)), None)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotAStore(f"{store}: there is no such folder") from error


def was_replaced(store: Path, opened: Opened) -> bool:
    """Whether the file that is open here has been removed, or another put in its place."""
    if opened.inode is None:
        return False
    try:
        return os.stat(store / schema.FILE_NAME).st_ino != opened.inode
    except FileNotFoundError:
        return True


def settle(store: Path, inode: int) -> None:
    """Move what SQLite's write-ahead log holds into the file, if that is still there; nobody waits for it meanwhile."""
    path = store / schema.FILE_NAME
    with _only_opener(store):
        if os.stat(path).st_ino != inode:
            return
        connection = schema.connect(path)
        connection.execute("SELECT count(*) FROM witnesses")  # so that its write-ahead log is open, too
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    finally:
        connection.close()


def damage_of(connection: sqlite3.Connection, error: Exception) -> str | None:
    """What is wrong with the file if that is what ``error`` comes from; None if the error is something else."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and (code & 0xFF in _DAMAGED or code == _SHORT_READ):
        return str(error)
    if isinstance(error, cbor2.CBORError | UnicodeDecodeError):
        return f"a value does not decode ({error})"
    if code is not None and code & 0xFF not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT):
        return None  # locked, full, interrupted: the file is not to blame
    return _structural_damage(connection)


def _structural_damage(connection: sqlite3.Connection) -> str | None:
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        found = schema.layout(connection)
    except sqlite3.DatabaseError as error:
        return str(error)
    if verdict != "ok":
        return str(verdict)
    missing = sorted(schema.LAYOUT - found)
    return f"missing: {', '.join(missing)}" if missing else None


@contextlib.contextmanager
def _only_opener(store: Path) -> Iterator[None]:
    """Keep other processes from opening, making or removing the file for a moment."""
    folder = os.open(store, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _open_or_make(path: Path, because: str | None) -> Opened:
    if because is None and (because := _is_cut_off(path)) is None:
        try:
            return _open_sound(path)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _DAMAGED and error.sqlite_errorcode != _SHORT_READ:
                raise
            because = str(error)
    for suffix in ("-wal", "-shm", ""):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    connection = _made(schema.connect(path))
    return Opened(connection, os.stat(path).st_ino, because)


def _open_sound(path: Path) -> Opened:
    """Open a file that is an index, or make one; raises DatabaseError for one that is damaged."""
    existed = path.exists()
    connection = schema.connect(path)
    try:
        version = schema.version_of(connection)
        if version == schema.SCHEMA_VERSION:
            connection.execute("BEGIN IMMEDIATE")  # an index that cannot follow is of no use
            connection.execute("ROLLBACK")
            return Opened(connection, os.stat(path).st_ino)
        _made(connection)
        because = None
        if existed and version != 0:
            found = "of another program" if version is None else f"version {version}"
            because = f"the schema of {schema.FILE_NAME} was {found}, not version {schema.SCHEMA_VERSION}"
        return Opened(connection, os.stat(path).st_ino, because)
    except BaseException:
        connection.close()
        raise


def _made(connection: sqlite3.Connection) -> sqlite3.Connection:
    with schema.transaction(connection):
        schema.create(connection)
    return connection


def _is_cut_off(path: Path) -> str | None:
    """SQLite reads a file that lacks its last pages without a word, until one of them is needed."""
    try:
        with path.open("rb") as file:
            head = file.read(100)
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    if size == 0:
        return None
    if len(head) < 100:
        return f"{size} bytes are not a database"
    page_bytes = int.from_bytes(head[16:18], "big")
    page_bytes = 65_536 if page_bytes == 1 else page_bytes
    pages = int.from_bytes(head[28:32], "big")
    if size < pages * page_bytes:
        return f"it is cut off: {size} bytes of {pages * page_bytes}"
    return None
