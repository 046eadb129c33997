"""Servers that a client should never meet: each is a function of one accepted connection, played on a real port.

``Frames`` speaks just enough WebSocket to say anything at all, right or wrong, at any moment.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WELCOME = {
    "type": "welcome",
    "protocol": "matrix.v1",
    "version": "0",
    "store": "runs",
    "scopes": ["read"],
    "limits": {},
}

Play = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def playing(play: Play) -> AsyncIterator[str]:
    """The address of a server that plays this to each who connects."""

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await play(stream)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has gone
        await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handle, 0)
        port = listeners[0].socket.getsockname()[1]
        yield f"ws://127.0.0.1:{port}/"
        nursery.cancel_scope.cancel()


class Frames:
    """The server's end of one WebSocket connection, after the upgrade."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._read = b""
        self._sending = trio.Lock()

    @classmethod
    async def accept(cls, stream: trio.SocketStream, *, subprotocol: str = "matrix.v1+json") -> Frames:
        """Upgrade, whatever was asked for."""
        frames = cls(stream)
        while b"\r\n\r\n" not in frames._read:
            frames._read += await stream.receive_some(4096)
        head, _, frames._read = frames._read.partition(b"\r\n\r\n")
        key = next(line.split(": ")[1] for line in head.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key"))
        accept = base64.b64encode(hashlib.sha1((key + _MAGIC).encode()).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Accept: {accept}", f"Sec-WebSocket-Protocol: {subprotocol}", "", ""]
        await stream.send_all("\r\n".join(lines).encode())
        return frames

    @classmethod
    async def greet(cls, stream: trio.SocketStream) -> Frames:
        """Upgrade, hear ``hello``, and say ``welcome``."""
        frames = await cls.accept(stream)
        await frames.hear()
        await frames.say(WELCOME)
        return frames

    async def say(self, message: Any) -> None:
        """A message as JSON."""
        await self.send(0x1, json.dumps(message).encode())

    async def send(self, opcode: int, payload: bytes, *, length: int | None = None) -> None:
        """A frame; ``length`` is what its head claims."""
        count = len(payload) if length is None else length
        head = (
            struct.pack("!BBQ", 0x80 | opcode, 127, count)
            if count > 65_535
            else (
                struct.pack("!BBH", 0x80 | opcode, 126, count)
                if count > 125
                else struct.pack("!BB", 0x80 | opcode, count)
            )
        )
        async with self._sending:
            await self.stream.send_all(head + payload)

    async def hear(self) -> Any:
        """The next message; pings are answered."""
        while True:
            opcode, payload = await self.frame()
            if opcode == 0x1:
                return json.loads(payload)
            if opcode == 0x9:
                await self.send(0xA, payload)
            if opcode == 0x8:
                raise trio.BrokenResourceError

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of the client: its kind, and what it says."""
        first, second = await self._take(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", await self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self._take(8))
        mask = await self._take(4)
        payload = await self._take(length)
        return first & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))

    async def _take(self, count: int) -> bytes:
        while len(self._read) < count:
            data = await self.stream.receive_some(65_536)
            if not data:
                raise trio.BrokenResourceError
            self._read += data
        taken, self._read = self._read[:count], self._read[count:]
        return taken
