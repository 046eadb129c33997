"""One sample of an Inspect log while it is told as a history.

``matrix.importers.inspect_eval`` says what becomes of it. What always holds: the transcript gives the order, and each
message of the sample's conversation is told once, in its own order, no later than the model event whose answer it is.
"""

from __future__ import annotations

from typing import Any

from matrix.event import MESSAGE_SENT, NOTE
from matrix.importers.chat import Chat
from matrix.importers.fields import Record, joined
from matrix.importers.history import History
from matrix.importers.inspect_messages import openai_message, openai_tools, text_of
from matrix.importers.inspect_transcript import Moment, details, moments, state_changes
from matrix.importers.jsontext import result_fields
from matrix.importers.modelcalls import Asked, ModelCalls

#: Told elsewhere, or at the end.
_NOT_ABOUT = ("id", "messages", "events", "output", "scores", "attachments", "error", "limit", "store")
_AT_END = ("limit", "store", "total_time", "working_time", "model_usage", "error_retries")
_FINISH_REASONS = {"max_tokens": "length", "model_length": "length"}
_REWARDS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}


class InspectSample:
    """One sample in one epoch."""

    def __init__(self, id: str, sample: Record, about: dict[str, Any], created: int) -> None:
        self.sample = sample
        self.moments = moments(sample)
        self.messages = [(message, openai_message(message)) for message in sample.records("messages")]
        self.start = self.moments[0].at if self.moments else created
        kept = {key: value for key, value in sample.value.items() if key not in (*_NOT_ABOUT, *_AT_END)}
        data = joined(about | {"sample_id": sample.value.get("id")}, kept)
        self.history = History(id, name=str(about["task"]), wall=self.start, data=data)
        self.calls = ModelCalls(self.history)
        self.agents: dict[str, int] = {}
        self.user = 0
        self.told_messages = 0
        self.asked: dict[int, tuple[Asked, int | None]] = {}  # by event: its request, and its answer among the messages
        self.called: dict[int, int] = {}  # by event: seq of the call
        self.causes: dict[str, int] = {}  # by the id of a call: the answer of the model that asked for it

    def told(self) -> History:
        if any(moment.kind in ("model", "tool") for moment in self.moments):
            self._tell_transcript()
        else:
            self._tell_messages()
        return self.history

    # -- a log without a transcript: its messages --------------------------------------------------

    def _tell_messages(self) -> None:
        messages = [Record(message, recorded.path) for recorded, message in self.messages]
        chat = Chat(self.history, messages)
        goals = self._start_goals(chat.assistant)
        chat.tell()
        for moment in self.moments:
            self._tell_note(moment, chat.assistant)
        self._tell_end(goals, self.history.time)

    # -- a log with one ----------------------------------------------------------------------------

    def _tell_transcript(self) -> None:
        main = self._start_agents()
        goals = self._start_goals(main)
        self._brief(main)
        for moment in self.moments:
            agent = self.agents[moment.agent]
            if moment.kind == "model":
                (self._end_model if moment.is_end else self._start_model)(moment, agent)
            elif moment.kind == "tool":
                (self._end_tool if moment.is_end else self._start_tool)(moment, agent)
            else:
                self._tell_note(moment, agent)
        self._tell_up_to(len(self.messages))
        self._tell_end(goals, self.moments[-1].at - self.start)

    def _start_agents(self) -> int:
        """The agents; returns the one that the conversation is with: the first that asks a model and is no scorer."""
        asking = [moment for moment in self.moments if moment.kind in ("model", "tool")]
        asking.sort(key=lambda moment: moment.role == "scorer")
        for moment in (*asking, *self.moments):
            if moment.agent not in self.agents:
                self.agents[moment.agent] = self.history.agent(moment.agent, role=moment.role)
        self.main = asking[0].agent
        user = "user"
        while user in self.agents:
            user += "'"
        self.user = self.history.agent(user, role="user")
        return self.agents[self.main]

    def _brief(self, main: int) -> None:
        said: dict[str, Any] = {}
        if self.messages and self.messages[0][1]["role"] == "system":
            said["system"] = text_of(self.messages[0][1]["content"])
            self.told_messages = 1
        first = next((one for one in self.moments if one.kind == "model" and one.agent == self.main), None)
        tools = openai_tools(list(first.event.records("tools"))) if first is not None else []
        said |= {"tools": tools} if tools else {}
        if said:
            self.history.emit(main, NOTE, {"subject": "briefing"} | said)

    def _start_model(self, moment: Moment, agent: int) -> None:
        event = moment.event
        place = self._place_of(_answer(event))
        if place is not None:
            self._tell_up_to(place)
        options = event.optional_record("config").value | {"tool_choice": event.value.get("tool_choice")}
        options = {name: value for name, value in options.items() if value not in (None, {}, [])}
        data: dict[str, Any] = {"options": options} if options else {}
        data |= {"role": event.text("role")} if event.has("role") else {}
        self._begin_turn(agent, moment.at)
        asked = self.calls.ask(
            agent,
            moment.agent,
            event.text("model"),
            [openai_message(message) for message in event.records("input")],
            tools=openai_tools(list(event.records("tools"))),
            data=data,
        )
        self.asked[id(event)] = asked, place

    def _end_model(self, moment: Moment, agent: int) -> None:
        asked, place = self.asked.pop(id(moment.event))
        said = _completed(moment.event)
        said["ms"] = (moment.at - self.history.events[asked.seq - 1].wall) / 1000
        self._begin_turn(agent, moment.at)
        if "message" not in said:
            self.calls.fail(asked, said)
            return
        seq = self.calls.answer(asked, said)
        for call in said["message"].get("tool_calls", ()):
            self.causes[call["id"]] = seq
        if place is not None and place >= self.told_messages:  # else another answer, of a call beside it, was later
            self._say(agent, self.messages[place][0], cause=seq)
            self.told_messages = place + 1

    def _start_tool(self, moment: Moment, agent: int) -> None:
        event, said = moment.event, _tool(moment.event)
        self._move_to(moment.at)
        cause = self.causes.get(said["call_id"])
        said |= {"arguments": event.map("arguments")}
        self.called[id(event)] = self.history.emit(agent, "tool.called", said, cause=cause)

    def _end_tool(self, moment: Moment, agent: int) -> None:
        event, said = moment.event, _tool(moment.event)
        call, result = self.called.pop(id(event)), event.value.get("result")
        said |= result_fields(result) if type(result) is str else {} if result is None else {"result": result}
        error = event.optional_record("error")
        is_error = bool(error.value) or event.flag("failed")
        if is_error:
            said |= {
                "error": error.optional_text("message") or "",
                "error_type": error.optional_text("type") or "unknown",
            }
        if is_error and result == "":  # what Inspect writes for no result
            del said["result"]
        said["ms"] = (moment.at - self.history.events[call - 1].wall) / 1000
        kept = details(event, "id", "function", "arguments", "result", "error", "failed", "type", "message_id")
        self._begin_turn(agent, moment.at)
        self.history.emit(agent, "tool.failed" if is_error else "tool.completed", joined(said, kept), cause=call)

    def _tell_note(self, moment: Moment, agent: int) -> None:
        kept = details(moment.event)
        if moment.kind == "state":
            kept = {"changes": state_changes(moment.event)}
        self._move_to(moment.at)
        self.history.emit(agent, NOTE, joined({"subject": moment.kind}, kept))

    # -- the conversation beside the transcript ----------------------------------------------------

    def _place_of(self, answer: dict[str, Any] | None) -> int | None:
        """Where a model's answer stands in the conversation; None where it is not in it."""
        for place in range(self.told_messages, len(self.messages)):
            if answer is not None and self.messages[place][1] == answer:
                return place
        return None

    def _tell_up_to(self, place: int) -> None:
        """What stands in the conversation before this place and is not told yet."""
        answered = {moment.event.value.get("id") for moment in self.moments if moment.kind == "tool"}
        main = self.agents[self.main]
        while self.told_messages < place:
            recorded, message = self.messages[self.told_messages]
            self.told_messages += 1
            if message["role"] == "user":
                self._say(self.user, recorded)
            elif message["role"] == "assistant" and not message.get("tool_calls"):
                self._say(main, recorded)
            elif message["role"] != "tool" or message["tool_call_id"] not in answered:
                self.history.emit(main, NOTE, {"subject": "message", "message": message})

    def _say(self, agent: int, recorded: Record, *, cause: int | None = None) -> None:
        """A text of the conversation, from one of its sides to the other."""
        content = recorded.value.get("content")
        text = text_of(content)
        if not text and agent != self.user:
            return
        said: dict[str, Any] = {"text": text} | {
            key: recorded.value[key] for key in ("source", "metadata") if recorded.has(key)
        }
        if type(content) is list and agent == self.user:
            said["message"] = {"content": openai_message(recorded)["content"]}
        to = self.agents[self.main] if agent == self.user else self.user
        if cause is None:
            self.history.begin_turn(agent, time=self.history.time, wall=self.start + self.history.time)
        self.history.emit(agent, MESSAGE_SENT, said, to=to, cause=cause)

    # -- how it came out ---------------------------------------------------------------------------

    def _start_goals(self, agent: int) -> list[tuple[int, str]]:
        names = list(self.sample.optional_record("scores").value) or ["task"]
        return [(self.history.start_goal(agent, name), name) for name in names]

    def _tell_end(self, goals: list[tuple[int, str]], time: int) -> None:
        sample, history = self.sample, self.history
        error = sample.optional_record("error")
        reason = error.optional_text("message") if error.value else None
        limit = sample.optional_record("limit").optional_text("type")
        reason = reason if reason is not None or limit is None else f"{limit} limit"
        last = len(history.events)
        history.move_to(time=time, wall=self.start + time)
        scores = sample.optional_record("scores")
        for goal, name in reversed(goals):
            status, data = (
                _outcome(scores.record(name)) if scores.has(name) else ("failed" if error.value else "cancelled", {})
            )
            history.end_goal(goal, status, reason=reason, cause=last, data=data)
        data = {key: sample.value[key] for key in _AT_END if sample.value.get(key) not in (None, [], {})}
        data |= {} if reason is None else {"reason": reason}
        if error.value:
            data["error"] = {key: value for key, value in error.value.items() if key != "traceback_ansi"}
        status = "failed" if error.value else "finished"
        history.finish(time=time, wall=self.start + time, status=status, data=data)

    def _begin_turn(self, agent: int, at: int) -> None:
        self.history.begin_turn(agent, time=at - self.start, wall=at)

    def _move_to(self, at: int) -> None:
        self.history.move_to(time=at - self.start, wall=at)


def _tool(event: Record) -> dict[str, Any]:
    """What the call of a tool and its answer both say."""
    return {"tool": event.text("function"), "call_id": event.text("id"), "tool_call_id": event.text("id")}


def _answer(event: Record) -> dict[str, Any] | None:
    """The message that a model gave, in OpenAI's form."""
    for choice in event.optional_record("output").records("choices"):
        return openai_message(choice.record("message"))
    return None


def _completed(event: Record) -> dict[str, Any]:
    """What is recorded of a model's answer, or of its failure."""
    output = event.optional_record("output")
    said = {name: event.value[name] for name in ("working_time", "cache") if event.has(name)}
    said |= {"attempts": event.integer("retries") + 1} if event.has("retries") else {}
    answer, error = _answer(event), event.optional_text("error") or output.optional_text("error")
    if answer is None or event.has("error"):
        return said | {"error": error or "no answer"}
    first, *others = output.records("choices")
    reason = first.optional_text("stop_reason") or "unknown"
    said |= {"message": answer, "finish_reason": _FINISH_REASONS.get(reason, reason)}
    said |= {"stop_reason": reason} if reason in _FINISH_REASONS else {}
    said |= {"choices": [_choice(choice) for choice in others]} if others else {}
    said |= _logprobs(first)
    model = output.optional_text("model")
    said |= {"response_model": model} if model and model != event.text("model") else {}
    said |= {name: output.value[name] for name in ("metadata", "error") if output.has(name)}
    return said | _usage(output.optional_record("usage"))


def _choice(choice: Record) -> dict[str, Any]:
    return {"message": openai_message(choice.record("message")), "finish_reason": choice.value.get("stop_reason")}


def _usage(usage: Record) -> dict[str, Any]:
    names = {"total_tokens": "tokens", "input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    said: dict[str, Any] = {ours: usage.integer(name) for name, ours in names.items() if usage.has(name)}
    rest = usage.rest()
    return said | ({"usage": rest} if rest else {})


def _logprobs(choice: Record) -> dict[str, Any]:
    tokens = list(choice.optional_record("logprobs").records("content"))
    if not tokens:
        return {}
    found: dict[str, Any] = _columns(tokens)
    tops = [list(token.records("top_logprobs")) for token in tokens]
    return {"logprobs": found | ({"top": [_columns(top) for top in tops]} if any(tops) else {})}


def _columns(tokens: list[Record]) -> dict[str, Any]:
    return {
        "tokens": [token.text("token") for token in tokens],
        "logprobs": [token.number("logprob") for token in tokens],
    }


def _outcome(score: Record) -> tuple[str, dict[str, Any]]:
    """How the goal of a score ends, and what is said of it."""
    kept = {name: value for name, value in score.value.items() if value not in (None, [], {})}
    reward = _reward(score.value.get("value"))
    if reward is None:
        return "cancelled", kept
    return "succeeded" if reward == 1 else "failed", {"reward": reward} | kept


def _reward(value: Any) -> float | None:
    """A score's single value as a number; None for a list, a map, or a text that is none."""
    if type(value) is str:
        try:
            return _REWARDS[value] if value in _REWARDS else float(value)
        except ValueError:
            return {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}.get(value.lower())
    return float(value) if type(value) in (bool, int, float) else None
