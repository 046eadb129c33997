"""Agents that fail when they are told to, one of each behaviour."""

from __future__ import annotations

from typing import Any

import matrix


class Waiter(matrix.Agent):
    async def run(self) -> None:
        await self.receive()


class Reactive(matrix.Agent):
    """Counts what it handled since it began; fails at "bad"."""

    handled = 0

    def on_message(self, message: matrix.Message) -> None:
        self.handled += 1
        if message.kind == "bad":
            raise ValueError("out of tune")
        self.emit("handled", n=self.handled, kind=message.kind)


class Handler(matrix.Agent):
    handled = 0

    async def on_message(self, message: matrix.Message) -> None:
        self.handled += 1
        await self.sleep(1)
        if message.kind == "bad":
            raise ValueError("out of tune")
        self.emit("handled", n=self.handled, kind=message.kind)


class Runner(matrix.Agent):
    handled = 0

    async def run(self) -> None:
        async for message in self.messages():
            self.handled += 1
            await self.sleep(1)
            if message.kind == "bad":
                raise ValueError("out of tune")
            self.emit("handled", n=self.handled, kind=message.kind)


KINDS = [Reactive, Handler, Runner]


def sending(cls: type[matrix.Agent], *kinds: str, **parameters: Any) -> Any:
    """A program that sends messages of these kinds to one agent "a"; another, "other", waits."""

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(cls, "a", **parameters)
        simulation.spawn(Waiter, "other")
        for kind in kinds:
            simulation.send("a", kind)
        await simulation.sleep(20)

    return program
