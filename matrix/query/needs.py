"""Which columns of events a query names anywhere, so that the scan reads them while a block is open."""

from __future__ import annotations

from collections.abc import Iterator

from . import syntax as q
from .scan import Needs

_RAW = frozenset({"seq", "time", "wall", "turn"})
#: What a link from an event is made of.
_COLUMNS = {
    "agent": ("agent",),
    "from": ("agent",),
    "role": ("agent",),
    "goal": ("goal",),
    "state": ("state",),
    "cause": ("cause",),
    "to": ("to", "agent"),
    "peer": ("to", "agent"),
    "conversation": ("to", "agent"),
    "reply_to": ("to", "agent", "cause"),
    "simulation": (),
    "sent": ("agent",),
    "received": ("to",),
}
_EVENTS = (q.Relation.EVENTS, q.Relation.MESSAGES)


def needs_of(query: q.Query) -> Needs:
    """The columns that survivors of a scan should bring along."""
    raw: set[str] = set()
    payload: set[str] = set()
    whole_data = False
    for field in _fields(query):
        raw.update(_COLUMNS.get(field.links[0] if field.links else field.name, ()))
        if field.owner not in _EVENTS:
            continue
        if field.name in _RAW:
            raw.add(field.name)
        elif field.name == "text":
            payload.add("text")
        elif field.name == "data":
            if field.path and isinstance(field.path[0], str):
                payload.add(field.path[0])
            else:
                whole_data = True
    raw.update(_for_joins(query))
    if "to" in raw:
        raw.add("agent")
    return Needs(frozenset(raw), frozenset(payload), frozenset({"data"} if whole_data else ()), "to" in raw)


def _fields(query: q.Query) -> Iterator[q.Field]:
    for node in q.walk(query):
        if isinstance(node, q.Field) and (node.relation in _EVENTS or node.owner in _EVENTS):
            yield node


def _for_joins(query: q.Query) -> set[str]:
    """What it takes to know from which rows an event or message is reached."""
    found: set[str] = set()
    for node in q.walk(query):
        match node:
            case q.Related(source=source, relation=relation):
                found |= _joining(source, relation)
            case q.Follow(source=source, to=to):
                found |= _joining(source, to.relation)
            case q.Source(relation=relation) if relation is q.Relation.CONVERSATIONS:
                found |= {"agent", "to", "time", "goal"}
    return found


def _joining(source: q.Relation, relation: q.Relation) -> set[str]:
    if q.Relation.CONVERSATIONS in (source, relation):
        return {"agent", "to", "time", "goal"}
    if source not in _EVENTS and relation not in _EVENTS:
        return set()
    found = {"agent"} if q.Relation.AGENTS in (source, relation) else set()
    if q.Relation.GOALS in (source, relation):
        found.add("goal")
    if q.Relation.MESSAGES in (source, relation) and q.Relation.AGENTS in (source, relation):
        found.add("to")
    return found
