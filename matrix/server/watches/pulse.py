"""What a process of watches is at, readable by the server at any moment: also while it hangs, and when it has died.

A few numbers in memory that both have; writing them costs next to nothing, so each look is noted.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from typing import NamedTuple

_NUMBERS = struct.Struct("<QQQQ")
_NS = 1_000_000_000


class Beat(NamedTuple):
    """The feed that is being looked at (0: none) and since when; how many looks and rounds there have been."""

    feed: int
    begun_ns: int
    looks: int
    rounds: int

    @property
    def seconds(self) -> float:
        """How long the look has taken so far."""
        return (time.monotonic_ns() - self.begun_ns) / _NS if self.feed else 0.0


class Pulse:
    """The numbers: the server makes them with ``new``, its child opens them by their descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _NUMBERS.size)

    @classmethod
    def new(cls) -> Pulse:
        """Numbers that all are 0, in a file that has no name."""
        with tempfile.TemporaryFile() as file:
            file.write(bytes(_NUMBERS.size))  # a hole would be a fault of memory where the disk is full
            file.flush()
            return cls(os.dup(file.fileno()))

    def close(self) -> None:
        """Let go of them."""
        self._memory.close()
        os.close(self.descriptor)

    # -- the child -------------------------------------------------------------------------------

    def begin_round(self) -> None:
        """Another round of looks begins."""
        self._write(self.read()._replace(rounds=self.read().rounds + 1))

    def begin_look(self, feed: int) -> None:
        """A look at a feed begins."""
        self._write(self.read()._replace(feed=feed, begun_ns=time.monotonic_ns()))

    def end_look(self) -> None:
        """It is over."""
        beat = self.read()
        self._write(Beat(0, 0, beat.looks + 1, beat.rounds))

    def _write(self, beat: Beat) -> None:
        _NUMBERS.pack_into(self._memory, 0, *beat)

    # -- both ------------------------------------------------------------------------------------

    def read(self) -> Beat:
        """What is going on."""
        return Beat(*_NUMBERS.unpack_from(self._memory))
