"""A client written from PROTOCOL.md alone: sockets, JSON, and nothing of ours.

    with Plain("127.0.0.1", 8765, token) as plain:
        plain.ask({"type": "query", "text": "agents | count"})
        for message, data in plain.replies():
            print(message)

It answers pings, grants credit as batches come, and takes the bytes that belong to a message from the frame behind it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


class Closed(Exception):
    """The server closed the connection, with this code."""


class Plain:
    """One connection; ``welcome`` is what the server said to ``hello``."""

    def __init__(self, host: str, port: int, token: str, *, in_header: bool = False, seconds: float = 20) -> None:
        self._socket = socket.create_connection((host, port), timeout=seconds)
        self._read = b""
        self._last_id = 0
        try:
            self._upgrade(f"{host}:{port}", token if in_header else None)
            if not in_header:
                self.say({"type": "hello", "token": token})
            self.welcome, _ = self.hear()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye, and go."""
        with suppress(OSError):  # it may have gone before
            self._send(CLOSE, struct.pack("!H", 1000))
        self._socket.close()

    # -- requests and replies -----------------------------------------------------------------------

    def ask(self, request: dict[str, Any]) -> int:
        """Send a request, with an id of its own."""
        self._last_id += 1
        self.say({"id": self._last_id, **request})
        return self._last_id

    def replies(self, *, grants: bool = True) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Messages with their bytes, up to the first ``done`` or ``error``."""
        while True:
            message, data = self.hear()
            yield message, data
            if message["type"] in ("done", "error"):
                return
            if message["type"] == "batch" and grants:
                self.say({"type": "grant", "id": message["id"], "credit": 1})

    def rows(self, text: str, **fields: Any) -> list[dict[str, Any]]:
        """The rows of a query; ``AssertionError`` with what the server says when it refuses."""
        self.ask({"type": "query", "text": text, **fields})
        names: list[str] = []
        found: list[dict[str, Any]] = []
        for message, _ in self.replies():
            assert message["type"] != "error", message
            if message["type"] == "schema":
                names = [column["name"] for column in message["columns"]]
            elif message["type"] == "batch":
                found += [dict(zip(names, row, strict=True)) for row in message["rows"]]
        return found

    def say(self, message: dict[str, Any]) -> None:
        """Send one message."""
        self._send(TEXT, json.dumps(message).encode())

    def hear(self) -> tuple[dict[str, Any], bytes]:
        """The next message, and the bytes that belong to it."""
        opcode, payload = self._message()
        assert opcode == TEXT, f"a binary frame that no message announced: {payload[:20]!r}"
        message = json.loads(payload)
        if "bytes" not in message:
            return message, b""
        opcode, payload = self._message()
        assert opcode == BINARY and len(payload) == message["bytes"], f"not the bytes of {message}"
        return message, payload

    # -- RFC 6455 -----------------------------------------------------------------------------------

    def _upgrade(self, host: str, token: str | None) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET / HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: matrix.v1+json",
        ]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        status, *headers = head.decode().split("\r\n")
        if status.split(" ")[1] != "101":
            raise Closed(status)
        found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in headers)}
        accept = base64.b64encode(hashlib.sha1((key + _MAGIC).encode()).digest()).decode()
        assert found["sec-websocket-accept"] == accept
        assert found["sec-websocket-protocol"] == "matrix.v1+json"

    def _message(self) -> tuple[int, bytes]:
        """The next text or binary message; pings on the way are answered."""
        whole, kind = b"", 0
        while True:
            is_last, opcode, payload = self._frame()
            if opcode == PING:
                self._send(PONG, payload)
            elif opcode == CLOSE:
                raise Closed(struct.unpack("!H", payload[:2])[0] if payload else 1005)
            elif opcode != PONG:
                kind, whole = kind or opcode, whole + payload
                if is_last:
                    return kind, whole

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._take(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._take(8))
        return bool(first & 0x80), first & 0x0F, self._take(length)

    def _send(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        count = len(payload)
        length = (
            struct.pack("!B", 0x80 | count)
            if count < 126
            else struct.pack("!BH", 0x80 | 126, count)
            if count < 65_536
            else struct.pack("!BQ", 0x80 | 127, count)
        )
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
        self._socket.sendall(struct.pack("!B", 0x80 | opcode) + length + mask + masked)

    def _take(self, count: int) -> bytes:
        while len(self._read) < count:
            self._more()
        taken, self._read = self._read[:count], self._read[count:]
        return taken

    def _more(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise Closed(1006)
        self._read += data
