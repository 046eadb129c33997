"""The right and the wrong queries, read from their files beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent

#: Values for the parameters that the right queries use.
RIGHT_VALUES = {"id": "r7:1042"}
#: Values given to the wrong queries.
WRONG_VALUES = {"role": "buyer"}


class Wrong(NamedTuple):
    """A wrong query and what is said of it."""

    query: str
    said: str


def right_queries() -> list[str]:
    """One per line; a line that starts with two spaces continues the one above."""
    queries: list[str] = []
    for line in (HERE / "right.txt").read_text().splitlines():
        if line.startswith("  "):
            queries[-1] += "\n" + line
        elif line.strip() and not line.startswith("#"):
            queries.append(line)
    return queries


def wrong_queries() -> list[Wrong]:
    """Blocks of a query and its message, which is indented by four spaces."""
    found = []
    texts = [(HERE / name).read_text().strip("\n") for name in ("wrong.txt", "more_wrong.txt")]
    for block in "\n\n".join(texts).split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines:
            query = "" if lines[0] == "<empty>" else lines[0]
            found.append(Wrong(query, "\n".join(line[4:] for line in lines[1:])))
    return found
