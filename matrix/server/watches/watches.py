"""All watches of a server: who joins whom, who goes on alone, and in which of two processes.

What always holds: looks run in processes of their own, and this one passes their bytes on. Every watch gets each of
its rows once, in order, whatever becomes of those processes, of other watches, or of its own place among them.

    client --watch--> Member --of a--> Group --open in a--> Keeper --pipes--> child: Feed, looks
                        ^                                                            |
                        +------------- pages, to each member ------------------------+
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from matrix.limits import SERVED_WATCH_LAG_S, SERVED_WATCH_LOOK_S, SERVED_WATCHES_BYTES_MAX, SERVED_WATCHES_MAX
from matrix.server.contract import Outlet, Request, RequestError
from matrix.server.watches.group import Group
from matrix.server.watches.keeper import Keeper
from matrix.server.watches.member import Member
from matrix.server.watches.page import Page
from matrix.server.watches.splice import Spliced
from matrix.server.watches.words import (
    Ended,
    Joined,
    Moved,
    Noticed,
    Opened,
    Rows,
    Stands,
    Subscription,
    Taken,
    ToServer,
)


@dataclass(frozen=True, slots=True)
class WatchStatistics:
    """What the watches of a server do, and have done since it began."""

    watches: int
    groups: int
    looks: int
    rows: int
    lagged: int
    restarts: int
    waiting_bytes: int


class Watches:
    """Answers ``watch``.

    >>> watches = Watches(Path("runs"))                                      # doctest: +SKIP
    >>> await nursery.start(watches.run)                                     # doctest: +SKIP
    >>> await watches.answer(request, client, outlet)                        # doctest: +SKIP
    """

    def __init__(
        self,
        store: Path,
        *,
        watches_max: int = SERVED_WATCHES_MAX,
        bytes_max: int = SERVED_WATCHES_BYTES_MAX,
        lag_s: float = SERVED_WATCH_LAG_S,
        look_s: float = SERVED_WATCH_LOOK_S,
    ) -> None:
        self._watches_max, self._bytes_max, self._lag_s = watches_max, bytes_max, lag_s
        self._quick = Keeper(store, "quick", self._hear_quick, look_s=look_s)
        self._slow = Keeper(store, "slow", self._hear_slow, look_s=look_s)
        self._members: set[Member] = set()
        self._waiting_bytes = 0
        self._rows = self._lagged = 0
        self._is_running = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; then the processes are gone, and every watch has ended."""
        self._is_running = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._quick.run)
                nursery.start_soon(self._slow.run)
                task_status.started()
        finally:
            self._is_running = False
            for member in self._members:
                member.end(_CLOSING)

    def statistics(self) -> WatchStatistics:
        """How things stand."""
        return WatchStatistics(
            watches=len(self._members),
            groups=len(self._quick.groups) + len(self._slow.groups),
            looks=self._quick.looks + self._slow.looks,
            rows=self._rows + sum(member.rows for member in self._members),
            lagged=self._lagged,
            restarts=self._quick.restarts + self._slow.restarts,
            waiting_bytes=self._waiting_bytes,
        )

    @property
    def pids(self) -> list[int]:
        """The processes there are."""
        return [keeper.pid for keeper in (self._quick, self._slow) if keeper.pid is not None]

    # -- requests ------------------------------------------------------------------------------------

    async def answer(self, request: Request, client: object, outlet: Outlet) -> None:
        """Send rows as they come, until a limit is reached or the client has enough."""
        if not self._is_running:
            raise RequestError(**_CLOSING)
        if len(self._members) >= self._watches_max:
            raise RequestError("busy", f"there are {self._watches_max} watches already", hint="try again in a while")
        subscription = Subscription(request.text, request.params, outlet.encoding, request.format, request.page)
        member = Member(subscription, request.id, outlet, after=request.after, lag_s=self._lag_s)
        self._members.add(member)
        self._open([member], after=request.after)
        try:
            await member.run()
        except RequestError as error:
            self._lagged += error.fields["code"] == "lagged"
            raise
        finally:
            self._members.discard(member)
            self._rows += member.rows
            self._leave(member)

    def _open(self, members: list[Member], *, after: str | None) -> None:
        """A feed for these: at the head among the quick ones, else it has to catch up first."""
        group = Group(members[0].subscription, members, after=after)
        for keeper in (self._quick, self._slow):
            keeper.need()
        (self._quick if after is None else self._slow).open(group)

    def _leave(self, member: Member) -> None:
        member.let_go()
        group, member.group = member.group, None
        if group is None:
            return
        group.members.remove(member)
        if not group.members:
            self._keeper_of(group).close(group)

    def _keeper_of(self, group: Group) -> Keeper:
        return self._quick if group.number in self._quick.groups else self._slow

    # -- what the processes say ------------------------------------------------------------------------

    def _hear_quick(self, group: Group, word: ToServer, rest: bytes) -> None:
        self._hear(self._quick, self._slow, group, word, rest)

    def _hear_slow(self, group: Group, word: ToServer, rest: bytes) -> None:
        self._hear(self._slow, self._quick, group, word, rest)

    def _hear(self, keeper: Keeper, other: Keeper, group: Group, word: ToServer, rest: bytes) -> None:
        match word:
            case Opened():
                group.begin(_spliced(rest, word.arrow_bytes), word.position)
            case Rows():
                self._pass_on(keeper, group, word, rest)
            case Noticed():
                group.add_notices(word.texts, at_first=word.at_first)
            case Stands():
                group.add_position(word.position)
            case Joined():
                del keeper.groups[word.feed]
                into = keeper.groups.get(word.into)
                if into is None:  # everybody has just left it
                    keeper.open(group)
                else:
                    into.take_in(group)
            case Moved():
                del keeper.groups[word.feed]
                group.position, group.is_slow = word.position, word.is_slow
                other.open(group)
            case Ended():
                del keeper.groups[word.feed]
                group.end(word.error)

    def _pass_on(self, keeper: Keeper, group: Group, word: Rows, rest: bytes) -> None:
        """Rows to everybody who watches them; who has no room goes on alone when it has."""
        reply = _spliced(rest, word.arrow_bytes)
        taken = partial(keeper.note_taken, Taken(word.feed, word.count, len(rest), 1))
        page = Page(reply, rows=word.count, position=word.position, on_taken=taken, on_free=self._note_free)
        self._waiting_bytes += page.bytes
        for member in group.add_page(page):
            member.on_drained = partial(self._open, [member], after=group.position)
        group.position = word.position
        if self._waiting_bytes > self._bytes_max:
            max(self._members, key=lambda member: member.waiting_bytes).give_up()

    def _note_free(self, page: Page) -> None:
        self._waiting_bytes -= page.bytes


def _spliced(rest: bytes, arrow_bytes: int) -> Spliced:
    end = len(rest) - arrow_bytes
    return Spliced(rest[:end], rest[end:])


_CLOSING = {"code": "closing", "message": "the server ends", "hint": "go on from your position in a while", "fix": ""}
