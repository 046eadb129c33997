"""Recorded simulations run again, from code that is not async: replayed, resumed, forked.

These are the blocking twins that ``matrix.Store`` and the command line use; each opens a Trio program of
its own, as ``matrix.run`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from matrix.errors import LogWriteError, MatrixError, ShardBusy, UsageError
from matrix.log.writer import Durability
from matrix.runtime.again.fork import fork
from matrix.runtime.again.replay import Replay, Replayer, open_stage
from matrix.runtime.again.resume import resume
from matrix.runtime.blocking import Interrupt
from matrix.runtime.outcome import Outcome
from matrix.runtime.runtime import Progress, Runtime, open_runtime

if TYPE_CHECKING:
    from matrix.log.history import Histories, History
    from matrix.runtime.calls.models import GivenModels
    from matrix.runtime.calls.policy import CallPolicy
    from matrix.runtime.program import Program

REPLAYED_AT_ONCE = 32  # simulations replayed on one stage, one after the other, before their results are told
FORKS_MAX = 10_000


@dataclass(frozen=True)
class Resumed:
    """A simulation that was cut off, and what became of it."""

    id: str
    last_seq: int  #: its last event before it was cut off
    outcome: Outcome | None = None  #: how it ended now; None when it could not go on
    refusal: str = field(default="")  #: why not


def replay_each(
    store: Path,
    histories: Iterable[tuple[str, History]],
    *,
    program: Program | None = None,
    until: int | None = None,
    debug: bool = False,
    pin: bool = False,
    are_many: bool = False,
) -> Iterator[Replay]:
    """Replay simulations one after the other; results come some at a time.

    Of many, one that cannot be run again here is told as "refused", and the others go on.
    """
    waiting = iter(histories)
    interrupt = Interrupt()
    while some := [pair for _, pair in zip(range(REPLAYED_AT_ONCE), waiting, strict=False)]:

        async def replay_one(replayer: Replayer, id: str, history: History) -> Replay:
            try:
                return await replayer.replay(id, history, until=until, debug=debug)
            except UsageError as error:
                if not are_many:
                    raise
                return Replay(id, "refused", 0, "", notes=(f"{id}: {error}",))

        async def replay_some(some: Sequence[tuple[str, History]] = some) -> list[Replay]:
            async with open_stage(store) as stage:
                interrupt.watch(stage)
                replayer = Replayer(stage, program=program, pin=pin)
                return [await replay_one(replayer, id, history) for id, history in some]

        yield from interrupt.run(replay_some)


def resume_shard(
    store: Path,
    shard: int,
    cut_off: Sequence[tuple[str, int]],
    histories: Histories,
    *,
    program: Program | None,
    durability: str | Durability,
    progress: Progress | None,
    calls: Mapping[str, CallPolicy] | None,
    models: GivenModels,
) -> list[Resumed]:
    """Let the simulations of one shard go on that were cut off, given as id and ordinal, all at once.

    None when another process writes the shard: they run there.
    """
    interrupt = Interrupt()

    async def main() -> list[Resumed]:
        try:
            async with open_runtime(
                store, shard=shard, durability=durability, progress=progress, calls=calls, models=models
            ) as runtime:
                interrupt.watch(runtime)
                return await _all_resumed(runtime, cut_off, histories, program)
        except ShardBusy:
            return []

    found: list[Resumed] = interrupt.run(main)
    return found


async def _all_resumed(
    runtime: Runtime, cut_off: Sequence[tuple[str, int]], histories: Histories, program: Program | None
) -> list[Resumed]:
    done: dict[int, Resumed] = {}

    async def go_on(id: str, ordinal: int) -> None:
        history = histories.history(runtime.shard, ordinal)
        try:
            simulation = await resume(runtime, history, program=program)
            done[ordinal] = Resumed(id, history.last_seq, await simulation.wait())
        except LogWriteError:
            raise
        except MatrixError as error:  # the others go on
            done[ordinal] = Resumed(id, history.last_seq, refusal=str(error))

    async with trio.open_nursery() as nursery:
        for id, ordinal in cut_off:
            nursery.start_soon(go_on, id, ordinal)
    return [done[ordinal] for _, ordinal in cut_off]


def check_times(times: Any) -> None:
    """Refuse a number of forks that is none, or too many."""
    if type(times) is not int or not 1 <= times <= FORKS_MAX:
        raise UsageError(f"times is a whole number from 1 to {FORKS_MAX:,}, not {times!r}")


def fork_times(
    store: Path,
    history: History,
    *,
    parent: str,
    at: int,
    seeds: Sequence[int | None],
    set: Mapping[str, Any] | None,
    program: Program | None,
    durability: str | Durability,
    progress: Progress | None,
    calls: Mapping[str, CallPolicy] | None,
    models: GivenModels,
) -> list[Outcome]:
    """Fork a simulation once for each seed (None: the parent's), all at once; their outcomes, in that order."""
    interrupt = Interrupt()

    async def main() -> list[Outcome]:
        async with open_runtime(store, durability=durability, progress=progress, calls=calls, models=models) as runtime:
            interrupt.watch(runtime)
            forks = [
                await fork(runtime, history, parent=parent, at=at, seed=seed, set=set, program=program)
                for seed in seeds
            ]
            return [await simulation.wait() for simulation in forks]

    found: list[Outcome] = interrupt.run(main)
    return found
