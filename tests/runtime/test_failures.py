"""Trouble: exceptions, deadlock, quiescence, stops, and the log that cannot be written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
import trio

import matrix
from matrix.errors import LogWriteError, ProgramError
from matrix.runtime.scheduling.waits import Deadlock
from matrix.testing.played import history, play


class Waiter(matrix.Agent):
    async def run(self) -> None:
        try:
            await self.receive()
        finally:
            self.emit("left")


class Broken(matrix.Agent):
    def on_message(self, message: matrix.Message) -> None:
        raise ValueError("out of tune")


async def breaking(simulation: matrix.Simulation) -> None:
    simulation.spawn(Waiter, "w1")
    simulation.spawn(Waiter, "w2")
    simulation.spawn(Broken, "broken")
    simulation.send("broken")


def test_an_exception_fails_the_simulation_and_cancels_the_others_in_order() -> None:
    played = play(breaking)
    assert played.outcome.status == "failed"
    assert played.outcome.reason == "agent broken: ValueError: out of tune"
    assert isinstance(played.outcome.error, ValueError)
    failed = played.one("agent.failed")
    assert failed.data["error"] == "ValueError: out of tune"
    assert failed.data["place"].startswith("test_failures.py:")
    assert failed.data["place"].endswith("in on_message")
    assert [event.agent for event in played.of("agent.cancelled")] == [1, 2]
    assert len(played.of("left")) == 2
    assert played.events[-1].kind == "simulation.failed"


def test_run_raises_what_failed_as_a_group_of_the_agents_errors(tmp_path: object) -> None:
    with pytest.raises(matrix.SimulationFailed, match="agent broken: ValueError") as caught:
        matrix.run(breaking, store=tmp_path, index=False)  # type: ignore[arg-type]
    (error,) = caught.value.exceptions
    assert isinstance(error, ValueError)
    assert caught.value.outcome.status == "failed"


def test_an_error_of_the_program_fails_the_simulation_too() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        await simulation.sleep(1)
        raise RuntimeError("no plan")

    played = play(program)
    assert played.outcome.reason == "the program: RuntimeError: no plan"
    assert played.outcome.duration == 1_000_000


def test_waiting_in_receive_is_quiescence_and_finally_blocks_run() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Waiter, "w")

    played = play(program)
    assert (played.outcome.status, played.outcome.reason) == ("finished", "quiescent")
    assert len(played.of("left")) == 1
    assert played.of("agent.cancelled") == []


def test_cleanup_that_waits_at_the_end_is_an_error_that_says_so() -> None:
    class Clinging(matrix.Agent):
        async def run(self) -> None:
            try:
                await self.receive()
            finally:
                await self.sleep(1)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Clinging, "c")

    played = play(program)
    assert played.outcome.status == "failed"
    assert "where cleanup may not wait" in played.outcome.error.__notes__[0]  # type: ignore[union-attr]


def test_a_wait_outside_the_runtime_is_shown_where_it_was_begun() -> None:
    class Impatient(matrix.Agent):
        async def run(self) -> None:
            await trio.sleep(1)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Impatient, "i")

    failed = play(program).one("agent.failed")
    assert "await self.call(" in failed.data["error"]
    assert failed.data["place"].startswith("test_failures.py:") and failed.data["place"].endswith("in run")


def test_agents_that_wait_for_each_other_are_a_deadlock_that_names_them() -> None:
    class Asker(matrix.Agent):
        other: str

        async def run(self) -> None:
            await self.ask(self.other, "question")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Waiter, "silent")
        simulation.spawn(Asker, "a", other="silent")
        await simulation.join("silent")

    class Deaf(matrix.Agent):
        async def run(self) -> None:
            await self.receive()
            await self.receive()

    async def deaf(simulation: matrix.Simulation) -> None:
        simulation.spawn(Deaf, "deaf")
        simulation.spawn(Asker, "a", other="deaf")
        await simulation.join("deaf")

    played = play(deaf)
    assert isinstance(played.outcome.error, Deadlock)
    assert "the program waits in join for deaf; a waits in ask for deaf" in str(played.outcome.error)
    assert str(played.outcome.reason).startswith("Deadlock: nothing can happen any more")
    assert play(program).outcome.status == "failed"  # the question ended the silent one, but nobody answered it


def test_two_readers_of_one_mailbox_are_refused() -> None:
    class Two(matrix.Agent):
        async def run(self) -> None:
            self.start(self.receive_one)
            await self.receive()

        async def receive_one(self) -> None:
            await self.receive()

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Two, "two")

    assert "a mailbox has one reader at a time" in play(program).outcome.reason


def test_a_simulation_that_is_stopped_says_so() -> None:
    class Stopper(matrix.Agent):
        async def run(self) -> None:
            await self.sleep(1)
            self.simulation.stop("enough")
            await self.sleep(1)
            self.emit("never")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Waiter, "w")
        simulation.spawn(Stopper, "s")

    played = play(program)
    assert (played.outcome.status, played.outcome.reason) == ("stopped", "enough")
    assert played.of("never") == []
    assert [event.agent for event in played.of("agent.cancelled")] == [1, 2]


def test_a_log_that_fails_stops_the_runtime_with_its_own_error(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matrix.log.writer import Writer

    append, count = Writer.append, 0

    def fail_later(self: Writer, rows: object) -> int:
        nonlocal count
        count += 1
        if count > 2:
            raise LogWriteError("disk full")
        return append(self, rows)  # type: ignore[arg-type]

    class Chatty(matrix.Agent):
        async def run(self) -> None:
            while True:
                for n in range(3_000):
                    self.emit("x", n=n)
                await self.sleep(1)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Chatty, "c")
        simulation.spawn(Waiter, "w")

    monkeypatch.setattr(Writer, "append", fail_later)
    with pytest.raises(LogWriteError, match="disk full"):
        matrix.run(program, store=tmp_path, index=False)  # type: ignore[arg-type]


def test_an_agent_that_swallows_the_logs_failure_does_not_go_on(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matrix.log.writer import Writer

    class Stubborn(matrix.Agent):
        async def run(self) -> None:
            while True:
                with contextlib.suppress(Exception):
                    self.emit("x")
                await self.sleep(1)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Stubborn, "s")

    def fail(self: Writer, rows: object) -> int:
        raise LogWriteError("disk full")

    monkeypatch.setattr(Writer, "append", fail)
    with pytest.raises(LogWriteError, match="disk full"):
        matrix.run(program, store=tmp_path, index=False)  # type: ignore[arg-type]


HALF = "half a pair: \ud800"


@pytest.mark.parametrize(
    "say",
    [
        lambda simulation: simulation.emit("said", words=HALF),
        lambda simulation: simulation.emit("said", words=[HALF]),
        lambda simulation: simulation.emit("said", words={HALF: 1}),
        lambda simulation: simulation.emit("said", words=[1], **{HALF: 1}),
        lambda simulation: simulation.emit("said", words=type("Text", (str,), {})(HALF)),
        lambda simulation: simulation.note(HALF),
        lambda simulation: simulation.goal(HALF).begin(),
        lambda simulation: simulation.state.update(mood=HALF),
        lambda simulation: simulation.spawn(Waiter, HALF),
    ],
)
def test_text_with_half_a_letter_is_refused_where_it_is_said(
    tmp_path: object, say: Callable[[matrix.Simulation], object]
) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        say(simulation)

    with pytest.raises(matrix.SimulationFailed, match="half a letter in it, near") as caught:
        matrix.run(program, store=tmp_path, index=False)  # type: ignore[arg-type]
    assert isinstance(caught.value.exceptions[0], ProgramError)


def test_an_error_with_half_a_letter_in_its_text_is_recorded_with_a_question_mark(tmp_path: object) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        with simulation.goal("talk"):
            raise ValueError(HALF)

    with pytest.raises(matrix.SimulationFailed):
        matrix.run(program, store=tmp_path)  # type: ignore[arg-type]
    with matrix.open(tmp_path) as store:  # type: ignore[arg-type]
        assert store.query("goals | select reason").rows() == [{"reason": "half a pair: ?"}]


def test_a_bug_of_the_runtime_leaves_as_itself_and_leaves_nobody_waiting(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object) -> None:
        raise AssertionError("an invariant of ours")

    monkeypatch.setattr("matrix.runtime.scheduling.scheduler.Scheduler.record_end", broken)
    with pytest.RaisesGroup(pytest.RaisesExc(AssertionError, match="an invariant of ours"), flatten_subgroups=True):
        matrix.run(breaking, store=tmp_path, index=False)  # type: ignore[arg-type]


def test_a_request_that_cannot_be_recorded_is_not_sent(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from matrix.log.writer import Writer

    sent = []

    async def program(simulation: matrix.Simulation) -> None:
        await simulation.call(sent.append, 1)

    def fail(self: Writer, rows: object) -> int:
        raise LogWriteError("disk full")

    monkeypatch.setattr(Writer, "append", fail)
    with pytest.raises(LogWriteError, match="disk full"):
        matrix.run(program, store=tmp_path, index=False)  # type: ignore[arg-type]
    assert sent == []


@pytest.mark.parametrize("level", ["sync", "interval", "os"])
def test_every_durability_level_leaves_the_whole_history(level: str, tmp_path: object) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        await simulation.call(lambda: 1, name="one")
        simulation.emit("x")

    outcome = matrix.run(program, store=tmp_path, durability=level, index=False)  # type: ignore[arg-type]
    assert [event.kind for event in history(outcome)][-2:] == ["x", "simulation.finished"]


def test_mistakes_in_the_arguments_of_run_are_said_before_anything_is_written(tmp_path: object) -> None:
    def plain(simulation: matrix.Simulation) -> None: ...

    async def program(simulation: matrix.Simulation) -> None: ...

    for options, said in [
        ({"program": plain}, "async function"),
        ({"durability": "certain"}, "sync, interval, os"),
        ({"simulations": 0}, "at least 1"),
        ({"until": -1}, "negative"),
        ({"pace": "quick"}, "pace is one of"),
        ({"turns_max": 0}, "at least 1"),
    ]:
        chosen = {"program": program, "store": tmp_path, **options}  # type: ignore[dict-item]
        with pytest.raises(ProgramError, match=said):
            matrix.run(chosen.pop("program"), **chosen)  # type: ignore[arg-type]


async def test_a_cancelled_trio_program_stops_its_simulations_in_order(tmp_path: object) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Waiter, "w")
        await simulation.call(trio.sleep_forever)

    with trio.move_on_after(0.2) as scope:
        async with matrix.open_runtime(tmp_path, index=False) as runtime:  # type: ignore[arg-type]
            simulation = await runtime.start(program)
            await simulation.wait()
    assert scope.cancelled_caught
    assert simulation.outcome is not None
    assert simulation.outcome.status == "stopped"
    assert history(simulation.outcome)[-1].kind == "simulation.stopped"
