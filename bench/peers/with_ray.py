"""Ray: a process an actor, remote method calls between them, on one machine.

Made for many machines, not for many small agents. No log of messages, no order beyond that of one caller, no replay
(a lost task is run again). Its processor time is spread over its own processes, so only wall time is told.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from measure import Found, Meter, answer, rss


@ray.remote(num_cpus=0)
class Signal:
    """An event that others wait for, as Ray's documentation has it."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()

    def send(self) -> None:
        self.ready.set()

    async def wait(self) -> None:
        await self.ready.wait()


@ray.remote(num_cpus=0)
class Player:
    """Throws back what comes."""

    def meet(self, to: Any, done: Any) -> int:
        self.to, self.done = to, done
        return os.getpid()

    def ball(self, left: int) -> None:
        if left:
            self.to.ball.remote(left - 1)
        else:
            self.done.send.remote()


@contextmanager
def cluster() -> Iterator[None]:
    """A cluster of this machine alone, without what watches it."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            object_store_memory=100 * 1024 * 1024,
            _temp_dir=folder,  # its sockets need a short path
        )
        yield
        ray.shutdown()


def turns(count: int) -> Found:
    """One pair of actors that throw a ball to and fro."""
    with cluster():
        a, b, done = Player.remote(), Player.remote(), Signal.remote()
        ray.get([a.meet.remote(b, done), b.meet.remote(a, done)])
        with Meter() as meter:
            a.ball.remote(count)
            ray.get(done.wait.remote())
    return meter.found(count, cpu=None)


def idle(count: int) -> Found:
    """Actors that wait: a process each."""
    with cluster():
        with Meter() as meter:
            actors = [Player.remote() for _ in range(count)]
            processes = ray.get([actor.meet.remote(None, None) for actor in actors])
        memory = sum(rss(process) for process in processes) / count
    return meter.found(count, cpu=None, bytes_per_agent=memory)


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    answer({"turns": turns, "idle_async": idle}, "ray")
