"""Has a log grown? A glance at names and sizes, for whoever looks often; nothing is opened or read."""

from __future__ import annotations

import os
from pathlib import Path

from matrix.log.disk import DISK, Disk
from matrix.log.segment import segment_numbers, segment_path, shard_numbers


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

    def has_grown(self) -> bool:
        """Whether anything was written, or rewritten, at a log's end since the last time; at first it has."""
        try:
            changed = os.stat(self._log).st_mtime_ns
        except FileNotFoundError:
            return False
        if changed != self._folder:
            self._folder, self._shards = changed, shard_numbers(self._disk, self._log)
        found = {shard: self._newest(shard) for shard in self._shards}
        has_grown, self._seen = found != self._seen, found
        return has_grown

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
