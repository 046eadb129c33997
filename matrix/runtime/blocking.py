"""``matrix.run``: the blocking twin of a runtime, for scripts and notebooks."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar, overload

import trio

from matrix.errors import LogWriteError, ProgramError
from matrix.log.writer import Durability
from matrix.runtime.calls.models import GivenModels
from matrix.runtime.calls.policy import CallPolicy
from matrix.runtime.outcome import Outcome, SimulationFailed
from matrix.runtime.program import Program, check_program, check_seed, stop_if_loading
from matrix.runtime.runtime import Progress, Runtime, durability_of, open_runtime

T = TypeVar("T")


@overload
def run(
    program: Program,
    /,
    *,
    store: str | Path = ...,
    seed: int = ...,
    simulations: None = ...,
    at_once: int = ...,
    durability: str | Durability = ...,
    progress: Progress | None = ...,
    index: bool = ...,
    compact: bool = ...,
    calls: Mapping[str, CallPolicy] | None = ...,
    models: GivenModels = ...,
    **parameters: Any,
) -> Outcome: ...
@overload
def run(
    program: Program,
    /,
    *,
    store: str | Path = ...,
    seed: int = ...,
    simulations: int,
    at_once: int = ...,
    durability: str | Durability = ...,
    progress: Progress | None = ...,
    index: bool = ...,
    compact: bool = ...,
    calls: Mapping[str, CallPolicy] | None = ...,
    models: GivenModels = ...,
    **parameters: Any,
) -> list[Outcome]: ...
def run(
    program: Program,
    /,
    *,
    store: str | Path = "runs",
    seed: int = 0,
    simulations: int | None = None,
    at_once: int = 100,
    durability: str | Durability = "interval",
    progress: Progress | None = None,
    index: bool = True,
    compact: bool = True,
    calls: Mapping[str, CallPolicy] | None = None,
    models: GivenModels = None,
    **parameters: Any,
) -> Outcome | list[Outcome]:
    """Run a simulation of ``program`` to its end, and return its outcome.

    >>> matrix.run(negotiation, store="runs", seed=7, buyers=100).status     # doctest: +SKIP
    'finished'

    ``until``, ``turns_max``, ``events_max``, ``pace``, ``delivery`` and the like are the runtime's (see
    ``Runtime.start``), all other parameters the program's. A simulation that fails raises ``SimulationFailed``. With
    ``simulations=n`` there are n of them, with the seeds ``seed`` to ``seed + n - 1``; a list of their outcomes is
    returned in that order, failed ones among them.
    ``index``, ``compact``, ``calls`` and ``models`` are those of ``open_runtime``.

    The first Ctrl-C stops them in order and raises ``KeyboardInterrupt``; the second stops at once.
    """
    stop_if_loading()
    check_program(program)
    check_seed(seed)
    durability_of(durability)
    if simulations is not None and simulations < 1:
        raise ProgramError(f"simulations is {simulations}; it is at least 1")
    interrupt = Interrupt()

    async def main() -> list[Outcome]:
        outcomes = []
        async with open_runtime(
            store, durability=durability, progress=progress, index=index, compact=compact, calls=calls, models=models
        ) as runtime:
            interrupt.watch(runtime)
            seeds = range(seed, seed + (simulations or 1))
            async for outcome in runtime.run_many(program, seeds=seeds, at_once=at_once, **parameters):
                outcomes.append(outcome)
        return outcomes

    outcomes: list[Outcome] = interrupt.run(main)
    if simulations is not None:
        return sorted(outcomes, key=lambda outcome: outcome.seed)
    if outcomes[0].status == "failed":
        raise SimulationFailed(outcomes[0])
    return outcomes[0]


class Interrupt:
    """Ctrl-C while simulations run: the first stops them in order, the second raises where the program is."""

    def __init__(self) -> None:
        self.count = 0
        self._runtime: Runtime | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._before: Any = None

    def watch(self, runtime: Runtime) -> None:
        """From here on there is something to stop in order."""
        self._runtime, self._token = runtime, trio.lowlevel.current_trio_token()

    def run(self, main: Callable[[], Any]) -> Any:
        """Run an async function to its end; ``KeyboardInterrupt`` when somebody pressed Ctrl-C meanwhile."""
        with self:
            try:
                result = run_trio(main)
            except BaseException as error:
                if self.count > 1:  # it was raised somewhere inside of Trio, which calls that an error of its own
                    raise KeyboardInterrupt from error
                raise
        if self.count:
            raise KeyboardInterrupt
        return result

    def __enter__(self) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._handle)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1 or self._runtime is None or self._token is None:
            raise KeyboardInterrupt
        try:
            self._token.run_sync_soon(self._runtime.interrupt)
        except trio.RunFinishedError:
            raise KeyboardInterrupt from None


def run_trio(main: Callable[[], Any]) -> Any:
    """Run in this thread, or in one of its own where an event loop runs already (a notebook)."""
    if not _loop_runs_here():
        return _unwrapped(main)
    result: list[Any] = []

    def work() -> None:
        try:
            result.extend((True, _unwrapped(main)))
        except BaseException as error:
            result.extend((False, error))

    thread = threading.Thread(target=work, name="matrix.run")
    thread.start()
    thread.join()
    if result[0]:
        return result[1]
    raise result[1]


def _loop_runs_here() -> bool:
    if trio.lowlevel.in_trio_run():
        return True
    asyncio: Any = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def _unwrapped(main: Callable[[], Any]) -> Any:
    """What a group has to say that matters to the caller of a blocking function."""
    try:
        return trio.run(main)
    except BaseExceptionGroup as group:
        for kind in (KeyboardInterrupt, SystemExit, LogWriteError):
            found = group.subgroup(kind)
            if found is not None:
                raise kind(*_first(found).args) from group
        raise


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
