"""Replay: run a recorded simulation again, without the outside, and compare every event with its history.

The program is run with the recorded parameters, seed and options; what came from outside is fed from the
history (see playback.py); what it records is compared with what was recorded, block by block, and written
nowhere. The first event that differs ends it. A second run up to there then tells which line of the
program said it.
"""

from __future__ import annotations

import logging
import pdb
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from matrix.errors import ReplayRefused, UsageError
from matrix.log.writer import Durability
from matrix.runtime.again.divergence import Divergence, explain
from matrix.runtime.again.rehearsal import environment_then, namer, place_of_turn, rehearse, user_frame
from matrix.runtime.inputs import monotonic_ns
from matrix.runtime.program import Program, changes_since, check_program, environment, find_program, origin_of
from matrix.runtime.recorder import Nowhere
from matrix.runtime.runtime import Runtime, living
from matrix.runtime.simulation import Simulation

if TYPE_CHECKING:
    from matrix.log.compare import Difference
    from matrix.log.history import History


_diagnostics = logging.getLogger("matrix")


@dataclass(frozen=True)
class Replay:
    """What a replay found.

    >>> replay = matrix.open("runs").replay("1-1")                              # doctest: +SKIP
    >>> replay.status, replay.events, replay.digest                             # doctest: +SKIP
    ('identical', 7205, '0c5c9a8c3f0d4be1e7b2b7b1f0c0a6d4')
    """

    id: str
    status: str  #: "identical", "diverged", "stopped" where it was asked to end, or (of many) "refused", as notes say
    events: int  #: events that were found to be the same
    digest: str  #: of those events
    divergence: Divergence | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)  #: what is not as it was: versions, code, hash seed
    seconds: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        if self.divergence is not None:
            return str(self.divergence)
        said = f"{self.id}: identical" if self.status == "identical" else f"{self.id}: stopped, identical so far"
        return f"{said}, {self.events:,} events, digest {self.digest}"

    def as_data(self) -> dict[str, Any]:
        """What was found as plain values, for machines."""
        found: dict[str, Any] = {name: getattr(self, name) for name in ("id", "status", "events", "digest", "seconds")}
        found["notes"] = list(self.notes)
        found["divergence"] = None if self.divergence is None else self.divergence.as_data()
        return found


@asynccontextmanager
async def open_stage(store: Path) -> AsyncIterator[Runtime]:
    """A runtime for replays: it writes nowhere."""
    stage = Runtime(store, Nowhere(), durability=Durability.OS, progress=None, index=False, compact=False)
    async with living(stage):
        yield stage


class Replayer:
    """Replays simulations of one store on one stage."""

    def __init__(self, stage: Runtime, *, program: Program | None, pin: bool) -> None:
        if program is not None:
            check_program(program)
        self._stage, self._program, self._pin = stage, program, pin

    async def replay(self, id: str, history: History, *, until: int | None = None, debug: bool = False) -> Replay:
        """Replay one simulation up to its end, or to the event ``until``."""
        began = monotonic_ns()
        last_seq = history.last_seq if until is None else until
        if not 1 <= last_seq <= history.last_seq:
            raise UsageError(f"{id} has events 1 to {history.last_seq}; there is none with the number {last_seq}")
        then = environment_then(history)
        program = self._program or find_program(then)
        notes = changes_since(then, environment(program))
        if notes and self._pin:
            raise ReplayRefused(f"{id} was recorded elsewhere: {'; '.join(notes)}")
        is_whole = until is None and history.end is not None
        simulation, checking = rehearse(
            self._stage,
            history,
            program,
            last_seq=last_seq,
            ordinal=self._stage.take_ordinal(),
            when_over=None if is_whole else (_debug if debug else _halt),
        )
        self._stage.host(simulation)
        await simulation.wait()
        difference = checking.difference or checking.comparer.missing()
        divergence = None
        if difference is not None:
            divergence = await self._explained(id, history, program, difference, then, simulation)
        elif until is None and history.end is None:
            notes.append("it has no end in the log: it still runs, or was cut off (matrix resume lets it go on)")
        return Replay(
            id,
            "diverged" if divergence else "stopped" if until is not None else "identical",
            checking.comparer.next_seq - 1 if difference is None else difference.seq - 1,
            checking.comparer.digest(),
            divergence,
            tuple(notes),
            (monotonic_ns() - began) / 1e9,
        )

    async def _explained(
        self,
        id: str,
        history: History,
        program: Program,
        difference: Difference,
        then: Mapping[str, Any],
        replayed: Simulation,
    ) -> Divergence:
        places: list[str] = []

        def look(simulation: Simulation) -> None:
            places.append(place_of_turn())
            simulation.scheduler.halt()

        if difference.actual is not None:
            simulation, _ = rehearse(
                self._stage,
                history,
                program,
                last_seq=difference.seq,
                ordinal=self._stage.take_ordinal(),
                when_over=look,
            )
            self._stage.host(simulation)
            await simulation.wait()
        return explain(
            difference,
            place=places[0] if places else "",
            environment_then={**then, "id": id},
            environment_now={**environment(program), "program": origin_of(program)},
            agents=namer(replayed),
        )


# -- in the middle of a turn ---------------------------------------------------------------------


def _halt(simulation: Simulation) -> None:
    simulation.scheduler.halt()


def _debug(simulation: Simulation) -> None:
    frame = user_frame()
    if frame is None:
        _diagnostics.warning("no line of the program is running at this event: it is the runtime's own")
    else:
        _open_debugger(frame)
    simulation.scheduler.halt()


def _open_debugger(frame: FrameType) -> None:
    """The debugger at the very line that said the event; stepping on from there stays in the program's own code."""
    debugger = pdb.Pdb()
    debugger.reset()
    caller: FrameType | None = frame
    while caller is not None:
        caller.f_trace = debugger.trace_dispatch
        debugger.botframe, caller = caller, caller.f_back  # as Bdb.set_trace does
    debugger.interaction(frame, None)
    if not debugger.quitting and (debugger.breaks or debugger.stopframe is not debugger.botframe):
        sys.settrace(debugger.trace_dispatch)
