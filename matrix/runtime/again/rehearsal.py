"""Rehearsal: a recorded simulation's program is run again on its history, and compared with it event by event.

Replay, resume and fork are rehearsals that end differently. What came from outside is fed from the history
(see playback.py); what the program records is compared with what was recorded, block by block, and written
nowhere. Behind the last event of the history, or of the part of it that was asked for, ``when_over`` is
called, in the middle of a turn if that is where the event was recorded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from matrix.log.compare import Comparer, Difference
from matrix.runtime.again.branch import apply_fork
from matrix.runtime.again.playback import Playback
from matrix.runtime.guards.guard import is_own_module
from matrix.runtime.options import Options
from matrix.runtime.program import Program, parameters_of
from matrix.runtime.recorder import Recorder
from matrix.runtime.simulation import Simulation

if TYPE_CHECKING:
    from matrix.log.history import History
    from matrix.log.rows import Rows
    from matrix.runtime.runtime import Runtime

_ENVIRONMENT: Final = ("code", "file", "hash_seed", "versions", "program", "parameters", "options")


class Checking:
    """Where the events of a replayed simulation go: they are compared with its history."""

    def __init__(self, history: History, last_seq: int) -> None:
        self.comparer = Comparer(history, last_seq=last_seq)
        self.difference: Difference | None = None
        self.is_over = False  # what comes now is of no interest
        self.when_different: Callable[[], None] = lambda: None

    def append(self, rows: Rows) -> int:
        """Compare some more."""
        if not self.is_over:
            self.difference = self.comparer.check(rows)
            if self.difference is not None:
                self.is_over = True
                self.when_different()
        return 0


def rehearse(
    runtime: Runtime,
    history: History,
    program: Program,
    *,
    last_seq: int,
    ordinal: int,
    when_over: Callable[[Simulation], None] | None,
    parameters: Mapping[str, Any] | None = None,
) -> tuple[Simulation, Checking]:
    """Run a program again on a history up to ``last_seq``, and then, within the turn, call ``when_over``.

    With None it goes on to its own end: an event behind ``last_seq`` is one too many then.
    """
    started = history.started.data
    given = dict(started.get("parameters", {}))
    for fork in history.forks:
        given |= fork.data.get("parameters", {})
    given |= parameters or {}
    checking = Checking(history, last_seq)
    recorder = Recorder(checking)
    recorder.is_checking = True
    simulation = Simulation(
        runtime,
        program,
        parameters_of(program, given),
        ordinal=ordinal,
        seed=started["seed"],
        id=started["id"],
        options=Options.from_recorded(started.get("options", {})),
        recorder=recorder,
    )
    checking.when_different = simulation.scheduler.halt
    simulation.feed(Playback(history, last_seq), started)

    def over() -> None:
        if when_over is not None:
            checking.is_over = True
            when_over(simulation)

    _cut(simulation, [(f.seq - 1, f.data) for f in history.forks if f.seq <= last_seq], last_seq, over)
    return simulation, checking


def _cut(
    simulation: Simulation,
    forks: list[tuple[int, Mapping[str, Any]]],
    last_seq: int,
    when_over: Callable[[], None],
) -> None:
    """Become each fork where it began, in turn, and call ``when_over`` after the last event."""
    recorder = simulation.scheduler.recorder
    if not forks:
        recorder.cut_after(last_seq, when_over)
        return
    (seq, data), *others = forks

    def become() -> None:
        _cut(simulation, others, last_seq, when_over)
        apply_fork(simulation, data)

    recorder.cut_after(seq, become)


def environment_then(history: History) -> dict[str, Any]:
    """What the history says of the program and of where it was run: of a fork, what its newest fork says."""
    found = {name: history.started.data[name] for name in _ENVIRONMENT if name in history.started.data}
    for fork in history.forks:
        found |= {name: fork.data[name] for name in _ENVIRONMENT if name in fork.data}
    return found


def namer(simulation: Simulation) -> Callable[[int], str]:
    """Agents' ids by number, as far as a rehearsal came; "" for others."""
    agents = simulation.scheduler.agents
    return lambda number: agents[number - 1].id if 0 < number <= len(agents) else ""


# -- in the middle of a turn ---------------------------------------------------------------------


def user_frame() -> FrameType | None:
    """The innermost frame of the program's own code in the turn that is being taken; None when it has none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if is_own_module(frame.f_globals.get("__name__", "")):  # by name: in a wheel the examples lie in our folder
            return frame
        if frame.f_code.co_filename.endswith(("scheduler.py", "handoff.py")):
            return None
        frame = frame.f_back
    return None


def place_of_turn() -> str:
    """Where in the program the turn is that is being taken: ``negotiation.py:31 in run``; empty when nowhere."""
    frame = user_frame()
    if frame is None:
        return ""
    code = frame.f_code
    return f"{Path(code.co_filename).name}:{frame.f_lineno} in {code.co_name}"
