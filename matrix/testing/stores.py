"""Write made-up histories into real stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from matrix.event import Event
from matrix.limits import SEGMENT_BYTES_MAX
from matrix.log.rows import Rows, rows_from_events
from matrix.log.writer import Writer


def write_history(
    store: Path,
    shards: Mapping[int, Sequence[Event]],
    *,
    block_events: int = 1_000,
    segment_bytes_max: int = SEGMENT_BYTES_MAX,
) -> None:
    """Write each shard's events in order, ``block_events`` at a time; shards are 1, 2, ... without a gap."""
    with ExitStack() as opened:
        for shard in sorted(shards):  # all at once: an idle shard would be adopted instead of a next one made
            writer = opened.enter_context(Writer.open(store / "log", segment_bytes_max=segment_bytes_max))
            assert writer.shard == shard, "a new store's shards are numbered from 1"
            for start in range(0, len(shards[shard]), block_events):
                writer.append(rows_from_events(shards[shard][start : start + block_events]))


def write_rows(store: Path, rows: Iterable[Rows]) -> None:
    """Write rows, such as those of a ``society``, to one shard."""
    with Writer.open(store / "log") as writer:
        for some in rows:
            writer.append(some)
