"""Virtual timeouts: Trio's cancel scopes, cancelled by a timer of the schedule."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import trio

from matrix.runtime.scheduling.activity import Action

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent


class Timeout(Action):
    """Cancels a scope when its time comes; stale once the scope was left."""

    __slots__ = ("scope",)

    def __init__(self, scope: trio.CancelScope) -> None:
        super().__init__()
        self.scope = scope

    def fire(self) -> None:
        """The scope's coroutine gets its cancellation at the next top of the loop."""
        if not self.is_stale:
            self.scope.cancel()


@contextmanager
def move_on_after(agent: Agent, duration: float | timedelta) -> Iterator[trio.CancelScope]:
    """A cancel scope that is cancelled ``duration`` virtual seconds from now, unless it was left before."""
    scheduler = agent._scheduler
    agent._own_activity()
    with trio.CancelScope() as scope:
        timeout = Timeout(scope)
        scheduler.at(scheduler.after(duration), timeout, None)
        try:
            yield scope
        finally:
            timeout.is_stale = True


@contextmanager
def fail_after(agent: Agent, duration: float | timedelta) -> Iterator[trio.CancelScope]:
    """Likewise; ``trio.TooSlowError`` when the time was over."""
    with move_on_after(agent, duration) as scope:
        yield scope
    if scope.cancelled_caught:
        raise trio.TooSlowError(f"{agent.id} took longer than {duration} virtual seconds")
