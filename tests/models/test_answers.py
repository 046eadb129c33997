"""Answers of servers, whatever they send: what is known has its place, what is not is kept, nothing breaks the log."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.endpoint.answer import fields_of
from matrix.endpoint.endpoint import Endpoint
from matrix.endpoint.reply import Reply, ToolCall
from matrix.endpoint.secrets import Secrets
from matrix.endpoint.stream import Assembly
from matrix.endpoint.trouble import retry_after, trouble_of
from matrix.errors import EndpointBusy, EndpointError, EndpointGarbled, EndpointRefused, UsageError
from matrix.runtime.values import snapshot
from tests.models.service import Fault, Service
from tests.models.talk import QUICK, talk

URL = "http://localhost:8000/v1"


def answer(message: Any, **told: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **told}


def test_what_is_not_known_is_kept_and_what_is_null_is_left_out() -> None:
    message = {"role": "assistant", "content": None, "refusal": "no", "annotations": [], "audio": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "stop_reason": 7, "logprobs": None}
    found = fields_of({"id": "", "model": "m-0613", "choices": [choice], "usage": None, "timings": {"ms": 1}}, "m")
    assert found == {
        "message": {"role": "assistant", "refusal": "no", "annotations": []},
        "finish_reason": "stop",
        "response_model": "m-0613",
        "extra": {"timings": {"ms": 1}, "stop_reason": 7},
    }


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, {"tokens": 7, "prompt_tokens": 3, "completion_tokens": 4}),
        ({"total_tokens": 9, "cost": 0.5}, {"tokens": 9, "usage": {"cost": 0.5}}),
        ({"total_tokens": "many", "prompt_tokens": -1, "completion_tokens": True}, {}),
        ("none", {}),
    ],
)
def test_usage_is_taken_as_far_as_it_is_counts(usage: Any, found: dict[str, Any]) -> None:
    told = fields_of(answer({"content": "Hi"}, usage=usage), "m")
    assert {name: value for name, value in told.items() if name not in ("message", "finish_reason")} == found


def test_logprobs_are_lists_and_tokens_that_are_part_of_a_letter_keep_their_bytes() -> None:
    content = [
        {"token": "Z", "logprob": -0.5, "bytes": [90], "top_logprobs": []},
        {
            "token": "\ufffd",
            "logprob": -1,
            "bytes": [195],
            "top_logprobs": [{"token": "o", "logprob": -2, "bytes": None}],
        },
    ]
    choice = {"message": {"content": "Z?"}, "logprobs": {"content": content, "refusal": None}}
    assert fields_of({"choices": [choice]}, "m")["logprobs"] == {
        "tokens": ["Z", "\ufffd"],
        "logprobs": [-0.5, -1],
        "bytes": {"1": [195]},
        "top": [{"tokens": [], "logprobs": []}, {"tokens": ["o"], "logprobs": [-2]}],
    }
    for odd in ([1], [{"token": "a"}], [{"logprob": 1}]):
        choice = {"message": {"content": ""}, "logprobs": {"content": odd}}
        assert fields_of({"choices": [choice]}, "m")["logprobs"] == {"content": odd}


@pytest.mark.parametrize(
    "odd", [None, [], "text", {}, {"choices": None}, {"choices": [None]}, {"choices": [{"text": "a"}]}]
)
def test_what_is_no_answer_is_an_error_that_shows_it(odd: Any) -> None:
    with pytest.raises(EndpointGarbled):
        fields_of(odd, "m")


def test_half_letters_that_belong_together_are_joined_and_others_become_a_mark() -> None:
    text = fields_of(answer({"content": "\ud83d" + "\ude00" + " \ud83d!"}), "m")["message"]["content"]
    assert text == "😀 \ufffd!"


def test_an_answer_that_no_log_could_hold_is_made_to_fit_or_tried_again(service: Service) -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    odd = [
        answer({"content": "Hi"}, deep=deep),
        answer({"content": "\ud800"}, big=10**30, huge=10**400, small=-(2**70)),
    ]
    service.next(*(Fault("garbage", body=json.dumps(one)) for one in odd), Fault("garbage", body="[" * 100_000))

    async def body(agent: Any) -> None:
        for _ in range(2):
            await agent.model("hello", model="small", policy=QUICK)

    first, second = (event.data for event in talk(service, body).of("model.completed"))
    assert [one["error"][:52] for one in first["tries"]] == ["EndpointGarbled: the answer is nested deeper than 48"]
    assert first["message"]["content"] == "\ufffd"
    assert first["extra"] == {"big": 1e30, "huge": str(10**400), "small": float(-(2**70))}
    assert second["tries"][0]["error"].startswith(f"EndpointGarbled: {service.url} did not answer with JSON: [[[[")


# -- replies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "arguments", "problem"),
    [
        ('{"a": 1}', {"a": 1}, ""),
        ("", {}, ""),
        (None, {}, ""),
        ({"a": 1}, {"a": 1}, ""),
        ("[1]", {}, "the arguments are no JSON object, but list"),
        ('{"a": ', {}, "the arguments are no JSON: Expecting value: line 1 column 7 (char 6)"),
    ],
)
def test_arguments_of_a_call_are_a_map_or_there_is_a_problem(given: Any, arguments: Any, problem: str) -> None:
    call = ToolCall.of({"id": "c", "function": {"name": "add", "arguments": given}})
    assert (call.arguments, call.problem) == (arguments, problem)


def test_a_reply_has_the_text_of_a_content_in_parts_and_no_calls_where_there_are_none() -> None:
    reply = Reply.of({"message": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 7]}})
    assert (reply.text, reply.tool_calls, reply.tokens) == ("ab", [], None)
    assert Reply.of({"message": {"tool_calls": None}}).tool_calls == []


# -- trouble -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error": {"message": "slow down", "code": 7}}', "slow down"),
        ('{"error": "model not found"}', "model not found"),
        ('{"detail": [{"loc": ["body"], "msg": "wrong"}]}', '[{"loc": ["body"], "msg": "wrong"}]'),
        ('[{"error": {"message": "one of a list"}}]', "one of a list"),
        ("<html>\n  <b>Bad Gateway</b>\n</html>", "<html> <b>Bad Gateway</b> </html>"),
        ("", "no further words"),
    ],
)
def test_the_servers_own_words_are_found_wherever_they_are(body: str, words: str) -> None:
    assert str(trouble_of(500, {}, body, URL)) == f"500 Internal Server Error from {URL}: {words}"


def test_only_some_statuses_are_worth_another_attempt() -> None:
    kinds = {status: type(trouble_of(status, {}, "", URL)) for status in (301, 400, 401, 403, 404, 422)}
    assert set(kinds.values()) == {EndpointRefused}
    assert {type(trouble_of(status, {}, "", URL)) for status in (408, 409, 425, 429, 500, 502, 599)} == {EndpointBusy}
    assert "ends with /v1" in str(trouble_of(404, {}, "", URL))


def test_retry_after_is_seconds_milliseconds_or_a_date() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    date = {"retry-after": format_datetime(now + timedelta(seconds=90), usegmt=True)}
    assert retry_after({"retry-after": "1.5"}) == 1.5
    assert retry_after({"retry-after": "7", "retry-after-ms": "250"}) == 0.25
    assert retry_after(date | {"date": format_datetime(now, usegmt=True)}) == 90
    assert retry_after({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}) == 0
    for odd in ("", "-1", "nan", "inf", "tomorrow", "1e999"):
        assert retry_after({"retry-after": odd}) is None


# -- endpoints and secrets -----------------------------------------------------------------------


def test_an_endpoint_shows_its_address_only() -> None:
    endpoint = Endpoint("https://me:secret-1@host:8443/openai/v1/?key=secret-2#x", key="", headers={"a": "secret-3"})
    assert endpoint.address == "https://host:8443/openai/v1"
    assert endpoint.target == "https://host:8443/openai/v1/chat/completions?key=secret-2"
    assert repr(endpoint) == str(endpoint) == "Endpoint('https://host:8443/openai/v1')"
    assert Endpoint(f"{URL}/chat/completions", key="").address == URL
    assert Endpoint(URL, key="a") != Endpoint(URL, key="b")
    assert len({Endpoint(URL, key="a"), Endpoint(URL, key="a", headers={})}) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"url": "localhost:8000"}, "begins with http"),
        ({"url": "http://me:hunter-22@:99999/v1"}, "begins with http"),
        ({"url": 7}, "is a text"),
        ({"url": URL, "key": "a\nb"}, "fits in a header"),
        ({"url": URL, "requests_per_minute": 0}, "requests_per_minute is a number of at least 1"),
        ({"url": URL, "tokens_per_minute": True}, "tokens_per_minute is a number of at least 1"),
        ({"url": URL, "timeout": 0}, "timeout is a number of seconds above 0"),
        ({"url": URL, "headers": {"a": 1}}, "headers map names to values"),
        ({"url": "http://me:pass-1@host/v1", "key": "sk-1"}, "only one of them can be sent"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused_without_showing_it(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        Endpoint(**arguments)
    assert "hunter-22" not in str(refused.value)


def test_secrets_are_hidden_in_everything_even_where_they_are_part_of_others() -> None:
    secrets = Secrets(["sk-123456", "sk-123456-long", 'quo"te-1', "short", "ollama", ""])
    assert secrets.hidden("sk-123456-long and sk-123456") == "*** and ***"
    assert secrets.hidden({"a sk-123456": [{"b": 'quo"te-1'}, 1, None]}) == {"a ***": [{"b": "***"}, 1, None]}
    untouched = {"text": "short ollama"}
    assert secrets.hidden(untouched) is untouched
    assert "sk" not in repr(secrets)


# -- whatever comes ------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        "choices",
        "message",
        "delta",
        "content",
        "tool_calls",
        "index",
        "id",
        "function",
        "arguments",
        "logprobs",
        "usage",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a", "\ud800", "stop"])
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5))
CHOICE = st.fixed_dictionaries({"message": JSON, "delta": JSON, "logprobs": JSON, "finish_reason": LEAVES})
CHOICES = st.fixed_dictionaries({"choices": st.lists(CHOICE, max_size=2)})


@given(JSON | CHOICES, JSON)
@settings(max_examples=200, deadline=None)
def test_nothing_that_a_server_sends_raises_anything_else_or_breaks_the_log(answer: Any, later: Any) -> None:
    try:
        found = fields_of(answer, "m")
        assert snapshot(found, "the answer")
        Reply.of(found).tool_calls, Reply.of(found).text
    except EndpointError:
        pass
    assembly = Assembly()
    try:
        for piece in (answer, later, answer):
            assembly.add(json.dumps(piece))
        assert snapshot(fields_of(assembly.answer(), "m"), "the answer")
    except EndpointError:
        pass
