"""Model calls: over real HTTP, recorded whole, retried, and answered from the log in a replay."""

from __future__ import annotations

import json
import logging
import socket
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import matrix
from matrix.endpoint.endpoint import Endpoint
from matrix.errors import UsageError
from matrix.testing.played import play
from tests.models.service import Fault, Service
from tests.models.talk import KEY, QUICK, endpoint, holds, talk, talking

SYSTEM = {"role": "system", "content": "be nice"}
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


async def chat(agent: Any, turns: int = 3, **options: Any) -> None:
    """A conversation of some turns."""
    messages: list[dict[str, Any]] = [SYSTEM]
    for turn in range(turns):
        messages.append({"role": "user", "content": f"turn {turn}"})
        reply = await agent.model(messages, model="small", policy=QUICK, **options)
        messages.append(reply.message)


def test_a_request_and_its_answer_are_recorded_and_the_model_gets_what_is_recorded(service: Service) -> None:
    async def body(agent: Any) -> None:
        reply = await agent.model(
            [SYSTEM, {"role": "user", "content": "hello"}], model="small", tools=[ADD], temperature=0.5, max_tokens=90
        )
        agent.emit("heard", text=reply.text, reason=reply.finish_reason, tokens=reply.tokens)

    played = talk(service, body)
    called, completed = dict(played.one("model.called").data), dict(played.one("model.completed").data)
    assert len(called.pop("request_hash")) == 32
    assert called == {
        "model": "small",
        "call_id": "talker-0#1",
        "endpoint": service.url,
        "messages": [SYSTEM, {"role": "user", "content": "hello"}],
        "tools": [ADD],
        "options": {"temperature": 0.5, "max_tokens": 90},
        "repeatable": True,
    }
    assert completed.pop("ms") > 0
    assert completed == {
        "model": "small",
        "call_id": "talker-0#1",
        "message": {"role": "assistant", "content": 'heard "hello" (message 2, e9234ec3)'},
        "finish_reason": "stop",
        "tokens": 13,
        "prompt_tokens": 3,
        "completion_tokens": 10,
        "usage": {"prompt_tokens_details": {"cached_tokens": 0}},
        "response_id": "chatcmpl-stop",
        "extra": {"system_fingerprint": "fp_test"},
        "attempts": 1,
        "step": completed["step"],
        "arrival": 1,
    }
    assert played.data("heard") == [{"text": 'heard "hello" (message 2, e9234ec3)', "reason": "stop", "tokens": 13}]
    (received,) = service.requests
    assert received.path == "/v1/chat/completions"
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.body == {
        "model": "small",
        "messages": called["messages"],
        "tools": [ADD],
        "temperature": 0.5,
        "max_tokens": 90,
    }


def test_a_conversation_is_recorded_message_by_message_and_read_back_whole(service: Service, tmp_path: Path) -> None:
    played = talk(service, chat, store=tmp_path / "runs")
    called = played.of("model.called")
    answers = played.of("model.completed")
    assert [len(event.data["messages"]) for event in called] == [2, 1, 1]
    assert [event.data.get("after") for event in called] == [None, answers[0].seq, answers[1].seq]
    with matrix.open(tmp_path / "runs") as store:
        requests = list(store.requests("1-1"))
        assert [request.messages for request in requests] == [
            received.body["messages"] for received in service.requests
        ]
        assert store.request("1-1", called[2].seq).messages == service.requests[2].body["messages"]
        with pytest.raises(UsageError, match="event 1 of 1-1 is no request to a model"):
            store.request("1-1", 1)


def test_two_agents_that_say_the_same_share_what_they_said_and_part_where_they_differ(service: Service) -> None:
    async def body(agent: Any) -> None:
        messages = [SYSTEM, {"role": "user", "content": "hello"}, {"role": "user", "content": agent.id}]
        await agent.model(messages, model="small", tools=[ADD])
        await agent.model(messages[:2], model="small", tools=[ADD])

    first, second, *again = talk(service, body, agents=2).of("model.called")
    assert (second.data["after"], second.data["kept"]) == (first.seq, 2)
    assert second.data["messages"] == [{"role": "user", "content": "talker-1"}]
    assert second.data["tools_of"] == first.seq
    assert "tools" not in second.data
    for event in again:  # a request that is the beginning of another has no message of its own
        assert event.data["messages"] == []
        assert (event.data["after"], event.data["kept"]) == (first.seq, 2)


def test_a_replay_asks_nobody_and_is_the_same(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.next(Fault(429, retry_after="0.01"), Fault("reset"), None, Fault(400))

    async def body(agent: Any) -> None:
        try:
            await chat(agent)
        except matrix.CallFailed as failed:
            agent.emit("failed", error_type=failed.error_type)

    talk(service, body, agents=2, store=tmp_path / "runs")
    served = service.served
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)  # as if it were not installed
    with matrix.open(tmp_path / "runs") as store:
        assert store.replay("1-1", program=talking(body, 2)).status == "identical"
    assert service.served == served


def test_without_httpx_a_call_fails_with_what_to_install(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    failed = talk(service, chat).one("model.failed")
    assert failed.data["error"].endswith("pip install 'matrix-runtime[models]'")
    assert failed.data["attempts"] == 1


def test_trouble_is_tried_again_after_as_long_as_the_server_says(service: Service) -> None:
    service.next(Fault(429, retry_after="0.2"), Fault(503, headers={"retry-after-ms": "150"}), Fault("reset"))
    completed = talk(service, lambda agent: chat(agent, 1)).one("model.completed")
    tries = completed.data["tries"]
    assert completed.data["attempts"] == 4
    assert tries[0]["error"] == f"EndpointBusy: 429 Too Many Requests from {service.url}: trouble 429"
    assert tries[1]["error"].startswith("EndpointBusy: 503 Service Unavailable")
    assert tries[2]["error"].startswith("EndpointLost: ")
    assert tries[1]["waited_ms"] >= 200
    assert tries[2]["waited_ms"] >= 150


def test_a_request_that_is_refused_fails_at_once_with_the_servers_words(service: Service) -> None:
    service.next(Fault(400, body='{"error": {"message": "max_tokens is too large", "type": "invalid_request_error"}}'))

    async def body(agent: Any) -> None:
        with pytest.raises(matrix.CallFailed, match="max_tokens is too large") as failed:
            await agent.model("hello", model="small", max_tokens=10**9)
        agent.emit("failed", error_type=failed.value.error_type, attempts=failed.value.attempts)

    played = talk(service, body)
    assert played.data("failed") == [{"error_type": "EndpointRefused", "attempts": 1}]
    assert played.one("model.failed").data["status"] == 400
    assert service.served == 1


def test_an_answer_that_is_none_is_tried_again(service: Service) -> None:
    service.next(Fault("garbage"), Fault("garbage", body='{"choices": []}'), Fault("garbage", body="[1]"), Fault("cut"))
    completed = talk(service, lambda agent: chat(agent, 1)).one("model.completed")
    errors = [one["error"].partition(":")[0] for one in completed.data["tries"]]
    assert errors == ["EndpointGarbled", "EndpointGarbled", "EndpointGarbled", "EndpointLost"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_is_not_there_is_tried_again_and_named(service: Service, scheme: str) -> None:
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        url = f"{scheme}://127.0.0.1:{nobody.getsockname()[1]}/v1"
        failed = talk(service, lambda agent: chat(agent, 1), models=Endpoint(url, key="")).one("model.failed")
    assert failed.data["error"].startswith(f"EndpointLost: {url}: ConnectError: ")
    assert failed.data["attempts"] == 6
    assert "status" not in failed.data


def test_an_attempt_that_takes_too_long_is_tried_again(service: Service) -> None:
    service.next(Fault("slow", seconds=5))
    models = endpoint(service, timeout=0.1)
    completed = talk(service, lambda agent: chat(agent, 1), models=models).one("model.completed")
    assert [one["error"] for one in completed.data["tries"]] == ["TooSlowError: took longer than 0.1 seconds"]


def test_a_policy_by_the_name_of_the_model_is_nearer_than_the_endpoints(service: Service) -> None:
    service.next(Fault(500), Fault(500))

    async def body(agent: Any) -> None:
        with pytest.raises(matrix.CallFailed):
            await agent.model("hello", model="small")

    failed = talk(service, body, calls={"small": matrix.CallPolicy(attempts=2, backoff=0)}).one("model.failed")
    assert (failed.data["attempts"], failed.data["status"]) == (2, 500)


def test_a_program_may_ask_a_model_itself(service: Service) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.emit("heard", text=(await simulation.model("hello", model="small")).text)

    played = play(program, models=endpoint(service))
    assert played.one("model.called").data["call_id"] == "program#1"
    assert played.one("heard").data["text"].startswith('heard "hello"')


def test_models_are_asked_where_their_name_says(service: Service) -> None:
    with Service() as other:

        async def body(agent: Any) -> None:
            for name in ("large", "small"):
                await agent.model("hello", model=name)

        models = {"large": endpoint(other), "*": endpoint(service)}
        played = talk(service, body, models=models)
    assert [event.data["endpoint"] for event in played.of("model.called")] == [other.url, service.url]
    assert [received.body["model"] for received in other.requests] == ["large"]
    assert [received.body["model"] for received in service.requests] == ["small"]


def test_the_environment_says_where_models_are_asked(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{service.url}/")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    played = talk(service, lambda agent: chat(agent, 1), models=None)
    assert played.one("model.called").data["endpoint"] == service.url
    assert service.requests[0].headers["authorization"] == "Bearer sk-of-the-environment"


def test_without_any_endpoint_the_call_fails_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    played = play(talking(lambda agent: chat(agent, 1)), store=tmp_path / "runs")
    error = played.one("model.failed").data["error"]
    assert error.startswith("ProgramError: no endpoint is known for the model 'small'")
    assert "OPENAI_BASE_URL" in error
    assert played.one("model.called").data["endpoint"] == ""
    with matrix.open(tmp_path / "runs") as store:
        assert store.replay("1-1", program=talking(lambda agent: chat(agent, 1))).status == "identical"


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (["hello"], {"model": ""}, "model is the name of a model"),
        ([{"role": "user"}], {"model": "m"}, "messages is a list of maps"),
        ([["hello"]], {"model": "m"}, r"messages\[0\] is a map"),
        ([[{"role": "user", "content": {1, 2}}]], {"model": "m"}, r"messages\[0\].content is a set"),
        ([[{"role": "user", "content": "\ud800"}]], {"model": "m"}, "half a letter"),
        ([[{"role": "user", "content": b"bytes"}]], {"model": "m"}, r"messages\[0\] cannot be sent as JSON"),
        (
            ["hello"],
            {"model": "m", "api_key": "sk-1"},
            "api_key is no option of a model call; it belongs",
        ),
        (["hello"], {"model": "m", "tools": ["add"]}, r"tools\[0\] is a matrix.tools.Tool"),
        (["hello"], {"model": "m", "temperature": object()}, "the options of a model call.temperature"),
        (["hello"], {"model": "m", "temperature": float("nan")}, "a model call cannot be sent as JSON"),
        ([[{"role": "user", "content": "x", "weight": float("inf")}]], {"model": "m"}, r"messages\[0\] cannot be sent"),
        (["hello"], {"model": "m", "on_text": "print"}, "on_text is a function that takes a text, not 'print'"),
        (["hello"], {"model": "m", "latency": "soon"}, "soon"),
        (["hello"], {"model": "m", "timeout": -1}, "timeout is a number of seconds above 0"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_recorded(
    service: Service, arguments: list[Any], options: dict[str, Any], said: str
) -> None:
    async def body(agent: Any) -> None:
        with pytest.raises(matrix.MatrixError, match=said):
            await agent.model(*arguments, **options)
        await agent.model("hello", model="m", tools=[ADD])

    called = talk(service, body).one("model.called").data
    assert (called["call_id"], called["tools"]) == ("talker-0#1", [ADD])
    assert called["messages"] == [{"role": "user", "content": "hello"}], "nothing of what was refused is known"


def test_no_secret_is_in_the_store_or_in_an_error_even_if_the_server_repeats_it(
    service: Service, tmp_path: Path
) -> None:
    header, query = "hidden-header-7", "hidden-query-5"
    models = Endpoint(f"{service.url}?token={query}", key=KEY, headers={"X-Api-Key": header})
    service.next(Fault("echo"), Fault(500, body=f"the key {KEY} is busy"), Fault("garbage", body=f"<{KEY}>"))
    service.answer = lambda body: [
        {"index": 0, "message": {"role": "assistant", "content": f"your key is {KEY}"}, "finish_reason": "stop"}
    ]
    said = [repr(models), str(models)]

    async def body(agent: Any) -> None:
        for _ in range(3):
            try:
                await agent.model("hello", model="small", policy=matrix.CallPolicy(attempts=1))
            except matrix.CallFailed as failed:
                said.append("".join(traceback.format_exception(failed)))
        for stream in (False, True):
            said.append((await agent.model("hello", model="small", stream=stream)).text)

    played = talk(service, body, models=models, store=tmp_path / "runs")
    errors = [event.data["error"].partition(":")[0] for event in played.of("model.failed")]
    assert errors == ["EndpointRefused", "EndpointBusy", "EndpointGarbled"]
    assert said[-2:] == ["your key is ***", "your key is ***"]
    assert (service.requests[0].headers["x-api-key"], service.requests[0].path[-20:]) == (header, f"token={query}")
    for secret in (KEY, header, query):
        assert not any(secret in text for text in said)
        assert not holds(tmp_path, secret)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(401, body="x" * (2_000 - len(KEY) // 2) + KEY),
        Fault(401, body=" " * (65_536 - len(KEY) // 2) + KEY),
        Fault("garbage", body="x" * (2_000 - len(KEY) // 2) + KEY),
        Fault("garbage", body=json.dumps({"none": "x" * (2_000 - 10 - len(KEY) // 2) + KEY})),
        Fault("garbage", body="data: " + json.dumps({"error": "x" * (2_000 - len(KEY) // 2) + KEY}) + "\n\n"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_half_a_secret_is_in_no_error_that_is_cut_within_it(service: Service, fault: Fault, stream: bool) -> None:
    service.next(replace(fault, headers={"content-type": "text/plain"}))

    async def body(agent: Any) -> None:
        with pytest.raises(matrix.CallFailed):
            await agent.model("hello", model="small", stream=stream, policy=matrix.CallPolicy(attempts=1))

    error = talk(service, body).one("model.failed").data["error"]
    assert KEY[:6] not in error


def test_what_opens_an_endpoint_is_hidden_in_the_form_of_urls_too(service: Service) -> None:
    for query in ("token=hidden%2Fquery%2B5", "hidden-query-5"):
        service.next(Fault(401, body=f"no entry for POST /v1/chat/completions?{query}"))

        async def body(agent: Any) -> None:
            with pytest.raises(matrix.CallFailed, match=r"\*\*\*"):
                await agent.model("hello", model="small")

        played = talk(service, body, models=Endpoint(f"{service.url}?{query}", key=KEY))
        assert "hidden" not in played.one("model.failed").data["error"]


def test_diagnostics_of_the_http_library_show_no_secret(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    service.next(Fault(500, headers={"x-key": KEY}))
    models = Endpoint(f"{service.url}?token=hidden-query-5", key=KEY)
    talk(service, lambda agent: chat(agent, 1), models=models)
    assert "chat/completions?token=***" in caplog.text
    assert "hidden-query-5" not in caplog.text
    assert KEY not in caplog.text
    assert not any(logging.getLogger(name).filters for name in ("httpx", "httpcore.http11")), "all is as it was"


def test_who_is_sent_elsewhere_hears_where(service: Service) -> None:
    service.next(Fault(308, headers={"location": "https://elsewhere/v1/chat/completions?opens=it"}))

    async def body(agent: Any) -> None:
        with pytest.raises(matrix.CallFailed):
            await agent.model("hello", model="small")

    failed = talk(service, body).one("model.failed").data
    assert (failed["status"], failed["attempts"]) == (308, 1)
    assert failed["error"].endswith("should say: https://elsewhere/v1/chat/completions)")


def test_a_name_and_password_in_the_url_are_sent_and_shown_nowhere(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    models = Endpoint(service.url.replace("http://", "http://somebody:pass-word-9@"))
    service.next(Fault("echo"))
    played = talk(service, lambda agent: chat(agent, 1), models=models, store=tmp_path / "runs")
    assert service.requests[0].headers["authorization"] == "Basic c29tZWJvZHk6cGFzcy13b3JkLTk="
    assert played.one("model.called").data["endpoint"] == service.url
    assert "EndpointRefused" in played.one("model.failed").data["error"]
    for secret in ("pass-word-9", "c29tZWJvZHk6cGFzcy13b3JkLTk=", "sk-of-the-environment"):
        assert not holds(tmp_path, secret)


def test_a_call_that_is_given_up_lets_the_connection_go(service: Service) -> None:
    service.next(Fault("slow", seconds=20))

    async def body(agent: Any) -> None:
        with agent.move_on_after(0.1):
            await agent.model("hello", model="small")
        agent.emit("heard", text=(await agent.model("again", model="small")).text)

    played = talk(service, body)
    assert played.one("model.failed").data["cancelled"] is True
    assert played.one("heard").data["text"].startswith('heard "again"')


def test_calls_beyond_the_connections_wait_for_one(service: Service) -> None:
    service.answer_s = 0.02
    models = endpoint(service, connections_max=10)
    played = talk(service, lambda agent: chat(agent, 2), agents=40, models=models)
    assert {event.data["attempts"] for event in played.of("model.completed")} == {1}
    assert service.served == 80
    assert service.at_once_max <= 10
