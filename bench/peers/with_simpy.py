"""SimPy: processes are generators, messages go through stores, time is virtual.

Deterministic by construction. It keeps no log, knows no calls to the outside, and so has nothing to replay.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy
from measure import Found, Memory, Meter, answer, peak

Process = Generator[simpy.Event, Any, None]


def play(own: simpy.Store, other: simpy.Store) -> Process:
    """Throw back what comes, until there is nothing left."""
    while True:
        left = yield own.get()
        yield other.put(max(0, left - 1))
        if left <= 1:
            return


def turns(count: int) -> Found:
    """Ten pairs of processes that throw a ball to and fro through stores."""
    env = simpy.Environment()
    for _ in range(10):
        a, b = simpy.Store(env), simpy.Store(env)
        env.process(play(a, b))
        env.process(play(b, a))
        a.put(count // 10)
    with Meter() as meter:
        env.run()
    return meter.found(count)


def idle(count: int, *, traced: bool = False) -> Found:
    """Processes that each wait for a message in a store of their own."""

    def wait(own: simpy.Store) -> Process:
        yield own.get()

    with Memory(traced=traced) as memory:
        with Meter() as meter:
            env = simpy.Environment()
            processes = [env.process(wait(simpy.Store(env))) for _ in range(count)]
            env.run()
        return meter.found(len(processes), **memory.look(count))


def million(count: int) -> Found:
    """Processes that each send one message to another and receive one."""

    def one(own: simpy.Store, other: simpy.Store) -> Process:
        yield other.put(1)
        yield own.get()

    with Meter() as meter:
        env = simpy.Environment()
        stores = [simpy.Store(env) for _ in range(count)]
        for n in range(count):
            env.process(one(stores[n], stores[(n * 7919 + 1) % count]))
        env.run()
    return meter.found(count, peak=peak())


if __name__ == "__main__":
    answer(
        {
            "turns": turns,
            "idle_async": idle,
            "idle_async_traced": lambda count: idle(count, traced=True),
            "million": million,
        },
        "simpy",
    )
