"""A server of its own for a store, in another process, as long as a test needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Self

_PROGRAM = """
import functools, sys
import trio
import matrix

async def main(store, port, token):
    async with trio.open_nursery() as nursery:
        serve = functools.partial(matrix.serve, store, port=int(port), token=token or None)
        serving = await nursery.start(serve)
        print(serving.port, serving.token, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()

trio.run(main, *sys.argv[1:])
"""


class Server:
    """Serves a store until ``stop``; ``link`` is what a browser opens."""

    def __init__(self, store: Path, *, port: int = 0, token: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(store), str(port), token],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().split()
        if len(line) != 2:
            self.stop()
            raise AssertionError(f"the server of {store} did not start")
        self.port, self.token = int(line[0]), line[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def link(self, fragment: str = "") -> str:
        """The page with the token, and this behind the ``#``."""
        return f"{self.url}#token={self.token}" + (f"&{fragment}" if fragment else "")

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        try:
            self._process.communicate(timeout=10)  # closes its stdin, which it waits for
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
