"""``cache=True``: what was answered in this store before is answered from the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

import matrix
from matrix.log.answers import LoggedAnswers
from matrix.log.reader import LogReader
from matrix.testing.played import play
from tests.models.service import Fault, Service
from tests.models.talk import QUICK, endpoint, talk, talking

TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}


async def ask(agent: Any, *texts: str, cache: bool = True, **options: Any) -> None:
    for text in texts:
        reply = await agent.model(text, model="small", cache=cache, policy=QUICK, **options)
        agent.emit("heard", text=reply.text, cached=reply.cached)


def asking(*texts: str, **options: Any) -> Any:
    async def body(agent: Any) -> None:
        await ask(agent, *texts, **options)

    return body


def cached(played: Any) -> list[Any]:
    return [event.data.get("cached") for event in played.of("model.completed")]


def test_an_answer_of_another_run_is_taken_from_the_log(service: Service, tmp_path: Path) -> None:
    first = talk(service, asking("hello", cache=False), store=tmp_path / "runs")
    second = talk(service, asking("hello", "again", "hello"), store=tmp_path / "runs")
    seq = first.one("model.completed").seq
    assert cached(second) == [{"simulation": "1-1", "seq": seq}, None, {"simulation": "1-1", "seq": seq}]
    assert [received.body["messages"][0]["content"] for received in service.requests] == ["hello", "again"]
    data, origin = dict(second.of("model.completed")[0].data), dict(first.one("model.completed").data)
    for name in (
        "message",
        "finish_reason",
        "tokens",
        "prompt_tokens",
        "completion_tokens",
        "usage",
        "response_id",
        "extra",
    ):
        assert data[name] == origin[name]
    with matrix.open(tmp_path / "runs") as store:
        assert store.replay("1-2", program=talking(asking("hello", "again", "hello"))).status == "identical"


@pytest.mark.parametrize("change", [{"temperature": 1}, {"model": "large"}, {"text": "hello!"}, {"tools": [TOOL]}])
def test_what_differs_in_anything_is_asked(service: Service, change: dict[str, Any]) -> None:
    async def body(agent: Any) -> None:
        await agent.model("hello", model="small", cache=True)
        await agent.model(change.pop("text", "hello"), **{"model": "small", **change}, cache=True)

    assert cached(talk(service, body)) == [None, None]


def test_another_endpoint_is_asked_anew(service: Service, tmp_path: Path) -> None:
    talk(service, asking("hello"), store=tmp_path / "runs")
    with Service() as other:
        again = talk(service, asking("hello"), store=tmp_path / "runs", models=endpoint(other))
        assert other.served == 1
    assert cached(again) == [None]


def test_identical_requests_under_way_at_once_are_one(service: Service) -> None:
    service.answer_s = 0.05
    played = talk(service, asking("hello"), agents=20)
    assert service.served == 1
    (leader,) = (event for event in played.of("model.completed") if "cached" not in event.data)
    assert leader.agent == 1
    others = [event.data["cached"] for event in played.of("model.completed") if event is not leader]
    assert others == [{"simulation": "1-1", "seq": leader.seq}] * 19
    assert len({data["text"] for data in played.data("heard")}) == 1


def test_identical_requests_of_two_simulations_are_one(service: Service, tmp_path: Path) -> None:
    service.answer_s = 0.05
    outcomes = matrix.run(
        talking(asking("hello")), store=tmp_path, simulations=5, models=endpoint(service), index=False
    )
    assert [outcome.status for outcome in outcomes] == ["finished"] * 5
    assert service.served == 1


def test_in_ordered_delivery_the_first_who_asks_leads_whatever_happens(service: Service) -> None:
    def digest(seed: int) -> list[Any]:
        played = talk(service, asking("hello", "again"), agents=8, delivery="ordered")
        return [(event.seq, event.kind, event.agent, event.data.get("cached")) for event in played.events]

    first = digest(1)
    assert all(digest(1) == first for _ in range(3))


def test_a_failure_is_shared_and_the_next_attempt_is_one_again(service: Service) -> None:
    service.answer_s = 0.02
    service.next(Fault(500))
    told = [event.data for event in talk(service, asking("hello"), agents=4).of("model.completed")]
    assert service.served == 2
    assert [data["attempts"] for data in told] == [2, 2, 2, 2]
    assert sum("cached" in data for data in told) == 3


def test_who_waited_for_one_that_is_given_up_asks_itself(service: Service) -> None:
    service.next(Fault("slow", seconds=0.3))

    class First(matrix.Agent):
        async def run(self) -> None:
            await ask(self, "hello")

    class Second(matrix.Agent):
        async def run(self) -> None:
            self.start(self.stop_it)
            await ask(self, "hello")

        async def stop_it(self) -> None:
            await self.call(trio.sleep, 0.05)
            self.simulation.cancel("first")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(First, "first")
        simulation.spawn(Second, "second")

    played = play(program, models=endpoint(service))
    assert played.outcome.status == "finished"
    assert cached(played) == [None]
    assert service.served == 2


def test_a_wait_for_a_leader_of_long_latency_ends_with_its_answer_not_with_its_turn(service: Service) -> None:
    """Its turn is later in virtual time, which would never come if others waited for it."""

    class Asker(matrix.Agent):
        latency: float

        async def run(self) -> None:
            await ask(self, "hello", latency=self.latency)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Asker, "slow", latency=10)
        simulation.spawn(Asker, "quick", latency=1)

    played = play(program, models=endpoint(service))
    assert [event.time for event in played.of("model.completed")] == [1_000_000, 10_000_000]
    called = played.of("model.called")[0].seq
    assert cached(played) == [{"simulation": "1-1", "called": called}, None]
    assert service.served == 1


def test_a_cached_answer_is_told_to_on_text_as_one_piece(service: Service, tmp_path: Path) -> None:
    heard: list[str] = []
    talk(service, asking("hello"), store=tmp_path / "runs")
    played = talk(service, asking("hello", on_text=heard.append), store=tmp_path / "runs")
    assert heard == [played.one("heard").data["text"]]


def test_answers_that_are_not_kept_in_memory_are_read_from_the_log(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setattr("matrix.runtime.calls.answers.CACHED_ANSWERS_KEPT_MAX", 1)
    played = talk(service, asking("one", "two", "three", "one", "two"))
    first, second, *_ = (event.seq for event in played.of("model.completed"))
    assert cached(played)[3:] == [{"simulation": "1-1", "seq": first}, {"simulation": "1-1", "seq": second}]
    assert service.served == 3


def test_the_answers_of_a_fork_to_its_parents_requests_are_found_there(service: Service, tmp_path: Path) -> None:
    """The request is an event of the parent, the answer one of the fork."""
    service.next(Fault(400))  # the parent gets none
    called = talk(service, asking("hello"), store=tmp_path).one("model.called")
    with matrix.open(tmp_path) as store:
        store.fork("1-1", at=called.seq, program=talking(asking("hello")), models=endpoint(service))
        store.compact()
    answers = LoggedAnswers(LogReader(tmp_path / "log"))
    ((request_hash, place),) = answers.places().items()
    found = answers.read(place)
    assert request_hash == called.data["request_hash"]
    assert (found.simulation, found.data["message"]["content"][:12]) == ("1-2", 'heard "hello')
    assert cached(talk(service, asking("hello"), store=tmp_path)) == [{"simulation": "1-2", "seq": found.seq}]
    assert service.served == 2
