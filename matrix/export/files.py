"""Files: rows become the files of an export, once all rows are there.

What always holds: nothing is written under its last name before every row is known, since the types of columns, and
how many files there are, depend on all of them. Until then rows wait as lines of JSON, in a file for each split.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matrix.errors import UsageError
from matrix.export import columns, jsonl, parquet, shards
from matrix.export.shape import Shape
from matrix.export.target import PARQUET, Target

ALL: Final = "all"  # the rows of a single file, of whatever split


@dataclass(frozen=True, slots=True)
class File:
    """A file of an export: its rows, its size, and its SHA-256, as ``sha256sum`` prints it."""

    name: str
    split: str
    rows: int
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path, *, split: str, rows: int) -> File:
        """A file as it lies there."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path.name, split, rows, path.stat().st_size, digest)

    def as_data(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return {"name": self.name, "split": self.split, "rows": self.rows, "bytes": self.bytes, "sha256": self.sha256}


class Files:
    """Takes rows, and makes files of them in a folder: one, or some for each split.

    >>> files = Files(Path("chats"), target("chats"), ["train", "test"])        # doctest: +SKIP
    >>> files.add({"messages": [], "agent": "ada"}, "train")                    # doctest: +SKIP
    >>> [file.name for file in files.finish()]                                  # doctest: +SKIP
    ['train-00000-of-00001.parquet']
    """

    def __init__(
        self,
        folder: Path,
        to: Target,
        splits: Sequence[str],
        *,
        count: int | None = None,
        rows_each: int | None = None,
        expected: Sequence[str] = (),
    ) -> None:
        """``count`` files of each split, or files of ``rows_each`` rows; else one.

        ``expected`` are the columns of a Parquet file without rows.
        """
        check_shards(to, count, rows_each)
        self.shape = Shape()
        self._folder, self._to, self._count, self._rows_each = folder, to, count, rows_each
        self._expected, self._moved_within = expected, 0
        self._waiting = {
            split: shards.Waiting(folder / f"waiting-{split}") for split in (splits if to.is_folder else [ALL])
        }

    @property
    def moved(self) -> int:
        """How many rows stand before others that came earlier."""
        return sum(len(waiting.news) for waiting in self._waiting.values()) + self._moved_within

    def add(self, data: Mapping[str, Any], split: str) -> None:
        """One more row."""
        self.shape.learn_row(data)
        waiting = self._waiting[split if self._to.is_folder else ALL]
        # Of each split by itself: it is read without the others. Parquet says its types.
        is_new = self._to.format != PARQUET and waiting.shape.learn_row(data)
        waiting.add(jsonl.line_of(data), is_new=is_new)

    def finish(self) -> list[File]:
        """Write them; no rows may follow."""
        full = {split: waiting for split, waiting in self._waiting.items() if waiting.rows}
        # Empty splits are told in the card: a file without rows is no split, but an error of whoever reads it.
        written = full or dict([next(iter(self._waiting.items()))])
        found = [file for split, waiting in written.items() for file in self._of(split, waiting)]
        self.close()
        return found

    def _of(self, split: str, waiting: shards.Waiting) -> Iterator[File]:
        sizes = shards.sizes(waiting.rows, count=self._count, rows_each=self._rows_each)
        lines = waiting.lines()
        for number, rows in enumerate(sizes):
            is_one = not self._to.is_folder
            name = self._to.path.name if is_one else shards.name(split, number, len(sizes), self._to.suffix)
            some = (line for _, line in zip(range(rows), lines))
            if self._to.format == PARQUET:
                parquet.write(self._folder / name, some, columns.schema(self.shape, self._expected))
            else:
                jsonl.write(self._folder / name, self._for_itself(some) if number else some)
            yield File.of(self._folder / name, split=split, rows=rows)

    def _for_itself(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """The lines of a later file of a split, so that it, too, can be read without the first."""
        waiting = shards.Waiting(self._folder / "waiting-within")
        try:
            for line in lines:
                waiting.add(line, is_new=waiting.shape.learn_row(json.loads(line)))
            self._moved_within += len(waiting.news)
            yield from waiting.lines()
        finally:
            waiting.close()
            waiting.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the rows that wait; closing twice is nothing."""
        for waiting in self._waiting.values():
            waiting.close()
            waiting.path.unlink(missing_ok=True)


def check_shards(to: Target | None, count: int | None, rows_each: int | None) -> None:
    """Refuse shards where there is no folder for them, and numbers that no files can be made by."""
    shards.check(count, rows_each)
    if (count is not None or rows_each is not None) and (to is None or not to.is_folder):
        where = "a pipe" if to is None else f"one file, {to.path.name}"
        raise UsageError(f"shards are files in a folder, and this goes to {where}: give a folder")
