"""The names there are in a store, with how often: kinds, payload paths, values of fields. What completion offers.

Each is read from the index when it is first asked for, and kept for as long as the index has followed nothing new.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from matrix.limits import COMPLETION_VALUES_MAX
from matrix.query import syntax as q

#: Where the values of a field that is a name are found: a table and a column.
_VALUES = {
    (q.Relation.AGENTS, "role"): ("agents", "role"),
    (q.Relation.GOALS, "role"): ("agents", "role"),
    (q.Relation.EVENTS, "role"): ("agents", "role"),
    (q.Relation.MESSAGES, "role"): ("agents", "role"),
    (q.Relation.AGENTS, "id"): ("agents", "id"),
    (q.Relation.GOALS, "name"): ("goals", "name"),
    (q.Relation.GOALS, "reason"): ("goals", "reason"),
    (q.Relation.SIMULATIONS, "name"): ("simulations", "name"),
    (q.Relation.SIMULATIONS, "id"): ("simulations", "id"),
    (q.Relation.SIMULATIONS, "parent"): ("simulations", "parent"),
}


class Vocabulary:
    """The names of one store as its index is now."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._kept: dict[Any, Any] = {}

    @property
    def kinds(self) -> dict[str, int]:
        """Every kind, with its events."""
        if "kinds" not in self._kept:
            rows = self.connection.execute("SELECT kind, events FROM kinds ORDER BY events DESC, kind").fetchall()
            self._kept["kinds"] = dict(rows)
        found: dict[str, int] = self._kept["kinds"]
        return found

    def paths(self, patterns: Sequence[q.KindPattern]) -> dict[str, tuple[str, int]]:
        """The payload paths of events of these kinds (none: of all), each with a type and how many events have it."""
        here = frozenset(kind for kind in self.kinds if any(pattern.matches(kind) for pattern in patterns))
        if here not in self._kept:
            self._kept[here] = self._read_paths(here if patterns else None)
        found: dict[str, tuple[str, int]] = self._kept[here]
        return found

    def _read_paths(self, kinds: frozenset[str] | None) -> dict[str, tuple[str, int]]:
        one = "SELECT path, type, events FROM paths WHERE kind = ? AND depth <= 4"
        if kinds is None:
            whole = "SELECT path, min(type), sum(events) FROM paths WHERE depth <= 4 GROUP BY path"
            rows = self.connection.execute(whole).fetchall()
        else:
            rows = [row for kind in sorted(kinds) for row in self.connection.execute(one, (kind,))]
        found: dict[str, tuple[str, int]] = {}
        for path, type_, events in rows:
            found[path] = (type_, found.get(path, ("", 0))[1] + events)
        return dict(sorted(found.items(), key=lambda item: (-item[1][1], item[0])))

    def values(self, relation: q.Relation, field: str) -> dict[str, int]:
        """The most frequent values of a field that is a name, with how often."""
        place = _VALUES.get((relation, field))
        if place is None:
            return {}
        if place not in self._kept:
            table, column = place
            top = (
                f'SELECT "{column}", count(*) AS n FROM {table} WHERE "{column}" IS NOT NULL '
                f'GROUP BY "{column}" ORDER BY n DESC, "{column}" LIMIT {COMPLETION_VALUES_MAX}'
            )
            self._kept[place] = dict(self.connection.execute(top).fetchall())
        found: dict[str, int] = self._kept[place]
        return found
