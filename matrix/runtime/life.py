"""Lives: how agents and their coroutines begin and end within one simulation.

The half of the scheduler that is not about order: starting agents, child tasks, joins, what an
exception does, deadlock, and the last events of a simulation.
"""

from __future__ import annotations

import logging
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from matrix.errors import LogWriteError, ProgramError
from matrix.event import AGENT_CANCELLED, AGENT_FAILED, AGENT_FINISHED, AGENT_STARTED, GOAL_CANCELLED
from matrix.limits import AGENTS_MAX
from matrix.runtime.activity import ENDED, HANDLER, PROCESS, Activity, park
from matrix.runtime.agent import Agent, unknown_agent
from matrix.runtime.lease import run_context
from matrix.runtime.mailbox import Message, Start, Timer
from matrix.runtime.values import check_text, mended, snapshot_payload

if TYPE_CHECKING:
    from collections import deque

    from matrix.runtime.goal import Goal
    from matrix.runtime.lease import LeasePool
    from matrix.runtime.recorder import Recorder
    from matrix.runtime.simulation import Simulation

_diagnostics = logging.getLogger("matrix")
_SETTINGS = {"role", "priority", "mailbox_max"}
_TAKEN = frozenset(name for name in dir(Agent) if not name.startswith("_")) - _SETTINGS


class Deadlock(ProgramError):
    """Nothing can happen any more, and agents wait for each other."""


class Unstarted(BaseException):
    """Stands for the cancellation of a coroutine that never ran."""


class Group:
    """The coroutines of an agent that started child tasks."""

    __slots__ = ("activities", "current", "errors", "is_cancelled", "started")

    def __init__(self, main: Activity) -> None:
        self.activities = [main]  # those that have not ended
        self.current = main  # whose goal is the agent's now
        self.errors: list[BaseException] = []
        self.is_cancelled = False
        self.started = 0


class Life(ABC):
    """Agents and coroutines of one simulation, from start to end."""

    leases: LeasePool
    cancels: list[Activity]

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
        self.goal_counts: dict[str, int] = {}
        self.alive = 0  # agents that have not ended
        self.open_count = 0  # coroutines that have not ended
        self.ending: str | None = None
        self.reason = ""
        self.errors: list[BaseException] = []
        self.until: int | None = None
        self.turns_max: int | None = None
        self.events_max: int | None = None

    # Given by the scheduler, which is the other half.
    turns: int
    attention: bool

    @abstractmethod
    def lane(self, priority: int) -> deque[Any]: ...
    @abstractmethod
    def cancel_arrived(self, activity: Activity) -> None: ...
    @abstractmethod
    def wake(self) -> None: ...

    # -- starting ------------------------------------------------------------------------------

    def spawn(self, cls: type[Agent], id: str | None, parameters: dict[str, Any]) -> Agent:
        """Start an agent in the current turn; it acts from its own first turn on."""
        agent = self._new(cls, id, parameters)
        recorder = self.recorder
        data: dict[str, Any] = {"id": agent._id, "role": agent.role, "class": cls.__qualname__}
        if parameters:
            data["parameters"] = snapshot_payload(parameters, f"spawn {agent._id}")
        seq = recorder.add_for(AGENT_STARTED, data, agent=agent._number, cause=recorder.cause)
        self.names[agent._id] = agent
        self.agents.append(agent)
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
        if "__init__" in cls.__dict__ or cls.__init__ is not object.__init__:
            agent.__init__(**parameters)  # type: ignore[misc]  # not a second creation: the first call of it
        elif parameters:
            if not _TAKEN.isdisjoint(parameters):
                raise ProgramError(
                    f"a parameter may not be named {sorted(_TAKEN & set(parameters))[0]!r}: agents have one"
                )
            for name, value in parameters.items():  # not through __dict__: that would cost each agent a dict
                setattr(agent, name, value)
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

    def _begin(self, agent: Agent, seq: int) -> None:
        if agent._mode == PROCESS:
            agent._main = Activity(agent, None, None, seq)
            self.open_count += 1
            agent._lane.append((agent._main, None))
        elif hasattr(agent, "on_start"):
            agent._waiting = 1
            agent._lane.append((agent, Start(seq)))

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
        activity.waits_for = ("join", other._id if isinstance(other, Agent) else f"a task of {other.agent.id}")
        try:
            await park(activity)
        finally:
            activity.waits_for = None
            if activity in waiting:
                waiting.remove(activity)

    def _wake_joiners(self, key: Any, cause: int) -> None:
        for activity in self.joiners.pop(key, ()):
            if activity.waiting:
                activity.waiting = False
                activity.cause = cause or activity.cause
                activity.agent._lane.append((activity, None))

    # -- ending --------------------------------------------------------------------------------

    def activity_ended(self, activity: Activity, error: BaseException | None) -> None:
        """A coroutine returned or raised; still in its last turn."""
        agent = activity.agent
        activity.is_done, activity.coroutine, activity.context = True, None, None
        error = error or activity.violation
        if error is None and agent._mode == HANDLER and agent._receiver is None:
            self._handled(agent, activity, None)  # the short way of nearly all
            return
        if isinstance(error, LogWriteError):
            raise error
        if agent._receiver is activity:
            agent._receiver = None
        group = self.groups.get(agent._number)
        if agent._mode in (HANDLER, ENDED):
            self._handled(agent, activity, error)
        elif group is not None:
            self.open_count -= 1
            self._child_ended(agent, group, activity, error)
        else:
            self.open_count -= 1
            self._main_ended(agent, error)
        if self.joiners:
            self._wake_joiners(activity, 0)

    def _handled(self, agent: Agent, activity: Activity, error: BaseException | None) -> None:
        self.open_count -= 1
        if activity.lease is not None or activity.is_cancelled:
            agent._main = None  # the next message gets another; otherwise this one serves again
        agent._waiting = 0
        if error is not None:
            self._main_ended(agent, error)
        elif agent._mode == HANDLER and agent._mailbox:
            agent._waiting = 1
            agent._lane.append((agent, agent._mailbox.popleft()))

    def _main_ended(self, agent: Agent, error: BaseException | None) -> None:
        if error is None:
            self.agent_ended(agent, AGENT_FINISHED, {})
        elif is_cancellation(error):
            self.agent_ended(agent, AGENT_CANCELLED, {})
        else:
            self.agent_failed(agent, error)

    def _child_ended(self, agent: Agent, group: Group, activity: Activity, error: BaseException | None) -> None:
        group.activities.remove(activity)
        self.drop_goals(agent, activity.base_goal)
        if error is not None and not is_cancellation(error):
            group.errors.append(error)
        if group.errors and not group.is_cancelled:
            group.is_cancelled = True
            for other in group.activities:
                self.cancel_activity(other)
        if not group.activities:
            del self.groups[agent._number]
            if group.errors:
                error = BaseExceptionGroup(f"tasks of {agent._id}", group.errors)
            self._main_ended(agent, error)

    def agent_failed(self, agent: Agent, error: BaseException) -> None:
        """An exception left the agent's code: recorded, and the simulation fails with it."""
        if isinstance(error, LogWriteError):
            raise error
        if agent._mode != ENDED:
            self.agent_ended(agent, AGENT_FAILED, {"error": text_of(error), "place": place_of(error)})
        self.fail(error, f"agent {agent._id}: " if agent._number else "the program: ")

    def agent_ended(self, agent: Agent, kind: str, data: dict[str, Any]) -> None:
        """Record an agent's end (the program has none of its own: the simulation's is recorded)."""
        self.drop_goals(agent)
        cause = self.recorder.cause
        seq = self.recorder.add(kind, data) if agent._number else cause
        agent._mode = ENDED
        agent._mailbox = agent._receiver = agent._asks = None
        if agent._number:
            self.alive -= 1
        if self.joiners:
            self._wake_joiners(agent._number, seq)

    def finish_now(self, agent: Agent) -> None:
        """An agent that is called says that it is done; what it was sent already is not handled."""
        if agent._mode != ENDED:
            self.agent_ended(agent, AGENT_FINISHED, {})

    def drop_goals(self, agent: Agent, base: Goal | None = None) -> None:
        """Goals still open at the end of an agent, a task or the simulation are cancelled, innermost first."""
        while agent._goal is not None and agent._goal is not base:
            agent._goal._end(GOAL_CANCELLED, "", {})

    def cancel_agent(self, agent: Agent) -> None:
        """Cancel one agent: its coroutines meet ``trio.Cancelled`` at their waits."""
        if agent._mode == ENDED:
            return
        activities = self._activities_of(agent)
        if activities:
            for activity in activities:
                self.cancel_activity(activity)
        else:
            self._as_agent(agent, lambda: self.agent_ended(agent, AGENT_CANCELLED, {}))

    def cancel_activity(self, activity: Activity) -> None:
        """Ask for the cancellation of one coroutine; it gets its turn at the top of the loop."""
        if not activity.is_done and not activity.is_cancelled:
            activity.is_cancelled = True
            self.cancel_arrived(activity)

    def end_unstarted(self, activity: Activity) -> None:
        """Cancelled before its first turn: it never runs, and ends all the same."""
        self.recorder.enter(self)
        self._as_agent(activity.agent, lambda: self.activity_ended(activity, Unstarted()))

    def _as_agent(self, agent: Agent, act: Callable[[], None]) -> None:
        """Record something as an agent that has no turn."""
        recorder = self.recorder
        before = recorder.agent, recorder.cause
        recorder.agent = agent
        recorder.context()
        try:
            act()
        finally:
            recorder.agent, recorder.cause = before
            recorder.context()

    def violation(self, activity: Activity) -> None:
        """A raw Trio nursery in an agent: its tasks run in Trio's order, which no replay can repeat."""
        activity.violation = ProgramError(
            f"{activity.agent!r} opened a raw Trio nursery, whose tasks run in an order that no replay could repeat; "
            "use self.start(child)"
        )

    # -- the simulation's end ------------------------------------------------------------------

    def end(self, ending: str, reason: str) -> None:
        """The first end counts."""
        if self.ending is None:
            self.ending, self.reason = ending, reason
        self.attention = True
        self.wake()

    def fail(self, error: BaseException, who: str = "") -> None:
        """The simulation fails with an error; later ones join it."""
        self.errors.append(error)
        if self.ending in (None, "finished"):
            self.ending = None
            self.end("failed", f"{who}{text_of(error)}")

    def end_quietly(self) -> None:
        """Nothing can happen any more: a normal end, unless somebody waits for what cannot come."""
        stuck = [activity for activity in self.live_activities() if activity.waits_for is not None]
        if stuck:
            self.fail(Deadlock(_who_waits(stuck)))
        else:
            self.end("finished", "quiescent" if self.alive or self.open_count else "completed")

    def live_activities(self) -> Iterator[Activity]:
        """Coroutines that have not ended, in order of agent."""
        assert self.host is not None, "a simulation has a program"
        for agent in (self.host, *self.agents):
            yield from self._activities_of(agent)

    def _activities_of(self, agent: Agent) -> list[Activity]:
        group = self.groups.get(agent._number) if self.groups else None
        if group is not None:
            return list(group.activities)
        main: Activity | None = agent._main
        return [main] if main is not None and not main.is_done else []

    def close_activities(self) -> None:
        """Close what still waits, in order of agent: ``finally`` blocks run, and may emit but not wait."""
        assert self.host is not None, "a simulation has a program"
        recorder = self.recorder
        recorder.cause = 0
        for agent in (self.host, *self.agents):
            activities = self._activities_of(agent)
            if activities or agent._goal is not None:
                recorder.agent = agent
                recorder.context()
                for activity in activities:
                    self._close(activity)
                self.drop_goals(agent)
        recorder.agent = recorder.activity = None

    def _close(self, activity: Activity) -> None:
        agent, lease = activity.agent, activity.lease or self.leases.clean
        assert lease is not None, "whoever closes activities holds a lease"
        if self.groups:
            self.enter_activity(activity)
        mine = run_context.task
        run_context.task = lease.task
        try:
            if activity.coroutine is not None and activity.context is not None:
                activity.context.run(activity.coroutine.close)
        except LogWriteError:
            raise
        except Exception as error:
            error.add_note(f"while {agent!r} was closed at the simulation's end, where cleanup may not wait")
            self.fail(error, f"agent {agent._id}: ")
        finally:
            run_context.task = mine
        activity.is_done = True
        if activity.lease is not None:
            self.leases.give_back(activity.lease)

    def abandon(self) -> None:
        """Close every coroutine after a failure of the log, or of the runtime itself: nothing is recorded any more."""
        self.recorder.agent = self.recorder.activity = None
        for activity in self.live_activities():
            try:
                self._close(activity)
            except BaseException as error:  # what is being raised already matters more than this
                _diagnostics.debug("%r was abandoned: %r", activity, error)

    def record_end(self) -> None:
        """The last event of the simulation."""
        assert self.ending is not None and self.host is not None, "it has ended"
        data: dict[str, Any] = {"reason": self.reason} if self.reason else {}
        if self.errors:
            data["error"] = text_of(self.errors[0])
            data["place"] = place_of(self.errors[0])
        data["counts"] = {
            "events": self.recorder.next_seq(),
            "agents": len(self.agents),
            "turns": self.turns,
            "goals": dict(sorted(self.goal_counts.items())),
        }
        self.recorder.add_for(f"simulation.{self.ending}", data, agent=0, turn=self.host._turns)


def is_cancellation(error: BaseException) -> bool:
    """Whether an exception is nothing but cancellation."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1] is None
    return isinstance(error, (trio.Cancelled, Unstarted))


def text_of(error: BaseException) -> str:
    """An exception's type and text; of a group those of its members.

    >>> text_of(ExceptionGroup("tasks", [ValueError("bad"), KeyError("x")]))
    "ExceptionGroup: tasks (ValueError: bad; KeyError: 'x')"
    """
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__}: {mended(error.message)} ({'; '.join(map(text_of, error.exceptions))})"
    return f"{type(error).__name__}: {mended(str(error))}"


def place_of(error: BaseException) -> str:
    """Where an exception was raised: ``negotiation.py:31 in run``, without the folder, which differs by machine."""
    if isinstance(error, BaseExceptionGroup):
        return place_of(error.exceptions[0])
    frames = traceback.extract_tb(error.__traceback__)
    ours = (str(Path(__file__).parent), str(Path(trio.__file__).parent))  # a foreign wait ends in Trio
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)] or list(frames)
    return f"{Path(theirs[-1].filename).name}:{theirs[-1].lineno} in {theirs[-1].name}" if theirs else ""


def _who_waits(stuck: list[Activity]) -> str:
    said = []
    for activity in stuck[:10]:
        who = activity.agent._id or "the program"
        waits = activity.waits_for
        said.append(
            f"{who} waits in {waits[0]} for {waits[1]}" if isinstance(waits, tuple) else f"{who} waits in {waits}"
        )
    more = f" and {len(stuck) - 10} more" if len(stuck) > 10 else ""
    return f"nothing can happen any more, but {'; '.join(said)}{more}"
