"""Where a server is, and by which token it is asked.

An address is a WebSocket URL, or the page's link as the server printed it: the token is its fragment. What always
holds: a token is shown nowhere, and is sent only to the address it was given for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from matrix.errors import UsageError

_WEB_SOCKET: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_HINT: Final = "a server is ws://host:port/, wss://host:port/, or the link that matrix serve prints"
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,512}")


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address.

    >>> read_address("http://127.0.0.1:8765/#token=secret")
    Address(host='127.0.0.1', port=8765, path='/', is_tls=False)
    >>> str(read_address("ws://127.0.0.1:8765"))
    'ws://127.0.0.1:8765/'
    """

    host: str
    port: int
    path: str = "/"
    is_tls: bool = False
    token: str = field(default="", repr=False)
    control_token: str = field(default="", repr=False)  #: for what the other does not allow

    def __str__(self) -> str:
        return f"{'wss' if self.is_tls else 'ws'}://{self.host_header}{self.path}"

    @property
    def host_header(self) -> str:
        """Host and port as a URL and an HTTP request have them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def with_token(self, token: str, control_token: str = "") -> Address:
        """The same place, asked by another token."""
        return replace(self, token=_checked(token), control_token=control_token)


def is_address(text: str) -> bool:
    """Whether this is meant as a server's address, and not as a folder.

    >>> is_address("ws://127.0.0.1:8765/"), is_address("runs"), is_address("ftp://there/")
    (True, False, True)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def read_address(url: str) -> Address:
    """An address from its text; ``UsageError`` for what is none."""
    if not isinstance(url, str):
        raise UsageError(f"the address is a text, not {url!r}: {_HINT}")
    shown = url.partition("#")[0]
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise UsageError(f'"{shown}" is no address ({error}): {_HINT}') from None
    scheme = _WEB_SOCKET.get(parts.scheme.lower())
    if scheme is None or not host:
        raise UsageError(f'"{shown}" is no address of a server: {_HINT}')
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"an address has no user and no password; give the token as token=…, or as #token=…: {_HINT}")
    if not host.isascii() or not _is_plain(parts):
        raise UsageError(f'"{shown}" has letters that an address cannot have: {_HINT}')
    is_tls = scheme == "wss"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(host, port or (443 if is_tls else 80), path, is_tls, _checked(_in_fragment(parts)))


def _is_plain(parts: SplitResult) -> bool:
    """Whether path and query can stand in a request's first line."""
    return re.fullmatch(r"[\x21-\x7e]*", parts.path + parts.query) is not None


def _in_fragment(parts: SplitResult) -> str:
    """The token in ``#token=…``; the page keeps its view behind it."""
    return next(iter(parse_qs(parts.fragment).get("token", [])), "")


def _checked(token: str) -> str:
    if token and not _TOKEN.fullmatch(token):
        raise UsageError("the token has letters that no token has; copy it anew from the link, behind #token=")
    return token
