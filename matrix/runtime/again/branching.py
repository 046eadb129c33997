"""Branching: a rehearsal that goes live at its end, or says why it cannot."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import trio

from matrix.errors import ReplayRefused
from matrix.runtime.again.divergence import explain
from matrix.runtime.again.rehearsal import environment_then, namer, rehearse
from matrix.runtime.program import changes_since, environment, origin_of

if TYPE_CHECKING:
    from matrix.log.history import History
    from matrix.runtime.program import Program
    from matrix.runtime.runtime import Runtime
    from matrix.runtime.simulation import Simulation


_diagnostics = logging.getLogger("matrix")


@cache
def _tell(note: str) -> None:
    """What has changed since is said once: it may be true of a thousand simulations."""
    _diagnostics.warning("what goes on from its history is not run as it was recorded: %s", note)


class Branching:
    """One attempt to go on from a history, in ``runtime``."""

    def __init__(
        self,
        runtime: Runtime,
        history: History,
        program: Program,
        *,
        last_seq: int,
        ordinal: int,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._runtime, self._history, self._program, self._last_seq = runtime, history, program, last_seq
        self._settled = trio.Event()
        self._is_live = False
        self._leave: Callable[[Simulation], str] = lambda simulation: ""
        self._refusal = ""
        self._simulation, self._checking = rehearse(
            runtime,
            history,
            program,
            last_seq=last_seq,
            ordinal=ordinal,
            when_over=self._over,
            parameters=parameters,
        )

    async def live(self, leave: Callable[[Simulation], str]) -> Simulation:
        """Rehearse; behind the last event, call ``leave``, which lets it go live or says why not. Returns it then."""
        self._leave = leave
        self._simulation.when_done(lambda _: self._settled.set())
        self._runtime.host(self._simulation)
        await self._settled.wait()
        if not self._is_live:
            raise ReplayRefused(self._why_not())
        for note in changes_since(environment_then(self._history), environment(self._program)):
            _tell(note)
        return self._simulation

    def _over(self, simulation: Simulation) -> None:
        if self._checking.difference is not None:
            return
        try:
            self._refusal = self._leave(simulation)
        except Exception as error:  # not into the agent's turn, in whose middle this is
            self._refusal = f"{type(error).__name__}: {error}"
        if self._refusal:
            simulation.scheduler.halt()
        else:
            self._is_live = True
            self._settled.set()

    def _why_not(self) -> str:
        if self._refusal:
            return self._refusal
        difference = self._checking.difference or self._checking.comparer.missing()
        id = self._history.started.data["id"]
        if difference is None:
            return f"{id} did not come to its event {self._last_seq} again"
        divergence = explain(
            difference,
            place="",
            environment_then={**environment_then(self._history), "id": id},
            environment_now={**environment(self._program), "program": origin_of(self._program)},
            agents=namer(self._simulation),
        )
        return f"{id} does not go the recorded way up to event {self._last_seq}, where it should go on:\n{divergence}"
