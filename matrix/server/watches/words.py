"""What the server says to a process of watches, and what that says to it.

A *feed* is one watched query at one place in the log, looked at once for everybody who follows it; its number is the
server's choice. Replies come ready for the wire but for their type and
id, which differ from client to client. What is said
about one feed arrives in the order in which it was said.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from matrix.server.contract import Encoding
from matrix.server.pipes import Garbled, Message


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is watched, and in which form its rows are wanted. Equal ones may share everything."""

    text: str
    params: Mapping[str, Any]
    encoding: Encoding
    format: str
    page: int

    @property
    def key(self) -> str:
        """Equal for equal ones; also types count, since 1 and true are not the same value."""
        params = sorted((name, type(value).__name__, repr(value)) for name, value in self.params.items())
        return repr((self.text, params, self.encoding, self.format, self.page))


# -- from the server ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    """Begin a feed: after a position, ``"start"``, or from now on."""

    feed: int
    subscription: Subscription
    after: str | None
    is_slow: bool = False  # its looks took long


@dataclass(frozen=True, slots=True)
class Taken:
    """So much of a feed has been taken by somebody: there is room for more."""

    feed: int
    rows: int
    bytes: int
    pages: int


@dataclass(frozen=True, slots=True)
class Close:
    """Nobody follows the feed any more."""

    feed: int


# -- from the process of watches -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """A feed has begun. The bytes are its schema; ``position`` is where one from now on begins, else None."""

    feed: int
    position: str | None
    arrow_bytes: int


@dataclass(frozen=True, slots=True)
class Rows:
    """The bytes are a ``batch`` without type and id, and then ``arrow_bytes`` that go out in a frame of their own."""

    feed: int
    count: int
    position: str
    arrow_bytes: int


@dataclass(frozen=True, slots=True)
class Noticed:
    """Remarks that are new; ``at_first`` those of the first look, which also says what the store does not have."""

    feed: int
    texts: tuple[str, ...]
    at_first: bool


@dataclass(frozen=True, slots=True)
class Stands:
    """A feed has looked up to ``position`` and told all that is new."""

    feed: int
    position: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A feed stands where another one of the same subscription does: from here on they are that one."""

    feed: int
    into: int


@dataclass(frozen=True, slots=True)
class Moved:
    """A feed goes on in the other process from ``position``."""

    feed: int
    position: str
    is_slow: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A feed's last word: None when its ``limit`` is reached, else the fields of an ``error``."""

    feed: int
    error: Mapping[str, Any] | None


# -- as messages ------------------------------------------------------------------------------------

ToChild: TypeAlias = Open | Taken | Close
ToServer: TypeAlias = Opened | Rows | Noticed | Stands | Joined | Moved | Ended

_TO_SERVER = (Opened, Rows, Noticed, Stands, Joined, Moved, Ended)
_LENGTH = struct.Struct(">I")
WORDS = 1


def pack_for_child(words: Sequence[ToChild]) -> bytes:
    """Several words in one message; a parameter's value is a Python object, and the server is trusted."""
    return pickle.dumps(list(words), protocol=pickle.HIGHEST_PROTOCOL)


def unpack_in_child(body: bytes) -> list[ToChild]:
    """The same words again."""
    words: list[ToChild] = pickle.loads(body)
    return words


def pack_for_server(word: ToServer, rest: bytes = b"") -> tuple[int, bytes]:
    """A word, and bytes that belong to it, as a message: its kind and its body."""
    said = json.dumps([getattr(word, name) for name in word.__slots__]).encode()
    return _TO_SERVER.index(type(word)), b"".join((_LENGTH.pack(len(said)), said, rest))


def unpack_in_server(message: Message) -> tuple[ToServer, bytes]:
    """The word and the bytes again; ``Garbled`` when it is none."""
    try:
        (length,) = _LENGTH.unpack_from(message.body)
        begin = _LENGTH.size + length
        return _TO_SERVER[message.kind](*json.loads(message.body[_LENGTH.size : begin])), message.body[begin:]
    except (struct.error, ValueError, TypeError, IndexError) as error:
        raise Garbled(str(error)) from None
