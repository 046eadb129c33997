"""Pieces of recorded conversations, and what a store holds of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matrix.event import Event
from matrix.index.index import Index
from matrix.log.reader import LogReader


def message(role: str, content: str | None, second: float, **more: Any) -> dict[str, Any]:
    """A recorded message, ``second`` seconds after the start."""
    return {"role": role, "content": content, "timestamp": f"2025-08-01T12:00:{second:09.6f}", **more}


def call(id: str, name: str, requestor: str = "assistant", **arguments: Any) -> dict[str, Any]:
    return {"id": id, "name": name, "arguments": arguments, "requestor": requestor}


def events_in(store: Path) -> list[Event]:
    """Every event of the log, simulations in the order in which they came."""
    reader = LogReader(store / "log")
    found = [event for shard in reader.shards() for block in reader.blocks(shard) for event in block.events()]
    return sorted(found, key=lambda event: (event.simulation, event.seq))


def ids_in(store: Path) -> list[str]:
    """The ids that the index knows."""
    if not (store / "log").is_dir():
        return []
    with Index.open(store) as index:
        index.follow(LogReader(store / "log"))
        return [id for (id,) in index.connection.execute("SELECT id FROM simulations ORDER BY gid")]
