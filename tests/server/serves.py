"""A server in the test's own Trio, with an answerer that needs no processes, and clients that send whatever bytes."""

from __future__ import annotations

import base64
import gc
import json
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from matrix.server.auth import Keys
from matrix.server.bounds import Bounds
from matrix.server.contract import Outlet, Request
from matrix.server.parts import Part
from matrix.server.protocol import encode
from matrix.server.serving import Server, Serving

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 0x1, 0x2, 0x8, 0x9, 0xA, 0x0
KEY = base64.b64encode(bytes(16)).decode()


class Echo:
    """Answers every request with its own text; ``query`` waits until it is cancelled."""

    def __init__(self) -> None:
        self.waiting = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()

    async def answer(self, request: Request, client: object, outlet: Outlet) -> None:
        if request.type == "query":
            self.waiting += 1
            try:
                await trio.sleep_forever()
            finally:
                self.waiting -= 1
        done = {"type": "done", "id": request.id, "result": request.text}
        await outlet.send([encode(done, outlet.encoding)], is_last=True)


@dataclass
class Served:
    """A server under test."""

    serving: Serving
    server: Server
    echo: Echo
    cancel: Callable[[], None]  # the server's task, not the test's
    ended: trio.Event

    @property
    def port(self) -> int:
        return self.serving.port

    def refused(self, rule: str) -> int:
        """How often a rule was broken."""
        return self.server.metrics.refused[rule]

    async def connected(self, address: str = "127.0.0.1") -> Raw:
        return Raw(await trio.open_tcp_stream(address, self.port), self.port)

    async def upgraded(self, *, token: str | None = "", **headers: str) -> Raw:
        """A WebSocket, with the token for reading in its head; None: without a token."""
        raw = await self.connected()
        given = self.serving.token if token == "" else token
        more = {"Authorization": f"Bearer {given}"} if given is not None else {}
        status, _, _ = await raw.upgrade(**{**more, **headers})
        assert status == 101, status
        return raw

    async def session(self, **options: Any) -> Raw:
        """A WebSocket that has been welcomed."""
        raw = await self.upgraded(**options)
        assert (await raw.hear())["type"] == "welcome"
        return raw


@asynccontextmanager
async def served(
    store: Path, *, bounds: Bounds | None = None, keys: Keys | None = None, **options: Any
) -> AsyncIterator[Served]:
    """Serve a folder as a store; ``page`` is the folder of the browser page."""
    (store / "log").mkdir(parents=True, exist_ok=True)
    echo = Echo()
    part = Part(echo, {"query", "info", "check", "replay"}, lambda: ())
    page = {"page": options.pop("page")} if "page" in options else {}
    server = Server(store, [part], timeout=30.0, bounds=bounds or Bounds(), **page)
    arguments = {"host": None, "port": 0, "origins": (), **options}

    scope, ended = trio.CancelScope(), trio.Event()

    async def run(task_status: trio.TaskStatus[Serving]) -> None:
        with scope:
            await server.run(keys=keys or Keys(), task_status=task_status, **arguments)
        ended.set()

    async with trio.open_nursery() as nursery:
        yield Served(await nursery.start(run), server, echo, scope.cancel, ended)
        scope.cancel()


class Raw:
    """One end of a connection, byte by byte."""

    def __init__(self, stream: trio.SocketStream, port: int, *, patience_s: float = 5) -> None:
        self.stream, self._port, self._patience_s = stream, port, patience_s
        self._received = bytearray()

    async def __aenter__(self) -> Raw:
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.aclose_forcefully(self.stream)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    # -- HTTP -------------------------------------------------------------------------------------

    async def ask(self, target: str = "/", method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """A plain request; ``Host`` is right unless it is given, and left out when it is empty."""
        await self.send(self.head(target, method, **headers))
        return await self.answer(has_body=method != "HEAD")

    def head(self, target: str = "/", method: str = "GET", **headers: str) -> bytes:
        named = {"Host": f"127.0.0.1:{self._port}"} | {name.replace("_", "-"): text for name, text in headers.items()}
        lines = [f"{name}: {text}" for name, text in named.items() if text]
        return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode()

    async def upgrade(
        self, target: str = "/", method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        usual = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec_WebSocket_Version": "13",
            "Sec_WebSocket_Key": KEY,
        }
        return await self.ask(target, method, **(usual | headers))

    async def answer(self, *, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        """The next answer."""
        while b"\r\n\r\n" not in self._received:
            await self._more()
        head, _, rest = bytes(self._received).partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
        self._received = bytearray(rest)
        length = int(headers.get("content-length", "0")) if has_body else 0
        return int(first.split()[1]), headers, await self._exactly(length)

    # -- frames -----------------------------------------------------------------------------------

    async def say(self, **message: Any) -> None:
        await self.send(frame(TEXT, json.dumps(message).encode()))

    async def hear(self) -> Any:
        """The next message, as JSON; pings are left out."""
        while (opcode := (got := await self.frame())[0]) == PING:
            pass
        assert opcode == TEXT, got
        return json.loads(got[1])

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: its opcode and payload."""
        first, short = await self._exactly(2)
        length = short
        if short == 126:
            length = int.from_bytes(await self._exactly(2), "big")
        elif short == 127:
            length = int.from_bytes(await self._exactly(8), "big")
        return first & 0x0F, await self._exactly(length)

    async def closed(self) -> int | None:
        """The code with which the other side closes, what it says before left out; None when it just ends."""
        try:
            while (got := await self.frame())[0] != CLOSE:
                pass
        except EOFError:
            return None
        return int(struct.unpack("!H", got[1][:2])[0]) if got[1] else 1005

    async def ends(self) -> bytes:
        """All that comes until the other side ends."""
        try:
            while True:
                await self._more()
        except EOFError:
            return bytes(self._received)

    async def _exactly(self, count: int) -> bytes:
        while len(self._received) < count:
            await self._more()
        data = bytes(self._received[:count])
        del self._received[:count]
        return data

    async def _more(self) -> None:
        with trio.fail_after(self._patience_s):
            try:
                data = await self.stream.receive_some(65_536)
            except trio.BrokenResourceError:
                raise EOFError from None
        if not data:
            raise EOFError
        self._received += data


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    is_last: bool = True,
    is_masked: bool = True,
    reserved: int = 0,
    claimed: int | None = None,
) -> bytes:
    """A client's frame; ``claimed`` is the length that it says it has."""
    length = len(payload) if claimed is None else claimed
    mask = 0x80 if is_masked else 0
    first = (0x80 if is_last else 0) | reserved << 4 | opcode
    if length < 126:
        head = bytes([first, mask | length])
    elif length < 65_536:
        head = bytes([first, mask | 126]) + struct.pack("!H", length)
    else:
        head = bytes([first, mask | 127]) + struct.pack("!Q", length)
    return head + (bytes(4) if is_masked else b"") + payload  # a mask of zeros changes nothing


def descriptors() -> int:
    """How many this process has open; what earlier tests left in cycles is given back first."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def children() -> set[str]:
    """The processes that this one has started and that are not gone."""
    found: set[str] = set()
    for thread in Path("/proc/self/task").iterdir():  # a process belongs to the thread that started it
        with suppress(FileNotFoundError):  # that thread has just ended
            found.update((thread / "children").read_text().split())
    return found
