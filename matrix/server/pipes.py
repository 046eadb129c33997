"""Messages over the pipes between the server and its child processes, and the child's end of them.

A message is a mark, its kind, its length and that many bytes. What a child sends is looked at as what comes from
outside, for it may run a user's program: bytes that are no message are an error, never taken for one. What always
holds in a child: only messages go out where it was started to write (prints go to standard error), and it ends when
the server does, also in the middle of its work.
"""

from __future__ import annotations

import os
import select
import struct
import threading
from collections.abc import Iterator
from typing import NamedTuple

from matrix.limits import WORK_MESSAGE_BYTES_MAX

_HEAD = struct.Struct(">4sBI")
_MARK = b"mtx\x01"
_CHUNK_BYTES = 256 * 1024


class Message(NamedTuple):
    """What was said; what the kinds mean is up to those who speak."""

    kind: int
    body: bytes


class Garbled(Exception):
    """Bytes that are no message."""


def packed(kind: int, body: bytes) -> bytes:
    """A message, ready to be written."""
    assert len(body) <= WORK_MESSAGE_BYTES_MAX, "the other side would refuse it"
    return _HEAD.pack(_MARK, kind, len(body)) + body


class Inbox:
    """Puts messages together from the bytes of a pipe.

    >>> inbox = Inbox()
    >>> list(inbox.feed(packed(1, b"hello")[:5])), list(inbox.feed(packed(1, b"hello")[5:]))
    ([], [Message(kind=1, body=b'hello')])
    """

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes | bytearray) -> Iterator[Message]:
        """The messages that are whole now; ``Garbled`` as soon as it shows that these are none."""
        self._bytes += data
        while len(self._bytes) >= _HEAD.size:
            mark, kind, size = _HEAD.unpack_from(self._bytes)
            if mark != _MARK or size > WORK_MESSAGE_BYTES_MAX:
                raise Garbled("no message begins here")
            end = _HEAD.size + size
            if len(self._bytes) < end:
                return
            with memoryview(self._bytes) as view:
                body = bytes(view[_HEAD.size : end])
            del self._bytes[:end]
            yield Message(kind, body)


def take_pipes() -> tuple[int, int]:
    """The two pipes of a child under other numbers; in their place stdin is empty, and stdout is stderr."""
    reading, writing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return reading, writing


def write_all(writing: int, data: bytes | bytearray) -> None:
    """Write all of it; waits while a pipe is full."""
    place = 0
    with memoryview(data) as view:
        while place < len(view):
            place += os.write(writing, view[place:])


class ServerGone(Exception):
    """The server's end of the pipes is closed: a child has nothing more to do."""


class Pipes:
    """A child's pipes to the server, taken from its standard input and output."""

    def __init__(self) -> None:
        """Take them: nothing else of this process reads the one or writes to the other from here on."""
        self._reading, self._writing = take_pipes()
        self._inbox = Inbox()
        self._received: list[Message] = []
        self._sending = threading.Lock()
        threading.Thread(target=_end_with_the_server, args=(self._reading,), daemon=True).start()

    def receive(self) -> Message:
        """The next message, waited for; ``ServerGone`` when none will come."""
        while not self._received:
            self._read()
        return self._received.pop(0)

    def receive_within(self, seconds: float | None, *others: int) -> list[Message]:
        """The messages that are there; if there is none, wait for some, or until one of other files can be read."""
        while True:
            waits = 0.0 if self._received else seconds
            if self._reading not in select.select([self._reading, *others], [], [], waits)[0]:
                break
            self._read()
        found, self._received = self._received, []
        return found

    def _read(self) -> None:
        chunk = os.read(self._reading, _CHUNK_BYTES)
        if not chunk:
            raise ServerGone
        self._received += self._inbox.feed(chunk)

    def send(self, kind: int, body: bytes = b"") -> None:
        """Say something; waits while the pipe is full. Any thread may."""
        with self._sending:
            try:
                write_all(self._writing, packed(kind, body))
            except BrokenPipeError:
                raise ServerGone from None


def _end_with_the_server(reading: int) -> None:
    """End this process when the server's end of a pipe closes, whatever the other threads are doing."""
    poll = select.poll()
    poll.register(reading, 0)  # nothing but the end is reported
    poll.poll()
    os._exit(0)
