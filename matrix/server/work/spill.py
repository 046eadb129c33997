"""Files for what clients have not taken yet: in a folder that only this user can enter, and bounded.

What always holds: the server makes a file when it allows its first bytes, and deletes it when its request ends; a
working process only writes to it. What all files, and those of one client, may have is counted before it is written.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from matrix.server.contract import Frame
from matrix.server.work.wire import unpack_frames


class Spills:
    """The files of all requests, and how much they may have."""

    def __init__(self, *, most: int, most_per_client: int) -> None:
        self._most, self._most_per_client = most, most_per_client
        self._by_client: Counter[int] = Counter()
        self._folder: Path | None = None
        self._made = 0
        self.size_bytes = 0

    def open(self) -> None:
        """Make the folder."""
        self._folder = Path(tempfile.mkdtemp(prefix="matrix-serve-"))  # 0700

    def close(self) -> None:
        """Delete it with all that is in it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def spill(self, client: object) -> Spill:
        """A place for what one request leaves."""
        assert self._folder is not None, "the folder is made before there are requests"
        self._made += 1
        return Spill(self, client, self._folder / f"{self._made}")

    def take(self, client: object, size: int) -> bool:
        """Count so many bytes more, if there is room for them."""
        if self.size_bytes + size > self._most or self._by_client[id(client)] + size > self._most_per_client:
            return False
        self.size_bytes += size
        self._by_client[id(client)] += size
        return True

    def give_back(self, client: object, size: int) -> None:
        """So many bytes are gone."""
        self.size_bytes -= size
        self._by_client[id(client)] -= size
        if not self._by_client[id(client)]:
            del self._by_client[id(client)]


class Spill:
    """The file of one request; there is none as long as nothing is left."""

    def __init__(self, spills: Spills, client: object, path: Path) -> None:
        self._spills, self._client, self.path = spills, client, path
        self._size = 0
        self._file: int | None = None
        self._is_over = False

    def allow(self, size: int) -> bool:
        """May the file have so many bytes more? It is there when it may."""
        if self._is_over or not self._spills.take(self._client, size):
            return False
        self._size += size
        if self._file is None:
            try:
                self.path.parent.mkdir(mode=0o700, exist_ok=True)  # somebody may have tidied up
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except OSError:
                return False
        return True

    def frames(self, offset: int, size: int) -> list[Frame]:
        """A batch that lies there, ready for the wire."""
        assert self._file is not None, "only what was allowed is read"
        return unpack_frames(os.pread(self._file, size, offset))

    def close(self) -> None:
        """Delete it."""
        self._is_over = True
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self.path.unlink(missing_ok=True)
        self._spills.give_back(self._client, self._size)
        self._size = 0
