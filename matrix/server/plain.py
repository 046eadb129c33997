"""What plain requests get: the browser page, ``/health`` and ``/metrics``."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import trio

from matrix.server.files import PAGE, page_file
from matrix.server.http import Answer, Head, refusal
from matrix.server.metrics import TYPE, Metric, gauge
from matrix.server.talk import Common, admitted, bearer
from matrix.store import LOG_FOLDER

_LOOKED_AT_S = 1.0  # how long what was seen of the store is told again
_THREADS_MAX = 4  # that read files
_JSON = "application/json"


class Desk:
    """Answers plain requests of one server."""

    def __init__(self, store: Path, common: Common, more: Callable[[], Iterable[Metric]], *, page: Path = PAGE) -> None:
        """``more`` is what others have to say in ``/metrics``."""
        self._store, self._common, self._more, self._page = store, common, more, page
        self._looked_at = -_LOOKED_AT_S
        # Of its own: a simulation beside us may keep all others busy.
        self._threads = trio.CapacityLimiter(_THREADS_MAX)
        self._looking = trio.Lock()
        self._log_bytes: int | None = None  # None: the store cannot be read

    async def answer(self, head: Head, peer: str) -> Answer:
        """The answer to a request of ``peer``."""
        if head.path == "/health":
            return await self._health()
        if head.path == "/metrics":
            return await self._metrics(head, peer)
        return await page_file(head, self._page, self._threads)

    async def _health(self) -> Answer:
        if await self._seen_log_bytes() is None:
            return Answer(503, b'{"status":"the store cannot be read"}\n', _JSON)
        return Answer(200, b'{"status":"ok"}\n', _JSON)

    async def _metrics(self, head: Head, peer: str) -> Answer:
        if not ipaddress.ip_address(peer.partition("%")[0].removeprefix("::ffff:")).is_loopback:
            token = bearer(head)
            if token is None or await admitted(token, self._common) is None:
                return refusal(401, "from another machine a token is needed", WWW_Authenticate="Bearer")
        log_bytes = await self._seen_log_bytes()
        store = [gauge("matrix_store_log_bytes", "Bytes of the log.", log_bytes)] if log_bytes is not None else []
        return Answer(200, self._common.metrics.text([*store, *self._more()]), TYPE)

    async def _seen_log_bytes(self) -> int | None:
        """How long the log is; None when it cannot be read. Many who ask at once cost one look."""
        async with self._looking:
            if trio.current_time() - self._looked_at >= _LOOKED_AT_S:
                self._log_bytes = await trio.to_thread.run_sync(_log_bytes, self._store, limiter=self._threads)
                self._looked_at = trio.current_time()
        return self._log_bytes


def _log_bytes(store: Path) -> int | None:
    try:
        with os.scandir(store / LOG_FOLDER) as shards:
            folders = [shard.path for shard in shards if shard.is_dir()]
        return sum(_bytes_in(folder) for folder in folders)
    except OSError:
        return None


def _bytes_in(folder: str) -> int:
    """The bytes of the files in a folder; raises ``OSError`` when the newest cannot be read."""
    with os.scandir(folder) as files:
        found = {file.name: file.stat().st_size for file in files if file.name.endswith(".seg")}
    if found:
        with open(os.path.join(folder, max(found)), "rb") as file:
            file.read(1)
    return sum(found.values())
