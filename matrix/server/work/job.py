"""A piece of work on its way: asked for, waiting, at work, over."""

from __future__ import annotations

import math
from typing import Any

import trio

from matrix.server.work.held import Held
from matrix.server.work.order import Order
from matrix.server.work.spill import Spill
from matrix.server.work.wire import Kind, Message


class Job:
    """One order of one client; whoever asked reads its ``messages``.

    The last of them is FINISHED. There is room for all: how many batches there are is bounded by the order.
    """

    def __init__(self, order: Order, client: object, spill: Spill, held: Held, *, goes_on: bool = False) -> None:
        """``goes_on``: it makes more pages of an answer that was begun."""
        self.order, self.client, self.spill, self.goes_on = order, client, spill, goes_on
        self._held, self._in_hand = held, 0
        self._said, self.messages = trio.open_memory_channel[Message](math.inf)
        self._is_closed = False
        self.asked_at = trio.current_time()
        self.began_at: float | None = None
        self.is_long = False  # it has run for a while, so that others go first
        self.has_said = False  # something of it is on its way to the client: it cannot begin again
        self.has_company = False  # others were at work, or waited, while it was
        self.scope: trio.CancelScope | None = None  # while it is at work
        self.stopped_for = ""  # why it is stopped before its time: "cancel", "room"

    def say(self, message: Message) -> None:
        """Pass on what a working process, or the server in its place, says of it."""
        self.has_said = True
        if not self._is_closed:
            self._held.take(self.client, message.size)
            self._in_hand += message.size
            self._said.send_nowait(message)

    def sent(self, message: Message) -> None:
        """A message is with the client."""
        self._held.give_back(self.client, message.size)
        self._in_hand -= message.size

    def close(self) -> None:
        """Nobody reads its messages any more."""
        self._is_closed = True
        self._held.give_back(self.client, self._in_hand)
        self._in_hand = 0
        self._said.close()
        self.messages.close()

    def fail(self, code: str, message: str, hint: str = "") -> None:
        """It is over, with this error."""
        error = {"code": code, "message": message, "hint": hint, "fix": ""}
        self.say(Message(Kind.FINISHED, [], {"rows": 0, "seconds": 0.0, "retires": False, "error": error}))

    @property
    def progress(self) -> dict[str, Any]:
        """Where it is, for the client."""
        now = trio.current_time()
        if self.began_at is None:
            return {"state": "waiting", "seconds": round(now - self.asked_at, 3)}
        return {"state": "running", "seconds": round(now - self.began_at, 3)}
