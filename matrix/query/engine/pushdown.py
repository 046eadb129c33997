"""Conditions that SQLite decides: over the fields of entities, and over the entities reached from them.

``agents where goal succeeded`` becomes a search of an index of goals, whatever the number of events.
The SQL means exactly what the condition means: every predicate is two-valued (``IS TRUE``), and what
SQL would treat otherwise (patterns, data, mixed types) is not translated.
"""

from __future__ import annotations

from typing import Any

from matrix.query import syntax as q
from matrix.query.engine.entity_table import Restriction
from matrix.query.engine.value import INT64_MAX, INT64_MIN

_TABLES = {q.Relation.SIMULATIONS: "simulations", q.Relation.AGENTS: "agents", q.Relation.GOALS: "goals"}
_DURATION = '(coalesce({t}."end", (SELECT s.duration FROM simulations AS s WHERE s.gid = {t}.simulation)) - {t}.start)'
_COLUMNS: dict[q.Relation, dict[str, str]] = {
    q.Relation.SIMULATIONS: {
        **{name: f'{{t}}."{name}"' for name in ("id", "name", "status", "start", "end", "duration", "parent")},
        "took": '({t}."end" - {t}.start)',
    },
    q.Relation.AGENTS: {
        **{name: f'{{t}}."{name}"' for name in ("id", "role", "status", "start", "end", "turns")},
        "duration": _DURATION,
    },
    q.Relation.GOALS: {
        **{name: f'{{t}}."{name}"' for name in ("name", "status", "start", "end", "turns", "steps", "reason")},
        "duration": _DURATION,
        "role": "(SELECT a.role FROM agents AS a WHERE a.simulation = {t}.simulation AND a.number = {t}.agent)",
    },
}
_LINKS = {
    (q.Relation.AGENTS, "simulation"): ("simulations", "{l}.gid = {t}.simulation"),
    (q.Relation.GOALS, "simulation"): ("simulations", "{l}.gid = {t}.simulation"),
    (q.Relation.GOALS, "agent"): ("agents", "{l}.simulation = {t}.simulation AND {l}.number = {t}.agent"),
    (q.Relation.AGENTS, "goal"): ("goals", "{l}.simulation = {t}.simulation AND {l}.seq = {t}.goal"),
    (q.Relation.GOALS, "parent"): ("goals", "{l}.simulation = {t}.simulation AND {l}.seq = {t}.parent"),
}
_REACHED = {
    (q.Relation.SIMULATIONS, q.Relation.AGENTS): "{i}.simulation = {o}.gid",
    (q.Relation.SIMULATIONS, q.Relation.GOALS): "{i}.simulation = {o}.gid",
    (q.Relation.AGENTS, q.Relation.GOALS): "{i}.simulation = {o}.simulation AND {i}.agent = {o}.number",
    (q.Relation.AGENTS, q.Relation.SIMULATIONS): "{i}.gid = {o}.simulation",
    (q.Relation.GOALS, q.Relation.SIMULATIONS): "{i}.gid = {o}.simulation",
    (q.Relation.GOALS, q.Relation.AGENTS): "{i}.simulation = {o}.simulation AND {i}.number = {o}.agent",
}
_TEXTS = frozenset({"id", "name", "status", "parent", "role", "reason"})


class _Untranslatable(Exception):
    """The condition needs more than the entity tables."""


def restriction(relation: q.Relation, condition: q.Expr) -> Restriction | None:
    """The condition in SQL, or None when it cannot be said there."""
    writer = _Writer()
    try:
        where = writer.condition(condition, (relation,))
    except _Untranslatable:
        return None
    return Restriction(where, tuple(writer.params))


class _Writer:
    """Writes SQL; ``relations`` are those of the scopes, innermost first, and their tables are called t0, t1, …"""

    def __init__(self) -> None:
        self.params: list[Any] = []

    def condition(self, expr: q.Expr, relations: tuple[q.Relation, ...]) -> str:
        match expr:
            case q.And(items=items):
                return "(" + " AND ".join([self.condition(item, relations) for item in items]) + ")"
            case q.Or(items=items):
                return "(" + " OR ".join([self.condition(item, relations) for item in items]) + ")"
            case q.Not(item=item):
                return f"(NOT {self.condition(item, relations)})"
            case q.Compare(op=op, left=q.Field() as field, right=q.Literal(value=value)):
                return f"(({self.field(field, relations)} {op} {self.literal(field, value)}) IS TRUE)"
            case q.Compare(op=op, left=q.Field() as left, right=q.Field() as right) if _are_alike(left, right):
                sign = "IS" if op == "=" else op  # two missing values are equal
                return f"(({self.field(left, relations)} {sign} {self.field(right, relations)}) IS TRUE)"
            case q.In(item=q.Field() as field, members=members) if members:
                return self._in(field, members, relations)
            case q.Range(item=q.Field() as field, low=q.Literal(value=low), high=q.Literal(value=high)):
                column = self.field(field, relations)
                return f"(({column} BETWEEN {self.literal(field, low)} AND {self.literal(field, high)}) IS TRUE)"
            case q.Exists(item=q.Field() as field):
                return f"({self.field(field, relations)} IS NOT NULL)"
            case q.Quantified():
                return self._quantified(expr, relations)
        raise _Untranslatable

    def _in(self, field: q.Field, members: tuple[q.Expr, ...], relations: tuple[q.Relation, ...]) -> str:
        column = self.field(field, relations)
        values = [self.literal(field, member.value) for member in members if isinstance(member, q.Literal)]
        if len(values) < len(members):
            raise _Untranslatable
        return f"(({column} IN ({', '.join(values)})) IS TRUE)"

    def literal(self, field: q.Field, value: Any) -> str:
        """A constant of the field's own type, as a parameter."""
        if _is_text(field):
            fits = isinstance(value, str) and "\0" not in value
        else:
            fits = isinstance(value, (int, float)) and not isinstance(value, bool) and INT64_MIN <= value <= INT64_MAX
        if not fits:
            raise _Untranslatable
        self.params.append(value)
        return "?"

    def field(self, field: q.Field, relations: tuple[q.Relation, ...]) -> str:
        """A field of the row of some scope, or of the row that one link leads to."""
        if field.step or len(field.links) > 1 or field.up >= len(relations):
            raise _Untranslatable
        relation, table = relations[field.up], f"t{len(relations) - 1 - field.up}"
        if not field.links:
            return self._column(relation, field.name, table)
        if (relation, field.links[0]) not in _LINKS:
            raise _Untranslatable
        name, on = _LINKS[relation, field.links[0]]
        column = self._column(field.owner, field.name, "l")
        return f"(SELECT {column} FROM {name} AS l WHERE {on.format(l='l', t=table)})"

    def _column(self, relation: q.Relation, name: str, table: str) -> str:
        column = _COLUMNS.get(relation, {}).get(name)
        if column is None:
            raise _Untranslatable
        return column.format(t=table)

    def _quantified(self, expr: q.Quantified, relations: tuple[q.Relation, ...]) -> str:
        related = expr.related
        reached = _REACHED.get((related.source, related.relation))
        if reached is None:
            raise _Untranslatable
        inner, outer = f"t{len(relations)}", f"t{len(relations) - 1}"
        where = reached.format(i=inner, o=outer)
        if related.where is not None:
            where += f" AND {self.condition(related.where, (related.relation, *relations))}"
        rows = f"FROM {_TABLES[related.relation]} AS {inner} WHERE {where}"
        if expr.at_most is None and expr.at_least <= 1:
            return f"(EXISTS (SELECT 1 {rows}))" if expr.at_least else "(1)"
        if expr.at_most == 0 and expr.at_least == 0:
            return f"(NOT EXISTS (SELECT 1 {rows}))"
        most = INT64_MAX if expr.at_most is None else expr.at_most
        return f"((SELECT count(*) {rows}) BETWEEN {expr.at_least} AND {most})"


def _is_text(field: q.Field) -> bool:
    return field.name in _TEXTS


def _are_alike(a: q.Field, b: q.Field) -> bool:
    return _is_text(a) == _is_text(b)


def is_closed(query: q.Query) -> bool:
    """Whether nothing after the first condition looks at other rows than its own and those it links to."""
    open_nodes = (q.Related, q.Follow, q.Sequence, q.Caused)
    later = [node for part in (*query.stages, *query.columns) for node in q.walk(part)]
    return not any(isinstance(node, open_nodes) for node in later)
