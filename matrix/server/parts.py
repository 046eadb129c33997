"""Who answers which requests, and what each says of itself in ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Protocol

import trio

from matrix.server.contract import Answerer, Outlet, Request
from matrix.server.metrics import Labels, Metric, counter, gauge
from matrix.server.watches.watches import Watches, WatchStatistics
from matrix.server.work.limits import WorkLimits
from matrix.server.work.pool import TYPES, Workers, WorkStatistics


class Runner(Answerer, Protocol):
    """An answerer with a life of its own."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; started when it is ready."""


class Part:
    """One who answers requests; those that come while it still starts wait until it has."""

    def __init__(self, runner: Runner, types: Collection[str], metrics: Callable[[], Iterable[Metric]]) -> None:
        """``metrics`` tells what it has to say in ``/metrics``."""
        self.types, self.metrics = types, metrics
        self._runner = runner
        self._is_ready = trio.Event()

    async def run(self) -> None:
        """Run until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._runner.run)
            self._is_ready.set()

    async def answer(self, request: Request, client: object, outlet: Outlet) -> None:
        """See ``Answerer``."""
        await self._is_ready.wait()
        await self._runner.answer(request, client, outlet)


def parts_of(store: Path, timeout: float) -> list[Part]:
    """Those who answer questions about a store; ``timeout`` is a query's, in seconds."""
    workers, watches = Workers(store, WorkLimits(seconds=timeout)), Watches(store)
    return [
        Part(workers, TYPES, lambda: _of_workers(workers.statistics())),
        Part(watches, {"watch"}, lambda: _of_watches(watches.statistics())),
    ]


def _of_workers(now: WorkStatistics) -> Iterable[Metric]:
    queries: dict[Labels, float] = {(("state", "running"),): now.running, (("state", "waiting"),): now.waiting}
    yield Metric("matrix_work", "Queries and the like, running or waiting for a place.", queries)
    yield gauge("matrix_work_processes", "Processes that answer them.", now.children)
    yield counter("matrix_work_killed_total", "Processes that were ended: by cancel, time or memory.", now.killed)
    yield gauge("matrix_work_held_bytes", "Batches in memory that no client has taken yet.", now.held_bytes)
    yield gauge("matrix_work_spilled_bytes", "Batches in files that no client has taken yet.", now.spilled_bytes)
    seconds: dict[Labels, float] = {(("type", kind),): spent for kind, spent in sorted(now.seconds.items())}
    yield Metric("matrix_work_seconds_total", "Time of processes at work.", seconds, True)


def _of_watches(now: WatchStatistics) -> Iterable[Metric]:
    yield gauge("matrix_watches", "Watches that are open.", now.watches)
    yield gauge("matrix_watch_groups", "Watches that differ from each other: equal ones share their looks.", now.groups)
    yield counter("matrix_watch_looks_total", "Looks at the log that were taken.", now.looks)
    yield counter("matrix_watch_rows_total", "Rows that were sent.", now.rows)
    yield counter("matrix_watch_lagged_total", "Watches that ended because their clients were too slow.", now.lagged)
    yield counter("matrix_watch_restarts_total", "Processes of watches that had to be started anew.", now.restarts)
    yield gauge("matrix_watch_waiting_bytes", "Rows that clients have not taken yet.", now.waiting_bytes)
