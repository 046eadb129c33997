"""The runtime: many simulations at once, Ctrl-C, injected messages, notebooks, the index."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import matrix
from matrix.errors import ProgramError
from matrix.log.reader import LogReader
from matrix.runtime.runtime import Statistics
from matrix.testing.played import history


class Dice(matrix.Agent):
    async def run(self) -> None:
        for _ in range(3):
            self.emit("rolled", eyes=self.random.randint(1, 6))
            await self.sleep(1)


async def game(simulation: matrix.Simulation, players: int = 2) -> None:
    for n in range(players):
        simulation.spawn(Dice, f"p{n}")


async def test_outcomes_come_as_simulations_end_and_all_share_one_shard(tmp_path: Path) -> None:
    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        outcomes = [outcome async for outcome in runtime.run_many(game, seeds=range(20), at_once=7, players=3)]
    assert sorted(outcome.seed for outcome in outcomes) == list(range(20))
    assert {outcome.status for outcome in outcomes} == {"finished"}
    assert {outcome.agents for outcome in outcomes} == {3}
    assert LogReader(tmp_path / "log").shards() == [1]
    for outcome in outcomes:
        events = history(outcome)
        assert [event.seq for event in events] == list(range(1, outcome.events + 1))
        assert events[0].data["parameters"] == {"players": 3}


def test_a_second_run_goes_on_in_the_same_shard(tmp_path: Path) -> None:
    first = matrix.run(game, store=tmp_path, index=False)
    second = matrix.run(game, store=tmp_path, index=False)
    assert (first.id, second.id) == ("1-1", "1-2")
    assert first.digest == second.digest
    assert len(first.digest) == 32


def test_a_series_of_simulations_is_a_list_in_the_order_of_seeds(tmp_path: Path) -> None:
    outcomes = matrix.run(game, store=tmp_path, seed=5, simulations=4, index=False)
    assert [outcome.seed for outcome in outcomes] == [5, 6, 7, 8]


async def test_a_series_goes_on_after_one_that_fails(tmp_path: Path) -> None:
    async def moody(simulation: matrix.Simulation) -> None:
        if simulation.seed == 1:
            raise ValueError("bad day")

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        outcomes = {o.seed: o.status async for o in runtime.run_many(moody, seeds=range(3), at_once=1)}
        with pytest.raises(matrix.SimulationFailed):
            await runtime.run(moody, seed=1)
    assert outcomes == {0: "finished", 1: "failed", 2: "finished"}


async def test_an_error_in_the_block_stops_what_runs_and_leaves_as_it_is(tmp_path: Path) -> None:
    class Waiter(matrix.Agent):
        async def run(self) -> None:
            await self.call(trio.sleep_forever)

    async def waiting(simulation: matrix.Simulation) -> None:
        simulation.spawn(Waiter, "w")

    with pytest.raises(KeyError, match="mine"):  # noqa: PT012  # the block is what is tested
        async with matrix.open_runtime(tmp_path, index=False) as runtime:
            simulation = await runtime.start(waiting)
            raise KeyError("mine")
    assert simulation.outcome is not None
    assert simulation.outcome.status == "stopped"


async def test_messages_from_outside_are_recorded_and_hold_keeps_the_simulation_open(tmp_path: Path) -> None:
    class Clerk(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            self.emit("heard", text=message["text"], sender=message.sender)

    async def office(simulation: matrix.Simulation) -> None:
        simulation.spawn(Clerk, "clerk")

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        simulation = await runtime.start(office)
        with simulation.hold():
            await trio.testing.wait_all_tasks_blocked(0.02)
            simulation.inject("clerk", text="hello")
            await trio.testing.wait_all_tasks_blocked(0.02)
        outcome = await simulation.wait()
    told, sent, heard = history(outcome)[2:5]
    assert (told.agent, told.kind, told.data["input"]) == (0, "simulation.input", "message")
    assert (sent.agent, sent.to, sent.kind, sent.cause) == (0, (1,), "message.sent", told.seq)
    assert dict(heard.data) == {"text": "hello", "sender": None}
    assert heard.cause == sent.seq


async def test_committed_events_can_be_read_while_the_simulation_runs(tmp_path: Path) -> None:
    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        simulation = await runtime.start(game)
        with simulation.hold():
            await trio.testing.wait_all_tasks_blocked(0.02)
            await simulation.commit()
            events = list(LogReader(tmp_path / "log").simulation_events(1, 1))
            assert len(events) == simulation.events
            assert runtime.writer.durable_position == runtime.writer.last_position
    assert events[-1].kind == "agent.finished"


async def test_events_that_wait_are_committed_within_milliseconds_though_nothing_happens(tmp_path: Path) -> None:
    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        simulation = await runtime.start(game)
        with simulation.hold():
            with trio.fail_after(5):
                while not runtime.writer.durable_position:
                    await trio.sleep(0.01)
            assert len(list(LogReader(tmp_path / "log").simulation_events(1, 1))) == simulation.events


def test_progress_is_told_and_ends_with_everything_done(tmp_path: Path) -> None:
    told: list[Statistics] = []
    matrix.run(game, store=tmp_path, simulations=3, progress=told.append, index=False)
    assert (told[-1].simulations_started, told[-1].simulations_done, told[-1].agents_alive) == (3, 3, 0)
    assert told[-1].events == 3 * 12


def test_run_works_where_an_event_loop_runs_already(tmp_path: Path) -> None:
    async def notebook() -> str:
        return matrix.run(game, store=tmp_path, index=False).status

    assert asyncio.run(notebook()) == "finished"
    assert trio.run(notebook) == "finished"


def test_a_program_that_never_yields_does_not_starve_the_others(tmp_path: Path) -> None:
    class Busy(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            if message["n"]:
                self.send(self, n=message["n"] - 1)

    async def busy(simulation: matrix.Simulation) -> None:
        simulation.spawn(Busy, "b")
        simulation.send("b", n=20_000 if simulation.seed else 10)

    async def main() -> list[int]:
        async with matrix.open_runtime(tmp_path, index=False) as runtime:
            return [outcome.seed async for outcome in runtime.run_many(busy, seeds=[1, 0], at_once=2)]

    assert trio.run(main) == [0, 1]


SLEEPY = """
import sys, matrix

class Sleepy(matrix.Agent):
    async def run(self):
        try:
            while True:
                self.emit("tick")
                await self.call(matrix_sleep)
        finally:
            self.emit("left")

def matrix_sleep():
    import time
    time.sleep(0.05)

async def program(simulation):
    for n in range(2):
        simulation.spawn(Sleepy, f"s{n}")
    print("started", flush=True)

try:
    matrix.run(program, store=sys.argv[1], index=False)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_stops_in_order_and_leaves_a_whole_log(tmp_path: Path) -> None:
    script = tmp_path / "sleepy.py"
    script.write_text(SLEEPY)
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path / "runs")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    process.stdout.close()
    events = list(LogReader(tmp_path / "runs" / "log").simulation_events(1, 1))
    assert events[-1].kind == "simulation.stopped"
    assert events[-1].data["reason"] == "interrupted"
    assert [event.agent for event in events if event.kind == "left"] == [1, 2]
    assert [event.agent for event in events if event.kind == "agent.cancelled"] == [1, 2]


def test_a_second_ctrl_c_is_told_as_one_also_when_it_hits_trio_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hit_twice(main: object) -> None:
        for _ in range(2):
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        raise trio.TrioInternalError("internal error in Trio")

    monkeypatch.setattr("matrix.runtime.blocking.run_trio", hit_twice)
    with pytest.raises(KeyboardInterrupt):
        matrix.run(game, store=tmp_path)


def test_the_index_is_up_to_date_when_run_returns(tmp_path: Path) -> None:
    matrix.run(game, store=tmp_path)
    assert (tmp_path / "index.sqlite").exists()
    assert len(matrix.open(tmp_path).query("agents where role = 'dice'").rows()) == 2


async def test_parameters_that_were_not_given_are_recorded_with_their_defaults(tmp_path: Path) -> None:
    async def program(simulation: matrix.Simulation, players: int = 3, kind: type = int, name: str = "x") -> None: ...

    async with matrix.open_runtime(tmp_path / "runs") as runtime:
        outcome = await runtime.run(program, name="y")
    with matrix.open(tmp_path / "runs") as store:
        assert next(store.events(outcome.id)).data["parameters"] == {"players": 3, "name": "y"}


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "7"])
def test_a_seed_that_no_query_could_compare_is_refused(tmp_path: Path, seed: Any) -> None:
    with pytest.raises(ProgramError, match="the seed is a whole number from 0 to"):
        matrix.run(game, store=tmp_path, seed=seed)
