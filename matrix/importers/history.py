"""A recorded conversation on its way into the log: agents, turns, goals and causes become events.

An importer says what happened, in order; a ``History`` numbers it, counts turns and steps, finds causes and
keeps virtual time from running backwards. What always holds: ``seq`` is dense from 1, time never decreases,
every event stands in a turn of its agent, and a goal's end knows the steps and turns it took.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from matrix.event import (
    AGENT_STARTED,
    CALL_FAMILIES,
    GOAL_ENDS,
    GOAL_STARTED,
    MESSAGE_SENT,
    NOTE,
    SIMULATION_ENDS,
    SIMULATION_STARTED,
    STATE_CHANGED,
    Event,
    is_action,
)
from matrix.importers.fields import joined
from matrix.log.rows import KindRows, Rows

_ANSWERS = frozenset(f"{family}.{end}" for family in CALL_FAMILIES for end in ("completed", "failed"))
_GOAL_ENDING = {status: kind for kind, status in GOAL_ENDS.items()}
_SIMULATION_ENDING = {status: kind for kind, status in SIMULATION_ENDS.items()}


@dataclass(slots=True)
class _Agent:
    """Where one agent stands while its history is told."""

    turn: int = 0
    cause: int = 0  # of what it does in this turn
    inbox: int = 0  # the newest event that reached it: the cause of its next turn


@dataclass(slots=True)
class _Goal:
    agent: int
    parent: int
    start_turn: int
    steps: int = 0


class History:
    """One simulation, told event by event.

    >>> history = History("chat-1", name="support", wall=1_700_000_000_000_000, data={"file": "chat.jsonl"})
    >>> ada, bot = history.agent("ada", role="customer"), history.agent("bot", role="assistant")
    >>> goal = history.start_goal(bot, "help", {"topic": "refund"})
    >>> history.begin_turn(ada, time=1_000_000)
    >>> asked = history.say(ada, "My parcel is lost.", to=bot)
    >>> history.begin_turn(bot, time=3_500_000)
    >>> history.events[history.say(bot, "I am sorry. Here is your money.", to=ada) - 1].cause == asked
    True
    >>> ended = history.end_goal(goal, "succeeded", data={"paid": 30})
    >>> history.finish(time=3_500_000)
    >>> [event.kind for event in history.events][3:]
    ['goal.started', 'message.sent', 'message.sent', 'goal.succeeded', 'simulation.finished']
    >>> dict(history.events[ended - 1].data)
    {'steps': 1, 'turns': 1, 'paid': 30}
    """

    def __init__(
        self, id: str, *, name: str, wall: int = 0, seed: int | None = None, data: dict[str, Any] | None = None
    ) -> None:
        self.id = id
        self.events: list[Event] = []
        self._wall_start = self._wall = wall
        self._time = 0
        self._agents = [_Agent()]  # number 0 is the simulation itself
        self._goals: dict[int, _Goal] = {}
        self._goal_of = [0]  # by agent number: the innermost open goal
        self._state = 0  # the newest state.changed of the simulation
        seeded = {} if seed is None else {"seed": seed}
        self.data = {**(data or {}), "id": id, "name": name, **seeded}  # of simulation.started
        self._add(0, SIMULATION_STARTED, self.data)

    def agent(
        self, id: str, *, role: str, class_name: str | None = None, parameters: dict[str, Any] | None = None
    ) -> int:
        """A further agent; returns its number."""
        self._agents.append(_Agent())
        self._goal_of.append(0)
        number = len(self._agents) - 1
        data: dict[str, Any] = {"id": id, "role": role}
        data |= {} if class_name is None else {"class": class_name}
        data |= {"parameters": parameters} if parameters else {}
        seq = self._add(number, AGENT_STARTED, data, cause=1)
        self._agents[number].inbox = self._agents[number].cause = seq
        return number

    def begin_turn(self, agent: int, *, time: int, wall: int | None = None) -> None:
        """A turn of this agent: what it does from here on was caused by the newest event that reached it.

        ``time`` is virtual (microseconds since the start); one that lies before the newest event's is
        lifted to it. ``wall`` is the recorded moment, the start plus ``time`` where none is given.
        """
        one = self._agents[agent]
        one.turn += 1
        one.cause = one.inbox
        self.move_to(time=time, wall=wall)

    def say(self, agent: int, text: str, *, to: int | Sequence[int] = 0, data: dict[str, Any] | None = None) -> int:
        """A spoken text: ``message.sent``; returns its seq."""
        return self.emit(agent, MESSAGE_SENT, {"text": text, **(data or {})}, to=to)

    def emit(
        self,
        agent: int,
        kind: str,
        data: dict[str, Any],
        *,
        to: int | Sequence[int] = 0,
        cause: int | None = None,
    ) -> int:
        """An event of any kind in the agent's present turn, sent to nobody, one agent or several; returns its seq.

        An answer to a call reaches the caller, anything sent reaches its receivers: it causes their next turn.
        """
        receivers = _receivers(to)
        seq = self._add(agent, kind, data, to=receivers, cause=self._agents[agent].cause if cause is None else cause)
        for reached in (agent,) if kind in _ANSWERS else receivers:
            self._agents[reached].inbox = seq
        if is_action(kind):
            self._count_step(self._goal_of[agent])
        return seq

    @property
    def time(self) -> int:
        """Virtual time, in microseconds, of what is told now."""
        return self._time

    @property
    def wall(self) -> int:
        """The recorded moment of what is told now, in microseconds since 1970."""
        return self._wall

    def note(self, data: dict[str, Any]) -> int:
        """Something the simulation itself wants kept."""
        return self._add(0, NOTE, data)

    def change_state(self, data: dict[str, Any]) -> int:
        """The simulation's state becomes this, whole: ``state.data.phase`` of every event told from here on."""
        self._state = len(self.events) + 1  # a change of state stands in the state it makes, as in a run
        return self._add(0, STATE_CHANGED, data, cause=len(self.events))

    def start_goal(self, agent: int, name: str, data: dict[str, Any] | None = None) -> int:
        """The agent takes up a goal, inside the one it has open if any; returns the goal's seq.

        A goal taken up before the agent's first turn counts as taken up in that turn.
        """
        parent = self._goal_of[agent]
        said = {"name": name} | ({"parent": parent} if parent else {})
        seq = len(self.events) + 1
        self._goals[seq] = _Goal(agent, parent, max(1, self._agents[agent].turn))
        self._goal_of[agent] = seq
        return self._add(agent, GOAL_STARTED, joined(said, data or {}))

    def end_goal(
        self, goal: int, status: str, *, reason: str | None = None, cause: int = 0, data: dict[str, Any] | None = None
    ) -> int:
        """The goal ends ``succeeded``, ``failed`` or ``cancelled``; further data is read as ``.points``."""
        one = self._goals[goal]
        turns = max(1, self._agents[one.agent].turn) - one.start_turn + 1
        said = ({} if reason is None else {"reason": reason}) | {"steps": one.steps, "turns": turns}
        cause = cause or self._agents[one.agent].cause
        seq = self._add(one.agent, _GOAL_ENDING[status], joined(said, data or {}), cause=cause)
        self._goal_of[one.agent] = one.parent
        return seq

    def finish(
        self, *, time: int, wall: int | None = None, status: str = "finished", data: dict[str, Any] | None = None
    ) -> None:
        """The simulation ends; what is said about its end goes into ``data`` (``reason`` and the like)."""
        cause = len(self.events)
        self.move_to(time=time, wall=wall)
        self._add(0, _SIMULATION_ENDING[status], data or {}, cause=cause)

    def move_to(self, *, time: int, wall: int | None = None) -> None:
        """What is told from here on happened at this moment, in the turns that are under way."""
        self._time = max(self._time, time)
        self._wall = self._wall_start + time if wall is None else wall

    def _count_step(self, goal: int) -> None:
        while goal:
            self._goals[goal].steps += 1
            goal = self._goals[goal].parent

    def _add(self, agent: int, kind: str, data: dict[str, Any], *, to: tuple[int, ...] = (), cause: int = 0) -> int:
        seq = len(self.events) + 1
        turn = self._agents[agent].turn
        if agent and not turn and kind != AGENT_STARTED:
            turn = 1  # told before its first turn: it belongs to that turn
        self.events.append(
            Event(
                simulation=0,  # given when the rows are made, by the log that takes them
                seq=seq,
                time=self._time,
                wall=self._wall,
                agent=agent,
                turn=turn,
                goal=self._goal_of[agent],
                state=self._state,
                cause=cause,
                kind=kind,
                to=to,
                data=data,
            )
        )
        return seq


def _receivers(to: int | Sequence[int]) -> tuple[int, ...]:
    """The numbers of those an event is sent to, each once; 0 is nobody."""
    return tuple(dict.fromkeys(number for number in ((to,) if isinstance(to, int) else to) if number))


def rows_of(histories: Sequence[History], *, first_simulation: int) -> Rows:
    """Rows for the log, one simulation after the other, numbered from ``first_simulation``."""
    events = [event for history in histories for event in history.events]
    lengths = [len(history.events) for history in histories]
    kinds = list(dict.fromkeys(event.kind for event in events))
    code_of = {kind: code for code, kind in enumerate(kinds)}
    codes = np.fromiter((code_of[event.kind] for event in events), np.int64, len(events))
    payloads: list[list[dict[str, Any]]] = [[] for _ in kinds]
    for event, code in zip(events, codes, strict=True):
        payloads[code].append(dict(event.data))

    def column(name: str) -> np.ndarray:
        return np.fromiter((getattr(event, name) for event in events), np.int64, len(events))

    return Rows(
        count=len(events),
        simulation=np.repeat(np.arange(first_simulation, first_simulation + len(histories)), lengths),
        kinds=kinds,
        kind=codes,
        to=np.fromiter((event.to[0] if event.to else 0 for event in events), np.int64, len(events)),
        to_many={row: event.to for row, event in enumerate(events) if len(event.to) > 1},
        data={code: KindRows(np.flatnonzero(codes == code), payloads[code]) for code in range(len(kinds))},
        seq=column("seq"),
        time=column("time"),
        wall=column("wall"),
        agent=column("agent"),
        turn=column("turn"),
        goal=column("goal"),
        state=column("state"),
        cause=column("cause"),
    )
