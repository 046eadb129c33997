"""One connection: its requests, each in a task of its own, and the order in which replies go out.

What always holds: a request has exactly one last reply, unless the connection is gone; frames that belong together
stand side by side; a client that does not take a message within ``SESSION_SEND_S`` is cut off, and nothing but its own
requests ever waited for it; when ``run`` returns no task of this connection is left and all of its work has stopped.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio
import trio_websocket

from matrix.limits import SESSION_REQUESTS_MAX, SESSION_SEND_S
from matrix.server.contract import Answerer, Encoding, Frame, Outlet, Request, RequestError
from matrix.server.frames import framed
from matrix.server.protocol import Cancel, Grant, Hello, encode, is_batch, read

log = logging.getLogger("matrix.server")

NEEDS_CONTROL = frozenset({"replay"})  # it runs programs


@dataclass
class Traffic:
    """What went through the sessions of a server: for its metrics."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)  # by type and outcome
    batches: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    cut_off: int = 0

    def count_out(self, frames: Sequence[Frame], size: int) -> None:
        """These frames have gone out, in so many bytes."""
        self.messages_out += len(frames)
        self.batches += sum(map(is_batch, frames))
        self.bytes_out += size


class _Credit:
    """Batches that a client has granted to one request."""

    def __init__(self, first: int) -> None:
        self.left = first
        self._more = trio.Event()

    def grant(self, count: int) -> None:
        """Let so many more batches go."""
        self.left += count
        self._more.set()

    async def take(self) -> None:
        """Wait for one, and take it."""
        while self.left <= 0:
            self._more = trio.Event()
            await self._more.wait()
        self.left -= 1


@dataclass
class _Running:
    """A request that is being answered."""

    request: Request
    credit: _Credit
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    is_cancelled: bool = False  # by the client, not because the connection ended


class _Outlet(Outlet):
    """Where the replies to one request go."""

    def __init__(self, session: Session, running: _Running) -> None:
        self._session, self._running, self._credit = session, running, running.credit
        self.encoding = session.encoding

    async def send(self, frames: Sequence[Frame], *, is_last: bool = False) -> None:
        if is_last:
            self._session.forget(self._running)
        await self._session.send(frames)

    async def take_credit(self) -> None:
        await self._credit.take()

    def has_credit(self) -> bool:
        return self._credit.left > 0


class Session:
    """A connection that has said who it is."""

    def __init__(
        self,
        connection: trio_websocket.WebSocketConnection,
        *,
        encoding: Encoding,
        scopes: Collection[str],
        answerers: Mapping[str, Answerer],
        write: Callable[[bytes, float], Awaitable[None]],
        cut: Callable[[], Awaitable[None]],
        traffic: Traffic | None = None,
        requests_max: int = SESSION_REQUESTS_MAX,
        send_s: float = SESSION_SEND_S,
    ) -> None:
        """``answerers`` by type of request; ``write`` and ``cut`` are ``Gate``'s way out, and the socket's end."""
        self._connection, self.encoding = connection, encoding
        self._scopes, self._answerers = frozenset(scopes), answerers
        self._write, self._cut, self._traffic = write, cut, traffic or Traffic()
        self._requests_max, self._send_s = requests_max, send_s
        self._running: dict[int | str, _Running] = {}
        self._sending = trio.Lock()
        self._is_gone = False

    async def run(self) -> None:
        """Answer until the other side closes, or is cut off. A cancelled session tells nobody: see ``say_closing``."""
        async with trio.open_nursery() as nursery:
            try:
                while True:
                    frame = await self._connection.get_message()
                    self._count_in(frame)
                    await self._hear(frame, nursery)
            except trio_websocket.ConnectionClosed:
                self._is_gone = True
                nursery.cancel_scope.cancel()

    async def say_closing(self) -> None:
        """Tell the client that the server ends."""
        await self.tell({"type": "error", "code": "closing", "message": "the server ends", "hint": "", "fix": ""})

    # -- what comes in ----------------------------------------------------------------------------

    async def _hear(self, frame: Frame, nursery: trio.Nursery) -> None:
        try:
            message = read(frame, self.encoding)
            match message:
                case Hello():
                    raise RequestError("bad-message", "hello comes once, before everything else")
                case Grant():
                    self._grant(message)
                case Cancel():
                    self._cancel(message.id)
                case Request():
                    self._begin(message, nursery)
        except RequestError as error:
            self._traffic.requests["none", error.fields["code"]] += 1
            await self.tell({"type": "error", **error.fields})

    def _grant(self, grant: Grant) -> None:
        running = self._running.get(grant.id)
        if running is not None:  # else it has ended meanwhile
            running.credit.grant(grant.credit)

    def _cancel(self, id: int | str) -> None:
        running = self._running.get(id)
        if running is not None:
            running.is_cancelled = True
            running.scope.cancel()

    def _begin(self, request: Request, nursery: trio.Nursery) -> None:
        if request.id in self._running:
            raise RequestError("duplicate-id", "a request with this id is running; choose another", id=request.id)
        if len(self._running) >= self._requests_max:
            text = f"{self._requests_max} requests of this connection are running: wait for one to end, or cancel one"
            raise RequestError("too-many", text, id=request.id)
        if request.type in NEEDS_CONTROL and "control" not in self._scopes:
            text = f"{request.type} needs a token with the scope control; this one has read"
            raise RequestError("forbidden", text, id=request.id)
        running = _Running(request, _Credit(request.credit))
        self._running[request.id] = running
        nursery.start_soon(self._answer, running)

    def forget(self, running: _Running) -> None:
        """A request is about to have its last reply: who has read that may use the id again."""
        if self._running.get(running.request.id) is running:
            del self._running[running.request.id]

    def _count_in(self, frame: Frame) -> None:
        self._traffic.messages_in += 1
        self._traffic.bytes_in += len(frame)

    # -- what goes out ----------------------------------------------------------------------------

    async def _answer(self, running: _Running) -> None:
        """Have one request answered; its last reply is sent here when it is an error."""
        request, outcome = running.request, "gone"  # as it is when the connection ends first
        try:
            with running.scope:
                error = await self._answered(running)
                outcome = "done" if error is None else error["code"]
            if running.scope.cancelled_caught:
                outcome = "cancelled" if running.is_cancelled else "gone"
                error = {"code": "cancelled", "message": "cancelled, as asked", "hint": "", "fix": ""}
        finally:
            self.forget(running)
            self._traffic.requests[request.type, outcome] += 1
        if error is not None and not self._is_gone:
            await self.tell({"type": "error", "id": request.id, **error})

    async def _answered(self, running: _Running) -> dict[str, Any] | None:
        """The fields of an error, or None when all replies have been sent."""
        request = running.request
        try:
            await self._answerers[request.type].answer(request, self, _Outlet(self, running))
        except RequestError as error:
            return error.fields
        except trio_websocket.ConnectionClosed:
            return {"code": "gone"}
        except Exception:
            log.exception("a %s was not answered", request.type)
            text = "a mistake of the server's; it has noted it"
            return {"code": "internal", "message": text, "hint": "", "fix": ""}
        return None

    async def tell(self, message: Mapping[str, Any]) -> None:
        """Send one message; nothing when the connection is gone."""
        try:
            await self.send([encode(message, self.encoding)])
        except trio_websocket.ConnectionClosed:
            self._is_gone = True

    async def send(self, frames: Sequence[Frame]) -> None:
        """Hand frames to the connection, side by side. Raises ``ConnectionClosed`` when it is gone.

        A message that has begun to go out is finished also when its request is cancelled meanwhile: half a message
        would spoil the connection for the others.
        """
        async with self._sending:
            if self._is_gone:
                raise trio_websocket.ConnectionClosed(None)
            data = framed(frames)
            try:
                with trio.CancelScope(shield=True):
                    await self._write(data, self._send_s)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._is_gone = True
                raise trio_websocket.ConnectionClosed(None) from None
            except trio.TooSlowError:
                self._is_gone = True
                self._traffic.cut_off += 1
                log.info("a client took nothing for %g s and is cut off", self._send_s)
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                    await self._cut()
                raise trio_websocket.ConnectionClosed(None) from None
            self._traffic.count_out(frames, len(data))
