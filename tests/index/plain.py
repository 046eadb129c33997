"""What an index must say, read off plain events the slow way: the second opinion in the index's tests.

Entities come from ``matrix.testing.world``, which shares no code with the index; the catalogue is walked here.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cbor2

from matrix.event import Event
from matrix.testing.forks import whole
from matrix.testing.world import Duration, Thing, Time, World

TYPES = {bool: "bool", int: "number", float: "number", str: "text", bytes: "bytes", dict: "map", list: "list"}


def without_nulls(data: Mapping[str, Any] | None) -> str:
    """A map as text that compares NaN, -0.0 and int against float exactly; a null at the top is as good as absent."""
    return repr(sorted((name, value) for name, value in (data or {}).items() if value is not None))


def plain(name: str, value: Any) -> Any:
    """A world's field as the queries below give it: a goal by its name, other things by their id."""
    if isinstance(value, Duration | Time):
        return value.us
    if isinstance(value, Thing):
        return value.fields["name"] if name == "goal" else value.id
    return value


def expected_entities(shards: Mapping[int, Iterable[Event]]) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of simulations, agents and goals, by the fields of the language."""
    world = World(shards)
    gid_of = {run.simulation.id: run.simulation.order[0] for run in world.runs}
    assert len(gid_of) == len(world.runs), "ids that tell simulations apart"

    def rows(relation: str, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
        found = []
        for thing in world.rows(relation):
            values = [plain(name, thing.fields[name]) for name in names]
            number = thing.number or (thing.event.seq if thing.event else 0)
            found.append((thing.order[0], number, *values, without_nulls(thing.fields["data"])))
        return sorted(found, key=lambda row: row[:2])

    return {
        "simulations": rows("simulations", SIMULATION_FIELDS),
        "agents": rows("agents", AGENT_FIELDS),
        "goals": rows("goals", GOAL_FIELDS),
    }


SIMULATION_FIELDS = ("id", "name", "status", "seed", "start", "end", "duration", "took", "parent")
AGENT_FIELDS = ("id", "role", "status", "start", "end", "duration", "turns", "goal")
GOAL_FIELDS = ("name", "agent", "status", "start", "end", "duration", "turns", "steps", "reason", "parent")

_SIMULATIONS = """SELECT gid, 0, id, name, status, seed, start, "end", duration, "end" - start, parent, data
                  FROM simulations ORDER BY gid"""
_AGENTS = """SELECT a.simulation, a.number, a.id, a.role, a.status, a.start, a."end",
                    coalesce(a."end", s.duration) - a.start, a.turns, g.name, t.data
             FROM agents AS a JOIN simulations AS s ON s.gid = a.simulation
             LEFT JOIN goals AS g ON g.simulation = a.simulation AND g.seq = a.goal
             LEFT JOIN states AS t ON t.simulation = a.simulation AND t.agent = a.number
             ORDER BY 1, 2"""
_GOALS = """SELECT g.simulation, g.seq, g.name, a.id, g.status, g.start, g."end",
                   coalesce(g."end", s.duration) - g.start, g.turns, g.steps, g.reason,
                   iif(p.seq, s.id || ':' || p.seq, NULL), g.data
            FROM goals AS g JOIN simulations AS s ON s.gid = g.simulation
            LEFT JOIN agents AS a ON a.simulation = g.simulation AND a.number = g.agent
            LEFT JOIN goals AS p ON p.simulation = g.simulation AND p.seq = g.parent
            ORDER BY 1, 2"""


def found_entities(connection: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """The same rows, asked of an index."""

    def rows(sql: str) -> list[tuple[Any, ...]]:
        return [(*row[:-1], without_nulls(cbor2.loads(row[-1]) if row[-1] else {})) for row in connection.execute(sql)]

    return {"simulations": rows(_SIMULATIONS), "agents": rows(_AGENTS), "goals": rows(_GOALS)}


# -- the catalogue ----------------------------------------------------------------------------


def expected_paths(shards: Mapping[int, Iterable[Event]]) -> Counter[tuple[str, str, str]]:
    """Events by kind, path and type."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for events in whole(shards).values():
        for event in events:
            counts.update({(event.kind, path, type_) for path, type_ in walk("", event.data) if path})
    return counts


def walk(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every path in a value with its type; nulls have none."""
    if type(value) in TYPES:
        yield path, TYPES[type(value)]
    if type(value) is dict:
        for name, inner in value.items():
            quoted = name if name.isidentifier() and name.isascii() else json.dumps(name, ensure_ascii=False)
            yield from walk(f"{path}.{quoted}" if path else quoted, inner)
    elif type(value) is list:
        for inner in value:
            yield from walk(f"{path}[*]", inner)


def found_paths(connection: sqlite3.Connection) -> Counter[tuple[str, str, str]]:
    """The same, asked of an index."""
    rows = connection.execute("SELECT kind, path, type, events FROM paths")
    return Counter({(kind, path, type_): events for kind, path, type_, events in rows})
