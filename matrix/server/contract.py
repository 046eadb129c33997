"""What the parts of the server agree on: a request, how it is refused, and how its replies go out.

A ``Session`` reads requests from one connection. Each is answered by an ``Answerer`` in a task of its own, which
sends messages that are already bytes, takes credit for each batch, and either ends with a last reply or raises
``RequestError``. Being cancelled means that the work is to stop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

Encoding: TypeAlias = Literal["json", "cbor"]

#: A frame for the wire: text frames are ``str``, binary ones ``bytes``.
Frame: TypeAlias = str | bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One request, checked: every field is there and of its type."""

    type: str
    id: int | str
    text: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)  # durations and times are `matrix` literals, ready to bind
    format: str = "rows"
    page: int = 1_000
    credit: int = 16
    after: str | None = None
    cursor: int | None = None
    simulation: str | None = None
    one: str = ""
    other: str = ""
    all: bool = False


class RequestError(Exception):
    """A request that ends with an ``error``; ``fields`` are those of the reply besides ``type`` and ``id``."""

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.fields = {"code": code, "message": message, "hint": "", "fix": "", **fields}


class Outlet(Protocol):
    """Where the replies to one request go."""

    encoding: Encoding

    async def send(self, frames: Sequence[Frame], *, is_last: bool = False) -> None:
        """Hand these frames to the connection, side by side; returns when it has taken them.

        ``is_last`` with the last reply: from then on the client may use the id again.
        """

    async def take_credit(self) -> None:
        """Wait until one more batch may be sent, and take that credit."""

    def has_credit(self) -> bool:
        """Whether a batch may be sent at once."""


class Answerer(Protocol):
    """Answers requests of some types."""

    async def answer(self, request: Request, client: object, outlet: Outlet) -> None:
        """Send all replies, the last one included; ``client`` is the same object for all requests of one connection.

        Raises ``RequestError`` for a request that fails. When it is cancelled it stops the work and lets go of it.
        """
