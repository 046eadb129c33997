"""Sockets: one port on several addresses, and closing so that the other side can read what was said last."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

import trio

from matrix.errors import UsageError

LOOPBACK = ("127.0.0.1", "::1")
ANY = {"0.0.0.0": ("0.0.0.0",), "::": ("0.0.0.0", "::")}
_NO_IPV6 = frozenset((errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT))
_TRIES_MAX = 32  # ports that are tried when any will do
_DROPPED_BYTES_MAX = 4 * 1024 * 1024  # read and dropped of a client that is refused
_BACKLOG = 128


async def listen(host: str | None, port: int) -> list[trio.SocketListener]:
    """Listen at one port of this machine's loopback addresses, and of ``host``; port 0 takes one that is free.

    Raises ``UsageError`` when the port is taken, or ``host`` is no address of this machine.
    """
    addresses = await _addresses(host)
    for left in range(_TRIES_MAX if port == 0 else 1)[::-1]:
        try:
            return _listen_at(addresses, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and left:
                continue  # free at the first address, taken at another
            raise UsageError(_trouble(error, host, port)) from None
    raise AssertionError("the last try returns or raises")


async def _addresses(host: str | None) -> list[str]:
    if host is None:
        return list(LOOPBACK)
    if host in ANY:
        return list(ANY[host])
    try:
        found = await trio.socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UsageError(f'there is no address for the host "{host}"') from None
    return [*dict.fromkeys((*LOOPBACK, *(str(address[0]) for *_, address in found)))]


def _listen_at(addresses: Sequence[str], port: int) -> list[trio.SocketListener]:
    listeners: list[trio.SocketListener] = []
    try:
        for address in addresses:
            try:
                listeners.append(trio.SocketListener(trio.socket.from_stdlib_socket(_listening(address, port))))
            except OSError as error:
                if ":" not in address or not listeners or error.errno not in _NO_IPV6:
                    raise
                continue  # no IPv6 on this machine
            port = listeners[0].socket.getsockname()[1]
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _trouble(error: OSError, host: str | None, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: another server runs there; another port, or 0 for any that is free, will do"
    if error.errno == errno.EACCES:
        return f"port {port} is not for this user; ports from 1024 on are"
    return f'cannot listen at port {port} of "{host or LOOPBACK[0]}": {error.strerror}'


async def linger(stream: trio.abc.HalfCloseableStream, linger_s: float) -> None:
    """Say that nothing more comes, and drop what still comes for a moment.

    A socket that is closed with unread bytes resets the connection, and what was said last may be lost with it.
    """
    with trio.move_on_after(linger_s):
        try:
            await stream.send_eof()
            dropped = 0
            while dropped < _DROPPED_BYTES_MAX and (data := await stream.receive_some(65_536)):
                dropped += len(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            return  # it is gone, or somebody else reads it
