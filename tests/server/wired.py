"""A session and a client on two ends of a pipe in memory, with answerers made up by the test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import cbor2
import trio
import trio.testing
import trio_websocket

from matrix.server.contract import Answerer, Outlet, Request
from matrix.server.frames import write_in_time
from matrix.server.session import Session, Traffic


class Answering:
    """An answerer out of a function."""

    def __init__(self, function: Any) -> None:
        self._function = function

    async def answer(self, request: Request, client: object, outlet: Outlet) -> None:
        await self._function(request, outlet)


class Client:
    """The other end: says and hears objects."""

    def __init__(self, connection: Any, session: Session, traffic: Traffic, encoding: str) -> None:
        self.connection, self.session, self.traffic, self._encoding = connection, session, traffic, encoding

    async def say(self, **message: Any) -> None:
        await self.connection.send_message(cbor2.dumps(message) if self._encoding == "cbor" else json.dumps(message))

    async def hear(self) -> Any:
        with trio.fail_after(5):
            frame = await self.connection.get_message()
        if self._encoding == "cbor":
            return cbor2.loads(frame)
        return json.loads(frame) if isinstance(frame, str) else frame


@asynccontextmanager
async def wired(
    answers: Mapping[str, Any], *, encoding: Any = "json", scopes: Any = ("read",), sides: Any = None, **limits: Any
) -> AsyncIterator[Client]:
    """``answers``: by type of request, an async function of the request and its outlet, or an answerer."""
    here, there = sides or trio.testing.memory_stream_pair()
    traffic = Traffic()
    answerers: dict[str, Answerer] = {
        kind: one if hasattr(one, "answer") else Answering(one) for kind, one in answers.items()
    }
    async with trio.open_nursery() as nursery:
        made: dict[str, Any] = {}
        done = trio.Event()

        async def serve() -> None:
            request = await trio_websocket.wrap_server_stream(nursery, there)
            connection = await request.accept()
            made["session"] = Session(
                connection,
                encoding=encoding,
                scopes=scopes,
                answerers=answerers,
                write=lambda data, chunk_s: write_in_time(there, data, chunk_s),
                cut=lambda: trio.aclose_forcefully(there),
                traffic=traffic,
                **limits,
            )
            await made["session"].run()
            done.set()

        nursery.start_soon(serve)
        connection = await trio_websocket.wrap_client_stream(nursery, here, "test", "/")
        await trio.testing.wait_all_tasks_blocked()
        yield Client(connection, made["session"], traffic, encoding)
        await trio.aclose_forcefully(here)
        with trio.fail_after(5):
            await done.wait()
        await trio.aclose_forcefully(there)
        nursery.cancel_scope.cancel()
