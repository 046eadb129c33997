"""The rows of a remote watch as they come, from one connection to the next.

What always holds: each row is told once, in order, whatever happens to connections meanwhile. Every row has its
position; after a break, or when the server says that the reader lagged behind, the watch goes on behind the last row
that came in. A break that nothing came before, so that no position is known, is an error: there might be a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final

import trio

from matrix.client.call import Call
from matrix.client.failures import Lagged
from matrix.client.stream import let_go
from matrix.client.wire import Message
from matrix.errors import ConnectionLost, MatrixError, ServerBusy, ServerFailed
from matrix.limits import CLIENT_REST_MAX_S, CLIENT_REST_S, CLIENT_TRIES_MAX
from matrix.query.syntax import Type
from matrix.query.watch import WatchedRow

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TYPES: Final = {
    "text": Type.TEXT,
    "boolean": Type.BOOL,
    "integer": Type.NUMBER,
    "float": Type.NUMBER,
    "duration": Type.DURATION,
    "time": Type.TIME,
    "json": Type.ANY,
    "list": Type.LIST,
}


class RemoteRows:
    """The rows of a watched query, one by one, as ``matrix.watching.WatchedRows`` tells those of a local store.

    >>> async for row in remote.watch("events goal.failed"):               # doctest: +SKIP
    ...     print(row["agent"], row.position)
    """

    def __init__(self, start: Callable[[str | None], Awaitable[Call]], after: str | None) -> None:
        """``start`` sends the request, to begin behind the position that it is given."""
        self._start = start
        self._position = after
        self._call: Call | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._columns: list[tuple[str, str]] = []
        self._rows: deque[WatchedRow] = deque()
        self._notices: list[str] = []
        self._has_begun = self._is_over = self._is_waiting = self._is_closed = False
        self._tries = 0

    @property
    def position(self) -> str | None:
        """Where the watch stands behind all that has come in, told or not; None before anything has."""
        return self._position if self._position != "start" else None

    @property
    def notices(self) -> list[str]:
        """Remarks about what the query names and what was left out, as a ``Result`` has them."""
        return list(dict.fromkeys([*self._notices, *([] if self._call is None else self._call.notices)]))

    @property
    def columns(self) -> list[tuple[str, Type]]:
        """The names of a row's values, and what is known of their types; known once the watch has begun."""
        return [(name, _TYPES.get(type, Type.ANY)) for name, type in self._columns]

    # -- taking rows --------------------------------------------------------------------------------

    def __aiter__(self) -> RemoteRows:
        return self

    async def __anext__(self) -> WatchedRow:
        if not self._rows:
            await self._fill()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        if not self._rows:
            raise StopAsyncIteration
        await trio.lowlevel.cancel_shielded_checkpoint()  # the row is taken: it must be handed over
        return self._rows.popleft()

    async def some(self) -> list[WatchedRow]:
        """All rows that are there, waiting for the first; none at the end."""
        if not self._rows:
            await self._fill()
        found = list(self._rows)
        self._rows.clear()
        return found

    async def begin(self) -> None:
        """Begin: "from now on" is from here on."""
        while self._call is None and not (self._is_over or self._is_closed):
            await self._trying(self._open)

    async def __aenter__(self) -> RemoteRows:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def aclose(self) -> None:
        """End the watch, as ``close`` does."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """End the watch; twice is nothing. A task that waits for a row gets no more."""
        self._is_closed = True
        self._rows.clear()
        if self._call is not None:
            self._call.leave()

    def __del__(self) -> None:
        if self._call is not None and self._token is not None and not self._call.is_over:
            let_go(self._token, self._call)

    # -- getting them -------------------------------------------------------------------------------

    async def _fill(self) -> None:
        if self._is_waiting:
            raise trio.BusyResourceError("another task is waiting for a row of this watch")
        self._is_waiting = True
        try:
            while not (self._rows or self._is_over or self._is_closed):
                await self._trying(self._open if self._call is None else self._take)
        finally:
            self._is_waiting = False

    async def _trying(self, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step; what a new connection may mend is tried some times, with longer and longer rests."""
        try:
            await step()
        except Lagged as lagged:
            self._forget()
            self._position = lagged.position
        except (ConnectionLost, ServerBusy) as error:
            if self._is_closed:
                return
            self._forget()
            if not self._has_begun:
                raise  # it never began: whoever asked is told at once, as of any other call
            await self._rest(error)

    async def _rest(self, error: MatrixError) -> None:
        if self._position is None:
            raise ConnectionLost(f"{error} (the watch had told no position yet: begin it anew)")
        self._tries += 1
        if self._tries > CLIENT_TRIES_MAX:
            raise ConnectionLost(
                f"{error} (tried {CLIENT_TRIES_MAX} times; the watch can go on after {self._position})"
            )
        await trio.sleep(min(CLIENT_REST_S * 3 ** (self._tries - 1), CLIENT_REST_MAX_S))

    def _forget(self) -> None:
        """The call is over, and another is to take its place."""
        if self._call is not None:
            self._notices = self.notices
            self._call.leave()
            self._call = None

    async def _open(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        call = await self._start(self._position)
        try:
            self._columns = _columns(await call.receive())
        except BaseException:
            call.leave()
            raise
        self._call, self._has_begun = call, True

    async def _take(self) -> None:
        assert self._call is not None, "rows come from a call"
        reply = await self._call.receive()
        self._tries = 0
        if reply["type"] == "done":
            self._is_over = True
            return
        position = reply.get("position")
        if not isinstance(position, str):
            raise ServerFailed("the server sent rows of a watch without their position")
        if reply["type"] == "batch":
            self._rows.extend(_rows(reply, self._columns, position))
        self._position = position


def _columns(reply: Message) -> list[tuple[str, str]]:
    try:
        if reply["type"] != "schema":
            raise TypeError
        return [(str(column["name"]), str(column["type"])) for column in reply["columns"]]
    except (KeyError, TypeError):
        raise ServerFailed("the server sent no columns where they were due") from None


def _rows(reply: Mapping[str, Any], columns: list[tuple[str, str]], position: str) -> list[WatchedRow]:
    names = [name for name, _ in columns]
    times = [place for place, (_, type) in enumerate(columns) if type == "time"]
    try:
        rows, stem, first = reply["rows"], reply["stem"], reply["first"]
        texts = [f"{stem}.{number}" for number in range(first, first + len(rows) - 1)] + [position]
        for row in rows:
            for place in times:
                row[place] = _microseconds(row[place])
        return [
            WatchedRow(dict(zip(names, row, strict=True)), position=text) for row, text in zip(rows, texts, strict=True)
        ]
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        raise ServerFailed("the server sent rows of a watch that are none") from None


def _microseconds(time: str | None) -> int | None:
    return None if time is None else (datetime.fromisoformat(time) - _EPOCH) // _MICROSECOND
