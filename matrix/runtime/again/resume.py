"""Resume: a simulation that a crash cut off goes on from its last event in the log.

Up to there it is replayed. A call that was in flight has an unknown outcome: it is not sent again by itself,
unless it was declared repeatable, and the agent that asked is told so. The history that results is one that
a run without the crash could have had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.runtime.again.branch import go_live
from matrix.runtime.again.branching import Branching
from matrix.runtime.again.rehearsal import environment_then
from matrix.runtime.program import find_program

if TYPE_CHECKING:
    from matrix.log.history import History
    from matrix.runtime.program import Program
    from matrix.runtime.runtime import Runtime
    from matrix.runtime.simulation import Simulation


async def resume(runtime: Runtime, history: History, *, program: Program | None = None) -> Simulation:
    """Let the simulation go on whose history this is, in the shard that ``runtime`` owns; returns when it is live.

    Raises ``ReplayRefused`` when its program does not lead to the same history any more; nothing is written then.
    """
    found = program or find_program(environment_then(history))
    branching = Branching(runtime, history, found, last_seq=history.last_seq, ordinal=history.ordinal)
    return await branching.live(_go_on)


def _go_on(simulation: Simulation) -> str:
    playback = simulation.scheduler.playback
    assert playback is not None, "it was replayed up to here"
    go_live(simulation)
    # The newest event may be a request itself, whose turn is not over yet: it begins after this.
    simulation.scheduler.resumed_after = simulation.scheduler.recorder.next_seq() - 1
    for request in playback.pending():
        simulation.scheduler.begin(request)
    return ""
