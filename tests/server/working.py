"""Workers on a small store, and a client that keeps what it is sent."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cbor2
import pytest
import trio

from matrix.server.contract import Encoding, Frame, Outlet, Request, RequestError
from matrix.server.work.limits import WorkLimits
from matrix.server.work.pool import Workers

#: Runs for minutes and takes little memory: 50 alternatives, each a condition on all events of all agents.
SLOW = "events where " + " or ".join(f"any agent (turns > {i} and every event (.price > {i}))" for i in range(50))
#: Wants a column of gigabytes: quantifiers inside of each other.
LARGE = (
    "agents as a where any event (any agent (id != a.id and any event (seq > 5 and any agent (duration > a.duration))))"
)
QUICK = "agents | count"


class Client(Outlet):
    """Keeps what one request is sent."""

    def __init__(self, *, encoding: Encoding = "json", credit: int = 16) -> None:
        self.encoding = encoding
        self.credit = credit
        self.frames: list[Frame] = []
        self.ends: list[bool] = []
        self._replies: list[dict[str, Any]] = []
        self._read = 0  # frames
        self._changed = trio.Event()

    async def send(self, frames: Sequence[Frame], *, is_last: bool = False) -> None:
        assert frames
        self.frames += frames
        self.ends.append(is_last)
        self._notify()
        await trio.lowlevel.checkpoint()

    async def take_credit(self) -> None:
        while not self.has_credit():
            await self._changed.wait()
        self.credit -= 1

    def has_credit(self) -> bool:
        return self.credit > 0

    def grant(self, credit: int) -> None:
        self.credit += credit
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def wait_for(self, type: str, count: int = 1) -> None:
        """Wait until so many replies of a type have come."""
        with trio.fail_after(60):
            while len(self.of(type)) < count:
                await self._changed.wait()

    @property
    def replies(self) -> list[dict[str, Any]]:
        """What came, each with its bytes in ``data``."""
        while self._read < len(self.frames):
            frame = self.frames[self._read]
            self._read += 1
            if isinstance(frame, str):
                self._replies.append(json.loads(frame, parse_constant=pytest.fail))
            elif self.encoding == "json":
                assert self._replies[-1].pop("bytes") == len(frame)
                self._replies[-1]["data"] = frame
            else:
                self._replies.append(cbor2.loads(frame))
        return self._replies

    def of(self, type: str) -> list[dict[str, Any]]:
        return [reply for reply in self.replies if reply["type"] == type]

    @property
    def rows(self) -> list[Any]:
        return [row for batch in self.of("batch") for row in batch["rows"]]


def asked(text: str = "", type: str = "query", id: int | str = 1, **fields: Any) -> Request:
    return Request(type, id, text, **fields)


async def ask(workers: Workers, request: Request, client: object = "ann", **outlet: Any) -> Client:
    """The replies to one request that is answered."""
    got = Client(**outlet)
    with trio.fail_after(60):
        await workers.answer(request, client, got)
    assert got.ends[-1:] == [True], "the last reply says that it is"
    assert not any(got.ends[:-1])
    return got


async def refused(workers: Workers, request: Request, client: object = "ann", **outlet: Any) -> dict[str, Any]:
    """The fields of the error that ends a request."""
    with pytest.raises(RequestError) as caught, trio.fail_after(60):
        await workers.answer(request, client, Client(**outlet))
    return caught.value.fields


@asynccontextmanager
async def working(store: Path, **limits: Any) -> AsyncIterator[Workers]:
    """Workers for the time of the block, which tell no progress unless asked to; behind it nothing of them is left."""
    workers = Workers(store, WorkLimits(**{"progress_interval": 1_000.0, **limits}))
    async with trio.open_nursery() as nursery:
        await nursery.start(workers.run)
        yield workers
        nursery.cancel_scope.cancel()
    assert children() == set()


def children() -> set[int]:
    """The processes that this one has started and that are not reaped."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if int(fields[1]) == os.getpid() and b"matrix.server.work.child" in command:
                found.add(int(folder.name))
    return found


async def until(condition: Any, seconds: float = 60) -> None:
    """Wait for what other processes do."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.01)
