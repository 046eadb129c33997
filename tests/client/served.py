"""A store that is served by a process of its own, as `matrix serve` does it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Served:
    """A running server: its folder has the store, ``runtime`` the file with its tokens."""

    folder: Path
    runtime: Path
    process: subprocess.Popen[str]
    link: str
    url: str
    port: int
    token: str
    control_token: str

    @property
    def environment(self) -> dict[str, str]:
        """What another program of the same user has: it finds the tokens."""
        return environment(self.runtime)

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=20)


def environment(runtime: Path) -> dict[str, str]:
    """The variables of a program that keeps its tokens there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MATRIX_")}
    return {**kept, "XDG_RUNTIME_DIR": str(runtime), "PYTHONPATH": str(ROOT)}


@contextmanager
def serving(folder: Path, runtime: Path, *options: str, store: str = "runs", port: int = 0) -> Iterator[Served]:
    """Serve a store in this folder until the end of the block."""
    runtime.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "matrix.cli.main", "serve", store, "--port", str(port), *options]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(runtime), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(2)]
        assert "page" in said[-1], "".join(said) + process.stdout.read()
        link = said[-1].split()[1]
        (file,) = [file for file in (runtime / "matrix").glob("serve-*.json") if _is_of(file, process.pid)]
        kept = json.loads(file.read_text())
        port = int(file.stem.removeprefix("serve-"))
        yield Served(folder, runtime, process, link, kept["url"], port, kept["token"], kept["control_token"])
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


def _is_of(file: Path, pid: int) -> bool:
    return bool(json.loads(file.read_text())["pid"] == pid)
