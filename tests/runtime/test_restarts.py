"""Restarts: an agent that failed begins anew, and keeps what is not its own to lose."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import trio

import matrix
from matrix.errors import AskFailed, ProgramError
from matrix.testing.played import play
from tests.runtime.failing import KINDS, Reactive, sending

# -- restart -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", KINDS)
def test_a_restarted_agent_goes_on_with_its_mailbox_and_fresh_attributes(cls: type[matrix.Agent]) -> None:
    played = play(sending(cls, "good", "bad", "fine", policy=matrix.Restart(times=3, within=60)))
    assert played.outcome.status == "finished"
    assert played.data("handled") == [{"n": 1, "kind": "good"}, {"n": 1, "kind": "fine"}]
    restarted = played.one("agent.restarted")
    bad = next(event for event in played.events if event.kind == "bad")
    place = restarted.data["place"]
    assert dict(restarted.data) == {
        "error": "ValueError: out of tune",
        "place": place,
        "attempt": 1,
        "lost": bad.seq,
    }
    assert place.startswith("failing.py:")
    assert (restarted.agent, restarted.cause) == (1, bad.seq)
    assert played.of("agent.started")[0].data["policy"] == {"restart": {"times": 3, "within": 60_000_000}}
    assert played.of("agent.failed") == []


@pytest.mark.parametrize("cls", KINDS)
def test_restarts_that_are_used_up_propagate(cls: type[matrix.Agent]) -> None:
    played = play(sending(cls, *["bad"] * 5, policy=matrix.Restart(times=3, within=60)))
    assert [data["attempt"] for data in played.data("agent.restarted")] == [1, 2, 3]
    assert played.one("agent.failed").data["restarts"] == 3
    assert played.outcome.reason == "agent a: ValueError: out of tune"
    assert played.outcome.error is not None
    assert played.outcome.error.__notes__ == ["a had been restarted 3 times"]


def test_the_window_of_restarts_is_one_of_virtual_time() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Reactive, "a", policy=matrix.Restart(times=2, within=10))
        for at in (0, 6, 4, 3):  # the third at 10 s, when the first is just out of the window; the fourth at 13 s
            await simulation.sleep(at)
            simulation.send("a", "bad")
        await simulation.sleep(1)

    played = play(program)
    assert [(e.time, e.data["attempt"]) for e in played.of("agent.restarted")] == [
        (0, 1),
        (6_000_000, 2),
        (10_000_000, 2),
    ]
    assert played.one("agent.failed").time == 13_000_000


def test_restarts_without_a_window_are_counted_for_the_whole_life() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Reactive, "a", policy=matrix.Restart(times=1))
        for _ in range(2):
            simulation.send("a", "bad")
            await simulation.sleep(1_000_000)

    assert play(program).outcome.status == "failed"


def test_parameters_are_fresh_state_and_chance_go_on() -> None:
    class Collector(matrix.Agent):
        seen: list[int]

        def on_message(self, message: matrix.Message) -> None:
            self.seen.append(message["n"])
            self.state["last"] = message["n"]
            self.emit("saw", seen=self.seen, drawn=self.random.below(1_000_000), state=dict(self.state))
            if message["n"] == 2:
                raise ValueError("two")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Collector, "a", seen=[0], policy=matrix.Restart(times=1))
        for n in (1, 2, 3):
            simulation.send("a", n=n)

    def drawn(with_restart: bool) -> list[Any]:
        async def other(simulation: matrix.Simulation) -> None:
            simulation.spawn(Collector, "a", seen=[0])
            for n in (1, 4 if not with_restart else 2, 3):
                simulation.send("a", n=n)

        return [data["drawn"] for data in play(other).data("saw")]

    played = play(program)
    assert [data["seen"] for data in played.data("saw")] == [[0, 1], [0, 1, 2], [0, 3]]
    assert [data["state"] for data in played.data("saw")] == [{"last": 1}, {"last": 2}, {"last": 3}]
    assert [data["drawn"] for data in played.data("saw")] == drawn(with_restart=False)


def test_a_class_with_an_init_of_its_own_is_made_again_with_the_same_parameters() -> None:
    class Made(matrix.Agent):
        def __init__(self, stock: int) -> None:
            self.stock = [stock]

        def on_message(self, message: matrix.Message) -> None:
            self.stock.append(0)
            if message.kind == "bad":
                raise ValueError("bad")
            self.emit("stock", stock=self.stock)

    played = play(sending(Made, "bad", "good", stock=7, policy=matrix.Restart(times=1)))
    assert played.data("stock") == [{"stock": [7, 0]}]
    assert played.of("agent.started")[0].data["parameters"] == {"stock": 7}


def test_slots_of_an_agents_class_are_fresh_too() -> None:
    class Slim(matrix.Agent):
        __slots__ = ("seen",)

        def on_message(self, message: matrix.Message) -> None:
            self.emit("had", seen=hasattr(self, "seen"))
            self.seen = True
            if message.kind == "bad":
                raise ValueError("bad")

    played = play(sending(Slim, "good", "bad", "good", policy=matrix.Restart(times=1)))
    assert [data["seen"] for data in played.data("had")] == [False, True, False]


def test_the_hook_runs_with_fresh_attributes_and_says_why_before_the_first_new_turn() -> None:
    class Hooked(matrix.Agent):
        mood = "fresh"

        def on_start(self) -> None:
            self.emit("started", mood=self.mood)
            self.mood = "tired"

        def on_restart(self, error: Exception) -> None:
            self.emit("again", error=str(error), mood=self.mood)
            self.mood = "careful"

        def on_message(self, message: matrix.Message) -> None:
            if message.kind == "bad":
                raise ValueError("oops")
            self.emit("handled", mood=self.mood)

    played = play(sending(Hooked, "bad", "good", policy=matrix.Restart(times=1)))
    own = [(e.kind, e.data.get("mood")) for e in played.events if e.agent == 1 and e.kind[:6] != "agent."]
    assert own == [("started", "fresh"), ("again", "fresh"), ("started", "careful"), ("handled", "tired")]
    restarted = played.one("agent.restarted").seq
    assert played.one("again").cause == restarted
    assert played.of("started")[1].cause == restarted


@pytest.mark.parametrize("is_async", [False, True])
def test_errors_in_on_start_and_on_timer_are_the_agents_too(is_async: bool) -> None:
    class Called(matrix.Agent):
        def on_start(self) -> None:
            if self.random.below(2**40) and not self.state.get("began"):
                self.state["began"] = True
                raise ValueError("not yet")
            self.set_timer(1, "ring")
            self.set_timer(5, "late")

        def on_timer(self, timer: matrix.Timer) -> None:
            self.emit("rang", name=timer.name, at=self.now)
            if not self.state.get("rang"):
                self.state["rang"] = True
                raise KeyError("bell")

    class Handling(Called):
        async def on_message(self, message: matrix.Message) -> None: ...

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Handling if is_async else Called, "a", policy=matrix.Restart(times=2))

    played = play(program)
    assert [data["error"] for data in played.data("agent.restarted")] == ["ValueError: not yet", "KeyError: 'bell'"]
    assert all("lost" not in data for data in played.data("agent.restarted"))
    # The timer "late" of the life before does not ring in the next one.
    assert played.data("rang") == [
        {"name": "ring", "at": 1.0},
        {"name": "ring", "at": 2.0},
        {"name": "late", "at": 6.0},
    ]


def test_an_error_in_a_child_task_cancels_the_others_and_restarts_with_all_of_them() -> None:
    class Parent(matrix.Agent):
        async def run(self) -> None:
            goal = self.begin_goal("watch")
            self.start(self.failing)
            self.start(self.watching)
            await self.sleep(3)
            goal.succeed()
            self.emit("done", at=self.now)

        async def failing(self) -> None:
            await self.sleep(1)
            if not self.state.get("failed"):
                self.state["failed"] = True
                raise ValueError("bad child")

        async def watching(self) -> None:
            try:
                await self.sleep(2)
            except trio.Cancelled:
                self.emit("cancelled", at=self.now)
                raise

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Parent, "p", policy=matrix.Restart(times=1))

    played = play(program)
    assert played.outcome.status == "finished"
    assert played.data("cancelled") == [{"at": 1.0}]
    assert played.one("agent.restarted").data["error"] == "ExceptionGroup: tasks of p (ValueError: bad child)"
    assert played.data("done") == [{"at": 4.0}]
    assert [(e.kind, e.time) for e in played.events if e.kind.startswith("goal.")] == [
        ("goal.started", 0),
        ("goal.cancelled", 1_000_000),
        ("goal.started", 1_000_000),
        ("goal.succeeded", 4_000_000),
    ]
    assert played.of("agent.finished")[-1].time == 4_000_000


def test_goals_of_the_life_that_failed_have_failed() -> None:
    class Striver(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            self.begin_goal("try", n=message["n"])
            if message["n"] == 1:
                raise ValueError("slipped")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Striver, "a", policy=matrix.Restart(times=1))
        simulation.send("a", n=1)
        simulation.send("a", n=2)

    played = play(program)
    assert played.outcome.goals == {"cancelled": 1, "failed": 1}
    assert played.one("goal.failed").data["reason"] == "slipped"
    assert "parent" not in played.of("goal.started")[1].data


def test_an_init_that_fails_again_uses_up_restarts_and_a_first_one_fails_who_spawns() -> None:
    class Fragile(matrix.Agent):
        born = 0

        def __init__(self) -> None:
            Fragile.born += 1
            if Fragile.born in (2, 3):
                raise KeyError(f"birth {Fragile.born}")

        def on_message(self, message: matrix.Message) -> None:
            if message.kind == "bad":
                raise ValueError("bad")
            self.emit("handled")

    played = play(sending(Fragile, "bad", "good", policy=matrix.Restart(times=3)))
    assert [data["error"] for data in played.data("agent.restarted")] == [
        "ValueError: bad",
        "KeyError: 'birth 2'",
        "KeyError: 'birth 3'",
    ]
    assert len(played.of("handled")) == 1

    Fragile.born = 1
    played = play(sending(Fragile, "good"))
    assert played.outcome.reason == "the program: KeyError: 'birth 2'"
    assert played.of("agent.started") == []


def test_a_question_that_was_being_handled_is_lost_and_told_those_in_the_mailbox_are_answered() -> None:
    class Oracle(matrix.Agent):
        async def run(self) -> None:
            async for message in self.messages():
                await self.sleep(1)
                if message["n"] == 0:
                    raise ValueError("a vision")
                self.reply(message, "answer")

    class Asker(matrix.Agent):
        n: int

        async def run(self) -> None:
            try:
                self.emit("answered", by=(await self.ask("oracle", "question", n=self.n)).kind)
            except AskFailed as failed:
                self.emit("lost", said=str(failed))

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Oracle, "oracle", policy=matrix.Restart(times=1))
        for n in (0, 1):
            simulation.spawn(Asker, f"asker-{n}", n=n)

    played = play(program)
    question = played.of("question")[0].seq
    assert played.data("lost") == [
        {"said": f"oracle was restarted (ValueError: a vision); the question {question} gets no answer"}
    ]
    assert played.one("lost").cause == played.one("agent.restarted").seq
    assert played.one("agent.restarted").data["lost"] == question
    assert played.data("answered") == [{"by": "answer"}]


def test_a_cancelled_agent_is_not_restarted_also_when_its_cleanup_fails() -> None:
    class Sore(matrix.Agent):
        async def run(self) -> None:
            try:
                await self.receive()
            finally:
                raise KeyError("sore")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Sore, "s", policy=matrix.Restart(times=3))
        await simulation.sleep(1)
        simulation.cancel("s")
        await simulation.sleep(1)

    played = play(program)
    assert played.of("agent.restarted") == []
    assert len(played.of("agent.failed")) == 1
    assert played.outcome.status == "finished"


@pytest.mark.parametrize("in_hook", [False, True])
def test_an_agent_that_finished_and_then_raised_is_not_restarted(in_hook: bool) -> None:
    class Hasty(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            if not in_hook:
                self.finish()
            raise ValueError("too late")

        def on_restart(self, error: Exception) -> None:
            self.finish()
            raise KeyError("too late as well")

    played = play(sending(Hasty, "go", policy=matrix.Restart(times=3)))
    assert len(played.of("agent.restarted")) == in_hook
    assert [e.kind for e in played.events if e.agent == 1][-2:] == ["agent.finished", "agent.failed"]
    assert played.outcome.status == ("failed" if in_hook else "finished")


def test_a_message_that_a_sibling_of_the_failing_task_had_in_hand_is_told_as_lost() -> None:
    class Pair(matrix.Agent):
        async def run(self) -> None:
            self.start(self.failing)
            async for _ in self.messages():
                await self.sleep(10)

        async def failing(self) -> None:
            await self.sleep(1)
            raise ValueError("bad")

    played = play(sending(Pair, "work", policy=matrix.Restart(times=1)), until=1.5)
    work = next(event for event in played.events if event.kind == "work")
    assert played.one("agent.restarted").data["lost"] == work.seq


def test_an_exception_that_takes_no_note_and_has_no_text_is_recorded_all_the_same() -> None:
    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):
        def __str__(self) -> str:
            raise KeyError("no text")

    class Odd(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            self.begin_goal("speak")
            raise Frozen()

    played = play(sending(Odd, "go", "go", policy=matrix.Restart(times=1)))
    assert played.one("agent.failed").data["error"] == "Frozen: (its text cannot be had: KeyError)"
    assert [data["reason"] for data in played.data("goal.failed")] == ["(its text cannot be had: KeyError)"] * 2


def test_join_waits_through_restarts() -> None:
    class Once(matrix.Agent):
        async def run(self) -> None:
            await self.sleep(1)
            if not self.state.get("failed"):
                self.state["failed"] = True
                raise ValueError("first time")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Once, "a", policy=matrix.Restart(times=1))
        await simulation.join("a")
        simulation.emit("joined", at=simulation.now)

    assert play(program).data("joined") == [{"at": 2.0}]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: matrix.Restart(times=0), "at least 1"),
        (lambda: matrix.Restart(times=1.5), "whole number"),  # type: ignore[arg-type]
        (lambda: matrix.Restart(times=1, within=0), "more than no time"),
        (lambda: matrix.Restart(times=1, within=-1), "negative"),
    ],
)
def test_a_restart_that_cannot_be_is_refused_where_it_is_made(make: Any, said: str) -> None:
    with pytest.raises(ProgramError, match=said):
        make()


def test_a_hook_that_would_wait_is_refused() -> None:
    with pytest.raises(ProgramError, match="on_restart must be a plain def"):

        class Slow(matrix.Agent):
            def on_message(self, message: matrix.Message) -> None: ...

            async def on_restart(self, error: Exception) -> None: ...
