"""Rows on their way to the clients that watch the same: the bytes are there once, however many wait for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matrix.server.contract import Frame
from matrix.server.watches.splice import Beginning, Spliced


class Page:
    """A batch that some members of a group have still to be sent.

    Once the first of them has been, there is room for more. Once none of them holds it any longer, its memory is free.
    """

    def __init__(
        self,
        reply: Spliced,
        *,
        rows: int,
        position: str,
        on_taken: Callable[[], None],
        on_free: Callable[[Page], None],
    ) -> None:
        self._reply, self.rows, self.position = reply, rows, position
        self._on_taken, self._on_free = on_taken, on_free
        self.bytes = len(reply.body) + len(reply.arrow)
        self._holders = 0
        self._is_taken = False
        self._frames: tuple[bytes, Sequence[Frame]] = (b"", ())  # those made last, and their beginning

    def hold(self) -> None:
        """One more is to be sent it."""
        self._holders += 1

    def let_go(self, *, was_sent: bool) -> None:
        """One of them was sent it, or will not be any more."""
        self._holders -= 1
        if not self._is_taken and (was_sent or not self._holders):
            self._is_taken = True
            self._on_taken()
        if not self._holders:
            self._on_free(self)

    def frames(self, beginning: Beginning) -> Sequence[Frame]:
        """The reply to one request; clients tend to number theirs alike, so the next one may ask for the same."""
        known, frames = self._frames
        if known != beginning.of("batch"):
            frames = self._reply.frames(beginning, "batch")
            self._frames = beginning.of("batch"), frames
        return frames
