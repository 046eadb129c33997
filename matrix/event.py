"""An event, and the names of the built-in kinds.

An event is an immutable fact that happened in a turn. References are numbers: ``simulation`` is
the ordinal of its ``simulation.started`` in the shard, ``agent`` the number of the agent in its
simulation (0 is the simulation itself), ``goal``, ``state`` and ``cause`` are ``seq`` of other
events of the same simulation (0 for none).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SIMULATION_STARTED = "simulation.started"
SIMULATION_FINISHED = "simulation.finished"
SIMULATION_FAILED = "simulation.failed"
SIMULATION_STOPPED = "simulation.stopped"
SIMULATION_FORKED = "simulation.forked"  # the first event of a fork's own, after those it shares with its parent
SIMULATION_INPUT = "simulation.input"  # something came from outside: a message, a cancellation, a stop
SIMULATION_PATCHED = "simulation.patched"  # from here on the program goes the new way of a named patch
AGENT_STARTED = "agent.started"
AGENT_FINISHED = "agent.finished"
AGENT_FAILED = "agent.failed"
AGENT_CANCELLED = "agent.cancelled"
AGENT_RESTARTED = "agent.restarted"
GOAL_STARTED = "goal.started"
GOAL_SUCCEEDED = "goal.succeeded"
GOAL_FAILED = "goal.failed"
GOAL_CANCELLED = "goal.cancelled"
STATE_CHANGED = "state.changed"
MESSAGE_SENT = "message.sent"
NOTE = "note"

MODEL_CALLED = "model.called"
MODEL_COMPLETED = "model.completed"
MODEL_FAILED = "model.failed"

CALL_FAMILIES = ("call", "tool", "model")
CALL_KINDS = tuple(f"{f}.{what}" for f in CALL_FAMILIES for what in ("called", "completed", "failed"))

SIMULATION_ENDS = {SIMULATION_FINISHED: "finished", SIMULATION_FAILED: "failed", SIMULATION_STOPPED: "stopped"}
AGENT_ENDS = {AGENT_FINISHED: "finished", AGENT_FAILED: "failed", AGENT_CANCELLED: "cancelled"}
GOAL_ENDS = {GOAL_SUCCEEDED: "succeeded", GOAL_FAILED: "failed", GOAL_CANCELLED: "cancelled"}

BUILT_IN_KINDS = (
    SIMULATION_STARTED,
    *SIMULATION_ENDS,
    SIMULATION_FORKED,
    SIMULATION_INPUT,
    SIMULATION_PATCHED,
    AGENT_STARTED,
    *AGENT_ENDS,
    AGENT_RESTARTED,
    GOAL_STARTED,
    *GOAL_ENDS,
    STATE_CHANGED,
    MESSAGE_SENT,
    NOTE,
    *CALL_KINDS,
)

#: Fields of simulation.started and simulation.forked that say where and by what it was run, not what happened: no
#: part of a digest. ``parent*`` names where a fork's parent is kept; that it is one, and where it begins, is history.
ENVIRONMENT_FIELDS = frozenset(
    {"id", "program", "file", "versions", "hash_seed", "code", "parent", "parent_shard", "parent_ordinal"}
)

#: A user's kind may not start with one of these: they are a closed list, so a misspelt one is an error.
RESERVED_PREFIXES = ("simulation.", "agent.", "goal.", "state.", "message.", "call.", "tool.", "model.")

#: Built-in kinds that count as a step of the goal they happen under; every kind of the user's does too.
ACTION_KINDS = frozenset({MESSAGE_SENT, *(f"{f}.called" for f in CALL_FAMILIES)})


def is_action(kind: str) -> bool:
    """Whether an event of this kind is a step of the goal it happened under.

    Steps are an agent's own actions: its own kinds, messages, and calls begun.

    >>> is_action("offer"), is_action("tool.called"), is_action("tool.completed"), is_action("note")
    (True, True, False, False)
    """
    return kind in ACTION_KINDS or (kind != NOTE and not kind.startswith(RESERVED_PREFIXES))


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as a reader returns it.

    ``time`` is virtual, in microseconds since the simulation began; ``wall`` is microseconds
    since 1970 UTC. ``to`` holds the receiving agents' numbers, empty when it was sent to nobody.
    """

    simulation: int
    seq: int
    time: int
    wall: int
    agent: int
    turn: int
    goal: int
    state: int
    cause: int
    kind: str
    to: tuple[int, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
