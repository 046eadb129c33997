"""A process that works for the server: ``python -m matrix.server.work.child STORE MEMORY_BYTES``.

Orders come in at stdin, one after the other, and what is said of them goes out at stdout; both are moved away first,
so that nothing that a library or a user's program prints gets in between. When stdin ends, the server is gone, and so
is this. An order that nobody waits for any more is stopped between two steps of Python; where that takes too long, or
does not help, the server kills the process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Any

from matrix.query.spare import spare_pandas
from matrix.server.pipes import Inbox, take_pipes, write_all
from matrix.server.work import memory
from matrix.server.work.desk import Desk
from matrix.server.work.order import Order
from matrix.server.work.refusal import is_memory, out_of_memory, refusal
from matrix.server.work.wire import Kind, packed_fields

if TYPE_CHECKING:
    from matrix.store import Store

LARGE_BYTES = 64 * 1024 * 1024  # taken by an order: more is given back to the system before the next
GATHER_BYTES = 65_536  # said together, as long as nothing is waited for
RETIRE_BYTES = 512 * 1024 * 1024  # kept behind an order, beside what it had at its start: then it is time to go
_AGAIN_S = 0.001  # until a stop comes again that could not be raised


def main() -> None:
    """Work until stdin ends."""
    orders_in, said_out = take_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this
    with contextlib.suppress(BrokenPipeError):  # the server is gone
        Child(Path(sys.argv[1]), int(sys.argv[2]), orders_in, said_out).work()


class Stopped(BaseException):
    """Raised in the middle of an order: nobody waits for it any more."""


class Child:
    """One order after the other, on a store that stays open."""

    def __init__(self, store: Path, memory_bytes: int, orders_in: int, said_out: int) -> None:
        self._path, self._memory_bytes = store, memory_bytes
        self._in, self._out = orders_in, said_out
        self._orders: SimpleQueue[Order] = SimpleQueue()
        self._answers: SimpleQueue[bool] = SimpleQueue()
        self._store: Store | None = None
        self._said = bytearray()
        self._may_stop = False  # an order is at work
        self._find_pandas: Callable[[], None] | None = None
        self._order = self._unwanted = 0  # the how manieth it is, and which one nobody waits for

    def work(self) -> None:
        """Work for ever; the thread that reads orders ends the process."""
        self._warm_up()
        signal.signal(signal.SIGUSR1, self._stop)
        signal.signal(signal.SIGALRM, self._stop)
        sys.unraisablehook = self._not_raised
        self._at_start = memory.data_bytes()
        Thread(target=self._read, daemon=True).start()
        self._say(packed_fields(Kind.READY))
        self._flush()
        while True:
            self._do(self._orders.get())

    def _read(self) -> None:
        inbox = Inbox()
        while data := os.read(self._in, 65_536):
            for kind, body in inbox.feed(data):
                if kind == Kind.ROOM:
                    self._answers.put(body == b"1")
                elif kind == Kind.STOP:
                    self._unwanted = int(body)
                    signal.pthread_kill(main_thread().ident or 0, signal.SIGUSR1)
                else:
                    self._orders.put(pickle.loads(body))
        os._exit(0)  # the server is gone, and whatever the other thread is at is for nobody

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Runs in the main thread, wherever that is: one that has finished its order has nothing to stop."""
        self._stop_if_unwanted()

    def _not_raised(self, lost: sys.UnraisableHookArgs) -> None:
        """A stop that came where nothing can be raised, as in the callback of a weak reference, comes again."""
        if lost.exc_type is Stopped:
            self._may_stop = True
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            sys.__unraisablehook__(lost)

    def _stop_if_unwanted(self) -> None:
        if self._may_stop and self._unwanted == self._order:
            self._may_stop = False
            raise Stopped

    def _say(self, message: bytes) -> None:
        """Small messages go out together: each wakes the server up."""
        self._said += message
        if len(self._said) >= GATHER_BYTES:
            self._flush()

    def _flush(self) -> None:
        with self._undisturbed():
            write_all(self._out, self._said)
        self._said.clear()

    def _may(self, size: int) -> bool:
        with self._undisturbed():  # from the question on: its answer would be taken for that to the next order's
            self._say(packed_fields(Kind.ROOM, bytes=size))
            self._flush()
            return self._answers.get()

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Half a message, or an answer that nobody takes, would spoil what comes next: no stop meanwhile."""
        may_stop, self._may_stop = self._may_stop, False
        yield
        self._may_stop = may_stop
        self._stop_if_unwanted()

    # -- one order --------------------------------------------------------------------------------

    def _do(self, order: Order) -> None:
        self._order += 1
        began, before = time.perf_counter(), memory.data_bytes()
        desk = Desk(order, self._say, self._flush, self._may)
        fields = self._outcome(desk)
        desk.close()
        if memory.data_bytes() - before > LARGE_BYTES:
            memory.give_back()
        fields["retires"] |= memory.data_bytes() - self._at_start > RETIRE_BYTES
        seconds = round(time.perf_counter() - began, 6)
        self._say(packed_fields(Kind.FINISHED, rows=desk.rows, seconds=seconds, **fields))
        self._flush()

    def _outcome(self, desk: Desk) -> dict[str, Any]:
        """Do what an order says: the error, if any, and whether this process has done its last."""
        retires = desk.order.request.type == "replay"  # it has run a user's program, as that is now
        error = None
        if retires and self._find_pandas is not None:
            self._find_pandas()  # the program may want it
            self._find_pandas = None
        memory.allow(self._memory_bytes)
        try:
            self._may_stop = not retires  # a program that runs is not to meet exceptions of ours
            self._stop_if_unwanted()
            self._perform(desk)
            self._may_stop = False
        except BaseException as raised:  # whatever it is, the client and the server's diagnostics are told
            self._may_stop = False
            memory.allow_any()
            error = self._refused(raised)
            retires |= is_memory(raised)
        memory.allow_any()
        return {"error": error, "retires": retires}

    def _perform(self, desk: Desk) -> None:
        from matrix.server.work.tasks import perform

        if self._store is None:
            import matrix

            self._store = matrix.open(self._path)
        perform(desk, self._store)

    def _refused(self, error: BaseException) -> dict[str, Any]:
        """What to say of an error; behind the store's trouble, and mistakes of ours, the store is opened anew."""
        if isinstance(error, Stopped):
            self._said.clear()
            self._reopen()  # whatever it was in the middle of
            return {"code": "cancelled", "message": "nobody waits for it", "hint": "", "fix": ""}
        if is_memory(error):
            return out_of_memory()
        fields, note = refusal(error, self._path)
        if note:
            self._say(packed_fields(Kind.NOTED, text=note))
            self._reopen()
        return fields

    def _reopen(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _warm_up(self) -> None:
        """Load what a first query needs; a store that cannot be read says so when it is asked."""
        self._find_pandas = spare_pandas()
        import matrix
        from matrix.errors import MatrixError
        from matrix.server.work import tasks  # noqa: F401  # loads the language and what executes it

        try:
            self._store = matrix.open(self._path)
            self._store.query("simulations | count")
        except (MatrixError, OSError):
            self._reopen()


if __name__ == "__main__":
    main()
