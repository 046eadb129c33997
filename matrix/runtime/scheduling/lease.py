"""Leases: real, parked Trio tasks in whose name coroutines of agents are stepped.

The one file that uses private names of Trio, and why. The scheduler resumes an agent's coroutine
itself, with ``coroutine.send``: that costs 0.3 us where a task switch of Trio costs 5 to 10, and it
keeps the order in our hands (Trio shuffles ready tasks). But what the coroutine calls of Trio
(``CancelScope.__enter__``, ``Lock.acquire_nowait``, ...) asks ``current_task()``, and that answer is
``GLOBAL_RUN_CONTEXT.task``, which Trio's run loop sets for each of its own steps and offers no public
way to set. So the scheduler writes it around each step. The name has been the same in every release
from 0.22 to 0.35; ``has_hook`` tries it when a runtime opens, and handoff.py does without if it is gone.
``Task._cancel_status`` is read to see whether a scope was left open; ``Task._abort_func`` is written where a
coroutine leaves a cancelled scope and goes straight into a wait of Trio's own (with guard="warn").

What always holds: a lease is parked whenever no coroutine is stepped in its name. A clean one (no
open scope, never cancelled) is shared by all coroutines in turn, for one step each; a coroutine that
opens a scope keeps the lease until it has left it, one that is cancelled keeps it to its end.
"""

from __future__ import annotations

import logging
import types
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

import trio
from outcome import Outcome, Value, acapture, capture
from trio.lowlevel import Abort, RaiseCancelT, Task, cancel_shielded_checkpoint, reschedule, wait_task_rescheduled

if TYPE_CHECKING:
    from matrix.runtime.scheduling.activity import Activity

try:
    from trio._core import _run as _private
except ImportError:  # seen by has_hook, which every runtime asks before its first step
    _private = None  # type: ignore[assignment]  # a module everywhere else

run_context: Any = getattr(_private, "GLOBAL_RUN_CONTEXT", None)  # the private name; see above

_diagnostics = logging.getLogger("matrix")
_STOP = object()


def _traps() -> tuple[Any, Any]:
    """The two messages with which a Trio task suspends: a checkpoint's, and the type of a wait's."""
    checkpoint = cancel_shielded_checkpoint()
    sentinel = checkpoint.send(None)
    checkpoint.close()
    wait = wait_task_rescheduled(lambda _: Abort.FAILED)
    kind = type(wait.send(None))
    wait.close()
    return sentinel, kind


CHECKPOINT, FOREIGN_WAIT = _traps()


def has_hook() -> bool:
    """Whether coroutines can be stepped in another task's name with this release of Trio; asked in a Trio task."""
    mine, other = trio.lowlevel.current_task(), trio.lowlevel.current_root_task()
    try:
        run_context.task = other
        is_followed = trio.lowlevel.current_task() is other
    except AttributeError:
        is_followed = False
    finally:
        if run_context is not None:
            run_context.task = mine
    return is_followed and hasattr(other, "_cancel_status")


def innermost_scope(task: Task) -> object:
    """What stands for the innermost cancel scope that is open in a task: another one is another object."""
    return getattr(task, "_cancel_status", None)


class Errand:
    """What a lease's task does itself when it is woken, before it parks anew."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act


class Lease:
    """One parked task, and whose coroutine runs in its name."""

    __slots__ = (
        "_newest",
        "_waker",
        "activity",
        "base",
        "foreign",
        "is_spent",
        "left",
        "raise_cancel",
        "scope",
        "task",
    )

    def __init__(self) -> None:
        self.activity: Activity | None = None  # who keeps it; None while it is shared
        self.raise_cancel: RaiseCancelT | None = None  # a cancellation that arrived and was not delivered yet
        self.foreign: Callable[[RaiseCancelT], Abort] | None = None  # a wait of Trio's own that this park stands for
        self.left: Coroutine[Any, Any, Any] | None = None  # one that was left inside a raw nursery: unwound at the end
        self.is_spent = False  # its park met a cancellation: it takes no second one until it is parked anew
        self.scope = trio.CancelScope()
        self._newest: RaiseCancelT | None = None  # the newest cancellation, delivered or not
        self._waker: Task | None = None
        self.task: Any = None
        self.base: Any = None

    @property
    def is_clean(self) -> bool:
        """Whether another coroutine may be stepped in its name next."""
        return self.task._cancel_status is self.base and not self.is_spent and not self.scope.cancel_called

    @property
    def is_cancelled(self) -> bool:
        """Whether a wait in the innermost open scope must raise Cancelled now."""
        return bool(self.task._cancel_status.effectively_cancelled)

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """The task's own life: park, and park again."""
        self.task = trio.lowlevel.current_task()
        with self.scope:
            self.base = innermost_scope(self.task)
            task_status.started()
            while True:
                result = await acapture(wait_task_rescheduled, self._abort)
                value = result.value if isinstance(result, Value) else None
                if value is _STOP or (self.activity is None and not isinstance(value, Errand)):
                    break  # or whoever waited in its name was closed meanwhile
                if isinstance(value, Errand):
                    assert self._waker is not None, "whoever asks for one waits for it"
                    done = capture(value.act)
                    self.raise_cancel, self.is_spent = None, False
                    reschedule(self._waker, done)  # runs in a later batch than this task's next park
                    continue
                assert self.activity is not None, "it was just seen"
                self._foreign_ended(self.activity, result)
            if self.left is not None:
                await _unwound(self.left, None if value is _STOP else result)

    def _foreign_ended(self, activity: Activity, result: Outcome[Any]) -> None:
        assert self.foreign is not None, "only a foreign wait is woken from outside"
        # It parks anew right after this, and so takes another cancellation; that one is for the wait after this one.
        self.raise_cancel, self.is_spent, self.foreign = None, False, self._remember
        activity.agent._scheduler.foreign_ended(activity, result)

    def _abort(self, raise_cancel: RaiseCancelT) -> Abort:
        """Trio's side of a cancellation: remember it, and let the scheduler give it its turn."""
        if self.foreign is not None:
            return self.foreign(raise_cancel)
        self._remember(raise_cancel)
        if self.activity is not None:
            self.activity.agent._scheduler.cancel_arrived(self.activity)
        return Abort.FAILED

    def _remember(self, raise_cancel: RaiseCancelT) -> Abort:
        self.raise_cancel = self._newest = raise_cancel
        self.is_spent = True
        return Abort.FAILED

    def abort(self, foreign: Callable[[RaiseCancelT], Abort]) -> BaseException | None:
        """In a cancelled scope a wait of Trio's own ends before it began: what to throw; None when it cannot end so."""
        raise_cancel = self.raise_cancel or self._newest
        if raise_cancel is None or foreign(raise_cancel) is not Abort.SUCCEEDED:
            return None
        self.raise_cancel = raise_cancel  # still to be parked anew
        return _caught(raise_cancel)

    def wait(self, foreign: Callable[[RaiseCancelT], Abort] | None) -> None:
        """The park stands for a wait of Trio's own, which ``foreign`` calls off; None when it ended as it began."""
        self.foreign = foreign or self._remember
        if self.is_spent and foreign is not None:
            # By a scope that has been left since: within a step nothing public parks it anew.
            self.raise_cancel, self.is_spent = None, False
            self.task._abort_func = self._abort

    @property
    def is_awaited(self) -> bool:
        """Whether Trio itself will wake this park, or has done so and the task has not run since."""
        return self.foreign is not None and self.foreign != self._remember

    def cancelled(self) -> BaseException:
        """The ``trio.Cancelled`` to throw; the cancellation counts as delivered."""
        raise_cancel, self.raise_cancel = self.raise_cancel, None
        assert raise_cancel is not None, "nothing was cancelled"
        return _caught(raise_cancel)

    async def do(self, act: Callable[[], object]) -> None:
        """Let the task itself do something, and park anew. Returns when it is parked; raises what that raised.

        If its scope is still cancelled, ``_abort`` has been called again by then: cancellation is a level, not an edge.
        """
        self._waker = trio.lowlevel.current_task()
        reschedule(self.task, Value(Errand(act)))
        await wait_task_rescheduled(lambda _: Abort.FAILED)

    async def rearm(self) -> None:
        """Only park anew: a cancelled park takes no second cancellation."""
        await self.do(_nothing)

    def stop(self) -> None:
        """Let the task end: nobody will be stepped in its name again."""
        reschedule(self.task, Value(_STOP))


class LeasePool:
    """The leases of a runtime: one clean one that is shared step by step, and spare ones to follow it."""

    def __init__(self, nursery: trio.Nursery, kind: type[Lease] = Lease) -> None:
        self._nursery, self._kind = nursery, kind
        self._spare: list[Lease] = []
        self._all: dict[int, Lease] = {}  # by identity, never iterated before the end
        self.clean: Lease | None = None

    async def refill(self) -> None:
        """Make sure that there is a clean lease to step with."""
        while self.clean is None:
            self._spare.append(await self.take())
            self.clean = self.clean or self._spare.pop()

    async def take(self) -> Lease:
        """A clean lease for one coroutine alone."""
        if self._spare:
            return self._spare.pop()
        lease = self._kind()
        await self._nursery.start(lease.run)
        self._all[id(lease)] = lease
        return lease

    def keep(self, activity: Activity) -> None:
        """The shared lease stays with ``activity``; a spare one follows, or ``refill`` makes one."""
        lease = self.clean
        assert lease is not None, "it was stepped in some lease's name"
        lease.activity, activity.lease = activity, lease
        self.clean = self._spare.pop() if self._spare else None

    def give_back(self, lease: Lease) -> None:
        """Nobody keeps it any more."""
        if lease.activity is not None:
            lease.activity.lease = None
            lease.activity = None
        if lease.is_clean and len(self._spare) < 16:
            self._spare.append(lease)
        else:
            del self._all[id(lease)]
            lease.stop()

    def leave(self, lease: Lease) -> None:
        """It waits for something of Trio's own, for nobody any more: that is called off if it can be, and it ends."""
        if lease.activity is not None:
            lease.activity.lease = None
            lease.activity = None
        del self._all[id(lease)]
        lease.scope.cancel()

    def unwind(self, lease: Lease, coroutine: Coroutine[Any, Any, Any]) -> None:
        """A coroutine inside a raw nursery is nobody's any more: its task leaves the nursery, and ends."""
        lease.left, is_awaited = coroutine, lease.is_awaited
        self.leave(lease)
        if not is_awaited:
            lease.stop()

    def close(self) -> None:
        """Let all parked tasks end."""
        for lease in self._all.values():
            lease.stop()
        self._all, self._spare, self.clean = {}, [], None


def _nothing() -> None:
    """Waking up was all."""


@types.coroutine
def _unwound(coroutine: Coroutine[Any, Any, Any], result: Outcome[Any] | None) -> Generator[Any, Any, None]:
    """Let Trio itself run a coroutine to its end, which is near: everything around it is cancelled."""
    try:
        yielded = coroutine.send(result) if result is not None else coroutine.throw(GeneratorExit)
        while True:
            is_trios = yielded is CHECKPOINT or type(yielded) is FOREIGN_WAIT
            yielded = coroutine.send((yield yielded)) if is_trios else coroutine.throw(GeneratorExit)
    except BaseException as error:  # also StopIteration, its end; nobody is there to be told
        _diagnostics.debug("a coroutine that was left in a nursery ended with %r", error)


def _caught(raise_cancel: Callable[[], Any]) -> BaseException:
    try:
        raise_cancel()
    except BaseException as error:
        return error
    raise AssertionError("Trio's raise_cancel always raises")
