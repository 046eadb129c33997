"""A watch as its process has it: what its last look told, page by page, as long as there is room for more.

What always holds: nothing is looked for while rows of the look before still wait here, and a page leaves only while
those that nobody has taken yet are fewer than the limits say. So what a client does not take waits in the log.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from matrix.limits import (
    SERVED_WATCH_BATCH_BYTES,
    SERVED_WATCH_BYTES_MAX,
    SERVED_WATCH_ROWS_MAX,
    SERVED_WATCH_SLOW_LOOK_S,
    SERVED_WATCH_SLOW_LOOKS_MAX,
    SERVED_WATCH_UNTAKEN_S,
)
from matrix.query import syntax as q
from matrix.query.watch import Told, Watch
from matrix.server.watches.shape import Shape
from matrix.server.watches.splice import Spliced
from matrix.server.watches.words import Open, Rows, Taken

if TYPE_CHECKING:
    from matrix.query.engine.scan import Source
    from matrix.query.result import Result

_LOOKS_REMEMBERED = 16
_PAGES_UNTAKEN_MAX = 2  # while more wait, looks are seldom: what comes is then told in fewer, larger pages


class Feed:
    """One watched query at its place in the log."""

    def __init__(self, open: Open) -> None:
        """Raises ``QueryError`` for what cannot be watched, ``UsageError`` for a place that is not one of it."""
        subscription = open.subscription
        self.number, self.key, self.is_slow = open.feed, subscription.key, open.is_slow
        self.watch = Watch(subscription.text, subscription.params, after=open.after)
        self.has_limit = any(isinstance(stage, q.Limit) for stage in self.watch.query.stages)
        self.begins_now = open.after is None
        self.shape = Shape(subscription, self.watch.query.columns)
        self.has_looked = False
        self.seen = -1  # the growth of the log that the last look saw
        self.looked_at = 0.0  # when that was
        self.slow_at = 0.0  # when a look took long last
        self.told_at = 0.0  # when a page left last
        self.opened_at = 0.0  # when the feed came into this process
        self.tried_at = 0.0  # when it tried to become one with another
        self._stood_at: str | None = None  # the position told last
        self._page_rows = subscription.page
        self._told: Told | None = None
        self._place = 0  # rows of it that have left
        self._untaken = Taken(open.feed, 0, 0, 0)
        self._noticed = 0
        self._were_slow: deque[bool] = deque(maxlen=_LOOKS_REMEMBERED)

    # -- room -------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether another page may leave."""
        return self._untaken.rows < SERVED_WATCH_ROWS_MAX and self._untaken.bytes < SERVED_WATCH_BYTES_MAX

    @property
    def has_rows(self) -> bool:
        """Whether rows of the last look have not left yet."""
        return self._told is not None

    def note_taken(self, taken: Taken) -> None:
        """So much has been taken."""
        self._count(-taken.rows, -taken.bytes, -taken.pages)

    def _count(self, rows: int, bytes: int, pages: int) -> None:
        now = self._untaken
        self._untaken = Taken(self.number, now.rows + rows, now.bytes + bytes, now.pages + pages)

    # -- looking ----------------------------------------------------------------------------------

    def wants_look(self, now: float, grown: int) -> bool:
        """Whether there may be something new, and somebody who takes it."""
        if self.has_rows or not self.has_room or (self.seen == grown and not self.is_behind):
            return False
        return self._untaken.pages < _PAGES_UNTAKEN_MAX or now - self.looked_at >= SERVED_WATCH_UNTAKEN_S

    @property
    def is_behind(self) -> bool:
        """Whether the last look stopped on its way to the log's end."""
        return self.watch.is_behind

    def is_at_head(self, grown: int) -> bool:
        """Whether all that is written has been seen and has left."""
        return self.has_looked and self.seen == grown and not self.is_behind and not self.has_rows

    def look(self, source: Source, now: float, grown: int) -> None:
        """What is new, from now on page by page."""
        told = self.watch.look(source)
        self._told, self._place = (told if len(told) else None), 0
        self.has_looked, self.seen, self.looked_at = True, grown, now

    def note_duration(self, seconds: float) -> None:
        """How long a look took that had little to catch up with."""
        is_slow = seconds > SERVED_WATCH_SLOW_LOOK_S
        self._were_slow.append(is_slow)
        if is_slow:
            self.slow_at = self.looked_at

    @property
    def is_mostly_slow(self) -> bool:
        """Whether looks take so long that others should not wait for them."""
        return sum(self._were_slow) >= SERVED_WATCH_SLOW_LOOKS_MAX

    def new_notices(self) -> tuple[str, ...]:
        """Remarks that came since this was asked last."""
        found = tuple(self.watch.notices[self._noticed :])
        self._noticed += len(found)
        return found

    def new_position(self) -> str | None:
        """Where the feed stands, if that was not asked before."""
        position = self.watch.position
        if position == self._stood_at:
            return None
        self._stood_at = position
        return position

    # -- pages ------------------------------------------------------------------------------------

    def next_page(self) -> tuple[Rows, Spliced] | None:
        """The next rows, while there are some and there is room for them."""
        told = self._told
        if told is None or not self.has_room:
            return None
        part = _small_enough(told.result.part(self._place, self._page_rows))
        first, self._place = told.first + self._place, self._place + len(part)
        position = f"{told.stem}.{first + len(part) - 1}"
        if self._place == len(told):
            position, self._told = told.position, None
        reply = self.shape.batch(part, position=position, stem=told.stem, first=first)
        self._count(len(part), len(reply.body) + len(reply.arrow), 1)
        self.told_at = self.looked_at
        return Rows(self.number, len(part), position, len(reply.arrow)), reply


def _small_enough(part: Result) -> Result:
    """As many of these rows as a batch has room for, one at least."""
    while len(part) > 1 and part.table.nbytes > SERVED_WATCH_BATCH_BYTES:
        part = part.part(0, len(part) // 2)
    return part
