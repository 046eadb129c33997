"""One history and many queries: the executor and the naive evaluator side by side."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import QueryError
from matrix.event import SIMULATION_FORKED
from matrix.log.compact import compact_log
from matrix.query.check import check
from matrix.query.execute import execute
from matrix.query.syntax import Query, Shape
from matrix.store import Store
from matrix.testing.histories import Shards
from matrix.testing.naive import Answer, answer
from matrix.testing.stores import write_history
from matrix.testing.world import World
from tests.query.alike import rows_alike
from tests.query.asking import last_first

SMALL_SEGMENT_BYTES = 4_096


@dataclass(frozen=True)
class Setting:
    """How a history comes into its store.

    In blocks of which size, whether the index follows it half way, and whether it is thrown away and made again; and
    whether scans take one block at a time, the last one first: threads may be done with them in any order.
    """

    block_events: int = 1_000
    is_followed: bool = False
    is_rebuilt: bool = False
    is_backwards: bool = False


def accepted(texts: Sequence[str]) -> list[Query]:
    """The queries that pass the checker; the others were drawn in vain."""
    found = []
    for text in texts:
        try:
            found.append(check(text))
        except QueryError:
            continue
    return found


def compare_all(shards: Shards, texts: Sequence[str], setting: Setting) -> int:
    """Ask on the live log and on the compacted one; how many answers were compared."""
    world = World(shards)
    wanted = [(query, answer(query, world)) for query in accepted(texts)]
    with tempfile.TemporaryDirectory() as name, _scans(setting):
        folder = Path(name)
        _write(folder, shards, setting)
        _compare(folder, wanted, "live")
        if setting.is_rebuilt:
            for file in folder.glob("index.sqlite*"):
                file.unlink()
            _compare(folder, wanted[::2], "rebuilt")
        compact_log(folder / "log")
        _compare(folder, wanted, "compacted")
    return 2 * len(wanted) + setting.is_rebuilt * len(wanted[::2])


@contextmanager
def _scans(setting: Setting) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if setting.is_backwards:
            patch.setattr("matrix.query.engine.scan.QUERY_BATCH_EVENTS_MAX", 1)
            patch.setattr("matrix.query.engine.scan.in_order", last_first)
            patch.setattr("matrix.query.execute.QUERY_BATCH_EVENTS_MAX", 1)
        yield


def _write(folder: Path, shards: Shards, setting: Setting) -> None:
    parts = [shards]
    if setting.is_followed:
        middle = middle_of(shards)
        parts = [
            {shard: events[: middle[shard]] for shard, events in shards.items()},
            {shard: events[middle[shard] :] for shard, events in shards.items()},
        ]
    for part in parts:
        write_history(folder, part, block_events=setting.block_events, segment_bytes_max=SMALL_SEGMENT_BYTES)
        if setting.is_followed:
            with Store(folder) as store:
                store.refresh()


def middle_of(shards: Shards) -> dict[int, int]:
    """How many events of each shard come first: half of them, and what forks among them share."""
    places = {
        (shard, event.simulation, event.seq): place
        for shard, events in shards.items()
        for place, event in enumerate(events, 1)
    }
    first = {(shard, simulation): seq for shard, simulation, seq in reversed(list(places))}
    middle = {shard: max(1, len(events) // 2) for shard, events in shards.items()}
    before: dict[int, int] = {}
    while middle != before:
        before = dict(middle)
        for shard, events in shards.items():
            for event in events[: middle[shard]]:
                if event.kind == SIMULATION_FORKED:
                    parent = (event.data["parent_shard"], event.data["parent_ordinal"])
                    for seq in (first[parent], event.seq - 1):
                        middle[parent[0]] = max(middle[parent[0]], places.get((*parent, seq), 0))
    return middle


def _compare(folder: Path, wanted: Sequence[tuple[Query, Answer]], where: str) -> None:
    with Store(folder) as store:
        for query, expected in wanted:
            compare(store, query, expected, where)


def compare(store: Store, query: Query, expected: Answer, where: str) -> None:
    """Ask the store and compare names, order and values; what is drawn for eyes is not compared."""
    result = execute(query, store)
    drawn = {"bar"} if any(isinstance(stage, Shape) and stage.name == "timeline" for stage in query.stages) else set()
    rows = [{name: value for name, value in row.items() if name not in drawn} for row in result.rows()]
    assert [name for name in result.column_names if name not in drawn] == expected.columns, query.text
    is_same = rows_alike([_readable(row) for row in rows], [_readable(row) for row in expected.rows])
    assert is_same, f"{where}: {query.text}\n  expected {expected.rows}\n  found    {rows}"


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose chat, if it has one, shows data as values: a log keeps the fields of a payload in any order."""
    messages = row.get("messages")
    return {**row, "messages": list(_spoken(messages))} if isinstance(messages, list) else row


def _spoken(messages: list[Any]) -> Iterator[Any]:
    for message in messages:
        kind, _, data = message["content"].partition(" {")
        try:
            yield {**message, "content": [kind, json.loads("{" + data)]} if data else message
        except json.JSONDecodeError:
            yield message
