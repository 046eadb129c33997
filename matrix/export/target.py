"""Where an export goes: a file, a folder of files, or a pipe.

What always holds: a file or folder is there whole under its name, or not at all: all is written into a hidden folder
beside it, which takes its place in the end or is gone. A folder that holds something is left as it is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matrix.errors import StoreError, UsageError

JSONL: Final = "jsonl"
PARQUET: Final = "parquet"
#: Formats by their names, and what files in them end in.
FORMATS: Final = {JSONL: ".jsonl", "jsonl.gz": ".jsonl.gz", "jsonl.zst": ".jsonl.zst", PARQUET: ".parquet"}
_SUFFIXES: Final = {suffix: format for format, suffix in FORMATS.items()} | {
    ".ndjson": JSONL,
    ".ndjson.gz": "jsonl.gz",
    ".ndjson.zst": "jsonl.zst",
}
_OTHERS: Final = (".json", ".csv", ".tsv", ".txt", ".arrow", ".feather", ".gz", ".zst", ".zip", ".bz2", ".xz")
_WRITTEN: Final = "a file is written as JSON Lines (.jsonl, .jsonl.gz, .jsonl.zst) or Parquet (.parquet)"


@dataclass(frozen=True, slots=True)
class Target:
    """A file (``path`` with a suffix of a format) or a folder, and the format of what is written."""

    path: Path
    format: str
    is_folder: bool

    @property
    def suffix(self) -> str:
        """What names of files in a folder end in."""
        return FORMATS[self.format]

    @property
    def is_stream(self) -> bool:
        """A pipe or a device: there is nothing to put in its place, so lines go in as they come."""
        return self.path.exists() and not self.is_folder and not stat.S_ISREG(self.path.stat().st_mode)

    @contextlib.contextmanager
    def staged(self) -> Iterator[Path]:
        """A folder to write into; what is in it in the end takes its place, or nothing does.

        Of a file, what has the name of ``path`` is it, and whatever begins with that name is put beside it.
        """
        outer: str | None = None
        try:
            # A name that nobody has: what a killed process left behind must not stop the next one.
            outer = tempfile.mkdtemp(prefix=f".{self.path.name}.", suffix=".partial", dir=self.path.parent)
            staging = Path(outer, "whole")
            staging.mkdir()  # others may read it, as far as they may read what is made here; not so the outer one
            yield staging
            if self.is_folder:
                staging.rename(self.path)  # onto an empty folder, or where there is none
            else:
                for file in sorted(staging.iterdir(), reverse=True):  # its name is the shortest, and comes last
                    file.replace(self.path.with_name(file.name))
        except OSError as error:
            why = error.strerror or error
            raise StoreError(f"{self.path}: not written, and nothing of it is there: {why}") from error
        finally:
            if outer is not None:
                shutil.rmtree(outer, ignore_errors=True)


def target(to: str | Path, format: str | None = None) -> Target:
    """Where ``to`` is, in which format; ``UsageError`` when that cannot be.

    >>> target("chats.jsonl").format, target("chats.parquet").is_folder, target("chats").format
    ('jsonl', False, 'parquet')
    """
    text, path = os.fspath(to), Path(to)
    if format is not None and format not in FORMATS:
        raise UsageError(f'there is no format "{format}"; there are {", ".join(FORMATS)}')
    if not path.name:
        raise UsageError(f'"{text}" names no file or folder to write')
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to write {path.name} in")
    named = next((form for suffix, form in _SUFFIXES.items() if path.name.lower().endswith(suffix)), None)
    is_there = path.exists()
    if path.is_dir() or text.endswith("/"):
        return _folder(path, format)
    if named is None and not is_there:
        if path.name.lower().endswith(_OTHERS):
            raise UsageError(f"{path.name}: {_WRITTEN}; a folder of that name is meant by {path.name}/")
        return _folder(path, format)
    if named is None and stat.S_ISREG(path.stat().st_mode):
        raise UsageError(f"{path} is a file whose name says no format: {_WRITTEN}")
    if named is not None and format is not None and named != format:
        raise UsageError(f"{path.name} is a name for {named}, and the format asked for is {format}")
    return Target(path, format or named or JSONL, is_folder=False)


def _folder(path: Path, format: str | None) -> Target:
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file, not a folder")
    if path.exists() and any(path.iterdir()):
        raise UsageError(f"{path}: there is something in this folder already; give a new one, or remove it first")
    return Target(path, format or PARQUET, is_folder=True)
