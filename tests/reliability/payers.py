"""Agents that do things outside which must not happen twice: each writes one line into a file, at once."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import trio

import matrix


async def pay(file: str, key: str) -> str:
    """Touch the outside: one line, written whole, and then some time until the answer."""
    place = os.open(file, os.O_WRONLY | os.O_APPEND)
    os.write(place, f"{key}\n".encode())
    os.close(place)
    await trio.sleep(0.01 * _outside.random())
    return key


def look(n: int) -> int:
    """Harmless: may be asked again; in a thread."""
    time.sleep(0.004 * _outside.random())
    return n


_outside = random.Random()  # the outside's own chance, which no seed decides


class Payer(matrix.Agent):
    """Pays bill after bill; what it cannot know it tells the book."""

    file: str
    bills: int

    async def run(self) -> None:
        for n in range(self.bills):
            with self.goal("pay", bill=n) as goal:
                try:
                    key = await self.call(pay, self.file, f"{self.simulation.seed}/{self.id}/{n}")
                except matrix.UnknownOutcome:
                    self.send("book", "unclear", bill=n)
                    goal.fail("unclear")
                else:
                    self.send("book", "paid", key=key)
            await self.call(look, n, repeatable=True)
            await self.sleep(0.01 * self.random.random())


class Book(matrix.Agent):
    """Counts."""

    def __init__(self) -> None:
        self.counts = {"paid": 0, "unclear": 0}

    def on_message(self, message: matrix.Message) -> None:
        """One more."""
        self.counts[message.kind] += 1
        self.emit("booked", **self.counts)


async def payers(simulation: matrix.Simulation, file: str, payers: int = 8, bills: int = 10) -> None:
    """Some payers and their book."""
    simulation.spawn(Book, "book")
    for n in range(payers):
        simulation.spawn(Payer, f"payer-{n}", file=file, bills=bills)


if __name__ == "__main__":
    store, effects, first = sys.argv[1:]
    Path(effects).touch()
    matrix.run(payers, store=store, seed=int(first), simulations=3, file=effects)
