"""Streams: answers in pieces, put together to what they would be in one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import matrix
from matrix.endpoint.stream import Assembly, Lines
from matrix.errors import EndpointBusy, EndpointGarbled, EndpointLost, EndpointRefused
from tests.models.service import Fault, Service
from tests.models.talk import KEY, QUICK, talk, talking

CALLS = 'call add {"a": 1, "b": 22}\ncall find {"name": "Zoë"}'
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("add", "find")]


def assembled(*pieces: dict[str, Any], is_done: bool = True) -> dict[str, Any]:
    assembly = Assembly()
    for piece in pieces:
        assembly.add(json.dumps({"choices": [piece]}))
    if is_done:
        assembly.add("[DONE]")
    return assembly.answer()


def test_a_streamed_answer_is_that_which_comes_in_one_piece(service: Service) -> None:
    async def body(agent: Any) -> None:
        for options in ({}, {"tools": TOOLS}, {"logprobs": True, "top_logprobs": 2}, {"n": 2}, {"max_tokens": 2}):
            for stream in (False, True):
                await agent.model(CALLS, model="small", stream=stream, **options)

    played = talk(service, body)
    told = [dict(event.data) for event in played.of("model.completed")]
    changing = ("ms", "waited_ms", "step", "arrival", "first_ms", "call_id")
    for whole, streamed in zip(told[::2], told[1::2], strict=True):
        assert streamed["first_ms"] > 0
        assert "first_ms" not in whole
        for name in changing:
            whole.pop(name, None), streamed.pop(name, None)
        assert streamed == whole
    calls = [call["function"] for call in told[2]["message"]["tool_calls"]]
    assert calls == [
        {"name": "add", "arguments": '{"a": 1, "b": 22}'},
        {"name": "find", "arguments": '{"name": "Zoë"}'},
    ]
    assert told[4]["logprobs"]["tokens"][:2] == ["heard ", '"call ']
    assert told[4]["logprobs"]["top"][1] == {"tokens": ['"call ', '"call1'], "logprobs": [-0.25, -1.25]}
    assert [choice["message"]["content"][-9:] for choice in told[6]["choices"]] == ["e more, 1"]
    assert told[8]["finish_reason"] == "length"
    assert [event.data.get("stream", False) for event in played.of("model.called")] == [False, True] * 5
    assert service.requests[1].body["stream_options"] == {"include_usage": True}


def test_the_text_is_told_as_it_comes_and_never_in_a_replay(service: Service, tmp_path: Any) -> None:
    heard: list[str] = []

    async def body(agent: Any) -> None:
        await agent.model("hello", model="small", on_text=heard.append)

    played = talk(service, body, store=tmp_path / "runs")
    assert len(heard) > 3
    assert "".join(heard) == played.one("model.completed").data["message"]["content"]
    heard.clear()
    with matrix.open(tmp_path / "runs") as store:
        assert store.replay("1-1", program=talking(body)).status == "identical"
    assert heard == []


@pytest.mark.parametrize("kind", ["cut", "undone"])
def test_a_stream_that_is_cut_off_is_tried_again(service: Service, kind: str) -> None:
    service.next(Fault(kind, pieces=0), Fault(kind, pieces=3))

    async def body(agent: Any) -> None:
        agent.emit("heard", text=(await agent.model("hello", model="small", stream=True, policy=QUICK)).text)

    played = talk(service, body)
    assert played.data("heard")[0]["text"].startswith('heard "hello"')
    tries = played.one("model.completed").data["tries"]
    assert [one["error"].partition(":")[0] for one in tries] == ["EndpointLost", "EndpointLost"]


def test_a_server_that_refuses_to_tell_the_usage_of_streams_is_asked_without(service: Service) -> None:
    service.refuses_stream_options = True

    async def body(agent: Any) -> None:
        for _ in range(2):
            await agent.model("hello", model="small", stream=True)

    told = [event.data for event in talk(service, body).of("model.completed")]
    assert [data["attempts"] for data in told] == [1, 1]
    assert "tokens" not in told[0]
    assert service.served == 3  # from then on it is not asked for it


def test_what_a_callback_raises_fails_the_call_and_is_not_tried_again(service: Service) -> None:
    def refuse(text: str) -> None:
        raise ValueError("no more")

    async def body(agent: Any) -> None:
        with pytest.raises(matrix.CallFailed, match="ValueError: no more"):
            await agent.model("hello", model="small", on_text=refuse)

    assert talk(service, body).outcome.status == "finished"
    assert service.served == 1


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_server_that_answers_in_one_piece_all_the_same_is_understood(service: Service, kind: str) -> None:
    heard: list[str] = []
    message = {"role": "assistant", "content": "all at once"}
    answer = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]})
    service.next(Fault("garbage", body=answer, headers={"content-type": kind}))

    async def body(agent: Any) -> None:
        await agent.model("hello", model="small", on_text=heard.append)

    assert talk(service, body).one("model.completed").data["message"] == message
    assert heard == ["all at once"]


def test_a_page_in_place_of_a_stream_is_shown_in_the_error(service: Service) -> None:
    service.next(Fault("garbage", body="<html>please log in</html>", headers={"content-type": "text/html"}))

    async def body(agent: Any) -> None:
        with pytest.raises(matrix.CallFailed, match="<html>please log in</html>"):
            await agent.model("hello", model="small", stream=True, policy=matrix.CallPolicy(attempts=1))

    talk(service, body)


def test_a_secret_is_in_no_text_that_is_told_as_it_comes(service: Service) -> None:
    heard: list[str] = []
    piece = {"choices": [{"delta": {"content": f"your key is {KEY}"}, "finish_reason": "stop"}]}
    said = f"data: {json.dumps(piece)}\n\n"
    service.next(Fault("garbage", body=said, headers={"content-type": "text/event-stream"}))

    async def body(agent: Any) -> None:
        await agent.model("hello", model="small", on_text=heard.append)

    talk(service, body)
    assert heard == ["your key is ***"]


# -- lines ---------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_events_are_the_same_however_their_bytes_are_cut(data: st.DataObject) -> None:
    texts = data.draw(
        st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\n\r"), min_size=1))
    )
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    raw = "".join(f": ping{end}data: {text}{end}{end}" for text in texts).encode()
    lines, found, start = Lines(), [], 0
    while start < len(raw):
        stop = start + data.draw(st.integers(1, 9))
        found += lines.feed(raw[start:stop])
        start = stop
    assert [*found, *lines.end()] == texts


def test_an_event_of_several_lines_and_one_without_its_empty_line_are_whole() -> None:
    lines = Lines()
    assert list(lines.feed(b"event: x\ndata:one\ndata: two\n\ndata: [DO")) == ["one\ntwo"]
    assert list(lines.feed(b"NE]")) == []
    assert list(lines.end()) == ["[DONE]"]


# -- pieces --------------------------------------------------------------------------------------


def test_calls_are_told_apart_by_their_ids_where_servers_number_them_badly() -> None:
    def piece(**call: Any) -> dict[str, Any]:
        return {"index": 0, "delta": {"tool_calls": [call]}}

    answer = assembled(
        piece(index=0, id="a", function={"name": "add", "arguments": "{"}),
        piece(index=0, function={"arguments": "}"}),
        piece(index=0, id="b", function={"name": "find", "arguments": "["}),
        piece(index=0, function={"arguments": "]"}),
        piece(id="c", function={"name": "last", "arguments": ""}),
        piece(function={"arguments": "1"}),
    )
    calls = answer["choices"][0]["message"]["tool_calls"]
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [("a", "{}"), ("b", "[]"), ("c", "1")]


def test_names_that_come_with_every_piece_are_said_once_and_unknown_texts_are_joined() -> None:
    delta = {"role": "assistant", "content": None, "reasoning_content": "Hm"}
    again = {"role": "assistant", "content": "So", "reasoning_content": "m."}
    message = assembled({"index": 0, "delta": delta}, {"index": 0, "delta": again})["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "So", "reasoning_content": "Hmm."}


def test_a_stream_is_whole_with_a_reason_for_its_end_or_when_it_says_that_it_is_done() -> None:
    begun = {"index": 0, "delta": {"content": "Hi"}}
    assert assembled(begun)["choices"][0]["message"]["content"] == "Hi"
    assert assembled(begun, {"index": 0, "delta": {}, "finish_reason": "stop"}, is_done=False)
    with pytest.raises(EndpointLost):
        assembled(begun, is_done=False)
    with pytest.raises(EndpointLost):  # of two choices only one has ended
        assembled({**begun, "finish_reason": "stop"}, {**begun, "index": 1}, is_done=False)
    with pytest.raises(EndpointLost):
        assembled()


def test_errors_within_a_stream_are_told_apart_by_their_code() -> None:
    for code, kind in ((400, EndpointRefused), (429, EndpointBusy), (None, EndpointBusy)):
        with pytest.raises(kind, match="no luck"):
            Assembly().add(json.dumps({"error": {"message": "no luck", "code": code}}))
    for odd in ("<html>", "[1]", '{"choices": [1]}', '{"choices": [{"delta": {"tool_calls": [1]}}]}'):
        with pytest.raises(EndpointGarbled):
            Assembly().add(odd)
