"""Texts kept by number."""

from __future__ import annotations

from array import array

from matrix.limits import REPORT_SHELF_MEMORY_BYTES
from matrix.report.spool import Spool


class Shelf:
    """Texts of which some are looked at again when all were seen; those on disk have 8 bytes of memory each."""

    def __init__(self) -> None:
        self._spool = Spool(REPORT_SHELF_MEMORY_BYTES)
        self._ends = array("q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, text: str) -> int:
        """Keep a text; returns its number."""
        data = text.encode("utf-8", "surrogatepass")
        self._spool.write(self._ends[-1], data)
        self._ends.append(self._ends[-1] + len(data))
        return len(self) - 1

    def __getitem__(self, number: int) -> str:
        begin, end = self._ends[number], self._ends[number + 1]
        return self._spool.read(begin, end - begin).decode("utf-8", "surrogatepass")
