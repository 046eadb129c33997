"""The watchdog: a turn that does not come to its end is told to people, with the line it is at.

While a turn runs nothing else does: no other agent, no other simulation of the runtime. One thread for
the whole process looks now and then at ``guard.in_turn``, from outside; turns do nothing for it.

What always holds: it only looks. A turn is never stopped by it (a replay could not stop it at the same
place), and nothing of what it sees is recorded. The thread lives while runtimes are open.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from matrix.errors import ProgramError
from matrix.runtime.guards.guard import in_turn
from matrix.runtime.inputs import monotonic_ns

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent

LOOKS = 4  # how often a turn is looked at before it counts as hung
SECOND_REPORT = 10  # it is told once more when it has run so many times as long
STACK_LINES_MAX = 20

_diagnostics = logging.getLogger("matrix")
_STEPS_TURNS = (
    "matrix.runtime.scheduling.scheduler",
    "matrix.runtime.scheduling.stepping",
    "matrix.runtime.scheduling.life",
)
_DEBUGGERS = ("pdb", "bdb", "debugpy", "pydevd", "_pydevd_bundle", "IPython")  # people take their time


class Seen:
    """A turn that was being taken in some thread when the watchdog looked, and may still be."""

    __slots__ = ("agent", "reports", "since", "turn")

    def __init__(self, agent: Agent, turn: int, since: int) -> None:
        self.agent, self.turn, self.since = agent, turn, since
        self.reports = 0


class Watchdog:
    """The thread that looks, and how long a turn may take for each of the runtimes that asked."""

    def __init__(self, limit: float) -> None:
        self.limits = [limit]  # of the open runtimes, in seconds
        self._seen: dict[int, Seen] = {}
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="matrix watchdog", daemon=True)
        self._thread.start()

    def joined_by(self, limit: float) -> bool:
        """Another runtime opens; False when this one has ended (a child process inherits no threads)."""
        if not self.limits or not self._thread.is_alive():
            return False
        self.limits.append(limit)
        self._changed.set()
        return True

    def left_by(self, limit: float) -> None:
        """A runtime closes; with the last one the thread ends."""
        self.limits.remove(limit)
        self._changed.set()

    def _watch(self) -> None:
        while self.limits:
            self._changed.wait(min(self.limits, default=0.0) / LOOKS)
            self._changed.clear()
            self.look()

    def look(self) -> None:
        """See who takes a turn in which thread, and for how long it has been the same one."""
        now = monotonic_ns()
        for thread, recorder in list(in_turn.items()):
            agent = recorder.agent if recorder is not None else None
            if agent is None:
                self._seen.pop(thread, None)
                continue
            seen = self._seen.get(thread)
            if seen is None or seen.agent is not agent or seen.turn != agent._turns:
                self._seen[thread] = Seen(agent, agent._turns, now)
            else:
                self._judge(thread, seen, (now - seen.since) / 1e9)

    def _judge(self, thread: int, seen: Seen, seconds: float) -> None:
        limit = seen.agent._scheduler.simulation.runtime.hung_after
        if limit is None or seen.reports > 1 or seconds < limit * (SECOND_REPORT if seen.reports else 1):
            return
        frame = sys._current_frames().get(thread)
        if frame is None or seen.turn != seen.agent._turns or _is_debugged(frame):
            return
        seen.reports += 1
        _diagnostics.warning("%s", _told(seen, seconds, frame))


def _told(seen: Seen, seconds: float, frame: FrameType) -> str:
    """One block for people: which turn, for how long, and where its code is."""
    agent = seen.agent
    who = f"agent {agent._id}" if agent._number else "the program"
    head = (
        f"simulation {agent.simulation.id}: turn {seen.turn} of {who}, at {agent.now:g} s, has run for {seconds:.1f} s "
        "of wall time and still does; it is not stopped, and nothing else goes on until it ends"
    )
    return "\n".join([head, *_lines(frame), "  slow work belongs into a function: await self.call(function, ...)"])


def _lines(frame: FrameType) -> list[str]:
    """The stack of the agent's own code, innermost line last, without the runtime under it."""
    walked = [*traceback.walk_stack(frame)][::-1]
    steps = [i for i, (at, _) in enumerate(walked) if at.f_globals.get("__name__") in _STEPS_TURNS]
    own = walked[steps[-1] + 1 :] if steps else walked
    summary = traceback.StackSummary.extract(iter(own[-STACK_LINES_MAX:]))
    return [line for entry in summary.format() for line in entry.rstrip("\n").split("\n")]


def _is_debugged(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in _DEBUGGERS:
            return True
        frame = frame.f_back
    return False


# -- while runtimes are open -----------------------------------------------------------------------

_lock = threading.Lock()
_watchdog: Watchdog | None = None


@contextmanager
def watching(hung_after: float | None) -> Iterator[None]:
    """Turns of a runtime are watched while it is open; with None nobody watches."""
    global _watchdog
    if hung_after is None:
        yield
        return
    with _lock:
        watchdog = _watchdog
        if watchdog is None or not watchdog.joined_by(hung_after):
            watchdog = _watchdog = Watchdog(hung_after)
    try:
        yield
    finally:
        with _lock:
            watchdog.left_by(hung_after)


def check_hung_after(seconds: float | None) -> float | None:
    """Refuse what is no time to wait.

    >>> check_hung_after(2.0)
    2.0
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise ProgramError(f"hung_after is a number of seconds above 0, or None for never, not {seconds!r}")
    return seconds
