"""Requests to models, whole again: what ``model.called`` stores once is put together for each call.

An event holds only those messages of its request that are new in the simulation: ``after`` names the event that
the conversation goes on from, ``kept`` how many of the messages up to there it keeps (absent: all), ``tools_of`` the
call that has the same tools. A conversation is a chain of messages, each pointing at the one before it, so requests
that begin alike share what they share here as well: memory is that of the messages in the log.

What always holds: a reference leads back, to an event of the same simulation; of a fork, also to one of its parent's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from matrix.errors import StoreError
from matrix.event import MODEL_CALLED, MODEL_COMPLETED, Event

Message: TypeAlias = Mapping[str, Any]  # in OpenAI form: role, content, tool_calls, tool_call_id, name


class Chain:
    """The newest message of a conversation, and the chain it goes on from."""

    __slots__ = ("before", "length", "message")

    def __init__(self, before: Chain | None, message: Message) -> None:
        self.before, self.message = before, message
        self.length: int = 1 if before is None else before.length + 1


@dataclass(frozen=True, slots=True)
class Request:
    """What a model was asked: one ``model.called``, with all its messages and tools."""

    seq: int
    agent: int  #: the number of the agent that asked
    call_id: str
    model: str
    endpoint: str  #: the server's URL, without anything secret
    request_hash: str
    tools: list[dict[str, Any]]  #: schemas, empty for none
    options: dict[str, Any]  #: temperature, max_tokens and the like, as they were sent
    is_streamed: bool
    end: Chain | None = field(repr=False)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All messages in order; a new list, whose maps are copies that may be changed at their top level."""
        return listed(self.end)


class Requests:
    """The requests of one simulation: give it the events in order, and get back each ``model.called`` whole.

    >>> requests = Requests()                                                 # doctest: +SKIP
    >>> for event in store.events("1-1"):                                     # doctest: +SKIP
    ...     if (request := requests.feed(event)) is not None:
    ...         print(request.seq, len(request.messages), len(request.tools))
    12 2 3
    19 4 3

    Only events of the kinds ``model.called`` and ``model.completed`` matter; others may be left out. Calls that were
    recorded without messages (``self.call(…, kind="model")``) are none of its requests.
    """

    def __init__(self) -> None:
        self._ends: dict[int, Chain | None] = {}  # of each call, and of each answer, by seq
        self._tools: dict[int, list[dict[str, Any]]] = {}
        self._asked: dict[tuple[int, str], int] = {}  # agent and call_id -> seq of the call

    def feed(self, event: Event) -> Request | None:
        """The whole request of a ``model.called``, None for other events; ``StoreError`` for a broken reference."""
        if event.kind == MODEL_COMPLETED:
            self._answer(event)
        elif event.kind == MODEL_CALLED and "messages" in event.data:
            return self._request(event)
        return None

    def messages(self, seq: int) -> list[dict[str, Any]]:
        """Of a ``model.called`` all messages of its request; of a ``model.completed`` those it answers, and its own.

        ``KeyError`` for a ``seq`` that is neither, or was not fed.
        """
        return listed(self._ends[seq])

    def _request(self, event: Event) -> Request:
        data = event.data
        end = self._kept(event)
        for message in data["messages"]:
            end = Chain(end, message)
        self._ends[event.seq] = end
        call_id = str(data.get("call_id", ""))
        self._asked[event.agent, call_id] = event.seq
        return Request(
            event.seq,
            event.agent,
            call_id,
            str(data.get("model", "")),
            str(data.get("endpoint", "")),
            str(data.get("request_hash", "")),
            self._tools_of(event),
            dict(data.get("options") or {}),
            bool(data.get("stream")),
            end,
        )

    def _kept(self, event: Event) -> Chain | None:
        """The messages that the request begins with, which earlier events hold."""
        after = event.data.get("after")
        if after is None:
            return None
        if after not in self._ends:
            raise StoreError(f"event {event.seq} goes on from event {after}, which holds no messages of a model")
        end = self._ends[after]
        length = 0 if end is None else end.length
        kept = event.data.get("kept", length)
        if not 0 <= kept <= length:
            raise StoreError(f"event {event.seq} keeps {kept} messages of event {after}, which has {length}")
        while end is not None and end.length > kept:
            end = end.before
        return end

    def _tools_of(self, event: Event) -> list[dict[str, Any]]:
        tools_of = event.data.get("tools_of")
        if tools_of is None:
            self._tools[event.seq] = tools = list(event.data.get("tools") or ())
        elif tools_of in self._tools:
            tools = self._tools[tools_of]
        else:
            raise StoreError(f"event {event.seq} has the tools of event {tools_of}, which is no call of a model")
        return list(tools)

    def _answer(self, event: Event) -> None:
        asked = self._asked.pop((event.agent, str(event.data.get("call_id", ""))), None)
        message = event.data.get("message")
        if asked is not None and message is not None:
            self._ends[event.seq] = Chain(self._ends[asked], message)


def listed(end: Chain | None) -> list[dict[str, Any]]:
    """The messages of a chain, first to last."""
    found = []
    while end is not None:
        found.append(dict(end.message))
        end = end.before
    found.reverse()
    return found
