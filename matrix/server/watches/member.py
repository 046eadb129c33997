"""One client's watch: what waits to be sent to it, and how long it may let that wait.

What always holds: a row is sent once, in order; ``position`` is behind the last one that the connection has taken;
what waits here is bounded, since whoever holds a full queue is given nothing more but what it asks for anew, from its
position on, when it has emptied.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import trio

from matrix.limits import SERVED_WATCH_BYTES_MAX, SERVED_WATCH_ROWS_MAX, SERVED_WATCH_SEND_BYTES
from matrix.server import replies
from matrix.server.contract import Frame, Outlet, RequestError
from matrix.server.watches.page import Page
from matrix.server.watches.splice import Beginning, Spliced
from matrix.server.watches.words import Subscription

if TYPE_CHECKING:
    from matrix.server.watches.group import Group

_LAGGED = "rows wait, as many as may, and none was taken for too long"
_LAGGED_HINT = 'go on with "after": the position, and grant credit as rows come'
_Waiting: TypeAlias = Page | Sequence[Frame]


class Member:
    """One ``watch`` request on its way."""

    def __init__(
        self, subscription: Subscription, id: int | str, outlet: Outlet, *, after: str | None, lag_s: float
    ) -> None:
        self.subscription, self._outlet, self._lag_s = subscription, outlet, lag_s
        self._id, self._beginning = id, Beginning(outlet.encoding, id)
        self.group: Group | None = None
        self.position = after
        self.rows = 0
        self.has_begun = False
        self.on_drained: Callable[[], None] | None = None  # once, when nothing waits any more
        self._begun_at = time.monotonic()
        self._waiting: deque[_Waiting] = deque()
        self._waiting_rows = self.waiting_bytes = 0
        self._wake = trio.Event()
        self._patience = trio.CancelScope()
        self._notices: set[str] = set()
        self._has_ended = False
        self._error: Mapping[str, Any] | None = None

    # -- what there is to send ----------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether so much waits that nothing may be added."""
        return self._waiting_rows >= SERVED_WATCH_ROWS_MAX or self.waiting_bytes >= SERVED_WATCH_BYTES_MAX

    def begin(self, schema: Spliced, position: str | None) -> None:
        """The first reply; and from where on rows will come, if that is not what the client said itself."""
        if self.has_begun:
            return
        self.has_begun = True
        self._add(schema.frames(self._beginning, "schema"))
        if position is not None and self.position is None:
            self.position = position
            self._add([self._message("position", position=position)])

    def add_notices(self, texts: Sequence[str]) -> None:
        """Remarks; each is made once."""
        for text in texts:
            if text not in self._notices:
                self._notices.add(text)
                self._add([self._message("notice", text=text)])

    def add_position(self, position: str) -> None:
        """How far the watch has looked; of no use to a client that has rows before it still to come."""
        if not self._waiting_rows:
            self.position = position
        if not self._waiting:  # nor are old ones of use to a client that does not read
            self._add([self._message("position", position=position)])

    def add_page(self, page: Page) -> None:
        """Rows."""
        page.hold()
        self._waiting_rows += page.rows
        self.waiting_bytes += page.bytes
        self._add(page)
        self._set_patience(has_taken=False)

    def end(self, error: Mapping[str, Any] | None) -> None:
        """The last reply follows what waits; an error does not wait for a client that grants nothing."""
        self._has_ended, self._error = True, error
        self._wake.set()
        if error is not None and self._waiting_rows and not self._outlet.has_credit():
            self._patience.cancel()

    def give_up(self) -> None:
        """End it as one that lags."""
        self._patience.cancel()

    def let_go(self) -> None:
        """Of all that waits: nothing of it will be sent."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if isinstance(waiting, Page):
                waiting.let_go(was_sent=False)

    def _add(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._wake.set()

    def _message(self, type: str, **fields: Any) -> Frame:
        return replies.message(self._outlet.encoding, {"type": type, "id": self._id, **fields})

    # -- sending ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what comes, the last reply included; raises ``RequestError`` when that is an error."""
        with self._patience:
            while self._waiting or not self._has_ended:
                if not self._waiting:
                    self._note_drained()
                    self._wake = trio.Event()
                    await self._wake.wait()
                elif isinstance(self._waiting[0], Page):
                    if self._error is not None and not self._outlet.has_credit():
                        break  # an error waits for nobody
                    await self._send_pages()
                else:
                    await self._outlet.send(self._waiting[0])
                    self._waiting.popleft()
        place = {} if self.position is None else {"position": self.position}
        if self._error is not None:
            raise RequestError(**{**place, **self._error})
        if self._patience.cancelled_caught:
            raise RequestError("lagged", _LAGGED, **{"hint": _LAGGED_HINT, **place})
        seconds = round(time.monotonic() - self._begun_at, 6)
        await self._outlet.send([self._message("done", rows=self.rows, seconds=seconds)], is_last=True)

    def _note_drained(self) -> None:
        on_drained, self.on_drained = self.on_drained, None
        if on_drained is not None:
            on_drained()

    async def _send_pages(self) -> None:
        """The pages in front for which there is credit; the first one waits until there is."""
        pages: list[Page] = []
        frames: list[Frame] = []
        size = 0
        while len(pages) < len(self._waiting) and size < SERVED_WATCH_SEND_BYTES:
            page = self._waiting[len(pages)]
            if not isinstance(page, Page) or (pages and not self._outlet.has_credit()):
                break
            await self._outlet.take_credit()
            pages.append(page)
            frames += page.frames(self._beginning)
            size += page.bytes
        await self._outlet.send(frames)
        for page in pages:
            self._waiting.popleft()
            self._waiting_rows -= page.rows
            self.waiting_bytes -= page.bytes
            self.rows += page.rows
            self.position = page.position
            page.let_go(was_sent=True)
        self._set_patience(has_taken=True)

    def _set_patience(self, *, has_taken: bool) -> None:
        """While as much waits as may, the client has so long to take something of it."""
        if not self.is_full:
            self._patience.deadline = math.inf
        elif has_taken or self._patience.deadline == math.inf:
            self._patience.deadline = trio.current_time() + self._lag_s
