"""The loop in which a model uses tools, against a real server: what is asked, what is told, how it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import matrix
from matrix.event import Event
from matrix.models import Endpoint, Reply, StepsExceeded, ToolAgent
from matrix.runtime.mailbox import Message
from matrix.testing.played import Played, play
from tests.models.service import Service


@matrix.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Till:
    def __init__(self) -> None:
        self.total = 0

    @matrix.tool(inside=True)
    def pay(self, amount: int) -> dict[str, int]:
        if amount <= 0:
            raise ValueError("that is no amount")
        self.total += amount
        return {"total": self.total}


class Clerk(ToolAgent):
    model_name = "small"
    system = "You count."
    options = {"temperature": 0}

    async def run(self) -> None:
        self.tools = [add, Till()]
        await super().run()


class Guest(matrix.Agent):
    says: list[str]

    async def run(self) -> None:
        for text in self.says:
            answer = await self.ask("clerk", text=text)
            self.note(heard=answer.text)


def talk(service: Service, *says: str, clerk: type[matrix.Agent] = Clerk, **options: Any) -> Played:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(clerk, "clerk")
        simulation.spawn(Guest, "guest", says=list(says))

    return play(program, models=Endpoint(service.url, key="sk-test"), **options)


def heard(played: Played) -> list[str]:
    return [data["heard"] for data in played.data("note") if "heard" in data]


def chosen(*replies: Any) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """A model that gives these replies in turn: a text, or a list of calls (id, name, arguments)."""
    left = list(replies)

    def answer(_: dict[str, Any]) -> list[dict[str, Any]]:
        reply = left.pop(0)
        message: dict[str, Any] = {"role": "assistant", "content": reply if isinstance(reply, str) else None}
        if not isinstance(reply, str):
            message["tool_calls"] = [
                {"id": id, "type": "function", "function": {"name": name, "arguments": text}}
                for id, name, text in reply
            ]
        return [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]

    return answer


def test_the_model_calls_tools_hears_their_results_and_its_text_goes_to_who_spoke(service: Service) -> None:
    played = talk(service, 'call add {"a": 1, "b": 2}\ncall pay {"amount": 5}', "and now?")
    assert heard(played)[0] == 'the tools said: 3; {"total": 5}'
    assert heard(played)[1].startswith('heard "and now?" (message 7, ')  # the conversation goes on
    first = service.requests[0].body
    assert first["messages"][0] == {"role": "system", "content": "You count."}
    assert (first["model"], first["temperature"]) == ("small", 0)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["add", "pay"]
    assert [message["role"] for message in service.requests[-1].body["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
        "user",
    ]
    ids = [data["tool_call_id"] for data in played.data("tool.called")]
    asked_for = [call["id"] for call in played.data("model.completed")[0]["message"]["tool_calls"]]
    assert ids == asked_for == [data["tool_call_id"] for data in played.data("tool.completed")]


def test_whatever_a_model_gets_wrong_is_told_to_it_and_recorded() -> None:
    calls = [
        ("c1", "ad", '{"a": 1}'),
        ("c2", "add", '{"a": 1'),
        ("c3", "add", '{"a": "x", "b": 2}'),
        ("c4", "pay", '{"amount": -1}'),
        ("c5", "pay", '{"amount": 2}'),
    ]
    with Service(answer=chosen(calls, "sorry")) as service:
        played = talk(service, "go")
    assert heard(played) == ["sorry"]
    told = {message["tool_call_id"]: message["content"] for message in service.requests[1].body["messages"][3:]}
    assert told["c1"] == "there is no tool 'ad'; did you mean add?"
    assert told["c2"].startswith("the arguments of add cannot be read: the arguments are no JSON")
    assert told["c3"].splitlines()[1].startswith("- a: Input should be a valid integer")
    assert told["c4"] == "ValueError: that is no amount"
    assert told["c5"] == '{"total": 2}'
    failed = {data["tool_call_id"]: data["error"] for data in played.data("tool.failed")}
    assert failed == {id: told[id] for id in ("c1", "c2", "c3", "c4")}


def test_a_replay_needs_no_server_and_gives_the_same(service: Service, tmp_path: Path) -> None:
    outcome = matrix.run(counting, store=tmp_path, models=Endpoint(service.url))
    asked = service.served
    assert asked == 4
    with matrix.open(tmp_path) as store:
        assert store.replay(outcome.id).status == "identical"
    assert service.served == asked


async def counting(simulation: matrix.Simulation) -> None:
    simulation.spawn(Clerk, "clerk")
    simulation.spawn(Guest, "guest", says=['call pay {"amount": 1}', 'call add {"a": 1, "b": 1}'])


def test_calls_run_one_after_the_other_unless_they_may_run_at_once(service: Service) -> None:
    under_way: list[int] = []

    @matrix.tool
    async def look(place: int) -> int:
        under_way.append(1)
        seen = len(under_way)
        await trio.sleep(0.02 * (3 - place))
        under_way.pop()
        return seen * 10 + place

    class OneByOne(Clerk):
        async def run(self) -> None:
            self.tools = [look]
            await ToolAgent.run(self)

    class AtOnce(OneByOne):
        parallel = True

    asked = "\n".join(f'call look {{"place": {n}}}' for n in range(3))
    assert heard(talk(service, asked, clerk=OneByOne)) == ["the tools said: 10; 11; 12"]
    (text,) = heard(talk(service, asked, clerk=AtOnce))
    answers = [int(part) for part in text.removeprefix("the tools said: ").split("; ")]
    assert [answer % 10 for answer in answers] == [0, 1, 2]  # in the order of the calls, whoever came first
    assert sorted(answer // 10 for answer in answers) == [1, 2, 3]


def test_a_model_that_never_stops_is_stopped() -> None:
    class Patient(Clerk):
        steps_max = 3

    with Service(answer=chosen(*[[("c", "pay", '{"amount": 1}')]] * 4)) as service:
        played = talk(service, "go", clerk=Patient)
    assert played.outcome.status == "failed"
    assert "the model calls tools still after 3 replies" in played.data("agent.failed")[0]["error"]
    assert len(service.requests) == 3
    assert issubclass(StepsExceeded, matrix.MatrixError)


def test_a_conversation_has_no_call_without_its_answer_when_a_tool_is_given_up() -> None:
    @matrix.tool
    async def wait() -> None:
        await trio.sleep_forever()

    class Hurried(Clerk):
        async def answer(self, message: Message) -> Reply:
            with self.move_on_after(0.05):
                return await super().answer(message)
            self.reply(message, text="not now")
            return Reply({})

        async def run(self) -> None:
            self.tools = [wait]
            await ToolAgent.run(self)

    with Service(answer=chosen([("c", "wait", "{}")], "hello")) as service:
        played = talk(service, "go", "still there?", clerk=Hurried)
    assert heard(played) == ["not now", "hello"]
    assert [message["role"] for message in service.requests[1].body["messages"]] == ["system", "user", "user"]


def test_a_class_of_ones_own_says_when_it_is_done_and_what_it_reads() -> None:
    class Quick(Clerk):
        def is_done(self, reply: Reply) -> bool:
            return any(call.name == "pay" for call in reply.tool_calls) or super().is_done(reply)

        def said_in(self, message: Message) -> str:
            return f"{message.sender}: {message.text}"

    with Service(answer=chosen([("c", "pay", '{"amount": 1}')])) as service:
        played = talk(service, "go", clerk=Quick)
    assert heard(played) == [""]
    assert service.requests[0].body["messages"][1]["content"] == "guest: go"
    assert [event.data["result"] for event in played.of("tool.completed")] == [{"total": 1}]


def test_each_agent_has_a_conversation_of_its_own_and_data_is_read_as_json(service: Service) -> None:
    class Other(matrix.Agent):
        async def run(self) -> None:
            self.note(heard=(await self.ask("clerk", "offer", price=40)).text)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Clerk, "clerk")
        simulation.spawn(Guest, "guest", says=["hello"])
        simulation.spawn(Other, "other")

    said = heard(play(program, models=Endpoint(service.url)))
    assert [text.partition(" (message 2,")[0] for text in said] == [
        'heard "hello"',
        'heard "{"kind": "offer", "price": 40}"',
    ]


def test_the_loop_serves_an_agent_with_a_run_of_its_own(service: Service) -> None:
    class Counter(ToolAgent):
        model_name = "small"

        @matrix.tool(inside=True)
        def count(self, to: int) -> int:
            """Count to a number."""
            self.emit("counted", to=to)
            return to

        async def run(self) -> None:
            messages = [{"role": "user", "content": 'call count {"to": 3}'}]
            reply = await self.converse(messages)
            self.note(text=reply.text, roles=[message["role"] for message in messages])

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Counter, "counter")

    played = play(program, models=Endpoint(service.url))
    assert played.data("note") == [{"text": "the tools said: 3", "roles": ["user", "assistant", "tool", "assistant"]}]
    counted: Event = played.one("counted")
    assert counted.cause == played.one("tool.called").seq


@pytest.mark.parametrize("name", matrix.models.__all__)
def test_every_name_of_the_room_is_there(name: str) -> None:
    assert getattr(matrix.models, name) is not None
