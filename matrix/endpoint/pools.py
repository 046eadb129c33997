"""Pools: the connections to one endpoint, kept open between requests.

httpx looks through all connections of a pool for each request, so a thousand of them in one pool would take more time
than what is asked. They are in pools of a few; a request goes to the first that has room, so few requests share few
connections. What always holds: a pool is opened when it is needed.
"""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from matrix.endpoint.endpoint import Endpoint
from matrix.errors import UsageError
from matrix.limits import (
    ENDPOINT_CLOSE_S,
    ENDPOINT_CONNECT_S,
    ENDPOINT_FILES_SHARE,
    ENDPOINT_KEPT_S,
    ENDPOINT_POOL_CONNECTIONS,
)

if TYPE_CHECKING:
    import httpx


class _Pool:
    def __init__(self, client: httpx.AsyncClient, size: int) -> None:
        self.client, self.size, self.under_way = client, size, 0


class Pools:
    """All connections to one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._pools: list[_Pool] = []
        self._size = self._room = _connections_max(endpoint)  # the room: connections that no pool has yet
        self._certificates: Any = None

    @asynccontextmanager
    async def post(self, body: bytes) -> AsyncIterator[httpx.Response]:
        """Send a request; the answer is not read yet. Raises ``httpx.HTTPError``."""
        pool = self._free()
        pool.under_way += 1
        try:
            async with pool.client.stream("POST", self._endpoint.target, content=body) as response:
                yield response
        finally:
            pool.under_way -= 1

    async def close(self) -> None:
        """Close all connections; those that do not part in time are dropped."""
        pools, self._pools, self._room = self._pools, [], self._size
        with trio.move_on_after(ENDPOINT_CLOSE_S, shield=True):
            for pool in pools:
                await pool.client.aclose()

    def _free(self) -> _Pool:
        """The first pool with a connection to spare; when there is none, the one that the fewest wait for."""
        for pool in self._pools:
            if pool.under_way < pool.size:
                return pool
        if not self._room:
            return min(self._pools, key=lambda pool: pool.under_way / pool.size)
        size = min(self._room, ENDPOINT_POOL_CONNECTIONS)
        self._room -= size
        self._pools.append(_Pool(self._opened(size), size))
        return self._pools[-1]

    def _opened(self, size: int) -> httpx.AsyncClient:
        library, endpoint = imported_httpx(), self._endpoint
        headers = {"content-type": "application/json", "user-agent": "matrix", **(endpoint.headers or {})}
        if endpoint.key and "authorization" not in {name.lower() for name in headers}:
            headers["authorization"] = f"Bearer {endpoint.key}"
        if self._certificates is None:  # loaded once for all pools, and not for plain HTTP
            self._certificates = library.create_ssl_context() if endpoint.target.startswith("https") else False
        client: httpx.AsyncClient = library.AsyncClient(
            headers=headers,
            auth=endpoint.login,
            verify=self._certificates,
            timeout=library.Timeout(None, connect=ENDPOINT_CONNECT_S),  # an attempt as a whole is timed by its policy
            limits=library.Limits(
                max_connections=size, max_keepalive_connections=size, keepalive_expiry=ENDPOINT_KEPT_S
            ),
        )
        return client


def _connections_max(endpoint: Endpoint) -> int:
    """As many as are wanted, and as this process may open: others wait, where they would fail."""
    files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files_max == resource.RLIM_INFINITY:
        return endpoint.connections_max
    return max(1, min(endpoint.connections_max, int(files_max * ENDPOINT_FILES_SHARE)))


def imported_httpx() -> Any:
    """The module; one clear error where it is not installed."""
    try:
        import httpx
    except ImportError:
        raise UsageError("a model server is asked through httpx: pip install 'matrix-runtime[models]'") from None
    return httpx
