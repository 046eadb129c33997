"""tau2-bench result files: an assistant, a simulated user and tools, with the reward each conversation got.

    matrix import tau2 gpt-4.1_airline.json.gz --store runs

A file is ``{timestamp, info, tasks[], simulations[]}``, in any order. What becomes of it:

* **simulation**: id as recorded, name = domain, status finished. Data: ``.domain .task_id .trial .agent_model
  .user_model .file .file_digest .format``, the task itself as ``.task``, the rest of the run's settings as ``.info``,
  and from its end ``.reward .termination .reward_info .agent_cost .user_cost .duration`` (seconds, as recorded).
  The long texts every simulation shares (policy, tool definitions, the user's guidelines) are a ``note`` beside it.
* **agents**: ``assistant`` and ``user``; where the user is tau2's ``dummy_user`` and never spoke, the assistant alone.
  What the assistant was told before it began is a ``note`` in its name, ``.subject`` briefing: its ``.system`` prompt
  (see ``tau2_prompts``) and, where the file has tool definitions, its ``.tools``.
* **messages**: one turn of their speaker each. Text that is not empty is ``message.sent``; each tool call is a
  ``tool.called`` (``.tool .arguments .call_id``) by its requestor. The first event of a message carries what the
  message says as a whole, once, so that sums are right: ``.role .cost .usage .raw_data`` and any field unknown
  here; ``.turn_idx`` is on all of them. A message without text and calls is kept as a ``note``; so is a system message.
* **answers**: a turn of the requestor: ``tool.completed``, or ``tool.failed`` where ``error`` is true (``.error``
  then repeats the text), caused by the call, ``.ms`` after it. An answer belongs to the first unanswered call with
  its id. ``.result`` is data where the text was JSON; ``matrix.importers.result_text(data)`` gives the text back.
* **goal** ``resolve`` of the assistant with ``.task_id``: reward 1 succeeded, anything else failed; ``.reward``.
* **time**: recorded moments have no zone and are read as UTC; ``wall`` is that moment. Virtual time is microseconds
  since ``start_time``; events keep the order of the file, and where the recorded clock steps back virtual time
  stands still until it has caught up. A recorded text that is not simply ``wall`` written out stays in ``.timestamp``.

Fields that are null say nothing and are left out, except inside arguments and results.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matrix.event import MESSAGE_SENT, NOTE
from matrix.importers.fields import Record, is_plain_time, joined
from matrix.importers.history import History
from matrix.importers.jsontext import result_fields
from matrix.importers.source import Refusal, Source
from matrix.importers.stream import JsonStream
from matrix.importers.tau2_prompts import system_prompt, tool_schemas

#: Settings that are long texts shared by all simulations: kept in a note, out of ``simulations.data``.
_LONG_SETTINGS = (
    ("environment_info", "policy"),
    ("environment_info", "tool_defs"),
    ("user_info", "global_simulation_guidelines"),
)


def read(source: Source) -> Iterator[History]:
    """The simulations of a tau2 result file, one by one."""
    run = _Run(source, _header(source))
    stream = JsonStream(source)
    for key in stream.fields():
        if key != "simulations":
            stream.value(key)
            continue
        for path, value in stream.elements(key):
            yield _Conversation(run, Record(value, path)).told()
    stream.end()


def _header(source: Source) -> Record:
    """Everything in the file except its simulations, wherever it stands."""
    stream = JsonStream(source)
    if not stream.starts_with("{"):
        raise Refusal("line 1", "not a tau2 result file: expected an object with info, tasks and simulations")
    header: dict[str, Any] = {}
    has_simulations = False
    for key in stream.fields():
        if key == "simulations":
            has_simulations = True
            for _ in stream.elements(key, checked=False):
                pass
        else:
            header[key] = stream.value(key)
    stream.end()
    if not has_simulations:
        raise Refusal("simulations", "not a tau2 result file: it has no list of simulations")
    return Record(header, "")


class _Run:
    """What the file says about all of its simulations."""

    def __init__(self, source: Source, header: Record) -> None:
        info = header.record("info")
        agent, user = info.optional_record("agent_info"), info.optional_record("user_info")
        self.domain = info.record("environment_info").text("domain_name")
        self.agent_model, self.user_model = agent.optional_text("llm"), user.optional_text("llm")
        self.agent_class, self.user_class = agent.optional_text("implementation"), user.optional_text("implementation")
        self.agent_parameters, self.user_parameters = _parameters(agent), _parameters(user)
        self.tasks = {task.text("id"): task.value for task in header.records("tasks")}
        self.settings, self.long_settings = _split(info.value)
        self.about = {
            "format": "tau2",
            "file": source.name,
            "file_digest": source.digest,
            "domain": self.domain,
            "agent_model": self.agent_model,
            "user_model": self.user_model,
            "info": self.settings,
        }
        # The moment the file was written, and whatever a later tau2 adds at the top.
        self.about |= {f"file_{key}": value for key, value in header.rest().items()}


def _parameters(agent: Record) -> dict[str, Any]:
    elsewhere = ("implementation", "global_simulation_guidelines")  # its class; in the note
    return {name: value for name, value in agent.value.items() if name not in elsewhere and value is not None}


def _split(info: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    settings, long = dict(info), {}
    for group, name in _LONG_SETTINGS:
        inner = settings.get(group)
        if type(inner) is dict and inner.get(name) is not None:
            long[name] = inner[name]
            settings[group] = {key: value for key, value in inner.items() if key != name}
    return settings, long


class _Conversation:
    """One recorded simulation while it is told as a history."""

    def __init__(self, run: _Run, recorded: Record) -> None:
        self.run, self.recorded = run, recorded
        if not recorded.has("messages"):
            raise Refusal(recorded.at("messages"), "expected a list, found none")
        self.messages = [(message, message.text("role")) for message in recorded.records("messages")]
        self.start = self.wall = recorded.time("start_time")
        self.history = self._history()
        if run.long_settings:
            self.history.note({"subject": "settings", **run.long_settings})
        self.agents = self._start_agents()
        self._tell_briefing()
        self.open_calls: dict[str, list[tuple[int, int, str]]] = {}  # call id -> (seq, agent, tool) of those unanswered

    def told(self) -> History:
        goal = self.history.start_goal(self.agents["assistant"], "resolve", {"task_id": self.recorded.text("task_id")})
        for message, role in self.messages:
            if role == "tool":
                self._tell_answer(message)
            elif role == "system":
                self._tell_note(message)
            elif role in ("assistant", "user"):
                self._tell_message(message, role)
            else:
                raise Refusal(message.at("role"), f"expected assistant, user, tool or system, found {role[:40]!r}")
        self._tell_end(goal)
        return self.history

    def _history(self) -> History:
        recorded, run = self.recorded, self.run
        task_id = recorded.text("task_id")
        id, seed, trial = recorded.text("id"), recorded.optional_integer("seed"), recorded.optional_integer("trial")
        about = run.about | {"task_id": task_id, "trial": trial, "task": run.tasks.get(task_id)}
        for known in ("reward_info", "termination_reason", "duration", "agent_cost", "user_cost"):
            recorded.has(known)  # told at the end
        for name in ("start_time", "end_time"):  # a zone would be lost in microseconds
            if recorded.optional_time(name) is not None and not is_plain_time(recorded.text(name)):
                about[name] = recorded.text(name)
        about = joined({key: value for key, value in about.items() if value is not None}, recorded.rest())
        return History(id, name=run.domain, wall=self.start, seed=seed, data=about)

    def _start_agents(self) -> dict[str, int]:
        run, history = self.run, self.history
        about = {"assistant": (run.agent_class, run.agent_parameters)}
        if run.user_class != "dummy_user" or self._has_user():
            about["user"] = (run.user_class, run.user_parameters)
        return {
            role: history.agent(role, role=role, class_name=class_name, parameters=parameters)
            for role, (class_name, parameters) in about.items()
        }

    def _tell_briefing(self) -> None:
        """What the assistant was told before it began, as far as the file says it."""
        run, long = self.run, self.run.long_settings
        briefing: dict[str, Any] = {}
        if type(long.get("policy")) is str:
            task = run.tasks.get(self.recorded.text("task_id"))
            briefing["system"] = system_prompt(run.agent_class, long["policy"], task)
        tools = tool_schemas(long.get("tool_defs"))
        briefing |= {"tools": tools} if tools else {}
        if briefing:
            self.history.emit(self.agents["assistant"], NOTE, {"subject": "briefing", **briefing})

    def _has_user(self) -> bool:
        """Whether somebody is there besides the assistant: a message, a call or an answer of the user's."""
        for message, role in self.messages:
            calls = message.value.get("tool_calls")
            mentioned = [message.value, *(calls if type(calls) is list else [])]
            if role == "user" or any(type(one) is dict and one.get("requestor") == "user" for one in mentioned):
                return True
        return False

    def _tell_message(self, message: Record, role: str) -> None:
        speaker = self.agents[role]
        self._begin_turn(message, speaker)
        text, calls = message.optional_text("content"), list(message.records("tool_calls"))
        kept = self._kept(message, role)
        if text:
            other = self.agents.get("user" if role == "assistant" else "assistant", 0)
            self.history.emit(speaker, MESSAGE_SENT, joined({"text": text}, kept), to=other)
            kept = _turn_only(kept)
        elif text is not None and calls:
            kept = kept | {"content": text}  # the empty text before its calls is not spoken, and not lost
        for call in calls:
            self._tell_call(call, role, kept)
            kept = _turn_only(kept)
        if not text and not calls:
            self.history.emit(speaker, NOTE, kept | ({} if text is None else {"content": text}))

    def _tell_note(self, message: Record) -> None:
        """What the system said to an agent: nobody's turn, kept beside the conversation."""
        moment = message.optional_time("timestamp")
        self.wall = self.wall if moment is None else moment
        self.history.move_to(time=self.wall - self.start, wall=self.wall)
        text = message.optional_text("content")
        self.history.note(joined({} if text is None else {"text": text}, self._kept(message, "system")))

    def _tell_call(self, call: Record, role: str, kept: dict[str, Any]) -> None:
        agent = self._requestor(call, role)
        call_id, tool = call.text("id"), call.text("name")
        said = {"tool": tool, "arguments": call.map("arguments"), "call_id": call_id}
        seq = self.history.emit(agent, "tool.called", joined(said, joined(kept, call.rest())))
        self.open_calls.setdefault(call_id, []).append((seq, agent, tool))

    def _tell_answer(self, answer: Record) -> None:
        call_id, is_error = answer.text("id"), answer.flag("error")
        unanswered = self.open_calls.get(call_id)
        if not unanswered:
            raise Refusal(
                answer.at("id"), f"answers the call {call_id[:60]!r}, which nobody made or is answered already"
            )
        call, agent, tool = unanswered.pop(0)
        self._begin_turn(answer, agent)
        said: dict[str, Any] = {"tool": tool, "call_id": call_id}
        text = answer.optional_text("content")
        said |= {} if text is None else result_fields(text)
        if is_error:
            said["error"] = text or ""
        if self._requestor(answer, "") not in (0, agent):
            said["requestor"] = answer.text("requestor")  # the call's own one is who made it
        said["ms"] = (self.history.time - self.history.events[call - 1].time) / 1000
        self.history.emit(
            agent, "tool.failed" if is_error else "tool.completed", joined(said, self._kept(answer, "tool")), cause=call
        )

    def _tell_end(self, goal: int) -> None:
        recorded, history = self.recorded, self.history
        outcome = recorded.optional_record("reward_info")
        reward, termination = outcome.optional_number("reward"), recorded.optional_text("termination_reason")
        end = recorded.optional_time("end_time")
        wall = self.wall if end is None else end
        rewarded = {} if reward is None else {"reward": reward}
        last = len(history.events)
        history.move_to(time=wall - self.start, wall=wall)
        history.end_goal(goal, "succeeded" if reward == 1 else "failed", reason=termination, cause=last, data=rewarded)
        about = {"reason": termination, "termination": termination, **rewarded, "reward_info": outcome.value or None}
        about |= {name: recorded.optional_number(name) for name in ("duration", "agent_cost", "user_cost")}
        data = {key: value for key, value in about.items() if value is not None}
        history.finish(time=wall - self.start, wall=wall, data=data)

    def _begin_turn(self, message: Record, agent: int) -> None:
        moment = message.optional_time("timestamp")
        self.wall = self.wall if moment is None else moment
        self.history.begin_turn(agent, time=self.wall - self.start, wall=self.wall)

    def _kept(self, message: Record, role: str) -> dict[str, Any]:
        """What the message says as a whole, of checked types where queries count on them."""
        message.optional_integer("turn_idx")
        message.optional_number("cost")
        message.optional_record("usage")
        known = {name: message.value[name] for name in ("turn_idx", "cost", "usage") if message.has(name)}
        timestamp = message.optional_text("timestamp")
        if timestamp is not None and not is_plain_time(timestamp):
            known["timestamp"] = timestamp
        return {"role": role} | known | message.rest()

    def _requestor(self, record: Record, default: str) -> int:
        requestor = record.optional_text("requestor") or default
        if requestor and requestor not in self.agents:
            raise Refusal(record.at("requestor"), f"expected assistant or user, found {requestor[:40]!r}")
        return self.agents.get(requestor, 0)


def _turn_only(kept: dict[str, Any]) -> dict[str, Any]:
    return {"turn_idx": kept["turn_idx"]} if "turn_idx" in kept else {}
