"""A row as the naive evaluator has it, and the rows around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from matrix.testing.world import Thing


@dataclass(frozen=True)
class Row:
    """A thing, the agents it was reached from (by number), and the columns that stages made.

    ``steps`` are the events of a sequence that have a name here; None is a step that has no event (in
    a prefix of a funnel). ``turn`` is there for an event in the stream of an agent: that agent's count.
    """

    thing: Thing | None
    viewers: frozenset[int] = frozenset()
    columns: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, Row | None] = field(default_factory=dict)
    turn: int | None = None


#: The row a condition is about, then the rows around it, outwards.
Scope: TypeAlias = tuple[Row, ...]
