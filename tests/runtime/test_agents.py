"""Agents: the three behaviours, what spawn gives them, and who may act when."""

from __future__ import annotations

import pytest

import matrix
from matrix.errors import MailboxFull, ProgramError, UnknownAgent
from matrix.testing.played import play


class Echo(matrix.Agent):
    """Called for each message."""

    def on_message(self, message: matrix.Message) -> None:
        self.emit("heard", text=message["text"], at=self.now)


class SlowEcho(matrix.Agent):
    """A coroutine while a message is handled."""

    async def on_message(self, message: matrix.Message) -> None:
        await self.sleep(1)
        self.emit("heard", text=message["text"], at=self.now)


class LivingEcho(matrix.Agent):
    """A coroutine for life."""

    async def run(self) -> None:
        async for message in self.messages():
            self.emit("heard", text=message["text"], at=self.now)


@pytest.mark.parametrize("cls", [Echo, SlowEcho, LivingEcho])
def test_every_behaviour_hears_messages_in_the_order_they_were_sent(cls: type[matrix.Agent]) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(cls, "echo")
        for word in ("one", "two", "three"):
            simulation.send("echo", text=word)

    played = play(program)
    assert [data["text"] for data in played.data("heard")] == ["one", "two", "three"]
    assert played.outcome.status == "finished"
    assert played.outcome.reason == "quiescent"


def test_an_agent_with_async_handlers_handles_one_message_after_the_other() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(SlowEcho, "echo")
        simulation.send("echo", text="one")
        simulation.send("echo", text="two")

    assert [data["at"] for data in play(program).data("heard")] == [1.0, 2.0]


def test_spawn_parameters_become_attributes_and_are_recorded() -> None:
    class Buyer(matrix.Agent):
        limit: int

        async def run(self) -> None:
            self.emit("limit", is_=self.limit, role=self.role, id=self.id)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Buyer, limit=40, role="trader")

    played = play(program)
    assert dict(played.one("agent.started").data) == {
        "id": "trader-1",
        "role": "trader",
        "class": "test_spawn_parameters_become_attributes_and_are_recorded.<locals>.Buyer",
        "parameters": {"limit": 40, "role": "trader"},
    }
    assert played.data("limit") == [{"is_": 40, "role": "trader", "id": "trader-1"}]


def test_a_class_with_its_own_init_takes_the_parameters_itself() -> None:
    class Scaled(matrix.Agent):
        def __init__(self, size: int) -> None:
            self.size = size * 2

        async def run(self) -> None:
            self.emit("sized", size=self.size)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Scaled, "s", size=3)

    assert play(program).data("sized") == [{"size": 6}]


def test_the_role_is_the_classes_name_unless_it_says_otherwise() -> None:
    class Judge(matrix.Agent):
        async def run(self) -> None: ...

    class Clerk(Judge):
        role = "office"

    class Intern(Judge): ...

    assert (Judge.role, Clerk.role, Intern.role) == ("judge", "office", "intern")


def test_on_start_is_the_first_turn_of_a_called_agent() -> None:
    class Eager(matrix.Agent):
        def on_start(self) -> None:
            self.emit("ready")

        def on_message(self, message: matrix.Message) -> None:
            self.emit("got")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Eager, "e")
        simulation.send("e")

    played = play(program)
    assert [event.kind for event in played.events if event.agent == 1 and event.turn] == ["ready", "got"]
    assert played.one("ready").cause == played.one("agent.started").seq


def test_timers_ring_in_order_of_time_and_can_be_cancelled() -> None:
    class Clocked(matrix.Agent):
        def on_start(self) -> None:
            self.set_timer(3, "late", n=1)
            self.set_timer(1, "early", n=2)
            self.set_timer(2, "never").cancel()

        def on_timer(self, timer: object) -> None:
            self.emit("rang", name=timer.name, at=self.now)  # type: ignore[attr-defined]

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Clocked, "c")

    played = play(program)
    assert played.data("rang") == [{"name": "early", "at": 1.0}, {"name": "late", "at": 3.0}]
    assert [event.time for event in played.of("rang")] == [1_000_000, 3_000_000]
    assert played.outcome.duration == 3_000_000


def test_a_called_agent_can_finish_and_what_it_is_sent_then_is_recorded_as_undelivered() -> None:
    class Once(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            self.emit("got")
            self.finish()

    class Sender(matrix.Agent):
        async def run(self) -> None:
            self.send("once", "first")
            await self.sleep(1)
            self.send("once", "second", n=1)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Once, "once")
        simulation.spawn(Sender, "sender")

    played = play(program)
    assert len(played.of("got")) == 1
    assert played.data("first") == [{}]
    assert played.data("second") == [{"n": 1, "undelivered": True}]
    assert played.outcome.reason == "completed"


def test_agents_spawn_agents_caused_by_what_they_handle() -> None:
    class Parent(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            self.spawn(Echo, "child")
            self.send("child", text="hello")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Parent, "parent")
        simulation.send("parent", "go")

    played = play(program)
    assert played.of("agent.started")[1].cause == played.one("go").seq
    assert played.data("heard") == [{"text": "hello", "at": 0.0}]


def test_one_message_to_several_is_one_event() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        names = [simulation.spawn(Echo, f"e{n}").id for n in range(3)]
        simulation.send(names, text="all")

    played = play(program)
    assert played.one("message.sent").to == (1, 2, 3)
    assert len(played.of("heard")) == 3


def test_ask_waits_for_the_reply_it_caused_and_leaves_other_mail() -> None:
    class Oracle(matrix.Agent):
        async def on_message(self, message: matrix.Message) -> None:
            await self.sleep(message["delay"])
            self.reply(message, "answer", to=message["n"])

    class Asker(matrix.Agent):
        async def run(self) -> None:
            self.send("self", "note-to-self")
            answer = await self.ask("oracle", "question", n=7, delay=2)
            self.emit("told", n=answer["to"], by=answer.sender)
            self.emit("kept", kind_=(await self.receive()).kind)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Oracle, "oracle")
        simulation.spawn(Asker, "self")

    played = play(program)
    assert played.data("told") == [{"n": 7, "by": "oracle"}]
    assert played.data("kept") == [{"kind_": "note-to-self"}]
    assert played.one("answer").cause == played.one("question").seq
    assert played.one("told").cause == played.one("answer").seq


def test_join_waits_for_the_end_of_agents() -> None:
    class Sleeper(matrix.Agent):
        seconds: int

        async def run(self) -> None:
            await self.sleep(self.seconds)

    async def program(simulation: matrix.Simulation) -> None:
        sleepers = [simulation.spawn(Sleeper, f"s{n}", seconds=n) for n in (3, 1)]
        await simulation.join(*sleepers)
        simulation.emit("joined", at=simulation.now)

    played = play(program)
    assert played.data("joined") == [{"at": 3.0}]
    assert played.outcome.reason == "completed"


# -- mistakes ----------------------------------------------------------------------------------


def failure_of(played: object) -> str:
    return str(played.outcome.error)  # type: ignore[attr-defined]


def test_a_message_to_nobody_known_is_an_error_with_the_likely_name() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Echo, "seller")
        simulation.send("seler", text="hi")

    played = play(program)
    assert isinstance(played.outcome.error, UnknownAgent)
    assert "did you mean 'seller'?" in failure_of(played)


@pytest.mark.parametrize("cls", [Echo, SlowEcho, LivingEcho])
def test_a_full_mailbox_refuses_and_nothing_is_recorded(cls: type[matrix.Agent]) -> None:
    class Small(cls):  # type: ignore[valid-type,misc]
        mailbox_max = 3

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Small, "small")
        sent = 0
        try:
            for _ in range(100):
                simulation.send("small", text="x")
                sent += 1
        except MailboxFull as full:
            simulation.emit("refused", sent=sent, said=str(full))

    played = play(program)
    (data,) = played.data("refused")
    assert data["sent"] in (3, 4)  # the one being handled is not in the mailbox
    assert "holds 3 messages already" in data["said"]
    assert len(played.of("message.sent")) == data["sent"]


def test_an_agent_acts_only_in_its_own_turn() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        echo = simulation.spawn(Echo, "echo")
        echo.emit("from outside")

    assert "during a turn of the program" in failure_of(play(program))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda s: s.spawn(Echo, "twice") and s.spawn(Echo, "twice"), "already"),
        (lambda s: s.spawn(object), "derived from matrix.Agent"),
        (lambda s: s.spawn(matrix.Agent), "neither run() nor on_message()"),
        (lambda s: s.spawn(Echo, "a", now=3), "may not be named 'now'"),
        (lambda s: s.spawn(Echo, 7), "an agent's id is a text"),
        (lambda s: s.send(["nobody"]), "no agent 'nobody'"),
        (lambda s: s.send({"a", "b"}), "order differs"),
        (lambda s: s.send([]), "empty list"),
        (lambda s: s.send(3.5), "cannot receive"),
    ],
)
def test_mistakes_say_what_to_do(make: object, said: str) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        make(simulation)  # type: ignore[operator]

    played = play(program)
    assert isinstance(played.outcome.error, ProgramError)
    assert said in failure_of(played)


def test_a_class_that_cannot_behave_is_refused_where_it_is_written() -> None:
    with pytest.raises(ProgramError, match=r"has run\(\) and on_message\(\)"):

        class Both(matrix.Agent):
            async def run(self) -> None: ...
            def on_message(self, message: matrix.Message) -> None: ...

    with pytest.raises(ProgramError, match="must be async def"):

        class Plain(matrix.Agent):
            def run(self) -> None: ...
