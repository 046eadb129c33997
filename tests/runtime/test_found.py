"""What random programs found: each a small program that once went wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matrix
from matrix.testing.played import play


def test_a_timer_that_rings_while_the_mailbox_is_full_waits_in_it() -> None:
    class Clerk(matrix.Agent):
        mailbox_max = 1

        async def on_message(self, message: matrix.Message) -> None:
            self.set_timer(1, "later")
            await self.sleep(2)

        async def on_timer(self, timer: matrix.Timer) -> None:
            self.emit("rang", at=self.now)
            self.finish()

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Clerk, "clerk")
        simulation.send("clerk")
        await simulation.sleep(0.5)
        simulation.send("clerk")  # fills it

    played = play(program)
    assert played.outcome.status == "finished"
    assert played.data("rang") == [{"at": 4.0}]


async def test_who_was_cancelled_before_its_first_turn_is_so_by_its_own_simulation(tmp_path: Path) -> None:
    class Living(matrix.Agent):
        async def run(self) -> None:
            await self.receive()

    async def program(simulation: matrix.Simulation, before: int) -> None:
        for _ in range(before):
            simulation.note("so that numbers of events differ between the simulations")
        simulation.spawn(Living, "a")
        simulation.cancel("a")
        await simulation.sleep(1)

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        simulations = [await runtime.start(program, before=before) for before in (50, 0, 20)]
        outcomes = [await simulation.wait() for simulation in simulations]
    store = matrix.open(tmp_path)
    for outcome in outcomes:
        (cancelled,) = [event for event in store.events(outcome.id) if event.kind == "agent.cancelled"]
        assert cancelled.cause <= cancelled.seq
        assert cancelled.time == 0


def test_time_does_not_move_when_a_failed_simulation_is_wound_up() -> None:
    class Crowd(matrix.Agent):
        def on_start(self) -> None:
            self.set_timer(5, "later")

        def on_timer(self, timer: matrix.Timer) -> None:
            self.emit("rang")

    class Careful(matrix.Agent):
        async def run(self) -> None:
            try:
                await self.receive()
            finally:
                self.send("crowd", "bye")

    class Failing(matrix.Agent):
        async def run(self) -> None:
            await self.sleep(1)
            raise ValueError("bad")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Crowd, "crowd")
        for _ in range(3):
            simulation.spawn(Careful)
        simulation.spawn(Failing)

    played = play(program)
    assert played.outcome.status == "failed"
    assert played.outcome.duration == 1_000_000
    assert not played.of("rang")
    assert len(played.of("bye")) == 3


async def test_an_answer_that_comes_while_only_what_is_over_lies_in_the_queue_has_its_time(tmp_path: Path) -> None:
    import trio

    async def slow() -> None:
        await trio.sleep(0.03)

    class Living(matrix.Agent):
        async def run(self) -> None:
            await self.receive()

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Living, "a")
        simulation.cancel("a")  # its first turn lies in the queue, and is none
        await simulation.call(slow)
        simulation.emit("answered", at=simulation.now)

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        await runtime.run(program)
    with matrix.open(tmp_path) as store:
        replay = await trio.to_thread.run_sync(lambda: store.replay("1-1", program=program))
    assert replay.status == "identical"


def test_a_store_that_is_never_closed_makes_no_noise_when_the_program_ends(tmp_path: Path) -> None:
    code = (
        "import matrix, sys\n"
        "async def program(simulation): simulation.emit('said')\n"
        "matrix.run(program, store=sys.argv[1])\n"
        "store = matrix.open(sys.argv[1])\n"
        "print(store.replay('1-1', program=program).status)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("identical\n", "")
