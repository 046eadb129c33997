"""``as tree``: events under the nearest of their ancestors that is among them, drawn with lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from matrix.errors import QueryError
from matrix.limits import QUERY_TREE_CHARS_MAX
from matrix.query import syntax as q
from matrix.query.engine.bounds import too_much_work
from matrix.query.engine.caused import Events, events_of
from matrix.query.engine.chat import Shaped
from matrix.query.engine.events import EventTable
from matrix.query.engine.forest import forests, nearest
from matrix.query.engine.frame import Frame
from matrix.query.engine.keys import pair_rows
from matrix.query.engine.links import end_of
from matrix.query.engine.value import Array, Type, Value

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator
    from matrix.query.engine.world import World

_BRANCH, _LAST, _DOWN, _NOTHING = "├─ ", "└─ ", "│  ", "   "


def as_tree(evaluator: Evaluator, stage: q.Shape, frame: Frame) -> Frame:
    """Each event once, depth first: those above which there is none by (simulation, seq), the others by seq."""
    events = events_of(frame)
    order = np.lexsort((events.seqs, events.simulations))
    simulations, seqs = events.simulations[order], events.seqs[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (simulations[1:] != simulations[:-1]) | (seqs[1:] != seqs[:-1])
    frame = frame.take(order[is_first])
    _check_room(evaluator.world, stage, frame)
    above = _parents(evaluator.world, frame, Events(simulations[is_first], seqs[is_first]))
    kinds = frame.field("kind").objects()
    rows, levels, texts = _drawn(evaluator.world, stage, above, kinds)
    lines = frame.take(rows)
    agents = end_of(lines, ("agent",))
    columns = {
        "tree": Value.of(Type.TEXT, pa.array(texts, pa.string())),
        "id": lines.field("id"),
        "parent": frame.field("id").take(above[rows]),
        "level": Value.of(Type.INT, levels),
        "agent": agents.table.values("id", agents.rows),
        "time": lines.field("time"),
        "data": lines.field("data"),
    }
    return Frame(Shaped(len(rows)), columns=columns)


def _check_room(world: World, stage: q.Shape, frame: Frame) -> None:
    """Raise before any work is done when the names of the kinds alone are too long."""
    assert isinstance(frame.table, EventTable)
    codes, words = frame.table.kinds()
    lengths = np.array([len(word) for word in words], np.int64)
    if frame.count and int(lengths[codes[frame.index()]].sum()) > QUERY_TREE_CHARS_MAX:
        raise _too_long(world, stage)


def _too_long(world: World, stage: q.Shape) -> QueryError:
    return too_much_work(
        f"the tree would take more than {QUERY_TREE_CHARS_MAX:,} characters to draw",
        "a long chain of causes goes far to the right; take fewer rows, for example: causes within 100 steps",
        text=world.text,
        span=stage.span,
    )


def _parents(world: World, frame: Frame, events: Events) -> Array:
    """For each of the ascending events the row of the nearest above it; -1 where there is none."""
    assert isinstance(frame.table, EventTable)
    causes = frame.table.raw("cause")[frame.index()]
    causes = np.where(causes < events.seqs, causes, 0)
    rows = pair_rows(*events, events.simulations, causes)
    far = np.flatnonzero((rows < 0) & (causes > 0))  # the cause itself is not among the rows
    for forest in forests(world, events.simulations[far]):
        places = forest.places(*events)  # ascending where they are not -1, as the events are
        is_marked = np.zeros(len(forest.cause), bool)
        is_marked[places[places >= 0]] = True
        here = far[places[far] >= 0]
        found, _ = nearest(forest.cause, is_marked, places[here])
        row_at = np.full(len(forest.cause) + 1, -1)  # the last one stands for -1
        row_at[places] = np.arange(len(places))
        row_at[-1] = -1
        rows[here] = row_at[found]
    return rows


def _drawn(world: World, stage: q.Shape, above: Array, kinds: list[str]) -> tuple[Array, Array, list[str]]:
    """The rows in the order of the tree, how deep each stands, and its line: a person reads these, so one by one."""
    below: dict[int, list[int]] = {}
    for row, parent in enumerate(above.tolist()):
        below.setdefault(parent, []).append(row)
    rows: list[int] = []
    levels: list[int] = []
    texts: list[str] = []
    waiting = [(row, 0, "", "") for row in reversed(below.get(-1, ()))]
    room = QUERY_TREE_CHARS_MAX
    while waiting:
        row, level, indent, fork = waiting.pop()
        rows.append(row)
        levels.append(level)
        texts.append(f"{indent}{fork}{kinds[row]}")
        room -= len(texts[-1])
        if room < 0:
            raise _too_long(world, stage)
        indent += {_BRANCH: _DOWN, _LAST: _NOTHING, "": ""}[fork]
        children = below.get(row, ())
        forks = [_BRANCH] * (len(children) - 1) + [_LAST]
        waiting.extend((child, level + 1, indent, fork) for child, fork in zip(reversed(children), reversed(forks)))
    return np.array(rows, np.int64), np.array(levels, np.int64), texts
