"""Whose turn it is: places for queries, shared between clients.

What always holds: never more are at work than there are places, nor more of one client than it may have. Clients take
turns. Those that have been at work for long may have all places but the kept ones as soon as somebody else waits: the
one that began last makes room, and begins again when it is its turn.
"""

from __future__ import annotations

from collections import deque

from matrix.server.contract import RequestError
from matrix.server.work.job import Job


class Lane:
    """Jobs that wait, and those that are at work; only counts, and starts nothing."""

    def __init__(self, *, places: int, kept: int, per_client: int, waiting: int) -> None:
        self.places, self._kept, self._per_client, self._waiting_max = (
            places,
            min(kept, places - 1),
            per_client,
            waiting,
        )
        self.running: list[Job] = []  # in the order in which they began
        self._waiting: dict[object, deque[Job]] = {}  # by client, whose turn is next first
        self._again: deque[Job] = deque()  # long ones that made room

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values())) + len(self._again)

    def all(self) -> list[Job]:
        """Those at work and those that wait."""
        return [*self.running, *self._again, *(job for queue in self._waiting.values() for job in queue)]

    def add(self, job: Job) -> None:
        """A job waits from now on; ``RequestError`` when too many do."""
        queue = self._waiting.get(job.client)
        if not job.goes_on and self.waiting >= self._waiting_max:
            message = f"{self._waiting_max} requests are waiting already"
            raise RequestError("busy", message, hint="try again in a while, or let some of your own end")
        if queue is None:
            queue = self._waiting[job.client] = deque()
        if job.goes_on:
            queue.appendleft(job)  # what was begun goes before what has not
        else:
            queue.append(job)

    def next(self) -> Job | None:
        """The job whose turn it is, if there is a place; it is at work from now on."""
        if len(self.running) >= self.places:
            return None
        job = self._next_new() or self._next_again()
        if job is not None:
            self.running.append(job)
        return job

    def _next_new(self) -> Job | None:
        client = self._next_client()
        if client is None:
            return None
        queue = self._waiting.pop(client)
        job = queue.popleft()
        if queue:
            self._waiting[client] = queue  # behind all others now
        return job

    def _next_client(self) -> object | None:
        return next((client for client in self._waiting if self._count(client) < self._per_client), None)

    def _next_again(self) -> Job | None:
        if not self._again or self._long() >= self.places - self._kept:
            return None
        return self._again.popleft()

    def makes_room(self) -> Job | None:
        """The job that is to be stopped, and to begin again later, so that another can begin now."""
        is_full = len(self.running) >= self.places and self._long() > self.places - self._kept
        if not is_full or self._next_client() is None or any(job.stopped_for for job in self.running):
            return None
        return next((job for job in reversed(self.running) if job.is_long and not job.has_said), None)

    def back(self, job: Job) -> None:
        """A job could not begin after all: it is its client's next."""
        self.running.remove(job)
        self._waiting.setdefault(job.client, deque()).appendleft(job)

    def again(self, job: Job) -> None:
        """A job that made room waits again."""
        self.running.remove(job)
        self._again.append(job)

    def remove(self, job: Job) -> None:
        """A job is over, or nobody waits for it any more."""
        if job in self.running:
            self.running.remove(job)
        elif job in self._again:
            self._again.remove(job)
        elif job in (queue := self._waiting.get(job.client, deque())):
            queue.remove(job)
            if not queue:
                del self._waiting[job.client]

    def _long(self) -> int:
        return sum(job.is_long for job in self.running)

    def _count(self, client: object) -> int:
        """The places of a client: those it has, and those that it has made room in."""
        return sum(job.client is client for job in (*self.running, *self._again))
