"""A society that uses everything at once, for tests that compare whole histories."""

from __future__ import annotations

import sys

import trio

import matrix


def lookup(word: str) -> dict[str, object]:
    """A blocking function outside the simulation."""
    return {"word": word, "length": len(word)}


async def fetch(n: int) -> int:
    """An async function outside the simulation; how long it takes differs from run to run."""
    await trio.sleep(0.001 * (n % 3))
    if n % 5 == 4:
        raise ValueError(f"no {n}")
    return n * n


class Worker(matrix.Agent):
    """Holds conversations, calls the outside, has children, times out."""

    async def run(self) -> None:
        async with self.goal("work", size=self.random.randint(1, 9)) as goal:
            self.start(self.heartbeat)
            for n in range(4):
                try:
                    value = await self.call(fetch, self.random.below(10), latency=self.random.choice([0.5, 1, 1.5]))
                    self.emit("fetched", value=value, n=n)
                except matrix.CallFailed as failed:
                    self.note("call failed", error=failed.error)
                with self.move_on_after(self.random.uniform(0.1, 2)) as scope:
                    answer = await self.ask("desk", "question", n=n)
                    self.emit("told", text=answer["text"])
                if scope.cancelled_caught:
                    self.emit("gave up", n=n)
            found = await self.call(lookup, "lamp", latency=0.25)
            self.emit("looked up", found=found, ticket=str(self.uuid()))
            if self.random.random() < 0.5:
                goal.fail("unlucky", luck=self.random.random())

    async def heartbeat(self) -> None:
        for _ in range(self.random.randint(1, 5)):
            await self.sleep(self.random.random())
            self.send(self.random.choice(["crowd-1", "crowd-2", "crowd-3"]), "beat", strength=self.random.random())


class Desk(matrix.Agent):
    """Takes its time to answer."""

    async def on_message(self, message: matrix.Message) -> None:
        await self.sleep(self.random.random())
        self.simulation.state["asked"] = self.simulation.state.get("asked", 0) + 1
        self.reply(message, text=f"answer {message['n']}")


class Crowd(matrix.Agent):
    """Called, and talks to itself."""

    left = 20

    def on_message(self, message: matrix.Message) -> None:
        if self.left:
            self.left -= 1
            self.set_timer(self.random.random(), "gossip", about=message.kind)

    def on_timer(self, timer: object) -> None:
        others = [name for name in ("crowd-1", "crowd-2", "crowd-3") if name != self.id]
        self.send(self.random.sample(others, self.random.randint(1, 2)), "gossip", about=timer["about"])  # type: ignore[index]


async def society(simulation: matrix.Simulation, workers: int = 8) -> None:
    """A few of everything, one cancelled on the way."""
    simulation.spawn(Desk, "desk")
    for n in (1, 2, 3):
        simulation.spawn(Crowd, f"crowd-{n}")
    for n in range(workers):
        simulation.spawn(Worker, f"worker-{n}")
    await simulation.sleep(1.25)
    simulation.cancel("worker-0")
    simulation.state.update(phase="late", round=1)


if __name__ == "__main__":
    print(matrix.run(society, store=sys.argv[1], seed=int(sys.argv[2]), index=False).digest)
