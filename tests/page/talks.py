"""What the tests of conversations and watches look at: a helpdesk with tools, a long talk, a run that is steered."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import matrix

LONG = 10_000


def look_up(order: str) -> dict[str, object]:
    """A tool that answers."""
    return {"order": order, "state": "sent", "items": [{"name": "lamp", "price": 40}, {"name": "bulb", "price": 3}]}


def refund(order: str, amount: int) -> None:
    """A tool that fails."""
    raise RuntimeError(f"order {order} is older than 30 days, {amount} cannot be paid back")


class Assistant(matrix.Agent):
    role = "assistant"

    async def run(self) -> None:
        async with self.goal("resolve") as goal:
            question = await self.receive()
            found = await self.call(look_up, "A7", kind="tool", latency=2)
            self.reply(question, text=f"Your order {found['order']} was sent on Monday.\nIs there anything else?")
            wish = await self.receive()
            try:
                await self.call(refund, "A7", 40, kind="tool", latency=1)
            except matrix.CallFailed:
                self.send("lead", text="They want 40 back for A7; it is too old. May I?", order="A7")
                await self.receive()
                self.reply(wish, text="I am afraid that is not possible any more.")
                goal.fail("no refund", asked=40)


class Customer(matrix.Agent):
    role = "user"

    async def run(self) -> None:
        self.send("helper", text="Where is my order?")
        await self.receive()
        self.send("helper", text="I want my money back <b>now</b>")
        await self.receive()


class Lead(matrix.Agent):
    role = "lead"

    async def run(self) -> None:
        asked = await self.receive()
        self.reply(asked, "decision", allowed=False, why="policy 12")
        self.send(["helper", "customer"], "notice", text="The desk closes at six.")


async def helpdesk(simulation: matrix.Simulation) -> None:
    """A customer, an assistant with tools, and a lead who is asked in private."""
    simulation.spawn(Lead, "lead")
    simulation.spawn(Assistant, "helper")
    simulation.spawn(Customer, "customer")


class Caller(matrix.Agent):
    role = "caller"
    peer: str
    first: bool
    messages_each: int

    async def run(self) -> None:
        for number in range(self.messages_each):
            if self.first or number:
                await self.sleep(1)
            self.send(self.peer, text=f"{self.id} says line {number}. " + "And so on. " * (number % 7))
            await self.receive()


async def chatter(simulation: matrix.Simulation, messages: int = LONG) -> None:
    """Two who talk for very long."""
    half = messages // 2
    simulation.spawn(Caller, "ann", peer="ben", first=True, messages_each=half)
    simulation.spawn(Caller, "ben", peer="ann", first=False, messages_each=half)


def make_helpdesk(folder: Path) -> Path:
    matrix.run(helpdesk, store=folder, seed=1)
    return folder


def make_chatter(folder: Path) -> Path:
    matrix.run(chatter, store=folder, seed=1)
    return folder


_SOCIETY = """
import sys
import matrix
from examples.negotiation import negotiation

print("ready", flush=True)
matrix.run(negotiation, store=sys.argv[1], seed=7, buyers=400, time="real", speed=200.0)
"""


@contextmanager
def society(store: Path) -> Iterator[None]:
    """A market of buyers and sellers, at a pace that one can look at, as long as the block lasts."""
    command = [sys.executable, "-c", _SOCIETY, str(store)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        process.kill()
        process.communicate()


_PROGRAM = """
import sys
import matrix

def told():
    return sys.stdin.readline().strip()

class Clock(matrix.Agent):
    role = "clock"

    async def run(self):
        number = 0
        while True:
            what = await self.call(told)
            if what == "end":
                return
            async with self.goal("strike") as goal:
                for _ in range(int(what)):
                    number += 1
                    self.emit("tick", number=number)
                if int(what) == 1:
                    goal.fail("only one")

async def clockwork(simulation: matrix.Simulation):
    simulation.spawn(Clock, "clock")

print("ready", flush=True)
matrix.run(clockwork, store=sys.argv[1], seed=3)
"""


class Steered:
    """A simulation in another process that emits as many events as it is told, when it is told."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def tick(self, count: int) -> None:
        """Emit ``count`` events under a goal; of a single one the goal fails."""
        self._say(str(count))

    def wait(self, count: int) -> None:
        """Until so many ticks are in the store."""
        for _ in range(1_000):
            with suppress(matrix.MatrixError), matrix.open(self._store) as store:
                if store.query("events tick | count").rows()[0]["count"] >= count:
                    return
            time.sleep(0.02)
        raise AssertionError(f"{count} ticks never came")

    def end(self) -> None:
        """Come to the end, and wait for it."""
        self._say("end")
        assert self._process.wait(timeout=20) == 0

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
