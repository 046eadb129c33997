"""Tokens of the servers that this user runs: each server leaves a file, by its port, that only this user can read.

The files lie in ``$XDG_RUNTIME_DIR/matrix``, else in the user's state folder (``$XDG_STATE_HOME/matrix``, else
``~/.local/state/matrix``). What always holds: a file appears whole, with mode 0600, in a folder with mode 0700 that is
the user's; the file of a server that has ended, in whichever way, is not read; and a server removes none but its own.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Tokens:
    """How a server of this user is reached: ``store`` is the name of its folder, ``pid`` its process."""

    url: str
    token: str
    control_token: str
    pid: int
    store: str


def state_folder() -> Path:
    """Where Matrix keeps what this user's programs leave for each other; it need not exist."""
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return folder / "matrix"


def tokens_folder() -> Path:
    """Where the files are; it need not exist."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and os.path.isdir(runtime):
        return Path(runtime) / "matrix"
    return state_folder()


def tokens_file(port: int) -> Path:
    """The file of the server at a port."""
    return tokens_folder() / f"serve-{port}.json"


def write_tokens(port: int, tokens: Tokens) -> Path:
    """Leave the file, in place of one that an earlier server left. Raises ``OSError`` when that cannot be."""
    path = tokens_file(port)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.parent.stat()
    if found.st_uid != os.getuid():
        raise PermissionError(f"{path.parent} belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.parent.chmod(0o700)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    # O_EXCL: never through a file or a link that somebody else has put there.
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(tokens), file)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return path


def read_tokens(port: int) -> Tokens | None:
    """What the server at a port has left for this user; None when there is none that runs."""
    try:
        descriptor = os.open(tokens_file(port), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
            return None
        tokens = _parsed(file.read(_FILE_BYTES_MAX))
    return tokens if tokens is not None and _runs(tokens.pid) else None


def remove_tokens(port: int, tokens: Tokens) -> None:
    """Take the file away, unless a later server has put its own in its place."""
    path = tokens_file(port)
    with suppress(OSError):
        if _parsed(path.read_bytes()) == tokens:
            path.unlink()


def _parsed(text: bytes) -> Tokens | None:
    try:
        tokens = Tokens(**json.loads(text))
    except (ValueError, TypeError):
        return None
    texts = (tokens.url, tokens.token, tokens.control_token, tokens.store)
    return tokens if all(isinstance(one, str) for one in texts) and type(tokens.pid) is int else None


def _runs(pid: int) -> bool:
    """Whether a process of that number is there."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
