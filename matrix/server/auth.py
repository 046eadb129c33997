"""Who may come in: tokens and what each allows, and the rules for ``Host`` and ``Origin``.

What always holds: a token is compared by its digest, in constant time, with every token that there is; what it allows
is known here and nowhere else; a page of another site reaches nothing, whether it says where it is from (``Origin``)
or has its own name resolve to this machine (``Host``).
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal
from urllib.parse import urlsplit

import trio

from matrix.errors import UsageError
from matrix.limits import SERVE_TOKEN_BYTES, SERVE_TOKEN_CHARS_MAX, SERVE_TOKEN_CHARS_MIN
from matrix.server.sockets import ANY

Scope = Literal["read", "control"]
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_FAILURE_WINDOW_S = 60.0
_PORT_OF_HTTP = 80


@dataclass(frozen=True, slots=True)
class Pass:
    """What a right token allows; ``name`` tells the tokens apart where connections are counted."""

    name: str
    scopes: tuple[Scope, ...]


READ = Pass("read", ("read",))
CONTROL = Pass("control", ("read", "control"))


class Keys:
    """The tokens of one start of a server."""

    def __init__(self, token: str | None = None, control_token: str | None = None) -> None:
        """None: a token is made. Raises ``UsageError`` for one that is too easily guessed."""
        self.token = _checked("token", token)
        self.control_token = _checked("control_token", control_token)
        if self.token == self.control_token:
            raise UsageError("token and control_token are the same; then nobody could be given reading alone")
        self._passes = [(_digest(self.token), READ), (_digest(self.control_token), CONTROL)]

    def __repr__(self) -> str:
        return "Keys(…)"  # tokens are in no log

    def allowed(self, token: str) -> Pass | None:
        """What a token allows; None when it is not one of these."""
        given, found = _digest(token), None
        for digest, allowed in self._passes:  # all of them, so that the time says nothing
            if hmac.compare_digest(given, digest):
                found = allowed
        return found


def _checked(name: str, token: str | None) -> str:
    if token is None:
        return secrets.token_urlsafe(SERVE_TOKEN_BYTES)
    if not re.fullmatch(f"[!-~]{{{SERVE_TOKEN_CHARS_MIN},{SERVE_TOKEN_CHARS_MAX}}}", token):
        raise UsageError(
            f"{name} has {len(token)} characters; it is {SERVE_TOKEN_CHARS_MIN} to {SERVE_TOKEN_CHARS_MAX:,} letters, "
            "digits and signs, without spaces. Leave it out, and one is made"
        )
    return token


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


class Failures:
    """Wrong tokens of the last minute: when there were too many, each further try waits."""

    def __init__(self, failures_max: int, delay_s: float) -> None:
        self._times: deque[float] = deque(maxlen=failures_max)
        self._failures_max, self._delay_s = failures_max, delay_s

    def count(self) -> None:
        """A token was wrong."""
        self._times.append(trio.current_time())

    async def wait(self) -> None:
        """Before a try is answered, be it right or wrong: whoever guesses would know from the haste."""
        if len(self._times) == self._failures_max and self._times[0] > trio.current_time() - _FAILURE_WINDOW_S:
            await trio.sleep(self._delay_s)


class Names:
    """What this server is called: the names that ``Host`` may have, and where pages may come from."""

    def __init__(self, port: int, host: str | None = None, origins: Iterable[str] = ()) -> None:
        """``origins`` are allowed besides the server's own. Raises ``UsageError`` for what is no origin."""
        self._port = port
        names = {*LOOPBACK_NAMES} | ({bracketed(host)} if host is not None and host not in ANY else set())
        self._hosts = {at for name in names for at in self._at(name)}
        self._origins = {f"http://{at}" for at in self._hosts} | {_origin(origin) for origin in origins}

    def is_host(self, host: str, address: str) -> bool:
        """Whether ``Host`` names this server.

        An address is right also when it is the one that the client has connected to, as it is with ``--host 0.0.0.0``:
        another site can have a name that leads here, but no page has an address for its name.
        """
        return host.lower() in self._hosts or host.lower() in self._at(bracketed(address))

    def is_origin(self, origin: str, host: str) -> bool:
        """Whether a page from there may ask, at a ``Host`` that is right: from this very server, or an allowed one."""
        return origin == f"http://{host.lower()}" or origin in self._origins

    def _at(self, name: str) -> tuple[str, ...]:
        full = f"{name.lower()}:{self._port}"
        return (full, name.lower()) if self._port == _PORT_OF_HTTP else (full,)


def bracketed(host: str) -> str:
    """A name or an address as it stands in a URL.

    >>> bracketed("::1"), bracketed("127.0.0.1"), bracketed("::ffff:127.0.0.1")
    ('[::1]', '127.0.0.1', '127.0.0.1')
    """
    host = host.removeprefix("::ffff:") if "." in host else host
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or text != f"{parts.scheme}://{parts.netloc}":
        raise UsageError(f'"{text}" is no origin; one is "https://example.org" or "http://localhost:5173", and no more')
    return text
