"""Watches without connections: what a client would read, and when it grants."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cbor2
import trio

from matrix.event import Event
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from matrix.server.contract import Encoding, Frame, Outlet, Request, RequestError
from matrix.server.watches.watches import Watches


class Reading(Outlet):
    """A client that reads what it has granted, and keeps it; one that ``is_stuck`` reads nothing."""

    def __init__(self, *, credit: int = 1_000_000, encoding: Encoding = "json") -> None:
        self.encoding = encoding
        self.replies: list[dict[str, Any]] = []
        self.frames: list[Frame] = []
        self.error: dict[str, Any] | None = None
        self.has_ended = False
        self.is_stuck = False
        self.scope = trio.CancelScope()  # of the request
        self._credit = credit
        self._changed = trio.Condition()

    async def send(self, frames: Sequence[Frame], *, is_last: bool = False) -> None:
        await trio.lowlevel.checkpoint()
        while self.is_stuck:
            await self._change()
        self.frames += frames
        for frame in frames:
            if self.encoding == "json" and isinstance(frame, bytes):
                self.replies[-1]["data"] = frame
            else:
                self.replies.append(json.loads(frame) if self.encoding == "json" else cbor2.loads(frame))
        await self._note()

    async def take_credit(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self._credit:
            await self._change()
        self._credit -= 1

    def has_credit(self) -> bool:
        return self._credit > 0

    async def grant(self, credit: int) -> None:
        self._credit += credit
        await self._note()

    async def read_again(self) -> None:
        self.is_stuck = False
        await self._note()

    async def end(self, error: dict[str, Any] | None) -> None:
        self.error, self.has_ended = error, True
        await self._note()

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _change(self) -> None:
        async with self._changed:
            await self._changed.wait()

    # -- what was read ------------------------------------------------------------------------------

    def of(self, type: str) -> list[dict[str, Any]]:
        return [reply for reply in self.replies if reply["type"] == type]

    @property
    def rows(self) -> list[list[Any]]:
        return [row for batch in self.of("batch") for row in batch["rows"]]

    @property
    def values(self) -> list[Any]:
        """Of the first column."""
        return [row[0] for row in self.rows]

    @property
    def position(self) -> str:
        """Where to go on."""
        position: str = next(reply["position"] for reply in reversed(self.replies) if "position" in reply)
        return position

    async def until(self, holds: Callable[[], object], seconds: float = 60) -> None:
        """Wait until something holds of what was read."""
        with trio.fail_after(seconds):
            while not holds():
                await self._change()

    async def until_begun(self) -> None:
        await self.until(lambda: self.replies or self.has_ended)

    async def until_rows(self, count: int) -> None:
        await self.until(lambda: len(self.rows) >= count)
        assert len(self.rows) == count, "and not one more"

    async def until_ended(self) -> None:
        await self.until(lambda: self.has_ended)


class Serving:
    """Watches that run, and requests to them in tasks of their own."""

    def __init__(self, watches: Watches, nursery: trio.Nursery) -> None:
        self.watches, self._nursery = watches, nursery
        self._number = 0

    def watch(
        self,
        text: str,
        *,
        params: Mapping[str, Any] | None = None,
        after: str | None = None,
        format: str = "rows",
        page: int = 1_000,
        reading: Reading | None = None,
        id: int | str | None = None,
    ) -> Reading:
        """Begin to watch; its replies are read into what is returned."""
        reading = reading or Reading()
        self._number += 1
        request = Request(
            "watch",
            self._number if id is None else id,
            text=text,
            params=params or {},
            after=after,
            format=format,
            page=page,
        )
        self._nursery.start_soon(self._answer, request, reading)
        return reading

    async def _answer(self, request: Request, reading: Reading) -> None:
        with reading.scope:
            try:
                await self.watches.answer(request, self, reading)
            except RequestError as error:
                await reading.end(error.fields)
            else:
                await reading.end(None)


@asynccontextmanager
async def serving(store: Path, **limits: Any) -> AsyncIterator[Serving]:
    """Watches of a store while the block runs."""
    (store / "log").mkdir(parents=True, exist_ok=True)
    async with trio.open_nursery() as running:
        watches = Watches(store, **limits)
        await running.start(watches.run)
        async with trio.open_nursery() as requests:
            yield Serving(watches, requests)
            requests.cancel_scope.cancel()
        running.cancel_scope.cancel()


class Writing:
    """Offers of one simulation, numbered ``.n`` from 0, written when a test says so."""

    def __init__(self, writer: Writer) -> None:
        self._writer, self._seq, self.count = writer, 0, 0
        self._append([self._event("simulation.started", {"id": "r1", "name": "offers"})])

    def offers(self, count: int, **data: Any) -> None:
        """So many more, in one block."""
        self._append([self._event("offer", {"n": self.count + n, **data}) for n in range(count)])
        self.count += count

    def events(self, *kinds_and_data: tuple[str, dict[str, Any]]) -> None:
        self._append([self._event(kind, data) for kind, data in kinds_and_data])

    def _event(self, kind: str, data: dict[str, Any]) -> Event:
        self._seq += 1
        return Event(
            1, self._seq, time=self._seq, wall=1_000, agent=0, turn=0, goal=0, state=0, cause=0, kind=kind, data=data
        )

    def _append(self, events: list[Event]) -> None:
        self._writer.append(rows_from_events(events))


@asynccontextmanager
async def writing(store: Path, **options: Any) -> AsyncIterator[Writing]:
    """A simulation whose offers are written to a store."""
    with Writer.open(store / "log", **options) as writer:
        yield Writing(writer)
