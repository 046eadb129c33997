"""Supervision: how coroutines and agents end, and what an exception in an agent leads to.

An agent's policy decides. ``propagate``: the simulation fails. ``isolate``: the agent has failed, the
others go on. ``Restart(times, within)``: the agent begins anew, as often as that, and then propagates.

What always holds: an exception that left an agent's code is recorded, as ``agent.failed`` or as
``agent.restarted``, and caused by what the agent was handling. Whoever waits for an agent that has
ended, or for an answer that will not come, is told. No policy absorbs a failure of the log, an exit
or Ctrl-C; the program itself, agent 0, has no policy.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any

from matrix.errors import AskFailed
from matrix.event import AGENT_CANCELLED, AGENT_FAILED, AGENT_FINISHED, AGENT_RESTARTED, GOAL_CANCELLED, GOAL_FAILED
from matrix.runtime.mailbox import Message, Start
from matrix.runtime.scheduling.activity import ENDED, HANDLER, PROCESS, REACTIVE, Activity
from matrix.runtime.scheduling.population import Group, Population
from matrix.runtime.scheduling.restart import Policy, Restart, Restarts, policy_data, policy_of
from matrix.runtime.scheduling.trouble import absorbable, is_cancellation, place_of, reason_of, remark, text_of

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.goal import Goal
    from matrix.runtime.recorder import Recorder
    from matrix.runtime.simulation import Simulation


class Supervision(Population):
    """How agents and their coroutines end, and what happens then."""

    def __init__(self, simulation: Simulation, recorder: Recorder, *, seed: int, ordinal: int) -> None:
        super().__init__(simulation, recorder, seed=seed, ordinal=ordinal)
        self.policy: Policy = "propagate"  # of agents that have none of their own
        self.policies: dict[int, Policy] = {}  # of agents that were given one of their own, not their class
        self.restarts: dict[int, Restarts] = {}  # of agents whose policy that is
        self.failed: dict[int, str] = {}  # what agents failed with, for those who ask them later
        self.leaving: dict[int, int] = {}  # agents that were cancelled and have not ended: by the event that led to it
        self.ending: str | None = None
        self.end_cause = 0  # the event that led to the simulation's end
        self.errors: list[Exception] = []

    @abstractmethod
    def fail(self, error: Exception, who: str = "", *, cause: int = 0) -> None: ...

    def supervise(self, agent: Agent, parameters: dict[str, Any], data: dict[str, Any]) -> None:
        """An agent is being started: what its policy needs, and what is recorded of it."""
        policy = self.policy
        if agent.policy is not None:
            policy = policy_of(agent.policy, f"the policy of {agent._id}")
            data["policy"] = policy_data(policy)
            if agent.policy is not type(agent).policy:
                self.policies[agent._number] = policy
        if isinstance(policy, Restart):
            self.restarts[agent._number] = Restarts(policy, parameters)

    def _policy_for(self, agent: Agent) -> Policy:
        """The policy that an agent was started with, whatever its attribute says by now."""
        own = self.policies.get(agent._number) or type(agent).policy
        return self.policy if own is None else own

    # -- the end of a coroutine ----------------------------------------------------------------

    def activity_ended(self, activity: Activity, error: BaseException | None) -> None:
        """A coroutine returned or raised; still in its last turn."""
        agent = activity.agent
        activity.is_done, activity.coroutine, activity.context = True, None, None
        error = error or activity.violation
        if error is None and agent._mode == HANDLER and agent._receiver is None:
            self._handled(agent, activity, None)  # the short way of nearly all
            return
        if error is not None and not is_cancellation(error):
            error = absorbable(error)
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
            self._main_ended(agent, error, activity.message)
        if self.joiners:
            self.wake_joiners(activity, 0)

    def _handled(self, agent: Agent, activity: Activity, error: BaseException | None) -> None:
        self.open_count -= 1
        if activity.lease is not None or activity.is_cancelled:
            agent._main = None  # the next message gets another; otherwise this one serves again
        if error is not None:
            agent._main = None
            self._main_ended(agent, error, activity.message)
        else:
            self.next_item(agent)

    def next_item(self, agent: Agent) -> None:
        """An agent with async handlers has handled one item: the next from its mailbox gets a turn."""
        agent._waiting = 0
        if agent._mode == HANDLER and agent._mailbox:
            agent._waiting = 1
            agent._lane.append((agent, agent._mailbox.popleft()))

    def _child_ended(self, agent: Agent, group: Group, activity: Activity, error: BaseException | None) -> None:
        group.activities.remove(activity)
        is_error = error is not None and not is_cancellation(error)
        self.drop_goals(agent, activity.base_goal, error if is_error else None)
        if error is not None and is_error:
            if not group.errors:
                group.cause = self.recorder.cause
            group.errors.append(error)
        if error is not None and not group.message:
            group.message = activity.message
        if group.errors and not group.is_cancelled:
            group.is_cancelled = True
            for other in group.activities:
                self.cancel_activity(other)
        if not group.activities:
            del self.groups[agent._number]
            if group.errors:
                self.recorder.cause = group.cause
                self.recorder.context()
                error = BaseExceptionGroup(f"tasks of {agent._id or 'the program'}", group.errors)
            self._main_ended(agent, error, group.message)

    def _main_ended(self, agent: Agent, error: BaseException | None, message: int) -> None:
        if error is not None and not is_cancellation(error):
            self.agent_failed(agent, error, message)
        elif agent._mode != ENDED:
            self.agent_ended(agent, AGENT_FINISHED if error is None else AGENT_CANCELLED, {})

    # -- the end of an agent -------------------------------------------------------------------

    def agent_failed(self, agent: Agent, error: BaseException, message: int = 0) -> None:
        """An exception left the agent's code, while it handled ``message``: what its policy says."""
        trouble: Exception = absorbable(error)
        if not agent._number:
            cause = self.recorder.cause
            self.agent_ended(agent, AGENT_FAILED, {}, trouble)
            self.fail(trouble, "the program: ", cause=cause)
            return
        policy = self._policy_for(agent)
        told: dict[str, Any] = {}
        if isinstance(policy, Restart):
            if self.ending is not None or agent._number in self.leaving or agent._mode == ENDED:
                policy = "isolate"  # it was to end anyway, or had
            elif (again := self._restart(agent, trouble, message)) is None:
                return
            else:
                trouble, told = again, {"restarts": policy.times}
                remark(trouble, f"{agent._id} had been restarted {policy.times} times")
        seq = self._record_failure(agent, trouble, told)
        if policy != "isolate":
            self.fail(trouble, f"agent {agent._id}: ", cause=seq)

    def _record_failure(self, agent: Agent, error: Exception, told: dict[str, Any]) -> int:
        data = {"error": text_of(error), "place": place_of(error)}
        self.failed[agent._number] = data["error"]
        if agent._mode == ENDED:  # it said finish(), or was cancelled, in the turn in which it raised
            return self.recorder.add(AGENT_FAILED, data)
        return self.agent_ended(agent, AGENT_FAILED, data | told, error)

    def agent_ended(self, agent: Agent, kind: str, data: dict[str, Any], error: Exception | None = None) -> int:
        """Record an agent's end (the program has none of its own: the simulation's is recorded). Returns its seq."""
        self.drop_goals(agent, None, error)
        number = agent._number
        seq = self.recorder.add(kind, data) if number else self.recorder.cause
        agent._mode = ENDED
        agent._mailbox = agent._receiver = agent._asks = None
        if number:
            self.alive -= 1
        self.leaving.pop(number, None)
        if self.restarts:
            self.restarts.pop(number, None)
        if self.joiners:
            self.wake_joiners(number, seq)
        if self.asked:
            self._tell_askers(agent, seq, self.asked.pop(number, {}), self.end_of(agent))
        return seq

    def finish_now(self, agent: Agent) -> None:
        """An agent that is called says that it is done; what it was sent already is not handled."""
        if agent._mode != ENDED:
            self.agent_ended(agent, AGENT_FINISHED, {})

    def drop_goals(self, agent: Agent, base: Goal | None = None, error: BaseException | None = None) -> None:
        """Goals still open at the end of an agent, a task or the simulation end too, innermost first.

        They fail with the error that ended the agent; without one they are cancelled.
        """
        while agent._goal is not None and agent._goal is not base:
            if error is None:
                agent._goal._end(GOAL_CANCELLED, "", {})
            else:
                agent._goal._end(GOAL_FAILED, reason_of(error), {})

    # -- those who wait for an answer ----------------------------------------------------------

    def end_of(self, agent: Agent) -> str:
        """How an agent ended, in words."""
        error = self.failed.get(agent._number)
        return f"has failed ({error})" if error else "has ended"

    def _tell_askers(self, agent: Agent, cause: int, questions: dict[int, Activity], said: str) -> None:
        for seq, activity in questions.items():
            if activity.waiting:
                activity.waiting, activity.cause = False, cause
                activity.agent._lane.append((activity, _no_answer(agent, seq, said)))

    def no_answer(self, agent: Agent, seq: int) -> AskFailed:
        """What is raised in whoever asks an agent that has ended."""
        return _no_answer(agent, seq, self.end_of(agent))

    def _lost_questions(self, agent: Agent) -> dict[int, Activity]:
        """Questions that an agent took and did not answer; those still in its mailbox it may yet."""
        questions = self.asked.get(agent._number)
        if not questions:
            return {}
        kept = {item.seq for item in agent._mailbox or ()}
        kept.update(item.seq for target, item in agent._lane if target is agent)
        return {seq: questions.pop(seq) for seq in list(questions) if seq not in kept}

    # -- restarts ------------------------------------------------------------------------------

    def _restart(self, agent: Agent, error: Exception, message: int) -> Exception | None:
        """Begin an agent anew; None when that is done, the newest error when its restarts are used up."""
        kept, recorder = self.restarts[agent._number], self.recorder
        while (attempt := kept.next_attempt(self.now)) is not None:
            self.drop_goals(agent, None, error)
            data = {"error": text_of(error), "place": place_of(error), "attempt": attempt}
            seq = recorder.add(AGENT_RESTARTED, data | ({"lost": message} if message else {}))
            recorder.cause, recorder.activity = seq, None
            recorder.context()
            kept.cancel_timers()
            try:
                self._renew(agent, kept, error)
            except Exception as again:
                error, message = absorbable(again), 0
                if agent._mode == ENDED:
                    break  # its hook said finish()
                continue
            if agent._mode != ENDED:
                self._begin_anew(agent, seq)
                self._tell_askers(agent, seq, self._lost_questions(agent), f"was restarted ({data['error']})")
            return None
        return error

    def _renew(self, agent: Agent, kept: Restarts, error: Exception) -> None:
        """Fresh attributes; what is the runtime's own stays, and so do the agent's state and its chance."""
        agent._receiver = agent._asks = agent._main = None
        if agent._mode == HANDLER:
            agent._waiting = 1  # busy: what it sends itself now comes later
        agent.__dict__.clear()
        for name in _own_slots(type(agent)):
            if hasattr(agent, name):
                delattr(agent, name)
        self.furnish(agent, copy.deepcopy(kept.parameters))
        if agent._number in self.policies:
            agent.policy = kept.policy
        if hasattr(agent, "on_restart"):
            agent.on_restart(error)

    def _begin_anew(self, agent: Agent, seq: int) -> None:
        """Its first turn is the next of its priority: before messages that wait."""
        if agent._mailbox is not None:
            agent._mailbox = deque(item for item in agent._mailbox if type(item) is Message)  # no timers of before
        if agent._mode == PROCESS:
            agent._main = Activity(agent, None, None, seq)
            self.open_count += 1
            agent._lane.appendleft((agent._main, None))
        elif hasattr(agent, "on_start"):
            agent._waiting += agent._mode == REACTIVE
            agent._lane.appendleft((agent, Start(seq)))
        elif agent._mode == HANDLER:
            self.next_item(agent)


def _no_answer(agent: Agent, seq: int, said: str) -> AskFailed:
    return AskFailed(f"{agent._id} {said}; the question {seq} gets no answer", agent._id)


def _own_slots(cls: type[Agent]) -> list[str]:
    """Names of slots that classes derived from Agent declared for themselves."""
    declared = [vars(base).get("__slots__", ()) for base in cls.__mro__ if base.__module__ != "matrix.runtime.agent"]
    names = [name for slots in declared for name in ([slots] if isinstance(slots, str) else slots)]
    return [name for name in names if name not in ("__dict__", "__weakref__")]
