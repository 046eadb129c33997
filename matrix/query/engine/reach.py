"""Which rows are reached from which: the table of the language's section 5, as joins.

Both sides of a join are numbered by what they have in common, a *hub*: outer row i has the hub
``outer[i]`` (-1: none); inner row ``inner[j]`` has the hub ``hubs[j]``, and may have several. So rows
are counted per hub once, however many outer rows share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matrix.query.engine.events import EventTable
from matrix.query.engine.frame import Frame, Seen, expand
from matrix.query.engine.keys import pair_rows
from matrix.query.engine.links import end_of
from matrix.query.engine.threads import participants
from matrix.query.engine.value import Array, distinct
from matrix.query.syntax import Relation

if TYPE_CHECKING:
    from matrix.query.engine.world import World

_SENT = (Relation.EVENTS, Relation.MESSAGES)


class Join(NamedTuple):
    """A number of hubs; rows of the inner frame (each place may come several times) with their hubs."""

    hub_count: int
    outer: Array
    inner: Array
    hubs: Array

    def ordered(self) -> Join:
        """The inner entries by hub, and within a hub in the order of the inner frame."""
        known = self.hubs >= 0
        inner, hubs = self.inner[known], self.hubs[known]
        order = np.lexsort((inner, hubs))
        return Join(self.hub_count, self.outer, inner[order], hubs[order])

    def pairs(self) -> tuple[Array, Array]:
        """All (outer row, inner row) pairs, by outer row."""
        ordered = self.ordered()
        sizes = np.bincount(ordered.hubs, minlength=self.hub_count + 1)
        starts = np.cumsum(sizes) - sizes
        hubs = np.where(self.outer >= 0, self.outer, self.hub_count)
        owners, places = expand(starts[hubs], np.where(self.outer >= 0, sizes[hubs], 0))
        return owners, ordered.inner[places]


def simulation_rows(frame: Frame) -> Array:
    """The row of each row's simulation."""
    return _rows(frame, "simulation")


def join(world: World, outer: Frame, inner: Frame) -> Join:
    """The rows of ``inner`` reached from each row of ``outer``; inner rows are different from each other."""
    source, relation = outer.table.relation, inner.table.relation
    if Relation.SIMULATIONS in (source, relation):
        return _plain(world.simulations.count, simulation_rows(outer), simulation_rows(inner))
    if source is Relation.AGENTS:
        return _from_agents(world, outer, inner)
    if source is Relation.GOALS:
        return _from_goals(world, outer, inner)
    if source is Relation.CONVERSATIONS:
        return _from_conversations(world, outer, inner)
    return _from_events(world, outer, inner)


def _plain(count: int, outer: Array, hubs: Array) -> Join:
    return Join(count, outer, np.arange(len(hubs)), hubs)


def _rows(frame: Frame, *links: str) -> Array:
    """Where links lead from each row."""
    rows = end_of(frame, links).rows
    assert rows is not None, "a link leads to a row or to -1"
    return rows


def _from_agents(world: World, outer: Frame, inner: Frame) -> Join:
    """Itself, its goals, the events it did, the messages it sent or received, its conversations."""
    relation, count = inner.table.relation, world.agents.count
    if relation is Relation.AGENTS:
        return _plain(count, outer.index(), inner.index())
    if relation is Relation.MESSAGES:
        assert isinstance(inner.table, EventTable)
        rows, agents = _placed(inner, *participants(inner.table))
        return Join(count, outer.index(), rows, agents)
    if relation is Relation.CONVERSATIONS:
        agents, threads = world.conversations.members()
        rows, hubs = _placed(inner, threads, agents)
        return Join(count, outer.index(), rows, hubs)
    return _plain(count, outer.index(), _rows(inner, "agent"))


def _from_goals(world: World, outer: Frame, inner: Frame) -> Join:
    """Itself, its agent, the events and messages under it, the conversations of those."""
    relation = inner.table.relation
    if relation is Relation.AGENTS:
        return _plain(world.agents.count, _rows(outer, "agent"), inner.index())
    if relation is Relation.CONVERSATIONS:
        messages = world.messages
        threads, goals = messages.link("conversation").rows, messages.link("goal").rows
        width = world.goals.count + 1
        both = distinct(threads[goals >= 0] * width + goals[goals >= 0])
        rows, hubs = _placed(inner, *np.divmod(both, width))
        return Join(world.goals.count, outer.index(), rows, hubs)
    return _plain(world.goals.count, outer.index(), _rows(inner, "goal"))


def _from_events(world: World, outer: Frame, inner: Frame) -> Join:
    """The agent of an event or message, its goal, its conversation, and itself."""
    relation = inner.table.relation
    if relation in _SENT:
        return _same_events(outer, inner)
    if relation is Relation.CONVERSATIONS:
        return _plain(world.conversations.count, _rows(outer, "conversation"), inner.index())
    link = "agent" if relation is Relation.AGENTS else "goal"
    return _plain(inner.table.count, _rows(outer, link), inner.index())


def _same_events(outer: Frame, inner: Frame) -> Join:
    left, right = outer.table, inner.table
    assert isinstance(left, EventTable)
    assert isinstance(right, EventTable)
    ordered = inner.ordered()
    rows = ordered.index()
    found = pair_rows(
        right.simulation_rows()[rows],
        right.raw("seq")[rows],
        left.simulation_rows()[outer.index()],
        left.raw("seq")[outer.index()],
    )
    place = _places(inner)[rows]
    return Join(
        inner.count, np.where(found >= 0, place[found], -1) if len(place) else found, *[np.arange(inner.count)] * 2
    )


def _from_conversations(world: World, outer: Frame, inner: Frame) -> Join:
    """Itself, its agents, its messages, the goals of its agents."""
    relation, count = inner.table.relation, world.conversations.count
    if relation is Relation.CONVERSATIONS:
        return _plain(count, outer.index(), inner.index())
    if relation in _SENT:
        return _plain(count, outer.index(), _rows(inner, "conversation"))
    agents, threads = world.conversations.members()
    if relation is Relation.AGENTS:
        return Join(count, outer.index(), *_placed(inner, agents, threads))
    by_agent = Join(world.agents.count, _rows(inner, "agent"), threads, agents)
    rows, hubs = by_agent.pairs()
    return Join(count, outer.index(), rows, hubs)


def _places(frame: Frame) -> Array:
    """For each row of the frame's table its place in the frame, or -1."""
    places = np.full(frame.table.count, -1, np.int64)
    places[frame.index()] = np.arange(frame.count)
    return places


def _placed(frame: Frame, rows: Array, hubs: Array) -> tuple[Array, Array]:
    """Entries (table row, hub) as (place in the frame, hub), without rows that the frame lacks."""
    if frame.rows is None:
        return rows, hubs
    places = _places(frame)[rows]
    return places[places >= 0], hubs[places >= 0]


# -- whose messages ---------------------------------------------------------------------------------


def seen_by(messages: Frame, agents: Array) -> Seen:
    """How one agent (per message) sees each message."""
    table = messages.table
    assert isinstance(table, EventTable), "only events are seen by agents"
    rows = messages.index()
    received = np.zeros(len(rows), bool)
    owners, places = expand(table.receivers().starts[rows], table.receivers().counts[rows])
    received[owners[table.receivers().rows[places] == agents[owners]]] = True
    return Seen(table.link("agent").rows[rows] == agents, received)


def seen_by_any(messages: Frame, agents: Array) -> Seen:
    """Whether any of these agents sent, or received, each message."""
    table = messages.table
    assert isinstance(table, EventTable), "only events are seen by agents"
    rows = messages.index()
    is_looking = np.zeros(table.world.agents.count + 1, bool)  # the last one stands for -1
    is_looking[agents] = True
    is_looking[-1] = False
    received = np.zeros(len(rows), bool)
    owners, places = expand(table.receivers().starts[rows], table.receivers().counts[rows])
    received[owners[is_looking[table.receivers().rows[places]]]] = True
    return Seen(is_looking[table.link("agent").rows[rows]], received)
