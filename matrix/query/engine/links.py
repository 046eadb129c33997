"""Following links from the rows of a frame to the rows where a field is read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.events import CONVERSATION_BY_NAME, EventTable
from matrix.query.engine.frame import Frame, Table, expand
from matrix.query.engine.functions import call
from matrix.query.engine.value import Array, Value, from_objects


class End(NamedTuple):
    """Rows of ``table`` (-1: a broken link); None for all of them as they are."""

    table: Table
    rows: Array | None

    def path(self, path: tuple[q.PathPart, ...]) -> Value:
        return self.table.path(path, self.rows)


class Ends(NamedTuple):
    """Where links lead that may lead to several rows: ``end`` has a row for each of ``owners``."""

    owners: Array
    end: End


def links_of(field: q.Field) -> tuple[str, ...]:
    """The links of a field; a message's conversation by name only, where that is enough."""
    if field.relation is q.Relation.MESSAGES and field.links == ("conversation",) and field.name in ("id", "agents"):
        return (CONVERSATION_BY_NAME,)
    return field.links


def end_of(frame: Frame, links: tuple[str, ...]) -> End:
    """Where single links lead."""
    end = End(frame.table, frame.rows)
    for link in links:
        end = _step(end, link)
    return end


def _step(end: End, link: str) -> End:
    table, rows = end.table.link(link)
    if end.rows is None:
        return End(table, rows)
    if end.table.count == 0:
        return End(table, np.full(len(end.rows), -1))
    return End(table, np.where(end.rows >= 0, rows[end.rows], -1))


def ends_of(frame: Frame, links: tuple[str, ...]) -> Ends:
    """Where links lead, ``to`` and ``peer`` to several agents; a row that leads nowhere has one broken end."""
    owners = np.arange(frame.count)
    end = End(frame.table, frame.rows)
    for place, link in enumerate(links):
        if link not in q.MANY_LINKS:
            end = _step(end, link)
            continue
        inner, end = _receivers(end, None if link == "to" or place else frame)
        owners = owners[inner]
    return Ends(owners, end)


def _receivers(end: End, seen_by: Frame | None) -> tuple[Array, End]:
    """The receivers of each row; the sender instead, where the agents looking are not the senders."""
    table = end.table
    assert isinstance(table, EventTable), "only events are sent to somebody"
    rows = np.arange(table.count) if end.rows is None else end.rows
    starts, counts, agents = table.receivers()
    agent_of, agents_table = table.link("agent").rows, table.world.agents
    known = rows >= 0
    begin = np.where(known, starts[rows], 0) if len(starts) else np.zeros(len(rows), np.int64)
    many = np.where(known, counts[rows], 0) if len(starts) else np.zeros(len(rows), np.int64)
    flat = np.concatenate([agents, [-1]])
    begin = np.where(many > 0, begin, len(agents))
    many = np.maximum(many, 1)
    if seen_by is not None and seen_by.seen is not None:
        others = ~seen_by.seen.sent
        base = len(flat)
        flat = np.concatenate([flat, agent_of])
        begin = np.where(others & known, base + rows, begin)
        many = np.where(others, 1, many)
    owners, places = expand(begin, many)
    return owners, End(agents_table, flat[places])


def id_of(frame: Frame, field: q.Field) -> Value | None:
    """The id of an event's cause or state, which needs no look at that event; None for any other field."""
    table = frame.table
    if field.name != "id" or field.links not in (("cause",), ("state",)) or not isinstance(table, EventTable):
        return None
    return table.values(f"{field.links[0]} id", frame.rows) if table.has_plain_ids() else None


def read_end(end: End, field: q.Field) -> Value:
    """The field at the end of its links; a path with ``[*]`` gives a list."""
    if field.path:
        return end.path(field.path)
    return end.table.values(field.name, end.rows)


def read_joined(ends: Ends, field: q.Field, count: int) -> Value:
    """One value per row: that of the only end, or those of several joined with commas."""
    values = read_end(ends.end, field)
    if len(ends.owners) == count:  # each row has one end, if a broken one
        return values
    sizes = np.bincount(ends.owners, minlength=count)
    firsts = np.cumsum(sizes) - sizes
    single = values.take(firsts)
    objects, texts = values.objects(), call("text", [values]).objects()
    found = single.objects()
    for row in np.flatnonzero(sizes > 1).tolist():
        places = range(int(firsts[row]), int(firsts[row] + sizes[row]))
        present = [place for place in places if objects[place] is not None]
        found[row] = ", ".join(texts[place] for place in present) if len(present) > 1 else None
        if len(present) == 1:
            found[row] = objects[present[0]]
    return from_objects(found)
