"""The second engine: the same order of turns with nothing private of Trio's, taken where the first cannot be had."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import trio

import matrix
from matrix.errors import ProgramError, UsageError
from matrix.runtime.scheduling.handoff import HandoffLease
from matrix.testing.played import play
from tests.runtime.society import society


def test_the_second_engine_gives_the_same_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = play(society, store=tmp_path / "first", seed=3).outcome
    monkeypatch.setenv("MATRIX_ENGINE", "handoff")
    second = play(society, store=tmp_path / "second", seed=3).outcome
    assert first.digest == second.digest
    assert first.turns == second.turns


def test_a_trio_without_the_private_name_is_told_once_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = play(society, store=tmp_path / "with", seed=3).outcome.digest
    monkeypatch.delenv("MATRIX_ENGINE", raising=False)
    monkeypatch.setattr("matrix.runtime.scheduling.lease.run_context", None)
    with caplog.at_level(logging.WARNING, logger="matrix"):
        assert play(society, store=tmp_path / "without", seed=3).outcome.digest == expected
    assert len([r for r in caplog.records if "hand-off" in r.getMessage()]) == 1


async def test_the_first_engine_can_be_insisted_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with matrix.open_runtime(tmp_path / "a", index=False, engine="direct"):
        pass
    monkeypatch.setattr("matrix.runtime.scheduling.lease.run_context", None)
    with pytest.raises(UsageError, match="has no GLOBAL_RUN_CONTEXT"):
        async with matrix.open_runtime(tmp_path / "b", index=False, engine="direct"):
            pass


async def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="engine is one of auto, direct, handoff"):
        async with matrix.open_runtime(tmp_path, index=False, engine="diesel"):  # type: ignore[arg-type]  # refused
            pass


async def test_each_coroutine_has_a_task_of_its_own_and_several_simulations_share_the_loop(tmp_path: Path) -> None:
    tasks: dict[str, set[Any]] = {}

    class Walker(matrix.Agent):
        async def run(self) -> None:
            for _ in range(3):
                tasks.setdefault(f"{self.simulation.id} {self.id}", set()).add(trio.lowlevel.current_task())
                with self.move_on_after(1):
                    await self.receive()

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Walker, "a")
        simulation.spawn(Walker, "b")

    async with matrix.open_runtime(tmp_path, index=False, engine="handoff") as runtime:
        assert isinstance(runtime.leases.clean, HandoffLease)
        for n in range(3):
            await runtime.start(program, id=f"s{n}")
    assert len(tasks) == 6
    assert all(len(found) == 1 for found in tasks.values())


@pytest.mark.parametrize("engine", ["direct", "handoff"])
def test_a_wait_of_trios_own_in_a_cancelled_scope_is_cancelled_also_after_the_first(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stubborn(matrix.Agent):
        async def run(self) -> None:
            with self.move_on_after(1) as scope:
                try:
                    await self.receive()
                except trio.Cancelled:
                    await trio.sleep(3600)  # Trio's rule: every wait in a cancelled scope is cancelled
            self.emit("left", caught=scope.cancelled_caught)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Stubborn)

    monkeypatch.setenv("MATRIX_ENGINE", engine)
    assert play(program).data("left") == [{"caught": True}]


def test_an_exit_in_a_step_that_was_handed_off_is_the_exit_of_whoever_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Leaving(matrix.Agent):
        async def run(self) -> None:
            raise SystemExit(3)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Leaving)

    monkeypatch.setenv("MATRIX_ENGINE", "handoff")
    with pytest.raises(SystemExit):
        play(program)
