"""Keeps a process of watches alive: speaks to it, sees what it is at, and starts another when it ends.

What always holds: each group that is open here has a feed in the process, or will have as soon as there is one; a
process that hangs in a look is ended; and a new one goes on with every feed from the last row that came out of the
old one, except where that feed was to blame too often.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count
from pathlib import Path

import trio

from matrix.limits import (
    SERVED_WATCH_CRASHES_MAX,
    SERVED_WATCH_DEATHS_MAX,
    SERVED_WATCH_GLANCE_S,
    SERVED_WATCH_LOOK_S,
    SERVED_WATCH_RESTART_S,
)
from matrix.server.children import Child, ChildGone
from matrix.server.pipes import Garbled
from matrix.server.watches.group import Group
from matrix.server.watches.pulse import Beat, Pulse
from matrix.server.watches.words import (
    WORDS,
    Close,
    Open,
    Taken,
    ToChild,
    ToServer,
    pack_for_child,
    unpack_in_server,
)
from matrix.server.work.memory import COUNTED
from matrix.server.work.refusal import NOTED

_NUMBERS = count(1)  # of feeds; none is used twice, so that what a gone process was told means nothing to the next
_log = logging.getLogger(__name__)


class Keeper:
    """One process of watches, whichever it is at the moment."""

    def __init__(
        self,
        store: Path,
        which: str,
        on_word: Callable[[Group, ToServer, bytes], None],
        *,
        look_s: float = SERVED_WATCH_LOOK_S,
    ) -> None:
        self._store, self._which, self._on_word, self._look_s = store, which, on_word, look_s
        self.groups: dict[int, Group] = {}
        self.restarts = 0
        self.pid: int | None = None  # of the process, while there is one
        self._looks = self._rounds = 0  # of those that are gone
        self._pulse: Pulse | None = None
        self._needed = trio.Event()
        self._wake = trio.Event()
        self._said: list[ToChild] = []
        self._taken: dict[int, Taken] = {}
        self._timed_out = 0  # the feed whose look took too long
        self._has_heard = False
        self._silent_deaths = 0  # of processes that said nothing, one after the other
        self._last_beat = Beat(0, 0, 0, 0)

    @property
    def looks(self) -> int:
        """All looks so far."""
        return self._looks + (self._pulse.read().looks if self._pulse is not None else 0)

    def need(self) -> None:
        """Have a process at hand: one takes a second to begin."""
        self._needed.set()

    # -- what it is told ------------------------------------------------------------------------------

    def open(self, group: Group) -> None:
        """Look for a group from here on."""
        group.number = next(_NUMBERS)
        self.groups[group.number] = group
        self.need()
        if self.pid is not None:
            self._say(self._opening(group))

    def _opening(self, group: Group) -> Open:
        return Open(group.number, group.subscription, group.position, group.is_slow)

    def close(self, group: Group) -> None:
        """Nobody is left in it."""
        del self.groups[group.number]
        self._say(Close(group.number))

    def note_taken(self, taken: Taken) -> None:
        """Somebody has taken rows of a feed."""
        before = self._taken.get(taken.feed, Taken(taken.feed, 0, 0, 0))
        self._taken[taken.feed] = Taken(
            taken.feed, before.rows + taken.rows, before.bytes + taken.bytes, before.pages + taken.pages
        )
        self._wake.set()

    def _say(self, word: ToChild) -> None:
        self._said.append(word)
        self._wake.set()

    # -- its life --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep one alive from the first group on, until cancelled; then none is left."""
        await self._needed.wait()
        while True:
            try:
                await self._live()
            except OSError as error:  # there is no memory for a process, or no descriptor
                _log.error("a process of watches could not be started: %s", error.strerror)
            self._after_death()
            if not self._has_heard:  # the next one would die at once, too
                await trio.sleep(SERVED_WATCH_RESTART_S)

    async def _live(self) -> None:
        """One process, from its start to its end."""
        self._has_heard, self._timed_out, pulse = False, 0, Pulse.new()
        try:
            child = await Child.start(
                "matrix.server.watches.child",
                str(self._store),
                self._which,
                str(pulse.descriptor),
                pass_fds=[pulse.descriptor],
                environment=COUNTED,
            )
            try:
                self.pid, self._pulse, self._taken = child.pid, pulse, {}
                self._said = [self._opening(group) for group in self.groups.values()]
                await self._speak(child, pulse)
            finally:
                self.pid = None
                await child.end()
        finally:
            self._last_beat, self._pulse = pulse.read(), None
            pulse.close()

    async def _speak(self, child: Child, pulse: Pulse) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, child)
            nursery.start_soon(self._watch_over, child, pulse)
            try:
                while True:
                    self._hear(*unpack_in_server(await child.receive()))
                    await trio.lowlevel.checkpoint()  # whoever was given rows sends them before more come
            except ChildGone:
                pass
            except Garbled as error:
                _log.error("a process of watches said what is no word: %s", error)
            nursery.cancel_scope.cancel()

    def _hear(self, word: ToServer, rest: bytes) -> None:
        self._has_heard = True
        group = self.groups.get(word.feed)
        if group is not None:  # else it was closed while this was under way
            group.crashes = 0
            self._on_word(group, word, rest)

    async def _send(self, child: Child) -> None:
        try:
            while True:
                while self._said or self._taken:
                    words: list[ToChild] = [*self._said, *self._taken.values()]
                    self._said, self._taken = [], {}
                    await child.send(WORDS, pack_for_child(words))
                self._wake = trio.Event()
                await self._wake.wait()
        except ChildGone:
            return  # who receives is told, too

    async def _watch_over(self, child: Child, pulse: Pulse) -> None:
        """End the process when one look takes too long."""
        while True:
            await trio.sleep(SERVED_WATCH_GLANCE_S)
            beat = pulse.read()
            if beat.seconds > self._look_s:
                self._timed_out = beat.feed
                child.kill()
                return

    # -- its death -------------------------------------------------------------------------------------

    def _after_death(self) -> None:
        """Who is to blame; all others go on in the next process."""
        self.restarts += 1
        beat, self._last_beat = self._last_beat, Beat(0, 0, 0, 0)
        self._looks, self._rounds = self._looks + beat.looks, self._rounds + beat.rounds
        if self._timed_out:
            self._end(self._timed_out, "timeout", f"a look took longer than {self._look_s:g} seconds", _TIMEOUT_HINT)
            return
        _log.error("a process of watches has died; its watches go on in another one")
        if beat.feed in self.groups:
            group = self.groups[beat.feed]
            group.crashes += 1
            if group.crashes >= SERVED_WATCH_CRASHES_MAX:
                self._end(beat.feed, "internal", NOTED)
        self._silent_deaths = 0 if self._has_heard else self._silent_deaths + 1
        if self._silent_deaths >= SERVED_WATCH_DEATHS_MAX:
            for number in list(self.groups):
                self._end(number, "internal", NOTED)

    def _end(self, number: int, code: str, message: str, hint: str = "") -> None:
        group = self.groups.pop(number, None)
        if group is not None:
            group.end({"code": code, "message": message, "hint": hint, "fix": ""})


_TIMEOUT_HINT = "narrow what is watched: fewer kinds, a shorter sequence, or one simulation"
