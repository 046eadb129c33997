"""Requests before any upgrade: heads read within their bounds, and plain answers.

What always holds: a head is parsed by h11 and nothing of it reaches anything else but as it was parsed; a request with
a body is refused, for there is nothing that takes one; every answer forbids the browser to guess, to frame it, and to
load or to run anything that is not this server's own.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

import h11
import trio

_CHUNK_BYTES = 4_096
_KEY_BYTES = 16
_VERSION = "13"
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]+")  # what a policy can name; also in an answer that refuses a Host

_NOTHING_ELSE = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class NotTaken(Exception):
    """A request that is answered with an error: ``answer`` says which."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(str(answer.status))
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What a plain request is answered with."""

    status: int
    body: bytes = b""
    type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(status: int, text: str, **headers: str) -> Answer:
    """An answer that says in a line what is wrong; ``Retry_After`` becomes ``Retry-After``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, f"{status} {HTTPStatus(status).phrase}: {text}\n".encode(), headers=named)


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body: the method, where it goes to, and the headers by their names in lower case."""

    method: str
    target: str
    version: str
    headers: Mapping[str, tuple[str, ...]]
    has_body: bool

    def one(self, name: str) -> str | None:
        """The value of a header; None when it is not there. Raises ``NotTaken`` when it is there twice."""
        values = self.headers.get(name, ())
        if len(values) > 1:
            raise NotTaken(refusal(400, f"{name} is there more than once"))
        return values[0] if values else None

    def words(self, name: str) -> list[str]:
        """The words of a header whose value is a list with commas."""
        return [word.strip() for value in self.headers.get(name, ()) for word in value.split(",") if word.strip()]

    @property
    def path(self) -> str:
        """Where it goes to, without what is asked there."""
        return self.target.partition("?")[0]

    @property
    def is_upgrade(self) -> bool:
        """Whether it asks for a WebSocket."""
        if self.version != "1.1" or "websocket" not in (word.lower() for word in self.words("upgrade")):
            return False
        return "upgrade" in (word.lower() for word in self.words("connection"))


class Requests:
    """The plain requests of one connection, one behind the other."""

    def __init__(self, stream: trio.abc.Stream, *, head_bytes_max: int) -> None:
        self._stream, self._head_bytes_max = stream, head_bytes_max
        self._left = b""  # what came behind the last request
        self._h11 = h11.Connection(h11.SERVER)
        self.has_begun = False  # bytes of a request have come that has not been answered
        self.can_go_on = True  # another request may follow on this connection

    async def next(self) -> Head | None:
        """The next request; None when no more come. Raises ``NotTaken`` for what is none."""
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._head_bytes_max)
        left, self._left = self._left, b""
        if left:
            self._receive(left)
        while True:
            try:
                event = self._h11.next_event()
                if isinstance(event, h11.Request):
                    self._check_version(event)
                    return self._head(event, has_body=type(self._h11.next_event()) is not h11.EndOfMessage)
            except h11.RemoteProtocolError as error:
                self.can_go_on = False
                raise NotTaken(_not_read(error, self._head_bytes_max)) from None
            if event is not h11.NEED_DATA:
                return None
            try:
                self._receive(await self._stream.receive_some(_CHUNK_BYTES))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None

    def _check_version(self, event: h11.Request) -> None:
        if event.http_version not in (b"1.0", b"1.1"):
            self.can_go_on = False
            raise NotTaken(refusal(505, "HTTP/1.1 is spoken here"))

    def _receive(self, data: bytes | bytearray) -> None:
        self.has_begun = self.has_begun or bool(data)
        self._h11.receive_data(bytes(data))

    def _head(self, event: h11.Request, *, has_body: bool) -> Head:
        headers: dict[str, tuple[str, ...]] = {}
        for name, value in event.headers:
            text = value.decode("latin-1")
            headers[name.decode("ascii")] = (*headers.get(name.decode("ascii"), ()), text)
        method, target = event.method.decode("ascii"), event.target.decode("ascii")
        return Head(method, target, event.http_version.decode("ascii"), headers, has_body)

    @property
    def early(self) -> bytes:
        """What has come behind the head of the last request."""
        return self._h11.trailing_data[0]

    async def answer(self, answer: Answer, head: Head | None) -> None:
        """Answer the request that was read last; raises ``trio.BrokenResourceError`` when nobody takes it."""
        self.can_go_on = self.can_go_on and head is not None and not head.has_body
        headers = [
            *_ALWAYS.items(),
            ("Content-Security-Policy", f"{_NOTHING_ELSE}; connect-src 'self' {_own_socket(head)}".rstrip()),
            ("Cache-Control", "no-store"),
            ("Date", formatdate(usegmt=True)),
            *([] if answer.status == HTTPStatus.NOT_MODIFIED else _about_body(answer)),
            *([] if self.can_go_on else [("Connection", "close")]),
        ]
        headers = [(name, value) for name, value in headers if name not in answer.headers] + [*answer.headers.items()]
        data = self._h11.send(h11.Response(status_code=answer.status, headers=headers, reason=_phrase(answer.status)))
        assert data is not None, "only a closed connection gives no bytes"
        if head is None or head.method != "HEAD":
            data += self._h11.send(h11.Data(data=answer.body)) or b""
        data += self._h11.send(h11.EndOfMessage()) or b""
        await self._stream.send_all(data)
        self.has_begun = False
        self.can_go_on = self.can_go_on and self._h11.our_state is h11.DONE
        self._left = self.early if self.can_go_on else b""


def _about_body(answer: Answer) -> list[tuple[str, str]]:
    return [("Content-Type", answer.type), ("Content-Length", str(len(answer.body)))]


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


def _own_socket(head: Head | None) -> str:
    """This server's WebSocket, as a page that came from there calls it: not every browser counts it to 'self'."""
    host = head.headers.get("host", ("",))[0] if head is not None else ""
    return f"ws://{host}" if _HOST.fullmatch(host) else ""


def _not_read(error: h11.RemoteProtocolError, head_bytes_max: int) -> Answer:
    if error.error_status_hint == 431:
        return refusal(431, f"a request's head has at most {head_bytes_max:,} bytes")
    return refusal(400, "this is no HTTP/1.1 request")


# -- the upgrade ----------------------------------------------------------------------------------


def check_upgrade(head: Head) -> None:
    """Refuse an upgrade that WebSocket does not know; raises ``NotTaken``."""
    if head.method != "GET":
        raise NotTaken(refusal(405, "a WebSocket begins with GET", Allow="GET"))
    if head.one("sec-websocket-version") != _VERSION:
        raise NotTaken(refusal(426, "WebSocket's version is 13", Sec_WebSocket_Version=_VERSION))
    try:
        key = base64.b64decode(head.one("sec-websocket-key") or "", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise NotTaken(refusal(400, "Sec-WebSocket-Key is 16 bytes in base64"))


def chosen_subprotocol(head: Head, known: Iterable[str]) -> str | None:
    """The first known subprotocol that the client names; None when it names none. Raises ``NotTaken`` otherwise."""
    named = head.words("sec-websocket-protocol")
    for name in named:
        if name in known:
            return name
    if named:
        raise NotTaken(refusal(400, f"the subprotocols of this server are {' and '.join(known)}"))
    return None


def plain_upgrade(head: Head, subprotocol: str | None) -> bytes:
    """The same request in our own words, and no more than is needed: what the WebSocket library gets to read."""
    headers = {
        "Host": head.one("host") or "",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": _VERSION,
        "Sec-WebSocket-Key": head.one("sec-websocket-key") or "",
    }
    if subprotocol is not None:
        headers["Sec-WebSocket-Protocol"] = subprotocol
    request = h11.Request(method="GET", target="/", headers=list(headers.items()))
    data = h11.Connection(h11.CLIENT).send(request)
    assert data is not None, "a new connection is open"
    return data
