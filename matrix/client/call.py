"""One request that runs: its replies in order, its credit, and how it is left.

What always holds: at most as many batches wait here as were granted; a request that is left before its last reply is
cancelled on the server; and whoever waits gets a reply or an error, never silence without end.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import trio

from matrix.client.failures import again, of_reply
from matrix.client.wire import Message
from matrix.errors import MatrixError, ServerFailed
from matrix.limits import CLIENT_NOTICES_MAX, CLIENT_REPLY_S

if TYPE_CHECKING:
    from matrix.client.connection import Connection

#: Types whose ``credit`` counts batches.
STREAMED: Final = frozenset({"query", "explain", "watch", "export", "replay"})


class Call:
    """A request from its sending to its last reply; ``Connection.call`` makes it."""

    def __init__(self, connection: Connection, id: int, request: Message) -> None:
        self.id, self.text = id, request.get("text")
        self.notices: list[str] = []
        self.is_begun = self.is_over = False
        self._connection = connection
        self._is_watch = request["type"] == "watch"
        self._window = int(request.get("credit", 0))
        self._granted = self._window
        self._taken = 0
        self._replies: deque[Message] = deque()
        self._error: MatrixError | None = None
        self._heard = 0
        self._lot = trio.lowlevel.ParkingLot()

    # -- for the connection ---------------------------------------------------------------------

    def feed(self, reply: Message) -> None:
        """A reply has come in."""
        kind = reply["type"]
        self._heard += 1
        if kind == "notice":
            if isinstance(reply.get("text"), str) and len(self.notices) < CLIENT_NOTICES_MAX:
                self.notices.append(reply["text"])
        elif kind == "error":
            self.fail(of_reply(reply, self.text))
        elif kind != "progress":
            self._queue(reply, kind)
        self._lot.unpark_all()

    def _queue(self, reply: Message, kind: str) -> None:
        self.is_begun = True
        if kind == "batch":
            self._granted -= 1
            if self._granted < 0:
                raise ServerFailed("the server sent a batch that was not asked for")
        elif kind == "done":
            self.is_over = True
        elif kind == "position" and self._replies and self._replies[-1]["type"] == "position":
            self._replies.pop()  # only the newest counts
        elif kind not in ("schema", "position"):
            raise ServerFailed(f'the server sent a "{kind[:40]}", which is no reply')
        self._replies.append(reply)

    def fail(self, error: MatrixError) -> None:
        """There is nothing more to come."""
        self.is_begun = self.is_over = True
        self._error = error
        self._lot.unpark_all()

    # -- for whoever asked ------------------------------------------------------------------------

    async def receive(self) -> Message:
        """The next reply, ``done`` being the last; raises what went wrong once all that came before is taken."""
        while not self._replies:
            if self._error is not None:
                raise again(self._error)
            await self._wait()
        reply = self._replies.popleft()
        if reply["type"] == "batch":
            self._took_one()
        return reply

    async def _wait(self) -> None:
        before = self._heard
        seconds = math.inf if self._is_watch and self.is_begun else CLIENT_REPLY_S
        with trio.move_on_after(seconds):
            await self._lot.park()
        if self._heard == before and not self.is_over:
            raise ServerFailed(
                f"{self._connection.address}: the server has not said anything for {CLIENT_REPLY_S} s; ask again"
            )

    def _took_one(self) -> None:
        self._taken += 1
        if self._taken * 2 >= self._window and not self.is_over:
            self._connection.send({"type": "grant", "id": self.id, "credit": self._taken})
            self._granted += self._taken
            self._taken = 0

    async def result(self) -> dict[str, Any]:
        """The ``result`` of a request that has one reply."""
        reply = await self.receive()
        found = reply.get("result")
        if reply["type"] != "done" or not isinstance(found, dict):
            raise ServerFailed("the server answered in a way that the protocol does not have")
        return found

    def leave(self) -> None:
        """Nobody wants the rest; twice is nothing."""
        self._connection.leave(self)

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
