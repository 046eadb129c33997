"""The runtime: many simulations in one Trio program, and the one shard of the log they share.

It owns the writer, the recorder, the leased tasks and the nursery in which simulations, and their
calls to the outside, run. A keeper commits what waits when nobody else does, syncs at the level
that was asked for, and lets the index follow; it never makes a turn wait.
"""

from __future__ import annotations

import gc
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import trio

from matrix.errors import LogWriteError, ProgramError
from matrix.limits import (
    HUNG_AFTER_S,
    PROGRESS_INTERVAL_US,
    SYNC_INTERVAL_US,
    TURNS_WITHOUT_TIME_MAX,
)
from matrix.log.place import check_place
from matrix.log.writer import Durability, Writer
from matrix.runtime.calls.answers import Answers
from matrix.runtime.calls.models import GivenModels, Models
from matrix.runtime.calls.outside import Outside
from matrix.runtime.calls.policy import CallPolicy, Policies
from matrix.runtime.caretaker import Caretaker
from matrix.runtime.guards.guard import Guard
from matrix.runtime.guards.standins import cover, guarding
from matrix.runtime.guards.watchdog import check_hung_after, watching
from matrix.runtime.options import Delivery, Options, Pace, Time
from matrix.runtime.outcome import Outcome, SimulationFailed
from matrix.runtime.program import Program, check_names, check_program, check_seed
from matrix.runtime.recorder import LogWriter, Recorder
from matrix.runtime.scheduling.handoff import Engine, check_engine, engine_for
from matrix.runtime.scheduling.lease import LeasePool
from matrix.runtime.scheduling.restart import Policy
from matrix.runtime.simulation import Simulation

GC_ALLOCATIONS = 50_000  # container objects made between two collections while a runtime is open


@dataclass(frozen=True, slots=True)
class Statistics:
    """Where a runtime stands: what a progress hook is given."""

    simulations_started: int
    simulations_done: int
    events: int
    agents_alive: int


Progress = Callable[[Statistics], None]


class Runtime:
    """Hosts simulations; open one with ``open_runtime``.

    async with matrix.open_runtime("runs") as runtime:
        simulation = await runtime.start(negotiation, seed=7, buyers=100)
        outcome = await simulation.wait()
    """

    def __init__(
        self,
        store: Path,
        writer: LogWriter,
        *,
        durability: Durability,
        progress: Progress | None,
        index: bool,
        compact: bool,
        calls: Mapping[str, CallPolicy] | None = None,
        models: GivenModels = None,
        engine: Engine = "auto",
    ) -> None:
        self.engine = engine_for(engine)
        self.store, self.writer, self.durability = store, writer, durability
        self.shard = writer.shard
        self.recorder = Recorder(writer)
        self._recorders = [self.recorder]  # and one for each simulation that goes on from a history
        self.policies = Policies(calls)
        self.models = Models(models)
        self.answers = Answers(self)
        self.outside: Outside
        self.failure: LogWriteError | None = None
        self.hung_after: float | None = HUNG_AFTER_S
        self.is_interrupted = False
        self.leases: LeasePool
        self._nursery: trio.Nursery
        self._next_ordinal = writer.next_simulation
        self._progress = progress
        self._caretaker = Caretaker(store, writer, compact=compact) if index else None
        self._running: dict[int, Simulation] = {}
        self._started = self._done = self._events_done = 0
        self._syncing: trio.Event | None = None
        self._waiting = trio.Event()  # events wait for a commit
        self._unsynced = trio.Event()  # something was committed that no sync has reached
        self._all_done = trio.Event()
        self._closing = trio.Event()

    # -- running -------------------------------------------------------------------------------

    async def start(
        self,
        program: Program,
        /,
        *,
        seed: int = 0,
        id: str = "",
        until: float | timedelta | None = None,
        turns_max: int | None = None,
        events_max: int | None = None,
        pace: Pace = "pace",
        delivery: Delivery = "arrival",
        guard: Guard = "raise",
        policy: Policy = "propagate",
        turns_without_time_max: int = TURNS_WITHOUT_TIME_MAX,
        time: Time = "virtual",
        speed: float = 1.0,
        shuffle: bool = False,
        **parameters: Any,
    ) -> Simulation:
        """Start a simulation of ``program`` and return while it runs.

        ``until`` (virtual seconds), ``turns_max`` and ``events_max`` end it normally when reached. ``pace`` says how
        virtual time goes on while calls are in flight: with the wall clock ("pace"), not at all ("freeze"), or to the
        next timer ("free"). ``delivery`` says when answers to calls are handed over: as they come ("arrival"), or in
        the order of the calls, whatever each takes ("ordered"). ``guard`` says what becomes of a turn that uses clock,
        chance or the outside past its agent: it "raise"s ``UnrecordedInput``, it is "warn"ed of once a place, or
        nothing ("off").

        ``policy`` is that of agents that have none of their own: "propagate", "isolate" or ``matrix.Restart(...)``.
        More than ``turns_without_time_max`` turns at one instant are a livelock. With ``time="real"`` virtual time
        follows the wall clock throughout, ``speed`` times as fast. ``shuffle`` lets chance (from the seed) say who
        goes first among agents that are ready at one time and priority: to find out whether order matters.
        """
        if self.failure is not None:
            raise self.failure
        check_seed(seed)
        options = Options(
            until=until,
            turns_max=turns_max,
            events_max=events_max,
            pace=pace,
            delivery=delivery,
            repeatable=self.policies.repeatable or None,
            guard=guard,
            policy=policy,
            turns_without_time_max=turns_without_time_max,
            time=time,
            speed=speed,
            shuffle=shuffle,
        )
        check_names(program, options.recorded().keys() - {"repeatable"})
        ordinal = self.take_ordinal()
        simulation = Simulation(self, program, parameters, ordinal=ordinal, seed=seed, id=id, options=options)
        self.host(simulation)
        return simulation

    async def fork(
        self,
        parent: Simulation | Outcome,
        /,
        *,
        at: int,
        seed: int | None = None,
        set: Mapping[str, Any] | None = None,
        program: Program | None = None,
    ) -> Simulation:
        """Start a fork of a simulation of this store: its history up to the event ``at``, then live, another way.

        ``seed`` and ``set`` are what is different (see ``Store.fork``). Raises ``ReplayRefused`` when the program does
        not lead to the same history up to there.
        """
        from matrix.log.history import History
        from matrix.log.reader import LogReader
        from matrix.runtime.again.fork import fork

        await self.commit()
        shard = self.shard if isinstance(parent, Simulation) else parent.shard
        history = History(LogReader(self.store / "log"), shard, parent.ordinal)
        return await fork(self, history, parent=parent.id, at=at, seed=seed, set=set, program=program)

    def host(self, simulation: Simulation) -> None:
        """Let a simulation run; how those are begun that have a history already (see replay.py, branch.py)."""
        cover(simulation.program, simulation.options.guard)
        self._running[simulation.ordinal] = simulation
        self._started += 1
        self._nursery.start_soon(simulation.run, name=f"matrix simulation {simulation.id}")

    def take_ordinal(self) -> int:
        """The number of a new simulation."""
        self._next_ordinal += 1
        return self._next_ordinal - 1

    def write_for(self, recorder: Recorder) -> None:
        """From here on a simulation with a recorder of its own, which compared until now, writes to the log."""
        recorder.is_checking = False
        recorder.write_to(self.writer)
        self._recorders.append(recorder)
        self.events_wait()

    async def run(self, program: Program, /, **options: Any) -> Outcome:
        """Run one simulation to its end; the options are those of ``start``. Raises ``SimulationFailed``."""
        simulation = await self.start(program, **options)
        try:
            outcome = await simulation.wait()
        except trio.Cancelled:
            simulation.stop("cancelled")
            raise
        if outcome.status == "failed":
            raise SimulationFailed(outcome)
        return outcome

    def run_many(
        self, program: Program, /, *, seeds: Iterable[int], at_once: int = 100, **options: Any
    ) -> AsyncIterator[Outcome]:
        """Run one simulation per seed, ``at_once`` of them side by side; outcomes come as they end, failed ones too.

        async for outcome in runtime.run_many(negotiation, seeds=range(10_000), at_once=1_000): ...
        """
        check_program(program)
        if at_once < 1:
            raise ProgramError(f"at_once is {at_once}; it is at least 1")
        return _Many(self, program, seeds, at_once, options)

    def statistics(self) -> Statistics:
        """Where the runtime stands."""
        running = self._running.values()
        events = self._events_done + sum(simulation.events for simulation in running)
        return Statistics(self._started, self._done, events, sum(simulation.alive for simulation in running))

    def interrupt(self) -> None:
        """Stop all simulations in order, and start no more of a series: what the first Ctrl-C does."""
        self.is_interrupted = True
        for simulation in list(self._running.values()):
            simulation.stop("interrupted")

    # -- the log -------------------------------------------------------------------------------

    async def commit(self) -> None:
        """Wait until all that was recorded so far, by every simulation of this runtime, is durable."""
        await self._synced(self._commit())

    def _commit(self) -> int:
        """Hand to the log what waits in every recorder; returns the position of the newest event."""
        for recorder in self._recorders:
            recorder.commit()
        return max(recorder.position for recorder in self._recorders)

    async def before_outside(self) -> None:
        """All requests are in the log, and durable at level sync, before the outside is touched."""
        position = self._commit()
        if self.durability is Durability.SYNC:
            await self._synced(position)

    async def _synced(self, position: int) -> None:
        """Group commit: those who wait while a sync runs share the next one."""
        while self.writer.durable_position < position:
            if self._syncing is not None:
                await self._syncing.wait()
                continue
            self._syncing = trio.Event()
            try:
                await trio.to_thread.run_sync(self.writer.sync)
            finally:
                self._syncing.set()
                self._syncing = None

    def log_failed(self, error: LogWriteError) -> None:
        """The log takes nothing more: every simulation stops, and whoever waits for one is told."""
        if self.failure is None:
            self.failure = self.recorder.error = error
            for simulation in list(self._running.values()):
                simulation.stop("the log could not be written")

    def events_wait(self) -> None:
        """Some simulation left events behind that no commit has taken yet."""
        self._waiting.set()

    # -- for simulations -----------------------------------------------------------------------

    def ended(self, simulation: Simulation) -> None:
        """A simulation is over."""
        self._running.pop(simulation.ordinal, None)
        recorder = simulation.scheduler.recorder
        if recorder is not self.recorder and recorder in self._recorders:
            self._recorders.remove(recorder)
        self._done += 1
        self._events_done += simulation.events
        if not self._running:
            self._all_done.set()

    # -- its own life --------------------------------------------------------------------------

    async def live(self, nursery: trio.Nursery) -> None:
        """Set up what simulations need."""
        self._nursery = nursery
        self.outside = Outside(self, nursery)
        await nursery.start(self._home_of_leases)
        await self.leases.refill()
        nursery.start_soon(self._keep)
        if self.durability is Durability.INTERVAL:
            nursery.start_soon(self._keep_synced)
        if self._progress is not None:
            nursery.start_soon(self._tell)
        if self._caretaker is not None:
            await self._caretaker.look()
            nursery.start_soon(self._caretaker.keep)

    async def _home_of_leases(self, task_status: trio.TaskStatus[None]) -> None:
        # Shielded: leased tasks are cancelled by the scheduler, in its order, never by what is around the runtime.
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as home:
                self.leases = LeasePool(home, self.engine.lease_kind)
                task_status.started()
                await self._closing.wait()

    async def _keep(self) -> None:
        """Commit what waits after about 10 ms, whatever the disk does meanwhile; at level sync wait for it, too."""
        try:
            while True:
                await self._waiting.wait()
                self._waiting = trio.Event()
                await trio.sleep(max(recorder.rest_ns for recorder in self._recorders) / 1e9)
                position = self._commit()
                if self.durability is Durability.SYNC:
                    await self._synced(position)
                self._unsynced.set()
        except LogWriteError as error:
            self.log_failed(error)

    async def _keep_synced(self) -> None:
        """At level interval: sync every 100 ms, as long as there is something new."""
        try:
            while True:
                await self._unsynced.wait()
                self._unsynced = trio.Event()
                begun_at = trio.current_time()
                await self._synced(self._commit())
                await trio.sleep_until(begun_at + SYNC_INTERVAL_US / 1e6)
        except LogWriteError as error:
            self.log_failed(error)

    async def _tell(self) -> None:
        assert self._progress is not None, "it was asked for"
        while True:
            await trio.sleep(PROGRESS_INTERVAL_US / 1e6)
            self._progress(self.statistics())

    async def wait_all(self) -> None:
        """Wait until no simulation runs."""
        while self._running:
            self._all_done = trio.Event()
            await self._all_done.wait()

    async def close(self) -> None:
        """Stop what runs, commit, sync, and give the shard back."""
        for simulation in list(self._running.values()):
            simulation.stop("the runtime was closed")
        await self.wait_all()
        self.leases.close()
        self._closing.set()
        try:
            self._commit()
            await trio.to_thread.run_sync(self.writer.close)
        except LogWriteError as error:
            if self.failure is None:
                self.failure = error
        if self._progress is not None:
            self._progress(self.statistics())
        if self._caretaker is not None:
            await self._caretaker.close()


class _Many:
    """Outcomes of a series of simulations, as they end."""

    def __init__(
        self, runtime: Runtime, program: Program, seeds: Iterable[int], at_once: int, options: dict[str, Any]
    ) -> None:
        self._runtime, self._program, self._options = runtime, program, options
        self._seeds, self._at_once = iter(seeds), at_once
        self._running = 0
        self._ended, self._outcomes = trio.open_memory_channel[Outcome | LogWriteError | None](math.inf)

    def __aiter__(self) -> _Many:
        return self

    async def __anext__(self) -> Outcome:
        while self._running < self._at_once and not self._runtime.is_interrupted:
            seed = next(self._seeds, None)
            if seed is None:
                break
            simulation = await self._runtime.start(self._program, seed=seed, **self._options)
            simulation.when_done(self._ended.send_nowait)
            self._running += 1
        if not self._running:
            raise StopAsyncIteration
        outcome = await self._outcomes.receive()
        self._running -= 1
        if not isinstance(outcome, Outcome):
            raise outcome or LogWriteError("a simulation was not recorded to its end")
        return outcome


@asynccontextmanager
async def open_runtime(
    store: str | Path = "runs",
    *,
    durability: str | Durability = "interval",
    progress: Progress | None = None,
    index: bool = True,
    compact: bool = True,
    calls: Mapping[str, CallPolicy] | None = None,
    models: GivenModels = None,
    shard: int | None = None,
    hung_after: float | None = HUNG_AFTER_S,
    engine: Engine = "auto",
) -> AsyncIterator[Runtime]:
    """A runtime that writes into the store ``store``, which is made when it is not there.

    With ``index`` the store's index follows in the background, and with ``compact`` as well segments that
    are full are rewritten smaller there; without, the next query or ``matrix compact`` does it. ``calls`` maps
    names of calls (or "*" for all others) to policies: limits, timeouts, attempts. ``models`` says where models are
    asked: a ``matrix.models.Endpoint``, or one by the name of each model ("*" for all others); without it the
    variables OPENAI_BASE_URL and OPENAI_API_KEY say. Leaving the block normally
    waits for the simulations that still run; an exception stops them. ``shard`` is the part of the
    log to write, which resuming needs; without, any that no process writes. A turn that runs for longer than
    ``hung_after`` seconds of wall time is told to the logger "matrix", with its stack. ``engine`` is how coroutines are
    resumed: "direct", which uses one private name of Trio, "handoff", which uses none and is slower, in the same
    order; "auto" is the first where Trio has that name (the variable MATRIX_ENGINE overrides it).
    """
    level = durability_of(durability)
    check_hung_after(hung_after)
    folder = Path(store)
    check_place(folder)
    writer = await trio.to_thread.run_sync(lambda: Writer.open(folder / "log", shard=shard))
    runtime = Runtime(
        folder,
        writer,
        durability=level,
        progress=progress,
        index=index,
        compact=compact,
        calls=calls,
        models=models,
        engine=check_engine(engine),
    )
    runtime.hung_after = hung_after
    async with living(runtime):
        yield runtime


@asynccontextmanager
async def living(runtime: Runtime) -> AsyncIterator[None]:
    """The life of a runtime, from its nursery to its log being closed."""
    error: BaseException | None = None
    # Messages and payloads live until they are handled and committed, and are then freed without a collector:
    # looking at them every 700 allocations, as Python does by default, doubles the cost of a message.
    collect_after = gc.get_threshold()
    gc.set_threshold(GC_ALLOCATIONS, 20, 100)
    try:
        with guarding(), watching(runtime.hung_after):
            async with trio.open_nursery() as nursery:
                try:
                    await runtime.live(nursery)
                    yield
                    await runtime.wait_all()
                except trio.Cancelled:
                    raise
                except BaseException as caught:
                    error = caught  # raised below as it is, not as a group around it
                finally:
                    with trio.CancelScope(shield=True):
                        await runtime.close()
                nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await runtime.models.close()  # when no call is under way any more
    finally:
        runtime.writer.close()
        gc.unfreeze()
        gc.set_threshold(*collect_after)
    if error is not None:
        raise error
    if runtime.failure is not None:
        raise runtime.failure


def durability_of(level: str | Durability) -> Durability:
    """The level that a text names."""
    try:
        return Durability(level)
    except ValueError:
        raise ProgramError(f"durability is one of {', '.join(d.value for d in Durability)}, not {level!r}") from None
