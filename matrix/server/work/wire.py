"""What the server and a process that works for it say to each other, over the pipes of ``matrix.server.pipes``.

What a working process sends is looked at as what comes from outside: it may run a user's program, and a message that
is none is an error, never taken for one. The other way goes pickle: the server is trusted.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from matrix.server.contract import Frame
from matrix.server.pipes import Garbled, packed

_FRAME = struct.Struct(">?I")


class Kind(IntEnum):
    """What a message is: all are from a working process, but answers to ROOM, orders and STOP."""

    ORDER = 0

    READY = 1  #: it has begun, and can be given work
    FRAMES = 2  #: a reply that takes no credit
    BATCH = 3  #: a reply that takes one
    LAST = 4  #: the last reply
    PLACED = 5  #: a batch that lies in the request's file: ``offset`` and ``size``
    LEFT = 6  #: rows lie in the request's file; those from ``row`` on, counted there, are still to be sent
    ROOM = 7  #: may it write ``bytes`` more to that file? It waits for the answer
    NOTED = 8  #: a ``text`` for the server's diagnostics
    FINISHED = 9  #: the order is done, and nothing more comes of it
    STOP = 10  #: nobody waits for the order any more


_FIELDS: dict[Kind, dict[str, type | tuple[type, ...]]] = {
    # what a working process may say, besides frames
    Kind.READY: {},
    Kind.PLACED: {"offset": int, "size": int},
    Kind.LEFT: {"row": int},
    Kind.ROOM: {"bytes": int},
    Kind.NOTED: {"text": str},
    Kind.FINISHED: {"rows": int, "seconds": (int, float), "retires": bool, "error": (dict, type(None))},
}


class Message(NamedTuple):
    """A message as it came, looked at: frames for the client, or fields for the server."""

    kind: Kind
    frames: list[Frame]
    fields: dict[str, Any]

    @property
    def size(self) -> int:
        """About how many bytes its frames hold."""
        return sum(map(len, self.frames))


def pack_frames(frames: Sequence[Frame]) -> bytes:
    """Frames as one body; text keeps being text."""
    parts = []
    for frame in frames:
        data = frame.encode() if isinstance(frame, str) else frame
        parts += [_FRAME.pack(isinstance(frame, str), len(data)), data]
    return b"".join(parts)


def unpack_frames(body: bytes) -> list[Frame]:
    """The frames of a body; ``Garbled`` when it is not one."""
    frames: list[Frame] = []
    place = 0
    try:
        while place < len(body):
            is_text, size = _FRAME.unpack_from(body, place)
            place += _FRAME.size
            data = body[place : place + size]
            if len(data) != size:
                raise Garbled("a frame is cut short")
            frames.append(data.decode() if is_text else data)
            place += size
    except (struct.error, UnicodeDecodeError) as error:
        raise Garbled(str(error)) from None
    return frames


def message_of(number: int, body: bytes) -> Message:
    """A message from a working process; ``Garbled`` when it is none."""
    try:
        kind = Kind(number)
        if kind in (Kind.FRAMES, Kind.BATCH, Kind.LAST):
            return Message(kind, unpack_frames(body), {})
        expected = _FIELDS[kind]
        fields = json.loads(body)
    except (ValueError, KeyError, RecursionError) as error:
        raise Garbled(str(error)) from None
    if not isinstance(fields, dict) or not all(isinstance(fields.get(n), t) for n, t in expected.items()):
        raise Garbled(f"{kind.name} lacks a field")
    return Message(kind, [], fields)


def packed_fields(kind: Kind, **fields: Any) -> bytes:
    """A message of fields, ready to be written."""
    return packed(kind, json.dumps(fields, default=str).encode())
