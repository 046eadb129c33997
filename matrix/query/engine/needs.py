"""Which columns a query names anywhere: of events, so that the scan reads them while a block is open; of
entities, so that each table is read in one pass. What is not foreseen here is read when it is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from matrix.query import syntax as q
from matrix.query.engine.events import DATA_TEXT
from matrix.query.engine.groups import needs_order
from matrix.query.engine.scan import Needs

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


def needs_of(query: q.Query, nodes: Sequence[q.Node]) -> Needs:
    """The columns that survivors of a scan should bring along; ``nodes`` are all of the query's."""
    answers = {id(column.expr) for column in query.columns if is_whole_data(column.expr)}
    needs = _columns([node for node in nodes if id(node) not in answers])
    if "data" not in needs.fields and any(id(node) in answers for node in nodes):
        needs = replace(needs, fields=needs.fields | {DATA_TEXT})
    return replace(needs, identity=_needs_identity(query, nodes, needs.raw))


def is_whole_data(expr: q.Expr) -> bool:
    """Whether this is the data of a row's own event: where it is only an answer, text will do."""
    return isinstance(expr, q.Field) and expr.name == "data" and not (expr.path or expr.links or expr.step or expr.up)


def pattern_needs(pattern: q.Pattern) -> Needs:
    """What the events that meet a pattern should bring along: where they are, and what is asked of them."""
    return _columns(list(q.walk(pattern)))


def _columns(nodes: Sequence[q.Node]) -> Needs:
    raw, payload, whole_data = columns_named(nodes)
    raw.update(_for_joins(nodes))
    whole_data |= any(isinstance(node, q.Shape) and node.name == "tree" for node in nodes)
    if "to" in raw:
        raw.add("agent")
    fields = frozenset({"data"} if whole_data else ())
    return Needs(frozenset(raw), frozenset(payload), fields, "to" in raw)


def columns_named(nodes: Iterable[q.Node]) -> tuple[set[str], set[str], bool]:
    """The fixed columns and the payload columns of events that these nodes read, and whether all of the data."""
    raw: set[str] = set()
    payload: set[str] = set()
    whole_data = False
    for field in _fields(nodes):
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
    return raw, payload, whole_data


def early_needs(query: q.Query, stages: Sequence[q.Stage]) -> Needs | None:
    """What rows need until a ``limit`` or ``sample`` has chosen the few that go on; None when nothing is chosen so.

    Without this, ``events | limit 10`` would decode the payload of every event of the log.
    """
    cut = next((i for i, stage in enumerate(stages) if isinstance(stage, (q.Limit, q.Sample))), None)
    if cut is None or query.source.relation not in _EVENTS:
        return None
    if not all(isinstance(stage, (q.Where, q.Select, q.Sort)) for stage in stages[:cut]):
        return None
    nodes = [node for part in (query.source, *stages[:cut]) for node in q.walk(part)]
    return needs_of(query, nodes)


def _needs_identity(query: q.Query, nodes: Sequence[q.Node], raw: Collection[str]) -> bool:
    """Whether rows will be ordered, joined or linked; an aggregate of plain columns does not care."""
    first = next((stage for stage in query.stages if not isinstance(stage, q.Where)), None)
    if not isinstance(first, q.Aggregate) or needs_order(first):
        return True
    if any(isinstance(node, (q.Related, q.Follow, q.Sequence, q.Caused)) for node in nodes):
        return True
    links = {"agent", "goal", "to", "state", "cause"}
    return bool(links & set(raw)) or any(
        isinstance(node, q.Field) and ("simulation" in node.links or node.name in ("id", "seq")) for node in nodes
    )


_ENTITY_COLUMNS = {
    q.Relation.SIMULATIONS: ("id", "name", "status", "seed", "start", "end", "duration", "parent", "data"),
    q.Relation.AGENTS: ("id", "role", "status", "start", "end", "turns"),
    q.Relation.GOALS: ("name", "status", "start", "end", "turns", "steps", "reason", "data"),
}
_MADE_OF = {
    "duration": ("start", "end"),
    "took": ("start", "end"),
}


def entity_columns(nodes: Sequence[q.Node]) -> dict[str, frozenset[str]]:
    """By table of the index, the columns that the fields and links of a query's nodes are made of."""
    found: dict[str, set[str]] = {"simulations": set(), "agents": set(), "goals": set()}
    for node in nodes:
        if isinstance(node, q.Field):
            _add_columns(found, node)
    return {table: frozenset(names) for table, names in found.items()}


def _add_columns(found: dict[str, set[str]], field: q.Field) -> None:
    known = _ENTITY_COLUMNS.get(field.owner, ())
    names = _MADE_OF.get(field.name, (field.name,))
    found.get(str(field.owner), set()).update(name for name in names if name in known)
    if field.name == "duration" and field.owner is not q.Relation.SIMULATIONS:
        found["simulations"].add("duration")
    if field.name == "id" and field.owner in (q.Relation.GOALS, *_EVENTS):
        found["simulations"].add("id")
    if field.name == "role" and field.owner in (q.Relation.GOALS, *_EVENTS):
        found["agents"].add("role")
        found["goals"].add("agent")
    if field.relation is q.Relation.AGENTS and field.links[:1] == ("goal",):
        found["agents"].add("goal")
    if field.relation is q.Relation.GOALS and field.links[:1] in (("agent",), ("parent",)):
        found["goals"].add(field.links[0])


def past_columns(nodes: Sequence[q.Node]) -> dict[str, frozenset[str]]:
    """The same, and under ``states`` the keys of agents' states, which are read from the log for a moment."""
    agents = (node for node in nodes if isinstance(node, q.Field) and node.owner is q.Relation.AGENTS)
    keys = {node.path[0] for node in agents if node.name == "data" and node.path}
    return {**entity_columns(nodes), "states": frozenset(key for key in keys if isinstance(key, str))}


def _fields(nodes: Iterable[q.Node]) -> Iterator[q.Field]:
    for node in nodes:
        if isinstance(node, q.Field) and (node.relation in _EVENTS or node.owner in _EVENTS):
            yield node


def _for_joins(nodes: Sequence[q.Node]) -> set[str]:
    """What it takes to know from which rows an event or message is reached."""
    found: set[str] = set()
    for node in nodes:
        match node:
            case q.Related(source=source, relation=relation):
                found |= _joining(source, relation)
            case q.Follow(source=source, to=to):
                found |= _joining(source, to.relation)
            case q.Caused() | q.Causes():
                found.add("cause")
            case q.Shape(name="tree"):
                found |= {"agent", "cause", "time"}
            case q.Shape(name="timeline"):
                found |= {"agent", "time"}
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
