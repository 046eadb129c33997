"""Replay: the same history again from its log, without the outside, or the first event that differs."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

import matrix
from matrix.errors import ReplayRefused, UnknownAgent, UsageError
from matrix.testing.played import history

from . import office as society
from .office import office


def recorded(tmp_path: Path, **options: Any) -> matrix.Outcome:
    return matrix.run(office, store=tmp_path, index=False, **options)


@pytest.mark.parametrize("seed", range(6))
def test_a_replay_is_identical_and_touches_nothing(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = recorded(tmp_path, seed=seed)

    async def forbidden(n: int) -> None:
        raise AssertionError("the outside was touched in a replay")

    forbidden.__name__ = "look_up"
    monkeypatch.setattr(society, "look_up", forbidden)
    with matrix.open(tmp_path) as store:
        replay = store.replay(outcome.id)
    assert (replay.status, replay.events, replay.digest) == ("identical", outcome.events, outcome.digest)
    assert str(replay) == f"1-1: identical, {outcome.events:,} events, digest {outcome.digest}"
    assert replay.notes == ()


@pytest.mark.parametrize(
    "options",
    [
        {"pace": "freeze"},
        {"pace": "free"},
        {"delivery": "ordered"},
        {"until": 0.011},
        {"turns_max": 60},
        {"events_max": 75},
        {"clerks": 2},
    ],
    ids=str,
)
def test_options_and_parameters_are_those_of_the_run(tmp_path: Path, options: dict[str, Any]) -> None:
    outcome = recorded(tmp_path, seed=2, **options)
    with matrix.open(tmp_path) as store:
        replay = store.replay(outcome.id)
    assert (replay.status, replay.digest) == ("identical", outcome.digest)


async def test_what_came_from_outside_comes_again_at_its_place(tmp_path: Path) -> None:
    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        simulation = await runtime.start(office, seed=5)
        with simulation.hold():
            for n in range(5):
                await trio.sleep(0.004)
                simulation.inject("register", "wish", n=n)
                if n == 2:
                    simulation.cancel("clerk-2")
            simulation.stop("the lights went out")
            outcome = await simulation.wait()
    assert outcome.status == "stopped"
    told = [event.data["input"] for event in history(outcome) if event.kind == "simulation.input"]
    assert told == ["message"] * 3 + ["cancel"] + ["message"] * 2 + ["stop"]
    replay = await trio.to_thread.run_sync(lambda: matrix.open(tmp_path).replay(outcome.id))
    assert (replay.status, replay.digest) == ("identical", outcome.digest)


def test_a_failed_simulation_fails_again_in_the_same_way(tmp_path: Path) -> None:
    with pytest.raises(matrix.SimulationFailed) as failed:
        matrix.run(failing, store=tmp_path, index=False)
    with matrix.open(tmp_path) as store:
        replay = store.replay(failed.value.outcome.id)
    assert (replay.status, replay.digest) == ("identical", failed.value.outcome.digest)


class Fails(matrix.Agent):
    async def run(self) -> None:
        await self.call(society.look_up, 4)


async def failing(simulation: matrix.Simulation) -> None:
    simulation.spawn(Fails, "fails")


def test_all_simulations_are_replayed_in_the_order_of_the_log(tmp_path: Path) -> None:
    outcomes = matrix.run(office, store=tmp_path, simulations=5, seed=10)
    with matrix.open(tmp_path) as store:
        replays = list(store.replay_all())
    assert {(replay.id, replay.status, replay.digest) for replay in replays} == {
        (outcome.id, "identical", outcome.digest) for outcome in outcomes
    }


def test_until_stops_behind_an_event_or_at_a_time(tmp_path: Path) -> None:
    outcome = recorded(tmp_path, seed=1)
    events = history(outcome)
    with matrix.open(tmp_path) as store:
        for until in (1, 2, 30, outcome.events - 1):
            replay = store.replay(outcome.id, until=until)
            assert (replay.status, replay.events) == ("stopped", until)
        replay = store.replay(outcome.id, until=timedelta(milliseconds=6))
        assert replay.events == max(event.seq for event in events if event.time <= 6_000)
        with pytest.raises(UsageError, match=f"1-1 has events 1 to {outcome.events}; there is none with the number 0"):
            store.replay(outcome.id, until=0)


def test_a_changed_request_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = recorded(tmp_path, seed=1)
    monkeypatch.setattr(society, "add_up", lambda a, b: a + b)
    with matrix.open(tmp_path) as store:
        replay = store.replay(outcome.id)
    assert replay.status == "diverged"
    found = replay.divergence
    assert found is not None and found.kind == "request"
    line = next(n for n, text in enumerate(Path(society.__file__).read_text().splitlines(), 1) if "add_up, 2" in text)
    assert found.place == f"office.py:{line} in run"
    assert found.recorded is not None and found.recorded.kind == "call.called"
    assert replay.events == found.seq - 1


def test_an_event_more_or_less_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = recorded(tmp_path, seed=1)
    calm = society.Register.on_message

    def twice(self: society.Register, message: matrix.Message) -> None:
        calm(self, message)
        self.emit("again")

    with matrix.open(tmp_path) as store:
        monkeypatch.setattr(society.Register, "on_message", twice)
        more = store.replay(outcome.id).divergence
        monkeypatch.setattr(society.Register, "on_message", lambda self, message: None)
        less = store.replay(outcome.id).divergence
    first = next(event.seq for event in history(outcome) if event.kind == "counted")
    assert more is not None and (more.seq, more.actual and more.actual.kind) == (first + 1, "again")
    assert less is not None and (less.seq, less.recorded and less.recorded.kind) == (first, "counted")


def test_a_program_that_waits_for_what_never_came_diverges_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = recorded(tmp_path, seed=1)

    async def eternal(self: society.Clerk) -> None:
        while True:
            await self.sleep(1)

    monkeypatch.setattr(society.Clerk, "run", eternal)
    with matrix.open(tmp_path) as store:
        replay = store.replay(outcome.id)
    assert replay.status == "diverged"


def test_pin_refuses_another_version_and_without_it_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = recorded(tmp_path, seed=1)
    monkeypatch.setenv("PYTHONHASHSEED", "12345")
    with matrix.open(tmp_path) as store:
        (note,) = store.replay(outcome.id).notes
        assert note.endswith("and is 12345")
        with pytest.raises(ReplayRefused, match="1-1 was recorded elsewhere: PYTHONHASHSEED"):
            store.replay(outcome.id, pin=True)


def test_a_program_that_cannot_be_found_is_asked_for(tmp_path: Path) -> None:
    async def local(simulation: matrix.Simulation) -> None:
        simulation.emit("ready")

    outcome = matrix.run(local, store=tmp_path, index=False)
    with matrix.open(tmp_path) as store:
        with pytest.raises(UsageError, match="say which program to run"):
            store.replay(outcome.id)
        assert store.replay(outcome.id, program=local).status == "identical"


def test_a_replay_writes_nothing(tmp_path: Path) -> None:
    outcome = recorded(tmp_path, seed=1)
    before = {path: path.read_bytes() for path in (tmp_path / "log").rglob("*") if path.is_file()}
    with matrix.open(tmp_path) as store:
        store.replay(outcome.id)
    assert {path: path.read_bytes() for path in (tmp_path / "log").rglob("*") if path.is_file()} == before


async def patched_office(simulation: matrix.Simulation) -> None:
    for _ in range(3):
        if PATCHES and simulation.patched("hurry"):
            simulation.emit("hurried")
        await simulation.sleep(1)


PATCHES: list[str] = []


def test_a_patched_program_replays_old_histories_the_old_way_and_new_ones_the_new(tmp_path: Path) -> None:
    old = matrix.run(patched_office, store=tmp_path, index=False)
    PATCHES.append("hurry")
    new = matrix.run(patched_office, store=tmp_path, index=False)
    assert [event.data["name"] for event in history(new) if event.kind == "simulation.patched"] == ["hurry"]
    with matrix.open(tmp_path) as store:
        assert [replay.digest for replay in store.replay_all()] == [old.digest, new.digest]
        assert [replay.status for replay in store.replay_all()] == ["identical", "identical"]


async def echo(what: str) -> str:
    """Something outside that gives back what it got."""
    await trio.sleep(0.005)
    return what


class Caller(matrix.Agent):
    async def run(self) -> None:
        self.emit("answered", what=await self.call(echo, "an agent"))


async def namesakes(simulation: matrix.Simulation) -> None:
    """An agent that is named like the program, and both ask the outside."""
    simulation.spawn(Caller, "program")
    simulation.emit("answered", what=await simulation.call(echo, "the program"))


def test_an_agent_named_program_and_the_program_get_each_its_own_answers(tmp_path: Path) -> None:
    outcome = matrix.run(namesakes, store=tmp_path)
    with matrix.open(tmp_path) as store:
        assert store.replay(outcome.id).status == "identical"


async def priced(simulation: matrix.Simulation, price: float = 1.0, is_open: Any = True) -> None:
    """A program with defaults."""
    simulation.emit("priced", price=price, is_open=is_open)


@pytest.mark.parametrize("given", [{"price": 1}, {"is_open": 1}, {"price": True}], ids=str)
def test_a_parameter_equal_to_the_default_and_of_another_type_is_not_the_default(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    outcome = matrix.run(priced, store=tmp_path, **given)
    with matrix.open(tmp_path) as store:
        assert store.replay(outcome.id).status == "identical"


async def reluctant() -> None:
    """Something outside that takes its time to be given up."""
    try:
        await trio.sleep(5)
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.1)


async def impatient(simulation: matrix.Simulation) -> None:
    """Nobody waits for its call any more, and it is still being given up when time is over."""
    with simulation.host.move_on_after(0.01):
        await simulation.call(reluctant)


class Reader(matrix.Agent):
    async def run(self) -> None:
        async for message in self.messages():
            self.emit("read", seq=message.seq)


async def lonely(simulation: matrix.Simulation) -> None:
    """One agent that waits for mail."""
    simulation.spawn(Reader, "reader")


async def test_an_end_by_time_that_only_the_outside_held_off_comes_again(tmp_path: Path) -> None:
    async with matrix.open_runtime(tmp_path) as runtime:
        given_up = await runtime.run(impatient, until=0.05)
        held = await runtime.start(lonely, until=0.05, time="real")
        with held.hold():
            ended = await held.wait()
    assert (given_up.reason, ended.reason) == ("until", "until")

    def replayed() -> list[str]:
        with matrix.open(tmp_path) as store:
            return [replay.status for replay in store.replay_all()]

    assert await trio.to_thread.run_sync(replayed) == ["identical", "identical"]


async def test_an_input_for_an_agent_that_is_not_there_any_more_is_a_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with matrix.open_runtime(tmp_path) as runtime:
        for act in ("inject", "cancel"):
            simulation = await runtime.start(lonely)
            with simulation.hold():
                await trio.sleep(0.02)
                getattr(simulation, act)("reader")

    async def renamed(simulation: matrix.Simulation) -> None:
        simulation.spawn(Reader, "archive")

    def replayed() -> list[str]:
        with matrix.open(tmp_path) as store:
            return [replay.status for replay in store.replay_all(program=renamed)]

    assert await trio.to_thread.run_sync(replayed) == ["diverged", "diverged"]


async def test_an_agent_of_another_simulation_is_refused_where_it_is_said(tmp_path: Path) -> None:
    async with matrix.open_runtime(tmp_path) as runtime:
        one, other = await runtime.start(lonely), await runtime.start(lonely)
        with one.hold(), other.hold():
            await trio.sleep(0.02)
            reader = other.agent("reader")
            with pytest.raises(UnknownAgent, match="is not an agent of 1-1"):
                one.cancel(reader)
            with pytest.raises(UnknownAgent, match="is not an agent of 1-1"):
                one.inject(reader)
            other.cancel(reader)
    assert one.outcome is not None and one.outcome.status == "finished"


SCRIPT = """
from pathlib import Path

import matrix


async def shop(simulation):
    simulation.emit("opened", chance=simulation.random.random())


print(matrix.run(shop, store=Path(__file__).parent / "runs", index=False).digest)
assert __name__ == "__main__", "what stands behind the run is no part of the program"
"""


def test_a_script_that_runs_at_its_top_level_is_not_run_by_a_replay(tmp_path: Path) -> None:
    script = tmp_path / "shop_script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    with matrix.open(tmp_path / "runs") as store:
        assert [replay.digest for replay in store.replay_all()] == [done.stdout.strip()]
        assert store.query("simulations | count").rows() == [{"count": 1}]
        (fork,) = store.fork("1-1", at=1, seed=2)
        assert fork.status == "finished"


class Asks(matrix.Agent):
    async def run(self) -> None:
        await self.call(society.look_up, 1)
        await self.sleep(1)


async def cut_short(simulation: matrix.Simulation) -> None:
    simulation.spawn(Asks, "first")
    simulation.spawn(Asks, "second")


@pytest.mark.parametrize("turns_max", range(1, 7))
def test_an_answer_that_came_and_was_not_taken_any_more_has_moved_time_in_a_replay_too(
    tmp_path: Path, turns_max: int
) -> None:
    outcome = matrix.run(cut_short, store=tmp_path, index=False, turns_max=turns_max)
    with matrix.open(tmp_path) as store:
        replay = store.replay(outcome.id)
    assert (replay.status, replay.digest) == ("identical", outcome.digest)
