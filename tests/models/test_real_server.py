"""Model calls against a real server: vLLM, Ollama, llama.cpp, whatever MATRIX_MODEL_URL names.

    MATRIX_MODEL_URL=http://127.0.0.1:8080/v1 python -m pytest tests/models/test_real_server.py

``make real-model`` starts llama.cpp's, with weights that need no download (``llama_server.py``). MATRIX_MODEL is the
model's name where the server has several. Nothing here depends on what a model says, only on what every server of the
protocol does. Without the variable these tests are skipped; so is a test of something that the server does not offer.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import matrix
from matrix.endpoint.endpoint import Endpoint
from matrix.models import StepsExceeded, ToolAgent, tool
from matrix.testing.played import Played, play
from tests.models.talk import talking

URL, MODEL = os.environ.get("MATRIX_MODEL_URL", ""), os.environ.get("MATRIX_MODEL", "tiny")
if not URL:
    pytest.skip("no model server: MATRIX_MODEL_URL says where one is", allow_module_level=True)

CITY = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "kind": {"enum": ["x", "y"]}},
    "required": ["a", "kind"],
}
ADD = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": CITY}}
HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 2?"}]


def ask(
    body: Callable[[Any], Awaitable[None]], *, agents: int = 1, url: str = URL, store: Path | None = None
) -> Played:
    """Agents that do ``body`` with the real server; what fails fails at once."""
    # llama.cpp's server has a thread for each connection, open or idle: more connections wait until one is given up.
    models = Endpoint(url, key=os.environ.get("OPENAI_API_KEY", ""), connections_max=4)
    return play(talking(body, agents), store=store, models=models, calls={"*": matrix.CallPolicy(attempts=1)})


async def talk_on(agent: Any, turns: int = 3, **options: Any) -> None:
    messages = list(HELLO)
    for turn in range(turns):
        reply = await agent.model(messages, model=MODEL, max_tokens=20, **options)
        agent.emit("heard", text=reply.text, tokens=reply.tokens)
        messages += [reply.message, {"role": "user", "content": f"And {turn}?"}]


def test_an_answer_is_recorded_with_its_tokens_and_how_it_ended() -> None:
    played = ask(lambda agent: talk_on(agent, 1))
    called, completed = played.one("model.called").data, played.one("model.completed").data
    assert (called["messages"], called["options"], called["endpoint"]) == (HELLO, {"max_tokens": 20}, URL)
    assert completed["message"]["role"] == "assistant" and completed["finish_reason"] in ("stop", "length")
    assert completed["tokens"] == completed["prompt_tokens"] + completed["completion_tokens"]
    assert 0 < completed["completion_tokens"] <= 20 and completed["ms"] > 0 and completed["response_id"]


def test_a_streamed_answer_is_the_same_as_one_at_once() -> None:
    pieces: list[str] = []

    async def body(agent: Any) -> None:
        options = {"model": MODEL, "max_tokens": 24, "temperature": 0, "seed": 1}
        whole = await agent.model(HELLO, **options)
        streamed = await agent.model(HELLO, **options, on_text=pieces.append)
        agent.emit("both", whole=whole.text, streamed=streamed.text)

    played = ask(body)
    whole, streamed = played.data("model.completed")
    (both,) = played.data("both")
    assert "".join(pieces) == both["streamed"] == streamed["message"]["content"] != ""
    assert streamed["tokens"] == whole["tokens"] and streamed["first_ms"] <= streamed["ms"]
    assert both["streamed"] == both["whole"]


def test_log_probabilities_are_one_for_each_token() -> None:
    played = ask(lambda agent: talk_on(agent, 1, logprobs=True, top_logprobs=2))
    completed = played.one("model.completed").data
    if "logprobs" not in completed:
        pytest.skip("the server gives no log-probabilities")
    found = completed["logprobs"]
    assert len(found["tokens"]) == len(found["logprobs"]) == len(found["top"]) > 0
    assert all(value <= 0 for value in found["logprobs"])
    assert all(len(top["tokens"]) == len(top["logprobs"]) == 2 for top in found["top"])


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_their_results_go_back(stream: bool) -> None:
    async def body(agent: Any) -> None:
        options: dict[str, Any] = {"model": MODEL, "tools": [ADD], "max_tokens": 400, "stream": stream}
        reply = await agent.model(HELLO, tool_choice="required", **options)
        calls = [
            {"id": call.id, "name": call.name, "problem": call.problem, **call.arguments} for call in reply.tool_calls
        ]
        agent.emit("called", calls=calls, reason=reply.finish_reason)
        results = [{"role": "tool", "tool_call_id": call.id, "content": "4"} for call in reply.tool_calls]
        await agent.model([*HELLO, reply.message, *results], model=MODEL, max_tokens=10, stream=stream)

    played = ask(body)
    (called,) = played.data("called")
    if not called["calls"]:
        pytest.skip("the model calls no tools")
    whole = called["calls"] if called["reason"] == "tool_calls" else called["calls"][:-1]  # the last one may be cut
    assert whole and all(call["id"] and call["name"] == "add" and not call["problem"] for call in whole)
    assert all(type(call["a"]) is int and call["kind"] in ("x", "y") for call in whole)
    first, second = played.of("model.called")
    assert first.data["tools"] == [ADD] and "tools" not in second.data
    assert second.data["after"] == played.of("model.completed")[0].seq
    assert [message["role"] for message in second.data["messages"]] == ["tool"] * len(called["calls"])


class Clerk(ToolAgent):
    """Adds, for as long as the model wants."""

    model_name = MODEL
    options = {"max_tokens": 400}
    steps_max = 3

    @tool
    def add(self, a: int, b: int) -> int:
        """Adds two whole numbers."""
        return a + b

    async def run(self) -> None:
        messages = list(HELLO)
        with contextlib.suppress(StepsExceeded):
            await self.converse(messages)
        self.emit("said", roles=[message["role"] for message in messages])


def test_a_tool_agent_does_what_the_model_wants_done() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Clerk, "clerk")

    models = Endpoint(URL, key=os.environ.get("OPENAI_API_KEY", ""))
    played = play(program, models=models)
    assert played.outcome.status == "finished"
    called = {event.data["tool_call_id"]: event.data["arguments"] for event in played.of("tool.called")}
    if not called:
        pytest.skip("the model calls no tools")
    for event in played.of("tool.completed"):
        arguments = called[event.data["tool_call_id"]]
        assert event.data["result"] == arguments["a"] + arguments["b"]
    asked = [
        call["id"] for event in played.of("model.completed") for call in event.data["message"].get("tool_calls", ())
    ]
    (said,) = played.data("said")
    assert said["roles"].count("tool") == len(asked)  # each call has its answer, whatever became of it


def test_an_answer_in_a_schema_is_json() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}
    played = ask(lambda agent: agent.model(HELLO, model=MODEL, max_tokens=300, response_format=form))
    completed = played.one("model.completed").data
    if completed["finish_reason"] == "stop":
        assert json.loads(completed["message"]["content"])["kind"] in ("x", "y")


def test_what_the_server_refuses_fails_with_its_words() -> None:
    async def body(agent: Any) -> None:
        with pytest.raises(matrix.CallFailed) as failed:
            await agent.model(HELLO, model=MODEL, max_tokens="many")
        agent.emit("failed", error_type=failed.value.error_type)

    played = ask(body)
    assert played.data("failed") == [{"error_type": "EndpointRefused"}]
    failed = played.one("model.failed").data
    assert 400 <= failed["status"] < 500 and failed["attempts"] == 1 and "max_tokens" in failed["error"]


def test_a_request_longer_than_the_context_fails_and_is_not_tried_again() -> None:
    played = ask(lambda agent: agent.model("word " * 400_000, model=MODEL, max_tokens=1))
    failed = played.one("model.failed").data
    assert (400 <= failed["status"] < 500, failed["attempts"]) == (True, 1)


def test_a_wrong_path_fails_with_404() -> None:
    played = ask(lambda agent: talk_on(agent, 1), url=f"{URL}/nowhere")
    assert played.one("model.failed").data["status"] == 404


def test_many_agents_at_once_are_all_answered_and_a_replay_needs_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = ask(talk_on, agents=24, store=tmp_path / "runs")
    assert played.outcome.status == "finished"
    assert len(played.of("model.completed")) == len(played.of("heard")) == 24 * 3
    monkeypatch.setitem(sys.modules, "httpx", None)  # nobody is asked any more
    with matrix.open(tmp_path / "runs") as store:
        assert store.replay("1-1", program=talking(talk_on, 24)).status == "identical"
        requests = list(store.requests("1-1"))
    assert sorted({len(request.messages) for request in requests}) == [2, 4, 6]
