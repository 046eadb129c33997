"""What went wrong, as the errors that a local store raises, or as those of a connection; each says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from matrix.errors import (
    ConnectionLost,
    MatrixError,
    QueryError,
    ServerBusy,
    ServerFailed,
    StoreError,
    Unauthorized,
    UsageError,
)

_CLASSES: Final[dict[str, type[MatrixError]]] = {
    "unauthorized": Unauthorized,
    "forbidden": Unauthorized,
    "too-many": ServerBusy,
    "busy": ServerBusy,
    "closing": ConnectionLost,
    "lagged": ConnectionLost,  # with no position to go on from
    "usage": UsageError,
    "store": StoreError,
    "bad-message": ServerFailed,
    "bad-request": ServerFailed,
    "duplicate-id": ServerFailed,
    "internal": ServerFailed,
    "cancelled": ServerFailed,
}
_TOKEN_HINT: Final = (
    "give the token of the link that matrix serve printed: matrix.connect(url, token=…), --token or MATRIX_TOKEN"
)
_TEXT_CHARS_MAX: Final = 10_000  # of a message that is shown


class Lagged(MatrixError):
    """A watch was too slow and has to begin again at ``position``; nobody outside of this room sees it."""

    def __init__(self, position: str) -> None:
        super().__init__("the watch lagged behind")
        self.position = position


def of_reply(reply: Mapping[str, Any], text: str | None = None) -> MatrixError:
    """The error that an ``error`` of the server stands for; ``text`` is the query that it is about.

    >>> of_reply({"code": "busy", "message": "32 queries wait"})
    ServerBusy('32 queries wait')
    """
    code, message = _text(reply, "code"), _text(reply, "message")
    if not code or not message:
        return ServerFailed("the server sent an error that says nothing")
    hint, fix = _text(reply, "hint"), _text(reply, "fix")
    if code == "lagged" and isinstance(reply.get("position"), str):
        return Lagged(reply["position"])
    if code == "unauthorized":
        hint = hint or _TOKEN_HINT
    found = _CLASSES.get(code)
    if found is None and text is not None:
        start, end = _place(reply, text)
        return QueryError(message, code=code, text=text, start=start, end=end, hint=hint, fix=fix)
    return (found or ServerFailed)(f"{message}; {hint}" if hint else message)


def _place(reply: Mapping[str, Any], text: str) -> tuple[int, int]:
    """The place that is meant; the whole text where none is named, as of a query that took too long."""
    start, end = reply.get("start"), reply.get("end")
    if type(start) is not int or type(end) is not int or not 0 <= start <= len(text):
        return 0, len(text)
    return start, min(max(start, end), len(text))


def _text(reply: Mapping[str, Any], name: str) -> str:
    value = reply.get(name)
    return value[:_TEXT_CHARS_MAX] if isinstance(value, str) else ""


def of_status(status: int, body: str, address: object) -> MatrixError:
    """The error for an upgrade that was answered otherwise."""
    said = f" ({body})" if body else ""
    if status == 503:
        return ServerBusy(f"{address}: the server has as many connections as it takes{said}; try again in a while")
    if status in (401, 403):
        return Unauthorized(
            f"{address}: the server refuses connections by that name{said}; matrix serve --host NAME allows another"
        )
    if status == 400:
        return ServerFailed(f"{address}: the server does not speak matrix.v1{said}; is it another version of Matrix?")
    return ServerFailed(f"{address}: what answers there is no server of Matrix (status {status}{said})")


def of_close(code: int, reason: str | None, address: object) -> MatrixError:
    """The error for a connection that the other side closed."""
    said = f": {reason}" if reason else ""
    if code == 1008:
        return ConnectionLost(f"{address}: the server closed the connection for what it was sent{said}")
    if code == 1006:
        return ConnectionLost(f"{address}: the connection broke; ask again")
    return ConnectionLost(f"{address}: the server closed the connection ({code}{said}); ask again")


def again(error: MatrixError) -> MatrixError:
    """The same error, to be raised in another place: each has a traceback of its own."""
    found = type(error).__new__(type(error), *error.args)  # not copy.copy, which calls __init__ with them
    found.__dict__.update(error.__dict__)
    return found
