"""Has a log grown? A glance at names and sizes, for whoever looks often; nothing is opened or read.

Where the system tells of what is written in a folder, nobody needs to glance to find out: ``fileno`` is readable when a
glance may see something. It may be wrong either way, so a glance now and then is needed all the same.
"""

from __future__ import annotations

import os
import select
from pathlib import Path

from matrix.log.disk import DISK, Disk
from matrix.log.notify import Notices
from matrix.log.segment import segment_numbers, segment_path, shard_folder, shard_numbers


class Growth:
    """Watches the newest segment of every shard, and for new ones.

    >>> growth = Growth(Path("runs/log"))                                  # doctest: +SKIP
    >>> growth.has_grown(), growth.has_grown()                             # doctest: +SKIP
    (True, False)
    """

    def __init__(self, log: Path, disk: Disk = DISK) -> None:
        self._log, self._disk = log, disk
        self._folder = 0  # when a shard was added last
        self._shards: list[int] = []
        self._seen: dict[int, tuple[int, int, int]] = {}  # by shard: number, inode and size of the newest segment
        self._notices: Notices | None = None
        self._has_asked = False

    def has_grown(self) -> bool:
        """Whether anything was written, or rewritten, at a log's end since the last time; at first it has."""
        if self._notices is not None:
            self._notices.forget()  # before it is looked for: what is written from here on is told again
        try:
            changed = os.stat(self._log).st_mtime_ns
        except FileNotFoundError:
            return False
        if changed != self._folder:
            self._folder, self._shards = changed, shard_numbers(self._disk, self._log)
            self._add_folders()
        found = {shard: self._newest(shard) for shard in self._shards}
        has_grown, self._seen = found != self._seen, found
        return has_grown

    def wait(self, seconds: float) -> bool:
        """Wait in this thread until it may have grown, or for so long, and then see."""
        fd = self.fileno()
        select.select([] if fd is None else [fd], [], [], seconds)
        return self.has_grown()

    def fileno(self) -> int | None:
        """What is readable when a glance may see something; None where the system tells nothing."""
        if not self._has_asked:
            self._has_asked = True
            try:
                self._notices = Notices()
            except OSError:
                return None
            self._add_folders()
        return None if self._notices is None else self._notices.fileno()

    def close(self) -> None:
        """Let go of what tells; a glance is possible all the same, and ``fileno`` asks for it again."""
        if self._notices is not None:
            self._notices.close()
        self._notices, self._has_asked = None, False

    def _add_folders(self) -> None:
        if self._notices is not None:
            self._notices.add([self._log, *(shard_folder(self._log, shard) for shard in self._shards)])

    def _newest(self, shard: int) -> tuple[int, int, int]:
        """The newest segment of a shard; once it is known, a next one is found by its name."""
        number = self._seen[shard][0] if shard in self._seen else 0
        if not number:
            number = max(segment_numbers(self._disk, self._log, shard), default=0)
        while number and segment_path(self._log, shard, number + 1).exists():
            number += 1
        if not number:
            return 0, 0, 0
        try:
            found = self._disk.id(segment_path(self._log, shard, number))
        except FileNotFoundError:
            return 0, 0, 0
        return number, found.inode, found.size
