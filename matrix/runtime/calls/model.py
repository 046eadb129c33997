"""Model calls: a request to a model server is recorded, made over HTTP, and its answer recorded.

``model.called`` has the whole request, but each message and each list of tools only once in a simulation (see
matrix/prefixes.py; matrix/requests.py puts them together again). Everything else is that of a call (see call.py): its
place in the order, its policies by the name of the model, what a replay does.

What always holds: what is recorded of a request follows from the program and its history. Only the endpoint's address
comes from outside, and a replay has it from the history: there nothing is asked, and no endpoint needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import blake2b
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from matrix.endpoint.reply import Reply
from matrix.endpoint.session import OnText, Question
from matrix.errors import EndpointError, ProgramError
from matrix.prefixes import DIGEST_BYTES, Prefixes, rolling
from matrix.runtime.calls.answers import FIELDS, Flight
from matrix.runtime.calls.call import Call, answer_to
from matrix.runtime.calls.policy import CallPolicy, check_given, seconds_of
from matrix.runtime.values import check_text, snapshot

if TYPE_CHECKING:
    from matrix.endpoint.rates import Charge
    from matrix.runtime.agent import Agent
    from matrix.runtime.scheduling.activity import Activity

_canonical = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode
_as_given = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_answered = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode  # whatever came
#: Names that are no sampling options: what they mean elsewhere, and what says it here.
_NO_OPTIONS: Final = {
    **dict.fromkeys(
        ("api_key", "key", "headers", "extra_headers", "authorization", "base_url", "endpoint", "url"),
        "it belongs to the endpoint: models=matrix.models.Endpoint(url, key=...)",
    ),
    "stream_options": "stream=True asks for the usage by itself",
    "extra_body": "give what it holds as options of their own",
}


class ModelCall(Call):
    """One request to a model.

    What always holds of one with ``cache``: it leads a flight or waits for one (see answers.py) as long as it is under
    way; ``ready`` is an answer that it need not ask for.
    """

    flight: Flight | None = None
    ready: dict[str, Any] | None = None
    charge: Charge | None = None

    def __init__(
        self,
        activity: Activity,
        question: Question,
        *,
        call_id: str,
        policy: CallPolicy,
        endpoint: str,
        request_hash: str,
        is_cached: bool,
    ) -> None:
        super().__init__(activity, self._ask, (), name=question.model, call_id=call_id, policy=policy)
        self.question, self.endpoint, self.request_hash, self._is_cached = question, endpoint, request_hash, is_cached
        self._runtime = self.scheduler.simulation.runtime
        self.asked_elsewhere = ""  # another endpoint than is recorded: a history's request that is made again

    @property
    def simulation_id(self) -> str:
        """The id of its simulation."""
        return self.scheduler.simulation.id

    def begins(self) -> None:
        """Find out what must be waited for."""
        models = self._runtime.models
        address, endpoint = models.address(self.name), models.endpoint(self.name)
        if address != self.endpoint:
            self.asked_elsewhere, self._is_cached = address, False
        if self._is_cached:
            self.flight = self._runtime.answers.join(self)
        if self._is_cached or (endpoint is not None and endpoint.is_limited):
            self.prepare = self._prepare

    async def _prepare(self) -> None:
        """Wait for somebody else's answer, or for the endpoint's limits."""
        if self._is_cached and await self._is_answered():
            return
        self.charge = await self._runtime.models.session(self.name).admit(self.question)

    async def _is_answered(self) -> bool:
        """Whether there is an answer already, or comes one to a request that leads; False: it leads itself."""
        answers = self._runtime.answers
        while True:
            flight = self.flight = self.flight or answers.join(self)
            if flight.leader is self:
                found = await answers.find(self.request_hash)
                if found is not None:
                    self.ready = found[0]
                    flight.answer(*found)
                return found is not None
            await flight.over.wait()
            if flight.fields is not None:
                self.ready = flight.fields
                return True
            self.flight = None  # the next attempt, or the next round, is another
            if flight.error is not None:
                error = flight.error
                raise type(error)(str(error), status=error.status, retry_after=error.retry_after)

    async def _ask(self) -> dict[str, Any]:
        if self.ready is not None:
            if self.question.on_text is not None:
                self.question.on_text(Reply.of(self.ready).text)
            return self.ready
        try:
            found = await self._runtime.models.session(self.name).ask(self.question, self.charge)
        except BaseException as error:
            self._land(error)
            raise
        if self.flight is not None:
            self.flight.answer({name: found[name] for name in FIELDS if name in found})
        return found

    def _land(self, error: BaseException) -> None:
        """An attempt that led failed, took too long, or was given up."""
        if self.flight is not None:
            self.flight.fail(error if isinstance(error, EndpointError) else None)
            self._runtime.answers.end(self.request_hash, self.flight)
            self.flight = None

    def outcome(self) -> dict[str, Any]:
        """The fields of the answer; in a replay they are among what was recorded."""
        if self.error:
            status = getattr(self.failure, "status", None)
            return {"error": self.error} if status is None else {"error": self.error, "status": status}
        found = dict(self.result or {})
        if self.latency is not None:  # what the wall clock said must not be part of a digest
            found.pop("first_ms", None)
        if self.ready is not None and self.flight is not None:
            found["cached"] = self.flight.source
        elif self.asked_elsewhere:
            found["endpoint"] = self.asked_elsewhere
        return found

    def value(self, told: dict[str, Any]) -> Reply:
        """The reply, the same live and in a replay."""
        if self.recorded is None:
            self._runtime.answers.recorded(self, self.activity.cause, told)
        return Reply.of(snapshot(told, "the reply"))


async def model(
    agent: Agent,
    messages: Any,
    *,
    model: str,
    tools: Sequence[Any] | None,
    stream: bool,
    cache: bool,
    on_text: OnText | None,
    timeout: float | timedelta | None,
    latency: float | timedelta | None,
    repeatable: bool | None,
    policy: CallPolicy | None,
    options: dict[str, Any],
) -> Reply:
    """``agent.model``: record the request, ask the model, record its answer."""
    activity, scheduler = agent._own_activity(), agent._scheduler
    simulation = scheduler.simulation
    if policy is not None:
        check_given(policy)
    if on_text is not None and not callable(on_text):
        raise ProgramError(f"on_text is a function that takes a text, not {on_text!r}")
    asked = _checked(messages, model, tools, options)
    if latency is not None:
        scheduler.after(latency)  # refuses what is no duration: from here on nothing may fail before it is recorded
    timeout_s = None if timeout is None else seconds_of("timeout", timeout)
    agent._calls += 1
    told = {"model": model, "call_id": f"{agent._id or 'program'}#{agent._calls}"}
    endpoint = _address(agent, model, told["call_id"])
    rules = simulation.policies.of(model, None, policy, simulation.runtime.models.policy(model))
    is_streamed = stream or on_text is not None
    request = ModelCall(
        activity,
        asked.question(is_streamed, on_text),
        call_id=told["call_id"],
        policy=rules,
        endpoint=endpoint,
        request_hash=asked.hash(endpoint),
        is_cached=cache,
    )
    if timeout_s is not None:
        request.timeout = timeout_s
    if repeatable is not None:
        request.repeatable = repeatable
    prefixes, hashes = simulation.prefixes, rolling(asked.texts)
    said: dict[str, Any] = {**told, "endpoint": endpoint, "request_hash": request.request_hash}
    said |= _recorded(asked, prefixes, hashes, agent._recorder.next_seq())
    if is_streamed:
        said["stream"] = True
    try:
        reply: Reply = await answer_to(request, "model", told=told, said=said, latency=latency)
    finally:
        simulation.runtime.answers.leave(request)
    prefixes.add_answer(activity.cause, hashes, _answered(reply.message))
    return reply


def _address(agent: Agent, model: str, call_id: str) -> str:
    """Where a model is asked: what the runtime says, and in a replay the history."""
    playback = agent._scheduler.playback
    if playback is not None:
        return playback.endpoint_of(agent._number, call_id)
    return agent._scheduler.simulation.runtime.models.address(model)


def _recorded(asked: _Asked, prefixes: Prefixes, hashes: list[bytes], seq: int) -> dict[str, Any]:
    """What the event ``seq`` says of messages, tools and options: only those that are new."""
    known, said = prefixes.references(hashes)
    said["messages"] = [snapshot(message, f"messages[{known + n}]") for n, message in enumerate(asked.messages[known:])]
    said |= prefixes.tools(seq, asked.tools_text, asked.tools)
    if asked.options:
        said["options"] = asked.options
    prefixes.add(seq, hashes)
    return said


class _Asked(NamedTuple):
    """A request, checked, and as JSON."""

    model: str
    messages: list[Mapping[str, Any]]
    texts: list[str]  # the JSON of each message
    tools: list[Any]
    tools_text: str
    options: dict[str, Any]

    def hash(self, endpoint: str) -> str:
        """What tells equal requests: of the JSON of all that matters, in a fixed order."""
        parts = (
            f'{{"endpoint":{_canonical(endpoint)},"messages":[{",".join(self.texts)}],"model":{_canonical(self.model)},'
            f'"options":{_canonical(self.options)},"tools":{_canonical(self.tools)}}}'
        )
        return blake2b(parts.encode(), digest_size=DIGEST_BYTES).hexdigest()

    def question(self, is_streamed: bool, on_text: OnText | None) -> Question:
        """The request as it is sent."""
        rest = "".join(f",{_as_given(name)}:{_as_given(value)}" for name, value in self.options.items())
        tools = f',"tools":{self.tools_text}' if self.tools else ""
        body = f'{{"model":{_as_given(self.model)},"messages":[{",".join(self.texts)}]{tools}{rest}}}'
        bound = self.options.get("max_completion_tokens", self.options.get("max_tokens"))
        n = self.options.get("n")
        return Question(
            self.model,
            body.encode(),
            is_streamed,
            on_text,
            bound if type(bound) is int and bound >= 0 else None,
            n if type(n) is int and n >= 1 else 1,
        )


def _checked(messages: Any, model: Any, tools: Any, options: dict[str, Any]) -> _Asked:
    if not isinstance(model, str) or not model:
        raise ProgramError(f"model is the name of a model, a text, not {model!r}")
    check_text(model, "the name of the model")
    for name, instead in _NO_OPTIONS.items():
        if name in options:
            raise ProgramError(f"{name} is no option of a model call; {instead}")
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if isinstance(messages, Mapping) or not isinstance(messages, Sequence):
        raise ProgramError(f"messages is a list of maps such as {{'role': 'user', 'content': 'Hi'}}, not {messages!r}")
    listed = list(messages)
    texts = [_message_text(message, f"messages[{place}]") for place, message in enumerate(listed)]
    schemas = [_schema(tool, f"tools[{place}]") for place, tool in enumerate(tools or ())]
    given = {name: value for name, value in options.items() if value is not None}
    chosen = snapshot(given, "the options of a model call")
    _json(chosen, "the options of a model call")
    return _Asked(model, listed, texts, schemas, _json(schemas, "tools"), chosen)


def _message_text(message: Any, place: str) -> str:
    if not isinstance(message, Mapping):
        raise ProgramError(f"{place} is a map such as {{'role': 'user', 'content': 'Hi'}}, not {message!r}")
    try:
        if len(message) == 2 and type(role := message.get("role")) is type(said := message.get("content")) is str:
            text = f'{{"content":{encode_basestring(said)},"role":{encode_basestring(role)}}}'  # most are, by far
        else:
            text = _canonical(message)
        text.encode()
    except (TypeError, ValueError):  # something of another library, or half a letter: say it as the log would have it
        return _json(snapshot(message, place), place)
    return text


def _json(value: Any, place: str) -> str:
    try:
        return _as_given(value) if isinstance(value, list) else _canonical(value)
    except (TypeError, ValueError) as error:
        raise ProgramError(f"{place} cannot be sent as JSON: {error}") from None


def _schema(tool: Any, place: str) -> Any:
    schema = getattr(tool, "schema", tool)
    if not isinstance(schema, Mapping):
        raise ProgramError(
            f"{place} is a matrix.tools.Tool, or a schema such as {{'type': 'function', ...}}, not {tool!r}"
        )
    return snapshot(schema, place)
