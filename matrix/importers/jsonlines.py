"""JSON Lines: an object a line, one line in memory at a time.

Blank lines are stepped over; any other line that is not one JSON object is refused with its number. A file without
a single object is refused too: of a file that was meant to hold something, silence would be the wrong report.
"""

from __future__ import annotations

from collections.abc import Iterator

from matrix.importers.fields import Record
from matrix.importers.source import Refusal, Source
from matrix.importers.stream import line_value


def records(source: Source, *, what: str) -> Iterator[tuple[int, Record]]:
    """The objects of a file with the numbers of their lines; ``what`` names one of them: "an OpenAI chat"."""
    found = False
    for number, line in source.lines():
        line = line.removeprefix("\ufeff") if number == 1 else line
        if line.strip(" \t\r"):
            found = True
            path = f"line {number}"
            yield number, Record(line_value(line, path), path)
    if not found:
        raise Refusal("the whole file", f"it has no line with {what}")
