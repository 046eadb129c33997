"""Models and tools in one place, for programs: what an agent asks, and the loop in which a model uses tools.

    class Clerk(matrix.models.ToolAgent):
        model_name = "gpt-4.1"
        system = "You are the clerk of a shop for lamps."
        tools = [find_order, cancel_order]

What always holds of the loop: every call that a model makes gets one answer, in the order of the calls, and what went
wrong with one is its answer; the loop ends with a reply without calls, where ``is_done`` says so, or after
``steps_max`` replies.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matrix.errors import MatrixError
from matrix.runtime.agent import Agent
from matrix.runtime.calls.call import CallFailed
from matrix.runtime.mailbox import Message
from matrix.tools import Tool, ToolArgumentsWrong, gather, result_text, tool, tools_of

if TYPE_CHECKING:
    from matrix.endpoint.endpoint import Endpoint as Endpoint
    from matrix.endpoint.reply import Reply as Reply
    from matrix.endpoint.reply import ToolCall as ToolCall
    from matrix.runtime.calls.tool import ToolFailed as ToolFailed

#: Names that load more than an agent needs: where they live.
_HOMES = {
    "Endpoint": "matrix.endpoint.endpoint",
    "Reply": "matrix.endpoint.reply",
    "ToolCall": "matrix.endpoint.reply",
    "ToolFailed": "matrix.runtime.calls.tool",
}

__all__ = [
    "Endpoint",
    "Reply",
    "StepsExceeded",
    "Tool",
    "ToolAgent",
    "ToolArgumentsWrong",
    "ToolCall",
    "ToolFailed",
    "tool",
    "tools_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'matrix.models' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


class StepsExceeded(MatrixError):
    """A model went on calling tools after as many replies as ``steps_max`` allows."""


class ToolAgent(Agent):
    """An agent whose behaviour is a model with tools: it answers every message with what the model says.

    ``tools`` are tools, and objects that have some; tools among the agent's own methods are added to them. Each agent
    it speaks with has a conversation of its own. Override ``answer`` for another way to answer, ``said_in`` for what
    the model is told of a message, ``is_done`` for another end; or ``run`` for a life of its own, in which
    ``reply = await self.converse(messages)`` is the loop.
    """

    model_name: str  #: the model to ask
    system: str = ""  #: its instructions, the first message of every conversation
    tools: Sequence[Any] = ()
    options: Mapping[str, Any] = {}  #: for every request: temperature, max_tokens, tool_choice, ...
    steps_max: int = 20  #: replies of the model to one message
    parallel: bool = False  #: whether the calls of one reply run at once, those of tools outside

    async def run(self) -> None:
        """Answer messages, one after the other."""
        async for message in self.messages():
            await self.answer(message)

    async def answer(self, message: Message) -> Reply:
        """Hear a message, let the model do what it wants to, and send its text to who spoke."""
        conversations = self.__dict__.setdefault("conversations", {})
        messages = conversations.setdefault(message.sender, [])
        messages.append({"role": "user", "content": self.said_in(message)})
        reply = await self.converse(messages)
        if message.sender is not None:  # also where it said nothing: who asks waits for an answer
            self.reply(message, text=reply.text)
        return reply

    def said_in(self, message: Message) -> str:
        """A message as the model reads it: its text, or its kind and data as JSON."""
        return message.text if message.text is not None else result_text({"kind": message.kind, **message.data})

    async def converse(self, messages: list[dict[str, Any]]) -> Reply:
        """Ask the model, use the tools it calls, and so on; returns its last reply. ``messages`` gets all that is said.

        Raises ``StepsExceeded``, and ``CallFailed`` where the model cannot be asked.
        """
        known = list(gather([*tools_of(self), *self.tools]).values())
        for _ in range(self.steps_max):
            reply = await self.ask_model(messages, known)
            answers = await self.answers_to(reply.tool_calls) if reply.tool_calls else []
            messages += [reply.message, *answers]  # at once: servers refuse a call without its answer, ever after
            if self.is_done(reply):
                return reply
        raise StepsExceeded(f"{self.id}: the model calls tools still after {self.steps_max} replies; raise steps_max?")

    async def ask_model(self, messages: list[dict[str, Any]], tools: list[Tool]) -> Reply:
        """One request; override it to choose another model, or to shorten what it is told."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return await self.model([*system, *messages], model=self.model_name, tools=tools, **self.options)

    def is_done(self, reply: Reply) -> bool:
        """Whether the conversation waits for the other side now: when the model calls no tool."""
        return not reply.tool_calls

    async def answers_to(self, calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
        """What the model is told of its calls, in their order."""
        if not self.parallel or len(calls) == 1:
            return [await self.answer_to(call) for call in calls]
        answers: list[dict[str, Any]] = [{}] * len(calls)

        async def answer(place: int) -> None:
            answers[place] = await self.answer_to(calls[place])

        await self.join(*[self.start(answer, place) for place in range(len(calls))])
        return answers

    async def answer_to(self, call: ToolCall) -> dict[str, Any]:
        """Use the tool that a model calls; what goes wrong is told to the model."""
        try:
            content = result_text(await self.use(call))
        except CallFailed as failed:
            content = failed.error
        return {"role": "tool", "tool_call_id": call.id, "content": content}
