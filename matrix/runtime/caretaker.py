"""The caretaker of a store while a runtime writes it: lets the index follow, and compacts what was sealed.

Both run in a worker thread, one at a time, now and then; their troubles never reach a simulation. What
is left undone when the runtime closes, a query or ``matrix compact`` does later.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from matrix.errors import IndexAhead, MatrixError
from matrix.limits import CARE_INTERVAL_US

if TYPE_CHECKING:
    from matrix.index.index import Index
    from matrix.log.reader import LogReader
    from matrix.runtime.recorder import LogWriter

_diagnostics = logging.getLogger("matrix")


class Caretaker:
    """Looks after one store for one writer."""

    def __init__(self, store: Path, writer: LogWriter, *, compact: bool) -> None:
        self._store, self._writer, self._compacts = store, writer, compact
        self._turn = trio.CapacityLimiter(1)
        self._closing = threading.Event()
        self._open = ExitStack()
        self._opened: tuple[Index, LogReader] | None = None
        self._position = 0  # up to which the index has followed
        self._left_at = 0  # where the index stood when this one looked last
        self._segment = 1  # the first segment that was not looked at for compaction

    async def look(self) -> None:
        """Before the first event: an index that knows more than the log means that events were lost.

        Raises ``IndexAhead``. An index that was deleted has nothing to tell, and is made later.
        """
        if (self._store / "index.sqlite").exists():
            await trio.to_thread.run_sync(self._check, limiter=self._turn)

    async def keep(self) -> None:
        """Now and then, when there is something to do."""
        while True:
            await trio.sleep(CARE_INTERVAL_US / 1e6)
            if self._writer.last_position > self._position:
                self._position = self._writer.last_position
                await trio.to_thread.run_sync(self._follow_unless_others_do, limiter=self._turn)
            if self._compacts and self._writer.segment > self._segment:
                self._segment = self._writer.segment
                await trio.to_thread.run_sync(self._compact, limiter=self._turn)

    async def close(self) -> None:
        """Bring the index up to the newest committed block, and let go; a compaction under way is given up."""
        self._closing.set()
        await trio.to_thread.run_sync(self._follow, limiter=self._turn)
        await trio.to_thread.run_sync(self._open.close, limiter=self._turn)

    # -- in the worker thread ------------------------------------------------------------------

    def _index(self) -> tuple[Index, LogReader]:
        from matrix.index.index import Index
        from matrix.log.reader import LogReader

        if self._opened is None:
            reader = LogReader(self._store / "log")
            self._open.callback(reader.close)
            self._opened = self._open.enter_context(Index.open(self._store)), reader
        return self._opened

    def _check(self) -> None:
        try:
            index, reader = self._index()
            index.follow(reader)
            self._left_at = index.position(self._writer.shard)
        except IndexAhead:
            self._open.close()
            raise
        except (MatrixError, OSError, sqlite3.Error) as error:
            self._explain(error)

    def _follow_unless_others_do(self) -> None:
        """Leave the index to a process that brings it up anyway: this one, at work, would hold its lock for long."""
        try:
            at = self._index()[0].position(self._writer.shard)
        except (MatrixError, OSError, sqlite3.Error):
            at = self._left_at  # to follow mends it, or says what is wrong
        before, self._left_at = self._left_at, at
        if at == before:
            self._follow()

    def _follow(self) -> None:
        try:
            index, reader = self._index()
            index.follow(reader)
            self._left_at = index.position(self._writer.shard)
        except (MatrixError, OSError, sqlite3.Error) as error:
            self._explain(error)

    def _explain(self, error: Exception) -> None:
        # The index is derived: the next query brings it up to date, or says what is wrong.
        _diagnostics.warning("the index of %s was not brought up to date: %s", self._store, error)

    def _compact(self) -> None:
        from matrix.log.compact import compact_log

        try:
            report = compact_log(self._store / "log", shard=self._writer.shard, is_stopped=self._closing.is_set)
        except (MatrixError, OSError) as error:
            _diagnostics.warning("%s was not compacted: %s", self._store, error)
            return
        for trouble in report.damaged:
            _diagnostics.warning("a segment was not compacted: %s", trouble)
