"""``matrix serve`` as users start it: a process of its own, with its real working processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio

import matrix
from tests.server.serves import Raw

_COMMAND = "from matrix.cli.main import main; main()"
_PATIENCE_S = 60.0  # for a machine that has much else to do


class Process:
    """A server that runs, and how to reach it."""

    def __init__(self, process: trio.Process, token: str, control: str, port: int, folder: Path) -> None:
        self.process, self.token, self.control, self.port, self._folder = process, token, control, port, folder
        self.pid = process.pid

    async def connected(self) -> Raw:
        return Raw(await trio.open_tcp_stream("127.0.0.1", self.port), self.port, patience_s=_PATIENCE_S)

    async def upgraded(self, *, token: str | None = "", **headers: str) -> Raw:
        """A WebSocket, with the token for reading in its head; None: without a token."""
        raw = await self.connected()
        given = self.token if token == "" else token
        more = {"Authorization": f"Bearer {given}"} if given is not None else {}
        status, _, _ = await raw.upgrade(**{**more, **headers})
        assert status == 101, status
        return raw

    async def session(self, **options: Any) -> Raw:
        """A WebSocket that has been welcomed."""
        raw = await self.upgraded(**options)
        assert (await raw.hear())["type"] == "welcome"
        return raw

    async def metric(self, name: str) -> float:
        """A number of ``/metrics``: its line begins with ``name``; 0 when there is none."""
        async with await self.connected() as raw:
            text = (await raw.ask("/metrics"))[2].decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def children(self) -> dict[int, str]:
        """Its processes that live, and what each runs."""
        found = {}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(OSError):
                for pid in (task / "children").read_text().split():
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                    found[int(pid)] = next((word for word in words if word.startswith("matrix.")), "")
        return found

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def spilled(self) -> list[str]:
        """The files that lie in its folder for answers nobody has taken."""
        return [path.name for path in (self._folder / "tmp").glob("matrix-serve-*/*")]

    def said(self) -> str:
        """What it has written to its standard error."""
        return (self._folder / "stderr").read_text()

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)


@asynccontextmanager
async def process_of(
    store: Path, folder: Path, *options: str, wrapper: Sequence[str] = (), **environment: str
) -> AsyncIterator[Process]:
    """Serve a store; ``folder`` is for its own files. Behind the block no process of it is left, or that is told."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    command = [*wrapper, sys.executable, "-c", _COMMAND, "serve", str(store), "--port", "0", *options]
    home = str(Path(matrix.__file__).parent.parent)
    own = {"TMPDIR": str(folder / "tmp"), "XDG_RUNTIME_DIR": str(folder), "PYTHONPATH": home}
    with open(folder / "stderr", "ab") as stderr:
        process = await trio.lowlevel.open_process(
            command, stdout=subprocess.PIPE, stderr=stderr, env={**os.environ, **own, **environment}
        )
    try:
        assert process.stdout is not None
        said = b""
        with trio.fail_after(_PATIENCE_S):
            while said.count(b"\n") < 4:
                more = await process.stdout.receive_some(65_536)
                assert more, (folder / "stderr").read_text()
                said += more
        port, token = re.findall(r":(\d+)/#token=(\S+)", said.decode())[0]
        control = re.findall(r"control +\S+#token=(\S+)", said.decode())[0]
        yield Process(process, token, control, int(port), folder)
    finally:
        with trio.CancelScope(shield=True):
            before = _family(process.pid)
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            with trio.move_on_after(_PATIENCE_S):
                await process.wait()
            assert process.returncode is not None, "a request to end is heard"
            assert process.stdout is not None
            await process.stdout.aclose()
            await until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before))


def _family(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


async def until(holds: Callable[[], bool], seconds: float = _PATIENCE_S) -> None:
    """Wait until something holds."""
    with trio.fail_after(seconds):
        while not holds():
            await trio.sleep(0.02)


async def ask(raw: Raw, **request: Any) -> list[dict[str, Any]]:
    """All replies to a request, the last one included; progress is left out."""
    await raw.say(**request)
    return await replies(raw, request["id"])


async def replies(raw: Raw, id: int | str) -> list[dict[str, Any]]:
    """All further replies to a request."""
    found: list[dict[str, Any]] = []
    ends = time.monotonic() + _PATIENCE_S
    while not found or found[-1]["type"] not in ("done", "error"):
        assert time.monotonic() < ends, found
        message = await raw.hear()
        if message.get("id") == id and message["type"] != "progress":
            found.append(message)
    return found


def shown(found: list[dict[str, Any]]) -> str:
    """Replies in a line, for a failure."""
    return json.dumps(found)[:2_000]
