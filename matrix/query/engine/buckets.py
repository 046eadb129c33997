"""Buckets of a watch: each is of one run, and is told once when nothing more can come into it.

A bucket is closed when the run's newest event has passed its end, or the run has ended; one of turns, and the one of
rows without a time, only when the run has ended. So which buckets are told follows from how far each run had come
at two moments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from matrix.event import SIMULATION_ENDS
from matrix.query import syntax as q
from matrix.query.engine.frame import Frame, Scope
from matrix.query.engine.fresh import gids_of
from matrix.query.engine.groups import bucket, grouped
from matrix.query.engine.order import ranks
from matrix.query.engine.reach import simulation_rows
from matrix.query.engine.value import Array, Type, Value

if TYPE_CHECKING:
    from matrix.log.block import Block
    from matrix.query.engine.changes import News, Vector
    from matrix.query.engine.evaluate import Evaluator

_RUN = "@run"  # the key that keeps runs of one id apart; no query can name it
SIMULATION = "@simulation"  # what the checker reads the key ``simulation`` from
_NEVER = -(2.0**62)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: the largest virtual time and wall clock of its events, and whether it has ended."""

    time: float = _NEVER
    wall: float = _NEVER
    has_ended: bool = False

    def and_then(self, other: Progress) -> Progress:
        """With what came later."""
        later = max(self.time, other.time), max(self.wall, other.wall)
        return Progress(*later, self.has_ended or other.has_ended)

    def newest(self, unit: str) -> float:
        """What closes buckets of a unit; turns are each agent's, so only the end does."""
        return {"time": self.time, "wall": self.wall}.get(unit, _NEVER)


def progress_between(
    news: News, first: Vector, second: Vector, gids: Iterable[int] | None = None
) -> dict[int, Progress]:
    """What was written between two moments, by run: of all, or of some."""
    wanted = None if gids is None else np.array(sorted(gids), np.int64)
    found: dict[int, Progress] = {}
    for zone in news.zones_behind(first):
        low, high = zone.gids()
        if wanted is not None and not np.any((wanted >= low) & (wanted <= high)):
            continue
        block, shard = news.reader.block(zone.ref), zone.ref.shard
        is_between = (block.positions > first.get(shard, 0)) & (block.positions <= second.get(shard, 0))
        writers = block.simulation.astype(np.int64) | shard << 32
        if wanted is not None:
            is_between &= np.isin(writers, wanted)
        _note(found, block, writers, np.flatnonzero(is_between))
    return found


def _note(found: dict[int, Progress], block: Block, writers: Array, rows: Array) -> None:
    ends = {code for code, kind in enumerate(block.kinds) if kind in SIMULATION_ENDS}
    is_end = np.isin(block.kind, list(ends)) if ends else np.zeros(block.count, bool)
    for gid in np.unique(writers[rows]).tolist():
        mine = rows[writers[rows] == gid]
        more = Progress(float(block.time[mine].max()), float(block.wall[mine].max()), bool(is_end[mine].any()))
        found[gid] = found.get(gid, Progress()).and_then(more)


def still_open(stage: q.Aggregate, before: Iterable[Progress]) -> dict[str, tuple[float, float]]:
    """Bounds for a scan of events: what lies before the first bucket that was open at the earlier moment."""
    per = stage.per
    if per is None or not isinstance(per.value, q.Field) or per.value.links or per.value.name not in ("time", "wall"):
        return {}
    oldest = min((progress.newest(per.unit) for progress in before), default=_NEVER)
    return {} if oldest == _NEVER else {per.value.name: (oldest // per.width * per.width, np.inf)}


def closed_buckets(
    evaluator: Evaluator,
    stage: q.Aggregate,
    frame: Frame,
    before: Mapping[int, Progress],
    after: Mapping[int, Progress],
) -> Frame:
    """The groups of the buckets that were closed between two moments, by run, then bucket, then keys."""
    assert stage.per is not None, "the checker lets a watch aggregate per bucket only"
    numbers = bucket(evaluator.value(stage.per.value, Scope((frame,))), stage.per.width)
    ends = np.full(frame.count, np.inf)
    for lane in numbers.lanes:
        mask = lane.mask(frame.count)
        ends[mask] = (lane.spread(frame.count).values[mask] + 1.0) * stage.per.width
    gids = gids_of(evaluator, frame)
    is_new = _closed(ends, gids, after, stage.per.unit) & ~_closed(ends, gids, before, stage.per.unit)
    frame, gids = frame.keep(is_new), gids[is_new]
    ids = evaluator.world.simulations.field("id").take(simulation_rows(frame))
    frame = replace(frame, columns={**frame.columns, _RUN: Value.of(Type.INT, gids), SIMULATION: ids})
    run = q.Column(stage.span, _RUN, q.ColumnRef(stage.span, _RUN, q.Type.NUMBER), q.Type.NUMBER)
    groups = grouped(evaluator, replace(stage, keys=(run, *stage.keys)), frame)
    order = [_codes(groups.columns[name]) for name in ("time", _RUN)]
    return groups.take(np.lexsort(order))


def _closed(ends: Array, gids: Array, progress: Mapping[int, Progress], unit: str) -> Array:
    """Which rows lie in a bucket that is closed."""
    known, places = np.unique(gids, return_inverse=True)
    runs = [progress.get(gid, Progress()) for gid in known.tolist()]
    newest = np.array([run.newest(unit) for run in runs])
    has_ended = np.array([run.has_ended for run in runs], bool)
    closed: Array = has_ended[places] | (newest[places] >= ends)
    return closed


def _codes(value: Value) -> Array:
    """Values as numbers in their order, missing last."""
    codes = ranks(value, tell_others_apart=False).codes
    return np.where(codes < 0, np.iinfo(np.int64).max, codes)
