"""What one agent said and was told, as conversations of messages: for agents that speak by messages and tools.

Each set of agents that talk is one conversation, as in the query language. In it, from the agent's point of view:

- what it says is ``assistant``, what reaches it ``user``, with the sender's id as ``name`` where more than two talk;
  of others' calls it sees nothing;
- a message stands where the agent took it from its mailbox, as far as the history tells (``simulation``): what still
  waited there it did not know;
- its text and its calls of one turn are one message, unless an answer came in between;
- its calls, and what it says to nobody, belong to the conversation of its newest message, sent or received; before
  the first one, to the conversation that this opens; an agent without messages has one conversation, with nobody;
- an answer follows its call: what reaches the agent, or is said by it, while its calls are open stands behind the
  answers, and calls made meanwhile join the open ones. So a message with calls is followed by their answers, as
  OpenAI's form demands. A call that was never answered is kept, and waits for nothing.

What always holds: answers are in the order of the recording; each event stands in one conversation of each agent
that it concerns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from matrix.event import MESSAGE_SENT, NOTE, Event
from matrix.export.message import content_of, laid_over, name_for, tool_answer, tool_call

if TYPE_CHECKING:
    from matrix.export.contract import Counts
    from matrix.export.simulation import Actor, Simulation

Members: TypeAlias = tuple[int, ...]  # ascending numbers of agents; () for nobody

CALLED: Final = "tool.called"
ANSWERED: Final = frozenset({"tool.completed", "tool.failed"})
TOOLED: Final = ANSWERED | {CALLED}
UNANSWERED: Final = "calls of tools that were never answered"
WAITED: Final = "messages told behind the answers they came before"
JOINED: Final = "calls of tools told as one message with others that were open"


@dataclass(slots=True)
class Said:
    """One message, and the events that it is made of; ``closed`` when an answer has come to one of its calls."""

    message: dict[str, Any]
    first: Event
    last_seq: int
    is_own: bool = False
    closed: bool = False

    @property
    def to(self) -> tuple[int, ...]:
        """The agents that it was sent to."""
        return self.first.to


@dataclass(slots=True)
class Conversation:
    """One conversation of an agent: who talks, and what was said; ``open`` are its calls whose answers are to come."""

    members: Members
    said: list[Said] = field(default_factory=list)
    open: set[int] = field(default_factory=set)
    calling: Said | None = None  # the message that has the open calls
    waiting: list[Said] = field(default_factory=list)


def conversations(simulation: Simulation, actor: Actor, counts: Counts) -> list[Conversation]:
    """The conversations of an agent, in the order in which they began."""
    return _Teller(simulation, actor, counts).told()


def members_of(event: Event) -> Members:
    """Who takes part in a message; of one from the simulation itself, whoever got it."""
    return tuple(sorted({event.agent, *event.to} - {0}))


class _Teller:
    """The conversations of one agent while they are told."""

    def __init__(self, simulation: Simulation, actor: Actor, counts: Counts) -> None:
        self.simulation, self.actor, self.counts = simulation, actor, counts
        self.is_imported = simulation.is_imported
        self.answers = _answers(actor)
        self.answered = set(self.answers.values())
        self.of_call: dict[int, Conversation] = {}
        self.found: dict[Members, Conversation] = {}
        self.names: dict[str, str] = {}
        first = next((members_of(event) for event in actor.events if event.to), ())
        self.current = first

    def told(self) -> list[Conversation]:
        for event in self.actor.events:
            if event.to:
                self.current = members_of(event)
                self._say(event) if event.agent == self.actor.number else self._hear(event)
            elif event.kind == MESSAGE_SENT:
                self._say(event)
            elif event.kind == CALLED:
                self._call(event)
            elif event.kind in ANSWERED:
                self._answer(event)
            elif event.kind == NOTE and event.data.get("subject") == "message":
                self._take_whole(event)
        for one in self.found.values():
            one.said += one.waiting
        return list(self.found.values())

    def _here(self) -> Conversation:
        if self.current not in self.found:
            self.found[self.current] = Conversation(self.current)
        return self.found[self.current]

    def _say(self, event: Event) -> None:
        one, text = self._here(), content_of(event, is_imported=self.is_imported)
        last = self._own_of_turn(one, event)
        if last is not None and "content" not in last.message and not one.waiting:
            last.message = {"role": "assistant", "content": text} | last.message
            last.message = self._laid_over(last.message, event)
            last.last_seq = event.seq
            return
        message = self._laid_over({"role": "assistant", "content": text}, event)
        self._add(one, Said(message, event, event.seq, is_own=True))

    def _hear(self, event: Event) -> None:
        message: dict[str, Any] = {"role": "user", "content": content_of(event, is_imported=self.is_imported)}
        if event.agent and len(self.current) > 2:
            id = self.simulation.id_of(event.agent)
            if id not in self.names:
                self.names[id] = name_for(id, self.names)
            message["name"] = self.names[id]
        self._add(self._here(), Said(self._laid_over(message, event, is_own=False), event, event.seq))

    def _laid_over(self, message: dict[str, Any], event: Event, *, is_own: bool = True) -> dict[str, Any]:
        return laid_over(message, event, is_own=is_own) if self.is_imported else message

    def _add(self, one: Conversation, said: Said) -> None:
        if one.open:
            one.waiting.append(said)
            self.counts.kept[WAITED] += 1
        else:
            one.said.append(said)

    def _call(self, event: Event) -> None:
        one = self._here()
        entry = tool_call(event, is_imported=self.is_imported)
        last = self._own_of_turn(one, event)
        if one.open and one.calling is not None:
            if last is None:
                self.counts.kept[JOINED] += 1
            last = one.calling
        if last is None:
            last = Said({"role": "assistant"}, event, event.seq, is_own=True)
            one.said.append(last)
        last.message["tool_calls"] = [*last.message.get("tool_calls", ()), entry]
        last.message = self._laid_over(last.message, event)
        last.last_seq = event.seq
        if event.seq in self.answered:
            one.open.add(event.seq)
            one.calling = last
            self.of_call[event.seq] = one
        else:
            self.counts.kept[UNANSWERED] += 1

    def _own_of_turn(self, one: Conversation, event: Event) -> Said | None:
        """The agent's own message of this turn, if nothing came after it."""
        last = one.said[-1] if one.said else None
        if last is None or not last.is_own or last.closed or last.first.turn != event.turn:
            return None
        return last

    def _answer(self, event: Event) -> None:
        call = self.answers.get(event.seq)
        one = self.of_call.get(call) if call is not None else None
        if one is None or call is None:
            self.counts.left_out["answers to calls of tools that nobody made"] += 1
            return
        message = tool_answer(event, is_imported=self.is_imported)
        one.said.append(Said(message, event, event.seq))
        one.open.discard(call)
        if one.calling is not None:
            one.calling.closed = True
        if not one.open:
            one.said += one.waiting
            one.waiting, one.calling = [], None

    def _take_whole(self, event: Event) -> None:
        message = event.data.get("message")
        if isinstance(message, Mapping) and "role" in message:
            is_own = message["role"] == "assistant"
            self._add(self._here(), Said(dict(message), event, event.seq, is_own=is_own))


def _answers(actor: Actor) -> dict[int, int]:
    """By the seq of each answer that of its call: the first unanswered one with its id."""
    waiting: dict[str, list[int]] = {}
    found: dict[int, int] = {}
    for event in actor.events:
        if event.kind not in TOOLED or event.agent != actor.number:
            continue
        call_id = str(event.data.get("call_id", ""))
        if event.kind == CALLED:
            waiting.setdefault(call_id, []).append(event.seq)
        elif waiting.get(call_id):
            found[event.seq] = waiting[call_id].pop(0)
    return found
