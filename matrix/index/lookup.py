"""What a store and the command line ask of an index besides queries: a simulation by its id, a summary, the catalogue.

Everything here reads; bring the index up with ``Index.follow`` first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cbor2


@dataclass(frozen=True, slots=True)
class SimulationSummary:
    """One simulation at a glance. ``start`` and ``end`` are wall clock, ``duration`` is virtual; all microseconds.

    ``agents`` counts by (role, status), ``goals`` by (name, status); of the ``events`` a fork shares the first
    ``shared_events`` with its parent.
    """

    gid: int
    shard: int
    ordinal: int
    id: str
    name: str | None
    status: str
    seed: int | float | None
    start: int
    end: int | None
    duration: int
    parent: str | None
    events: int
    agent_count: int
    data: Mapping[str, Any]
    agents: Mapping[tuple[str | None, str], int]
    goals: Mapping[tuple[str | None, str], int]
    shared_events: int = 0

    def as_data(self) -> dict[str, Any]:
        """As JSON can hold it: counts by (name, status) become nested maps."""
        return {**asdict(self), "agents": _nested(self.agents), "goals": _nested(self.goals)}


@dataclass(frozen=True, slots=True)
class KindEntry:
    """A kind of the catalogue: its events, and of each payload path the types seen with their events."""

    kind: str
    events: int
    paths: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class StoreSummary:
    """A store at a glance; ``simulations`` counts by status.

    Segments and bytes are those on disk. Events, agents, goals and simulations are those that queries see: a fork
    counts whole, and ``shared_events`` says how many of its events are in the log once only, as its parent's.
    """

    shards: int
    segments: int
    size_bytes: int
    events: int
    agents: int
    simulations: Mapping[str, int]
    goals: Mapping[str, int]
    shared_events: int = 0


def store_data(name: str, summary: StoreSummary, kinds: Sequence[KindEntry]) -> dict[str, Any]:
    """A store at a glance with its kinds, for machines; ``name`` is how whoever asks calls it."""
    return {"path": name, **asdict(summary), "kinds": [asdict(entry) for entry in kinds]}


def _nested(counts: Mapping[tuple[str | None, str], int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (name, status), count in counts.items():
        nested.setdefault(name or "", {})[status] = count
    return nested


def simulations_named(connection: sqlite3.Connection, id: str) -> list[int]:
    """The keys (gid) of all simulations with this id, oldest first; an id that was given may have been given twice."""
    rows = connection.execute("SELECT gid FROM simulations WHERE id = ? ORDER BY start, gid", (id,))
    return [gid for (gid,) in rows]


def recorded_simulations(connection: sqlite3.Connection, status: str | None = None) -> list[tuple[str, int, int]]:
    """Id, shard and ordinal of the simulations that a program made (others were imported), in the order of the log."""
    sql = "SELECT id, shard, ordinal, data FROM simulations WHERE coalesce(status = ?, 1) ORDER BY gid"
    rows = connection.execute(sql, (status,))
    return [(id, shard, ordinal) for id, shard, ordinal, data in rows if "program" in cbor2.loads(data)]


def simulation_ids(connection: sqlite3.Connection) -> list[str]:
    """The ids of all simulations, in the order of the log."""
    return [id for (id,) in connection.execute("SELECT id FROM simulations ORDER BY gid")]


def simulation_summary(connection: sqlite3.Connection, gid: int) -> SimulationSummary | None:
    """What ``matrix info STORE SIMULATION`` shows; None for a key that the index does not know."""
    sql = """SELECT gid, shard, ordinal, id, name, status, seed, start, "end", duration, parent, events, agents, data
             FROM simulations WHERE gid = ?"""
    row = connection.execute(sql, (gid,)).fetchone()
    if row is None:
        return None
    agents, goals = _counts(connection, "agents", "role", gid), _counts(connection, "goals", "name", gid)
    return SimulationSummary(*(*row[:-1], cbor2.loads(row[-1]), agents, goals, _shared_events(connection, gid)))


def _shared_events(connection: sqlite3.Connection, gid: int | None = None) -> int:
    """How many events of a fork, or of all forks, lie in the log as another simulation's."""
    one = "" if gid is None else " AND gid = :gid"
    sql = f"SELECT coalesce(sum(last_seq - first_seq + 1), 0) FROM forks WHERE source IS NOT NULL{one}"
    return int(connection.execute(sql, {"gid": gid}).fetchone()[0])


def _counts(connection: sqlite3.Connection, table: str, name: str, gid: int) -> dict[tuple[str | None, str], int]:
    sql = f"SELECT {name}, status, count(*) FROM {table} WHERE simulation = ? GROUP BY 1, 2 ORDER BY 1, 2"
    return {(found, status): count for found, status, count in connection.execute(sql, (gid,))}


def store_summary(connection: sqlite3.Connection) -> StoreSummary:
    """What ``matrix info STORE`` shows."""
    segments = "SELECT count(DISTINCT shard), count(*), coalesce(sum(size_bytes), 0) FROM segments"
    totals = "SELECT coalesce(sum(events), 0), coalesce(sum(agents), 0) FROM simulations"
    facts = (*connection.execute(segments).fetchone(), *connection.execute(totals).fetchone())
    simulations = dict(connection.execute("SELECT status, count(*) FROM simulations GROUP BY 1 ORDER BY 1"))
    goals = dict(connection.execute("SELECT status, count(*) FROM goals GROUP BY 1 ORDER BY 1"))
    return StoreSummary(*(*facts, simulations, goals, _shared_events(connection)))


def catalogue(connection: sqlite3.Connection, kind: str | None = None) -> list[KindEntry]:
    """Every kind with its payload paths, most frequent first; or one kind alone."""
    chosen = "WHERE kind = :kind" if kind is not None else ""
    paths: dict[str, dict[str, dict[str, int]]] = {}
    sql = f"SELECT kind, path, type, events FROM paths {chosen} ORDER BY kind, depth, path, type"
    for name, path, type_, events in connection.execute(sql, {"kind": kind}):
        paths.setdefault(name, {}).setdefault(path, {})[type_] = events
    kinds = connection.execute(f"SELECT kind, events FROM kinds {chosen} ORDER BY events DESC, kind", {"kind": kind})
    return [KindEntry(name, events, paths.get(name, {})) for name, events in kinds]
