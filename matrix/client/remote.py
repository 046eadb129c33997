"""A store that is served somewhere else, for Trio: the calls of a local one.

What always holds: calls run side by side on one connection, which is made anew when one is asked for after it broke;
a call that was under way then ends with ``ConnectionLost``, but a watch goes on. No task outlives the ``async with``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import trio

from matrix.client import told
from matrix.client.address import Address
from matrix.client.call import Call
from matrix.client.connection import Connection
from matrix.client.export import export_to
from matrix.client.failures import again
from matrix.client.stream import Stream
from matrix.client.watch import RemoteRows
from matrix.client.wire import Encoding, encoded_parameters
from matrix.errors import Unauthorized, UsageError
from matrix.limits import CLIENT_CREDIT, CLIENT_PAGE_ROWS, PROTOCOL_PAGE_ROWS_MAX, QUERY_BYTES_MAX

if TYPE_CHECKING:
    from matrix.differ import Diff
    from matrix.index.lookup import KindEntry, SimulationSummary, StoreSummary
    from matrix.query.complete import Completion
    from matrix.query.result import Result
    from matrix.runtime.again.replay import Replay

CONTROL: Final = "control"


class Remote:
    """What ``async with matrix.connect(url)`` gives.

    >>> async with matrix.connect("ws://127.0.0.1:8765/") as remote:       # doctest: +SKIP
    ...     (await remote.query("agents where goal succeeded | count by role")).rows()
    [{'role': 'buyer', 'count': 5}]
    """

    def __init__(self, address: Address, encoding: Encoding) -> None:
        self._address, self._encoding = address, encoding
        self._connection: Connection | None = None
        self._connecting = trio.Lock()
        self._manager: AbstractAsyncContextManager[trio.Nursery] | None = None
        self._nursery: trio.Nursery | None = None

    def __repr__(self) -> str:
        return f"matrix.connect({str(self._address)!r})"

    @property
    def url(self) -> str:
        """The server's address, without a token."""
        return str(self._address)

    @property
    def name(self) -> str:
        """What the server calls its store."""
        return str(self._welcome.get("store", ""))

    @property
    def scopes(self) -> list[str]:
        """What the token allows: "read", or "read" and "control"."""
        return [] if self._connection is None else self._connection.scopes

    @property
    def _welcome(self) -> Mapping[str, Any]:
        return {} if self._connection is None else self._connection.welcome

    # -- its life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Remote:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        try:
            await self._connected()
        except BaseException as error:
            await self._leave(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            if self._connection is not None and error is None:
                await self._connection.aclose()
        except BaseException as caught:  # whatever comes, the nursery is left
            await self._leave(caught)
            raise
        return await self._leave(error)

    async def _leave(self, error: BaseException | None) -> bool:
        """End the tasks; whether that settles the error. What the user's code raised goes on as it is, in no group."""
        assert self._manager is not None and self._nursery is not None, "it was entered"
        self._nursery.cancel_scope.cancel()
        self._nursery = None
        if error is not None and _is_cancelled(error):  # which cancellation that was is for the nursery to find out
            return bool(await self._manager.__aexit__(type(error), error, error.__traceback__))
        await self._manager.__aexit__(None, None, None)
        return False

    async def _connected(self) -> Connection:
        """The connection; a new one when there is none, or it broke."""
        async with self._connecting:
            if self._connection is None or self._connection.trouble is not None:
                self._connection = await self._connect(self._address)
            return self._connection

    async def _connect(self, address: Address) -> Connection:
        if self._nursery is None:
            raise UsageError(f"{address}: this connection is closed; matrix.connect makes another")
        connection = Connection(address, self._encoding)
        await self._nursery.start(connection.run)
        if connection.trouble is not None:
            raise again(connection.trouble)
        return connection

    async def _start(self, type: str, **fields: Any) -> Call:
        return await (await self._connected()).start({"type": type, **fields})

    async def _result(self, type: str, **fields: Any) -> dict[str, Any]:
        with await self._start(type, **fields) as call:
            return await call.result()

    # -- questions --------------------------------------------------------------------------------

    async def query(self, text: str, /, **parameters: Any) -> Result:
        """Ask a question; ``$name`` in it stands for the parameter ``name``. As ``Store.query``."""
        return await self._taken("query", text, parameters)

    async def explain(self, text: str, /, **parameters: Any) -> Result:
        """What becomes of the rows of a question, part by part. As ``Store.explain``."""
        return await self._taken("explain", text, parameters)

    async def _taken(self, type: str, text: str, parameters: Mapping[str, Any]) -> Result:
        stream = self._stream(type, text, parameters, CLIENT_PAGE_ROWS)
        try:
            return await stream.result()
        finally:
            stream.close()

    def stream(self, text: str, /, *, page: int = CLIENT_PAGE_ROWS, **parameters: Any) -> Stream:
        """The rows of a large answer, at most ``page`` at a time, as they come; who stops taking them stops the work.

        >>> async with remote.stream("events offer") as batches:           # doctest: +SKIP
        ...     async for batch in batches:
        ...         print(batch.rows()[0])
        """
        if type(page) is not int or not 1 <= page <= PROTOCOL_PAGE_ROWS_MAX:
            raise UsageError(f"page is a number of rows from 1 to {PROTOCOL_PAGE_ROWS_MAX:,}, not {page!r}")
        return self._stream("query", text, parameters, page)

    def _stream(self, type: str, text: str, parameters: Mapping[str, Any], page: int) -> Stream:
        asked = {**_asked(text, parameters), "format": "arrow", "page": page, "credit": CLIENT_CREDIT}
        return Stream(lambda: self._start(type, **asked))

    def watch(self, text: str, /, *, after: str | None = None, **parameters: Any) -> RemoteRows:
        """The rows of a query as they come, for ``async for``: ``watch`` in front of it may be left out.

        ``after`` as for ``Store.watch``. It goes on by itself after a broken connection. A query that cannot be
        watched is refused with the first row that is waited for, or with ``async with``.

        >>> async for row in remote.watch("events goal.failed"):           # doctest: +SKIP
        ...     print(row["agent"], row.position)
        """
        if after is not None and not isinstance(after, str):
            raise UsageError(f'after is "start" or the position of a row, not {after!r}')
        asked = {**_asked(text, parameters), "credit": CLIENT_CREDIT}

        async def start(position: str | None) -> Call:
            place = {} if position is None else {"after": position}
            return await self._start("watch", **asked, **place)

        return RemoteRows(start, after)

    async def export(self, text: str, format: str, file: str | Path | BinaryIO, /, **parameters: Any) -> int:
        """Write the rows of a query to a file, as "jsonl", "json", "csv", "arrow" or "parquet"; how many there were.

        A file appears under its name when it is complete. One that is open already is written to as pieces come.
        """
        asked = {**_asked(text, parameters), "format": format, "credit": CLIENT_CREDIT}
        with await self._start("export", **asked) as call:
            return await export_to(call, file)

    async def complete(self, text: str, cursor: int | None = None) -> list[Completion]:
        """What may come next in a query at ``cursor`` (None: at its end). As ``Store.complete``."""
        if not _is_sendable(text):
            return []
        place = {} if cursor is None else {"cursor": min(max(cursor, 0), len(text))}
        return told.completions(await self._result("complete", text=text, **place))

    async def info(self) -> StoreSummary:
        """The store at a glance. As ``Store.info``."""
        return told.store_summary(await self._result("info"))

    async def kinds(self) -> list[KindEntry]:
        """Every kind of event in the store. As ``Store.kinds``."""
        return told.kinds(await self._result("info"))

    async def simulation(self, id: str) -> SimulationSummary:
        """One simulation at a glance. As ``Store.simulation``."""
        return told.simulation_summary(await self._simulation(id))

    async def digest(self, simulation: str) -> str:
        """The digest of a simulation that has ended. As ``Store.digest``."""
        digest = (await self._simulation(simulation)).get("digest")
        if not isinstance(digest, str):
            raise UsageError(f"{simulation} has not ended; over a connection there is a digest when it has")
        return digest

    async def _simulation(self, id: str) -> dict[str, Any]:
        return await self._result("info", simulation=_id(id))

    async def diff(self, one: str, other: str, /) -> Diff:
        """Two simulations side by side. As ``Store.diff``."""
        return told.diff(await self._result("diff", one=_id(one), other=_id(other)))

    # -- running again ----------------------------------------------------------------------------

    async def replay(self, simulation: str, /) -> Replay:
        """Have the server run a simulation again, and compare every event. As ``Store.replay``.

        It needs a token with the scope "control"; on the server's machine, as its user, that is found by itself.
        """
        found = [replay async for replay in self._replays(simulation=_id(simulation))]
        return found[0]

    def replay_all(self) -> AsyncGenerator[Replay, None]:
        """Have the server replay every simulation that a runtime recorded. As ``Store.replay_all``."""
        return self._replays(all=True)

    async def _replays(self, **which: Any) -> AsyncGenerator[Replay, None]:
        connection = await self._controlled()
        try:
            with await connection.start({"type": "replay", "credit": CLIENT_CREDIT, **which}) as call:
                while (reply := await call.receive())["type"] == "batch":
                    for each in told.replays(reply):
                        yield each
        finally:
            if connection is not self._connection:
                await connection.aclose()

    async def _controlled(self) -> Connection:
        """A connection that may run programs: this one, or one with the other token, which is used for nothing else."""
        connection = await self._connected()
        if CONTROL in connection.scopes:
            return connection
        if not self._address.control_token:
            raise Unauthorized(
                f'{self._address}: a replay runs the program, which needs a token with the scope "control"; '
                f"this one has {', '.join(connection.scopes) or 'none'}"
            )
        return await self._connect(self._address.with_token(self._address.control_token))


def _is_cancelled(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(trio.Cancelled) is not None
    return isinstance(error, trio.Cancelled)


def _asked(text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A query with its parameters as a request has them; what cannot be sent is refused as a local store does it."""
    try:
        if _is_sendable(text):
            return {"text": text, "params": encoded_parameters(parameters)}
        refused = UsageError(f"a query is a text of at most {QUERY_BYTES_MAX:,} bytes")
    except UsageError as error:
        refused = error
    from matrix.query.check import check

    check(text, parameters)
    raise refused


def _is_sendable(text: str) -> bool:
    try:
        return len(text.encode()) <= QUERY_BYTES_MAX
    except UnicodeEncodeError:
        return False


def _id(simulation: Any) -> str:
    if not isinstance(simulation, str):
        raise UsageError(f"the id of a simulation is a text such as '1-1', not {simulation!r}")
    return simulation
