"""Working processes and the jobs that they are at: started, watched over, killed, replaced.

What always holds: a job ends with its last message, whatever becomes of the process that is at work on it. A process
that is idle is well: one that was killed, garbled its messages, ran a user's program or was lowered is replaced.
"""

from __future__ import annotations

import logging
import math
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from matrix.server.pipes import Garbled
from matrix.server.work.job import Job
from matrix.server.work.lane import Lane
from matrix.server.work.limits import WorkLimits
from matrix.server.work.refusal import NOTED, out_of_memory
from matrix.server.work.wire import Kind
from matrix.server.work.worker import Worker, working_process

LOOK_INTERVAL_S = 0.1  # at what is at work: how long, with how much memory
STARTS_MAX = 3  # that fail in a row, until those who wait are told
RESTART_AFTER_S = 0.5

_diagnostics = logging.getLogger("matrix.server")


class Crew:
    """The processes of one lane."""

    def __init__(self, store: Path, lane: Lane, limits: WorkLimits, *, seconds: float) -> None:
        self._store, self.lane, self._limits, self._seconds = store, lane, limits, seconds
        self._idle: list[Worker] = []
        self._at_work: dict[Job, Worker] = {}
        self._nursery: trio.Nursery | None = None
        self._busy = trio.Event()
        self._first = trio.Event()
        self._is_starting = False
        self._failed_starts, self._rests_until = 0, -math.inf
        self.count = 0  # processes that live, or are being started
        self.killed = 0  # in the middle of a job

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep processes, until cancelled; one is ready when this has started."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._watch_over)
                self._start(nursery)
                await self._first.wait()
                task_status.started()
        finally:
            self._nursery = None
            for job in self.lane.all():
                self.lane.remove(job)
                job.fail("closing", "the server ends")

    # -- jobs -------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """A job waits for a process from now on."""
        self.lane.add(job)
        self.has_company(job.client)
        self._look()

    def drop(self, job: Job) -> None:
        """Nobody waits for a job any more; if it is at work, that is stopped unless it ends at once."""
        if job.scope is not None:
            if not job.stopped_for and self._nursery is not None:
                worker = self._at_work[job]
                self._nursery.start_soon(worker.stop, worker.orders)
            job.stopped_for = "cancel"  # also when it was to make room: it will not begin again
            job.scope.deadline = min(job.scope.deadline, trio.current_time() + self._limits.cancel_seconds)
        else:
            self.lane.remove(job)
            self._look()

    def has_company(self, client: object) -> None:
        """Somebody has asked for something, too."""
        for job in self._at_work:
            job.has_company |= job.client is not client
        self._lower()

    def _look(self) -> None:
        """Begin what can begin, and see to it that there is a process for what comes next."""
        if self._nursery is None:
            return
        while self._idle and (job := self.lane.next()) is not None:
            worker = self._idle.pop()
            self._at_work[job], job.scope = worker, trio.CancelScope()
            self._busy.set()
            self._nursery.start_soon(self._work, job, worker)
        job = self.lane.makes_room() if self._idle else None
        if job is not None and job.scope is not None and job.began_at is not None:
            job.stopped_for = "room"
            job.scope.cancel()
        self._refill(self._nursery)

    def _refill(self, nursery: trio.Nursery) -> None:
        """One process more stands by than is at work, and one for each job that could begin; started one by one.

        A start takes most of a second of a core; several at once would only hold up those that are at work.
        """
        wanted = min(len(self._at_work) + max(1, self.lane.waiting), self.lane.places + 1)
        if self.count < wanted and not self._is_starting and trio.current_time() >= self._rests_until:
            self._start(nursery)

    def _start(self, nursery: trio.Nursery) -> None:
        self.count += 1
        self._is_starting = True
        nursery.start_soon(self._keep)

    # -- a job at work ----------------------------------------------------------------------------

    async def _work(self, job: Job, worker: Worker) -> None:
        """Let a process do a job; whatever happens, both come to an end or go back where they belong."""
        scope = job.scope
        assert scope is not None, "a job has one as soon as it has a process"
        job.began_at = trio.current_time()
        job.has_company = len(self._at_work) > 1
        retires, is_lost = True, False
        with scope:
            scope.deadline = min(scope.deadline, job.began_at + self._seconds)
            try:
                if job.stopped_for:
                    retires = False  # it was dropped before it could begin
                elif await worker.give(job.order):
                    retires = await self._relay(job, worker)
                else:
                    is_lost = True
            except (Garbled, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._died(job, worker, error)
        is_cut = scope.cancelled_caught
        self.killed += is_cut
        job.scope = None
        del self._at_work[job]
        if retires or is_cut or worker.is_lowered:
            self._kill(worker)
        else:
            self._idle.append(worker)
        self._over(job, is_cut=is_cut, is_lost=is_lost)
        self._look()

    async def _relay(self, job: Job, worker: Worker) -> bool:
        """Pass on what a process says, until it has finished; whether that was its last job."""
        while True:
            message = await worker.receive()
            match message.kind:
                case Kind.ROOM:
                    await worker.answer(job.spill.allow(message.fields["bytes"]))
                case Kind.NOTED:
                    _diagnostics.error("a %s failed\n%s", job.order.request.type, message.fields["text"])
                case Kind.READY:
                    raise Garbled("it says that it is ready, and is at work")
                case _:
                    job.say(message)
                    if message.kind is Kind.FINISHED:
                        return bool(message.fields["retires"])

    def _died(self, job: Job, worker: Worker, error: Exception) -> None:
        if job.stopped_for == "cancel":
            return
        if worker.may_have_lacked_memory(self._limits.memory_bytes):
            fields = out_of_memory()
            job.fail(fields["code"], fields["message"], fields["hint"])
            return
        _diagnostics.error("the process at work on a %s is lost: %s", job.order.request.type, error)
        job.fail("internal", NOTED)

    def _over(self, job: Job, *, is_cut: bool, is_lost: bool) -> None:
        """What becomes of a job that is at work no more; ``is_lost``: its process was gone before it began."""
        if is_lost and not is_cut and not job.stopped_for:
            job.began_at = None
            self.lane.back(job)
            return
        if is_cut and job.stopped_for == "room":
            job.stopped_for, job.began_at = "", None
            self.lane.again(job)
            return
        self.lane.remove(job)
        if is_cut and not job.stopped_for:
            hint = "narrow it: an earlier where, fewer alternatives, one simulation"
            job.fail("timeout", f"it ran for {self._seconds:g} seconds, which is the most that it may", hint)

    def _kill(self, worker: Worker) -> None:
        if not worker.is_doomed:
            self.count -= 1
            worker.kill()

    # -- processes --------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Start a process and stay with it until it is gone."""
        async with AsyncExitStack() as stack:
            is_ready, process = False, working_process(self._store, memory_bytes=self._limits.memory_bytes)
            try:
                worker = await stack.enter_async_context(process)
            except OSError as error:  # there is no memory for a process, or no descriptor
                _diagnostics.error("a working process could not be started: %s", error.strerror)
                self._is_starting = False
                self.count -= 1
            else:
                is_ready = await self._is_ready(worker)
                await self._stay(worker, is_ready=is_ready)
        self._first.set()
        if not is_ready:
            await self._start_failed()
        self._look()

    async def _stay(self, worker: Worker, *, is_ready: bool) -> None:
        """It is there for jobs from now on, if it is ready."""
        self._is_starting = False
        self._first.set()
        if is_ready:
            self._failed_starts = 0
            self._idle.append(worker)
            self._look()
            await worker.process.wait()
        if worker in self._idle:
            self._idle.remove(worker)
        if not worker.is_doomed:
            worker.is_doomed = True
            self.count -= 1

    async def _is_ready(self, worker: Worker) -> bool:
        with trio.move_on_after(self._limits.starting_seconds):
            try:
                return (await worker.receive()).kind is Kind.READY
            except Garbled as error:
                _diagnostics.error("a working process did not start: %s", error)
        return False

    async def _start_failed(self) -> None:
        """Wait a while until the next is started; when it fails again and again, those who wait are told."""
        self._failed_starts += 1
        if self._failed_starts >= STARTS_MAX:
            for job in self.lane.all():
                if job.scope is None:
                    self.lane.remove(job)
                    job.fail("internal", NOTED)
        self._rests_until = trio.current_time() + RESTART_AFTER_S
        await trio.sleep(RESTART_AFTER_S)

    async def _watch_over(self) -> None:
        """Look at what is at work: long ones let others go first."""
        while True:
            if not self._at_work:
                self._busy = trio.Event()
                await self._busy.wait()
            await trio.sleep(LOOK_INTERVAL_S)
            now = trio.current_time()
            for job, worker in self._at_work.items():
                job.is_long |= job.began_at is not None and now - job.began_at >= self._limits.long_after
                worker.look_at_memory()
            self._lower()
            self._look()

    def _lower(self) -> None:
        for job, worker in self._at_work.items():
            if job.is_long and job.has_company and self._limits.lowers_priority and not worker.is_lowered:
                worker.lower()
