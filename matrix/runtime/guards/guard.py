"""The guard: inside a turn, clock, chance and the outside are reached only through the agent.

What is read past the agent is in no log, so no replay could give it again. ``standins`` puts a stand-in
in the place of each such function; here is decided what a use of one means, and what is said about it.

What always holds: ``in_turn`` says, for each thread that runs simulations, whose recorder has a slice
there; while its ``agent`` is set, a turn is being taken. Outside turns, in the functions of calls and in
other threads nothing is refused. In a turn a use is refused or reported unless diagnostics led to it
(logging, a debugger, a profiler), or Python itself did (an import, a finalizer, a collection).

A guard, not a sandbox: code in C that does not look its names up escapes it.
"""

from __future__ import annotations

import gc
import logging
import signal
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Literal, get_args

from matrix.errors import ProgramError, UnrecordedInput
from matrix.runtime.scheduling.activity import REACTIVE

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.recorder import Recorder
    from matrix.runtime.scheduling.activity import Activity

Guard = Literal["raise", "warn", "off"]

in_turn: dict[int, Recorder | None] = {}

_diagnostics = logging.getLogger("matrix")
_reported: set[tuple[str, int, str]] = set()  # file, line, name: each is reported once

# Whoever stands here, or was led to by these, tells people about the program or takes part in running it.
_INFRASTRUCTURE: frozenset[str] = frozenset().union(
    ("logging", "loguru", "structlog", "warnings", "traceback", "linecache", "tokenize"),
    ("pdb", "bdb", "cmd", "code", "codeop", "trace", "tracemalloc", "debugpy", "pydevd", "_pydevd_bundle"),
    ("profile", "cProfile", "coverage", "pytest", "_pytest", "pluggy", "hypothesis"),
    ("importlib", "_frozen_importlib", "_frozen_importlib_external", "weakref", "threading", "trio", "outcome"),
    ("IPython", "ipykernel", "zmq", "tornado", "rich", "click", "tqdm"),
)
STAND_INS = "matrix.runtime.guards.standins"
_PROGRAMS_OF_OURS = ("matrix.examples", "matrix.testing")
# Where the code of others lies: a use is told at the line of the program's own that led to it.
NOT_THEIRS = (*(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "purelib", "platlib")), "<frozen")


@dataclass(frozen=True, slots=True)
class Use:
    """Something that no log has, as people call it, and what to use in its place."""

    name: str  # "time.time"
    instead: str  # "use {self}.now", where {self} is what the code calls the agent or the program


def check_guard(guard: Any) -> Guard:
    """Refuse what is not a mode of the guard.

    >>> check_guard("warn")
    'warn'
    """
    if guard not in get_args(Guard):
        raise ProgramError(f"guard is one of {', '.join(get_args(Guard))}, not {guard!r}")
    return guard  # type: ignore[no-any-return]  # one of three texts, as was just seen


def check(use: Use, recorder: Recorder, frame: FrameType) -> None:
    """``frame`` uses something in a turn: raise, report it, or let it pass."""
    agent = recorder.agent
    if agent is None:
        return
    mode = agent._scheduler.simulation.options.guard
    if mode == "off" or _is_infrastructure(frame):
        return
    theirs = _their_frame(frame)
    if mode == "raise":
        raise UnrecordedInput(_said(use, agent, frame, theirs))
    if agent._scheduler.playback is None:  # a replay has nothing new to say
        report((theirs.f_code.co_filename, theirs.f_lineno, use.name), _said(use, agent, frame, theirs))


def report(place: tuple[str, int, str], text: str) -> None:
    """Tell people about an input that is not recorded; once for each place."""
    if place not in _reported:
        _reported.add(place)
        _diagnostics.warning("%s", text)


def report_wait(activity: Activity) -> str:
    """A wait of Trio's own is let be: tell people, once for each place. Returns what it waits in."""
    coroutine: Any = activity.coroutine
    theirs, within, what = None, None, "something of Trio's own"
    while coroutine is not None:
        frame: FrameType | None = getattr(coroutine, "cr_frame", None)
        if frame is not None and not frame.f_code.co_filename.startswith(NOT_THEIRS) and not _is_ours(frame):
            theirs, within = frame, getattr(coroutine, "cr_await", None)
        coroutine = getattr(coroutine, "cr_await", None)
    frame = getattr(within, "cr_frame", None)
    if frame is not None:
        what = f"{_module(frame).partition('.')[0]}.{frame.f_code.co_qualname}"
    agent = activity.agent
    scheduler = agent._scheduler
    if theirs is not None and scheduler.simulation.options.guard == "warn" and scheduler.playback is None:
        use = Use(f"the wait in {what}", "put it into a function and use: await {self}.call(function, ...)")
        report((theirs.f_code.co_filename, theirs.f_lineno, use.name), _said(use, agent, theirs, theirs))
    return what


def forget_reports() -> None:
    """From here on places are reported anew: no runtime is open any more."""
    _reported.clear()


def _said(use: Use, agent: Agent, frame: FrameType, theirs: FrameType) -> str:
    who, itself = (agent._id, "self") if agent._number else ("the program", "simulation")
    place = f"{Path(theirs.f_code.co_filename).name}:{theirs.f_lineno}"
    through = f" (through {_module(frame)})" if theirs is not frame else ""
    only = " (async agents only)" if agent._mode == REACTIVE and "await" in use.instead else ""
    instead = use.instead.format(self=itself) + only
    return f"{use.name} at {place}{through} in a turn of {who} is in no log, so no replay could repeat it: {instead}"


def _is_infrastructure(frame: FrameType) -> bool:
    """Whether the code in ``frame``, or what called it within this turn, is none of the program's."""
    if _is_ours(frame):
        return True
    between: frozenset[CodeType] | None = None
    at: FrameType | None = frame
    while at is not None and not _is_ours(at):
        if _module(at).partition(".")[0] in _INFRASTRUCTURE or at.f_code.co_name == "__del__":
            return True
        between = between or _run_in_between()
        if at.f_code in between:
            return True
        at = at.f_back
    return at is not None and _module(at) == STAND_INS  # uuid1() was asked already when it asks for the time


def _run_in_between() -> frozenset[CodeType]:
    """What Python runs at any time, between two steps of any function: callbacks of the collector, of signals."""
    called: list[Any] = [*gc.callbacks, *map(signal.getsignal, signal.valid_signals())]
    return frozenset(code for one in called if isinstance(code := getattr(one, "__code__", None), CodeType))


def is_own_module(name: str) -> bool:
    """Whether a module may be a program's, which ours are not, except for the examples."""
    return name.partition(".")[0] != "matrix" or name.startswith(_PROGRAMS_OF_OURS)


def _is_ours(frame: FrameType) -> bool:
    return not is_own_module(_module(frame))


def _their_frame(frame: FrameType) -> FrameType:
    """The innermost frame of the program's own; ``frame`` itself when there is none in this turn."""
    at: FrameType | None = frame
    while at is not None and not _is_ours(at):
        if not at.f_code.co_filename.startswith(NOT_THEIRS):
            return at
        at = at.f_back
    return frame


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
