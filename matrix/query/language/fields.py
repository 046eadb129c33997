"""The catalogue: the fields of the six relations, their types, where links lead, what is reached from what.

A field that is a link has a target relation and a bare field: ``goal`` alone on an agent means
``goal.name``. All fields but ``data`` are a closed list, so a misspelt one is an error.
"""

from __future__ import annotations

from dataclasses import dataclass

from matrix.event import BUILT_IN_KINDS, RESERVED_PREFIXES
from matrix.query.syntax import Relation, Type

S, A, G, E, M, C = Relation


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """What is known of a field: its type when read alone, and for a link its target and bare field.

    ``is_name`` says that it may be compared with a bare word (``role = buyer``).
    ``from_agent`` marks fields that only a row reached from an agent has.
    """

    type: Type
    is_name: bool = False
    link: Relation | None = None
    bare: str = ""
    from_agent: bool = False


TEXT = FieldInfo(Type.TEXT)
NAME = FieldInfo(Type.TEXT, is_name=True)
NUMBER = FieldInfo(Type.NUMBER)
DURATION = FieldInfo(Type.DURATION)
TIME = FieldInfo(Type.TIME)
DATA = FieldInfo(Type.MAP)
SEEN = FieldInfo(Type.BOOL, from_agent=True)


def link(to: Relation, bare: str = "id") -> FieldInfo:
    """A field that leads to a row of another relation, and alone means that row's ``bare``."""
    return FieldInfo(Type.TEXT, is_name=True, link=to, bare=bare)


_EVENT_FIELDS = {
    "id": NAME,
    "simulation": link(S),
    "seq": NUMBER,
    "time": DURATION,
    "wall": TIME,
    "agent": link(A),
    "role": NAME,
    "goal": link(G, "name"),
    "state": link(E),
    "kind": NAME,
    "cause": link(E),
    "turn": NUMBER,
    "to": link(A),
    "peer": link(A),
}

#: The fields of each relation, in the order of the default columns.
FIELDS: dict[Relation, dict[str, FieldInfo]] = {
    S: {
        "id": NAME,
        "name": NAME,
        "status": NAME,
        "seed": NUMBER,
        "start": TIME,
        "end": TIME,
        "duration": DURATION,
        "took": DURATION,
        "parent": NAME,
        "data": DATA,
    },
    A: {
        "id": NAME,
        "simulation": link(S),
        "role": NAME,
        "status": NAME,
        "goal": link(G, "name"),
        "start": DURATION,
        "end": DURATION,
        "duration": DURATION,
        "turns": NUMBER,
        "data": DATA,
    },
    G: {
        "id": NAME,
        "name": NAME,
        "simulation": link(S),
        "agent": link(A),
        "role": NAME,
        "status": NAME,
        "start": DURATION,
        "end": DURATION,
        "duration": DURATION,
        "turns": NUMBER,
        "steps": NUMBER,
        "reason": NAME,
        "parent": link(G),
        "data": DATA,
    },
    E: {**_EVENT_FIELDS, "data": DATA},
    M: {
        **_EVENT_FIELDS,
        "from": link(A),
        "text": TEXT,
        "conversation": link(C),
        "reply_to": NAME,
        "sent": SEEN,
        "received": SEEN,
        "data": DATA,
    },
    C: {
        "id": NAME,
        "simulation": link(S),
        "agents": TEXT,
        "start": DURATION,
        "end": DURATION,
        "duration": DURATION,
        "turns": NUMBER,
        "messages": NUMBER,
    },
}

#: What is reached from a row of each relation, by quantifiers, counting and relation stages.
REACHED: dict[Relation, frozenset[Relation]] = {
    S: frozenset({A, G, E, M, C}),
    A: frozenset({A, S, G, E, M, C}),  # of agents: itself
    G: frozenset({A, S, E, M}),
    E: frozenset({A, G, S, C}),
    M: frozenset({A, G, S, C}),
    C: frozenset({A, S, M, G}),
}

STATUSES: dict[Relation, tuple[str, ...]] = {
    S: ("running", "finished", "failed", "stopped"),
    A: ("running", "finished", "failed", "cancelled"),
    G: ("running", "succeeded", "failed", "cancelled"),
}
ALL_STATUSES = ("running", "finished", "failed", "stopped", "succeeded", "cancelled")
OUTCOMES = ("succeeded", "failed", "started", "cancelled")
SHAPES = ("table", "chat", "tree", "timeline")

#: One row and several rows of a relation, as the grammar says them.
RELATION_OF_WORD = {word: relation for relation in Relation for word in (relation.value, relation.value[:-1])}


def fields_of(relation: Relation, *, seen_by_agent: bool) -> dict[str, FieldInfo]:
    """The fields a row has; some only when it was reached from an agent."""
    found = FIELDS[relation]
    return found if seen_by_agent else {name: info for name, info in found.items() if not info.from_agent}


def relations_with(name: str) -> list[Relation]:
    """The relations that have a field of this name."""
    return [relation for relation in Relation if name in FIELDS[relation]]


def is_known_kind(kind: str) -> bool:
    """Whether events of this kind can exist: own kinds are open, those under reserved prefixes a closed list."""
    return kind in BUILT_IN_KINDS or not kind.startswith(RESERVED_PREFIXES)


def is_known_prefix(prefix: str) -> bool:
    """Whether some kind can start with this (``tool.``)."""
    if not any(reserved.startswith(prefix) or prefix.startswith(reserved) for reserved in RESERVED_PREFIXES):
        return True
    return any(kind.startswith(prefix) for kind in BUILT_IN_KINDS)
