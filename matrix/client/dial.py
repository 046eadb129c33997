"""The bytes below a connection: a TCP or TLS stream that tells how it goes, and the WebSocket's opening on it."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from typing import Final, cast

import trio
import trio_websocket

from matrix.client.address import Address
from matrix.client.wire import Encoding, subprotocol
from matrix.errors import ConnectionLost, ServerFailed
from matrix.limits import CLIENT_MESSAGE_BYTES_MAX

_READ_BYTES: Final = 256 * 1024  # at a time; the library's own 4 KiB would take most of a core for a large answer
_HINT: Final = "is matrix serve running there?"


class Line(trio.abc.Stream):
    """A stream that counts what is heard, and tells when it has ended."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.heard = 0  #: bytes that came in, pings among them
        self.when_ended: Callable[[], object] = lambda: None
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.when_ended()
            raise
        self.heard += len(data)
        if not data:
            self.when_ended()
        return data

    async def aclose(self) -> None:
        self.when_ended()
        await self._stream.aclose()


async def dial(address: Address) -> Line:
    """A stream to the server; ``ConnectionLost`` when nobody answers there."""
    stream: trio.abc.Stream
    try:
        if address.is_tls:
            stream = await trio.open_ssl_over_tcp_stream(address.host, address.port, https_compatible=True)
            await stream.do_handshake()
        else:
            stream = await trio.open_tcp_stream(address.host, address.port)
    except (ssl.SSLError, trio.BrokenResourceError) as error:
        raise ConnectionLost(f"{address}: no encrypted connection could be made ({_why(error)})") from None
    except (OSError, UnicodeError) as error:
        raise ConnectionLost(f"{address}: nobody answers there ({_why(error)}); {_HINT}") from None
    return Line(stream)


def _why(error: BaseException) -> str:
    """What the operating system has to say; of several tries, the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    cause = error.__cause__
    if isinstance(cause, BaseException) and not (isinstance(error, OSError) and error.strerror):
        return _why(cause)
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror | ssl.SSLError) and error.errno:
        return os.strerror(error.errno).lower()
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return words[:1].lower() + words[1:]


def no_websocket(address: Address) -> ServerFailed:
    """The error for a server of another kind, or one that breaks the rules."""
    return ServerFailed(f"{address}: what answers there does not speak WebSocket; {_HINT}")


async def shake_hands(
    nursery: trio.Nursery, line: Line, address: Address, encoding: Encoding
) -> trio_websocket.WebSocketConnection:
    """Make a WebSocket of the stream; what reads it runs in ``nursery``, and raises what the server refuses there."""
    with trio.CancelScope() as scope:
        line.when_ended = scope.cancel
        socket = await trio_websocket.wrap_client_stream(
            nursery,
            cast(trio.SocketStream, line),  # it takes any stream
            address.host_header,
            address.path,
            subprotocols=[subprotocol(encoding)],
            message_queue_size=2**31,  # what waits here is bounded by what was asked for, see Call
            max_message_size=CLIENT_MESSAGE_BYTES_MAX,
            receive_buffer_size=_READ_BYTES,
        )
    if scope.cancelled_caught:
        raise no_websocket(address)
    line.when_ended = lambda: None
    if socket.subprotocol != subprotocol(encoding):
        raise ServerFailed(f"{address}: what answers there does not speak {subprotocol(encoding)}; {_HINT}")
    return socket
