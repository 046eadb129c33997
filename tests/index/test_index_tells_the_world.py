"""The index's entities are those that a naive reading of the same events finds, whatever happened."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.index.index import Index
from matrix.log.reader import LogReader
from matrix.testing.histories import Shards
from matrix.testing.stores import write_history
from matrix.testing.strategies import histories
from matrix.testing.world import Duration, Run, Thing, Time, World


def plain(value: Any) -> Any:
    """A value as the index keeps it: microseconds are plain ints, links are what leads there."""
    return value.us if isinstance(value, Duration | Time) else value


def data_of(blob: bytes | None) -> Any:
    """A map of the index; an empty one is kept as NULL, and nulls in it are left out."""
    return {} if blob is None else cbor2.loads(blob)


def same(a: Any, b: Any) -> bool:
    """Equal, with NaN equal to itself and 1 different from True."""
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return type(a) is type(b) and bool(a == b)


def expected(world: World) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Every entity of the world in the words of the index."""
    for run in world.runs:
        gid = run.simulation.order[0]
        names = ("id", "name", "status", "seed", "start", "end", "duration", "parent")
        yield (
            "simulations",
            (gid, *values(run.simulation, names), len(run.events), len(run.agents), data(run.simulation)),
        )
        for agent in run.agents.values():
            names = ("id", "role", "status", "start", "end", "turns")
            yield "agents", (gid, agent.number, *values(agent, names), seq_of(agent.fields["goal"]))
        for seq, goal in run.goals.items():
            yield (
                "goals",
                (gid, seq, *values(goal, ("name", "status", "start", "end", "turns", "steps")), *rest(run, goal)),
            )


def rest(run: Run, goal: Thing) -> tuple[Any, ...]:
    assert goal.event is not None
    return (goal.fields["reason"], goal.event.agent, seq_of(goal.fields["parent"]), data(goal))


def values(thing: Thing, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(plain(thing.fields[name]) for name in names)


def data(thing: Thing) -> dict[str, Any]:
    return {key: value for key, value in (thing.fields["data"] or {}).items() if value is not None}


def seq_of(goal: Thing | None) -> int:
    return goal.event.seq if goal is not None and goal.event is not None else 0


COLUMNS = {
    "simulations": 'gid, id, name, status, seed, start, "end", duration, parent, events, agents, data',
    "agents": 'simulation, number, id, role, status, start, "end", turns, goal',
    "goals": 'simulation, seq, name, status, start, "end", turns, steps, reason, agent, parent, data',
}


def found(index: Index) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Every entity of the index, with its data decoded."""
    for table, columns in COLUMNS.items():
        for row in index.connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2"):
            has_data = columns.endswith("data")
            yield table, (*row[:-1], data_of(row[-1])) if has_data else tuple(row)


def check_store(folder: Path, shards: Shards, batch_events: int) -> None:
    reader = LogReader(folder / "log")
    with Index.open(folder) as index:
        index.follow(reader, batch_events=batch_events)
        rows = sorted(found(index), key=lambda row: (row[0], row[1][:2]))
    reader.close()
    wanted = sorted(expected(World(shards)), key=lambda row: (row[0], row[1][:2]))
    assert [row[1][:2] for row in rows] == [row[1][:2] for row in wanted]
    for row, want in zip(rows, wanted):
        assert same(list(row[1]), list(want[1])), f"{row[0]}: index {row[1]} world {want[1]}"


@settings(
    max_examples=int(os.environ.get("MATRIX_FUZZ_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(shards=histories(), block_events=st.sampled_from((1, 7, 1_000)), batch_events=st.sampled_from((3, 10_000)))
def test_the_index_tells_what_the_events_tell(shards: Shards, block_events: int, batch_events: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_history(Path(folder), shards, block_events=block_events)
        check_store(Path(folder), shards, batch_events)
