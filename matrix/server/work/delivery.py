"""One request on its way to the client: jobs for it one after the other, and what they say, at the client's pace.

What always holds: each batch takes a credit before it is made or read from the request's file; what is in the file
is sent in order, each row once; the last reply comes behind all others.
"""

from __future__ import annotations

import trio

from matrix.limits import PAGE_BYTES_MAX
from matrix.server import replies
from matrix.server.contract import Outlet, Request, RequestError
from matrix.server.work.crew import Crew
from matrix.server.work.held import Held
from matrix.server.work.job import Job
from matrix.server.work.limits import WorkLimits
from matrix.server.work.order import Order
from matrix.server.work.spill import Spill
from matrix.server.work.wire import Kind, Message


class Delivery:
    """Answers one request by jobs of a crew."""

    def __init__(
        self,
        request: Request,
        client: object,
        outlet: Outlet,
        *,
        crew: Crew,
        spill: Spill,
        held: Held,
        limits: WorkLimits,
    ) -> None:
        self._request, self._client, self._outlet = request, client, outlet
        self._crew, self._spill, self._held, self._limits = crew, spill, held, limits
        self._rows, self.seconds = 0, 0.0
        self._is_answered = False  # the last reply was among the messages
        self._left: int | None = None
        self._credit = 0  # taken, and not used yet

    async def run(self) -> None:
        """Send all replies; ``RequestError`` when there is no answer."""
        await self._job(None)
        while self._left is not None:
            await self._job(self._left)
        if not self._is_answered:
            fields = {"type": "done", "id": self._request.id, "rows": self._rows, "seconds": round(self.seconds, 6)}
            await self._outlet.send([replies.message(self._outlet.encoding, fields)], is_last=True)

    async def _job(self, from_row: int | None) -> None:
        """One job: the whole answer, or more of its rows."""
        goes_on = from_row is not None
        batches = await self._take_credit(needs_one=goes_on)
        order = Order(self._request, self._outlet.encoding, batches, PAGE_BYTES_MAX, str(self._spill.path), from_row)
        job = Job(order, self._client, self._spill, self._held, goes_on=goes_on)
        self._left = None
        try:
            self._crew.submit(job)
            while (message := await self._next(job)).kind is not Kind.FINISHED:
                await self._pass_on(job, message)
        finally:
            self._crew.drop(job)
            job.close()
        self._finished(message)

    async def _take_credit(self, *, needs_one: bool) -> int:
        """Take the credit that there is: for how many batches. What is not used is kept for the next job."""
        if needs_one:
            await self._take_one()
            self._credit += 1
        elif not self._held.has_room(self._client):
            return 0
        while self._credit < self._limits.pages_ahead and self._outlet.has_credit():
            await self._outlet.take_credit()
            self._credit += 1
        return self._credit

    async def _take_one(self) -> None:
        """Wait until one batch may be made, or read."""
        if self._credit:
            self._credit -= 1
        else:
            await self._outlet.take_credit()
        await self._held.wait_for_room(self._client)

    async def _next(self, job: Job) -> Message:
        """The next message of a job; meanwhile the client is told how it stands."""
        while True:
            with trio.move_on_after(self._limits.progress_interval):
                return await job.messages.receive()
            fields = {"type": "progress", "id": self._request.id, **job.progress}
            await self._outlet.send([replies.message(self._outlet.encoding, fields)])

    async def _pass_on(self, job: Job, message: Message) -> None:
        match message.kind:
            case Kind.LEFT:
                self._left = message.fields["row"]
            case Kind.PLACED:
                await self._send_placed(message.fields["offset"], message.fields["size"])
            case _:
                self._credit -= message.kind is Kind.BATCH
                self._is_answered |= message.kind is Kind.LAST
                await self._outlet.send(message.frames, is_last=message.kind is Kind.LAST)
                job.sent(message)

    async def _send_placed(self, offset: int, size: int) -> None:
        await self._take_one()
        self._held.take(self._client, size)
        try:
            await self._outlet.send(self._spill.frames(offset, size))
        finally:
            self._held.give_back(self._client, size)

    def _finished(self, message: Message) -> None:
        fields = message.fields
        if fields["error"] is not None:
            raise RequestError(**fields["error"])
        self._rows += fields["rows"]
        self.seconds += fields["seconds"]
