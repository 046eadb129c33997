"""A file to import: its bytes, whatever it is wrapped in, its digest, and where a refusal points.

Whether a file is gzipped is told by its first two bytes, never by its name. The digest is that of the
decompressed content, so ``runs.json`` and ``runs.json.gz`` are one and the same file to a store.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from matrix.limits import IMPORT_CHUNK_BYTES

_GZIP_MAGIC = b"\x1f\x8b"


class Refusal(Exception):
    """What is wrong with a file and where; the runner adds the file's name and makes it ``ImportRefused``.

    >>> str(Refusal("simulations[12].id", "expected text, found a number"))
    'simulations[12].id: expected text, found a number'
    """

    def __init__(self, place: str, what: str) -> None:
        self.place, self.what = place, what
        super().__init__(f"{place}: {what}")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one file is: ``bytes_read`` of ``bytes_total`` as they lie on disk, in this ``phase``.

    While ``checking`` the file is read without anything being written (a digest, a header); then
    ``importing`` starts again at zero. ``simulations`` are those handed to the log so far.
    """

    file: Path
    phase: str
    bytes_read: int
    bytes_total: int
    simulations: int


class Source:
    """One file, to be read as often as an importer needs to, always in chunks.

    >>> source = Source(Path("runs.json.gz"))                                         # doctest: +SKIP
    >>> source.name, source.digest[:8], source.is_gzipped                             # doctest: +SKIP
    ('runs.json.gz', '5cd0d5b4', True)
    """

    def __init__(self, path: Path, *, wall: int = 0, progress: Callable[[Progress], None] | None = None) -> None:
        self.path = path
        self.wall = wall  # the moment of the import, for formats that record no times
        self.name = path.name
        self.phase = "checking"
        self.simulations = 0
        self._progress = progress
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe, say, can be read only once
                raise Refusal("the file cannot be read", "it is not a regular file")
            self.bytes_total = status.st_size
            with path.open("rb") as file:
                self.is_gzipped = file.read(2) == _GZIP_MAGIC
        except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
            raise Refusal("the file cannot be read", getattr(error, "strerror", None) or str(error)) from error
        self.digest = ""
        for _ in self.chunks():
            pass

    def chunks(self) -> Iterator[bytes]:
        """The decompressed content from the start; a damaged or cut-off gzip is refused with its place."""
        digest = hashlib.sha256()
        with self.path.open("rb") as raw:
            file = gzip.GzipFile(fileobj=raw, mode="rb") if self.is_gzipped else raw
            while chunk := self._read(cast(BinaryIO, file), raw):
                self._report(raw.tell())
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != (self.digest or digest.hexdigest()):
            raise Refusal("the whole file", "it was changed while it was read; try again")
        self.digest = digest.hexdigest()

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines of a text file with their numbers from 1, without their ends; for JSON Lines and the like."""
        number, rest = 0, b""
        for chunk in self.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                number += 1
                yield number, _text(line, number)
        if rest:
            yield number + 1, _text(rest, number + 1)

    def _read(self, file: BinaryIO, raw: io.BufferedReader) -> bytes:
        try:
            return file.read(IMPORT_CHUNK_BYTES)
        except EOFError as error:
            raise Refusal(f"byte {raw.tell()} of the gzip", "the file is cut off") from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise Refusal(f"near byte {raw.tell()} of the gzip", f"the file is damaged: {error}") from error
        except OSError as error:
            raise Refusal(f"byte {raw.tell()}", f"cannot be read: {error.strerror or error}") from error

    def _report(self, bytes_read: int) -> None:
        if self._progress is not None:
            self._progress(Progress(self.path, self.phase, bytes_read, self.bytes_total, self.simulations))


def _text(line: bytes, number: int) -> str:
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise Refusal(f"line {number}, byte {error.start} of the line", "not UTF-8 text") from error
