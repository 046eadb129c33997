"""Fork: a new simulation that shares another's history up to an event, and then goes its own way.

The program is replayed on the parent's history up to that event, in the middle of a turn if need be; there
the fork becomes itself, with another seed, changed values or another program if that was asked for, and
goes on live. Calls that were in flight are asked anew. Its parent's events are not copied: its own part of
the log begins with ``simulation.forked``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matrix.errors import ReplayRefused
from matrix.runtime.branch import apply_fork, go_live
from matrix.runtime.branching import Branching
from matrix.runtime.program import check_program, check_seed, describe, find_program
from matrix.runtime.rehearsal import environment_then
from matrix.runtime.values import snapshot_payload

if TYPE_CHECKING:
    from matrix.log.history import History
    from matrix.runtime.program import Program
    from matrix.runtime.runtime import Runtime
    from matrix.runtime.simulation import Simulation


async def fork(
    runtime: Runtime,
    history: History,
    *,
    parent: str,
    at: int,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    program: Program | None = None,
    id: str = "",
) -> Simulation:
    """Fork a simulation behind its event ``at``; returns when the fork is live.

    ``set`` maps names to values: a parameter of the program (which it then has from its beginning, and which must
    not matter before ``at``), an attribute of an agent (``"seller.limit"``), or else a key of the simulation's state.
    Raises ``ReplayRefused`` when the program does not lead to the same history up to ``at``; nothing is written then.
    """
    _check_place(history, parent, at)
    then = environment_then(history)
    found = program or find_program(then)
    check_program(found)
    parameters, changes = _sorted_out(dict(set or {}), then.get("parameters", {}), parent)
    ordinal = runtime.take_ordinal()
    owner = next(part for part in history.parts if part.first_seq <= at <= part.last_seq)
    forked = {
        "id": id or f"{runtime.shard}-{ordinal}",
        "parent": parent,
        "parent_shard": owner.shard,
        "parent_ordinal": owner.ordinal,
        "at": at,
        **describe(found, {**then.get("parameters", {}), **parameters}),
        "seed": _newest_seed(history, at) if seed is None else seed,
    }
    check_seed(forked["seed"])
    if changes:
        forked["set"] = changes

    def become(simulation: Simulation) -> None:
        playback = simulation.scheduler.playback
        assert playback is not None, "it was replayed up to here"
        go_live(simulation)
        apply_fork(simulation, forked)
        for request in playback.pending():
            simulation.scheduler.begin(request)

    branching = Branching(runtime, history, found, last_seq=at, ordinal=ordinal, parameters=parameters)
    return await branching.live(become)


def _check_place(history: History, parent: str, at: int) -> None:
    end = history.end
    bound = history.last_seq if end is None else history.last_seq - 1
    if not 1 <= at <= bound:
        said = f"it ended with event {history.last_seq}" if end is not None else f"it has {history.last_seq} events"
        raise ReplayRefused(f"{parent} cannot be forked at event {at}: {said}; choose one from 1 to {bound}")


def _newest_seed(history: History, at: int) -> int:
    """The seed in force at an event: of the newest fork before it, or of the start."""
    seeds = [history.started.data["seed"], *(event.data["seed"] for event in history.forks if event.seq <= at)]
    return int(seeds[-1])


def _sorted_out(given: dict[str, Any], known: Mapping[str, Any], parent: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is a parameter of the program, and what is set at the fork."""
    plain = snapshot_payload(given, f"the changes of a fork of {parent}")
    parameters = {name: value for name, value in plain.items() if name in known}
    return parameters, {name: value for name, value in plain.items() if name not in known}
