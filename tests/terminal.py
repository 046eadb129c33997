"""Commands as tests run them: on a terminal, to see what a person would see; or for the processor time they take."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import resource
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|\x1b.")


_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.")


@dataclass(frozen=True)
class Seen:
    """What stood on the screen, the exit code, and the raw bytes as text."""

    text: str
    code: int
    raw: str


def on_terminal(command: str, *, cwd: Path, columns: int = 100, stderr_to: Path | None = None) -> Seen:
    """Run a shell command with its three streams on a terminal of so many columns."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = _environment()
    with open(stderr_to, "wb") if stderr_to else os.fdopen(os.dup(side), "wb") as errors:
        process = subprocess.Popen(
            ["bash", "-c", command], cwd=cwd, env=environment, stdin=side, stdout=side, stderr=errors
        )
    os.close(side)
    raw = _everything_from(main)
    return Seen(text=screen(raw), code=process.wait(timeout=60), raw=raw)


def in_conversation(
    command: str, lines: Sequence[tuple[str, str]], *, cwd: Path, columns: int = 100, environment: Mapping[str, str]
) -> Seen:
    """Run a shell command on a terminal; whenever a text of `lines` has appeared, type what stands beside it.

    Wait for the prompt itself before a control key: between two prompts the terminal, not the prompt, reads it.
    """
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    settings = {**_environment(), **environment, "PROMPT_TOOLKIT_NO_CPR": "1"}  # nobody here tells where the cursor is
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=cwd,
        env=settings,
        stdin=side,
        stdout=side,
        stderr=side,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal to what runs there
    )
    os.close(side)
    raw, seen_to = "", 0
    for awaited, typed in lines:
        while (place := raw.find(awaited, seen_to)) < 0:
            piece = _piece_from(main, seconds=30)
            assert piece, f"{awaited!r} never came:\n{raw}"
            raw += piece.decode(errors="replace")
        seen_to = place + len(awaited)
        os.write(main, typed.encode())
    raw += _everything_from(main)
    return Seen(text=re.sub(_ESCAPES, "", raw), code=process.wait(timeout=60), raw=raw)


def cpu_seconds(command: list[str]) -> float:
    """The processor time a command takes; unlike time on the wall, it does not grow when others work beside it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def screen(raw: str) -> str:
    """The lines left on the screen after all carriage returns, erasures and moves up."""
    lines, row, column = [""], 0, 0
    for match in _TOKEN.finditer(raw):
        argument, action, control, text = match.groups()
        if text is not None:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + text + line[column + len(text) :]
            column += len(text)
        elif control == "\r":
            column = 0
        elif control == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif action == "A":
            row = max(0, row - int(argument or 1))
        elif action == "K":
            lines[row] = "" if argument == "2" else lines[row][:column]
    return "\n".join(line.rstrip() for line in lines).rstrip("\n") + "\n"


def _environment() -> dict[str, str]:
    """This environment's commands, and nothing that would change how a terminal looks."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    return environment


def _piece_from(terminal: int, *, seconds: float | None = None) -> bytes:
    """What was written next; nothing at the end, or when so many seconds bring nothing."""
    if seconds is not None and not select.select([terminal], [], [], seconds)[0]:
        return b""
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux reports EIO when the last writer has gone
        return b""


def _everything_from(terminal: int) -> str:
    pieces = []
    while piece := _piece_from(terminal):
        pieces.append(piece)
    os.close(terminal)
    return b"".join(pieces).decode(errors="replace")
