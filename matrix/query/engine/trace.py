"""What an execution did, for `explain`: rows that met each condition, rows after each stage, blocks read for them.

A `TracingEvaluator` tells a `Trace` each condition that it tries. What was read is filed under the node of the query
that was being worked on, so the tree of the query and the trace together make the explanation.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from matrix.query import syntax as q
from matrix.query.engine.evaluate import Evaluator
from matrix.query.engine.frame import Frame, Scope
from matrix.query.engine.funnel import steps_reached
from matrix.query.engine.scan import Wanted, chosen_zones, zones
from matrix.query.engine.value import Array, Value

if TYPE_CHECKING:
    from matrix.query.engine.world import World


@dataclass(slots=True)
class Passed:
    """How many rows a condition or a stage was given, how many came out, and how long that took in nanoseconds."""

    asked: int | None = 0
    passed: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """One scan of the log: ``blocks`` of ``blocks_all``, in which the index knows of ``expected`` rows."""

    blocks: int
    blocks_all: int
    size_bytes: int
    expected: int


@dataclass(slots=True)
class Trace:
    """Filled while a query runs; its nodes are known by identity, so the query must live as long."""

    passed: dict[int, Passed] = field(default_factory=dict)
    readings: dict[int, list[Reading]] = field(default_factory=dict)
    steps: dict[int, list[int]] = field(default_factory=dict)  # of a sequence: rows that reached each step
    _path: list[int] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: int = field(default_factory=threading.get_ident)

    @contextlib.contextmanager
    def at(self, node: q.Node) -> Iterator[None]:
        """What is read inside is read for ``node``; other threads only help with what this one has begun."""
        is_ours = threading.get_ident() == self._thread
        if is_ours:
            self._path.append(id(node))
        try:
            yield
        finally:
            if is_ours:
                self._path.pop()

    def add(self, node: q.Node, asked: int | None, passed: int, ns: int) -> None:
        """A condition was tried on some rows, or a stage made others of them; batches add up."""
        with self._lock:
            found = self.passed.setdefault(id(node), Passed(None if asked is None else 0))
            found.asked = None if asked is None else (found.asked or 0) + asked
            found.passed += passed
            found.ns += ns

    def reached(self, sequence: q.Sequence, counts: list[int]) -> None:
        """So many rows reached each step of a sequence; batches add up."""
        with self._lock:
            known = self.steps.get(id(sequence), [0] * len(counts))
            self.steps[id(sequence)] = [a + b for a, b in zip(known, counts)]

    def scanned(self, world: World, wanted: Wanted) -> None:
        """The log is scanned for what is wanted."""
        chosen = list(chosen_zones(world, wanted))
        expected = sum(json.loads(choice.zone.kinds)[kind] for choice in chosen for kind in choice.kinds)
        refs = {choice.zone.ref for choice in chosen}
        sizes = world.connection.execute('SELECT shard, segment, generation, "offset", length FROM blocks')
        size = sum(row[4] for row in sizes if row[:4] in refs)
        found = Reading(len(refs), len(zones(world.connection, world.reader)), size, expected)
        self.readings.setdefault(self._path[-1] if self._path else 0, []).append(found)


class TracingEvaluator(Evaluator):
    """An evaluator that tells a trace what every condition and every stage let pass."""

    tells_rows = True

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.trace = Trace()
        self._is_told = True
        world.on_scan = self._on_scan

    @contextlib.contextmanager
    def at(self, node: q.Node, before: Frame | None = None) -> Iterator[Callable[[Frame], None]]:
        began = time.perf_counter_ns()
        asked = None if before is None else before.count
        if isinstance(node, q.Match) and before is not None:
            self._reach(node.sequence, Scope((before,)))
        with self.trace.at(node):
            yield lambda after: self.trace.add(node, asked, after.count, time.perf_counter_ns() - began)

    def holds(self, expr: q.Expr, scope: Scope) -> Array:
        began = time.perf_counter_ns()
        with self.trace.at(expr):
            mask = super().holds(expr, scope)
        if self._is_told:
            self.trace.add(expr, len(mask), int(mask.sum()), time.perf_counter_ns() - began)
            if isinstance(expr, q.Sequence):
                self._reach(expr, scope)
        return mask

    def _reach(self, sequence: q.Sequence, scope: Scope) -> None:
        """Go through a sequence once more, as far as each of its steps; that is no part of the query's own work."""
        self._is_told = False
        self.trace.reached(sequence, steps_reached(self, sequence, scope))
        self._is_told = True

    def _on_scan(self, wanted: Wanted) -> None:
        if self._is_told:
            self.trace.scanned(self.world, wanted)

    def value(self, expr: q.Expr, scope: Scope) -> Value:
        with self.trace.at(expr):
            return super().value(expr, scope)
