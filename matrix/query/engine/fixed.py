"""What a watched query tells of an event that nothing written later can change.

A watch that is far behind goes on in steps, to moments that are past by then. Most queries of events name only what
holds for good: columns and payloads, ids, roles, names. For these the entities need not be made again as they
were, if nothing was started since; then such a step costs what its own events cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matrix.event import AGENT_STARTED, SIMULATION_FORKED, SIMULATION_STARTED
from matrix.query import syntax as q
from matrix.query.engine.scan import kinds_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matrix.query.engine.changes import News, Vector

_OF_EVENTS: Final = frozenset({"id", "seq", "time", "wall", "kind", "turn", "role", "text", "reply_to", "data"})
FIXED: Final = {
    q.Relation.EVENTS: _OF_EVENTS,
    q.Relation.MESSAGES: _OF_EVENTS,
    q.Relation.SIMULATIONS: frozenset({"id", "name", "seed", "parent", "start"}),
    q.Relation.AGENTS: frozenset({"id", "role", "class", "number"}),
    q.Relation.GOALS: frozenset({"id", "name"}),
}
_LINKS: Final = ((), ("simulation",), ("agent",), ("from",), ("to",), ("peer",), ("goal",), ("cause",), ("state",))
#: What looks at more than a row and what it leads to.
OTHERS: Final = (
    *(q.Quantified, q.RelatedAggregate, q.Related, q.Sequence, q.MatchCount, q.Caused),
    *(q.Match, q.Funnel, q.Follow, q.Causes, q.Effects, q.Shape),
)
_STARTS: Final = frozenset({AGENT_STARTED, SIMULATION_STARTED, SIMULATION_FORKED})


def is_fixed(nodes: Iterable[q.Node]) -> bool:
    """Whether a query of events names nothing but what holds for good, unless something is started later."""
    return not any(isinstance(node, OTHERS) or (isinstance(node, q.Field) and not _holds(node)) for node in nodes)


def _holds(field: q.Field) -> bool:
    is_event = field.owner in (q.Relation.EVENTS, q.Relation.MESSAGES)
    names = FIXED.get(field.owner, frozenset())
    return field.links in _LINKS and field.name in names and (field.name != "data" or is_event)


def starts_behind(news: News, moment: Vector, gids: Sequence[int]) -> bool:
    """Whether behind a moment something was started in the range of some simulations.

    Likewise if agents act there that no event has started, since nobody knows from when on they are there.
    """
    low, high = gids[0], gids[-1]
    near = (zone for zone in news.zones_behind(moment) if zone.gids()[0] <= high and zone.gids()[1] >= low)
    if any(not _STARTS.isdisjoint(kinds_of(text)) for text in {zone.kinds for zone in near}):
        return True
    unnamed = "SELECT 1 FROM main.agents WHERE simulation BETWEEN ? AND ? AND id = cast(number AS TEXT) LIMIT 1"
    return news.connection.execute(unnamed, (low, high)).fetchone() is not None


def stop_within(before: Vector, newest: Vector, events: int) -> dict[int, int]:
    """A moment at most so many events behind ``before``: the shards in their order."""
    stop: dict[int, int] = {}
    for shard, position in sorted(newest.items()):
        begun = before.get(shard, 0)
        at = min(position, begun + events)
        events -= at - begun
        if at:
            stop[shard] = at
    return stop
