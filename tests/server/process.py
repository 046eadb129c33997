"""``matrix serve`` as users start it: a process of its own, with its real working processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import trio

import matrix
from tests.server.serves import BINARY, PING, PONG, TEXT, Raw, frame

_COMMAND = "from matrix.cli.main import main; main()"
_PATIENCE_S = 60.0  # for a machine that has much else to do


class Client(Raw):
    """One that answers pings as long as it listens, and leaves out the pieces of exports."""

    async def frame(self) -> tuple[int, bytes]:
        while (got := await super().frame())[0] == PING:
            await self.send(frame(PONG, got[1]))
        return got

    async def hear(self) -> Any:
        with trio.fail_after(_PATIENCE_S):
            while (got := await self.frame())[0] == BINARY:
                pass
        assert got[0] == TEXT, got[:100]
        return json.loads(got[1])


class Process:
    """A server that runs, and how to reach it."""

    def __init__(self, process: subprocess.Popen[bytes], token: str, control: str, port: int, folder: Path) -> None:
        self.process, self.token, self.control, self.port, self._folder = process, token, control, port, folder
        self.pid = process.pid

    async def connected(self) -> Client:
        return Client(await trio.open_tcp_stream("127.0.0.1", self.port), self.port, patience_s=_PATIENCE_S)

    async def upgraded(self, *, token: str | None = "", **headers: str) -> Client:
        """A WebSocket, with the token for reading in its head; None: without a token."""
        raw = await self.connected()
        given = self.token if token == "" else token
        more = {"Authorization": f"Bearer {given}"} if given is not None else {}
        status, _, _ = await raw.upgrade(**{**more, **headers})
        assert status == 101, status
        return raw

    async def session(self, **options: Any) -> Client:
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
        return _children(self.pid)

    def child(self, module: str) -> int:
        """One of them that runs a module of ``matrix.server``."""
        return next(pid for pid, name in self.children().items() if name == f"matrix.server.{module}")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def spilled(self) -> list[str]:
        """The files of answers that nobody has taken yet."""
        return [path.name for path in (self._folder / "tmp").glob("matrix-serve-*/*")]

    def said(self) -> str:
        """What it has written to its standard error."""
        return (self._folder / "stderr").read_text()

    def resident_bytes(self) -> int:
        """The memory that it has in use."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def process_of(
    store: Path, folder: Path, *options: str, wrapper: Sequence[str] = (), **environment: str
) -> Iterator[Process]:
    """Serve a store; ``folder`` is for the server's own files. Behind the block no process of it is left."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    command = [*wrapper, sys.executable, "-c", _COMMAND, "serve", str(store), "--port", "0", *options]
    home = str(Path(matrix.__file__).parent.parent)
    own = {"TMPDIR": str(folder / "tmp"), "XDG_RUNTIME_DIR": str(folder), "PYTHONPATH": home}
    with open(folder / "stderr", "ab") as stderr:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, env={**os.environ, **own, **environment}
        )
    try:
        assert process.stdout is not None
        said = b""
        while said.count(b"\n") < 4:
            line = process.stdout.readline()
            assert line, (folder / "stderr").read_text()
            said += line
        port, token = re.findall(r":(\d+)/#token=(\S+)", said.decode())[0]
        control = re.findall(r"control +\S+#token=(\S+)", said.decode())[0]
        yield Process(process, token, control, int(port), folder)
    finally:
        before = _children(process.pid) if process.poll() is None else {}
        process.terminate()
        process.wait(_PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()
        ends = time.monotonic() + _PATIENCE_S
        while lives := [pid for pid in before if os.path.exists(f"/proc/{pid}")]:
            assert time.monotonic() < ends, lives
            time.sleep(0.05)


def _children(pid: int) -> dict[int, str]:
    """The processes of a process that live, and what each runs."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            for child in (task / "children").read_text().split():
                words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
                found[int(child)] = next((word for word in words if word.startswith("matrix.server")), "")
    return found


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
