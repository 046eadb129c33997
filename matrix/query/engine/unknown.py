"""Names that nothing in the store has: a notice each, with what there is instead.

Kinds, payload paths, roles, names of goals and ids are open, so one that does not occur is no error, and an answer
without rows looks the same as a misspelt question. What always holds: a notice is only given of a name that occurs
nowhere in the store (for a path: in no event of the kinds at its place); where the index cannot tell, there is none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from matrix.event import BUILT_IN_KINDS
from matrix.index.catalogue import path_name
from matrix.limits import CATALOGUE_PATHS_MAX, NOTICE_NAMES_MAX, NOTICES_MAX
from matrix.query import syntax as q
from matrix.query.language.payload_paths import PathAt, paths_of
from matrix.query.language.suggest import is_one_slip, nearest

#: Among more names than these no distance of letters is worked out.
NEAR_NAMES_MAX = 200

#: The texts that a field can have, as a table and a column of it, and how a notice says that none is so.
_NAMES = {
    (q.Relation.AGENTS, "role"): ("agents", "role", "no agent has the role"),
    (q.Relation.GOALS, "role"): ("agents", "role", "no agent has the role"),
    (q.Relation.EVENTS, "role"): ("agents", "role", "no agent has the role"),
    (q.Relation.MESSAGES, "role"): ("agents", "role", "no agent has the role"),
    (q.Relation.AGENTS, "id"): ("agents", "id", "no agent is called"),
    (q.Relation.GOALS, "name"): ("goals", "name", "no goal is called"),
    (q.Relation.GOALS, "reason"): ("goals", "reason", "no goal has the reason"),
    (q.Relation.SIMULATIONS, "name"): ("simulations", "name", "no simulation is called"),
    (q.Relation.SIMULATIONS, "id"): ("simulations", "id", "no simulation has the id"),
}


def unknown_names(connection: sqlite3.Connection, nodes: Sequence[q.Node]) -> Iterator[str]:
    """A notice for each kind, payload path and name that nothing in the store has; ``nodes[0]`` is the query."""
    kinds: dict[str, int] = dict(connection.execute("SELECT kind, events FROM kinds").fetchall())
    patterns = {(node.name, node.is_prefix): node for node in nodes if isinstance(node, q.KindPattern)}
    for pattern in patterns.values():
        if not any(pattern.matches(kind) for kind in (*kinds, *BUILT_IN_KINDS)):
            yield _no_kind(pattern, kinds)
    query = nodes[0]
    assert isinstance(query, q.Query), "a walk of a query begins with it"
    for place in dict.fromkeys(paths_of(query)):
        yield from _no_path(connection, place, kinds)
    missing = [
        (*_NAMES[relation, field], text)
        for relation, field, text in dict.fromkeys(_compared(nodes))
        if not _has_name(connection, *_NAMES[relation, field][:2], text)
    ]
    for table, column, says, text in missing[:NOTICES_MAX]:  # what was meant costs some ms to find
        yield _no_name(connection, table, column, says, text)
    if len(missing) > NOTICES_MAX:
        yield f"and {len(missing) - NOTICES_MAX:,} more names that nothing in this store has"


# -- kinds ---------------------------------------------------------------------------------------------


def _no_kind(pattern: q.KindPattern, kinds: dict[str, int]) -> str:
    near = nearest(pattern.name, kinds)
    return f"no event of kind {_written(pattern)} in this store{_shown(kinds, near, '{}')}"


def _written(pattern: q.KindPattern) -> str:
    return f"{pattern.name}*" if pattern.is_prefix else pattern.name


def _shown(counts: dict[str, int], near: str, form: str) -> str:
    """The near name with its count; or the most frequent ones."""
    if near:
        return f"; {form.format(near)}: {counts[near]:,}"
    most = sorted(counts, key=lambda name: (-counts[name], name))[:NOTICE_NAMES_MAX]
    listed = ", ".join(f"{form.format(name)}: {counts[name]:,}" for name in most)
    return f"; there are {listed}" if most else ""


# -- paths ---------------------------------------------------------------------------------------------


def path_text(path: Sequence[q.PathPart]) -> str:
    """A path as the catalogue names it: any element of a list is ``[*]``.

    >>> path_text(("items", 0, "odd key"))
    'items[*]."odd key"'
    """
    parts = [f".{path_name(part)}" if isinstance(part, str) else "[*]" for part in path]
    return "".join(parts).removeprefix(".")


def _no_path(connection: sqlite3.Connection, place: PathAt, kinds: dict[str, int]) -> Iterator[str]:
    here = sorted(kind for kind in kinds if any(pattern.matches(kind) for pattern in place.kinds))
    is_any = not here  # also when the kinds that are named do not occur, which has a notice of its own
    here = here or sorted(kinds)
    text = path_text(place.path)
    if not here or not isinstance(place.path[0], str) or _has_path(connection, here, text, len(kinds)):
        return
    counts = _paths_there(connection, set(here))
    if counts is None:
        return  # the catalogue does not keep every path of these kinds
    who = "event" if is_any else " or ".join(dict.fromkeys(_written(pattern) for pattern in place.kinds))
    where = " in this store" if is_any else ""
    counts = {path: count for path, count in counts.items() if "[*]" not in path}  # others have no exact count
    yield f"no {who} has .{text}{where}{_shown(counts, _near_path(text, counts), '.{}')}"


def _has_path(connection: sqlite3.Connection, kinds: list[str], text: str, all_kinds: int) -> bool:
    if len(kinds) == all_kinds:
        found = connection.execute("SELECT 1 FROM paths WHERE path = ? LIMIT 1", (text,)).fetchone()
        return found is not None
    one = "SELECT 1 FROM paths WHERE kind = ? AND path = ? LIMIT 1"
    return any(connection.execute(one, (kind, text)).fetchone() is not None for kind in kinds)


def _paths_there(connection: sqlite3.Connection, kinds: set[str]) -> dict[str, int] | None:
    """The events of these kinds that have each path; None when some paths are not kept."""
    counts: dict[str, int] = {}
    kept: dict[str, int] = dict.fromkeys(kinds, 0)
    for kind, path, events in connection.execute("SELECT kind, path, events FROM paths"):
        if kind in kinds:
            kept[kind] += 1
            counts[path] = counts.get(path, 0) + events
    return None if max(kept.values(), default=0) >= CATALOGUE_PATHS_MAX else counts


def _near_path(text: str, counts: dict[str, int]) -> str:
    """The path most likely meant: rather one that differs in its last name only."""
    parent, _, last = text.rpartition(".")
    siblings = {path.rpartition(".")[2]: path for path in counts if path.rpartition(".")[0] == parent}
    near = nearest(last, siblings)
    return siblings[near] if near else nearest(text, counts)


# -- names ---------------------------------------------------------------------------------------------


def _compared(nodes: Sequence[q.Node]) -> Iterator[tuple[q.Relation, str, str]]:
    """The fields that are names, each with a constant it is compared with."""
    for node in nodes:
        if isinstance(node, q.Compare) and node.op == "=":
            pairs = [(node.left, node.right), (node.right, node.left)]
        elif isinstance(node, q.In):
            pairs = [(node.item, member) for member in node.members]
        else:
            continue
        for field, constant in pairs:
            is_name = isinstance(field, q.Field) and (field.owner, field.name) in _NAMES
            if is_name and isinstance(constant, q.Literal) and isinstance(constant.value, str):
                assert isinstance(field, q.Field)
                yield field.owner, field.name, constant.value


def _has_name(connection: sqlite3.Connection, table: str, column: str, text: str) -> bool:
    found = connection.execute(f'SELECT 1 FROM {table} WHERE "{column}" = ? LIMIT 1', (text,)).fetchone()
    return found is not None


def _no_name(connection: sqlite3.Connection, table: str, column: str, says: str, text: str) -> str:
    half = max(1, len(text) // 2)  # one wrong letter leaves one half of a word as it is, but for a swap in its middle
    some = (
        f'SELECT "{column}", count(*) FROM {table} WHERE substr("{column}", 1, ?) = ? OR substr("{column}", ?) = ? '
        f'GROUP BY "{column}" LIMIT 2000'
    )
    like = connection.execute(some, (half, text[:half], -half, text[-half:])).fetchall()
    counts = dict(like)
    near = _near_name(text, counts)
    if not near and column == "id":
        return f'{says} "{text}"'
    if not near:
        most = f'SELECT "{column}", count(*) FROM {table} WHERE "{column}" IS NOT NULL GROUP BY "{column}" LIMIT 2000'
        counts = dict(connection.execute(most).fetchall())
        near = _near_name(text, counts)
    return f'{says} "{text}"' + _shown(counts, near, '"{}"')


def _near_name(text: str, counts: dict[str, int]) -> str:
    """The name most likely meant; among many only one slip away, which is told at once."""
    if len(counts) > NEAR_NAMES_MAX:
        return nearest(text, [name for name in counts if is_one_slip(text, name)])
    return nearest(text, counts)
