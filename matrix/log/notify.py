"""Being told by Linux that something in a folder was written: ``inotify``, by way of ctypes.

What always holds: it only saves waiting. Where there is none (another system, too many in use), or where it is silent
(a folder of another machine), whoever waits looks from time to time all the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_MODIFY, _MOVED_TO, _CREATE = 0x2, 0x80, 0x100
_READ_BYTES: Final = 64 * 1024


class Notices:
    """Readable when something was written in one of some folders since ``forget``."""

    def __init__(self) -> None:
        """Raises ``OSError`` where the system has nothing to tell with."""
        if not sys.platform.startswith("linux"):
            raise OSError("only Linux has inotify")
        self._system = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._system.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "no inotify to be had")

    def add(self, folders: Iterable[Path]) -> None:
        """Tell of these folders too; of one twice is harmless."""
        for folder in folders:
            self._system.inotify_add_watch(self._fd, os.fsencode(folder), _MODIFY | _MOVED_TO | _CREATE)

    def fileno(self) -> int:
        """What to wait for."""
        return self._fd

    def forget(self) -> None:
        """Be unreadable until something is written again."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._fd, _READ_BYTES)) > _READ_BYTES // 2:
                pass

    def close(self) -> None:
        """Let go of it; twice is harmless."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            self.close()
