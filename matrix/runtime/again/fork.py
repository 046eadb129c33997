"""Fork: a new simulation that shares another's history up to an event, and then goes its own way.

The program is replayed on the parent's history up to that event, in the middle of a turn if need be; there
the fork becomes itself, with another seed, changed values or another program if that was asked for, and
goes on live. Calls that were in flight are asked anew. Its parent's events are not copied: its own part of
the log begins with ``simulation.forked``.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import trio

from matrix.errors import ProgramError, ReplayRefused
from matrix.log.reader import LogReader
from matrix.runtime.again.branch import STATE, apply_fork, go_live
from matrix.runtime.again.branching import Branching
from matrix.runtime.again.rehearsal import environment_then
from matrix.runtime.agent import Agent
from matrix.runtime.program import check_program, check_seed, describe, find_program, parameter_names
from matrix.runtime.scheduling.trouble import text_of
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
    not matter before ``at``), a key of the simulation's state (``"mood"``, or ``"state.mood"`` for a new one), or an
    attribute of an agent (``"seller.limit"``).
    Raises ``ReplayRefused`` when the program does not lead to the same history up to ``at``; nothing is written then.
    """
    _check_place(history, parent, at)
    history = history.up_to(at)
    then = environment_then(history)
    found = program or find_program(then)
    check_program(found)
    known = parameter_names(found) | then.get("parameters", {}).keys()
    plain = snapshot_payload(_checked_changes(set), f"the changes of a fork of {parent}")
    parameters = {name: value for name, value in plain.items() if name in known}
    changes = {name: value for name, value in plain.items() if name not in known}
    await _made_durable(runtime, history, at)
    ordinal = runtime.take_ordinal()
    owner = next(part for part in history.parts if part.first_seq <= at <= part.last_seq)
    forked = {
        "id": id or f"{runtime.shard}-{ordinal}",
        "parent": parent,
        "parent_shard": owner.shard,
        "parent_ordinal": owner.ordinal,
        "at": at,
        **describe(found, {**then.get("parameters", {}), **parameters}),
        "seed": _newest_seed(history) if seed is None else seed,
    }
    check_seed(forked["seed"])

    def become(simulation: Simulation) -> str:
        playback = simulation.scheduler.playback
        assert playback is not None, "it was replayed up to here"
        found, refusal = _placed(simulation, changes, known)
        if refusal:
            return refusal
        if found:
            forked["set"] = found
        go_live(simulation)
        apply_fork(simulation, forked)
        for request in playback.pending():
            simulation.scheduler.begin(request)
        return ""

    branching = Branching(runtime, history, found, last_seq=at, ordinal=ordinal, parameters=parameters)
    return await branching.live(become)


def _check_place(history: History, parent: str, at: int) -> None:
    end = history.end
    bound = history.last_seq if end is None else history.last_seq - 1
    if not 1 <= at <= bound:
        said = f"it ended with event {history.last_seq}" if end is not None else f"it has {history.last_seq} events"
        raise ReplayRefused(f"{parent} cannot be forked at event {at}: {said}; choose one from 1 to {bound}")


def _checked_changes(changes: Any) -> dict[str, Any]:
    if changes is None:
        return {}
    if not isinstance(changes, Mapping) or not all(isinstance(name, str) for name in changes):
        raise ProgramError(f"set maps names to values, as in {{'seller.limit': 40}}, not {changes!r}")
    return dict(changes)


async def _made_durable(runtime: Runtime, history: History, at: int) -> None:
    """A fork must not outlive its parent's events in a power cut."""
    reader = LogReader(runtime.store / "log")
    for shard in sorted({part.shard for part in history.parts if part.first_seq <= at}):
        await trio.to_thread.run_sync(reader.make_durable, shard)


def _newest_seed(history: History) -> int:
    """The seed in force at the end of a history: of its newest fork, or of the start."""
    return int([history.started, *history.forks][-1].data["seed"])


def _placed(
    simulation: Simulation, changes: Mapping[str, Any], parameters: Collection[str]
) -> tuple[dict[str, Any], str]:
    """Where each change belongs at this moment: "state.mood", "seller.limit"; or why one of them cannot be made."""
    agents, state = simulation.scheduler.names, simulation.state
    found: dict[str, Any] = {}
    for name, value in changes.items():
        owner, _, attribute = name.rpartition(".")
        if owner == STATE or (not owner and name in state):
            found[f"{STATE}.{attribute}"] = value
        elif owner in agents and attribute in _attributes(agents[owner]):
            try:
                setattr(agents[owner], attribute, value)  # now, while nothing is written: it may refuse
            except Exception as error:
                return {}, f"{name} cannot be set: {text_of(error)}"
            found[name] = value
        else:
            return {}, _no_such(name, simulation, parameters)
    return found, ""


def _no_such(name: str, simulation: Simulation, parameters: Collection[str]) -> str:
    agents = simulation.scheduler.names
    owner, _, attribute = name.rpartition(".")
    if not owner:
        known = [*parameters, *simulation.state]
        said = f"{name} is no parameter of the program and no key of the state there"
        return f"{said}{_instead(name, known)} (state.{name} sets a new key)"
    if owner not in agents:
        return f"there is no agent {owner} at that event{_instead(owner, list(agents))}"
    return f"{owner} has no {attribute} at that event{_instead(attribute, _attributes(agents[owner]))}"


def _attributes(agent: Agent) -> list[str]:
    """What of an agent may be changed: its own values, not what the runtime gives it, nor its methods."""
    names = (name for name in dir(agent) if not name.startswith("_") and not hasattr(Agent, name))
    return [name for name in names if _is_value(agent, name)]


def _is_value(agent: Agent, name: str) -> bool:
    """Whether an attribute can be set; what a property says is not asked for, in the middle of a turn."""
    of_class = inspect.getattr_static(type(agent), name, None)
    if isinstance(of_class, property):
        return of_class.fset is not None
    return not callable(getattr(agent, name, None))


def _instead(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
