"""One connection to a server: many requests at once, each with the replies that have its id.

What always holds: one task reads and is never kept from it, one writes, in the order of ``send`` and no faster than
the server takes; whatever breaks, breaks every call once, with one error; and nothing that the other side says, or
does not say, makes anybody wait for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import h11
import trio
import trio_websocket
from wsproto.utilities import ProtocolError

from matrix.client.address import Address
from matrix.client.call import Call
from matrix.client.dial import Line, dial, no_websocket, shake_hands
from matrix.client.failures import again, of_close, of_reply, of_status
from matrix.client.wire import Encoding, Frame, FrameReader, Message, encode
from matrix.errors import ConnectionLost, MatrixError, ServerFailed, UsageError
from matrix.limits import (
    CLIENT_CLOSE_S,
    CLIENT_CONNECT_S,
    CLIENT_MESSAGES_SHARE,
    CLIENT_PING_S,
    CLIENT_UNANSWERED_MAX,
)

PROTOCOL = "matrix.v1"
#: What the library raises of a server that breaks the rules.
_TROUBLES = (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, ProtocolError, h11.ProtocolError)
_MESSAGES_PER_SECOND, _MESSAGE_BYTES = 100, 256 * 1024  # where the server does not say


class Connection:
    """A connection, run as a task: once ``nursery.start(connection.run)`` returns it stands, or there is ``trouble``.

    >>> with await connection.start({"type": "info"}) as call:           # doctest: +SKIP
    ...     print(await call.result())
    """

    def __init__(self, address: Address, encoding: Encoding) -> None:
        self.address, self.encoding = address, encoding
        self.welcome: Mapping[str, Any] = {}
        self.trouble: MatrixError | None = None
        self._line: Line | None = None
        self._socket: trio_websocket.WebSocketConnection | None = None
        self._frames = FrameReader(encoding)
        self._calls: dict[int, Call] = {}
        self._newest = 0
        self._is_closing = False
        self._outbox: deque[Frame] = deque()
        self._lot = trio.lowlevel.ParkingLot()
        self._scope = trio.CancelScope()
        self._unanswered = trio.Semaphore(CLIENT_UNANSWERED_MAX)

    # -- its life ---------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, and serve the calls until it breaks or is closed; what breaks it is ``trouble``, and not raised."""
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                socket = await self._open(nursery)
                task_status.started()
                nursery.start_soon(self._write, socket)
                nursery.start_soon(self._listen, socket)
                await self._read(socket)
        except* (MatrixError, *_TROUBLES) as group:
            self._lose(self._explained(group))
        finally:
            self._lose(ConnectionLost(f"{self.address}: the connection is closed"))
            if self._line is not None:
                await trio.aclose_forcefully(self._line)
        if self._socket is None:
            task_status.started()

    async def _open(self, nursery: trio.Nursery) -> trio_websocket.WebSocketConnection:
        with trio.move_on_after(CLIENT_CONNECT_S):
            self._line = await dial(self.address)
            socket = await shake_hands(nursery, self._line, self.address, self.encoding)
            await socket.send_message(encode({"type": "hello", "token": self.address.token}, self.encoding))
            self.welcome = self._welcomed(self._frames.read(await socket.get_message()))
            self._socket = socket
            return socket
        raise ConnectionLost(
            f"{self.address}: what is there has not answered as a server of Matrix within {CLIENT_CONNECT_S} s"
        )

    def _welcomed(self, reply: Message | None) -> Message:
        if reply is not None and reply["type"] == "error":
            error = of_reply(reply)
            raise type(error)(f"{self.address}: {error}")
        if reply is None or reply["type"] != "welcome" or reply.get("protocol") != PROTOCOL:
            raise ServerFailed(f"{self.address}: what answers there does not speak {PROTOCOL}")
        return reply

    async def aclose(self) -> None:
        """Part in good order, as far as the other side does."""
        if self._socket is not None and self.trouble is None:
            self._lose(ConnectionLost(f"{self.address}: the connection is closed"))
            self._outbox.clear()
            self._is_closing = True
            with trio.move_on_after(CLIENT_CLOSE_S):
                await self._socket.aclose()
        self._scope.cancel()

    def _lose(self, error: MatrixError) -> None:
        """It is over: every call ends with this error. The first reason counts."""
        if self.trouble is not None:
            return
        self.trouble = error
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.fail(error)
        for _ in range(len(calls) + self._unanswered.statistics().tasks_waiting):
            self._unanswered.release()  # whoever waits to send is told, too

    def _explained(self, group: BaseExceptionGroup[Any]) -> MatrixError:
        """The reason that tells most, of those that came together."""
        found = list(_leaves(group))
        for error in found:
            if isinstance(error, MatrixError):
                return error
        for error in found:
            if isinstance(error, trio_websocket.ConnectionRejected):
                body = (error.body or b"")[:200].decode(errors="replace").strip()
                return of_status(error.status_code, body if body.isprintable() else "", self.address)
            if isinstance(error, trio_websocket.ConnectionClosed) and error.reason is not None:
                return of_close(error.reason.code, error.reason.reason, self.address)
        return no_websocket(self.address)

    # -- its tasks --------------------------------------------------------------------------------

    async def _read(self, socket: trio_websocket.WebSocketConnection) -> None:
        while True:
            try:
                frame = await socket.get_message()
            except trio_websocket.ConnectionClosed:
                if self._is_closing:  # the other side is still to answer the goodbye: leave that to the library
                    return
                raise
            message = self._frames.read(frame)
            if message is not None:
                self._deliver(message)

    def _deliver(self, message: Message) -> None:
        id = message.get("id")
        if id is None:
            if message["type"] == "error":
                raise of_reply(message)
            return  # a message to the connection, of a later version of the protocol
        if type(id) is not int or not 0 < id <= self._newest:
            raise ServerFailed(f"{self.address}: the server answers what was not asked")
        call = self._calls.get(id)
        if call is None:
            return  # it was left, and its last replies were under way
        was_begun = call.is_begun
        call.feed(message)
        if call.is_begun and not was_begun:
            self._unanswered.release()
        if call.is_over:
            del self._calls[id]

    async def _write(self, socket: trio_websocket.WebSocketConnection) -> None:
        most = self._limit("messages_per_second", _MESSAGES_PER_SECOND)
        pace, burst = most * CLIENT_MESSAGES_SHARE, most * 2.0
        may, since = burst, trio.current_time()
        while True:
            while not self._outbox:
                await self._lot.park()
            now = trio.current_time()
            may, since = min(burst, may + (now - since) * pace), now
            if may < 1:
                await trio.sleep((1 - may) / pace)
                continue
            may -= 1
            await socket.send_message(self._outbox.popleft())

    async def _listen(self, socket: trio_websocket.WebSocketConnection) -> None:
        """Notice a server that is gone without a word."""
        line = self._line
        assert line is not None, "a connection that stands has a line"
        while True:
            heard = line.heard
            await trio.sleep(CLIENT_PING_S)
            if line.heard == heard:
                with trio.move_on_after(CLIENT_PING_S):
                    await socket.ping()
            if line.heard == heard:
                raise ConnectionLost(f"{self.address}: nothing was heard of the server for {2 * CLIENT_PING_S} s")

    def _limit(self, name: str, otherwise: int) -> int:
        limits = self.welcome.get("limits")
        found = limits.get(name) if isinstance(limits, dict) else None
        return found if type(found) is int and found > 0 else otherwise

    # -- for calls --------------------------------------------------------------------------------

    @property
    def scopes(self) -> list[str]:
        """What the token allows."""
        found = self.welcome.get("scopes")
        return [str(scope) for scope in found] if isinstance(found, list) else []

    async def start(self, request: Message) -> Call:
        """Send a request; it waits while several others have not begun to be answered."""
        frame = self._encoded({**request, "id": 2**53 - 1})  # too long? then it does not take a place in the queue
        await self._unanswered.acquire()
        if self.trouble is not None:
            raise again(self.trouble)
        self._newest += 1
        call = Call(self, self._newest, request)
        frame = self._encoded({**request, "id": call.id})
        self._calls[call.id] = call
        self._outbox.append(frame)
        self._lot.unpark_all()
        return call

    def _encoded(self, request: Message) -> Frame:
        frame = encode(request, self.encoding)
        most = self._limit("message_bytes", _MESSAGE_BYTES)
        count = len(frame.encode() if isinstance(frame, str) else frame)
        if count > most:
            raise UsageError(f"the query with its parameters has {count:,} bytes; a server takes {most:,} at once")
        return frame

    def send(self, message: Message) -> None:
        """Send what needs no answer."""
        if self.trouble is None:
            self._outbox.append(encode(message, self.encoding))
            self._lot.unpark_all()

    def leave(self, call: Call) -> None:
        """Stop the work for a call, unless it has ended; what still comes for it is dropped."""
        if self._calls.pop(call.id, None) is None:
            return
        if not call.is_begun:
            self._unanswered.release()
        call.fail(ConnectionLost("this answer was left before its end"))
        self.send({"type": "cancel", "id": call.id})


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
