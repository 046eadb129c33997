"""Explain a query: its plan and what became of the rows, so that an empty answer explains itself.

The query is executed. Each line of the answer is a part of it, in the order in which rows flow: how many rows it was
given (``rows_in``) and let pass (``rows``), how many the index knows of beforehand (``expected``), which part of the
log is read for it (``blocks``, ``bytes``), what decides it (``by``), and how long it took (``ms``, what is inside it
included).

    step                                 rows_in   rows  expected  blocks    bytes      by
    agents                                        1,000                                 index
      where role = buyer                   1,000    500                                 index alone
    | where did offer then accept            500     42     4,812  12 of 90  1,153,024  log
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from matrix.query import syntax as q
from matrix.query.engine.catalogue import kind_counts
from matrix.query.engine.entities import TABLES
from matrix.query.engine.funnel import label
from matrix.query.engine.pushdown import is_closed, restriction
from matrix.query.engine.rows import conjuncts
from matrix.query.engine.trace import Passed, Reading, Trace, TracingEvaluator
from matrix.query.result import Result

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator
    from matrix.query.engine.world import World

SCHEMA: Final = pa.schema(
    [
        ("step", pa.string()),
        ("rows_in", pa.int64()),
        ("rows", pa.int64()),
        ("expected", pa.int64()),
        ("blocks", pa.string()),
        ("bytes", pa.int64()),
        ("by", pa.string()),
        ("ms", pa.float64()),
    ]
)
_INDEX_ALONE = "index alone"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an explanation."""

    depth: int
    text: str
    passed: Passed | None = None
    readings: Sequence[Reading] = ()
    by: str | None = None

    def row(self) -> dict[str, object]:
        """The line as a row of the result."""
        passed, read = self.passed, self.readings
        return {
            "step": "  " * self.depth + " ".join(self.text.split()),
            "rows_in": None if passed is None else passed.asked,
            "rows": None if passed is None else passed.passed,
            "expected": sum(reading.expected for reading in read) if read else None,
            "blocks": f"{sum(r.blocks for r in read):,} of {max(r.blocks_all for r in read):,}" if read else None,
            "bytes": sum(reading.size_bytes for reading in read) if read else None,
            "by": self.by or ("log" if read else "memory" if passed is not None and passed.asked is not None else None),
            "ms": None if passed is None or not passed.ns else round(passed.ns / 1e6, 2),
        }


def explain(query: q.Query, world: World, answer: Callable[[q.Query, Evaluator], Result]) -> Result:
    """The plan of a query with the rows that passed each part of it; ``answer`` executes the query."""
    evaluator = TracingEvaluator(world)
    began = time.perf_counter_ns()
    result = answer(query, evaluator)
    took = time.perf_counter_ns() - began
    lines = list(_Explainer(query, world, evaluator.trace).lines())
    lines.append(Line(0, "answer", Passed(None, len(result), took)))
    table = pa.Table.from_pylist([line.row() for line in lines], schema=SCHEMA)
    return Result(table, result.notices)


class _Explainer:
    """Reads the tree of the query beside the trace of its execution."""

    def __init__(self, query: q.Query, world: World, trace: Trace) -> None:
        self.query, self.world, self.trace = query, world, trace

    def lines(self) -> Iterator[Line]:
        """The source with its conditions, then stage after stage."""
        yield from self._source()
        is_counted = self._is_now and kind_counts(self.query, self.world.connection) is not None
        if is_counted:
            yield Line(0, "| " + self._words(self.query.stages[0]), None, (), _INDEX_ALONE)
        for stage in self.query.stages[is_counted:]:
            yield Line(0, "| " + self._words(stage), self.trace.passed.get(id(stage)), self._read(stage))
            yield from self._inside(stage, 1)

    @property
    def _is_now(self) -> bool:
        """Whether the query looks at the log as it is, which the index knows."""
        return self.world.cut is None

    def _source(self) -> Iterator[Line]:
        source = self.query.source
        kind = TABLES.get(source.relation)
        if kind is None:
            read = self._read(source)
            passed = Passed(None, sum(reading.expected for reading in read)) if read else self._counted()
            yield Line(0, self._words(source), passed, read, None if read else "index")
            yield from self._conditions(source.where, 1)
            return
        if not self._is_now:  # what was there then is read from the log
            yield Line(0, self._words(source), Passed(None, self.world.entities(source.relation).count), (), "log")
            yield from self._conditions(source.where, 1)
            return
        (count,) = self.world.connection.execute(f"SELECT count(*) FROM {kind.table}").fetchone()
        yield Line(0, self._words(source), Passed(None, count), (), "index")
        if source.where is None or not is_closed(self.query) or restriction(source.relation, source.where) is None:
            yield from self._conditions(source.where, 1)
        else:
            yield from self._by_index(source, kind.table, count)

    def _counted(self) -> Passed:
        """The events that the catalogue counts for a query which it answers alone."""
        kinds = self.query.source.kinds
        found = self.world.connection.execute("SELECT kind, events FROM kinds").fetchall()
        return Passed(None, sum(n for kind, n in found if not kinds or any(k.matches(kind) for k in kinds)))

    def _by_index(self, source: q.Source, table: str, asked: int) -> Iterator[Line]:
        """What SQLite alone decides, one condition after the other."""
        connection = self.world.connection
        items = conjuncts(source.where)
        for place, item in enumerate(items, 1):
            only = restriction(source.relation, q.And(item.span, tuple(items[:place])))
            assert only is not None, "a part of a condition that SQLite decides is decided by it too"
            sql = f"SELECT count(*) FROM {table} AS t0 WHERE {only.where}"
            (passed,) = connection.execute(sql, only.params).fetchone()
            yield Line(1, "where " + self._words(item), Passed(asked, passed), (), _INDEX_ALONE)
            asked = passed

    def _conditions(self, condition: q.Expr | None, depth: int) -> Iterator[Line]:
        """The conditions that must all hold, in the order in which they were tried."""
        for item in conjuncts(condition):
            passed = self.trace.passed.get(id(item))
            by = None if passed is not None else "the blocks' kinds" if isinstance(item, q.KindIs) else None
            yield Line(depth, "where " + self._words(item), passed, self._read(item), by)
            yield from self._inside(item, depth + 1)

    def _inside(self, node: q.Node, depth: int) -> Iterator[Line]:
        """The conditions inside of a condition or a stage, where they are more than the whole again."""
        if isinstance(node, q.Sequence):
            yield from self._steps(node, depth)
        for child in q.children(node):
            passed = self.trace.passed.get(id(child))
            is_said = child.span == node.span or passed is None
            if not is_said:
                yield Line(depth, self._words(child), passed, self._read(child))
            yield from self._inside(child, depth if is_said else depth + 1)

    def _steps(self, sequence: q.Sequence, depth: int) -> Iterator[Line]:
        """How many rows reach each step: have a stream in which the sequence holds up to there."""
        for step, count in zip(sequence.steps, self.trace.steps.get(id(sequence), ())):
            words = label(self.query.text, step)
            yield Line(depth, f"reach {words if step.role == 'did' else f'{step.role} {words}'}", Passed(None, count))

    def _read(self, node: q.Node) -> list[Reading]:
        return self.trace.readings.get(id(node), [])

    def _words(self, node: q.Node) -> str:
        """The query's own words for a node; for a source those before its condition."""
        start, end = node.span
        if isinstance(node, q.Source) and node.where is not None:
            end = self.query.text.rfind("where", start, node.where.span[0])
        return self.query.text[start:end]
