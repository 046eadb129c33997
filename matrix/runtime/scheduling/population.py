"""Who there is in one simulation: its agents and their coroutines, and how they begin.

What always holds: agents are numbered in the order in which they were started, names are unique, and
``open_count`` is the number of coroutines that have begun, or will, and have not ended.
"""

from __future__ import annotations

import gc
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from matrix.errors import ProgramError
from matrix.event import AGENT_STARTED
from matrix.limits import AGENTS_MAX
from matrix.runtime.agent import Agent, unknown_agent
from matrix.runtime.mailbox import Message, Start, Timer
from matrix.runtime.scheduling.activity import ENDED, PROCESS, Activity, park
from matrix.runtime.values import check_text, snapshot_payload

if TYPE_CHECKING:
    from collections import deque

    from matrix.runtime.recorder import Recorder
    from matrix.runtime.scheduling.lease import LeasePool
    from matrix.runtime.scheduling.restart import Policy
    from matrix.runtime.simulation import Simulation

FREEZE_AGENTS_MIN = 20_000  # so many, and twice as many, and so on, are taken out of the garbage collector's sight
_SETTINGS = {"role", "priority", "mailbox_max", "policy"}
_TAKEN = frozenset(name for name in dir(Agent) if not name.startswith("_")) - _SETTINGS


class Group:
    """The coroutines of an agent that started child tasks."""

    __slots__ = ("activities", "cause", "current", "errors", "is_cancelled", "message", "started")

    def __init__(self, main: Activity) -> None:
        self.activities = [main]  # those that have not ended
        self.current = main  # whose goal is the agent's now
        self.errors: list[BaseException] = []
        self.cause = self.message = 0  # what led to the first error, and a message that a task did not finish with
        self.is_cancelled = False
        self.started = 0


class Population(ABC):
    """The agents and coroutines of one simulation."""

    leases: LeasePool
    cancels: list[Activity]
    policy: Policy  # of agents that have none of their own

    def __init__(self, simulation: Simulation, recorder: Recorder, *, seed: int, ordinal: int) -> None:
        self.simulation, self.recorder = simulation, recorder
        self.seed, self.ordinal = seed, ordinal
        self.now = self.state_seq = 0
        self.next_seq = 1
        self.names: dict[str, Agent] = {}
        self.agents: list[Agent] = []
        self.host: Agent | None = None  # the program: agent 0
        self.groups: dict[int, Group] = {}
        self.joiners: dict[Any, list[Activity]] = {}
        self.asked: dict[int, dict[int, Activity]] = {}  # who waits for an answer: by agent asked, by question's seq
        self._freeze_at = FREEZE_AGENTS_MIN
        self.alive = 0  # agents that have not ended
        self.open_count = 0  # coroutines that have not ended

    # Given by the scheduler, which is the other half.
    turns: int
    moves: int
    attention: bool

    @abstractmethod
    def lane(self, priority: int) -> deque[Any]: ...
    @abstractmethod
    def cancel_activity(self, activity: Activity) -> None: ...
    @abstractmethod
    def supervise(self, agent: Agent, parameters: dict[str, Any], data: dict[str, Any]) -> None: ...

    # -- starting ------------------------------------------------------------------------------

    def spawn(self, cls: type[Agent], id: str | None, parameters: dict[str, Any]) -> Agent:
        """Start an agent in the current turn; it acts from its own first turn on."""
        policy = parameters.pop("policy", None) if "policy" in parameters and not _takes_policy(cls) else None
        agent = self._new(cls, id, parameters)
        if policy is not None:
            agent.policy = policy
        recorder = self.recorder
        data: dict[str, Any] = {"id": agent._id, "role": agent.role, "class": cls.__qualname__}
        if parameters:
            data["parameters"] = snapshot_payload(parameters, f"spawn {agent._id}")
        if agent.policy is not None or self.policy != "propagate":
            self.supervise(agent, parameters, data)
        seq = recorder.add_for(AGENT_STARTED, data, agent=agent._number, cause=recorder.cause)
        self.names[agent._id] = agent
        self.agents.append(agent)
        if len(self.agents) >= self._freeze_at:
            self._freeze_at *= 2
            gc.freeze()  # agents live long: a collector need not look at them again and again
        self.alive += 1
        self._begin(agent, seq)
        return agent

    def _new(self, cls: type[Agent], id: str | None, parameters: dict[str, Any]) -> Agent:
        if not isinstance(cls, type) or not issubclass(cls, Agent):
            raise ProgramError(f"spawn takes a class derived from matrix.Agent first, not {cls!r}")
        if cls._behaviour is None:
            raise ProgramError(f"{cls.__name__} defines neither run() nor on_message(): its agents would do nothing")
        number = len(self.agents) + 1
        if number > AGENTS_MAX:
            raise ProgramError(f"a simulation holds {AGENTS_MAX:,} agents at most")
        agent = cls.__new__(cls)
        self.equip(agent, number, cls._behaviour)
        self.furnish(agent, parameters)
        agent._id = id if id is not None else f"{agent.role}-{number}"
        if type(agent._id) is not str or not agent._id:
            raise ProgramError(f"an agent's id is a text such as 'buyer-1', not {id!r}")
        check_text(agent._id, "an agent's id")
        check_text(agent.role, "an agent's role")
        if agent._id in self.names:
            raise ProgramError(f"there is an agent {agent._id!r} in this simulation already; ids are unique")
        agent._lane = self.lane(agent.priority)
        return agent

    def equip(self, agent: Agent, number: int, mode: int) -> None:
        """Give an agent the runtime's own fields."""
        agent._number, agent._mode = number, mode
        agent._recorder, agent._scheduler = self.recorder, self  # type: ignore[assignment]  # it is one: see Scheduler
        agent._turns = agent._waiting = agent._goal_seq = agent._calls = 0
        agent._goal = agent._mailbox = agent._receiver = agent._asks = agent._streams = agent._main = None

    def furnish(self, agent: Agent, parameters: dict[str, Any]) -> None:
        """Give an agent the attributes of its own, from what it was spawned with."""
        if type(agent).__init__ is not object.__init__:
            agent.__init__(**parameters)  # type: ignore[misc]  # not a second creation: the first call of it
        elif parameters:
            if not _TAKEN.isdisjoint(parameters):
                raise ProgramError(
                    f"a parameter may not be named {sorted(_TAKEN & set(parameters))[0]!r}: agents have one"
                )
            for name, value in parameters.items():  # not through __dict__: that would cost each agent a dict
                setattr(agent, name, value)

    def _begin(self, agent: Agent, seq: int) -> None:
        if agent._mode == PROCESS:
            agent._main = Activity(agent, None, None, seq)
            self.open_count += 1
            agent._lane.append((agent._main, None))
        elif hasattr(type(agent), "on_start"):
            agent._waiting = 1
            agent._lane.append((agent, Start(seq)))

    # -- child tasks ---------------------------------------------------------------------------

    def start_child(
        self, agent: Agent, parent: Activity, child: Callable[..., Coroutine[Any, Any, Any]], arguments: tuple[Any, ...]
    ) -> Activity:
        """A child task of an agent with ``run``; the agent ends when all have."""
        if agent._mode != PROCESS:
            raise ProgramError(f"only an agent with run() has child tasks; {agent!r} handles messages, let it send one")
        coroutine = child(*arguments)
        if not hasattr(coroutine, "send"):
            raise ProgramError(f"start takes an async function and its arguments, not {child!r}")
        group = self.groups.get(agent._number)
        if group is None:
            group = self.groups[agent._number] = Group(parent)
        group.started += 1
        activity = Activity(agent, coroutine, copy_context(), self.recorder.cause)
        activity.order, activity.goal, activity.base_goal = group.started, agent._goal, agent._goal
        group.activities.append(activity)
        self.open_count += 1
        agent._lane.append((activity, None))
        if group.is_cancelled or parent.is_cancelled:
            self.cancel_activity(activity)
        return activity

    def enter_activity(self, activity: Activity) -> None:
        """Of an agent with child tasks, each keeps its own current goal."""
        agent = activity.agent
        group = self.groups.get(agent._number)
        if group is not None and group.current is not activity:
            group.current.goal = agent._goal
            goal = activity.goal
            while goal is not None and not goal.is_open:  # another task of the agent ended it meanwhile
                goal = goal._parent
            agent._goal = goal
            agent._goal_seq = goal.seq if goal is not None else 0
            group.current = activity

    def live_activities(self) -> Iterator[Activity]:
        """Coroutines that have not ended, in order of agent."""
        assert self.host is not None, "a simulation has a program"
        for agent in (self.host, *self.agents):
            yield from self.activities_of(agent)

    def activities_of(self, agent: Agent) -> list[Activity]:
        """The coroutines of an agent that have not ended."""
        group = self.groups.get(agent._number) if self.groups else None
        if group is not None:
            return list(group.activities)
        main: Activity | None = agent._main
        return [main] if main is not None and not main.is_done else []

    # -- waiting -------------------------------------------------------------------------------

    def queue(self, agent: Agent, item: Message | Timer) -> None:
        """A timer for an agent with async handlers: now, or after what it is busy with."""
        if not agent._waiting:
            agent._waiting = 1
            agent._lane.append((agent, item))
        else:
            agent._keep(item)

    async def join(self, activity: Activity, other: Agent | Activity | str) -> None:
        """Wait until an agent or a child task has ended."""
        if isinstance(other, str):
            if other not in self.names:
                raise unknown_agent(other, self.names)
            other = self.names[other]
        if isinstance(other, Agent):
            key: Any = other._number
            is_over = other._mode == ENDED
        else:
            key, is_over = other, other.is_done
        if is_over:
            return
        waiting = self.joiners.setdefault(key, [])
        waiting.append(activity)
        activity.waiting = True
        activity.waits_for = ("join", other)
        try:
            await park(activity)
        finally:
            activity.waits_for = None
            if activity in waiting:
                waiting.remove(activity)

    def wake_joiners(self, key: Any, cause: int) -> None:
        """An agent or a task has ended: whoever waited for that goes on, because of the event ``cause``."""
        for activity in self.joiners.pop(key, ()):
            if activity.waiting:
                activity.waiting = False
                activity.cause = cause or activity.cause
                activity.agent._lane.append((activity, None))


def _takes_policy(cls: Any) -> bool:
    """Whether a class asks for the parameter ``policy`` by name in its own ``__init__``."""
    return "policy" in inspect.signature(cls.__init__).parameters
