"""Rows of a watch as they come: an async iterator on Trio over ``matrix.query.watch``.

What always holds: looks run in a worker thread, one at a time, with a reader and an index of their own; nothing runs
while nobody waits for a row; a row is handed over or kept, never lost, also when whoever waits is cancelled; and then
no file and no thread is left open. So nothing needs to be closed, although it may.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import trio

from matrix.limits import (
    WATCH_INTERVAL_MAX_US,
    WATCH_INTERVAL_MIN_US,
    WATCH_INTERVAL_UNTOLD_US,
    WATCH_LOOK_QUICK_US,
    WATCH_REST_MIN_US,
    WATCH_ROWS_AT_ONCE,
    WATCH_SHARE_MAX,
)
from matrix.log.growth import Growth
from matrix.query.watch import Told, Watch, WatchedRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from matrix.index.index import Index
    from matrix.log.reader import LogReader
    from matrix.query.syntax import Type


LOG_FOLDER = "log"


class Pace:
    """How long to rest between two glances at a log.

    Briefly while it grows, longer and longer while it does not, if the system tells when to glance; and where looks
    take long, long enough that they leave the machine its share.
    """

    def __init__(self) -> None:
        self._rest_us = WATCH_INTERVAL_MIN_US

    def after_look(self, took_us: float) -> float:
        """Seconds to rest after a look that took so much of a core's time, whatever happens."""
        self._rest_us = WATCH_INTERVAL_MIN_US
        share_us = took_us * (1 / WATCH_SHARE_MAX - 1) if took_us > WATCH_LOOK_QUICK_US else 0
        return max(WATCH_REST_MIN_US, share_us) / 1e6

    def until_glance(self, *, is_told: bool) -> float:
        """Seconds until the next glance, for who is told of growth or is not."""
        rest_us = self._rest_us
        self._rest_us = min(rest_us * 3 // 2, WATCH_INTERVAL_MAX_US if is_told else WATCH_INTERVAL_UNTOLD_US)
        return rest_us / 1e6


class OpenStore:
    """A reader and an index for watches, for as long as they look; used by one thread at a time."""

    def __init__(self, store: Path) -> None:
        from matrix.index.index import Index
        from matrix.log.reader import LogReader

        self._index: Index = Index.open(store, is_steady=True)
        self._reader: LogReader = LogReader(store / LOG_FOLDER)

    @property
    def connection(self) -> sqlite3.Connection:
        """The index."""
        return self._index.connection

    @property
    def reader(self) -> LogReader:
        """The log."""
        return self._reader

    def refresh(self) -> object:
        """Bring the index up to the newest committed block."""
        return self._index.follow(self._reader)

    def mend(self, error: Exception) -> bool:
        """After a look met ``error``: whether a damaged index was to blame, and has been made anew."""
        return self._index.mend(self._reader, error) is not None

    def close(self) -> None:
        """Let go of both."""
        self._reader.close()
        self._index.close()


class WatchedRows:
    """The rows of a watched query, one by one: for ``async for`` under Trio, for a plain ``for`` without.

    >>> async with store.watch("events goal.failed") as rows:              # doctest: +SKIP
    ...     async for row in rows:
    ...         print(row["agent"], row.position)
    """

    def __init__(self, store: Path, text: str, parameters: Mapping[str, Any], after: str | None) -> None:
        self._store, self._watch = store, Watch(text, parameters, after=after)
        self._growth, self._pace = Growth(store / LOG_FOLDER), Pace()
        self._opened: OpenStore | None = None
        self._told: Iterator[WatchedRow] = iter(())
        self._must_look = True
        self._rest_s = 0.0
        self._is_waiting = self._is_closed = False

    @property
    def position(self) -> str | None:
        """Where the watch stands behind all that it has looked at, told or not; None before it has begun."""
        return self._watch.position

    @property
    def notices(self) -> list[str]:
        """Remarks about what the query names and what was left out, as a ``Result`` has them."""
        return self._watch.notices

    # -- for Trio ---------------------------------------------------------------------------------

    def __aiter__(self) -> WatchedRows:
        return self

    async def __anext__(self) -> WatchedRow:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._is_waiting:
            raise trio.BusyResourceError("another task is waiting for a row of this watch")
        self._is_waiting = True
        try:
            while not self._is_closed:
                row = next(self._told, None)
                if row is not None:
                    await trio.lowlevel.cancel_shielded_checkpoint()  # the row is taken: it must be handed over
                    return row
                if self._watch.is_done:
                    break
                await trio.sleep(self._rest_s)
                self._rest_s = 0.0
                if self._should_look() or await self._waited():
                    await trio.to_thread.run_sync(self._look, limiter=trio.CapacityLimiter(1))
        except BaseException:
            self._let_go()  # a watch that goes on after all opens its files again
            raise
        finally:
            self._is_waiting = False
        self.close()
        raise StopAsyncIteration

    async def __aenter__(self) -> WatchedRows:
        """Begin: "from now on" is from here on."""
        if self._must_look and not self._is_closed:
            await trio.to_thread.run_sync(self._look, limiter=trio.CapacityLimiter(1))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def aclose(self) -> None:
        """End the watch, as ``close`` does."""
        self.close()
        await trio.lowlevel.checkpoint()

    # -- for everybody else -----------------------------------------------------------------------

    def __iter__(self) -> Iterator[WatchedRow]:
        """The rows, waiting for each in this thread."""
        for told in self.looks():
            yield from told

    def looks(self) -> Iterator[list[WatchedRow]]:
        """The rows of one look after the other, and none for each glance that saw nothing new."""
        try:
            while not self._is_closed:
                while told := list(islice(self._told, WATCH_ROWS_AT_ONCE)):
                    yield told
                if self._watch.is_done:
                    break
                time.sleep(self._rest_s)
                self._rest_s = 0.0
                if self._should_look() or self._growth.wait(self._until_glance()):
                    self._look()
                else:
                    yield []
        finally:
            self._let_go()

    @property
    def columns(self) -> list[tuple[str, Type]]:
        """The names of a row's values, and what is known of their types."""
        return [(column.name, column.type) for column in self._watch.query.columns]

    def close(self) -> None:
        """End the watch and let go of its files; twice is nothing. A task that waits for a row gets no more."""
        self._is_closed = True
        if not self._is_waiting:  # else whoever waits lets go
            self._let_go()

    def __del__(self) -> None:
        if hasattr(self, "_opened"):
            self._let_go()

    # -- looking ----------------------------------------------------------------------------------

    def _should_look(self) -> bool:
        return self._must_look or self._watch.is_behind or self._growth.has_grown()

    def _until_glance(self) -> float:
        return self._pace.until_glance(is_told=self._growth.fileno() is not None)

    async def _waited(self) -> bool:
        """Wait until the log may have grown; whether it has."""
        fd, seconds = self._growth.fileno(), self._until_glance()
        if fd is None:
            await trio.sleep(seconds)
        else:
            with trio.move_on_after(seconds):
                await trio.lowlevel.wait_readable(fd)
        return self._growth.has_grown()

    def _look(self) -> None:
        """Look, and rest as long as that asks for; in a worker thread, or in the thread of a plain ``for``."""
        self._must_look = True  # also when this fails: what has grown meanwhile is still to be seen
        if self._opened is None:
            self._opened = OpenStore(self._store)
        begun = time.thread_time()  # not the wall clock: who waits for others takes nothing from them
        self._told = iter(self._looked(self._opened))
        self._must_look = False
        self._rest_s = self._pace.after_look((time.thread_time() - begun) * 1e6)

    def _looked(self, opened: OpenStore) -> Told:
        """What a look tells; a damaged index that only the look meets is made anew, and the look taken once more."""
        import sqlite3

        try:
            return self._watch.look(opened)
        except sqlite3.DatabaseError as error:
            if not opened.mend(error):
                raise
            return self._watch.look(opened)

    def _let_go(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()
        self._growth.close()
