"""What a model was really shown and answered, as chains: for agents that asked models.

A request that begins with an answered one and its answer goes on its chain. Any other begins a chain of its own:
another prompt, a window that slid on, an answer that was shown to the model in other words, the same question once
more. The last answered request of a chain holds all that was said in it; with its answer it is what a row is made of.

What always holds: each answered request of an agent is in exactly one chain, so nothing that a model was shown or
answered is missing from all rows. Requests that got no answer are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matrix.event import MODEL_COMPLETED, MODEL_FAILED, Event
from matrix.requests import Request, Requests

if TYPE_CHECKING:
    from matrix.export.contract import Counts

ENDS = (MODEL_COMPLETED, MODEL_FAILED)
UNANSWERED = "requests that no model answered"
FURTHER = "further choices of a model's answers"


@dataclass(frozen=True, slots=True)
class Answered:
    """A request, and the ``model.completed`` that answers it; ``new`` counts messages that the chain had not yet."""

    request: Request
    answer: Event
    new: int

    @property
    def message(self) -> dict[str, Any]:
        """What the model said."""
        return dict(self.answer.data["message"])

    def shown(self) -> list[dict[str, Any]]:
        """What the model was shown that it had not seen in this chain."""
        return self.request.messages[-self.new :] if self.new else []


@dataclass(slots=True)
class Chain:
    """Requests of one agent of which each goes on from the answer to the one before; those that were answered."""

    answered: list[Answered] = field(default_factory=list)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All that was said, up to the newest answer."""
        last = self.answered[-1]
        return [*last.request.messages, last.message]

    @property
    def length(self) -> int:
        """How many messages that are."""
        if not self.answered or self.answered[-1].request.end is None:
            return len(self.answered)
        return self.answered[-1].request.end.length + 1

    def goes_on_with(self, message: Mapping[str, Any]) -> bool:
        """Whether a message, as it was shown to a model, is the newest answer."""
        answer = self.answered[-1].message
        same_content = (answer.get("content") or "") == (message.get("content") or "")
        same_calls = (answer.get("tool_calls") or []) == (message.get("tool_calls") or [])
        return message.get("role") == "assistant" and same_content and same_calls


@dataclass(slots=True)
class _Asker:
    """The chains of one agent while its requests are met.

    ``ends`` are the chains that can go on, by the last message of their newest request; one whose next request is
    under way is not among them. ``waiting`` are the requests under way, each with its chain.
    """

    chains: list[Chain] = field(default_factory=list)
    ends: dict[int, list[Chain]] = field(default_factory=dict)
    waiting: dict[str, tuple[Request, Chain]] = field(default_factory=dict)

    def place(self, request: Request) -> Chain:
        """The chain that a request goes on, or a new one."""
        behind = request.end
        while behind is not None and behind.before is not None:
            ended = self.ends.get(id(behind.before), [])
            for chain in reversed(ended):
                if chain.goes_on_with(behind.message):
                    ended.remove(chain)
                    return chain
            behind = behind.before
        self.chains.append(Chain())
        return self.chains[-1]

    def can_go_on(self, chain: Chain) -> None:
        """A chain whose newest request was answered, or whose next one was not."""
        if chain.answered:
            self.ends.setdefault(id(chain.answered[-1].request.end), []).append(chain)


class Asked:
    """All requests of a simulation: give it the events in order, and get the chains of each agent."""

    def __init__(self, counts: Counts) -> None:
        self._requests, self._counts = Requests(), counts
        self._askers: dict[int, _Asker] = {}

    def feed(self, event: Event) -> None:
        """Take note of an event; only calls of models and how they ended matter."""
        request = self._requests.feed(event)
        if request is not None:
            asker = self._askers.setdefault(request.agent, _Asker())
            asker.waiting[request.call_id] = request, asker.place(request)
        elif event.kind in ENDS and event.agent in self._askers:
            self._end(self._askers[event.agent], event)

    def has_asked(self, agent: int) -> bool:
        """Whether an agent asked a model, whatever came of it."""
        return agent in self._askers

    def chains(self, agent: int) -> list[Chain]:
        """The chains of an agent in which something was answered, in the order in which they began."""
        asker = self._askers[agent]
        self._counts.left_out[UNANSWERED] += len(asker.waiting)
        return [chain for chain in asker.chains if chain.answered]

    def _end(self, asker: _Asker, event: Event) -> None:
        found = asker.waiting.pop(str(event.data.get("call_id", "")), None)
        if found is None:
            return
        request, chain = found
        if event.kind == MODEL_COMPLETED and isinstance(event.data.get("message"), Mapping):
            self._counts.left_out[FURTHER] += len(event.data.get("choices") or ())
            length = 0 if request.end is None else request.end.length
            chain.answered.append(Answered(request, event, length - chain.length))
        else:
            self._counts.left_out[UNANSWERED] += 1
        asker.can_go_on(chain)
