"""``matrix.connect``: the door to a store that is served somewhere else, for Trio and for everybody else."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING

import trio

from matrix.client.address import Address, read_address
from matrix.client.wire import ENCODINGS, Encoding
from matrix.errors import UsageError
from matrix.tokens import read_tokens

if TYPE_CHECKING:
    from matrix.client.blocking import BlockingRemote
    from matrix.client.remote import Remote

TOKEN_VARIABLE = "MATRIX_TOKEN"
LOOPBACK = ("127.0.0.1", "::1", "localhost")  # only these are this machine for certain


def connect(url: str, *, token: str | None = None, encoding: Encoding = "cbor") -> Connector:
    """A store that is served at ``url``: ``ws://host:port/``, ``wss://…``, or the page's link as it was printed.

    >>> async with matrix.connect("ws://127.0.0.1:8765/") as remote:       # doctest: +SKIP
    ...     result = await remote.query("agents where goal succeeded | count by role")

    >>> with matrix.connect("ws://127.0.0.1:8765/") as remote:             # doctest: +SKIP
    ...     result = remote.query("agents where goal succeeded | count by role")

    The first is for Trio; the second blocks, and works anywhere, a notebook among them, as does
    ``remote = matrix.connect(url).open()`` with ``remote.close()`` in the end. The token is the one given here, or in
    the link, or in the environment as MATRIX_TOKEN, or the one that a server of the same user on this machine keeps.
    """
    if encoding not in ENCODINGS:
        raise UsageError(f"encoding is one of {', '.join(ENCODINGS)}, not {encoding!r}")
    return Connector(_with_token(read_address(url), token), encoding)


def _with_token(address: Address, token: str | None) -> Address:
    """The token given, or the one found; the one for control is found only for a server that has either of ours."""
    given = token or address.token or os.environ.get(TOKEN_VARIABLE, "")
    kept = read_tokens(address.port) if address.host in LOOPBACK else None
    if kept is None or (given and given not in (kept.token, kept.control_token)):
        return address.with_token(given)
    return address.with_token(given or kept.token, kept.control_token)


class Connector:
    """What ``matrix.connect`` returns: nothing is connected before ``async with``, ``with`` or ``open``."""

    def __init__(self, address: Address, encoding: Encoding) -> None:
        self._address, self._encoding = address, encoding
        self._remote: Remote | None = None
        self._blocking: BlockingRemote | None = None

    def __repr__(self) -> str:
        return f"matrix.connect({str(self._address)!r})"

    async def __aenter__(self) -> Remote:
        from matrix.client.remote import Remote

        if not trio.lowlevel.in_trio_run():
            raise UsageError("async with matrix.connect(…) is for Trio; elsewhere: with matrix.connect(…) as remote")
        self._remote = Remote(self._address, self._encoding)
        return await self._remote.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        assert self._remote is not None, "it was entered"
        return await self._remote.__aexit__(kind, error, trace)

    def open(self) -> BlockingRemote:
        """The blocking twin, until its ``close``."""
        from matrix.client.blocking import BlockingRemote

        return BlockingRemote(self._address, self._encoding)

    def __enter__(self) -> BlockingRemote:
        self._blocking = self.open()
        return self._blocking

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._blocking is not None, "it was entered"
        self._blocking.close()
