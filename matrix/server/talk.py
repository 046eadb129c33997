"""One WebSocket: from an upgrade that is right in form, through who is there, to the end of its session.

What always holds: nobody gets an answer to anything before a right token was given, in the upgrade or in ``hello``; a
client that is silent for too long is cut off; and when ``run`` returns nothing of this connection is left.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import trio
import trio_websocket
from wsproto.utilities import LocalProtocolError

import matrix
from matrix.limits import PAGE_BYTES_MAX, PROTOCOL_PAGE_ROWS_MAX, QUERY_BYTES_MAX, SESSION_REQUESTS_MAX
from matrix.server.auth import Failures, Keys, Names, Pass
from matrix.server.bounds import Bounds
from matrix.server.contract import Answerer, RequestError
from matrix.server.gate import PROTOCOL_ERROR, Gate
from matrix.server.http import Head, NotTaken, chosen_subprotocol, plain_upgrade, refusal
from matrix.server.metrics import Metrics
from matrix.server.protocol import SUBPROTOCOLS, Hello, encode, read
from matrix.server.session import Session

_GOING_AWAY, _POLICY_VIOLATION, _TRY_AGAIN_LATER, _NOT_UTF8 = 1001, 1008, 1013, 1007


@dataclass
class Common:
    """What all connections of a server share."""

    store: str  # the name of the folder, which clients are told
    names: Names
    keys: Keys
    failures: Failures
    answerers: Mapping[str, Answerer]
    query_s: float
    bounds: Bounds
    metrics: Metrics
    sessions: Counter[str] = field(default_factory=Counter)  # by the name of the pass


class Talk:
    """A WebSocket that is being opened, or is open."""

    def __init__(self, stream: trio.SocketStream, head: Head, early: bytes, common: Common) -> None:
        """Raises ``NotTaken`` when the upgrade asks for what is not there."""
        self._stream, self._common = stream, common
        self._subprotocol = chosen_subprotocol(head, SUBPROTOCOLS)
        self._encoding = SUBPROTOCOLS[self._subprotocol or "matrix.v1+json"]
        self._bearer = bearer(head)
        lead = plain_upgrade(head, self._subprotocol)
        self._gate = Gate(stream, lead, early, common.bounds, common.metrics.refuse)
        self._connection: trio_websocket.WebSocketConnection | None = None
        self._session: Session | None = None

    async def run(self, deadline: float) -> None:
        """Answer the upgrade, hear until ``deadline`` who is there, and then have a session to its end."""
        try:
            async with trio.open_nursery() as nursery:
                await self._run(nursery, deadline)
                nursery.cancel_scope.cancel()
        except* (trio_websocket.ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it has gone
        except* LocalProtocolError:
            pass  # what the library says when it is to answer a ping while it is closing
        finally:
            await self._gate.aclose()

    async def _run(self, nursery: trio.Nursery, deadline: float) -> None:
        bounds = self._common.bounds
        request = await trio_websocket.wrap_server_stream(
            nursery, self._gate, max_message_size=bounds.message_bytes_max
        )
        connection = self._connection = await request.accept(subprotocol=self._subprotocol)
        self._gate.closing_code = lambda: _code_not_said(connection)
        self._gate.open()
        allowed = await self._introduced(deadline)
        if allowed is None:
            return await self._refuse(_POLICY_VIOLATION, "unauthorized", "a right token is needed: see PROTOCOL.md")
        if self._common.sessions[allowed.name] >= bounds.connections_per_token_max:
            self._common.metrics.refuse("connections-per-token")
            text = f"{bounds.connections_per_token_max} connections have this token: close one, or try again later"
            return await self._refuse(_TRY_AGAIN_LATER, "too-many", text)
        self._common.sessions[allowed.name] += 1
        self._common.metrics.sessions += 1
        try:
            await self._have_session(allowed, nursery)
        finally:
            self._common.metrics.sessions -= 1
            self._common.sessions[allowed.name] -= 1

    # -- who is there -----------------------------------------------------------------------------

    async def _introduced(self, deadline: float) -> Pass | None:
        """What the client may do; None when it gave no right token in time."""
        token = self._bearer
        if token is None:
            with trio.move_on_at(deadline) as scope:
                token = await self._hello()
            if token is None:
                self._common.metrics.refuse("hello-time" if scope.cancelled_caught else "hello")
                return None
        return await admitted(token, self._common)

    async def _hello(self) -> str | None:
        """The token in the first message; None when it is another message."""
        assert self._connection is not None, "the upgrade was answered"
        frame = await self._connection.get_message()
        try:
            message = read(frame, self._encoding)
        except RequestError:
            return None
        return message.token if isinstance(message, Hello) else None

    async def _refuse(self, code: int, name: str, text: str) -> None:
        await self._tell({"type": "error", "code": name, "message": text, "hint": "", "fix": ""})
        await self._close(code, name)

    async def _close(self, code: int, reason: str) -> None:
        assert self._connection is not None, "the upgrade was answered"
        with trio.move_on_after(self._common.bounds.linger_s):
            await self._connection.aclose(code, reason)

    async def _tell(self, message: Mapping[str, Any]) -> None:
        assert self._connection is not None, "the upgrade was answered"
        with trio.move_on_after(self._common.bounds.answer_s):
            await self._connection.send_message(encode(message, self._encoding))
            return
        raise trio_websocket.ConnectionClosed(None)  # it reads nothing

    # -- the session ------------------------------------------------------------------------------

    async def _have_session(self, allowed: Pass, nursery: trio.Nursery) -> None:
        assert self._connection is not None, "the upgrade was answered"
        await self._tell(self._welcome(allowed))
        self._session = Session(
            self._connection,
            encoding=self._encoding,
            scopes=allowed.scopes,
            answerers=self._common.answerers,
            write=self._gate.write,
            cut=self.cut,
            traffic=self._common.metrics.traffic,
        )
        nursery.start_soon(self._keep_awake)
        await self._session.run()

    def _welcome(self, allowed: Pass) -> dict[str, Any]:
        bounds = self._common.bounds
        limits = {
            "message_bytes": bounds.message_bytes_max,
            "requests": SESSION_REQUESTS_MAX,
            "page_rows": PROTOCOL_PAGE_ROWS_MAX,
            "page_bytes": PAGE_BYTES_MAX,
            "query_seconds": self._common.query_s,
            "text_bytes": QUERY_BYTES_MAX,
            "messages_per_second": bounds.messages_per_s,
        }
        return {
            "type": "welcome",
            "protocol": "matrix.v1",
            "version": matrix.__version__,
            "store": self._common.store,
            "scopes": list(allowed.scopes),
            "limits": limits,
        }

    async def _keep_awake(self) -> None:
        """Ask now and then whether anybody is there, and cut off who does not answer."""
        assert self._connection is not None, "the upgrade was answered"
        while True:
            await trio.sleep(self._common.bounds.ping_s)
            with trio.move_on_after(self._common.bounds.silence_s) as scope:
                await self._connection.ping()
            if scope.cancelled_caught:
                self._common.metrics.refuse("silence")
                return await self.cut()

    async def cut(self) -> None:
        """Close the socket without asking the other side."""
        await trio.aclose_forcefully(self._stream)

    async def say_closing(self) -> None:
        """The server ends: tell the client, and close."""
        if self._connection is None:
            await self.cut()
            return
        with suppress(trio_websocket.ConnectionClosed, LocalProtocolError):
            if self._session is not None:
                await self._session.say_closing()
            await self._connection.aclose(_GOING_AWAY, "the server ends")


def bearer(head: Head) -> str | None:
    """The token in a request's head, if there is one."""
    found = re.fullmatch(r"(?i:bearer) +(\S+)", head.one("authorization") or "")
    return found[1] if found else None


async def admitted(token: str, common: Common) -> Pass | None:
    """What a token allows; None, and later and later, for one that is wrong."""
    await common.failures.wait()
    allowed = common.keys.allowed(token)
    if allowed is None:
        common.failures.count()
        common.metrics.refuse("token")
    return allowed


def check_places(head: Head, common: Common) -> None:
    """Refuse an upgrade whose token has all its connections already; raises ``NotTaken``."""
    token = bearer(head)
    allowed = common.keys.allowed(token) if token is not None else None
    if allowed is not None and common.sessions[allowed.name] >= common.bounds.connections_per_token_max:
        common.metrics.refuse("connections-per-token")
        raise NotTaken(refusal(503, "all connections of this token are taken", Retry_After="5"))


def _code_not_said(connection: trio_websocket.WebSocketConnection) -> int | None:
    """The code of an end that trio-websocket 0.12.2 keeps to itself: when it could not read what came."""
    reason = connection.closed
    return reason.code if reason is not None and reason.code in (PROTOCOL_ERROR, _NOT_UTF8) else None
