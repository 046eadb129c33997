"""A small society that uses everything a replay must repeat: calls that fail and time out, messages, timers, goals,
child tasks, chance, cancellations, and all three kinds of agents."""

from __future__ import annotations

import trio

import matrix


async def look_up(n: int) -> dict[str, int]:
    """Something outside, which fails now and then and takes its time."""
    await trio.sleep(0.0004 * (n * 7 % 11))
    if n % 9 == 4:
        raise LookupError(f"{n} is not there")
    return {"n": n}


def add_up(a: int, b: int) -> int:
    """Something outside that blocks, in a thread."""
    return a + b


class Clerk(matrix.Agent):
    """Asks the outside, a little impatiently, and tells the register."""

    async def run(self) -> None:
        for n in range(8):
            with self.goal("file", n=n) as goal:
                with self.move_on_after(0.003 + 0.003 * self.random.random()) as scope:
                    try:
                        found = await self.call(look_up, self.random.below(40))
                        self.send("register", "filed", n=found["n"])
                    except matrix.CallFailed as error:
                        goal.fail(error.error)
                if scope.cancelled_caught:
                    goal.fail("too slow")
            await self.sleep(0.002 * self.random.random())
        self.start(self.tidy, "desk")
        self.emit("sum", total=await self.call(add_up, 2, self.random.below(5)), id=str(self.uuid()))

    async def tidy(self, what: str) -> None:
        """A child task."""
        await self.sleep(0.001)
        self.emit("tidied", what=what)


class Register(matrix.Agent):
    """Counts, without a coroutine."""

    def __init__(self, step: int = 1) -> None:
        self.step, self.count, self.rings = step, 0, 0

    def on_start(self) -> None:
        """Ring now and then."""
        self.set_timer(0.005, "bell")

    def on_timer(self, timer: matrix.Timer) -> None:
        """Tell the boss."""
        self.send("boss", "bell", count=self.count)
        self.rings += 1
        if self.rings < 8:
            self.set_timer(0.005, "bell")

    def on_message(self, message: matrix.Message) -> None:
        """Count one more."""
        self.count += self.step
        self.emit("counted", count=self.count)


class Boss(matrix.Agent):
    """Handles a message at a time, and asks for advice."""

    async def on_message(self, message: matrix.Message) -> None:
        """Decide."""
        advice = await self.call(look_up, 5, name="advice")
        self.emit("decided", after=advice["n"], chance=self.random.random())


async def office(simulation: matrix.Simulation, clerks: int = 4) -> None:
    """Clerks, a register and a boss; one clerk is sent home."""
    simulation.state["mood"] = "calm"
    simulation.spawn(Register, "register")
    simulation.spawn(Boss, "boss")
    for n in range(clerks):
        simulation.spawn(Clerk, f"clerk-{n}")
    await simulation.sleep(0.012)
    simulation.cancel("clerk-1")
    simulation.state["mood"] = "busy"
