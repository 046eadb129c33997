"""Branch: how a simulation that is rehearsed on a history leaves it, and what makes a fork of it.

Right behind the last event, in the middle of a turn if need be, it goes live: what comes next is asked of
the outside and written to the log. A resumed simulation goes on in its own part of the log; a fork's part
begins with ``simulation.forked``, and what came before stays its parent's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from matrix.event import SIMULATION_FORKED
from matrix.limits import INT64_MAX
from matrix.runtime.inputs import Stream, numpy_stream, stream_key

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.simulation import Simulation


STATE: Final = "state"  # the owner of "state.mood"


def go_live(simulation: Simulation) -> None:
    """From here on inputs come from outside, and events go to the log; in the middle of a turn, too."""
    scheduler = simulation.scheduler
    simulation.runtime.write_for(scheduler.recorder)
    if scheduler.playback is not None:
        scheduler.arrivals.extend(scheduler.playback.left())
    scheduler.playback, scheduler.stop_at = None, INT64_MAX
    scheduler.attention = True
    scheduler.pace_from_here()


def apply_fork(simulation: Simulation, forked: Mapping[str, Any]) -> None:
    """Become the fork that ``simulation.forked`` tells of: record it, and do what it changes."""
    scheduler, host = simulation.scheduler, simulation.host
    recorder = scheduler.recorder
    at = recorder.next_seq() - 1
    recorder.add_for(SIMULATION_FORKED, dict(forked), agent=0, turn=host._turns, cause=at)
    simulation.id = forked["id"]
    if forked["seed"] != scheduler.seed:
        simulation.seed = scheduler.seed = forked["seed"]
        for agent in (host, *scheduler.agents):
            _reseed(agent, scheduler.seed)
        if scheduler.chance is not None:
            scheduler.chance.seed(stream_key(scheduler.seed, "", "shuffle"))
    if changes := forked.get("set"):
        _change(simulation, changes, at + 1)


def _reseed(agent: Agent, seed: int) -> None:
    """Streams of chance go on from the new seed, wherever they are held."""
    for purpose, found in (agent._streams or {}).items():
        if isinstance(found, Stream):
            found.seed(stream_key(seed, agent._id, purpose))
        elif isinstance(found, np.random.Generator):
            fresh = numpy_stream(seed, agent._id, purpose.removeprefix("numpy/"))
            found.bit_generator.state = fresh.bit_generator.state


def _change(simulation: Simulation, changes: Mapping[str, Any], cause: int) -> None:
    """Set keys of the simulation's state ("state.mood"; one event), and attributes of agents ("seller.limit")."""
    scheduler, host = simulation.scheduler, simulation.host
    of_state = {}
    for name, value in changes.items():
        owner, _, attribute = name.rpartition(".")
        if owner == STATE:
            of_state[attribute] = value
        else:
            setattr(scheduler.names[owner], attribute, value)
    if of_state:
        scheduler.act_as(host, lambda: simulation.state.update(of_state), cause=cause)
