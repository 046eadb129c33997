"""Replay: the same history again from its log, without the outside, or the first event that differs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

import matrix
from matrix.errors import ReplayRefused, UsageError
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
