"""Shards: rows wait on disk until all are known, and are then divided among files.

What always holds: rows keep the order they came in, but for those of JSON Lines that show something new about the
columns (see ``Shape.learn``): what would stand behind the first hundred rows or the first MiB is moved to the front,
of its split, and of its file. Readers of JSON Lines guess the types of columns from what comes first (Polars from 100
rows, ``datasets`` from 10 MB, DuckDB from 20,480 rows), and fail at a row of another shape that comes later.

Files are named as Hugging Face's documents on the structure of repositories have it: ``train-00000-of-00004.parquet``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from matrix.errors import UsageError
from matrix.export.shape import Shape
from matrix.limits import EXPORT_SHARDS_MAX

HEAD_ROWS: Final = 100
HEAD_BYTES: Final = 1024 * 1024


@dataclass(slots=True)
class Waiting:
    """The lines of one group of files, in a file of their own; ``shape`` is what the group alone shows."""

    path: Path
    rows: int = 0
    size: int = 0
    shape: Shape = field(default_factory=Shape)
    news: list[tuple[int, int, int]] = field(default_factory=list)  # row, offset and length of those to be moved
    _out: BinaryIO | None = None

    def add(self, line: bytes, *, is_new: bool) -> None:
        """One more line, without its newline; ``is_new`` when its row has what none had before."""
        if self._out is None:
            self._out = self.path.open("wb")
        if is_new and (self.rows >= HEAD_ROWS or self.size + len(line) > HEAD_BYTES):
            self.news.append((self.rows, self.size, len(line)))
        self._out.write(line)
        self._out.write(b"\n")
        self.rows += 1
        self.size += len(line) + 1

    def close(self) -> None:
        """No more lines come; closing twice is nothing."""
        if self._out is not None:
            self._out.close()
            self._out = None

    def lines(self) -> Iterator[bytes]:
        """All lines, in the order in which they are to be written."""
        self.close()
        if not self.rows:
            return
        moved = {row for row, _, _ in self.news}
        with self.path.open("rb") as file:
            for _, offset, length in self.news:
                file.seek(offset)
                yield file.read(length)
            file.seek(0)
            for row, line in enumerate(file):
                if row not in moved:
                    yield line[:-1]


def sizes(rows: int, *, count: int | None = None, rows_each: int | None = None) -> list[int]:
    """How many rows each file of a split has: as evenly as can be, and none is empty unless all is.

    >>> sizes(10, count=4), sizes(10, rows_each=4), sizes(2, count=4), sizes(0, count=4)
    ([3, 3, 2, 2], [4, 3, 3], [1, 1], [0])
    """
    if rows_each is not None:
        count = -(-rows // rows_each)
    count = max(1, min(count or 1, rows))
    each, rest = divmod(rows, count)
    return [each + (number < rest) for number in range(count)]


def check(count: int | None, rows_each: int | None) -> None:
    """Refuse numbers that no files can be made by."""
    if count is not None and rows_each is not None:
        raise UsageError("rows are divided by shards (how many files) or by shard_rows (rows in each), not by both")
    for name, value in (("shards", count), ("shard_rows", rows_each)):
        if value is not None and (type(value) is not int or value < 1):
            raise UsageError(f"{name} is a whole number from 1 on, not {value!r}")
    if count is not None and count > EXPORT_SHARDS_MAX:
        raise UsageError(f"shards: {count:,} files of a split are too many, {EXPORT_SHARDS_MAX:,} is the most")


def name(split: str, number: int, count: int, suffix: str) -> str:
    """The name of one of a split's files; ``number`` counts from 0.

    >>> name("train", 0, 4, ".parquet")
    'train-00000-of-00004.parquet'
    """
    return f"{split}-{number:05}-of-{count:05}{suffix}"
