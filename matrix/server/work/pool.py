"""The answers to all requests but watches, given by working processes.

    request -> Delivery -> Job -> Lane (whose turn?) -> Crew -> Worker ==pipes== Child -> tasks, on a Store
                  ^                                       |
                  +---- messages: frames for the wire ----+

What always holds: the server only passes bytes on; a request ends with its last reply, within its time; behind
``run`` no process, file or folder is left.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from matrix.server.contract import Outlet, Request, RequestError
from matrix.server.work.crew import Crew
from matrix.server.work.delivery import Delivery
from matrix.server.work.held import Held
from matrix.server.work.lane import Lane
from matrix.server.work.limits import WorkLimits
from matrix.server.work.spill import Spills

SMALL = frozenset({"check", "complete", "info"})
TYPES = SMALL | {"query", "explain", "export", "diff", "replay"}


@dataclass(frozen=True, slots=True)
class WorkStatistics:
    """What is under way, and what was done since the start.

    ``answered`` counts by type and outcome: ``"done"``, ``"cancelled"``, or the code of an error; ``seconds`` are
    those of processes at work, by type.
    """

    running: int
    waiting: int
    children: int
    killed: int
    held_bytes: int
    spilled_bytes: int
    answered: Mapping[tuple[str, str], int]
    seconds: Mapping[str, float]


class Workers:
    """A pool of processes that answer requests; an ``Answerer``.

    >>> workers = Workers(Path("runs"))                                        # doctest: +SKIP
    >>> await nursery.start(workers.run)                                       # doctest: +SKIP
    >>> await workers.answer(Request("query", 1, "agents"), client, outlet)    # doctest: +SKIP
    """

    def __init__(self, store: Path, limits: WorkLimits | None = None) -> None:
        self._limits = limits = limits or WorkLimits()
        lane = Lane(places=limits.places, kept=limits.places_kept, per_client=limits.per_client, waiting=limits.waiting)
        self._queries = Crew(store, lane, limits, seconds=limits.seconds)
        lane = Lane(places=limits.small_places, kept=0, per_client=limits.per_client, waiting=limits.waiting)
        self._small = Crew(store, lane, limits, seconds=limits.small_seconds)
        self._held = Held(most=limits.held_bytes, most_per_client=limits.held_per_client_bytes)
        self._spills = Spills(most=limits.spill_bytes, most_per_client=limits.spill_per_client_bytes)
        self._is_open = False
        self._answered: Counter[tuple[str, str]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the processes until cancelled; they are dead and reaped then, and their files deleted."""
        self._spills.open()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._small.run)
                await nursery.start(self._queries.run)
                self._is_open = True
                task_status.started()
        finally:
            self._is_open = False
            self._spills.close()

    async def answer(self, request: Request, client: object, outlet: Outlet) -> None:
        """Send all replies to a request; see ``Answerer``."""
        if not self._is_open:
            raise RequestError("closing", "the server ends")
        is_small = request.type in SMALL
        crew = self._small if is_small else self._queries
        if is_small:
            self._queries.has_company(client)
        spill = self._spills.spill(client)
        delivery = Delivery(request, client, outlet, crew=crew, spill=spill, held=self._held, limits=self._limits)
        outcome = "cancelled"
        try:
            await delivery.run()
            outcome = "done"
        except RequestError as error:
            outcome = error.fields["code"]
            raise
        finally:
            spill.close()
            self._answered[request.type, outcome] += 1
            self._seconds[request.type] += delivery.seconds

    def statistics(self) -> WorkStatistics:
        """How it stands."""
        crews = (self._queries, self._small)
        return WorkStatistics(
            running=sum(len(crew.lane.running) for crew in crews),
            waiting=sum(crew.lane.waiting for crew in crews),
            children=sum(crew.count for crew in crews),
            killed=sum(crew.killed for crew in crews),
            held_bytes=self._held.size_bytes,
            spilled_bytes=self._spills.size_bytes,
            answered=dict(self._answered),
            seconds=dict(self._seconds),
        )
