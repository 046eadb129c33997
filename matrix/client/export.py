"""Pieces of a file as they come, into a file of ours.

What always holds: a file with a name is there whole or not at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import trio

from matrix.client.call import Call
from matrix.client.stream import bytes_of
from matrix.errors import UsageError
from matrix.query.rows import opened_file


async def export_to(call: Call, file: str | Path | BinaryIO) -> int:
    """Write what a call sends; the number of rows in it."""
    with _opened(file) as out:
        while (reply := await call.receive())["type"] != "done":
            await trio.to_thread.run_sync(out.write, bytes_of(reply, "batch"))
    rows = reply.get("rows")
    return rows if type(rows) is int else 0


@contextlib.contextmanager
def _opened(file: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    if not isinstance(file, str | Path):
        yield file
        return
    path = Path(file)
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to write {path.name} in")
    with opened_file(path) as out:
        yield out
