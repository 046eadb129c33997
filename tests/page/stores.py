"""Stores that the tests of the page look at: examples that were run, and a million events written in columns."""

from __future__ import annotations

from pathlib import Path

import matrix
from examples.werewolf import werewolf
from matrix.log.writer import Writer
from matrix.testing.society import society

MILLION = 1_000_000
HUGE = 9_223_372_036_854_775_807  # JavaScript's own numbers end at 2**53


class Clerk(matrix.Agent):
    """Says what a page may stumble over: numbers too large for JavaScript, signs beyond 16 bits, text that is HTML."""

    role = "clerk"

    async def run(self) -> None:
        async with self.goal("count"):
            self.emit("counted", total=HUGE, nested={"least": -HUGE, "list": [1, 2, {"deep": HUGE - 1}]})
            self.emit("noted", text='<img src="x" onerror="alert(1)"> & <b>bold</b>')
            self.emit("smiled", text="\N{GRINNING FACE} says \u00fc")
            await self.sleep(90)
            self.emit("waited")


async def office(simulation: matrix.Simulation) -> None:
    """One clerk, who says odd things."""
    simulation.spawn(Clerk, "clerk")


def make_village(folder: Path) -> Path:
    """A game of werewolf, and three other ways in which it might have gone on."""
    matrix.run(werewolf, store=folder, seed=7)
    with matrix.open(folder) as store:
        store.fork("1-1", at=69, times=3, seed=1)
    return folder


def make_office(folder: Path) -> Path:
    """One clerk, who says odd things."""
    matrix.run(office, store=folder, seed=1)
    return folder


def make_million(folder: Path) -> Path:
    """A million events of a made-up society, straight into the log, and the index of them."""
    with Writer.open(folder / "log") as writer:
        for rows in society(agents=2_000, events=MILLION, seed=1):
            writer.append(rows)
    with matrix.open(folder) as store:
        store.reindex()
    return folder
