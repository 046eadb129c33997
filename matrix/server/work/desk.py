"""A working process's side of one piece of work: what it says, and where it puts what the client does not take yet.

What always holds: it never waits for a client. Batches are sent while there is credit; the others go to a file that
the server made and allowed to grow.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa

from matrix.limits import PAGE_BYTES_MAX
from matrix.server import encode, replies
from matrix.server.contract import Frame
from matrix.server.pipes import packed
from matrix.server.work.order import Order
from matrix.server.work.refusal import Refused
from matrix.server.work.wire import Kind, pack_frames, packed_fields

ROOM_BYTES = 16 * 1024 * 1024  # asked for at a time, for a file that grows
_TOO_LARGE = "select fewer columns, or take it as an export"


class Desk:
    """Says things to the server about one order."""

    def __init__(
        self, order: Order, say: Callable[[bytes], None], flush: Callable[[], None], may: Callable[[int], bool]
    ) -> None:
        """``say`` sends a message, ``flush`` at once; ``may`` asks for room in the file, and waits for the answer."""
        self.order, self._say, self._flush, self._may = order, say, flush, may
        self._batches, self._bytes = order.batches, order.batch_bytes
        self._file: BinaryIO | None = None
        self._room = 0
        self.rows = 0

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what it could not take was told already
                self._file.close()

    # -- replies ----------------------------------------------------------------------------------

    def frames(self, frames: Sequence[Frame]) -> None:
        """A reply that takes no credit."""
        self._say(packed(Kind.FRAMES, pack_frames(frames)))

    def reply(self, type: str, **fields: Any) -> None:
        """A reply without rows."""
        self.frames([replies.message(self.order.encoding, {"type": type, "id": self.order.request.id, **fields})])

    def result(self, result: Any) -> None:
        """The last reply to a request that has one result."""
        fields = {"type": "done", "id": self.order.request.id, "result": result}
        body = pack_frames([replies.message(self.order.encoding, fields)])
        if len(body) > PAGE_BYTES_MAX:
            raise Refused("memory", f"the result has {len(body):,} bytes; {PAGE_BYTES_MAX:,} is the most")
        self._say(packed(Kind.LAST, body))

    # -- rows -------------------------------------------------------------------------------------

    def table(self, table: pa.Table) -> None:
        """The rows of an answer: some at once, the others to the file."""
        row = self._send_rows(table, 0)
        self.rows = table.num_rows
        if row == table.num_rows:
            return
        left = table.slice(row)
        self._need(left.nbytes + left.nbytes // 64 + 65_536)
        with _keeping(), self._opened() as out, pa.ipc.new_file(out, left.schema) as file:
            file.write_table(left, max_chunksize=65_536)
        self._say(packed_fields(Kind.LEFT, row=0))

    def kept_rows(self, from_row: int) -> None:
        """More of the rows that lie in the file, whose first row there is number 0."""
        with _keeping():
            source = pa.memory_map(self.order.file)
        with source:
            table = pa.ipc.open_file(source).read_all()
            row = self._send_rows(table, from_row)
            if row < table.num_rows:
                self._say(packed_fields(Kind.LEFT, row=row))

    def _send_rows(self, table: pa.Table, row: int) -> int:
        """Send batches while there is credit; returns the first row that was not sent."""
        count = self.order.request.page
        while row < table.num_rows and self._may_send():
            size, count = self._send_batch(table, row, count)
            row += size
        return row

    def _may_send(self) -> bool:
        return self._batches > 0 and self._bytes > 0

    def _send_batch(self, table: pa.Table, row: int, count: int) -> tuple[int, int]:
        """Send one batch of at most ``count`` rows: how many it has, and how many to try next."""
        part = _cut(table.slice(row, count), table.slice(row, count).nbytes)
        body = pack_frames(self._framed(part))
        while len(body) > PAGE_BYTES_MAX:
            if part.num_rows == 1:
                raise Refused("memory", f"row {row + 1} alone has more than {PAGE_BYTES_MAX:,} bytes", _TOO_LARGE)
            part = _cut(part, len(body))
            body = pack_frames(self._framed(part))
        self._sent(Kind.BATCH, body)
        fits = PAGE_BYTES_MAX * part.num_rows // max(1, len(body))
        return part.num_rows, max(1, min(self.order.request.page, fits))

    def _framed(self, part: pa.Table) -> list[Frame]:
        request, batch = self.order.request, part.combine_chunks().to_batches()[0]
        return encode.batch_frames(self.order.encoding, request.id, batch, request.format)

    def _sent(self, kind: Kind, body: bytes) -> None:
        self._batches -= 1
        self._bytes -= len(body)
        self._say(packed(kind, body))

    # -- pieces -----------------------------------------------------------------------------------

    def piece(self, frames: Sequence[Frame]) -> None:
        """A batch that is ready for the wire: sent, or put behind those that lie in the file."""
        body = pack_frames(frames)
        if self._file is None and self._may_send():
            self._sent(Kind.BATCH, body)
            self._flush()  # the next may take a while
            return
        self._need(len(body))
        with _keeping():
            if self._file is None:
                self._file = self._opened()
            offset = self._file.tell()
            self._file.write(body)
            self._file.flush()
        self._say(packed_fields(Kind.PLACED, offset=offset, size=len(body)))
        self._flush()

    # -- the file ---------------------------------------------------------------------------------

    def _need(self, size: int) -> None:
        """Room for so many bytes more in the file."""
        if size > self._room:
            more = max(size - self._room, ROOM_BYTES)
            if not self._may(more) and not self._may(more := size - self._room):
                raise Refused("memory", "there is no room to keep the rest of the answer", "grant more, or narrow it")
            self._room += more
        self._room -= size

    def _opened(self) -> BinaryIO:
        """The file, which the server has made when it allowed the first bytes; it is never made here."""
        return os.fdopen(os.open(self.order.file, os.O_WRONLY), "wb")


@contextlib.contextmanager
def _keeping() -> Iterator[None]:
    """Trouble with the file is not the store's: the disk is full, or the request is over and its file gone."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it cannot be written or read"
        text = f"the rest of the answer could not be kept in a file: {reason}"
        raise Refused("memory", text, "grant more, or narrow it") from None


def _cut(part: pa.Table, size: int) -> pa.Table:
    """As many of these rows, which have ``size`` bytes, as are likely to fit in a batch; at least one."""
    if size <= PAGE_BYTES_MAX or part.num_rows <= 1:
        return part
    return part.slice(0, max(1, min(part.num_rows - 1, part.num_rows * PAGE_BYTES_MAX // size)))
