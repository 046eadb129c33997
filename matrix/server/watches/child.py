"""A process of watches: it waits for its log to grow, and lets every feed look that has somebody to look for.

There are two of them. The *quick* one holds feeds at the log's head; the *slow* one those that catch up, and those
whose looks take long. What always holds: the log is followed once each time it has grown, however many feeds there
are; feeds that stand at the same place of the same subscription become one; and what goes wrong in a look ends that
feed alone.

    python -m matrix.server.watches.child STORE quick|slow PULSE
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import MatrixError
from matrix.limits import (
    SERVED_WATCH_BEHIND_S,
    SERVED_WATCH_MEMORY_BYTES,
    SERVED_WATCH_POSITION_S,
    SERVED_WATCH_SLOW_REST_S,
)
from matrix.log.growth import Growth
from matrix.query.round import Round
from matrix.server.pipes import Pipes, ServerGone
from matrix.server.watches.feed import Feed
from matrix.server.watches.pulse import Pulse
from matrix.server.watches.words import (
    Close,
    Ended,
    Joined,
    Moved,
    Noticed,
    Open,
    Opened,
    Stands,
    Taken,
    ToServer,
    pack_for_server,
    unpack_in_child,
)
from matrix.server.work import memory
from matrix.server.work.refusal import is_memory, out_of_memory, refusal
from matrix.watching import LOG_FOLDER, OpenStore, Pace

if TYPE_CHECKING:
    from matrix.query.engine.scan import Source

_ROUND_S = 0.5  # a round ends then: it holds a transaction of the index open
_TROUBLES_MAX = 20  # times in a row that the store cannot be read, before that is told
_TROUBLE_REST_S = 0.05
_JOIN_INTERVAL_S = 0.1  # between two tries to make feeds of the same subscription one


class Lookout:
    """All feeds of one process."""

    def __init__(self, store: Path, pipes: Pipes, pulse: Pulse, *, is_slow: bool) -> None:
        self._store, self._pipes, self._pulse, self._is_slow = store, pipes, pulse, is_slow
        self._growth, self._pace = Growth(store / LOG_FOLDER), Pace()
        self._rests_until = 0.0  # after a round: looks leave the machine its share
        self._grown = 0  # times that the log has been seen to grow
        self._grown_at: deque[float] = deque()  # when, of those that a feed may be late with
        self._grown_long_ago = 0  # those before
        self._opened: OpenStore | None = None
        self._feeds: dict[int, Feed] = {}
        self._heads: dict[str, Feed] = {}  # by subscription: the feed at the head that others join
        self._newcomers: list[Open] = []
        self._stood_at = 0.0  # when positions were told last
        self._troubles = 0  # times in a row that the store could not be read

    def run(self) -> None:
        """Serve until the server ends this process."""
        while True:
            for message in self._pipes.receive_within(*self._rest()):
                for word in unpack_in_child(message.body):
                    self._hear(word)
            if not self._feeds and not self._newcomers:
                continue
            self._glance()
            for feed in list(self._feeds.values()):
                self._guarded(feed, self._send_pages)
            self._welcome()
            self._look_around()
            self._tell_positions()

    def _rest(self) -> tuple[float | None, *tuple[int, ...]]:
        """How long to wait for the server, and which file says that the log may have grown.

        Not at all while there is work, for ever while there is nobody to work for.
        """
        if self._newcomers:
            return (0.0,)
        if not self._feeds:
            return (None,)
        now = time.monotonic()
        if now < self._rests_until:
            return (self._rests_until - now,)
        feeds = self._feeds.values()
        if any(feed.wants_look(now, self._grown) or (feed.has_rows and feed.has_room) for feed in feeds):
            return (0.0,)
        told_by = self._growth.fileno()
        seconds = self._pace.until_glance(is_told=told_by is not None)
        return (seconds,) if told_by is None else (seconds, told_by)

    def _glance(self) -> None:
        """See whether the log has grown, and which of its growth should have been looked at by now."""
        now = time.monotonic()
        if self._growth.has_grown():
            self._grown += 1
            self._grown_at.append(now)
        while self._grown_at and now - self._grown_at[0] > SERVED_WATCH_BEHIND_S:
            self._grown_at.popleft()
            self._grown_long_ago += 1

    def _say(self, word: ToServer, rest: bytes = b"") -> None:
        self._pipes.send(*pack_for_server(word, rest))

    # -- what the server says -----------------------------------------------------------------------

    def _hear(self, word: object) -> None:
        match word:
            case Open():
                self._newcomers.append(word)
            case Taken() if word.feed in self._feeds:
                self._feeds[word.feed].note_taken(word)
            case Close():
                self._newcomers = [open for open in self._newcomers if open.feed != word.feed]
                if word.feed in self._feeds:
                    self._drop(self._feeds[word.feed])

    def _drop(self, feed: Feed) -> None:
        del self._feeds[feed.number]
        if self._heads.get(feed.key) is feed:
            del self._heads[feed.key]

    def _welcome(self) -> None:
        """Newcomers join a feed that is where they begin, or become feeds of their own."""
        newcomers, self._newcomers = self._newcomers, []
        for open in newcomers:
            head = self._heads.get(open.subscription.key)
            # From now on is where a head stands, unless rows that its limit let through count against it.
            if open.after is None and head is not None and head.is_at_head(self._grown) and not head.has_limit:
                self._say(Joined(open.feed, head.number))
                continue
            try:
                feed = Feed(open)
            except Exception as error:
                self._end(open.feed, error)
                continue
            feed.opened_at = time.monotonic()
            self._feeds[feed.number] = feed

    # -- rounds of looks ----------------------------------------------------------------------------

    def _look_around(self) -> None:
        """Let those look that want to, the one that waits longest first."""
        now, cpu = time.monotonic(), time.process_time()
        if now < self._rests_until:
            return
        due = [feed for feed in self._feeds.values() if feed.wants_look(now, self._grown)]
        if not self._is_slow:
            for feed in [feed for feed in due if feed.has_looked and self._is_late(feed)]:
                due.remove(feed)
                self._move(feed, is_slow=feed.is_slow)  # it catches up where nobody quick waits for it
        if not due:
            return
        due.sort(key=lambda feed: feed.looked_at)
        self._pulse.begin_round()
        try:
            with self._round() as source:
                for feed in due:
                    self._guarded(feed, self._look, source)
                    if time.monotonic() - now > _ROUND_S:
                        break
            self._troubles = 0
        except (MatrixError, sqlite3.Error, OSError) as error:
            self._meet(error, due)
        for feed in due:
            if feed.number in self._feeds:
                self._find_place(feed)
        self._rests_until = time.monotonic() + self._pace.after_look((time.process_time() - cpu) * 1e6)

    def _is_late(self, feed: Feed) -> bool:
        return feed.is_behind or feed.seen < self._grown_long_ago

    def _round(self) -> AbstractContextManager[Source]:
        if self._opened is None:
            self._opened = OpenStore(self._store)
        return Round(self._opened)

    def _meet(self, error: Exception, due: list[Feed]) -> None:
        """The store cannot be read, whoever looks: mend what can be mended, try again, or tell of it."""
        self._troubles += 1
        if isinstance(error, sqlite3.Error) and self._opened is not None and self._opened.mend(error):
            return
        if self._troubles < _TROUBLES_MAX and not isinstance(error, MatrixError):
            time.sleep(_TROUBLE_REST_S)  # another process may be about to end what it does
            return
        if self._opened is not None:
            self._opened.close()
        self._opened, self._troubles = None, 0
        for feed in due:
            self._end(feed.number, error)

    def _guarded(self, feed: Feed, act: Callable[..., None], *arguments: object) -> None:
        """Do something for one feed; what goes wrong ends that one."""
        try:
            act(feed, *arguments)
        except (ServerGone, sqlite3.Error, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self._end(feed.number, error)

    def _look(self, feed: Feed, source: Source) -> None:
        is_first, was_behind, begun = not feed.has_looked, feed.is_behind, time.process_time()
        self._pulse.begin_look(feed.number)
        try:
            feed.look(source, time.monotonic(), self._grown)
        finally:
            self._pulse.end_look()
        if is_first:
            schema = feed.shape.schema()
            position = feed.new_position() if feed.begins_now else None
            self._say(Opened(feed.number, position, len(schema.arrow)), schema.body + schema.arrow)
        elif not was_behind and not feed.is_behind:
            feed.note_duration(time.process_time() - begun)  # not what the machine did meanwhile
        if notices := feed.new_notices():
            self._say(Noticed(feed.number, notices, is_first))
        self._send_pages(feed)

    def _send_pages(self, feed: Feed) -> None:
        """What there is room for; and the end, when a limit is reached."""
        while (made := feed.next_page()) is not None:
            rows, reply = made
            self._say(rows, reply.body + reply.arrow)
        if feed.has_looked and feed.watch.is_done and not feed.has_rows:
            self._drop(feed)
            self._say(Ended(feed.number, None))

    # -- places -------------------------------------------------------------------------------------

    def _find_place(self, feed: Feed) -> None:
        """After a look: stay, go to the other process, or become one with another feed."""
        if not feed.is_at_head(self._grown):
            return  # once its rows have left it goes on, or goes to where it can catch up
        now = time.monotonic()
        if not self._is_slow and feed.is_mostly_slow and len(self._feeds) > 1:  # else nobody waits for it
            self._move(feed, is_slow=True)
        elif self._is_slow and not (feed.is_slow and self._has_been_slow(feed, now)):
            self._move(feed, is_slow=False)
        else:
            self._join(feed, now)

    def _has_been_slow(self, feed: Feed, now: float) -> bool:
        return now - max(feed.slow_at, feed.opened_at) < SERVED_WATCH_SLOW_REST_S

    def _move(self, feed: Feed, *, is_slow: bool) -> None:
        """Go on in the other process, behind all that has left."""
        position = feed.watch.position
        assert position is not None and not feed.has_rows, "a feed that has looked stands somewhere"
        self._drop(feed)
        self._say(Moved(feed.number, position, is_slow))

    def _join(self, feed: Feed, now: float) -> None:
        """Become one with the feed of the same subscription that stands at the same place, if there is one."""
        head = self._heads.get(feed.key)
        if head is None or not head.is_at_head(self._grown):
            self._heads[feed.key] = feed
        elif head is not feed and now - feed.tried_at > _JOIN_INTERVAL_S:
            feed.tried_at = now
            if head.watch.position == feed.watch.position:
                self._drop(feed)
                self._say(Joined(feed.number, head.number))

    def _tell_positions(self) -> None:
        """About once a second, where those stand that had nothing to tell for as long."""
        now = time.monotonic()
        if now - self._stood_at < SERVED_WATCH_POSITION_S:
            return
        self._stood_at = now
        for feed in self._feeds.values():
            if feed.has_looked and not feed.has_rows and now - feed.told_at > SERVED_WATCH_POSITION_S:
                position = feed.new_position()
                if position is not None:
                    self._say(Stands(feed.number, position))

    def _end(self, number: int, error: BaseException) -> None:
        """A feed has come to its end by an error."""
        if number in self._feeds:
            self._drop(self._feeds[number])
        if is_memory(error):
            self._say(Ended(number, out_of_memory()))
            return
        found = refusal(error, self._store)
        if found.note:
            logging.getLogger(__name__).error("a watch has failed:\n%s", found.note)
        self._say(Ended(number, found.fields))


def main() -> None:
    """Serve as a child of a server."""
    store, which, descriptor = sys.argv[1:]
    pipes = Pipes()
    memory.allow(SERVED_WATCH_MEMORY_BYTES)
    try:
        Lookout(Path(store), pipes, Pulse(int(descriptor)), is_slow=which == "slow").run()
    except ServerGone:
        return


if __name__ == "__main__":
    main()
