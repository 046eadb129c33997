"""A file to import: its bytes, whatever it is wrapped in, its digest, and where a refusal points.

Whether a file is compressed with gzip or zstd is told by its first bytes, never by its name. The digest is that of
the decompressed content, so ``runs.json`` and ``runs.json.gz`` are one and the same file to a store.
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

import pyarrow as pa

from matrix.limits import IMPORT_CHUNK_BYTES, IMPORT_LINE_BYTES_MAX

#: What compressed files begin with (RFC 1952 and RFC 8878).
_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


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
    >>> source.name, source.digest[:8], source.compression                            # doctest: +SKIP
    ('runs.json.gz', '5cd0d5b4', 'gzip')
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
                start = file.read(4)
        except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
            raise Refusal("the file cannot be read", getattr(error, "strerror", None) or str(error)) from error
        #: ``gzip``, ``zstd`` or nothing.
        self.compression = next((name for name, magic in _MAGIC.items() if start.startswith(magic)), "")
        self.digest = ""
        for _ in self.chunks():
            pass

    def chunks(self) -> Iterator[bytes]:
        """The decompressed content from the start; what is damaged or cut off is refused with its place."""
        digest = hashlib.sha256()
        with self.path.open("rb") as raw:
            file = self._opened(raw)
            while chunk := self._read(file, raw):
                self._report(raw.tell())
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != (self.digest or digest.hexdigest()):
            raise Refusal("the whole file", "it was changed while it was read; try again")
        self.digest = digest.hexdigest()

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines of a text file with their numbers from 1, without their ends; for JSON Lines and the like."""
        number, parts, held = 1, list[bytes](), 0
        for chunk in self.chunks():
            first, *others = chunk.split(b"\n")
            parts.append(first)
            held += len(first)
            for line in others:
                yield number, _text(b"".join(parts), number)
                number, parts, held = number + 1, [line], len(line)
            if held > IMPORT_LINE_BYTES_MAX:  # no text file: reading on would only fill the memory
                raise Refusal(f"line {number}", f"the line is longer than {IMPORT_LINE_BYTES_MAX:,} bytes")
        if held:
            yield number, _text(b"".join(parts), number)

    def tell(self, share: float) -> None:
        """Progress of an importer that reads the file by other means: how much of it is done, up to 1."""
        self._report(int(self.bytes_total * share))

    def _opened(self, raw: io.BufferedReader) -> BinaryIO:
        if self.compression == "gzip":
            return cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb"))
        if self.compression == "zstd":
            return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))
        return raw

    def _read(self, file: BinaryIO, raw: io.BufferedReader) -> bytes:
        try:
            return file.read(IMPORT_CHUNK_BYTES)
        except EOFError as error:
            raise Refusal(f"byte {raw.tell()} of the gzip", "the file is cut off") from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise Refusal(f"near byte {raw.tell()} of the gzip", f"the file is damaged: {error}") from error
        except OSError as error:
            if (
                self.compression == "zstd" and error.errno is None
            ):  # Arrow's own words for what is wrong with the content
                what = "cut off" if "Truncated" in str(error) else f"damaged: {error}"
                raise Refusal(f"near byte {raw.tell()} of the zstd", f"the file is {what}") from error
            raise Refusal(f"byte {raw.tell()}", f"cannot be read: {error.strerror or error}") from error

    def _report(self, bytes_read: int) -> None:
        if self._progress is not None:
            self._progress(Progress(self.path, self.phase, bytes_read, self.bytes_total, self.simulations))


def _text(line: bytes, number: int) -> str:
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise Refusal(f"line {number}, byte {error.start} of the line", "not UTF-8 text") from error
