"""Tell one simulation event by event, keeping every convention of the log.

The writer of made-up histories: whoever calls it decides what happens, and it sees to ``seq``,
time, turns, goals, states and causes. Agents are named by any number, taken modulo those alive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from matrix.event import AGENT_ENDS, GOAL_ENDS, Event, is_action


@dataclass
class _Agent:
    """What a telling remembers of an agent between its turns."""

    number: int
    turn: int = 0
    goals: list[int] = field(default_factory=list)
    received: list[Event] = field(default_factory=list)
    is_alive: bool = True


class Telling:
    """One simulation being told; ``events`` is what happened so far.

    >>> telling = Telling(simulation=1, wall=0)
    >>> telling.start({"name": "market"})
    >>> telling.spawn(0, "buyer", "alice")
    >>> [event.kind for event in telling.events]
    ['simulation.started', 'agent.started']
    """

    def __init__(self, *, simulation: int, wall: int) -> None:
        self.simulation, self.wall, self.time = simulation, wall, 0
        self.events: list[Event] = []
        self.agents: dict[int, _Agent] = {}
        self.names: set[str] = set()
        self.state = 0

    @classmethod
    def forked(cls, events: Sequence[Event], *, simulation: int) -> Telling:
        """A telling that goes on where these events leave off: a fork, and what it has from its parent."""
        telling = cls(simulation=simulation, wall=events[0].wall - events[0].time)
        for event in events:
            telling.remember(replace(event, simulation=simulation))
        return telling

    def remember(self, event: Event) -> None:
        """Take over an event that was told already, and what follows from it."""
        self.events.append(event)
        self.time, self.state = event.time, event.state
        if event.kind == "agent.started":
            self.agents[event.agent] = _Agent(event.agent)
            self.names.add(event.data["id"])
        elif event.kind == "state.changed" and event.agent == 0:
            self.state = event.seq
        for number in event.to:
            self.agents[number].received.append(event)
        who = self.agents.get(event.agent)
        if who is None:
            return
        who.turn = max(who.turn, event.turn)
        if event.kind == "goal.started":
            who.goals.append(event.seq)
        elif event.kind in GOAL_ENDS:
            who.goals.remove(event.goal)
        who.is_alive = who.is_alive and event.kind not in AGENT_ENDS

    def record(
        self, agent: int, kind: str, data: Mapping[str, Any], *, to: Sequence[int] = (), goal: int = -1, cause: int = 0
    ) -> Event:
        """Add one event; the goal is the agent's innermost open one unless said."""
        who = self.agents.get(agent)
        if goal < 0:
            goal = who.goals[-1] if who and who.goals else 0
        event = Event(
            simulation=self.simulation,
            seq=len(self.events) + 1,
            time=self.time,
            wall=self.wall + self.time,
            agent=agent,
            turn=who.turn if who else 0,
            goal=goal,
            state=self.state,
            cause=cause,
            kind=kind,
            to=tuple(to),
            data=dict(data),
        )
        self.events.append(event)
        return event

    def play(self, actor: int, tick: int, new_turn: bool, act: Callable[[Telling, int], None]) -> None:
        """One move of one living agent after a wait; nothing happens when nobody is alive."""
        alive = [agent for agent in self.agents.values() if agent.is_alive]
        self.time += tick
        if alive:
            agent = alive[actor % len(alive)]
            agent.turn += new_turn or agent.turn == 0
            act(self, agent.number)

    def start(self, configuration: Mapping[str, Any]) -> None:
        """The first event of the simulation."""
        self.record(0, "simulation.started", configuration)

    def fork(self, said: Mapping[str, Any]) -> None:
        """The first event of a fork's own."""
        self.record(0, "simulation.forked", {**said, "at": len(self.events)}, cause=len(self.events))

    def inject(self, receiver: int, data: Mapping[str, Any]) -> None:
        """A message from outside: the simulation sends it."""
        said = self.record(0, "simulation.input", {"input": "message", "step": len(self.events)})
        self._deliver(self.record(0, "message.sent", data, to=[receiver], cause=said.seq))

    def spawn(self, actor: int, role: str | None, name: str) -> None:
        """A new agent, unless one of that name is there already."""
        if name in self.names:
            return
        cause = self.last_seq_of(actor)
        number = len(self.agents) + 1
        self.names.add(name)
        self.agents[number] = _Agent(number)
        data = {"id": name} if role is None else {"id": name, "role": role, "class": role.title()}
        self.record(number, "agent.started", data, cause=cause)

    def wait(self, actor: int, tick: int, new_turn: bool) -> bool:
        """Time goes by, and perhaps another turn of one agent begins; whether it is still alive."""
        agent = self.agents[actor]
        self.time += tick
        agent.turn += agent.is_alive and (new_turn or agent.turn == 0)
        return agent.is_alive

    def last_seq_of(self, actor: int) -> int:
        """The seq of an agent's newest event; 0 for the simulation itself, and for an agent that has none."""
        return next((e.seq for e in reversed(self.events) if e.agent == actor), 0) if actor else 0

    def send(self, actor: int, kind: str, receivers: Sequence[int], data: Mapping[str, Any]) -> None:
        """A message to one or several agents, each named once; caused by the newest message received.

        The sender itself may be among the receivers.
        """
        numbers = [1 + receiver % len(self.agents) for receiver in receivers]
        received = self.agents[actor].received
        cause = received[-1].seq if received else 0
        self._deliver(self.record(actor, kind, data, to=list(dict.fromkeys(numbers)), cause=cause))

    def _deliver(self, message: Event) -> None:
        for number in message.to:
            self.agents[number].received.append(message)

    def reply(self, actor: int, which: int, kind: str, data: Mapping[str, Any]) -> None:
        """An answer to a message received from an agent, back to its sender and caused by it."""
        received = [message for message in self.agents[actor].received if message.agent]
        if received:
            message = received[which % len(received)]
            self._deliver(self.record(actor, kind, data, to=[message.agent], cause=message.seq))

    def emit(self, actor: int, kind: str, data: Mapping[str, Any]) -> None:
        """An event of a kind of the program's own, caused by the newest message received."""
        received = self.agents[actor].received
        self.record(actor, kind, data, cause=received[-1].seq if received else 0)

    def call(self, actor: int, family: str, is_good: bool, answer: Mapping[str, Any], *, cause: int = 0) -> None:
        """A call and its answer: completed, or failed."""
        name = "model" if family == "model" else "tool"
        said = {name: answer[name], "arguments": {"query": "lamp"}}
        called = self.record(actor, f"{family}.called", said, cause=cause)
        self.record(actor, f"{family}.completed" if is_good else f"{family}.failed", answer, cause=called.seq)

    def begin_goal(self, actor: int, name: str, data: Mapping[str, Any]) -> None:
        """Take up a goal, nested in the innermost open one."""
        goals = self.agents[actor].goals
        whole = {"name": name, **data, **({"parent": goals[-1]} if goals else {})}
        seq = len(self.events) + 1
        self.record(actor, "goal.started", whole, goal=seq)
        goals.append(seq)

    def end_goal(self, actor: int, how: str, data: Mapping[str, Any], *, cause: int = 0) -> None:
        """End the innermost open goal, if there is one."""
        goals = self.agents[actor].goals
        if goals:
            self.record(actor, f"goal.{how}", data, goal=goals[-1], cause=cause)
            goals.pop()

    def change_state(self, actor: int, data: Mapping[str, Any]) -> None:
        """A new state of the agent itself."""
        self.record(actor, "state.changed", data)

    def change_phase(self, actor: int, data: Mapping[str, Any]) -> None:
        """A new state of the simulation; later events point to it."""
        self.state = self.record(0, "state.changed", data).seq

    def end_agent(self, actor: int, how: str) -> None:
        """The agent ends, and its open goals with it."""
        while self.agents[actor].goals:
            self.end_goal(actor, "cancelled", {})
        self.record(actor, f"agent.{how}", {"error": "boom"} if how == "failed" else {})
        self.agents[actor].is_alive = False

    def finish(self, status: str, data: Mapping[str, Any]) -> None:
        """The simulation ends; goals still open are cancelled."""
        for agent in self.agents.values():
            while agent.goals:
                self.end_goal(agent.number, "cancelled", {"reason": "simulation ended"})
        counts = {"actions": sum(is_action(event.kind) for event in self.events)}
        self.record(0, f"simulation.{status}", {**data, "counts": counts})
