"""The entity tables of a cut log: the same tables as those of the index, with columns worked out from events.

What always holds: every column has the values that the index would have, had it been made from the log cut so. Most
are said by few events (starts, ends, states), which alone are read; what all events are needed for (turns, steps,
durations of what runs) is worked out when a query asks for it (``census``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, cast

from matrix.query.engine.entities import Agents, Entities, Goals, Simulations
from matrix.query.engine.entity_table import EntityTable, Restriction, T
from matrix.query.engine.forks import Forks
from matrix.query.engine.past.agents import PastAgents
from matrix.query.engine.past.goals import PastGoals
from matrix.query.engine.past.simulations import PastSimulations

if TYPE_CHECKING:
    from matrix.query.engine.cut import Cut
    from matrix.query.engine.world import World

_PAST: dict[type[EntityTable], type[EntityTable]] = {
    Simulations: PastSimulations,
    Agents: PastAgents,
    Goals: PastGoals,
}


class PastEntities(Entities):
    """The entity tables of a world whose log is cut; ``columns`` are those that the query names, by table."""

    def __init__(self, world: World, cut: Cut, columns: Mapping[str, frozenset[str]]) -> None:
        super().__init__(cut.whole.connection)
        self.world, self.cut, self.columns = world, cut, columns
        self._past: dict[type[EntityTable], EntityTable] = {}

    def table(self, kind: type[T], only: Restriction | None = None) -> T:
        assert only is None, "SQLite knows nothing of how things were"
        if kind not in self._past:
            self._past[kind] = _PAST[kind](self, None)
        return cast(T, self._past[kind])

    @cached_property
    def forks(self) -> Forks:
        return self.cut.forks()

    @cached_property
    def incomplete_forks(self) -> list[str]:
        return self.cut.whole.incomplete_forks
