"""The formats that can be imported: ours and those of any installed package, all found the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import TypeAlias

from matrix.errors import UsageError
from matrix.importers.history import History
from matrix.importers.source import Source

GROUP = "matrix.importers"

#: What an importer is: a function that tells the conversations of a file, one by one.
Importer: TypeAlias = Callable[[Source], Iterator[History]]


def formats() -> list[str]:
    """The names of all formats, sorted.

    >>> [name for name in formats() if name in ("tau2", "casino")]
    ['casino', 'tau2']
    """
    return sorted(_found())


def importer_of(format: str) -> Importer:
    """The importer of a format, by the name it is registered under."""
    found = _found()
    if format not in found:
        raise UsageError(f'no importer for the format "{format}"; there are: {", ".join(sorted(found)) or "none"}')
    importer = found[format].load()
    if not callable(importer):
        raise UsageError(f'the importer of "{format}" ({found[format].value}) is not a function of a source')
    return importer  # type: ignore[no-any-return]  # whatever the entry point names; called with a Source only


def _found() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
