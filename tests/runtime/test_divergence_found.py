"""Programs changed after their run: each change is found at its first event, with its class, agent and line."""

from __future__ import annotations

import inspect
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import matrix
from matrix.runtime.again.divergence import Divergence

CHANGE = ""  # what is different from the run
ASKED = 0  # calls that really reached the outside


async def quote(prompt: str) -> str:
    global ASKED
    ASKED += 1
    return f"{len(prompt) % 7} coins"


class Seller(matrix.Agent):
    async def run(self) -> None:
        for n in range(4):
            if CHANGE == "extra call" and n == 2:
                await self.call(quote, "one more")  # line: extra call
            word = "fair" if CHANGE == "prompt" and n == 1 else "good"
            if CHANGE == "rng" and n == 1:
                self.random.random()
            if not (CHANGE == "missing call" and n == 3):
                await self.call(quote, f"Offer a {word} price, round {n}. " * 9)  # line: prompt
            self.emit("drew", x=self.random.random())  # line: rng
            pair = ["first", "second"]
            if CHANGE == "order" and n == 1:
                pair.reverse()
            for kind in pair:
                self.emit(kind, n=n)  # line: order
            if not (CHANGE == "missing" and n == 2):
                self.emit("between", n=n)
            self.emit("behind", n=n)  # line: missing
            if CHANGE == "extra" and n == 1:
                self.emit("new", n=n)  # line: extra
            self.emit("seen", at=_clock(), id=_number())  # line: clock
            self.send("buyer", "offer", round=n, tags=["b", "a"] if CHANGE == "set" else ["a", "b"])  # line: set
            await self.sleep(1)


class Buyer(matrix.Agent):
    def on_message(self, message: matrix.Message) -> None:
        self.emit("thought", n=message.data["round"])


def _clock() -> float:
    return time.time() if CHANGE == "clock" else 1_700_000_000.25


def _number() -> float:
    return random.random() if CHANGE == "random" else 0.8444218515250481


async def market(simulation: matrix.Simulation) -> None:
    simulation.spawn(Seller, "seller")
    simulation.spawn(Buyer, "buyer")


LINES = {
    line.partition("# line: ")[2].strip(): number
    for number, line in enumerate(inspect.getsource(inspect.getmodule(market) or market).splitlines(), 1)
    if "# line: " in line
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market") / "runs"
    matrix.run(market, store=folder, seed=3, guard="off")
    return folder


@pytest.fixture(autouse=True)
def as_recorded() -> Iterator[None]:
    yield
    globals()["CHANGE"] = ""


def found(store: Path, change: str) -> Divergence:
    """What the replay of a program changed in this way finds; nothing from outside is asked."""
    globals().update(CHANGE=change, ASKED=0)
    with matrix.open(store) as opened:
        replay = opened.replay("1-1", program=market)
    assert ASKED == 0
    assert replay.status == "diverged" and replay.divergence is not None
    return replay.divergence


def test_unchanged_it_is_identical(store: Path) -> None:
    with matrix.open(store) as opened:
        replay = opened.replay("1-1", program=market)
        assert (replay.status, replay.digest) == ("identical", opened.digest("1-1"))


@pytest.mark.parametrize(
    ("change", "kind", "line", "cause"),
    [
        ("prompt", "request", "prompt", 'the prompt or arguments of "quote" are put together differently'),
        ("extra call", "extra", "extra call", ""),
        ("missing call", "missing", "rng", ""),
        ("rng", "event", "rng", "self.random is asked more often before this"),
        ("order", "order", "order", "a set"),
        ("missing", "missing", "missing", ""),
        ("extra", "extra", "extra", ""),
        ("clock", "event", "clock", "data.at looks like a wall clock instant"),
        ("random", "event", "clock", "data.id looks random"),
        ("set", "event", "set", "data.tags has the same elements in another order: a set?"),
    ],
)
def test_a_change_is_found_where_it_first_shows(store: Path, change: str, kind: str, line: str, cause: str) -> None:
    divergence = found(store, change)
    assert (divergence.kind, divergence.agent) == (kind, "seller")
    assert divergence.place == f"{Path(__file__).name}:{LINES[line]} in run"
    assert cause in (divergence.causes[0] if divergence.causes else "")
    assert len(str(divergence).splitlines()) <= 25
    with matrix.open(store) as opened:
        recorded = next(event for event in opened.events("1-1") if event.seq == divergence.seq)
    assert divergence.recorded is not None
    assert (recorded.kind, recorded.data) == (divergence.recorded.kind, divergence.recorded.data)
