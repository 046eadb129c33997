"""Disk: the one seam between the log and the operating system.

Everything the log does to files goes through ``Disk`` and ``File``, so a test can put a faulty disk in
their place (``matrix.testing.disk``). Errors are the system's own ``OSError``; the rooms above say
what they mean.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class FileId(NamedTuple):
    """What tells whether a path still holds the file that was read: identity, size in bytes, time of change."""

    inode: int
    size: int
    changed_ns: int


class File:
    """An open file, read and written at given places."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        fd, self._fd = getattr(self, "_fd", -1), -1
        if fd >= 0:
            close(fd)  # bound above: when a program ends, the module may be gone before its last files

    def read(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes from ``offset``; fewer only at the end of the file."""
        data = os.pread(self._fd, size, offset)
        if len(data) == size or not data:
            return data
        parts = [data]  # a read may be cut short by a signal, or by 2 GiB
        while data and sum(map(len, parts)) < size:
            done = sum(map(len, parts))
            data = os.pread(self._fd, size - done, offset + done)
            parts.append(data)
        return b"".join(parts)

    def write(self, data: bytes, offset: int) -> int:
        """Hands bytes to the operating system; returns how many it took, which may be fewer."""
        return os.pwrite(self._fd, data, offset)

    def id(self) -> FileId:
        """Identity, size and time of change."""
        found = os.fstat(self._fd)
        return FileId(found.st_ino, found.st_size, found.st_mtime_ns)

    def truncate(self, size: int) -> None:
        """Cuts the file to ``size`` bytes."""
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        """Waits until the file's bytes survive power loss."""
        os.fdatasync(self._fd)

    def forget(self) -> None:
        """Drops the system's cached pages, so that the next read shows what the disk really holds."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def lock(self) -> bool:
        """Takes the file's lock for this process, without waiting; False when another has it."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """Gives the lock back, also for processes forked from this one that still hold the file open."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Closes the file; twice is harmless."""
        fd, self._fd = getattr(self, "_fd", -1), -1
        if fd >= 0:
            os.close(fd)


class Disk:
    """The real disk."""

    def open(self, path: Path, *, writable: bool = False) -> File:
        """An existing file."""
        return File(os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC))

    def create(self, path: Path) -> File:
        """A new empty file in the place of any that was there."""
        return File(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644))

    def open_lock(self, path: Path) -> File:
        """The lock file at ``path``, made when missing."""
        return File(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))

    def id(self, path: Path) -> FileId:
        """Identity, size and time of change of the file that now has this name."""
        found = os.stat(path)
        return FileId(found.st_ino, found.st_size, found.st_mtime_ns)

    def names(self, folder: Path) -> list[str]:
        """Sorted names in a folder."""
        return sorted(os.listdir(folder))

    def make_folder(self, path: Path) -> bool:
        """Makes a folder; False when it was there, which only one of several processes can avoid."""
        try:
            os.mkdir(path)
        except FileExistsError:
            return False
        return True

    def make_folders(self, path: Path) -> None:
        """Makes a folder and those above it."""
        os.makedirs(path, exist_ok=True)

    def rename(self, source: Path, target: Path) -> None:
        """Puts ``source`` in the place of ``target`` in one step."""
        os.rename(source, target)

    def remove(self, path: Path) -> None:
        """Removes a file; none there is harmless."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def sync_folder(self, path: Path) -> None:
        """Waits until the names in a folder survive power loss: a file is not durable until its name is."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def entropy(self) -> int:
        """64 random bits, to tell one shard from any other."""
        return int.from_bytes(os.urandom(8), "little")


DISK = Disk()


def write_all(file: File, data: bytes, offset: int) -> None:
    """Writes all bytes, in as many pieces as the system takes them in."""
    written = file.write(data, offset)
    while written < len(data):
        more = file.write(data[written:], offset + written)
        if more <= 0:
            raise OSError(f"the disk took {written} of {len(data)} bytes")
        written += more
