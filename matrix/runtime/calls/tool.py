"""Tools in use: a call of one is recorded, wherever the tool runs.

Outside, it is a call like others: in a task or a worker thread, under the policies of its name, and a replay takes its
answer from the log. Inside, it runs within the agent's turn, because what it changes is the simulation's own; so
it runs again in a replay, a resume and a fork, and what it gives is compared like everything else that is recorded.

What always holds: one ``tool.called``, and one ``tool.completed`` or ``tool.failed`` that it caused, which is the
cause of all that follows. What the agent gets is the result as the log has it: a replay could give nothing else.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from matrix.endpoint.reply import ToolCall
from matrix.errors import ProgramError, StoreError, UnrecordedInput
from matrix.runtime.calls.call import Call, CallFailed, UnknownOutcome, answer_to
from matrix.runtime.calls.outside import is_async, said_of
from matrix.runtime.calls.policy import check_given
from matrix.runtime.values import mended, snapshot
from matrix.tools import Tool, ToolArgumentsWrong, as_data, gather, tools_of

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.calls.policy import CallPolicy
    from matrix.runtime.scheduling.activity import Activity

_CALLED, _COMPLETED, _FAILED = "tool.called", "tool.completed", "tool.failed"


class ToolFailed(CallFailed):
    """A tool did not do what it was asked for; raised in the agent that used it.

    ``text``, which is also ``error``, says why, in the words that a model is told and the log has.
    """

    @property
    def text(self) -> str:
        """What to tell the model."""
        return self.error


class _Asked(NamedTuple):
    """What is asked of which tool; ``wrong`` says what cannot even be asked."""

    tool: Tool | None
    name: str
    given: dict[str, Any]
    arguments: dict[str, Any]  # the same, as the log has them
    told: dict[str, Any]  # what else is recorded of the request
    wrong: str = ""


async def use(agent: Agent, tool: Any, policy: CallPolicy | None, arguments: dict[str, Any]) -> Any:
    """``agent.use``: record the request, have the tool do it, record what came of it."""
    activity = agent._own_activity()
    if policy is not None:
        check_given(policy)
    asked = _asked(agent, tool, arguments)
    agent._calls += 1
    told = {"tool": asked.name, "call_id": f"{agent._id or 'program'}#{agent._calls}"}
    if "tool_call_id" in asked.told:
        told["tool_call_id"] = asked.told["tool_call_id"]
    said = {**told, **asked.told, "arguments": asked.arguments}
    if asked.tool is None:
        raise _refused(agent, activity, asked.wrong, told=told, said=said)
    try:
        if asked.wrong:
            raise ToolArgumentsWrong(asked.wrong)
        checked = asked.tool.check(asked.given)
    except ToolArgumentsWrong as wrong:
        raise _refused(agent, activity, said_of(wrong, asked.tool.told), told=told, said=said) from None
    if asked.tool.inside:
        return await _use_inside(agent, activity, asked.tool, checked, told=told, said={**said, "inside": True})
    return await _use_outside(agent, activity, asked.tool, checked, policy, told=told, said=said)


# -- what is asked -------------------------------------------------------------------------------


def _asked(agent: Agent, tool: Any, arguments: dict[str, Any]) -> _Asked:
    if isinstance(tool, Tool):
        return _Asked(tool, tool.name, arguments, snapshot(as_data(arguments), f"the arguments of {tool.name}"), {})
    if isinstance(tool, str):
        tools = tools_in_hand(agent)
        if tool not in tools:
            raise ProgramError(f"{agent!r} has no tool {tool!r}; {_hint(tool, tools)}")
        return _asked(agent, tools[tool], arguments)
    call = ToolCall.of(tool) if isinstance(tool, Mapping) else tool
    if not isinstance(call, ToolCall):
        raise ProgramError(f"use takes a tool, the name of one, or a model's call of one, not {tool!r}")
    if arguments:
        raise ProgramError(f"a model's call brings its arguments along; {', '.join(arguments)} cannot be added to them")
    return _asked_by_model(tools_in_hand(agent), call)


def _asked_by_model(tools: dict[str, Tool], call: ToolCall) -> _Asked:
    """A model's call: whatever it wrote is recorded, and what is wrong with it is told to it."""
    name, told = mended(call.name), {"tool_call_id": mended(call.id)} if call.id else {}
    given, problem = call.arguments, call.problem
    try:
        arguments = snapshot(given, "the whole")  # a copy: the tool may change what it is given
    except ProgramError as error:  # half a letter, or nested too deep
        given, arguments, problem = {}, {}, str(error)
    if problem:
        told["arguments_text"] = mended(call.text)
        problem = f"the arguments of {name} cannot be read: {problem}"
    found = tools.get(name)
    if found is None:
        problem = f"there is no tool {name!r}; {_hint(name, tools)}"
    return _Asked(found, name, given, arguments, told, problem)


def tools_in_hand(agent: Agent) -> dict[str, Tool]:
    """The tools of an agent by name: those among its methods, and those in its ``tools``."""
    return gather([*tools_of(agent), *getattr(agent, "tools", ())])


def _hint(name: str, tools: Mapping[str, Tool]) -> str:
    close = difflib.get_close_matches(name, list(tools), n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(tools) or 'none'}"


# -- how it is done ------------------------------------------------------------------------------


async def _use_outside(
    agent: Agent,
    activity: Activity,
    tool: Tool,
    checked: dict[str, Any],
    policy: CallPolicy | None,
    *,
    told: dict[str, Any],
    said: dict[str, Any],
) -> Any:
    if tool.signature.context:
        raise ProgramError(
            f"the tool {tool.name} takes the agent, which acts in its own turns only: make it one with inside=True"
        )
    rules = agent._scheduler.simulation.policies.of(tool.name, tool, policy)
    request = Call(activity, _plainly(tool, checked), (), name=tool.name, call_id=told["call_id"], policy=rules)
    request.told_as = tool.told
    try:
        return await answer_to(request, "tool", told=told, said=said, latency=None)
    except UnknownOutcome:
        raise
    except CallFailed as failed:
        raise ToolFailed(tool.name, failed.error, attempts=failed.attempts) from failed.__cause__


def _plainly(tool: Tool, checked: dict[str, Any]) -> Callable[[], Any]:
    """What a call runs: the tool, whose result becomes plain where it runs."""

    async def wait(result: Awaitable[Any]) -> Any:
        return as_data(await result)

    async def run_async() -> Any:
        return as_data(await tool.run(checked))

    def run() -> Any:
        result = tool.run(checked)
        return wait(result) if inspect.isawaitable(result) else as_data(result)

    return run_async if is_async(tool.function) else run


async def _use_inside(
    agent: Agent, activity: Activity, tool: Tool, checked: dict[str, Any], *, told: dict[str, Any], said: dict[str, Any]
) -> Any:
    end = partial(_end, agent, activity, _begin(agent, activity, said), agent._scheduler.now, told)
    try:
        result = tool.run(checked, context=agent)
        if inspect.isawaitable(result):
            result = await result
        result = snapshot(as_data(result), f"the result of {tool.name}")
    except StoreError:  # nothing can be recorded any more
        raise
    except Exception as error:
        text = said_of(error, tool.told)
        end(_FAILED, error=text)
        if isinstance(error, UnrecordedInput):  # no mistake that a model could mend
            raise
        raise ToolFailed(tool.name, text) from error
    except BaseException as error:
        if agent._recorder.agent is agent:  # not in a simulation that is abandoned
            end(_FAILED, error=type(error).__name__, cancelled=True)
        raise
    end(_COMPLETED, result=result)
    return snapshot(result, tool.name)  # a copy: the agent may change what it got, the log may not change with it


def _refused(agent: Agent, activity: Activity, text: str, *, told: dict[str, Any], said: dict[str, Any]) -> ToolFailed:
    """What cannot be asked is recorded too, as a call that failed at once."""
    _end(agent, activity, _begin(agent, activity, said), agent._scheduler.now, told, _FAILED, error=text)
    return ToolFailed(told["tool"], text)


def _begin(agent: Agent, activity: Activity, said: dict[str, Any]) -> int:
    seq = agent._recorder.add(_CALLED, said)
    if agent._goal is not None:
        agent._goal.steps += 1
    _because_of(agent, activity, seq)
    return seq


def _end(
    agent: Agent, activity: Activity, called: int, began: int, told: dict[str, Any], kind: str, **what: Any
) -> None:
    _because_of(agent, activity, called)  # it may have waited meanwhile, for others
    ms = (agent._scheduler.now - began) / 1_000
    _because_of(agent, activity, agent._recorder.add(kind, {**told, **what, "ms": ms}))


def _because_of(agent: Agent, activity: Activity, seq: int) -> None:
    """What follows in this turn has that event as its cause."""
    agent._recorder.cause = activity.cause = seq
    agent._recorder.context()
