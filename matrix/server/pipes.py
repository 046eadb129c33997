"""Messages over the pipes between the server and its child processes, and the child's end of them.

A message is a head of Python values and a body of bytes, which whoever passes it on need not look into. Both ends
are the same program: a head is pickled, and nothing that a client sends is ever unpickled. What always holds in a
child: only messages go out where it was started to write (prints go to standard error), and it ends when the server
does, also in the middle of its work.
"""

from __future__ import annotations

import os
import pickle
import select
import struct
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

_LENGTHS = struct.Struct("<IQ")  # of the pickled head, of the body
_CHUNK_BYTES = 256 * 1024


class Message(NamedTuple):
    """What was said, and bytes that belong to it."""

    head: Any
    body: bytes


def packed(head: Any, body: bytes = b"") -> bytes:
    """A message as bytes."""
    said = pickle.dumps(head, protocol=pickle.HIGHEST_PROTOCOL)
    return b"".join((_LENGTHS.pack(len(said), len(body)), said, body))


class Inbox:
    """Bytes as they come in, whole messages as they go out.

    >>> inbox = Inbox()
    >>> inbox.add(packed({"say": "hello"})[:5]), list(inbox.messages())
    (None, [])
    >>> inbox.add(packed({"say": "hello"})[5:]), list(inbox.messages())
    (None, [Message(head={'say': 'hello'}, body=b'')])
    """

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> None:
        """Bytes that came next."""
        self._bytes += chunk

    def messages(self) -> Iterator[Message]:
        """Those that are complete."""
        while len(self._bytes) >= _LENGTHS.size:
            head_bytes, body_bytes = _LENGTHS.unpack_from(self._bytes)
            begin = _LENGTHS.size + head_bytes
            if len(self._bytes) < begin + body_bytes:
                return
            with memoryview(self._bytes) as view:
                head, body = pickle.loads(view[_LENGTHS.size : begin]), bytes(view[begin : begin + body_bytes])
            del self._bytes[: begin + body_bytes]
            yield Message(head, body)


class ServerGone(Exception):
    """The server's end of the pipes is closed: a child has nothing more to do."""


class Pipes:
    """A child's pipes to the server, taken from its standard input and output."""

    def __init__(self) -> None:
        """Take them: nothing else of this process reads the one or writes to the other from here on."""
        self._reading, self._writing = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        self._inbox = Inbox()
        self._sending = threading.Lock()
        threading.Thread(target=_end_with_the_server, args=(self._reading,), daemon=True).start()

    def receive(self) -> Message:
        """The next message, waited for; ``ServerGone`` when none will come."""
        while True:
            for message in self._inbox.messages():
                return message
            self._read()

    def receive_within(self, seconds: float) -> list[Message]:
        """The messages that are there; if there is none, the first that come within some time."""
        found = list(self._inbox.messages())
        waits = 0.0 if found else seconds
        while select.select([self._reading], [], [], waits)[0]:
            self._read()
            found += self._inbox.messages()
            waits = 0.0
        return found

    def _read(self) -> None:
        chunk = os.read(self._reading, _CHUNK_BYTES)
        if not chunk:
            raise ServerGone
        self._inbox.add(chunk)

    def send(self, head: Any, body: bytes = b"") -> None:
        """Say something; waits while the pipe is full. Any thread may."""
        said = memoryview(packed(head, body))
        with self._sending:
            try:
                while said:
                    said = said[os.write(self._writing, said) :]
            except BrokenPipeError:
                raise ServerGone from None


def _end_with_the_server(reading: int) -> None:
    """End this process when the server's end of a pipe closes, whatever the other threads are doing."""
    poll = select.poll()
    poll.register(reading, 0)  # nothing but the end is reported
    poll.poll()
    os._exit(0)


def limit_memory(data_bytes: int) -> None:
    """Let this process have so much memory of its own, and no more: then what it does fails with ``MemoryError``."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = data_bytes if most == resource.RLIM_INFINITY else min(data_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))
