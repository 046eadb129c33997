"""Replies as WebSocket frames (RFC 6455, 5.2), and their way into a stream.

A server's frames are not masked, so a reply is a short header in front of bytes that are there already; the library's
way of making one costs several times as much, and a watch with a hundred clients makes thousands a second.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from matrix.limits import SESSION_CHUNK_BYTES
from matrix.server.contract import Frame

_FIN_TEXT, _FIN_BINARY = b"\x81", b"\x82"


def framed(frames: Sequence[Frame]) -> bytes:
    """Whole messages, one behind the other, as they go over the wire.

    >>> framed(["hi", b"x" * 126])[:8]
    b'\\x81\\x02hi\\x82~\\x00~'
    """
    parts: list[bytes] = []
    for frame in frames:
        payload = frame.encode() if isinstance(frame, str) else frame
        parts += (_FIN_TEXT if isinstance(frame, str) else _FIN_BINARY, _length(len(payload)), payload)
    return b"".join(parts)


def _length(count: int) -> bytes:
    if count < 126:
        return bytes((count,))
    return b"\x7e" + count.to_bytes(2, "big") if count < 1 << 16 else b"\x7f" + count.to_bytes(8, "big")


async def write_in_time(stream: trio.abc.SendStream, data: bytes, chunk_s: float) -> None:
    """Send it all; ``trio.TooSlowError`` when the other side has taken no chunk of it for ``chunk_s`` seconds."""
    with memoryview(data) as view:
        for begin in range(0, len(data), SESSION_CHUNK_BYTES):
            with trio.fail_after(chunk_s):
                await stream.send_all(view[begin : begin + SESSION_CHUNK_BYTES])
