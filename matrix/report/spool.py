"""Bytes that are kept until the end of a report: in memory while they are few, else in a file without a name."""

from __future__ import annotations

import tempfile
import weakref

from matrix.errors import StoreError


class Spool:
    """Bytes one after the other, each read again by its place. ``StoreError`` where the disk is full."""

    def __init__(self, memory_bytes: int) -> None:
        # Not a `with`: it lives as long as this does, and is closed even when nobody says so.
        self._file = tempfile.SpooledTemporaryFile(max_size=memory_bytes)  # noqa: SIM115
        self.close = weakref.finalize(self, self._file.close)

    def write(self, place: int, data: bytes) -> None:
        """Keep bytes at a place."""
        try:
            self._file.seek(place)
            self._file.write(data)
        except OSError as error:
            raise StoreError(
                f"{tempfile.gettempdir()}: {error.strerror or error}; what is compared is kept in a file there: make "
                "room, or name another folder in the environment's TMPDIR"
            ) from error

    def read(self, place: int, size: int) -> bytes:
        """The bytes at a place."""
        self._file.seek(place)
        return self._file.read(size)
