"""A goal: what an agent pursues, from ``goal.started`` to its end.

Events that the agent emits meanwhile carry the innermost open goal. A goal's ``steps`` are the
agent's own actions under it or under a goal nested in it; they are counted here as they happen,
so that the end can be recorded without looking back.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from matrix.errors import ProgramError
from matrix.event import GOAL_CANCELLED, GOAL_ENDS, GOAL_FAILED, GOAL_STARTED, GOAL_SUCCEEDED
from matrix.runtime.values import check_text, mended, snapshot_payload

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent

_OF_THE_START = ("name", "parent")
_OF_THE_END = ("reason", "steps", "turns")


class GoalFailed(Exception):
    """Raise it inside ``with self.goal(...)``: the goal fails with this reason, and the agent goes on after it.

    >>> raise GoalFailed("too expensive", price=90)
    Traceback (most recent call last):
    matrix.runtime.goal.GoalFailed: too expensive
    """

    def __init__(self, reason: str = "", **data: Any) -> None:
        super().__init__(reason)
        self.reason, self.data = reason, data


class Goal:
    """One goal of one agent; ``with`` or ``async with`` begins and ends it.

    async with self.goal("close_deal", limit=60) as goal:
        ...                          # leaving normally succeeds
        goal.fail("too expensive")   # unless an end was said before
    """

    __slots__ = ("_agent", "_parent", "_turn", "name", "parameters", "seq", "status", "steps")

    def __init__(self, agent: Agent, name: str, parameters: dict[str, Any]) -> None:
        if not isinstance(name, str) or not name:
            raise ProgramError(f"a goal's name is a text such as 'close_deal', not {name!r}")
        _refuse(parameters, _OF_THE_START, name)
        self.name, self.parameters = name, snapshot_payload(parameters, f"goal {name}")
        self.seq = self.steps = self._turn = 0
        self.status = "new"
        self._agent = agent
        self._parent: Goal | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has begun and not ended."""
        return self.status == "running"

    def begin(self) -> Goal:
        """Take it up: events from now on carry it. ``with`` does this, ``self.begin_goal`` too."""
        agent = self._agent
        recorder = agent._own_turn()
        check_text(self.name, "the name of a goal")
        if self.status != "new":
            raise ProgramError(f"the goal {self.name!r} of {agent.id} was begun before; make a new one")
        data = {"name": self.name, **self.parameters}
        if agent._goal is not None:
            self._parent = agent._goal
            data["parent"] = self._parent.seq
        self.seq, self._turn, self.status = recorder.next_seq(), agent._turns, "running"
        agent._goal, agent._goal_seq = self, self.seq
        recorder.context()
        recorder.add(GOAL_STARTED, data)
        return self

    def succeed(self, **data: Any) -> None:
        """End it well; ``data`` is recorded with the end: ``goal.succeed(price=55)``."""
        self._end(GOAL_SUCCEEDED, "", data)

    def fail(self, reason: str = "", **data: Any) -> None:
        """End it badly, for a reason: ``goal.fail("too expensive", price=90)``."""
        self._end(GOAL_FAILED, reason, data)

    def cancel(self, reason: str = "", **data: Any) -> None:
        """Drop it: ``goal.cancel("the seller left")``."""
        self._end(GOAL_CANCELLED, reason, data)

    def _end(self, kind: str, reason: str, data: dict[str, Any]) -> None:
        agent = self._agent
        recorder = agent._own_turn()
        if self.status != "running":
            raise ProgramError(f"the goal {self.name!r} of {agent.id} cannot end: it is {self.status}")
        _refuse(data, _OF_THE_END, self.name)
        ended: dict[str, Any] = {"reason": check_text(str(reason), f"{kind}.reason")} if reason else {}
        ended.update(steps=self.steps, turns=agent._turns - self._turn + 1, **snapshot_payload(data, kind))
        self.status = GOAL_ENDS[kind]
        agent._goal_seq = self.seq
        recorder.context()  # the end itself belongs to this goal, also when an inner one is still open
        recorder.add(kind, ended)
        recorder.count_goal(self.status)
        self._leave()
        recorder.context()

    def _leave(self) -> None:
        """Hand the steps on, and let the agent go back to the innermost goal that is still open."""
        agent, parent = self._agent, self._parent
        while parent is not None and not parent.is_open:
            parent = parent._parent
        if parent is not None:
            parent.steps += self.steps
        if agent._goal is self:
            agent._goal = parent
        agent._goal_seq = agent._goal.seq if agent._goal is not None else 0

    def __enter__(self) -> Goal:
        return self.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        absorbed = isinstance(error, GoalFailed)
        if self.is_open:
            if error is None:
                self.succeed()
            elif isinstance(error, GoalFailed):
                self.fail(error.reason, **error.data)
            elif isinstance(error, Exception):
                self.fail(mended(str(error)) or type(error).__name__)
            else:  # Cancelled, or the simulation ends while this waits
                self.cancel()
        return absorbed

    async def __aenter__(self) -> Goal:
        return self.begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return self.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<Goal {self.name} of {self._agent.id}: {self.status}, {self.steps} steps>"


def _refuse(data: dict[str, Any], taken: tuple[str, ...], goal: str) -> None:
    for name in taken:
        if name in data:
            raise ProgramError(f"the goal {goal!r} may not have a field {name!r}: the runtime records that itself")
