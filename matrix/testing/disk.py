"""Disks for tests: one in memory that can lose power, one that fails on purpose.

``MemoryDisk`` keeps what was written and what would survive: bytes are safe after ``sync``, names after
``sync_folder``. ``crash`` gives a disk as it might be found after a power cut: unsynced sectors of 512
bytes are each kept, lost or filled with noise, drawn from a seed. ``FaultyDisk`` makes chosen calls fail.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path

from matrix.log.disk import Disk, File, FileId

SECTOR_BYTES = 512


class _Node:
    """A file's bytes: as written, and as they were at the last sync."""

    def __init__(self, inode: int, data: bytes = b"") -> None:
        self.inode, self.changes = inode, 0
        self.data, self.synced = bytearray(data), data
        self.locked_by: MemoryFile | None = None


class MemoryFile(File):
    """An open file of a ``MemoryDisk``."""

    def __init__(self, disk: MemoryDisk, path: Path, node: _Node) -> None:
        super().__init__(-1)
        self._disk, self._path, self._node = disk, path, node

    def read(self, size: int, offset: int) -> bytes:
        self._disk.on_call("read", self._path)
        return bytes(self._node.data[offset : offset + size])

    def write(self, data: bytes, offset: int) -> int:
        taken = self._disk.taken("write", self._path, len(data))
        kept = self._node.data
        if offset > len(kept):
            kept.extend(bytes(offset - len(kept)))
        kept[offset : offset + taken] = data[:taken]
        self._node.changes += 1
        return taken

    def id(self) -> FileId:
        return FileId(self._node.inode, len(self._node.data), self._node.changes)

    def truncate(self, size: int) -> None:
        self._disk.on_call("truncate", self._path)
        del self._node.data[size:]
        self._node.changes += 1

    def sync(self) -> None:
        self._disk.on_call("sync", self._path)
        self._node.synced = bytes(self._node.data)

    def forget(self) -> None:
        self._disk.on_call("forget", self._path)  # nothing is cached here

    def lock(self) -> bool:
        if self._node.locked_by not in (None, self):
            return False
        self._node.locked_by = self
        return True

    def unlock(self) -> None:
        if self._node.locked_by is self:
            self._node.locked_by = None

    def close(self) -> None:
        if getattr(self, "_node", None) is not None:
            self.unlock()


class MemoryDisk(Disk):
    """A disk in memory, for one process; folders exist once made."""

    def __init__(self) -> None:
        self._files: dict[Path, _Node] = {}
        self._safe_names: dict[Path, _Node] = {}
        self._folders: set[Path] = set()
        self._inodes = 0
        self._entropy = random.Random(1)

    # -- what a subclass may change -----------------------------------------------------------

    def on_call(self, call: str, path: Path) -> None:
        """Called before every operation; may raise ``OSError``."""

    def taken(self, call: str, path: Path, size: int) -> int:
        """How many of ``size`` bytes a write takes."""
        self.on_call(call, path)
        return size

    # -- the disk -----------------------------------------------------------------------------

    def open(self, path: Path, *, writable: bool = False) -> File:
        self.on_call("open", path)
        return MemoryFile(self, path, self._node(path))

    def create(self, path: Path) -> File:
        self.on_call("create", path)
        self._files[path] = node = self._new_node(b"")
        return MemoryFile(self, path, node)

    def open_lock(self, path: Path) -> File:
        if path not in self._files:
            self._files[path] = self._new_node(b"")
        return MemoryFile(self, path, self._files[path])

    def id(self, path: Path) -> FileId:
        node = self._node(path)
        return FileId(node.inode, len(node.data), node.changes)

    def names(self, folder: Path) -> list[str]:
        if folder not in self._folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(folder))
        inside = [path for path in (*self._files, *self._folders) if path.parent == folder]
        return sorted(path.name for path in inside)

    def make_folder(self, path: Path) -> bool:
        if path in self._folders:
            return False
        self.on_call("make_folder", path)
        self._folders.add(path)
        return True

    def make_folders(self, path: Path) -> None:
        self._folders.update((path, *path.parents))

    def rename(self, source: Path, target: Path) -> None:
        self.on_call("rename", target)
        self._files[target] = self._files.pop(source)

    def remove(self, path: Path) -> None:
        self.on_call("remove", path)
        self._files.pop(path, None)

    def sync_folder(self, path: Path) -> None:
        self.on_call("sync_folder", path)
        self._safe_names = {name: node for name, node in self._safe_names.items() if name.parent != path}
        self._safe_names.update({name: node for name, node in self._files.items() if name.parent == path})

    def entropy(self) -> int:
        return self._entropy.getrandbits(64)

    def _node(self, path: Path) -> _Node:
        if path not in self._files:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return self._files[path]

    def _new_node(self, data: bytes) -> _Node:
        self._inodes += 1
        return _Node(self._inodes, data)

    # -- for tests ----------------------------------------------------------------------------

    def bytes_of(self, path: Path) -> bytes:
        """What a file holds now."""
        return bytes(self._node(path).data)

    def put(self, path: Path, data: bytes) -> None:
        """Gives a file other bytes, as damage would; the same file, changed."""
        node = self._files.get(path) or self._files.setdefault(path, self._new_node(b""))
        node.data[:] = data
        node.synced = data
        node.changes += 1

    def paths(self) -> list[Path]:
        """All files."""
        return sorted(self._files)

    def kill(self) -> MemoryDisk:
        """This disk after ``kill -9``: everything written is there, though not yet safe, and no lock is held."""
        copy = self._copy(self._files, lambda node: bytes(node.data))
        for path, node in self._files.items():
            copy._files[path].synced = node.synced
        copy._safe_names = {path: copy._files[path] for path in self._safe_names if path in copy._files}
        return copy

    def crash(self, seed: int) -> MemoryDisk:
        """This disk after a power cut: what was synced is there, of the rest whatever the seed says."""
        draw = random.Random(seed)
        names = self._files if draw.random() < 0.5 else {**self._safe_names}
        return self._copy(names, lambda node: torn(node.synced, bytes(node.data), draw))

    def _copy(self, names: dict[Path, _Node], contents: Callable[[_Node], bytes]) -> MemoryDisk:
        copy = MemoryDisk()
        copy._folders = set(self._folders)
        for path in sorted(names):
            copy._files[path] = copy._new_node(contents(names[path]))
        copy._safe_names = dict(copy._files)
        return copy


def torn(synced: bytes, written: bytes, draw: random.Random) -> bytes:
    """Bytes as a power cut may leave them: an unsynced sector is new, old, zeros or noise; so is the length."""
    size = draw.choice((len(written), len(synced), draw.randint(*sorted((len(synced), len(written))))))
    result = bytearray(synced[:size].ljust(size, b"\0"))
    for start in range(0, size, SECTOR_BYTES):
        stop = min(start + SECTOR_BYTES, size)
        if written[start:stop] == synced[start:stop]:
            continue
        fate = draw.random()
        if fate < 0.6:
            new = written[start:stop]
            result[start : start + len(new)] = new
        elif fate < 0.7:
            safe = len(synced[start:stop])  # bytes that were synced in this sector are never lost with it
            result[start + safe : stop] = draw.randbytes(stop - start - safe)
    return bytes(result)


class FaultyDisk(MemoryDisk):
    """A disk whose calls fail on purpose.

    ``fail(call, at=3, error=errno.EIO)`` lets the third such call from now fail, and with ``forever`` all
    after it too; ``space`` bytes are left before ENOSPC, which a short write precedes as on a real disk;
    ``short_writes`` makes writes take fewer bytes than given, drawn from the seed.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.calls: list[tuple[str, Path]] = []
        self.space: int | None = None
        self.short_writes = False
        self._draw = random.Random(seed)
        self._faults: dict[str, tuple[int, int, bool]] = {}

    def fail(self, call: str, *, at: int = 1, error: int = errno.EIO, forever: bool = False) -> None:
        """Arms a fault: ``call`` is "write", "sync", "truncate", "rename", "create", ... or "any"."""
        self._faults[call] = (at, error, forever)

    def heal(self) -> None:
        """No more faults."""
        self._faults.clear()
        self.space, self.short_writes = None, False

    def on_call(self, call: str, path: Path) -> None:
        self.calls.append((call, path))
        for name in (call, "any"):
            if name in self._faults:
                at, error, forever = self._faults[name]
                self._faults[name] = (at - 1, error, forever)
                if at == 1 or (forever and at < 1):
                    raise OSError(error, f"a fault made for this test (seed {self.seed}, call {len(self.calls)})")

    def taken(self, call: str, path: Path, size: int) -> int:
        self.on_call(call, path)
        if self.space is not None:
            if self.space == 0:
                raise OSError(errno.ENOSPC, "no space left (made for this test)")
            size = min(size, self.space)
            self.space -= size
        if self.short_writes and size > 1:
            size = self._draw.randint(1, size)
        return size
