"""What the index's catalogue knows of kinds and payload paths: counts without reading a block, and hints.

Kinds and paths of the user's own are open, so one that no event has is no error; the result says so,
with the nearest name that there is.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

import numpy as np

from matrix.event import BUILT_IN_KINDS
from matrix.limits import CATALOGUE_PATHS_MAX
from matrix.query import syntax as q
from matrix.query.engine.frame import Frame
from matrix.query.engine.groups import Groups
from matrix.query.engine.value import Type, Value, text_array

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # others are quoted in the catalogue
_EVENTS = (q.Relation.EVENTS, q.Relation.MESSAGES)


def unknown_names(connection: sqlite3.Connection, nodes: Sequence[q.Node]) -> Iterator[str]:
    """A notice for each kind and each top-level key of a payload that no event of the store has."""
    for node in nodes:
        if isinstance(node, q.KindPattern) and not _is_known(connection, node):
            yield _no_kind(connection, node)
    keys = {key for node in nodes if (key := _payload_key(node)) is not None}
    for key in sorted(keys):
        if connection.execute("SELECT 1 FROM paths WHERE path = ? LIMIT 1", (key,)).fetchone() is None:
            yield from _no_path(connection, key)


def _is_known(connection: sqlite3.Connection, pattern: q.KindPattern) -> bool:
    if any(pattern.matches(kind) for kind in BUILT_IN_KINDS):
        return True
    if not pattern.is_prefix:
        return connection.execute("SELECT 1 FROM kinds WHERE kind = ?", (pattern.name,)).fetchone() is not None
    return any(pattern.matches(kind) for (kind,) in connection.execute("SELECT kind FROM kinds"))


def _no_kind(connection: sqlite3.Connection, pattern: q.KindPattern) -> str:
    name = f"{pattern.name}*" if pattern.is_prefix else pattern.name
    counts: dict[str, int] = dict(connection.execute("SELECT kind, events FROM kinds").fetchall())
    near = get_close_matches(pattern.name, counts, n=1)
    hint = "".join(f"; {kind}: {counts[kind]:,}" for kind in near)
    return f"no event of kind {name} in this store{hint}"


def _payload_key(node: q.Node) -> str | None:
    """The top-level key of an event's payload that a field reads."""
    if not isinstance(node, q.Field) or node.name != "data" or node.owner not in _EVENTS or not node.path:
        return None
    return node.path[0] if isinstance(node.path[0], str) else None


def _no_path(connection: sqlite3.Connection, key: str) -> Iterator[str]:
    counts: dict[str, int] = dict(
        connection.execute("SELECT path, sum(events) FROM paths WHERE depth <= 1 GROUP BY path").fetchall()
    )
    if key in counts or not _PLAIN_KEY.fullmatch(key) or _is_cut(connection):
        return
    near = get_close_matches(key, counts, n=1)
    hint = "".join(f"; .{path}: {counts[path]:,}" for path in near)
    yield f"no event has .{key} in this store{hint}"


def _is_cut(connection: sqlite3.Connection) -> bool:
    """Whether a kind has more keys than the catalogue keeps (it drops deep paths first), so that one may be missing."""
    most = "SELECT count(*) FROM paths WHERE depth <= 1 GROUP BY kind HAVING count(*) >= ? LIMIT 1"
    return connection.execute(most, (CATALOGUE_PATHS_MAX,)).fetchone() is not None


# -- counts by kind --------------------------------------------------------------------------------


def kind_counts(query: q.Query, connection: sqlite3.Connection) -> Frame | None:
    """The groups of ``events … | count [by kind]``, which the catalogue knows; None for any other query."""
    source, stage = query.source, query.stages[0] if query.stages else None
    if source.relation is not q.Relation.EVENTS or source.where is not None or not isinstance(stage, q.Aggregate):
        return None
    if stage.per is not None or not all(_is_kind(column.expr) for column in stage.keys) or len(stage.keys) > 1:
        return None
    if not all(_is_count(column.expr) for column in stage.values):
        return None
    found = connection.execute("SELECT kind, events FROM kinds ORDER BY kind").fetchall()
    rows = [(k, n) for k, n in found if not source.kinds or any(pattern.matches(k) for pattern in source.kinds)]
    counts = np.array([count for _, count in rows], np.int64)
    if not stage.keys:
        counts = counts.sum(keepdims=True)
    columns = {column.name: Value.of(Type.TEXT, text_array([kind for kind, _ in rows])) for column in stage.keys}
    columns.update({column.name: Value.of(Type.INT, counts) for column in stage.values})
    return Frame(Groups(len(counts)), columns=columns)


def _is_kind(expr: q.Expr) -> bool:
    return isinstance(expr, q.Field) and expr.name == "kind" and not expr.links


def _is_count(expr: q.Expr) -> bool:
    return isinstance(expr, q.AggregateCall) and expr.function == "count" and expr.argument is None
