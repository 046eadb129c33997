"""What was typed before: one file per user, which nobody else can read.

It lies in the user's state folder (``$XDG_STATE_HOME``, else ``~/.local/state``) and is cut to its newest entries when
it grows. A folder that cannot be written costs the history, never the prompt.
"""

from __future__ import annotations

import os
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from matrix.limits import PROMPT_HISTORY_BYTES_MAX, PROMPT_HISTORY_ENTRIES_KEPT
from matrix.tokens import state_folder


def history_file() -> Path:
    """Where the history of this user is."""
    return state_folder() / "history"


def open_history(path: Path | None) -> tuple[History, str]:
    """The history in a file, made if need be, or one that ends with the prompt; and why, when it had to be that."""
    if path is None:
        return InMemoryHistory(), ""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
        if path.stat().st_size > PROMPT_HISTORY_BYTES_MAX:
            _cut(path)
    except OSError as error:
        return InMemoryHistory(), f"{path}: {error.strerror}; what is typed is not kept"
    return UserHistory(path), ""


class UserHistory(FileHistory):
    """Appends to the file; when that fails, what is typed is remembered until the prompt closes."""

    def store_string(self, string: str) -> None:
        lines = "".join(f"+{line}\n" for line in string.split("\n"))
        try:
            with open(self.filename, "ab") as file:
                file.write(f"\n{lines}".encode(errors="replace"))
        except OSError:
            return  # a full disk; the text is in memory already


def _cut(path: Path) -> None:
    """Keep the newest entries. A prompt elsewhere opens the file for each line, so it finds the new one."""
    kept = list(FileHistory(path).load_history_strings())[:PROMPT_HISTORY_ENTRIES_KEPT]
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.close(descriptor)
    shorter = UserHistory(partial)
    for text in reversed(kept):
        shorter.store_string(text)
    partial.replace(path)
