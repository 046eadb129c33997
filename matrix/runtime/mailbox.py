"""Messages, and the mailbox in which they wait.

A mailbox is a bounded queue, first in first out. An agent that is called (reactive) has none of its
own: its messages wait in the scheduler's queue and are only counted here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, overload

if TYPE_CHECKING:

    class _Fields:  # to its reader a message is no tuple: message["price"] is any value, not one of the five below
        seq: int
        kind: str
        sender_id: str
        payload: dict[str, Any]
        time_us: int

else:

    class _Fields(NamedTuple):
        seq: int
        kind: str
        sender_id: str
        payload: dict[str, Any]
        time_us: int


class Message(_Fields):
    """What one agent sent another: an intent, while the event of that ``seq`` is the fact.

    ``sender`` is the sending agent's id (None for the simulation itself); the payload is read with
    ``message["price"]``, ``message.get("price", 0)`` or whole with ``message.data``.
    """

    __slots__ = ()

    @property
    def sender(self) -> str | None:
        """The sending agent's id, None for the simulation itself."""
        return self.sender_id or None

    @property
    def data(self) -> Mapping[str, Any]:
        """The payload, read-only."""
        return MappingProxyType(self.payload)

    @property
    def text(self) -> str | None:
        """The text of a spoken message (``data["text"]``), None when there is none."""
        text = self.payload.get("text")
        return text if isinstance(text, str) else None

    @property
    def time(self) -> float:
        """When it was sent, in virtual seconds."""
        return self.time_us / 1_000_000

    # A named tuple makes the cheapest value object there is (it is made once per message sent);
    # its items by number are of no use to anybody, the payload's by name are.
    def __getitem__(self, name: str) -> Any:
        return self.payload[name]

    def __contains__(self, name: object) -> bool:
        return name in self.payload

    def __iter__(self) -> Iterator[str]:
        return iter(self.payload)

    @overload
    def get(self, name: str) -> Any | None: ...
    @overload
    def get(self, name: str, default: Any) -> Any: ...
    def get(self, name: str, default: Any = None) -> Any:
        """The payload field ``name``, or ``default``."""
        return self.payload.get(name, default)

    def __repr__(self) -> str:
        return f"<Message {self.seq} {self.kind} from {self.sender} {self.payload}>"


class Timer:
    """A timer an agent set with ``self.set_timer``: handed to ``on_timer`` when its time comes.

    ``seq`` is the event under which it was set, which becomes the cause of what it leads to.
    """

    __slots__ = ("data", "is_cancelled", "name", "seq")

    def __init__(self, name: str, data: dict[str, Any], seq: int) -> None:
        self.name, self.data, self.seq = name, data, seq
        self.is_cancelled = False

    def cancel(self) -> None:
        """Let it never ring. Cancelling one that rang already does nothing."""
        self.is_cancelled = True

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __repr__(self) -> str:
        return f"<Timer {self.name} {self.data}>"


class Start:
    """The first item of a called agent that has an ``on_start``."""

    __slots__ = ("seq",)

    def __init__(self, seq: int) -> None:
        self.seq = seq
