"""A chat in OpenAI's form, told as a history so that an export gives the same messages back.

What always holds: one message is one turn of its speaker, one virtual second after the one before; nothing a message
says is lost; what an event does not tell of its message, or tells otherwise, stands in the event's ``.message``, a map
to be laid over the message that is made of the event. A field that is null there was not in the message.

* The **assistant** is the agent ``assistant``; each ``name`` of a user is an agent of that id, one without a name is
  ``user``. Everything that is said goes to all the others: one chat is one conversation.
* A **system** or **developer** message at the beginning, and the tools, are the briefing: a ``note`` in the assistant's
  name, ``subject: "briefing"`` with ``.system`` and ``.tools``.
* What is said is ``message.sent`` with ``.text``: of content in parts the texts, joined by newlines (the parts are in
  ``.message.content``); of a message that only refuses, the refusal.
* Each **call** is ``tool.called`` (``.tool .arguments .call_id``; ``matrix.importers.arguments_text`` gives the exact
  text). ``.call`` is the call as it stood where it says more than that. A ``function_call`` of old is a call, too.
* An **answer** belongs to the first unanswered call with its id, or, where it has none, to the first call without one:
  ``tool.completed`` (``matrix.importers.result_text`` gives the exact text).
* Whatever else stands in a chat, a system message in the middle or an answer to a call that nobody made, is a ``note``
  in the assistant's name, ``subject: "message"``, with all of it in ``.message``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matrix.event import MESSAGE_SENT, NOTE
from matrix.importers.fields import Record, named
from matrix.importers.history import History
from matrix.importers.jsontext import arguments_fields, result_fields
from matrix.importers.source import Refusal

TURN_US = 1_000_000
_SYSTEM = ("system", "developer")
_ROLES = (*_SYSTEM, "user", "assistant", "tool", "function")


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that waits for its answer."""

    seq: int
    tool: str
    call_id: str
    id: str | None  # as the file has it; where it has none, ``call_id`` is ours
    is_old: bool  # a function_call, answered by a message of the role function


class Chat:
    """One chat while it is told.

    >>> messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "ann"},
    ...             {"role": "assistant", "content": "Hello."}]
    >>> history = History("chat-1", name="chats")
    >>> Chat(history, [Record(message, "messages") for message in messages]).tell()
    >>> [(event.kind, event.to, dict(event.data)) for event in history.events[3:]]  # doctest: +NORMALIZE_WHITESPACE
    [('note', (), {'subject': 'briefing', 'system': 'Be brief.'}),
     ('message.sent', (1,), {'text': 'Hi', 'message': {'name': 'ann'}}),
     ('message.sent', (2,), {'text': 'Hello.'})]
    """

    def __init__(self, history: History, messages: Sequence[Record], *, tools: Sequence[dict[str, Any]] = ()) -> None:
        self.history = history
        self.messages = [(message, _role(message)) for message in messages]
        self.tools = list(tools)
        self.assistant = history.agent("assistant", role="assistant")
        self.users = self._start_users()
        self.turns = 0
        self.calls: list[_Call] = []  # those that wait for their answers, in order

    @property
    def duration(self) -> int:
        """Virtual time from the start to the last message, in microseconds."""
        return self.turns * TURN_US

    def tell(self) -> None:
        """Every message as events, the briefing first."""
        has_system = bool(self.messages) and self.messages[0][1] in _SYSTEM
        self._brief(self.messages[0] if has_system else None)
        for message, role in self.messages[has_system:]:
            if role == "user":
                self._tell_user(message)
            elif role == "assistant":
                self._tell_assistant(message)
            elif role in _SYSTEM:
                self._tell_whole(message)
            else:
                self._tell_answer(message, role)

    def _start_users(self) -> dict[str, int]:
        names = dict.fromkeys(message.optional_text("name") or "" for message, role in self.messages if role == "user")
        taken, users = {"assistant"}, {}
        for name in names:
            id = name or "user"
            while id in taken:  # a user may be called like somebody else
                id += "'"
            taken.add(id)
            users[name] = self.history.agent(id, role="user")
        return users

    def _brief(self, system: tuple[Record, str] | None) -> None:
        said: dict[str, Any] = {}
        if system is not None:
            message, role = system
            text, kept = _content(message)
            kept |= message.rest() | ({} if role == "system" else {"role": role})
            said = _with({"system": text or ""}, kept)
        said |= {"tools": self.tools} if self.tools else {}
        if said:
            self.history.emit(self.assistant, NOTE, {"subject": "briefing"} | said)

    def _tell_user(self, message: Record) -> None:
        name = message.optional_text("name")
        text, kept = _content(message)
        kept |= message.rest() | ({} if name is None else {"name": name})
        if name is None and len(self.users) > 1:
            kept["name"] = None  # among several, an agent's id would be taken for its name
        user = self.users[name or ""]
        self._begin_turn(user)
        self.history.emit(user, MESSAGE_SENT, _with({"text": text or ""}, kept), to=self._others(user))

    def _tell_assistant(self, message: Record) -> None:
        text, kept = _content(message)
        calls = self._calls(message)
        kept |= message.rest()
        refusal = message.value.get("refusal")
        spoken = text or (refusal if type(refusal) is str and not calls else "")
        self._begin_turn(self.assistant)
        if spoken or not calls:
            kept = kept if spoken == text else {"content": text} | kept
            self.history.emit(
                self.assistant, MESSAGE_SENT, _with({"text": spoken}, kept), to=self._others(self.assistant)
            )
            kept = {}
        elif text is not None:
            kept = {"content": text} | kept
        for id, said in calls:
            seq = self.history.emit(self.assistant, "tool.called", _with(said, kept))
            self.calls.append(_Call(seq, said["tool"], said["call_id"], id, is_old=message.has("function_call")))
            kept = {}

    def _calls(self, message: Record) -> list[tuple[str | None, dict[str, Any]]]:
        """The calls of a message, each with its id in the file and the data of its event."""
        turn = self.turns + 1
        calls = [
            (call.optional_text("id") or None, call_fields(call, f"call-{turn}-{n}"))
            for n, call in enumerate(message.records("tool_calls"), start=1)
        ]
        if not message.has("function_call"):
            return calls
        if calls:
            raise Refusal(message.at("function_call"), "a message has either tool_calls or a function_call")
        old = message.record("function_call")
        said = {"tool": old.text("name"), "call_id": f"function_call-{turn}"} | _arguments(old)
        return [(None, said | {"message": {"function_call": old.value, "tool_calls": None}})]

    def _tell_answer(self, answer: Record, role: str) -> None:
        call = self._answered(answer, is_old=role == "function")
        if call is None:
            self._tell_whole(answer)
            return
        self.calls.remove(call)
        text, kept = _content(answer)
        kept |= answer.rest()
        if call.is_old:
            kept |= {"role": role, "tool_call_id": None}
        elif call.id is None:
            kept |= {"tool_call_id": None}
        said = {"tool": call.tool, "call_id": call.call_id} | ({} if text is None else result_fields(text))
        self._begin_turn(self.assistant)
        self.history.emit(self.assistant, "tool.completed", _with(said, kept), cause=call.seq)

    def _answered(self, answer: Record, *, is_old: bool) -> _Call | None:
        """The call that a message answers; None if nobody made it or it is answered already."""
        id = answer.optional_text("tool_call_id")
        name = answer.value.get("name")
        for call in self.calls:
            is_named = call.id == id and (id is not None or name in (None, call.tool))
            if is_named and call.is_old == is_old:
                return call
        return None

    def _tell_whole(self, message: Record) -> None:
        kept = {key: value for key, value in message.value.items() if value is not None}
        self._begin_turn(self.assistant)
        self.history.emit(self.assistant, NOTE, {"subject": "message", "message": kept})

    def _begin_turn(self, agent: int) -> None:
        self.turns += 1
        self.history.begin_turn(agent, time=self.turns * TURN_US)

    def _others(self, agent: int) -> list[int]:
        return [number for number in (self.assistant, *self.users.values()) if number != agent]


def _role(message: Record) -> str:
    role = message.text("role")
    if role not in _ROLES:
        raise Refusal(message.at("role"), f"expected {', '.join(_ROLES[:-1])} or {_ROLES[-1]}, found {role[:40]!r}")
    return role


def _with(said: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    return said | {"message": said.get("message", {}) | kept} if kept else said


def _content(message: Record) -> tuple[str | None, dict[str, Any]]:
    """What a message says as text, and its content where that is more than text."""
    if not message.has("content"):
        return None, {"content": None} if _role(message) != "assistant" else {}
    content = message.value["content"]
    if type(content) is str:
        return content, {}
    if type(content) is not list:
        raise Refusal(message.at("content"), f"expected text or a list of parts, found {named(content)}")
    parts = list(message.records("content"))
    texts = [part.text(kind) for part in parts for kind in ("text", "refusal") if part.has(kind)]
    return "\n".join(texts), {"content": content}


def call_fields(call: Record, number: str) -> dict[str, Any]:
    """The data of a ``tool.called`` for one of ``tool_calls``; ``number`` is its id if it has none."""
    kind = call.optional_text("type") or "function"
    if kind not in ("function", "custom"):
        raise Refusal(call.at("type"), f"expected function or custom, found {kind[:40]!r}")
    body = call.record(kind)
    tool, id = body.text("name"), call.optional_text("id")
    arguments = {"arguments": {"input": body.text("input")}} if kind == "custom" else _arguments(body)
    said: dict[str, Any] = {"tool": tool, "call_id": id or number} | arguments
    plain = {"id": id, "type": "function", "function": {"name": tool, "arguments": body.value.get("arguments")}}
    if call.value != plain or type(body.value.get("arguments")) is not str or not id:
        said["call"] = call.value
    return said


def _arguments(function: Record) -> dict[str, Any]:
    """The arguments of a call: JSON text by the form, but some files have the object itself, or nothing."""
    if not function.has("arguments"):
        return {"arguments": {}}
    if type(function.value["arguments"]) is dict:
        return {"arguments": function.map("arguments")}
    return arguments_fields(function.text("arguments"))
