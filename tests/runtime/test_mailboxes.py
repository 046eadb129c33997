"""Mailboxes are bounded: a full one fails whoever sends, with a clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import matrix
from matrix.errors import MailboxFull
from matrix.testing.played import history, play


class Waiter(matrix.Agent):
    async def run(self) -> None:
        await self.receive()


class Small(matrix.Agent):
    """Takes two messages, and never looks at them."""

    mailbox_max = 2

    async def run(self) -> None:
        await self.sleep(1_000)


class SmallCalled(matrix.Agent):
    mailbox_max = 2

    def on_message(self, message: matrix.Message) -> None: ...


@pytest.mark.parametrize("cls", [Small, SmallCalled])
@pytest.mark.parametrize("way", ["send", "list", "ask"])
def test_a_full_mailbox_fails_the_sender_with_whose_it_is_how_much_it_holds_and_what_to_do(way: str, cls: Any) -> None:
    class Pushy(matrix.Agent):
        async def run(self) -> None:
            for _ in range(2):
                self.send("small", "push")
            try:
                if way == "ask":
                    await self.ask("small", "push")
                else:
                    self.send("small" if way == "send" else ["other", "small"], "push")
            except MailboxFull as error:
                self.emit("refused", said=str(error))

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(cls, "small")
        simulation.spawn(Waiter, "other")
        simulation.spawn(Pushy, "pushy")
        await simulation.sleep(1)

    played = play(program, until=10)
    assert played.data("refused") == [
        {
            "said": "the mailbox of small holds 2 messages already; let it handle some before sending more, "
            f"or set mailbox_max on {cls.__name__}"
        }
    ]
    assert len(played.of("push")) == 2  # the refused ones are not recorded, also not for the other receiver
    assert played.outcome.status == "finished"


def test_a_reply_to_a_full_mailbox_fails_who_replies_and_an_answer_to_a_question_always_finds_its_way() -> None:
    class Slow(matrix.Agent):
        mailbox_max = 1

        async def run(self) -> None:
            self.send("echo", "tell me")
            self.send(self, "filler")
            answer = await self.ask("echo", "question")
            self.emit("answered", kind=answer.kind)

    class Echo(matrix.Agent):
        policy = "isolate"

        def on_message(self, message: matrix.Message) -> None:
            try:
                self.reply(message, "echo of", what=message.kind)
            except MailboxFull as error:
                self.emit("refused", said=str(error), what=message.kind)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Slow, "slow")
        simulation.spawn(Echo, "echo")

    played = play(program)
    (refused,) = played.data("refused")
    assert refused["what"] == "tell me" and refused["said"].startswith("the mailbox of slow holds 1 messages")
    assert played.data("answered") == [{"kind": "echo of"}]


def test_a_full_mailbox_that_nobody_expects_fails_the_sender_as_every_error_does() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Small, "small")
        for _ in range(3):
            simulation.send("small")

    played = play(program)
    assert played.outcome.reason.startswith("the program: MailboxFull: the mailbox of small holds 2 messages already")


def test_a_timer_always_rings_also_when_the_mailbox_is_full() -> None:
    class Alarm(matrix.Agent):
        mailbox_max = 1

        def on_start(self) -> None:
            self.set_timer(1, "wake")

        async def on_message(self, message: matrix.Message) -> None:
            await self.sleep(5)

        def on_timer(self, timer: matrix.Timer) -> None:
            self.emit("rang", at=self.now)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Alarm, "alarm")
        await simulation.sleep(0.5)
        simulation.send("alarm")
        simulation.send("alarm")
        await simulation.sleep(1)

    played = play(program)
    assert played.data("rang") == [{"at": 10.5}]
    assert played.outcome.status == "finished"


async def test_a_message_from_outside_to_a_full_mailbox_is_refused_to_whoever_gives_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Small, "small")
        await simulation.call(trio.sleep, 0.05)

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        simulation = await runtime.start(program, until=1)
        await trio.testing.wait_all_tasks_blocked(0.01)
        for n in range(3):  # before the loop sees any of them
            simulation.inject("small", "knock", n=n)
        await trio.testing.wait_all_tasks_blocked(0.01)
        with pytest.raises(MailboxFull, match="the mailbox of small holds 2 messages already"):
            simulation.inject("small", "knock", n=3)
        outcome = await simulation.wait()
    events = history(outcome)
    inputs = [event.data for event in events if event.kind == "simulation.input"]
    assert [data.get("refused") for data in inputs] == [None, None, "mailbox full"]
    assert [event.data["n"] for event in events if event.kind == "knock"] == [0, 1]
    assert outcome.status == "finished"
    assert "a message from outside was refused: the mailbox of small" in caplog.text
