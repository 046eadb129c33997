"""``matrix.serve``: a store on one port, until it is cancelled.

What always holds: nothing is listened to before the store was found to be one; when ``serve`` is cancelled no new
connection is taken, each that is open is told, and within about a second no socket, task or child of it is left.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import trio

from matrix.limits import SERVE_PORT, WORK_SECONDS_MAX
from matrix.server.auth import Failures, Keys, Names, bracketed
from matrix.server.bounds import Bounds
from matrix.server.connection import Connection
from matrix.server.files import PAGE
from matrix.server.http import Requests, refusal
from matrix.server.metrics import Metric, Metrics
from matrix.server.parts import Part, parts_of
from matrix.server.plain import Desk
from matrix.server.sockets import ANY, LOOPBACK, linger, listen
from matrix.server.talk import Common
from matrix.store import Store, check_is_store
from matrix.tokens import Tokens, remove_tokens, write_tokens

log = logging.getLogger("matrix.server")


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that takes connections."""

    url: str  # for clients: ws://127.0.0.1:8765/
    port: int
    store: str  # the name of the folder
    token: str = field(repr=False)  # for reading
    control_token: str = field(repr=False)  # for reading and control
    link: str = field(repr=False)  # for a browser, with the token for reading
    control_link: str = field(repr=False)


async def serve(
    store: str | Path | Store,
    *,
    host: str | None = None,
    port: int = SERVE_PORT,
    token: str | None = None,
    control_token: str | None = None,
    origins: Iterable[str] = (),
    timeout: float = WORK_SECONDS_MAX,
    bounds: Bounds | None = None,
    task_status: trio.TaskStatus[Serving] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a store on one port, WebSocket and browser page, until cancelled.

    async with trio.open_nursery() as nursery:
        serving = await nursery.start(matrix.serve, "runs")
        print(serving.link)

    It listens on this machine alone, and at ``host`` too if one is given; ``port`` 0 takes one that is free. Tokens
    are made unless they are given: ``token`` allows to read, ``control_token`` to run programs too. ``origins`` are
    web pages that may ask besides the server's own; ``timeout`` is the wall time of a query in seconds.
    """
    path = store.path if isinstance(store, Store) else Path(store)
    check_is_store(path)
    await Server(path, parts_of(path, timeout), timeout=timeout, bounds=bounds or Bounds()).run(
        host=host, port=port, keys=Keys(token, control_token), origins=origins, task_status=task_status
    )


class Server:
    """A store, those who answer questions about it, and the connections."""

    def __init__(
        self,
        store: Path,
        parts: Sequence[Part],
        *,
        timeout: float,
        bounds: Bounds,
        page: Path = PAGE,
    ) -> None:
        self._store, self._parts = store, parts
        self._timeout, self._bounds, self._page = timeout, bounds, page
        self.desk: Desk
        self.metrics = Metrics()
        self._connections: set[Connection] = set()
        self._all_gone = trio.Event()
        self._turned_away = 0
        self._is_ending = False

    async def run(
        self,
        *,
        host: str | None,
        port: int,
        keys: Keys,
        origins: Iterable[str],
        task_status: trio.TaskStatus[Serving] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen, and serve until cancelled."""
        Names(port, host, origins := tuple(origins))  # refuses what is no origin, before anything is begun
        listeners = await listen(host, port)
        port = listeners[0].socket.getsockname()[1]
        serving = _serving(self._store, host, port, keys)
        tokens = Tokens(serving.url, keys.token, keys.control_token, os.getpid(), serving.store)
        common = Common(
            store=serving.store,
            names=Names(port, host, origins),
            keys=keys,
            failures=Failures(self._bounds.failures_max, self._bounds.failure_delay_s),
            answerers={kind: part for part in self._parts for kind in part.types},
            query_s=self._timeout,
            bounds=self._bounds,
            metrics=self.metrics,
        )
        self.desk = Desk(self._store, common, self._metrics_of_parts, page=self._page)
        try:
            _leave(port, tokens)
            await self._serve(listeners, common, serving, task_status)
        finally:
            remove_tokens(port, tokens)
            for listener in listeners:
                listener.socket.close()

    async def _serve(
        self,
        listeners: list[trio.SocketListener],
        common: Common,
        serving: Serving,
        task_status: trio.TaskStatus[Serving],
    ) -> None:
        async def handle(stream: trio.SocketStream) -> None:
            await self._handle(stream, common)

        accepting = trio.CancelScope()
        async with trio.open_nursery() as outer:
            outer.start_soon(_pass_on, accepting)
            # What is inside is not cancelled from outside: it is told, and given a moment.
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as inner:
                    with accepting:
                        for part in self._parts:
                            inner.start_soon(part.run)
                        task_status.started(serving)
                        await trio.serve_listeners(handle, listeners, handler_nursery=inner)
                    await self._end(inner)
                    inner.cancel_scope.cancel()

    # -- connections ------------------------------------------------------------------------------

    async def _handle(self, stream: trio.SocketStream, common: Common) -> None:
        """Serve one connection; whatever goes wrong in it is nobody else's trouble."""
        self.metrics.accepted += 1
        if self._is_ending or len(self._connections) >= self._bounds.connections_max:
            return await self._turn_away(stream)
        connection = Connection(stream, common, self.desk.answer)
        self._connections.add(connection)
        self.metrics.sockets += 1
        try:
            await connection.run()
        except Exception:
            log.exception("a connection broke")
        finally:
            self._connections.discard(connection)
            self.metrics.sockets -= 1
            if not self._connections:
                self._all_gone.set()

    async def _turn_away(self, stream: trio.SocketStream) -> None:
        """There is no place: say so, if that takes but a moment and not too many have to be told."""
        self.metrics.refuse("connections")
        self._turned_away += 1
        try:
            if self._turned_away <= self._bounds.connections_max:
                with trio.move_on_after(self._bounds.linger_s):
                    answer = refusal(503, "all connections are taken; try again later", Retry_After="5")
                    await Requests(stream, head_bytes_max=self._bounds.head_bytes_max).answer(answer, None)
                    await linger(stream, self._bounds.linger_s)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._turned_away -= 1
            await trio.aclose_forcefully(stream)

    async def _end(self, nursery: trio.Nursery) -> None:
        """Tell each connection, and wait a moment for them to close."""
        self._is_ending = True
        if not self._connections:
            return
        self._all_gone = trio.Event()
        for connection in tuple(self._connections):
            nursery.start_soon(connection.say_closing)
        with trio.move_on_after(self._bounds.close_s):
            await self._all_gone.wait()
        for connection in tuple(self._connections):
            await connection.cut()

    def _metrics_of_parts(self) -> Iterable[Metric]:
        return [metric for part in self._parts for metric in part.metrics()]


async def _pass_on(scope: trio.CancelScope) -> None:
    """Cancel a scope that is shielded, when this is cancelled."""
    try:
        await trio.sleep_forever()
    finally:
        scope.cancel()


def _leave(port: int, tokens: Tokens) -> None:
    """Leave the tokens for other programs of this user; where that cannot be, they are given by hand."""
    try:
        write_tokens(port, tokens)
    except OSError as error:
        log.warning("the file with the tokens could not be written: %s", error.strerror or error)


def _serving(store: Path, host: str | None, port: int, keys: Keys) -> Serving:
    name = bracketed(host if host is not None and host not in ANY else LOOPBACK[0])
    link = f"http://{name}:{port}/#token="
    return Serving(
        url=f"ws://{name}:{port}/",
        port=port,
        store=store.resolve().name,
        token=keys.token,
        control_token=keys.control_token,
        link=link + quote(keys.token, safe=""),
        control_link=link + quote(keys.control_token, safe=""),
    )
