"""The JSON Lines that Meta's Matrix writes: a row for each task its agents worked on.

    matrix import meta-matrix coral.jsonl --store runs

Matrix (facebookresearch/matrix, https://arxiv.org/abs/2511.21686) passes a task from agent to agent; its sink writes
``{id, trial, seed, task, history[{agent, response}], status, creation_timestamp, ...}``, as text or compressed with
zstd. What becomes of a row:

* **simulation**: id ``meta-matrix-<the first 12 letters of the file's digest>-<line>``, name ``meta-matrix``, the row's
  seed. Data: ``.task_id`` (the row's id) ``.trial .task .status .instrumentation .current_agent`` and what else the row
  says, ``.line .file .file_digest .format``. A row for a task that got lost has no history: its simulation failed.
* **agents**: whoever is named in the history, under that name and with it as role.
* **entries**: one turn of the agent each. Its ``text`` is ``message.sent``, to all others that say something: everybody
  is given the whole history. Each of its ``tool_calls`` is ``tool.called`` (``.tool .arguments .call_id``). An entry
  without either is a ``response``. Whatever else a response says is in the data of its first event:
  ``.status_ok .usage .finish_reason .extracted_answer`` and the like. A text in a list of one is that text.
* **answers**: an entry with ``tool_call_id`` is ``tool.completed``, or ``tool.failed`` where ``status_ok`` is false, of
  the agent that made the call; ``.by`` is the agent that answered. ``matrix.importers.result_text`` gives its text.
* **prompt**: the first entry is put there before anybody acts unless it says ``status_ok``; it is ``.injected`` then.
* **goal** ``task`` of each agent that does more than answer calls: succeeded or failed as ``status.success`` says,
  else by the last reward (``reward_info.reward`` of 1), else failed where the last response is not ok, else cancelled.
  ``.reward`` at its end.
* **time**: seconds since 1970 in the file. ``wall`` is that moment, virtual time counts from ``creation_timestamp``,
  and ``.timestamp`` is what the file says, which is finer than a microsecond.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from matrix.event import MESSAGE_SENT
from matrix.importers.chat import call_fields
from matrix.importers.fields import Record, joined, named
from matrix.importers.history import History
from matrix.importers.jsonlines import records
from matrix.importers.jsontext import result_fields
from matrix.importers.source import Refusal, Source

_DIGEST_LETTERS = 12
_YEAR_10000 = 253_402_300_800  # seconds since 1970


def read(source: Source) -> Iterator[History]:
    """The tasks of a file, row by row."""
    for number, row in records(source, what="a task"):
        id = f"meta-matrix-{source.digest[:_DIGEST_LETTERS]}-{number}"
        about: dict[str, Any] = {"format": "meta-matrix", "file": source.name, "file_digest": source.digest}
        about |= {"line": number} | ({"task_id": row.value["id"]} if row.has("id") else {})
        if row.has("history"):
            yield _Task(id, row, about, source.wall).told()
        elif type(row.value.get("status")) is str:
            yield _lost(id, row, about, source.wall)
        else:
            raise Refusal(row.path, "not a row of Meta's Matrix: it has no history")


def _lost(id: str, row: Record, about: dict[str, Any], wall: int) -> History:
    """A task that nobody finished: the agent that had it died."""
    moment = _moment(row, "timestamp")
    reason = row.optional_text("error")
    history = History(id, name="meta-matrix", wall=wall if moment is None else moment, data=joined(about, row.rest()))
    history.finish(time=0, status="failed", data={} if reason is None else {"reason": reason})
    return history


class _Task:
    """One row while it is told as a history."""

    def __init__(self, id: str, row: Record, about: dict[str, Any], wall: int) -> None:
        self.entries = [_Entry(entry) for entry in row.records("history")]
        created, self.end = _moment(row, "creation_timestamp"), _moment(row, "finish_timestamp")
        moments = (created, *(entry.moment for entry in self.entries))
        self.start = self.wall = next((moment for moment in moments if moment is not None), wall)
        self.status, seed = row.optional_record("status"), row.optional_integer("seed")
        about |= {"status": self.status.value} if self.status.value else {}
        self.history = History(id, name="meta-matrix", wall=self.start, seed=seed, data=joined(about, row.rest()))
        names = dict.fromkeys(entry.agent for entry in self.entries)
        self.agents = {name: self.history.agent(name, role=name) for name in names}
        self.speakers = dict.fromkeys(self.agents[entry.agent] for entry in self.entries if entry.says_something)
        self.calls: list[_Call] = []  # those that wait for an answer, in order

    def told(self) -> History:
        actors = dict.fromkeys(entry.agent for entry in self.entries if not entry.response.has("tool_call_id"))
        goals = [self.history.start_goal(self.agents[name], "task") for name in actors]
        for index, entry in enumerate(self.entries):
            self.wall = self.wall if entry.moment is None else entry.moment
            call = self._answered(entry)
            if call is None:
                self._tell(entry, {"injected": True} if not index and not entry.response.has("status_ok") else {})
            else:
                self._tell_answer(entry, call)
        self._tell_end(goals)
        return self.history

    def _tell(self, entry: _Entry, kept: dict[str, Any]) -> None:
        """What an agent says, and what it calls."""
        agent = self.agents[entry.agent]
        kept = joined(kept, entry.kept)
        self._begin_turn(agent)
        if entry.says_something:
            others = [number for number in self.speakers if number != agent]
            self.history.emit(agent, MESSAGE_SENT, joined({"text": entry.text}, kept), to=others)
            kept = {}
        elif entry.text is not None:
            kept = {"text": entry.text} | kept
        for said in entry.calls:
            seq = self.history.emit(agent, "tool.called", joined(said, kept))
            self.calls.append(_Call(seq, agent, said["tool"], said["call_id"]))
            kept = {}
        if not entry.says_something and not entry.calls:
            self.history.emit(agent, "response", kept)

    def _tell_answer(self, entry: _Entry, call: _Call) -> None:
        said: dict[str, Any] = {"tool": call.tool, "call_id": call.id, "by": entry.agent}
        said |= {} if entry.text is None else result_fields(entry.text)
        is_error = entry.response.has("status_ok") and not entry.response.flag("status_ok")
        said |= {"error": entry.text or ""} if is_error else {}
        self._begin_turn(call.agent)
        said["ms"] = (self.history.time - self.history.events[call.seq - 1].time) / 1000
        kind = "tool.failed" if is_error else "tool.completed"
        self.history.emit(call.agent, kind, joined(said, entry.kept), cause=call.seq)

    def _answered(self, entry: _Entry) -> _Call | None:
        """The call that an entry answers: the first with its id that has no answer yet."""
        id = entry.response.optional_text("tool_call_id")
        call = next((call for call in self.calls if call.id == id), None)
        if call is not None:
            self.calls.remove(call)
            del entry.kept["tool_call_id"]
        return call

    def _tell_end(self, goals: list[int]) -> None:
        status, rewarded = self._outcome()
        reason = self.status.optional_text("termination_reason")
        wall, last = self.wall if self.end is None else self.end, len(self.history.events)
        self.history.move_to(time=wall - self.start, wall=wall)
        for goal in goals:
            self.history.end_goal(goal, status, reason=reason, cause=last, data=rewarded)
        self.history.finish(time=wall - self.start, wall=wall, data={} if reason is None else {"reason": reason})

    def _outcome(self) -> tuple[str, dict[str, Any]]:
        """How the goals end, and with what reward."""
        reward = None
        for entry in self.entries:
            info = entry.response.value.get("reward_info")
            if type(info) is dict:
                reward = Record(info, entry.response.at("reward_info")).optional_number("reward")
        rewarded = {} if reward is None else {"reward": reward}
        if self.status.has("success"):
            return "succeeded" if self.status.flag("success") else "failed", rewarded
        if reward is not None:
            return "succeeded" if reward == 1 else "failed", rewarded
        is_broken = bool(self.entries) and self.entries[-1].response.value.get("status_ok") is False
        return "failed" if is_broken else "cancelled", rewarded

    def _begin_turn(self, agent: int) -> None:
        self.history.begin_turn(agent, time=self.wall - self.start, wall=self.wall)


@dataclass(frozen=True, slots=True)
class _Call:
    seq: int
    agent: int
    tool: str
    id: str


class _Entry:
    """One entry of a history, its fields checked."""

    def __init__(self, recorded: Record) -> None:
        self.agent, self.response = recorded.text("agent"), recorded.record("response")
        self.moment = _moment(self.response, "timestamp")
        self.response.flag("status_ok")
        self.text, texts = _text(self.response)
        calls = enumerate(self.response.records("tool_calls"), start=1)
        self.calls = [call_fields(_as_openai(call), f"{recorded.path}-{n}") for n, call in calls]
        told = ("text", "tool_calls")
        self.kept = {key: one for key, one in self.response.value.items() if key not in told and one is not None}
        self.kept = joined(joined(texts, self.kept), recorded.rest())

    @property
    def says_something(self) -> bool:
        return bool(self.text) and not self.response.has("tool_call_id")


def _text(response: Record) -> tuple[str | None, dict[str, Any]]:
    """The text of a response; where it is a list of several, the first, and all of them as ``.texts``."""
    text = response.value.get("text")
    if type(text) is not list:
        return response.optional_text("text"), {}
    for index, one in enumerate(text):
        if type(one) is not str:
            raise Refusal(f"{response.at('text')}[{index}]", f"expected text, found {named(one)}")
    return (text[0] if text else None), ({"texts": text} if len(text) != 1 else {})


def _as_openai(call: Record) -> Record:
    """A call in OpenAI's form; one in the short form, ``{id, name, arguments}``, is put into it."""
    if call.has("function") or not call.has("name"):
        return call
    function = {name: call.value[name] for name in ("name", "arguments") if name in call.value}
    others = {key: value for key, value in call.value.items() if key not in function}
    return Record({"type": "function"} | others | {"function": function}, call.path)


def _moment(record: Record, name: str) -> int | None:
    """Seconds since 1970 as microseconds; None where there are none, or zero, which stands for none."""
    if record.value.get(name) is None:
        return None
    seconds = Record(record.value, record.path).number(name)
    if not 0 <= seconds < _YEAR_10000:
        raise Refusal(record.at(name), f"expected seconds since 1970, found {str(seconds)[:40]}")
    return round(seconds * 1_000_000) or None
