"""One accepted socket: plain requests are answered, an upgrade becomes a ``Talk``.

What always holds: whatever comes in, the socket is closed when ``run`` returns; ``Host`` and ``Origin`` are looked at
before anything else of a request is; and head, upgrade and ``hello`` together have one deadline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from matrix.server.http import Answer, Head, NotTaken, Requests, check_upgrade, refusal
from matrix.server.sockets import linger
from matrix.server.talk import Common, Talk, check_places

#: Answers a plain request; is given the address of whoever asks.
Plain = Callable[[Head, str], Awaitable[Answer]]


class Connection:
    """A socket that somebody has connected to."""

    def __init__(self, stream: trio.SocketStream, common: Common, plain: Plain) -> None:
        self._stream, self._common, self._plain = stream, common, plain
        self._requests = Requests(stream, head_bytes_max=common.bounds.head_bytes_max)
        self._talk: Talk | None = None

    async def run(self) -> None:
        """Serve it to its end."""
        try:
            here, peer = self._stream.socket.getsockname()[0], self._stream.socket.getpeername()[0]
            await self._run(str(here), str(peer))
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # whoever it was has gone
        except trio.TooSlowError:
            self._common.metrics.refuse("answer-time")
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _run(self, here: str, peer: str) -> None:
        bounds = self._common.bounds
        deadline = trio.current_time() + bounds.handshake_s
        while self._requests.can_go_on:
            head, answer = await self._next(here, peer, deadline)
            if self._talk is not None:
                await self._talk.run(deadline)
                return
            if answer is None:
                return
            self._common.metrics.answers[answer.status] += 1
            with trio.fail_after(bounds.answer_s):
                await self._requests.answer(answer, head)
            deadline = trio.current_time() + bounds.keep_alive_s
        await linger(self._stream, bounds.linger_s)

    async def _next(self, here: str, peer: str, deadline: float) -> tuple[Head | None, Answer | None]:
        """The next request and its answer; no answer when there is a ``Talk``, or nothing more to say."""
        head = None
        try:
            with trio.move_on_at(deadline) as scope:
                head = await self._requests.next()
            if scope.cancelled_caught and self._requests.has_begun:
                self._requests.can_go_on = False
                self._common.metrics.refuse("head-time")
                return None, refusal(
                    408, f"a request's head is here within {self._common.bounds.handshake_s:g} seconds"
                )
            if head is None:
                return None, None
            self._check(head, here)
            if head.is_upgrade:
                self._talk = self._upgraded(head)
                return head, None
            return head, await self._plain(head, peer)
        except NotTaken as error:
            return head, error.answer

    def _check(self, head: Head, here: str) -> None:
        host, origin = head.one("host") or "", head.one("origin")
        if not self._common.names.is_host(host, here):
            self._common.metrics.refuse("host")
            raise NotTaken(refusal(403, "Host is not a name of this server; see matrix serve --host"))
        if origin is not None and not self._common.names.is_origin(origin, host):
            self._common.metrics.refuse("origin")
            raise NotTaken(refusal(403, "pages from there may not ask here; see matrix serve --origin"))
        if head.method not in ("GET", "HEAD"):
            raise NotTaken(refusal(405, "GET and HEAD are all there is", Allow="GET, HEAD"))
        if not head.target.startswith("/"):
            raise NotTaken(refusal(400, "a request goes to a path that begins with /"))
        if head.has_body:
            raise NotTaken(refusal(400, "a request has no body here"))

    def _upgraded(self, head: Head) -> Talk:
        if head.path != "/":
            raise NotTaken(refusal(404, "the WebSocket is at /"))
        check_upgrade(head)
        check_places(head, self._common)
        return Talk(self._stream, head, self._requests.early, self._common)

    async def say_closing(self) -> None:
        """The server ends: a session is told, anything else is cut."""
        if self._talk is not None:
            await self._talk.say_closing()
        else:
            await self.cut()

    async def cut(self) -> None:
        """Close the socket without asking the other side."""
        await trio.aclose_forcefully(self._stream)
