"""Histories made of choices: whole stores as plain events, valid by the log's conventions.

Each simulation is a list of small moves (spawn, begin a goal, send, call a tool, ...) that a ``Telling``
turns into events, so that any choices make a valid history and fewer moves a shorter one. One may be a
fork of an earlier one, in any shard: what it shares with that one is told, and not in the store again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from matrix.event import SIMULATION_ENDS, SIMULATION_FORKED, SIMULATION_STARTED, Event
from matrix.testing import payloads as p
from matrix.testing.choices import Choices
from matrix.testing.telling import Telling

Shards = dict[int, list[Event]]
STATUSES = ("running", "finished", "finished", "failed", "stopped", "running")

TICKS = (0, 0, 1, 500_000, 1_000_000, 1_500_000, 61_000_000)
WALL = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z, in the middle of the times that queries name


@dataclass(frozen=True, eq=False)
class Told:
    """A whole simulation, and how many of its events are its parent's."""

    shard: int
    ordinal: int
    events: list[Event]
    shared: int
    parent: Told | None

    @property
    def id(self) -> str:
        """What it is called in the store."""
        named = (e for e in reversed(self.events) if e.kind in (SIMULATION_STARTED, SIMULATION_FORKED))
        return next(named).data.get("id") or f"{self.shard}-{self.ordinal}"


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
    how = c.pick(("succeeded", "succeeded", "failed", "cancelled"))
    telling.end_goal(actor, how, p.payload(c, p.GOAL_END), cause=telling.last_seq_of(actor) if c.chance(2) else 0)


def _deal(c: Choices, telling: Telling, actor: int) -> None:
    """An offer, and what is answered to and fro, each answer caused by what it answers."""
    telling.send(actor, "offer", c.some(range(6), least=1, most=2), p.payload(c, p.DEAL))
    who, other = actor, telling.events[-1].to[0]
    for kind in c.some(("counter", "accept", "reject", "counter", "offer"), least=1, most=3):
        who, other = other, who
        if not telling.wait(who, c.pick(TICKS[:6]), c.chance(2)):
            return
        telling.reply(who, -1, kind, p.payload(c, p.DEAL))


def _work(c: Choices, telling: Telling, actor: int) -> None:
    """A tool is called until it answers, each try because of the one before; or the goal fails because of it."""
    answer = p.payload(c, p.TOOL_ANSWER)
    for is_good in c.some((False, True), least=1, most=3):
        telling.call(actor, "tool", is_good, answer, cause=telling.last_seq_of(actor))
        telling.wait(actor, c.pick(TICKS[:6]), c.chance(2))
    if c.chance(2):
        telling.end_goal(actor, "failed", {"reason": c.pick(p.REASONS)}, cause=telling.last_seq_of(actor))


def _change_state(c: Choices, telling: Telling, actor: int) -> None:
    if c.chance(3):
        telling.change_phase(actor, p.payload(c, p.PHASE))
    else:
        telling.change_state(actor, p.payload(c, p.AGENT_STATE))


def _spawn(c: Choices, telling: Telling, actor: int) -> None:
    telling.spawn(actor, c.pick(p.ROLES), c.pick(p.AGENTS))


def _end_agent(c: Choices, telling: Telling, actor: int) -> None:
    telling.end_agent(actor, c.pick(("finished", "failed", "cancelled")))


def _from_outside(c: Choices, telling: Telling, actor: int) -> None:
    if c.chance(2):
        telling.record(0, "simulation.patched", {"name": c.pick(("fair prices", "new rule"))})
    else:
        telling.inject(actor, p.payload(c, p.SPOKEN))


_ACTS: tuple[Callable[[Choices, Telling, int], None], ...] = (
    *(_emit, _send, _send, _send, _reply, _reply, _call, _call, _change_state),
    *(_begin_goal, _begin_goal, _begin_goal, _end_goal, _end_goal, _spawn, _end_agent),
    *(_from_outside, _deal, _deal, _deal, _deal, _deal, _work, _work),
)


def move(c: Choices, telling: Telling) -> None:
    """One move of one agent after a wait, perhaps in a new turn."""
    act, actor, tick, is_new_turn = c.pick(_ACTS), c.below(6), c.pick(TICKS), c.chance(2)
    telling.play(actor, tick, is_new_turn, lambda told, agent: act(c, told, agent))


def simulation(c: Choices, moves: Sequence[Choices], *, shard: int, ordinal: int) -> Told:
    """One simulation: empty, running, finished, failed or stopped; each move has choices of its own."""
    telling = Telling(simulation=ordinal, wall=WALL + c.pick((0, 1, 3_600_000_000, 86_400_000_000)))
    status = c.pick(STATUSES)
    configuration = {
        "id": c.pick((None, f"run {shard}/{ordinal}")),
        "name": c.pick(("market", "negotiation")),
        "seed": c.pick((None, 0, 1, 2, 3)),
        "parent": c.pick((None, "1-1")),
        "program": "market.py",
        "parameters": p.payload(c, p.PARAMETERS),
    }
    telling.start({key: value for key, value in configuration.items() if value is not None})
    for _ in range(c.pick((3, 4, 2, 1, 0, 5, 3, 2))):
        telling.spawn(0, c.pick(p.ROLES), c.pick(p.AGENTS))
    play_on(c, telling, moves, status)
    return Told(shard, ordinal, telling.events, 0, None)


def fork(c: Choices, moves: Sequence[Choices], parent: Told, *, shard: int, ordinal: int) -> Told:
    """A simulation that shares another's events up to one of them, and then goes its own way."""
    has_ended = parent.events[-1].kind in SIMULATION_ENDS
    at = 1 + c.below(256) * (len(parent.events) - has_ended) // 256
    telling = Telling.forked(parent.events[:at], simulation=ordinal)
    status = c.pick(STATUSES)
    said = {
        "id": c.pick((None, f"run {shard}/{ordinal}")),
        "parent": parent.id,
        "parent_shard": parent.shard,
        "parent_ordinal": parent.ordinal,
        "seed": c.pick((0, 7, None)),
        "name": c.pick((None, "negotiation")),
        "program": c.pick(("market.py", "other.py")),
        "parameters": c.pick((None, p.payload(c, p.PARAMETERS))),
        "set": c.pick((None, {"seller.limit": 3, "state.phase": "opening"})),
    }
    telling.fork({key: value for key, value in said.items() if value is not None})
    for _ in range(c.pick((0, 1))):
        telling.spawn(0, c.pick(p.ROLES), c.pick(p.AGENTS))
    play_on(c, telling, moves, status)
    return Told(shard, ordinal, telling.events, at, parent)


def play_on(c: Choices, telling: Telling, moves: Sequence[Choices], status: str) -> None:
    """The moves of a simulation, and its end if it has one."""
    for choices in moves:
        move(choices, telling)
    if status != "running":
        telling.finish(status, p.payload(c, p.SIMULATION_END))


def history(c: Choices, simulations: Sequence[tuple[Choices, Sequence[Choices]]]) -> Shards:
    """A store of these simulations in one or two shards, interleaved as writers would; some are forks of others."""
    count = c.pick((1, 1, 1, 2))
    chunk = c.pick((1_000, 5))
    told: list[Told] = []
    for number, (own, moves) in enumerate(simulations):
        shard, ordinal = 1 + number % count, 1 + number // count
        if own.chance(2) and told:
            told.append(fork(own, moves, own.pick(told), shard=shard, ordinal=ordinal))
        else:
            told.append(simulation(own, moves, shard=shard, ordinal=ordinal))
    shards: Shards = {}
    for shard, event in _interleaved(told, chunk=chunk):
        shards.setdefault(shard, []).append(event)
    return shards


def _interleaved(told: Sequence[Told], chunk: int) -> Iterator[tuple[int, Event]]:
    """Take ``chunk`` events of each simulation in turn; a fork begins once what it shares is there.

    In a shard they begin in order of their numbers.
    """
    done = {one: one.shared for one in told}

    def is_there(one: Told, seq: int) -> bool:
        return is_there(one.parent, seq) if one.parent is not None and seq <= one.shared else done[one] >= seq

    while any(done[one] < len(one.events) for one in told):
        waits: set[int] = set()
        for one in told:
            begins = done[one] == one.shared
            if begins and (one.shard in waits or (one.parent is not None and not is_there(one.parent, one.shared))):
                waits.add(one.shard)
                continue
            for event in one.events[done[one] : done[one] + chunk]:
                yield one.shard, event
            done[one] = min(done[one] + chunk, len(one.events))
