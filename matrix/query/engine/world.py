"""What one execution of a query sees: the entity tables, the blocks, the clock, and its notices.

Everything is read once per execution and inside one read transaction of the index, so a query sees
one moment of the store however long it takes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from matrix.limits import QUERY_BLOCKS_KEPT_MAX
from matrix.query.engine.conversations import Conversations
from matrix.query.engine.entities import Agents, Entities, Goals, Simulations
from matrix.query.engine.forks import Forks
from matrix.query.engine.frame import Linked, Table
from matrix.query.engine.lookup import find_events
from matrix.query.engine.past.entities import PastEntities
from matrix.query.engine.scan import Needs, Wanted, Zone, scan
from matrix.query.engine.scan import zones_behind as zones_behind_in
from matrix.query.engine.value import Array
from matrix.query.syntax import Relation

if TYPE_CHECKING:
    import sqlite3

    from matrix.log.block import Block, BlockRef
    from matrix.log.reader import LogReader
    from matrix.query.engine.cut import Cut
    from matrix.query.engine.events import EventTable
    from matrix.query.engine.subset import Subset


@dataclass(slots=True)
class Notices:
    """Remarks that a result carries, counted by what they are about: ``12 events had text in .price``."""

    counts: dict[tuple[str, str, str, int], int] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def unlike(self, rows: str, kind: str, place: str, start: int, count: int) -> None:
        """``count`` rows held a value of a kind that could not be used there: at ``start`` of the query's text."""
        key = (rows, kind, place, start)
        with self._lock:  # the threads of a scan tell at once, in an order that is chance
            self.counts[key] = self.counts.get(key, 0) + count

    def as_texts(self) -> list[str]:
        most: dict[tuple[str, str, str], int] = {}  # the same rows where a query reads them several times
        for (rows, kind, place, _), count in self.counts.items():
            most[rows, kind, place] = max(count, most.get((rows, kind, place), 0))
        counts = sorted(most.items(), key=lambda item: (-item[1], item[0]))
        texts = [f"{count:,} {rows} had {kind} in {place}" for (rows, kind, place), count in counts]
        return texts + list(dict.fromkeys(self.others))


class World:
    """The store as one execution of a query sees it."""

    def __init__(
        self,
        entities: Entities,
        reader: LogReader,
        *,
        text: str,
        now_us: int,
        needs: Needs,
        cut: Cut | None = None,
        columns: Mapping[str, frozenset[str]] = MappingProxyType({}),
        subset: Subset | None = None,
        zones_behind: Callable[[Mapping[int, int]], Iterable[Zone]] | None = None,
    ) -> None:
        """``entities`` are those of the index; of a ``cut`` log they are made, with ``columns`` in view.

        ``subset`` is there when they hold only some simulations, or those as they were; ``zones_behind`` tells, where
        it is known already, which blocks hold a position behind some.
        """
        self.tables = entities if cut is None else PastEntities(self, cut, columns)
        self.reader, self.cut, self.subset = reader, cut, subset
        self.zones_behind = zones_behind or (lambda after: zones_behind_in(self.connection, after))
        self.text, self.now_us, self.needs = text, now_us, needs
        self.notices = Notices()
        self.on_scan: Callable[[Wanted], None] = lambda wanted: None  # who explains a query listens here
        self._blocks: OrderedDict[BlockRef, Block] = OrderedDict()

    @property
    def connection(self) -> sqlite3.Connection:
        return self.tables.connection

    @cached_property
    def simulations(self) -> Simulations:
        return self.tables.simulations

    @property
    def writers(self) -> Simulations:
        """All simulations that wrote in the log, which are more than the query's when it looks at a moment."""
        return self.simulations if self.cut is None else self.cut.writers

    @cached_property
    def agents(self) -> Agents:
        return self.tables.agents

    @cached_property
    def goals(self) -> Goals:
        return self.tables.goals

    @cached_property
    def conversations(self) -> Conversations:
        return Conversations(self, self.messages)

    def named_conversations(self, messages: EventTable) -> Linked:
        """The conversations of some messages, good for their ids and agents only."""
        return Conversations(self, messages).of_messages(messages)

    @cached_property
    def messages(self) -> EventTable:
        """All messages of the store."""
        return scan(self, Relation.MESSAGES, Wanted(), lambda table: None)

    @property
    def forks(self) -> Forks:
        return self.tables.forks

    def entities(self, relation: Relation) -> Table:
        """The whole table of a relation that is not read from the log."""
        if relation is Relation.SIMULATIONS:
            return self.simulations
        if relation is Relation.AGENTS:
            return self.agents
        if relation is Relation.GOALS:
            return self.goals
        assert relation is Relation.CONVERSATIONS, f"{relation} are read from the log, not from a table"
        return self.conversations

    def block(self, ref: BlockRef) -> Block:
        """A block of the log; those used last are kept."""
        found = self._blocks.pop(ref, None)
        if found is None:
            found = self.reader.block(ref)
        self._blocks[ref] = found
        if len(self._blocks) > QUERY_BLOCKS_KEPT_MAX:
            self._blocks.popitem(last=False)
        return found

    def events_at(self, simulations: Array, seqs: Array) -> Linked:
        """The events with these (simulation row, seq), wherever they lie in the log."""
        return Linked(*find_events(self, simulations, seqs))
