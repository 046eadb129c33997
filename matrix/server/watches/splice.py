"""A reply that many clients get: encoded once, with each request's id put in by the server.

>>> reply = spliced(['{"type":"notice","id":0,"text":"ready"}'], "json", "notice")
>>> reply.frames(Beginning("json", "a-7"), "notice")
['{"type":"notice","id":"a-7","text":"ready"}']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matrix.server import replies
from matrix.server.contract import Encoding, Frame


class Beginning:
    """The beginnings of all replies to one request: their type and id, from behind the first byte on.

    The first byte, ``{`` or the head of a CBOR map, says how many fields there are, and belongs to the reply.
    """

    def __init__(self, encoding: Encoding, id: int | str) -> None:
        self.encoding, self._id = encoding, id
        self._made: dict[str, bytes] = {}

    def of(self, type: str) -> bytes:
        """That of a reply of this type."""
        if type not in self._made:
            self._made[type] = _beginning(self.encoding, type, self._id)
        return self._made[type]


@dataclass(frozen=True, slots=True)
class Spliced:
    """A reply without the type and the id; and the Arrow bytes that follow it in a frame of their own, if any."""

    body: bytes
    arrow: bytes = b""

    def frames(self, beginning: Beginning, type: str) -> list[Frame]:
        """The reply to one request."""
        whole = b"".join((self.body[:1], beginning.of(type), memoryview(self.body)[1:]))
        frame: Frame = whole.decode() if beginning.encoding == "json" else whole
        return [frame, self.arrow] if self.arrow else [frame]


def spliced(frames: Sequence[Frame], encoding: Encoding, type: str) -> Spliced:
    """What is left of a reply to the request 0."""
    first = frames[0].encode() if isinstance(frames[0], str) else frames[0]
    beginning = _beginning(encoding, type, 0)
    assert first[1:].startswith(beginning), "type and id come first in every reply"
    arrow = frames[1] if len(frames) > 1 else b""
    assert isinstance(arrow, bytes), "what follows in a frame of its own is bytes"
    return Spliced(first[:1] + first[1 + len(beginning) :], arrow)


def _beginning(encoding: Encoding, type: str, id: int | str) -> bytes:
    whole = replies.message(encoding, {"type": type, "id": id})
    return whole[1:-1].encode() if isinstance(whole, str) else whole[1:]
