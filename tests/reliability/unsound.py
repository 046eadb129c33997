"""Programs whose histories depend on what no log has: the negative controls, which must turn the battery red."""

from __future__ import annotations

import random
import time

import matrix


class Crowd(matrix.Agent):
    """Answers whoever speaks, and so tells in which order it was spoken to."""

    def on_message(self, message: matrix.Message) -> None:
        self.emit("heard", word=message["word"])


async def by_set_order(simulation: matrix.Simulation) -> None:
    """Speaks in the order of a set of texts, which differs with the hash seed."""
    simulation.spawn(Crowd, "crowd")
    for word in {f"word {n}" for n in range(20)}:
        simulation.send("crowd", word=word)


async def by_identity(simulation: matrix.Simulation) -> None:
    """Decides by where things lie in memory."""
    for n in range(20):
        agent = simulation.spawn(Crowd, f"crowd-{n}")
        place = id(bytearray(1_000_000)) >> 12 ^ id(agent) >> 12
        simulation.send(agent, word="even" if place % 2 else "odd")


async def by_clock(simulation: matrix.Simulation) -> None:
    """Decides by a clock that is not recorded."""
    simulation.spawn(Crowd, "crowd")
    for _ in range(20):
        simulation.send("crowd", word="early" if time.perf_counter_ns() // 100 % 2 else "late")


async def by_module_random(simulation: matrix.Simulation) -> None:
    """Decides by chance that is not the simulation's."""
    simulation.spawn(Crowd, "crowd")
    for _ in range(20):
        simulation.send("crowd", word=f"{random.random()}")


UNSOUND = (by_set_order, by_identity, by_clock, by_module_random)
