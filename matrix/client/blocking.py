"""The blocking twin of a remote store: the same calls for code that is not async, in scripts and notebooks.

What always holds: calls may come from several threads at once; Ctrl-C stops the call that is waited for, and its work
on the server, and the next can be asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

from matrix.client.address import Address
from matrix.client.remote import Remote
from matrix.client.stream import Stream
from matrix.client.watch import RemoteRows
from matrix.client.wire import Encoding
from matrix.client.worker import Pending, Worker
from matrix.limits import CLIENT_PAGE_ROWS

if TYPE_CHECKING:
    import pyarrow as pa

    from matrix.differ import Diff
    from matrix.index.lookup import KindEntry, SimulationSummary, StoreSummary
    from matrix.query.complete import Completion
    from matrix.query.result import Result
    from matrix.query.syntax import Type
    from matrix.query.watch import WatchedRow
    from matrix.runtime.again.replay import Replay

T = TypeVar("T")
_GLANCE_S: Final = 0.05  # after which a watch that has no row says so


class BlockingRemote:
    """What ``with matrix.connect(url)`` and ``matrix.connect(url).open()`` give; each call is that of ``Remote``.

    >>> with matrix.connect("ws://127.0.0.1:8765/") as remote:             # doctest: +SKIP
    ...     remote.query("agents where goal succeeded | count by role").rows()
    [{'role': 'buyer', 'count': 5}]
    """

    def __init__(self, address: Address, encoding: Encoding) -> None:
        self._worker = Worker(str(address))
        self._remote = Remote(address, encoding)
        try:
            self._worker.host(self._remote)
        except BaseException:
            self._worker.close()
            raise

    def __repr__(self) -> str:
        return repr(self._remote)

    @property
    def url(self) -> str:
        """The server's address, without a token."""
        return self._remote.url

    @property
    def name(self) -> str:
        """What the server calls its store."""
        return self._remote.name

    @property
    def scopes(self) -> list[str]:
        """What the token allows: "read", or "read" and "control"."""
        return self._remote.scopes

    def close(self) -> None:
        """Part, and end the thread; twice is nothing."""
        self._worker.close()

    def __enter__(self) -> BlockingRemote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- questions --------------------------------------------------------------------------------

    def query(self, text: str, /, **parameters: Any) -> Result:
        """Ask a question; ``$name`` in it stands for the parameter ``name``. As ``Store.query``."""
        return self._worker.call(lambda: self._remote.query(text, **parameters))

    def explain(self, text: str, /, **parameters: Any) -> Result:
        """What becomes of the rows of a question, part by part. As ``Store.explain``."""
        return self._worker.call(lambda: self._remote.explain(text, **parameters))

    def stream(self, text: str, /, *, page: int = CLIENT_PAGE_ROWS, **parameters: Any) -> BlockingStream:
        """The rows of a large answer, at most ``page`` at a time, as they come; who stops taking them stops the work.

        >>> for batch in remote.stream("events offer"):                    # doctest: +SKIP
        ...     print(batch.rows()[0])
        """
        return BlockingStream(self._worker, self._remote.stream(text, page=page, **parameters))

    def watch(self, text: str, /, *, after: str | None = None, **parameters: Any) -> BlockingRows:
        """The rows of a query as they come, waiting for each: ``watch`` in front of it may be left out.

        >>> for row in remote.watch("events goal.failed"):                 # doctest: +SKIP
        ...     print(row["agent"], row.position)
        """
        return BlockingRows(self._worker, self._remote.watch(text, after=after, **parameters))

    def export(self, text: str, format: str, file: str | Path | BinaryIO, /, **parameters: Any) -> int:
        """Write the rows of a query to a file, as "jsonl", "json", "csv", "arrow" or "parquet"; how many there were."""
        return self._worker.call(lambda: self._remote.export(text, format, file, **parameters))

    def complete(self, text: str, cursor: int | None = None) -> list[Completion]:
        """What may come next in a query at ``cursor`` (None: at its end). As ``Store.complete``."""
        return self._worker.call(lambda: self._remote.complete(text, cursor))

    def info(self) -> StoreSummary:
        """The store at a glance. As ``Store.info``."""
        return self._worker.call(self._remote.info)

    def kinds(self) -> list[KindEntry]:
        """Every kind of event in the store. As ``Store.kinds``."""
        return self._worker.call(self._remote.kinds)

    def simulation(self, id: str) -> SimulationSummary:
        """One simulation at a glance. As ``Store.simulation``."""
        return self._worker.call(lambda: self._remote.simulation(id))

    def digest(self, simulation: str) -> str:
        """The digest of a simulation that has ended. As ``Store.digest``."""
        return self._worker.call(lambda: self._remote.digest(simulation))

    def diff(self, one: str, other: str, /) -> Diff:
        """Two simulations side by side. As ``Store.diff``."""
        return self._worker.call(lambda: self._remote.diff(one, other))

    # -- running again ----------------------------------------------------------------------------

    def replay(self, simulation: str, /) -> Replay:
        """Have the server run a simulation again, and compare every event. As ``Store.replay``."""
        return self._worker.call(lambda: self._remote.replay(simulation))

    def replay_all(self) -> Iterator[Replay]:
        """Have the server replay every simulation that a runtime recorded. As ``Store.replay_all``."""
        replays = self._remote.replay_all()
        try:
            while (replay := self._worker.call(lambda: anext(replays, None))) is not None:
                yield replay
        finally:
            if not self._worker.is_closed:
                self._worker.call(replays.aclose)


class BlockingStream:
    """Batches of an answer: each a ``Result``; a plain ``for`` takes them, and stops the work when it is left."""

    def __init__(self, worker: Worker, stream: Stream) -> None:
        self._worker, self._stream = worker, stream

    @property
    def notices(self) -> list[str]:
        """Remarks about the answer; complete once the last batch has come."""
        return self._stream.notices

    @property
    def seconds(self) -> float:
        """That the server took; known once the last batch has come."""
        return self._stream.seconds

    def schema(self) -> pa.Schema:
        """The columns, as soon as they are known."""
        return self._worker.call(self._stream.schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The same as Arrow's record batches."""
        try:
            while (batch := self._worker.call(self._stream.batch)) is not None:
                yield batch
        finally:
            self.close()

    def __iter__(self) -> Iterator[Result]:
        from matrix.query.result import Result

        for batch in self.batches():
            yield Result.of_batches([batch], batch.schema, self.notices)

    def close(self) -> None:
        """Leave it; twice is nothing."""
        self._worker.soon(self._stream.close, is_needed=False)

    def __enter__(self) -> BlockingStream:
        self.schema()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BlockingRows:
    """The rows of a watch: a plain ``for`` takes them, and ends the watch when it is left."""

    def __init__(self, worker: Worker, rows: RemoteRows) -> None:
        self._worker, self._rows = worker, rows
        self._coming: Pending[list[WatchedRow]] | None = None
        self._is_over = False

    @property
    def position(self) -> str | None:
        """Where the watch stands behind all that has come in, told or not; None before anything has."""
        return self._rows.position

    @property
    def notices(self) -> list[str]:
        """Remarks about what the query names and what was left out."""
        return self._rows.notices

    @property
    def columns(self) -> list[tuple[str, Type]]:
        """The names of a row's values, and what is known of their types; the watch begins if it has not."""
        self._worker.call(self._rows.begin)
        return self._rows.columns

    def __iter__(self) -> Iterator[WatchedRow]:
        for told in self.looks():
            yield from told

    def looks(self) -> Iterator[list[WatchedRow]]:
        """The rows that came together, and none each time that a while brought nothing."""
        try:
            while not self._is_over:
                # It is waited for again, not begun again: else no rest, and no slow connection, would come to its end.
                coming = self._coming = self._coming or self._worker.begin(self._rows.some)
                if not coming.is_there(_GLANCE_S):
                    yield []
                    continue
                self._coming = None
                told = coming.wait()
                self._is_over = not told
                if told:
                    yield told
        finally:
            self.close()

    def close(self) -> None:
        """End the watch; twice is nothing."""
        self._is_over = True
        if self._coming is not None:
            self._coming.leave()
        self._worker.soon(self._rows.close, is_needed=False)

    def __enter__(self) -> BlockingRows:
        self._worker.call(self._rows.begin)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
