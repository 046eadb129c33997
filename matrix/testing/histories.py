"""Histories made of choices: whole stores as plain events, valid by the log's conventions.

Each simulation is a list of small moves (spawn, begin a goal, send, call a tool, ...) that a ``Telling``
turns into events, so that any choices make a valid history and fewer moves a shorter one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from matrix.event import Event
from matrix.testing import payloads as p
from matrix.testing.choices import Choices
from matrix.testing.telling import Telling

Shards = dict[int, list[Event]]

TICKS = (0, 0, 1, 500_000, 1_000_000, 1_500_000, 61_000_000)
WALL = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z, in the middle of the times that queries name


def _send(c: Choices, telling: Telling, actor: int) -> None:
    kind = c.pick(("message.sent", *p.KINDS))
    receivers = c.some(range(6), least=1, most=3)
    telling.send(actor, kind, receivers, p.payload(c, p.SPOKEN) if kind == "message.sent" else p.own_payload(c))


def _reply(c: Choices, telling: Telling, actor: int) -> None:
    telling.reply(actor, c.below(6), c.pick(("message.sent", "accept", "counter")), p.own_payload(c))


def _emit(c: Choices, telling: Telling, actor: int) -> None:
    telling.emit(actor, c.pick((*p.KINDS, "note")), p.own_payload(c))


def _call(c: Choices, telling: Telling, actor: int) -> None:
    if c.chance(3):
        telling.call(actor, "model", True, p.payload(c, p.MODEL_ANSWER))
    else:
        telling.call(actor, "tool", c.chance(2), p.payload(c, p.TOOL_ANSWER))


def _begin_goal(c: Choices, telling: Telling, actor: int) -> None:
    telling.begin_goal(actor, c.pick(p.GOALS), p.own_payload(c))


def _end_goal(c: Choices, telling: Telling, actor: int) -> None:
    telling.end_goal(actor, c.pick(("succeeded", "succeeded", "failed", "cancelled")), p.payload(c, p.GOAL_END))


def _change_state(c: Choices, telling: Telling, actor: int) -> None:
    if c.chance(3):
        telling.change_phase(actor, p.payload(c, p.PHASE))
    else:
        telling.change_state(actor, p.payload(c, p.AGENT_STATE))


def _spawn(c: Choices, telling: Telling, actor: int) -> None:
    telling.spawn(actor, c.pick(p.ROLES), c.pick(p.AGENTS))


def _end_agent(c: Choices, telling: Telling, actor: int) -> None:
    telling.end_agent(actor, c.pick(("finished", "failed", "cancelled")))


_ACTS: tuple[Callable[[Choices, Telling, int], None], ...] = (
    *(_emit, _send, _send, _send, _reply, _reply, _call, _call, _change_state),
    *(_begin_goal, _begin_goal, _begin_goal, _end_goal, _end_goal, _spawn, _end_agent),
)


def move(c: Choices, telling: Telling) -> None:
    """One move of one agent after a wait, perhaps in a new turn."""
    act, actor, tick, is_new_turn = c.pick(_ACTS), c.below(6), c.pick(TICKS), c.chance(2)
    telling.play(actor, tick, is_new_turn, lambda told, agent: act(c, told, agent))


def simulation(c: Choices, moves: Sequence[Choices], *, shard: int, ordinal: int) -> list[Event]:
    """One simulation: empty, running, finished, failed or stopped; each move has choices of its own."""
    telling = Telling(simulation=ordinal, wall=WALL + c.pick((0, 1, 3_600_000_000, 86_400_000_000)))
    status = c.pick(("running", "finished", "finished", "failed", "stopped"))
    configuration = {
        "id": c.pick((None, f"run {shard}/{ordinal}")),
        "name": c.pick(("market", "negotiation")),
        "seed": c.pick((None, 0, 1, 2, 3)),
        "parent": c.pick((None, "1-1")),
        "program": "market.py",
        "parameters": p.payload(c, p.PARAMETERS),
    }
    telling.start({key: value for key, value in configuration.items() if value is not None})
    for _ in range(c.pick((3, 4, 2, 1, 0, 5))):
        telling.spawn(0, c.pick(p.ROLES), c.pick(p.AGENTS))
    for choices in moves:
        move(choices, telling)
    if status != "running":
        telling.finish(status, p.payload(c, p.SIMULATION_END))
    return telling.events


def history(c: Choices, simulations: Sequence[tuple[Choices, Sequence[Choices]]]) -> Shards:
    """A store of these simulations in one or two shards, interleaved as a writer would."""
    shards: Shards = {}
    count = c.pick((1, 1, 1, 2))
    chunk = c.pick((1_000, 5))
    for shard in range(1, count + 1):
        mine = simulations[shard - 1 :: count]
        told = [simulation(own, moves, shard=shard, ordinal=n) for n, (own, moves) in enumerate(mine, start=1)]
        if told:
            shards[shard] = list(_interleave(told, chunk=chunk))
    return shards


def _interleave(told: list[list[Event]], chunk: int) -> Iterator[Event]:
    """Take ``chunk`` events of each simulation in turn; they start in order of their numbers."""
    at = 0
    while any(at < len(events) for events in told):
        for events in told:
            yield from events[at : at + chunk]
        at += chunk
