"""tau-bench result files: an assistant with tools, a simulated user, and the reward each conversation got.

    matrix import tau-bench gpt-4o-airline.json tool-calling-*.json --store runs

A file is a list of ``{task_id, trial, reward, info{}, traj[]}``, where ``traj`` are the assistant's own messages in
OpenAI's form. What becomes of it:

* **simulation**: id ``tau-bench-<8 signs of the file's digest>-<task_id>-<trial>``, name = domain (of the system
  prompt, ``# Airline Agent Policy``, else of the file's name), status finished, or failed where ``info.error`` says
  that the run broke off. Data: ``.task_id .trial .domain .task .file .file_digest .format``; where the file's name says
  so (as tau-bench writes it, or ``<model>-<domain>``) ``.agent_model .user_model .strategy .temperature
  .user_strategy``; from its end ``.reward .reward_info .user_cost .source .error .traceback``.
* **agents**: ``assistant`` and ``user``.
* **system prompt**: a briefing of the assistant, a ``note`` with ``.subject = "briefing"`` and ``.system``.
* **messages**: one turn of their speaker each: text that is not empty is ``message.sent``, each tool call a
  ``tool.called`` (``.tool .arguments .call_id``; ``matrix.importers.arguments_text(data)`` gives the recorded text; a
  call that says more is whole in ``.call``). The first event of a message carries its ``.role`` and, in ``.message``,
  whatever else it says; ``.turn_idx`` (its place) is on all of them. A message without text and calls, and a system
  message in the middle, is a ``note`` of the assistant with ``.subject = "message"``, whole in ``.message``.
* **answers**: ``tool.completed``, or ``tool.failed`` where the text begins with ``Error``, caused by the call: the
  first unanswered one with that id. ``.result`` is data where the text was JSON;
  ``matrix.importers.result_text(data)``.
* **act and react**: there the model is shown its tools in the prompt and writes ``Action: {"name": …, "arguments":
  …}``. What it was shown and wrote is ``model.called`` and ``model.completed``; what it did is told beside it, as
  above: ``respond`` is ``message.sent``, any other action ``tool.called``, and the next ``API output:`` its answer.
* **goal** ``resolve`` of the assistant with ``.task_id``: reward 1 succeeded, anything else failed, none recorded
  cancelled; ``.reward``.
* **time**: none is recorded, so each message takes one virtual second. ``wall`` is the moment of the import.

An entry without ``trial`` is numbered among those of its task. Fields that are null say nothing and are left out.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from matrix.event import MESSAGE_SENT, NOTE
from matrix.importers.fields import Record, joined
from matrix.importers.history import History
from matrix.importers.jsontext import arguments_fields, result_fields
from matrix.importers.source import Refusal, Source
from matrix.importers.stream import JsonStream, is_text, nesting
from matrix.limits import IMPORT_DEPTH_MAX

_MESSAGE_US = 1_000_000
#: A reward this close to 1 is 1, as in tau-bench's own figures.
_REWARD_ERROR_MAX = 1e-6
#: The name that tau-bench gives a file of results, and the form of the names of those it published.
_RUN_NAME = re.compile(
    r"(?P<strategy>(?:[a-z]+-)?tool-calling|act|react|few-shot)-(?P<agent_model>.+)-(?P<temperature>\d+(?:\.\d+)?)"
    r"_range_-?\d+-+\d+_user-(?P<user_model>.+)-(?P<user_strategy>[a-z]+)_[^_]+"
)
_PUBLISHED_NAME = re.compile(r"(?P<agent_model>.+)-(?P<domain>airline|retail)(?![a-z])")
_POLICY = re.compile(r"\s*#\s*(\w+) agent policy", re.IGNORECASE)
#: What an act or react prompt has between the policy and the tools.
_TOOLS_IN_PROMPT = "\n#Available tools\n"
_API_OUTPUT = "API output: "


def read(source: Source) -> Iterator[History]:
    """The conversations of a tau-bench result file, one by one."""
    stream = JsonStream(source)
    if not stream.starts_with("["):
        raise Refusal("line 1", "not a tau-bench result file: expected a list of results")
    run = _Run(source)
    for path, value in stream.elements():
        yield _Conversation(run, Record(value, path)).told()
    stream.end()


class _Run:
    """What the file's name says about all of its conversations, and which trials there were."""

    def __init__(self, source: Source) -> None:
        self.source = source
        found = _RUN_NAME.match(source.name) or _PUBLISHED_NAME.match(source.name)
        self.named: dict[str, Any] = found.groupdict() if found else {}
        if "temperature" in self.named:
            self.named["temperature"] = float(self.named["temperature"])
        self.about = {"format": "tau-bench", "file": source.name, "file_digest": source.digest} | self.named
        self._untold: Counter[int | str] = Counter()  # results without a trial, by task

    def trial(self, recorded: Record, task_id: int | str) -> int:
        if recorded.has("trial"):
            return recorded.integer("trial")
        self._untold[task_id] += 1
        return self._untold[task_id] - 1


class _Conversation:
    """One recorded result while it is told as a history."""

    def __init__(self, run: _Run, recorded: Record) -> None:
        self.run, self.recorded = run, recorded
        if not recorded.has("traj"):
            raise Refusal(recorded.at("traj"), "expected a list of messages, found none")
        self.messages = list(recorded.records("traj"))
        self.task_id = (
            recorded.integer("task_id") if type(recorded.value.get("task_id")) is int else recorded.text("task_id")
        )
        self.info = recorded.optional_record("info")
        self.reward = recorded.optional_number("reward")
        system = next((_text(one) or "" for one in self.messages if one.value.get("role") == "system"), "")
        self.acts_in_text = _TOOLS_IN_PROMPT in system and not any(one.value.get("tool_calls") for one in self.messages)
        self.history = self._history(system)
        model = run.named.get("agent_model")
        self.model = {} if model is None else {"model": model}
        self.assistant = self._agent("assistant", run.named.get("strategy"), "agent_model", "temperature")
        self.user = self._agent("user", None, "user_model", "user_strategy")
        self.open_calls: dict[str, list[tuple[int, str]]] = {}  # call id -> (seq, tool) of those unanswered
        # Of act and react: how many messages the model has been shown, the seq of its last answer, and of the action in
        # it that has no output yet, with the tool.
        self.shown = self.answered = 0
        self.action: tuple[int, str] | None = None

    def told(self) -> History:
        goal = self.history.start_goal(self.assistant, "resolve", {"task_id": self.task_id})
        for index, message in enumerate(self.messages):
            role = message.text("role")
            if role not in _TOLD:
                raise Refusal(message.at("role"), f"expected system, user, assistant or tool, found {role[:40]!r}")
            self.history.move_to(time=index * _MESSAGE_US)
            _TOLD[role](self, message, {"role": role, "turn_idx": index})
        self._tell_end(goal)
        return self.history

    def _history(self, system: str) -> History:
        run, policy = self.run, _POLICY.match(system)
        domain = policy[1].lower() if policy else run.named.get("domain")
        trial = run.trial(self.recorded, self.task_id)
        about = run.about | {"domain": domain, "task_id": self.task_id, "trial": trial}
        about["task"] = self.info.optional_record("task").value or None
        about = joined({key: value for key, value in about.items() if value is not None}, self.recorded.rest())
        id = f"tau-bench-{run.source.digest[:8]}-{self.task_id}-{trial}"
        return History(id, name=domain or "tau-bench", wall=run.source.wall, data=about)

    def _agent(self, role: str, class_name: str | None, *settings: str) -> int:
        said = {"llm" if name.endswith("_model") else name: self.run.named.get(name) for name in settings}
        known = {name: value for name, value in said.items() if value is not None}
        return self.history.agent(role, role=role, class_name=class_name, parameters=known)

    def _tell_system(self, message: Record, place: dict[str, Any]) -> None:
        if place["turn_idx"]:  # in the middle of a conversation: no briefing
            self._tell_whole(message, place)
            return
        said = {"subject": "briefing", "system": _text(message) or ""}
        self.history.emit(self.assistant, NOTE, said | place | _kept(message))

    def _tell_user(self, message: Record, place: dict[str, Any]) -> None:
        if self.action:
            self._tell_output(message, place)
        else:
            self.history.begin_turn(self.user, time=self.history.time)
            self._tell_text(self.user, message, place, to=self.assistant)

    def _tell_assistant(self, message: Record, place: dict[str, Any]) -> None:
        self.history.begin_turn(self.assistant, time=self.history.time)
        if self.acts_in_text:
            self._tell_action(message, place)
            return
        text, calls = _text(message), list(message.records("tool_calls"))
        said = place | _kept(message)
        if text or not calls:
            self._tell_text(self.assistant, message, place, to=self.user)
            said = {"turn_idx": place["turn_idx"]}
        elif text is not None:  # the empty text before its calls is not spoken, and not lost
            said["message"] = {"content": text} | said.get("message", {})
        for call in calls:
            self._tell_call(call, said)
            said = {"turn_idx": place["turn_idx"]}

    def _tell_text(self, speaker: int, message: Record, place: dict[str, Any], *, to: int) -> None:
        if text := _text(message):
            self.history.emit(speaker, MESSAGE_SENT, {"text": text} | place | _kept(message), to=to)
        else:
            self._tell_whole(message, place)

    def _tell_whole(self, message: Record, place: dict[str, Any]) -> None:
        """A message that is none of the usual: as it stands, among what the assistant was shown."""
        self.history.emit(self.assistant, NOTE, {"subject": "message", "message": _plain(message.value)} | place)

    def _tell_call(self, call: Record, place: dict[str, Any]) -> None:
        call_id, function = call.text("id"), call.record("function")
        tool, kind = function.text("name"), call.optional_text("type")
        said: dict[str, Any] = {"tool": tool, "call_id": call_id}
        if type(function.value.get("arguments")) is dict:
            said["arguments"] = function.map("arguments")
        else:
            said |= arguments_fields(function.text("arguments"))
        if call.rest() or function.rest() or kind not in (None, "function"):
            said["call"] = call.value
        seq = self.history.emit(self.assistant, "tool.called", said | place)
        self.open_calls.setdefault(call_id, []).append((seq, tool))

    def _tell_answer(self, message: Record, place: dict[str, Any]) -> None:
        call_id = message.text("tool_call_id")
        message.optional_text("name")
        unanswered = self.open_calls.get(call_id)
        if not unanswered:
            what = f"answers the call {call_id[:60]!r}, which nobody made or is answered already"
            raise Refusal(message.at("tool_call_id"), what)
        call, tool = unanswered.pop(0)
        named = {"name": message.value["name"]} if message.has("name") else {}
        self._emit_answer(call, {"tool": tool, "call_id": call_id} | place | _kept(message, named), _text(message))

    def _emit_answer(self, call: int, said: dict[str, Any], text: str | None) -> None:
        self.history.begin_turn(self.assistant, time=self.history.time)
        said |= {} if text is None else result_fields(text)
        is_error = (text or "").startswith("Error")
        said |= {"error": text} if is_error else {}
        self.history.emit(self.assistant, "tool.failed" if is_error else "tool.completed", said, cause=call)

    # -- act and react: the model's text says what it does -----------------------------------------------

    def _tell_action(self, message: Record, place: dict[str, Any]) -> None:
        index, history = place["turn_idx"], self.history
        said: dict[str, Any] = self.model | {"call_id": f"assistant#{index}"}
        shown = [_plain(one.value) for one in self.messages[self.shown : index]]
        after = {"after": self.answered} if self.answered else {}
        called = history.emit(self.assistant, "model.called", said | {"messages": shown} | after)
        written = said | {"message": _plain(message.value), "turn_idx": index}
        self.answered = history.emit(self.assistant, "model.completed", written, cause=called)
        self.shown = index + 1
        name, arguments = _action(_text(message) or "")
        if name != "respond" or type(arguments.get("content")) is not str:
            call = {"tool": name, "arguments": arguments, "call_id": said["call_id"]} | place
            self.action = history.emit(self.assistant, "tool.called", call, cause=self.answered), name
        elif arguments["content"]:
            text = {"text": arguments["content"]} | place
            history.emit(self.assistant, MESSAGE_SENT, text, to=self.user, cause=self.answered)
        else:
            self._tell_whole(message, place)

    def _tell_output(self, message: Record, place: dict[str, Any]) -> None:
        assert self.action is not None, "told only while an action waits for its output"
        (call, tool), self.action = self.action, None
        text = _text(message)
        output = None if text is None else text.removeprefix(_API_OUTPUT)
        call_id = self.history.events[call - 1].data["call_id"]
        self._emit_answer(call, {"tool": tool, "call_id": call_id} | place, output)

    def _tell_end(self, goal: int) -> None:
        info, history, reward = self.info, self.history, self.reward
        error = info.optional_text("error")
        about: dict[str, Any] = {"reward": reward, "error": error, "reason": error}
        about |= {"reward_info": info.optional_record("reward_info").value or None}
        about |= {"user_cost": info.optional_number("user_cost")}
        about = joined({key: value for key, value in about.items() if value is not None}, info.rest())
        status, rewarded = _status(reward), {} if reward is None else {"reward": reward}
        reason = error if reward is not None else error or "no reward recorded"
        history.end_goal(goal, status, reason=reason, cause=len(history.events), data=rewarded)
        history.finish(time=history.time, status="finished" if error is None else "failed", data=about)


#: How a message is told, by its role.
_TOLD = {
    "system": _Conversation._tell_system,
    "user": _Conversation._tell_user,
    "assistant": _Conversation._tell_assistant,
    "tool": _Conversation._tell_answer,
}


def _status(reward: float | None) -> str:
    """What a reward says about the goal."""
    if reward is None:
        return "cancelled"
    return "succeeded" if abs(reward - 1) <= _REWARD_ERROR_MAX else "failed"


def _text(message: Record) -> str | None:
    """The text of a message; that of a list of parts is the parts' texts, one after the other."""
    content = message.value.get("content")
    if type(content) is not list:
        return message.optional_text("content")
    return "".join(part.text("text") for part in message.records("content") if part.has("text"))


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message as it came, without what is null."""
    return {key: value for key, value in message.items() if value is not None}


def _kept(message: Record, also: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a message says besides its text and its calls: ``.message``, to be laid over what is made of its event."""
    is_in_parts = message.has("content") and type(message.value["content"]) is list
    parts = {"content": message.value["content"]} if is_in_parts else {}
    kept = parts | (also or {}) | message.rest()
    return {"message": kept} if kept else {}


def _action(text: str) -> tuple[str, dict[str, Any]]:
    """What an act or react model does, read as tau-bench reads it: what is no action is an answer to the user."""
    written = text.split("Action:")[-1].strip()
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        value = None
    is_action = type(value) is dict and type(value.get("name")) is str and type(value.get("arguments")) is dict
    if not is_action or nesting(value) > IMPORT_DEPTH_MAX or not is_text(value):
        return "respond", {"content": written}
    return value["name"], value["arguments"]
