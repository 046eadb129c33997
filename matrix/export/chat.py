"""Chats: one row for each agent and conversation, from the agent's point of view, in OpenAI's form.

    {"messages": [{"role": "system", "content": "…"}, {"role": "user", "content": "…"},
                  {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function",
                                                        "function": {"name": "find", "arguments": "{\\"id\\": 7}"}}]},
                  {"role": "tool", "tool_call_id": "c1", "content": "…"}, {"role": "assistant", "content": "…"}],
     "tools": [{"type": "function", "function": {…}}], "parallel_tool_calls": true,
     "store": "runs", "simulation": "1-7", "agent": "bot", "role": "assistant", …}

An agent that asked models has a row for each chain of requests: what the model was really shown and answered (see
``chains``). Any other has a row for each conversation (see ``conversation``), with its briefing as system message. A
row ends with the agent's last own message; what reached it later is cut, and counted.

What always holds, as the documents have it:

- ``messages`` is a list of maps with ``role`` and ``content``, ``tools`` a column beside it (TRL, "Dataset formats and
  types", sections Conversational and Tool calling: huggingface.co/docs/trl/dataset_formats).
- Of an assistant's message ``content`` is there "unless ``tool_calls``" are (OpenAI's OpenAPI description,
  ``FineTuneChatCompletionRequestAssistantMessage``); it is left out rather than null. ``arguments`` are JSON text
  there; TRL's document shows them as a map, which ``Options.has_maps`` gives.
- A message of the role ``tool`` has the ``tool_call_id`` of a call in an earlier message of the assistant.
- ``tools`` and ``parallel_tool_calls`` (``FineTuneChatRequestInput``) are only there where there are tools: an empty
  list of tools is refused by OpenAI. ``weight`` (0 or 1, of an assistant's message) is kept where a history has it.
- Names of tools are as the history has them. OpenAI takes letters, digits, ``_`` and ``-``, at most 64 of them
  (``FunctionObject``); others are counted. Names of speakers, which are made here, are of those characters only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from matrix.export import goals as judged
from matrix.export.chains import Asked, Chain
from matrix.export.contract import Row
from matrix.export.conversation import Conversation, Members, conversations, members_of
from matrix.export.simulation import simulations
from matrix.limits import EXPORT_NAME_CHARS_MAX
from matrix.report.texts import compared

if TYPE_CHECKING:
    from matrix.event import Event
    from matrix.export.contract import Options, Reading
    from matrix.export.selection import Selection
    from matrix.export.simulation import Actor, Simulation

SILENT: Final = "agents that said nothing"
DEEDS: Final = "events of agents' own kinds that were sent to nobody, and are in no conversation"
_PLACE: Final = re.compile(r"\{\.([^{}\s]+)\}")
_NAME: Final = re.compile(rf"[a-zA-Z0-9_-]{{1,{EXPORT_NAME_CHARS_MAX}}}")
_PROMPTS: Final = ("system", "developer")


@dataclass(slots=True)
class Chat:
    """One conversation of one agent; ``seqs`` has for each message the event that it was said by, 0 for a briefing."""

    simulation: Simulation
    actor: Actor
    conversation: str
    messages: list[dict[str, Any]]
    seqs: list[int]
    last_seq: int
    tools: list[Any]
    model: str | None
    is_parallel: bool = True

    @property
    def first_seq(self) -> int:
        """The event with which it begins."""
        return next((seq for seq in self.seqs if seq), self.last_seq)

    @property
    def goals(self) -> list[judged.Goal]:
        """The agent's outermost goals, or those that the query chose."""
        return judged.outermost(self.actor.goals, self.simulation.selected.goals)

    @property
    def text(self) -> str:
        """What is compared to find duplicates."""
        return compared(self.messages)

    def data(self, options: Options) -> dict[str, Any]:
        """The row as it is written."""
        messages = [_with_maps(message) for message in self.messages] if options.has_maps else self.messages
        tools = {"tools": self.tools, "parallel_tool_calls": self.is_parallel} if self.tools else {}
        return {"messages": messages, **tools, **self.provenance(options)}

    def provenance(self, options: Options) -> dict[str, Any]:
        """Where the row is from, and how the agent did."""
        return {
            **provenance(self.simulation, self.actor, options),
            "conversation": self.conversation,
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "model": self.model,
            "outcome": judged.outcome(self.goals),
            "reward": judged.reward(self.goals),
            "goals": [goal.as_data() for goal in self.goals],
        }


def provenance(simulation: Simulation, actor: Actor, options: Options) -> dict[str, Any]:
    """The columns that every form has which is about an agent."""
    return {
        "store": options.store,
        "simulation": simulation.id,
        "agent": actor.id,
        "role": actor.role,
        "program": simulation.program,
        "code": simulation.about.get("code"),
        "source": simulation.about.get("file") if simulation.is_imported else None,
        "seed": simulation.selected.seed,
        "parent": simulation.selected.parent,
        "family": simulation.selected.family,
    }


def rows(store: Reading, selection: Selection, options: Options) -> Iterator[Row]:
    """A row for each agent and conversation of a selection."""
    for chat in chats(store, selection, options):
        yield Row(chat.data(options), chat.simulation.selected.family, chat.text)


def chats(store: Reading, selection: Selection, options: Options) -> Iterator[Chat]:
    """The chats of a selection, simulation by simulation."""
    for simulation in simulations(store, selection, options.counts):
        yield from chats_of(simulation, options)


def chats_of(simulation: Simulation, options: Options) -> Iterator[Chat]:
    """The chats of one simulation, agent by agent."""
    counts = options.counts
    asked = Asked(counts)
    for event in simulation.asked:
        asked.feed(event)
    for actor in simulation.chosen():
        found = list(
            _asked(simulation, actor, asked) if asked.has_asked(actor.number) else _said(simulation, actor, options)
        )
        if not found:
            counts.left_out[SILENT] += 1
        for chat in found:
            _fit(chat, options)
            counts.taken["chats"] += 1
            counts.taken["messages"] += len(chat.messages)
            yield chat


# -- agents that asked models ---------------------------------------------------------------------


def _asked(simulation: Simulation, actor: Actor, asked: Asked) -> Iterator[Chat]:
    turns = {event.seq: event.turn for event in simulation.asked if event.agent == actor.number}
    for chain in asked.chains(actor.number):
        last = chain.answered[-1]
        seq = last.request.seq
        members = _members_before(actor, seq, None if simulation.is_imported else turns[seq])
        if not _is_meant(simulation, actor, members):
            continue
        yield Chat(
            simulation,
            actor,
            conversation_id(simulation, actor, members),
            chain.messages,
            _seqs(chain),
            last.answer.seq,
            last.request.tools,
            last.request.model or None,
            last.request.options.get("parallel_tool_calls", True) is not False,
        )


def _seqs(chain: Chain) -> list[int]:
    found: list[int] = []
    for one in chain.answered:
        found += [one.request.seq] * one.new
        found.append(one.answer.seq)
    return found


def _members_before(actor: Actor, seq: int, turn: int | None) -> Members:
    """Who talked in the newest message that an agent sent or took before it asked a model; nobody for none."""
    for event in reversed(actor.events):
        if event.to and event.seq < seq and _is_known(actor, event, turn):
            return members_of(event)
    return ()


def _is_known(actor: Actor, event: Event, turn: int | None) -> bool:
    """Whether an agent had taken a message by a turn; None asks nothing."""
    if turn is None or event.agent == actor.number:
        return True
    if event.seq in actor.answers:
        return actor.answers[event.seq] <= turn
    return event.seq <= actor.taken.get(turn, 0)


# -- agents that speak by messages and tools --------------------------------------------------------


def _said(simulation: Simulation, actor: Actor, options: Options) -> Iterator[Chat]:
    counts = options.counts
    counts.left_out[DEEDS] += sum(1 for _ in actor.deeds())
    for one in conversations(simulation, actor, counts):
        if not _is_meant(simulation, actor, one.members):
            continue
        own = [place for place, said in enumerate(one.said) if said.is_own]
        if not own:
            counts.left_out["conversations in which the agent said nothing"] += 1
            continue
        counts.cut["messages behind the agent's last own one"] += len(one.said) - own[-1] - 1
        yield _chat(simulation, actor, one, own[-1] + 1)


def _chat(simulation: Simulation, actor: Actor, one: Conversation, count: int) -> Chat:
    said = one.said[:count]
    briefing = actor.briefing(said[0].first.seq)
    messages, seqs = [entry.message for entry in said], [entry.first.seq for entry in said]
    prompt = _prompt(briefing)
    if prompt is not None:
        messages, seqs = [prompt, *messages], [0, *seqs]
    return Chat(
        simulation,
        actor,
        conversation_id(simulation, actor, one.members),
        messages,
        seqs,
        said[-1].last_seq,
        list(briefing.get("tools") or ()),
        _model(actor),
        simulation.about.get("parallel_tool_calls", True) is not False,
    )


def _prompt(briefing: Mapping[str, Any]) -> dict[str, Any] | None:
    """The system message that a briefing stands for."""
    beside = briefing.get("message")
    said = {"role": "system"} | ({} if briefing.get("system") is None else {"content": briefing["system"]})
    if isinstance(beside, Mapping):
        said = {name: value for name, value in (said | dict(beside)).items() if value is not None}
    return said if "content" in said else None


def _model(actor: Actor) -> str | None:
    """The model that a recorded agent was, as its parameters say it."""
    for name in ("model", "llm"):
        if type(actor.parameters.get(name)) is str:
            return str(actor.parameters[name])
    return None


# -- what both share ----------------------------------------------------------------------------------


def conversation_id(simulation: Simulation, actor: Actor, members: Members) -> str:
    """A conversation's id, as the query language has it: the simulation's, and those of its members."""
    who = "+".join(simulation.id_of(number) for number in members) if members else actor.id
    return f"{simulation.id}/{who}"


def _is_meant(simulation: Simulation, actor: Actor, members: Members) -> bool:
    chosen = simulation.selected.conversations
    return chosen is None or members in chosen.get(actor.number, ())


def _fit(chat: Chat, options: Options) -> None:
    """Put in what the options give, and count what is odd."""
    if options.system is not None:
        _give_prompt(chat, options, options.system)
    if options.tools is not None:
        given = [dict(tool) for tool in options.tools]
        options.counts.kept["rows whose own tools were replaced"] += bool(chat.tools) and chat.tools != given
        chat.tools = given
    names = {call["function"].get("name") for message in chat.messages for call in _calls(message)}
    refused = sum(1 for name in names if not (type(name) is str and _NAME.fullmatch(name)))
    options.counts.kept["names of tools in rows that OpenAI's fine-tuning does not take"] += refused


def _give_prompt(chat: Chat, options: Options, template: str) -> None:
    def value(found: re.Match[str]) -> str:
        place: Any = chat.simulation.about
        for name in found[1].split("."):
            place = place.get(name) if isinstance(place, Mapping) else None
        if place is None:
            options.counts.kept[f"rows without {found[0]} for their system prompt"] += 1
            return found[0]
        return place if type(place) is str else json.dumps(place, ensure_ascii=False)

    prompt = {"role": "system", "content": _PLACE.sub(value, template)}
    if chat.messages[0].get("role") in _PROMPTS:
        options.counts.kept["rows whose own system prompt was replaced"] += chat.messages[0] != prompt
        chat.messages[0] = prompt
    else:
        chat.messages.insert(0, prompt)
        chat.seqs.insert(0, 0)


def _calls(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = message.get("tool_calls") or []
    return [call for call in found if isinstance(call, Mapping) and isinstance(call.get("function"), Mapping)]


def _with_maps(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose calls have their arguments as maps, where their text is one."""
    if not message.get("tool_calls"):
        return message
    return message | {"tool_calls": [_with_map(call) for call in message["tool_calls"]]}


def _with_map(call: Any) -> Any:
    if not (isinstance(call, Mapping) and isinstance(call.get("function"), Mapping)):
        return call
    text = call["function"].get("arguments")
    try:
        value = json.loads(text) if type(text) is str else text
    except ValueError:
        value = text
    return {**call, "function": {**call["function"], "arguments": value}}
