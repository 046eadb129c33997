"""The rows of a remote answer, batch by batch as they come; and all of them as one ``Result``.

What always holds: no more batches are under way than were granted, so a reader who takes his time holds up nobody and
fills no memory; what the bytes say is checked before anybody reads them as columns; a stream that is left, or let go
of, is cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import pyarrow as pa
import trio

from matrix.client.call import Call
from matrix.client.wire import Message
from matrix.errors import ServerFailed
from matrix.query.result import Result


class Stream:
    """Batches of an answer: each a ``Result``.

    >>> async with remote.stream("events offer") as batches:               # doctest: +SKIP
    ...     async for batch in batches:
    ...         print(len(batch), batch.table.schema)
    """

    def __init__(self, start: Callable[[], Awaitable[Call]]) -> None:
        """``start`` sends the request."""
        self._start = start
        self._call: Call | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._head = b""
        self._is_over = False
        self.seconds = 0.0  #: that the server took, once the last batch has come
        self._schema: pa.Schema | None = None

    @property
    def notices(self) -> list[str]:
        """Remarks about the answer; complete once the last batch has come."""
        return [] if self._call is None else self._call.notices

    async def schema(self) -> pa.Schema:
        """The columns, as soon as they are known."""
        if self._schema is None:
            self._token = trio.lowlevel.current_trio_token()
            self._call = await self._start()
            self._head, self._schema = _schema(await self._call.receive())
        return self._schema

    async def batch(self) -> pa.RecordBatch | None:
        """The next batch, None behind the last."""
        schema = await self.schema()
        if self._is_over or self._call is None:
            return None
        reply = await self._call.receive()
        if reply["type"] == "done":
            self._is_over = True
            self.seconds = float(reply["seconds"]) if isinstance(reply.get("seconds"), int | float) else 0.0
            return None
        return _batch(reply, self._head, schema)

    async def result(self) -> Result:
        """All batches, as one answer."""
        schema, batches = await self.schema(), []
        while (batch := await self.batch()) is not None:
            batches.append(batch)
        return Result.of_batches(batches, schema, self.notices)

    def close(self) -> None:
        """Leave it; the server stops its work. Twice is nothing."""
        self._is_over = True
        if self._call is not None:
            self._call.leave()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Result:
        batch = await self.batch()
        if batch is None:
            raise StopAsyncIteration
        return Result.of_batches([batch], batch.schema, self.notices)

    async def __aenter__(self) -> Stream:
        await self.schema()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._call is not None and self._token is not None and not self._call.is_over:
            let_go(self._token, self._call)


def let_go(token: trio.lowlevel.TrioToken, call: Call) -> None:
    """Leave a call from wherever the collector runs."""
    try:
        token.run_sync_soon(call.leave)
    except trio.RunFinishedError:
        return


def _schema(reply: Message) -> tuple[bytes, pa.Schema]:
    head = bytes_of(reply, "schema")
    try:
        return head, pa.ipc.open_stream(pa.py_buffer(head)).schema
    except (pa.ArrowException, OSError, ValueError):
        raise ServerFailed("the server sent columns that are not Arrow's") from None


def _batch(reply: Message, head: bytes, schema: pa.Schema) -> pa.RecordBatch:
    data = bytes_of(reply, "batch")
    try:
        table = pa.ipc.open_stream(pa.py_buffer(head + data)).read_all()
        table.validate(full=True)  # offsets out of their bounds would be read as they stand
    except (pa.ArrowException, OSError, ValueError):
        raise ServerFailed("the server sent rows that are not Arrow's") from None
    if reply.get("count") != table.num_rows:
        raise ServerFailed(f"the server announced {reply.get('count')} rows, and sent {table.num_rows:,}")
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema)


def bytes_of(reply: Message, kind: str) -> bytes:
    """The bytes that a reply of this kind comes with."""
    data: Any = reply.get("data")
    if reply["type"] != kind or not isinstance(data, bytes):
        raise ServerFailed(f'the server sent a "{reply["type"][:40]}" without bytes where a {kind} was due')
    return data
