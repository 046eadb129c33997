"""Texts kept by number: in memory while they are few, else in a file without a name."""

from __future__ import annotations

import tempfile
import weakref
from array import array

from matrix.limits import REPORT_SHELF_MEMORY_BYTES


class Shelf:
    """Texts of which some are looked at again when all were seen; those on disk have 8 bytes of memory each."""

    def __init__(self) -> None:
        # Not a `with`: it lives as long as this does, and is closed even when nobody says so.
        self._file = tempfile.SpooledTemporaryFile(max_size=REPORT_SHELF_MEMORY_BYTES)  # noqa: SIM115
        self._ends = array("q", [0])
        self.close = weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, text: str) -> int:
        """Keep a text; returns its number."""
        data = text.encode("utf-8", "surrogatepass")
        self._file.seek(self._ends[-1])
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))
        return len(self) - 1

    def __getitem__(self, number: int) -> str:
        self._file.seek(self._ends[number])
        return self._file.read(self._ends[number + 1] - self._ends[number]).decode("utf-8", "surrogatepass")
