"""A process that runs generated programs, and says what came of each: one line of JSON per order and answer.

How it is started (hash seed, interpreter, address space) and what an order says (collector, Trio's coin,
engine, delivery) are what histories must not depend on. It keeps running: starting Python costs more
than ten programs.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

import matrix
from matrix.log.writer import Durability
from matrix.runtime.outcome import Outcome
from matrix.runtime.runtime import Runtime, living
from matrix.runtime.scheduling import scheduler
from matrix.testing.plans import Plan, plan_of
from matrix.testing.programs import generated
from tests.reliability.memory import MemoryLog
from tests.reliability.unsound import UNSOUND

AT_ONCE = 20
GRACE_NS = 3_600_000_000_000  # how long cleanup took is an input too, and a loaded machine may take its 5 s
HANGS_AFTER_S = 120


class Coin(random.Random):
    """What Trio decides the order of its tasks with, when it always falls on one side."""

    def __init__(self, side: float) -> None:
        super().__init__(0)
        self.side = side

    def random(self) -> float:
        return self.side

    def shuffle(self, x: list[Any]) -> None:  # type: ignore[override]  # what Trio shuffles is a list
        if self.side:
            x.reverse()


def set_up(coin: float | None, collector: str | None) -> None:
    """Force Trio's coin, and set the garbage collector, inside an open runtime, which sets it too."""
    scheduler.GRACE_NS = GRACE_NS
    trio._core._run._r = random.Random() if coin is None else Coin(coin)
    gc.enable()
    if collector == "off":
        gc.disable()
    elif collector is not None:
        gc.set_threshold(int(collector))


async def _limited(jobs: list[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def one(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with limiter:
            await job()

    async with trio.open_nursery() as nursery:
        for job in jobs:
            nursery.start_soon(one, job)


@asynccontextmanager
async def _in_memory(log: MemoryLog, order: dict[str, Any]) -> AsyncIterator[Runtime]:
    options = {"durability": Durability.OS, "progress": None, "index": False, "compact": False}
    if "engine" in order:
        options["engine"] = order["engine"]
    runtime = Runtime(Path(), log, **options)  # type: ignore[arg-type]  # mypy takes all values for one type
    async with living(runtime):
        yield runtime


async def run(runtime: Runtime, order: dict[str, Any]) -> dict[int, Outcome]:
    """Run the programs of an order, many side by side."""
    set_up(order.get("coin"), order.get("collector"))
    outcomes: dict[int, Outcome] = {}
    program, parameters = PROGRAMS[order.get("program", "generated")]
    delivery = order.get("delivery", "latency")
    chosen = {"delivery": "ordered"} if delivery == "ordered" else {}

    async def one(seed: int) -> None:
        given = parameters(seed, delivery == "latency")
        simulation = await runtime.start(program, seed=seed, id=f"program-{seed}", **chosen, **given)
        outcomes[seed] = await simulation.wait()

    seeds = range(order["first"], order["last"] + 1)
    await _limited([lambda seed=seed: one(seed) for seed in seeds])  # type: ignore[misc]  # a default binds it now
    return outcomes


def _generated(seed: int, is_ordered: bool) -> dict[str, Any]:
    plan = plan_of(seed)
    return {**plan["options"], "plan": plan, "is_ordered": is_ordered}


def _unsound(seed: int, is_ordered: bool) -> dict[str, Any]:
    return {"guard": "off"}


PROGRAMS: dict[str, tuple[Any, Callable[[int, bool], dict[str, Any]]]] = {
    "generated": (generated, _generated),
    **{program.__name__: (program, _unsound) for program in UNSOUND},
}


async def remembered(order: dict[str, Any]) -> dict[int, list[Any]]:
    """Run programs into memory: the hash of each history, and how it ended; with ``is_kept`` the history too."""
    log = MemoryLog(is_kept=order.get("is_kept", False))
    async with _in_memory(log, order) as runtime:
        outcomes = await run(runtime, order)
    told = {}
    for seed, outcome in sorted(outcomes.items()):
        told[seed] = [log.digest(outcome.ordinal), outcome.events, outcome.turns, outcome.status, outcome.reason]
        if "is_kept" in order:
            told[seed].append(log.lines(outcome.ordinal))
    return told


async def _into(store: Path, order: dict[str, Any]) -> dict[int, Outcome]:
    options = {"engine": order["engine"]} if "engine" in order else {}
    async with matrix.open_runtime(store, durability="os", index=False, **options) as runtime:
        return await run(runtime, order)


async def stored(order: dict[str, Any], store: Path) -> dict[int, list[Any]]:
    """Run programs into a store: the log's own digest of each."""
    outcomes = await _into(store, order)
    return {seed: [outcome.digest, outcome.events, outcome.turns] for seed, outcome in sorted(outcomes.items())}


async def replayed(order: dict[str, Any], store: Path) -> dict[int, list[Any]]:
    """Run programs into a store and replay each, under the other side of the coin: what the replays said."""
    seeds = {outcome.id: seed for seed, outcome in (await _into(store, order)).items()}
    coin = order.get("coin")
    set_up(None if coin is None else 1.0 - coin, order.get("collector"))
    return await trio.to_thread.run_sync(_replay_all, store, seeds)


def _replay_all(store: Path, seeds: dict[str, int]) -> dict[int, list[Any]]:
    with matrix.open(store) as opened:
        return {
            seeds[replay.id]: [replay.status, replay.events, str(replay.divergence or "")]
            for replay in opened.replay_all()
        }


def history_of(plan: Plan, **order: Any) -> list[str]:
    """The events of one plan, as text."""

    async def alone() -> list[str]:
        log = MemoryLog(is_kept=True)
        async with _in_memory(log, order) as runtime:
            set_up(order.get("coin"), order.get("collector"))
            simulation = await runtime.start(generated, plan=plan, **plan["options"])
            await simulation.wait()
        return log.lines(simulation.ordinal)

    try:
        return trio.run(alone)
    finally:
        trio._core._run._r = random.Random()


def answer(order: dict[str, Any]) -> dict[int, list[Any]]:
    """Carry out one order: ``{"what": "remembered", "first": 0, "last": 99, "coin": 1.0, ...}``."""
    what = order.get("what", "remembered")
    try:
        if what == "remembered":
            return trio.run(remembered, order)
        with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
            return trio.run({"stored": stored, "replayed": replayed}[what], order, Path(folder))
    finally:
        gc.enable()
        trio._core._run._r = random.Random()


def main() -> None:
    """Answer orders until there are no more."""
    for line in sys.stdin:
        faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True)  # a hang shows where
        print(json.dumps(answer(json.loads(line))), flush=True)
        faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main()
