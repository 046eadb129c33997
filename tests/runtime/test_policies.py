"""Policies: what an exception in an agent leads to."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import trio

import matrix
from matrix.errors import AskFailed, LogWriteError, MatrixError, ProgramError
from matrix.runtime.outcome import Outcome
from matrix.testing.played import history, play
from tests.runtime.failing import KINDS, Handler, Reactive, Runner, Waiter, sending

# -- propagate ---------------------------------------------------------------------------------


def failed_run(program: Any, tmp_path: Path) -> matrix.SimulationFailed:
    with pytest.raises(matrix.SimulationFailed) as caught:
        matrix.run(program, store=tmp_path / "runs", index=False)
    return caught.value


def test_a_failed_simulation_is_a_matrix_error_and_the_group_that_a_trio_user_expects(tmp_path: Path) -> None:
    program = sending(Reactive, "bad")
    failed = failed_run(program, tmp_path)
    assert isinstance(failed, MatrixError) and isinstance(failed, ExceptionGroup)
    assert [str(error) for error in failed.exceptions] == ["out of tune"]
    assert str(failed) == "simulation 1-1 failed: agent a: ValueError: out of tune"
    assert failed.outcome.status == "failed"

    seen: list[BaseException] = []
    try:
        raise failed
    except* ValueError as group:
        seen.append(group)
    (group,) = seen
    assert isinstance(group, matrix.SimulationFailed) and group.outcome is failed.outcome


async def test_the_group_reaches_the_user_of_a_runtime_through_nurseries(tmp_path: Path) -> None:
    seen: list[str] = []
    try:
        async with matrix.open_runtime(tmp_path / "runs", index=False) as runtime, trio.open_nursery() as nursery:
            nursery.start_soon(runtime.run, sending(Reactive, "bad"))
    except* ValueError as group:
        seen.append(repr(group.exceptions[0]))
    assert len(seen) == 1 and "ValueError('out of tune')" in seen[0]


def test_several_errors_are_members_side_by_side(tmp_path: Path) -> None:
    class Sore(matrix.Agent):
        async def run(self) -> None:
            try:
                await self.receive()
            finally:
                raise KeyError(self.id)

    async def program(simulation: matrix.Simulation) -> None:
        for n in (1, 2):
            simulation.spawn(Sore, f"s{n}")
        await simulation.sleep(1)
        raise ValueError("enough")

    failed = failed_run(program, tmp_path)
    assert [type(error).__name__ for error in failed.exceptions] == ["ValueError", "KeyError", "KeyError"]
    assert str(failed) == "simulation 1-1 failed: the program: ValueError: enough (and 2 more)"
    rest = failed.split(KeyError)[1]
    assert isinstance(rest, matrix.SimulationFailed) and len(rest.exceptions) == 1


def test_a_failure_survives_pickle_and_copy_and_one_read_from_a_log_has_its_reason() -> None:
    outcome = Outcome("1-1", "failed", "agent a: ValueError: bad", 0, 5, 1, 2, 0, {}, error=ValueError("bad"))
    for again in (
        copy.copy(matrix.SimulationFailed(outcome)),
        pickle.loads(pickle.dumps(matrix.SimulationFailed(outcome))),
    ):
        assert str(again) == "simulation 1-1 failed: agent a: ValueError: bad"
        assert repr(again.exceptions) == "(ValueError('bad'),)"
    told = matrix.SimulationFailed(Outcome("1-1", "failed", "agent a: ValueError: bad", 0, 5, 1, 2, 0, {}))
    assert repr(told.exceptions) == "(MatrixError('agent a: ValueError: bad'),)"


@pytest.mark.parametrize("policy", ["propagate", "isolate", matrix.Restart(times=2)])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("in_group", [False, True])
def test_an_exit_leaves_through_every_policy(error: BaseException, policy: Any, in_group: bool) -> None:
    class Quitter(matrix.Agent):
        async def run(self) -> None:
            self.start(self.quit)
            await self.receive()

        async def quit(self) -> None:
            raise BaseExceptionGroup("several", [error, ValueError("x")]) if in_group else error

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Quitter, "q", policy=policy)

    with pytest.raises(type(error)):
        play(program)


@pytest.mark.parametrize("policy", ["isolate", matrix.Restart(times=5)])
@pytest.mark.parametrize("cls", KINDS)
def test_no_policy_absorbs_a_failure_of_the_log(
    cls: type[matrix.Agent], policy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matrix.log.writer import Writer

    def fail(self: Writer, rows: object) -> int:
        raise LogWriteError("disk full")

    monkeypatch.setattr(Writer, "append", fail)
    with pytest.raises(LogWriteError, match="disk full"):
        matrix.run(sending(cls, "good"), store=tmp_path, index=False, policy=policy)


# -- isolate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", KINDS)
def test_an_isolated_failure_is_recorded_and_the_others_go_on(cls: type[matrix.Agent]) -> None:
    played = play(sending(cls, "good", "bad", "good", policy="isolate"))
    assert (played.outcome.status, played.outcome.reason) == ("finished", "quiescent")
    failed = played.one("agent.failed")
    assert failed.data["error"] == "ValueError: out of tune"
    assert failed.data["place"].startswith("failing.py:")
    bad = next(event for event in played.events if event.kind == "bad")
    assert failed.cause == bad.seq
    assert [data["n"] for data in played.data("handled")] == [1]
    assert played.of("agent.started")[0].data["policy"] == "isolate"
    assert "policy" not in played.of("agent.started")[1].data


def test_the_policy_of_a_class_and_of_the_simulation_hold_where_a_spawn_says_nothing() -> None:
    class Hermit(Reactive):
        policy = "isolate"

    assert play(sending(Hermit, "bad")).outcome.status == "finished"
    assert play(sending(Hermit, "bad", policy="propagate")).outcome.status == "failed"
    played = play(sending(Reactive, "bad"), policy="isolate")
    assert played.outcome.status == "finished"
    assert played.events[0].data["options"] == {"policy": "isolate"}
    assert play(sending(Hermit, "bad"), policy=matrix.Restart(times=1)).of("agent.restarted") == []


def test_the_program_itself_propagates_whatever_the_simulation_says() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        raise ValueError("no plan")

    assert play(program, policy="isolate").outcome.reason == "the program: ValueError: no plan"


def test_open_goals_of_an_agent_that_failed_have_failed_with_its_error() -> None:
    class Ambitious(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            self.begin_goal("rule")
            self.begin_goal("the world")
            raise ValueError("too much")

    played = play(sending(Ambitious, "go", policy="isolate"))
    assert [data["reason"] for data in played.data("goal.failed")] == ["too much", "too much"]
    assert played.outcome.goals == {"failed": 2}


def test_who_asks_an_agent_that_fails_is_told_and_who_joins_it_goes_on() -> None:
    class Asker(matrix.Agent):
        async def run(self) -> None:
            for _ in range(2):
                try:
                    await self.ask("a", "bad")
                except AskFailed as failed:
                    self.emit("told", said=str(failed), agent=failed.agent)

    class Joiner(matrix.Agent):
        async def run(self) -> None:
            await self.join("a")
            self.emit("joined")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Handler, "a", policy="isolate")
        simulation.spawn(Asker, "asker")
        simulation.spawn(Joiner, "joiner")

    played = play(program)
    assert played.outcome.status == "finished"
    failed = played.one("agent.failed")
    first, second = played.of("told")
    assert first.cause == failed.seq
    assert first.data["agent"] == "a"
    assert "a has failed (ValueError: out of tune); the question " in first.data["said"]
    assert second.data["said"].startswith("a has failed (ValueError: out of tune); the question ")
    assert played.one("joined").cause == failed.seq


def test_a_question_to_an_agent_that_ended_normally_or_was_cancelled_is_no_endless_wait_either() -> None:
    class Asker(matrix.Agent):
        to: str

        async def run(self) -> None:
            with pytest.raises(AskFailed, match=f"{self.to} has ended"):
                await self.ask(self.to, "question")
            self.emit("told", at=self.now)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Waiter, "a")
        simulation.spawn(Asker, "first", to="a")  # the question itself ends it
        simulation.spawn(Handler, "b")
        simulation.spawn(Asker, "second", to="b")
        await simulation.sleep(0.5)
        simulation.cancel("b")

    assert play(program).data("told") == [{"at": 0.0}, {"at": 0.5}]


def test_a_stop_cancels_those_who_ask_and_does_not_tell_them_of_the_end_of_whom_they_asked() -> None:
    class Asker(matrix.Agent):
        async def run(self) -> None:
            await self.ask("a", "question")

    class Deaf(matrix.Agent):
        async def run(self) -> None:
            await self.receive()
            await self.receive()

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Deaf, "a")
        simulation.spawn(Asker, "asker")
        await simulation.sleep(1)
        simulation.stop("enough")

    played = play(program)
    assert [event.agent for event in played.of("agent.cancelled")] == [1, 2]
    assert played.of("agent.failed") == []
    assert played.outcome.error is None


def test_cleanup_may_ask_and_is_told_too() -> None:
    class Careful(matrix.Agent):
        async def run(self) -> None:
            try:
                await self.receive()
            finally:
                with trio.CancelScope(shield=True):
                    try:
                        await self.ask("a", "question")
                    except AskFailed:
                        self.emit("told")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Handler, "a")
        simulation.spawn(Careful, "careful")
        await simulation.sleep(1)
        simulation.cancel("careful")
        await simulation.sleep(0.5)
        simulation.cancel("a")

    played = play(program)
    assert len(played.of("told")) == 1
    assert played.outcome.status == "finished"


def test_an_error_after_finish_is_recorded_as_a_failure() -> None:
    class Hasty(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            self.finish()
            raise ValueError("too late")

    played = play(sending(Hasty, "go", policy="isolate"))
    assert [e.kind for e in played.events if e.agent == 1] == ["agent.started", "agent.finished", "agent.failed"]
    assert play(sending(Hasty, "go")).outcome.reason == "agent a: ValueError: too late"


def test_an_error_in_the_cleanup_at_the_end_follows_the_policy() -> None:
    class Sore(matrix.Agent):
        async def run(self) -> None:
            try:
                await self.receive()
            finally:
                raise KeyError("sore")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Sore, "s")

    assert play(program, policy="isolate").outcome.status == "finished"
    assert play(program, policy=matrix.Restart(times=3)).kinds()[-2:] == ["agent.failed", "simulation.finished"]
    played = play(program)
    assert played.outcome.status == "failed"
    assert played.one("agent.failed").data["error"] == "KeyError: 'sore'"


def test_a_policy_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    class Learner(Reactive):
        def policy(self, observation: object) -> None:  # type: ignore[assignment]
            """What it does in reinforcement learning."""

    assert "the policy of a is" in play(sending(Learner, "good")).outcome.reason
    assert "not 'islate'" in play(sending(Reactive, "good", policy="islate")).outcome.reason
    with pytest.raises(ProgramError, match='policy is "propagate", "isolate" or'):
        matrix.run(sending(Reactive), store=tmp_path, index=False, policy="never")


# -- what questions see ------------------------------------------------------------------------


def test_queries_show_how_isolated_and_restarted_agents_stand(tmp_path: Path) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Reactive, "isolated", policy="isolate")
        simulation.spawn(Reactive, "restarted", policy=matrix.Restart(times=3))
        simulation.spawn(Runner, "used up", policy=matrix.Restart(times=1))
        for name in ("isolated", "restarted", "used up", "used up"):
            simulation.send(name, "bad")
        simulation.spawn(Waiter, "waiter")
        await simulation.sleep(10)

    with pytest.raises(matrix.SimulationFailed):
        matrix.run(program, store=tmp_path)
    with matrix.open(tmp_path) as store:
        rows = store.query("agents | select id, status, end").rows()
        assert {row["id"]: row["status"] for row in rows} == {
            "isolated": "failed",
            "restarted": "cancelled",  # it was running again when its simulation failed
            "used up": "failed",
            "waiter": "cancelled",
        }
        kinds = store.query("events agent.restarted | count by agent, .attempt").rows()
        assert kinds == [
            {"agent": "restarted", "attempt": 1, "count": 1},
            {"agent": "used up", "attempt": 1, "count": 1},
        ]


@pytest.mark.parametrize("cls", KINDS)
def test_policies_give_the_same_history_again(cls: type[matrix.Agent], tmp_path: Path) -> None:
    program = sending(cls, *["good", "bad"] * 4, policy=matrix.Restart(times=3))
    outcomes = [play(program, store=tmp_path / str(n)).outcome for n in range(2)]
    assert outcomes[0].digest == outcomes[1].digest
    assert history(outcomes[0])[-1].kind == "simulation.failed"
