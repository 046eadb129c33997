"""A child process of the server: started, spoken to over its pipes, ended and reaped.

What always holds: a child is of the same Matrix as the server, also where that was found by ``sys.path`` alone; a
Ctrl-C meant for the server does not reach it; and ``end`` leaves no process, no zombie and no pipe behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

import matrix
from matrix.server.pipes import Inbox, Message, packed

_CHUNK_BYTES = 256 * 1024


class ChildGone(Exception):
    """The child has ended, or was: nothing more comes from it, nothing more reaches it."""


class Child:
    """A module of Matrix that runs in a process of its own.

    >>> child = await Child.start("matrix.server.watches.child", "runs")   # doctest: +SKIP
    >>> await child.send(1, b"…")                                          # doctest: +SKIP
    >>> (await child.receive()).body                                       # doctest: +SKIP
    b'…'
    """

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None and process.stdout is not None, "a child is started with both pipes"
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._sending = trio.Lock()
        self._inbox = Inbox()
        self._received: list[Message] = []  # last first

    @classmethod
    async def start(
        cls,
        module: str,
        *arguments: str,
        pass_fds: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start ``module`` with these arguments; what it prints goes to the server's standard error."""
        return cls(await open_child(module, *arguments, pass_fds=pass_fds, environment=environment))

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def send(self, kind: int, body: bytes = b"") -> None:
        """Say something; ``ChildGone`` when it cannot hear it. Must not be cancelled but to end the child."""
        async with self._sending:
            try:
                await self._stdin.send_all(packed(kind, body))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise ChildGone from None

    async def receive(self) -> Message:
        """The next message; ``ChildGone`` when none will come, ``Garbled`` when it says what is none."""
        while not self._received:
            try:
                chunk = await self._stdout.receive_some(_CHUNK_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise ChildGone from None
            if not chunk:
                raise ChildGone
            self._received = [*self._inbox.feed(chunk)][::-1]
        return self._received.pop()

    def kill(self) -> None:
        """End it at once; whoever receives is told ``ChildGone``."""
        if self._process.returncode is None:
            self._process.kill()

    async def end(self) -> int:
        """End it if it has not ended, wait until it has, and close the pipes; its return code."""
        with trio.CancelScope(shield=True):
            self.kill()
            await self._process.wait()
            await self._stdin.aclose()
            await self._stdout.aclose()
        code = self._process.returncode
        assert code is not None, "a process that was waited for has ended"
        return code


async def open_child(
    module: str, *arguments: str, pass_fds: Sequence[int] = (), environment: Mapping[str, str] | None = None
) -> trio.Process:
    """Run ``module`` as a program with these arguments, with pipes to it and from it, and more in its environment."""
    return await trio.lowlevel.open_process(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **(environment or {}), "PYTHONPATH": _import_path()},
        process_group=0,  # Ctrl-C reaches the server alone; in a session of its own a low priority would not count
        pass_fds=tuple(pass_fds),
    )


def _import_path() -> str:
    """Where this process finds modules: the same ``matrix``, and the programs of its user."""
    home = str(Path(matrix.__file__).parent.parent)
    return os.pathsep.join(dict.fromkeys([home, *(os.path.abspath(path) for path in sys.path if path)]))
