"""A working process as the server sees it: started, given orders, listened to, ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from matrix.server.children import open_child
from matrix.server.pipes import Garbled, Inbox, packed
from matrix.server.work.memory import COUNTED, data_bytes
from matrix.server.work.order import Order
from matrix.server.work.wire import Kind, Message, message_of

READ_BYTES = 1024 * 1024
_LOWEST = 19


class Worker:
    """One process; between two orders it is idle, and nothing of the last one is left in the pipes."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None, "it was started with a pipe"
        assert process.stdout is not None, "it was started with a pipe"
        self.process, self._in, self._out = process, process.stdin, process.stdout
        self._inbox = Inbox()
        self._arrived: list[Message] = []
        self._sending = trio.Lock()  # a stop may come while it is answered
        self._memory_before = self._memory_seen = 0
        self.orders = 0  # how many it was given
        self.is_lowered = self.is_doomed = False

    @property
    def pid(self) -> int:
        return self.process.pid

    async def give(self, order: Order) -> bool:
        """Let it begin with an order; False when it was gone before."""
        self.orders += 1
        self._memory_before = self._memory_seen = data_bytes(self.pid)
        try:
            await self._send(packed(Kind.ORDER, pickle.dumps(order)))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    async def answer(self, may: bool) -> None:
        """Say whether its file may grow."""
        await self._send(packed(Kind.ROOM, b"1" if may else b"0"))

    async def stop(self, order: int) -> None:
        """Ask it to let go of an order, the how manieth it is; nothing if it is at another one by then."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._send(packed(Kind.STOP, b"%d" % order))

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            await self._in.send_all(data)

    async def receive(self) -> Message:
        """The next thing it says; ``Garbled`` when it is none, or when there is no more."""
        while not self._arrived:
            data = await self._out.receive_some(READ_BYTES)
            if not data:
                raise Garbled("it has ended")
            self._arrived = [message_of(kind, body) for kind, body in self._inbox.feed(bytes(data))]
            self._arrived.reverse()
        return self._arrived.pop()

    def look_at_memory(self) -> None:
        """Remember how much it has, in case it dies."""
        self._memory_seen = max(self._memory_seen, data_bytes(self.pid))

    def may_have_lacked_memory(self, most: int) -> bool:
        """Whether it had taken so much when it was last looked at that this may be why it died."""
        return self._memory_seen - self._memory_before >= most // 4

    def lower(self) -> None:
        """Let others go before it, with all its threads: for good, since only root could raise it again."""
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PGRP, self.pid, _LOWEST)
        self.is_lowered = True

    def kill(self) -> None:
        """End it, whatever it is at."""
        self.is_doomed = True
        self.process.kill()


@asynccontextmanager
async def working_process(store: Path, *, memory_bytes: int) -> AsyncIterator[Worker]:
    """Start a process; behind the block it is dead and reaped."""
    arguments = (str(store.absolute()), str(memory_bytes))
    process = await open_child("matrix.server.work.child", *arguments, environment=COUNTED)
    try:
        assert process.stdout is not None, "it was started with a pipe"
        with contextlib.suppress(OSError):  # a wider pipe only saves turns
            assert isinstance(process.stdout, trio.lowlevel.FdStream), "a pipe is a file descriptor"
            fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, READ_BYTES)
        yield Worker(process)
    finally:
        process.send_signal(signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None, "it was started with pipes"
                await pipe.aclose()
