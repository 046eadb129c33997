"""Model calls in replay, resume and fork: the same events, the same references, nothing asked twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import matrix
from matrix.errors import ProgramError, StoreError
from matrix.event import Event
from matrix.prefixes import Prefixes, rolling
from matrix.requests import Requests
from matrix.runtime.calls.model import _message_text
from tests.models.service import Service
from tests.models.talk import endpoint, talk, talking

ROOT = Path(__file__).parent.parent.parent


async def chat(agent: Any) -> None:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "be nice"}]
    for turn in range(3):
        messages.append({"role": "user", "content": f"turn {turn} of {agent.id}"})
        reply = await agent.model(messages, model="small")
        messages.append(reply.message)
        agent.emit("heard", text=reply.text)


def ordered(requests: list[Any]) -> list[Any]:
    """The same, with the keys of each message in one order."""
    return [[dict(sorted(message.items())) for message in messages] for messages in requests]


def messages_of(store: matrix.Store, simulation: str) -> list[list[dict[str, Any]]]:
    return [request.messages for request in store.requests(simulation)]


def test_a_fork_goes_on_from_its_parents_messages_with_the_same_references(service: Service, tmp_path: Path) -> None:
    program = talking(chat, 2)
    played = talk(service, chat, agents=2, store=tmp_path, delivery="ordered")
    whole = [(event.seq, event.kind, event.data.get("after")) for event in played.events]
    with matrix.open(tmp_path) as store:
        for at in range(2, len(whole) - 1, 2):
            (outcome,) = store.fork("1-1", at=at, program=program, models=endpoint(service))
            events = [event for event in store.events(outcome.id) if event.kind != "simulation.forked"]
            assert [event.kind for event in events] == [kind for _, kind, _ in whole]
            sent = [received.body["messages"] for received in service.requests]
            service.requests.clear()
            asked = messages_of(store, outcome.id)
            assert asked == messages_of(store, "1-1")
            expected = asked[len(asked) - len(sent) :]
            assert at == 2 or sorted(map(json.dumps, ordered(sent))) == sorted(map(json.dumps, ordered(expected)))
        assert {replay.status for replay in store.replay_all(program=program)} == {"identical"}


CUT_OFF = """
import sys
import matrix
from matrix.endpoint.endpoint import Endpoint
from tests.models.talk import talking
from tests.models.test_again import chat

matrix.run(talking(chat, 2), store=sys.argv[1], models=Endpoint(sys.argv[2], key=""), durability="sync")
"""


def test_what_a_crash_cut_off_is_sent_again_when_it_is_resumed(service: Service, tmp_path: Path) -> None:
    store_path, program = tmp_path / "runs", talking(chat, 2)
    service.answer_s = 0.3
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", CUT_OFF, str(store_path), service.url], env=environment)
    deadline = time.monotonic() + 20
    while service.served < 4 and time.monotonic() < deadline:  # each has got an answer, and asks for the second
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    service.answer_s = 0
    service.requests.clear()
    with matrix.open(store_path) as store:
        (resumed,) = store.resume(program=program, models=endpoint(service))
        assert resumed.outcome is not None
        assert resumed.outcome.status == "finished"
        events = list(store.events("1-1"))
        assert [event.kind for event in events].count("model.completed") == 6
        assert "model.failed" not in {event.kind for event in events}
        assert len(service.requests) == 4
        requests = messages_of(store, "1-1")
        assert [len(messages) for messages in requests] == [2, 2, 4, 4, 6, 6]
        assert store.replay("1-1", program=program).status == "identical"


def test_one_that_must_not_be_repeated_is_told_so(service: Service, tmp_path: Path) -> None:
    async def body(agent: Any) -> None:
        await agent.model("hello", model="small", repeatable=False)

    played = talk(service, body, calls={"small": matrix.CallPolicy(repeatable=True)})
    assert "repeatable" not in played.one("model.called").data


def test_a_pending_request_of_a_fork_is_asked_at_the_endpoint_of_now_and_says_so(
    service: Service, tmp_path: Path
) -> None:
    seq = talk(service, chat, store=tmp_path).of("model.called")[0].seq
    with Service() as other, matrix.open(tmp_path) as store:
        (outcome,) = store.fork("1-1", at=seq, program=talking(chat), models=endpoint(other))
        completed = [event.data for event in store.events(outcome.id) if event.kind == "model.completed"]
        called = [event.data for event in store.events(outcome.id) if event.kind == "model.called"]
        assert [data["endpoint"] for data in called] == [service.url, other.url, other.url]
        assert [data.get("endpoint") for data in completed] == [other.url, None, None]
        assert store.replay(outcome.id, program=talking(chat)).status == "identical"


def test_a_replay_that_asks_otherwise_says_what_is_asked_and_not_its_hash(service: Service, tmp_path: Path) -> None:
    async def body(agent: Any, text: str = "hello") -> None:
        await agent.model([{"role": "system", "content": "be nice"}, {"role": "user", "content": text}], model="small")

    talk(service, body, store=tmp_path)
    with matrix.open(tmp_path) as store:
        replay = store.replay("1-1", program=talking(lambda agent: body(agent, "hullo")))
    assert replay.divergence is not None
    assert replay.divergence.diff == ("model.called", "data.messages[1].content", "  - 'hello'", "  + 'hullo'")


# -- references ----------------------------------------------------------------------------------

TEXTS = st.lists(st.sampled_from("abc"), max_size=6)


def told(seq: int, kind: str, number: int, **data: Any) -> Event:
    """An event of a model call."""
    call_id = f"a#{number}"
    return Event(1, seq, 0, 0, 1, 1, 0, 0, 0, kind, data={"model": "m", "call_id": call_id, **data})


@given(st.lists(st.tuples(TEXTS, st.sampled_from(["", "x", "y"])), max_size=12))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_what_is_recorded_of_requests_gives_them_back_whatever_they_share(talks: list[tuple[list[str], str]]) -> None:
    prefixes, requests, seq = Prefixes(), Requests(), 0
    for number, (texts, answer) in enumerate(talks):
        seq, hashes = seq + 1, rolling(texts)
        known, references = prefixes.references(hashes)
        prefixes.add(seq, hashes)
        new = [{"content": text} for text in texts[known:]]
        request = requests.feed(told(seq, "model.called", number, messages=new, **references))
        assert request is not None
        assert [message["content"] for message in request.messages] == texts
        if answer:
            seq += 1
            requests.feed(told(seq, "model.completed", number, message={"content": answer}))
            prefixes.add_answer(seq, hashes, answer)
            assert [message["content"] for message in requests.messages(seq)] == [*texts, answer]


@given(st.text(), st.text(st.characters(blacklist_categories=[]), max_size=5))
def test_a_plain_message_has_the_json_that_every_other_way_gives_it(content: str, role: str) -> None:
    message = {"role": role, "content": content}
    expected = json.dumps(message, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    try:
        assert _message_text(message, "") == expected
    except ProgramError:
        with pytest.raises(UnicodeEncodeError):
            expected.encode()


@given(st.lists(TEXTS, min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_the_longest_beginning_that_any_request_had_is_found(talks: list[list[str]]) -> None:
    prefixes = Prefixes()
    for seq, texts in enumerate(talks):
        known, _ = prefixes.references(rolling(texts))
        shared = [
            length for length in range(1, len(texts) + 1) if any(one[:length] == texts[:length] for one in talks[:seq])
        ]
        assert known == max(shared, default=0)
        prefixes.add(seq, rolling(texts))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"after": 9, "messages": []}, "goes on from event 9, which holds no messages"),
        ({"after": 1, "kept": 2, "messages": []}, "keeps 2 messages of event 1, which has 1"),
        ({"tools_of": 7, "messages": []}, "has the tools of event 7, which is no call of a model"),
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error(data: dict[str, Any], said: str) -> None:
    requests = Requests()
    requests.feed(told(1, "model.called", 1, messages=[{"role": "user"}]))
    with pytest.raises(StoreError, match=said):
        requests.feed(told(2, "model.called", 2, **data))
