"""The store that files are imported into: whose turn it is, what is there already, and the writer."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

from matrix.errors import LogWriteError
from matrix.index.index import Index
from matrix.limits import IMPORT_FOLLOW_EVENTS
from matrix.log.place import check_place
from matrix.log.reader import LogReader
from matrix.log.writer import Writer

LOCK_FILE = "import.lock"


class Target:
    """One store during one call of ``import_files``; what it needs of the store is opened when first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._log = folder, folder / "log"
        self._open = ExitStack()
        self._writer: Writer | None = None
        self._index: Index | None = None
        check_place(folder)
        self._was_there = folder.exists()

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *failure: object) -> None:
        self._open.close()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """This store's turn to import: nobody else's import comes between the look and the write."""
        lock = self._lock()
        try:
            self._follow()
            yield
            if self._writer is not None:
                self._writer.sync()
                self._follow()
        finally:
            self._unlock(lock)

    def has(self, id: str, *, file_digest: str = "") -> bool:
        """Whether the store has a simulation of this id (that came from the file of this digest)."""
        if self._index is None:
            return False
        # The digest stands in the stored data as plain text: SQLite finds it without decoding anything.
        question = "SELECT 1 FROM simulations WHERE id = :id AND (:digest = x'' OR instr(data, :digest) > 0)"
        return (
            self._index.connection.execute(question, {"id": id, "digest": file_digest.encode()}).fetchone() is not None
        )

    def writer(self) -> Writer:
        """The log's writer, opened at the first call."""
        if self._writer is None:
            self._writer = self._open.enter_context(Writer.open(self._log))
        return self._writer

    def _follow(self) -> None:
        """Bring the index up to what is committed, by whomever; a store that is not there yet has none."""
        if self._log.is_dir():
            self._index = self._index or self._open.enter_context(Index.open(self._folder))
            self._index.follow(LogReader(self._log), batch_events=IMPORT_FOLLOW_EVENTS)

    def _lock(self) -> TextIOWrapper:
        try:
            while True:
                self._folder.mkdir(parents=True, exist_ok=True)
                if lock := _locked(self._folder / LOCK_FILE):
                    return lock
        except OSError as error:
            raise LogWriteError(f"{self._folder}: cannot be written to: {error.strerror or error}") from error

    def _unlock(self, lock: TextIOWrapper) -> None:
        with lock:
            if not self._log.is_dir():  # nothing was written: leave no trace
                with suppress(OSError):  # somebody else has just begun to use the folder
                    (self._folder / LOCK_FILE).unlink()
                    if not self._was_there:
                        self._folder.rmdir()


def _locked(path: Path) -> TextIOWrapper | None:
    """The lock file, locked; None when somebody who left an empty store removed it meanwhile: begin again."""
    with ExitStack() as opened, suppress(FileNotFoundError):
        lock = opened.enter_context(path.open("a"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
            opened.pop_all()
            return lock
    return None
