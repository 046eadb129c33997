"""Limits of calls: who of the requests of one name may touch the outside now.

First come, first served; a request that waits is an entry in a queue, no task. The rate is kept with
a sliding window: the instants at which the newest ``n`` requests began are remembered, and the next
one may begin when the oldest of them is more than the window ago. So no window, wherever it is laid,
holds more than ``n`` beginnings. A token bucket would be smaller, and wrong: a full bucket and what
flows in after it make nearly ``2n`` in one second.

What always holds: ``under_way`` counts places that were granted and not left; an instant that counts
is the one at which the function was really called, in its thread if it has one, so a thread that
starts late does not crowd the window behind it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import trio

from matrix.limits import LIMITERS_MAX
from matrix.runtime.calls.policy import CallPolicy


class Place:
    """One request's place: in the queue, then under way, then left."""

    __slots__ = ("_limiter", "began_at", "go", "is_granted", "is_left")

    def __init__(self, limiter: Limiter, go: Callable[[], None]) -> None:
        self._limiter, self.go = limiter, go
        self.is_granted = self.is_left = False
        self.began_at: float | None = None  # Trio's time at which the outside was touched

    def leave(self) -> None:
        """It is over, or was given up: the next one may go."""
        if not self.is_left:
            self.is_left = True
            self._limiter.left(self)


class Limiter:
    """The requests of one name under one pair of limits."""

    def __init__(self, policy: CallPolicy, start_soon: Callable[..., None]) -> None:
        assert policy.in_flight is not None, "it leaves nothing open"
        self._in_flight = policy.in_flight
        self._window = policy.window if policy.per_second != math.inf else None
        self._start_soon = start_soon
        self._queue: deque[Place] = deque()
        self._begun: deque[Place] = deque()  # as many as the window holds, oldest first
        self._latest = -math.inf  # beginning among those that were let go before the oldest of ``_begun``
        self._is_pacing = False
        self.under_way = 0

    def join(self, go: Callable[[], None]) -> Place:
        """Take a place at the end of the queue; ``go`` is called when it is granted, perhaps at once."""
        place = Place(self, go)
        self._queue.append(place)
        self._let_go()
        return place

    def left(self, place: Place) -> None:
        """A place was left; one that never began does not count for the rate either."""
        if place.is_granted:
            self.under_way -= 1
            if place.began_at is None and place in self._begun:
                self._begun.remove(place)
        self._let_go()

    @property
    def is_idle(self) -> bool:
        """Whether forgetting it would let nothing through that it would have held back."""
        return not self._queue and not self.under_way and (self._window is None or self._wait(trio.current_time()) <= 0)

    def _let_go(self) -> None:
        """Grant places from the front of the queue, as far as the limits allow."""
        queue = self._queue
        while queue:
            place = queue[0]
            if place.is_left:
                queue.popleft()
                continue
            if self.under_way >= self._in_flight:
                return
            if self._window is not None:
                if self._wait(trio.current_time()) > 0:
                    self._pace_soon()
                    return
                self._remember(place, self._window[0])
            queue.popleft()
            self.under_way += 1
            place.is_granted = True
            place.go()

    def _wait(self, now: float) -> float:
        """Seconds until the window has room; as long as the oldest has not begun, at least a whole window."""
        assert self._window is not None, "asked only where there is a rate"
        count, seconds = self._window
        if len(self._begun) < count:
            return 0.0
        began_at = self._begun[0].began_at
        if began_at is None:
            return seconds
        # Strictly more than the window: both ends of "any one second" belong to it.
        return math.nextafter(max(self._latest, began_at) + seconds, math.inf) - now

    def _remember(self, place: Place, count: int) -> None:
        if len(self._begun) == count:
            oldest = self._begun.popleft().began_at
            assert oldest is not None, "the window has room only when its oldest has begun"
            self._latest = max(self._latest, oldest)
        self._begun.append(place)

    def _pace_soon(self) -> None:
        if not self._is_pacing:
            self._is_pacing = True
            self._start_soon(self._pace)

    async def _pace(self) -> None:
        """Sleep until the window has room, as long as somebody waits for that; leaving places do the rest."""
        try:
            while self._queue and self.under_way < self._in_flight:
                await trio.sleep(max(0.0, self._wait(trio.current_time())))
                self._let_go()
        finally:
            self._is_pacing = False


class Limiters:
    """The limiters of a runtime, by name and limits."""

    def __init__(self, start_soon: Callable[..., None]) -> None:
        self._start_soon = start_soon
        self._of: dict[tuple[str, CallPolicy], Limiter] = {}

    def join(self, name: str, policy: CallPolicy, go: Callable[[], None]) -> Place:
        """A place among the requests of a name under the limits of a policy."""
        key = (name, CallPolicy(in_flight=policy.in_flight, per_second=policy.per_second))
        limiter = self._of.get(key)
        if limiter is None:
            if len(self._of) >= LIMITERS_MAX:  # names that a program makes up as it goes
                self._of = {key: limiter for key, limiter in self._of.items() if not limiter.is_idle}
            limiter = self._of[key] = Limiter(policy, self._start_soon)
        return limiter.join(go)
