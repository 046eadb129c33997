"""The stage ``funnel``: how many rows get how far along a sequence, and how long it takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matrix.query import syntax as q
from matrix.query.engine.aggregate import aggregate, number_of
from matrix.query.engine.chains import first_chains
from matrix.query.engine.frame import Frame, Scope
from matrix.query.engine.groups import Groups
from matrix.query.engine.order import groups
from matrix.query.engine.search import Search
from matrix.query.engine.sequences import StreamReader, in_order
from matrix.query.engine.value import Array, Type, Value, text_array

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator


class _Reached(NamedTuple):
    """For each step, which streams have come to it, and how long their first match up to there took."""

    is_reached: list[Array]
    durations: list[Array]


def funnelled(evaluator: Evaluator, stage: q.Funnel, frame: Frame) -> Frame:
    """One row per group and step: keys, step, event, reached, share, median_time."""
    sequence = stage.sequence
    read = StreamReader(evaluator, sequence, Scope((frame,)))
    found = _reached(read)
    keys = {column.name: evaluator.value(column.expr, Scope((frame,))) for column in stage.keys}
    if keys:
        codes, firsts = groups(list(keys.values()), frame.count)
        count = len(firsts)
    else:
        codes, firsts, count = np.zeros(frame.count, np.int64), np.empty(0, np.int64), 1
    steps = len(sequence.steps)
    order = np.arange(count * steps).reshape(steps, count).T.reshape(-1)  # by group, then by step
    rows = np.repeat(np.arange(count), steps)
    columns = {name: value.take(firsts[rows]) for name, value in keys.items()}
    columns["step"] = Value.of(Type.INT, np.tile(np.arange(1, steps + 1), count))
    labels = text_array([label(evaluator.world.text, step) for step in sequence.steps] * count)
    columns["event"] = Value.of(Type.TEXT, labels)
    reached: list[Array] = []
    medians: list[int | None] = []
    for is_reached, durations in zip(*found, strict=True):
        mask = is_reached[read.of_row]
        reached.append(number_of(mask, codes, count).lanes[0].values)
        took = Value.of(Type.DURATION, durations[read.of_row], mask)
        medians.extend(aggregate("median", took, codes, count).objects() if mask.any() else [None] * count)
    numbers = np.concatenate(reached)[order]
    base = np.repeat(reached[0], steps)
    columns["reached"] = Value.of(Type.INT, numbers)
    columns["share"] = Value.of(Type.FLOAT, numbers / np.maximum(base, 1), base > 0)
    columns["median_time"] = _durations([medians[place] for place in order.tolist()])
    return Frame(Groups(count * steps), columns=columns)


def steps_reached(evaluator: Evaluator, sequence: q.Sequence, scope: Scope) -> list[int]:
    """For each step, how many rows have a stream in which the sequence holds that far; for who explains a query."""
    read = StreamReader(evaluator, sequence, scope)
    return [int(is_reached[read.of_row].sum()) for is_reached in _reached(read).is_reached]


def label(text: str, step: q.Step) -> str:
    """A step in the query's own words."""
    words = " or ".join(text[start:end] for start, end in (pattern.span for pattern in step.patterns))
    return f"{words} {step.times} times" if step.times > 1 else words


def _durations(values: list[int | None]) -> Value:
    present = np.array([value is not None for value in values], bool)
    return Value.of(Type.DURATION, np.array([value or 0 for value in values], np.int64), present)


def _reached(read: StreamReader) -> _Reached:
    steps = range(len(read.sequence.steps))
    found = _Reached([np.zeros(read.count, bool) for _ in steps], [np.zeros(read.count, np.int64) for _ in steps])
    for streams, search in read.searches(keeps_all=True, is_timed=True, has_prefixes=True):
        for step in steps:
            chains = _first_matches(read, streams, search, step)
            level, times = search.levels[search.ends[step]], search.entries.times
            mine = streams[search.entries.streams[level.places[chains]]]
            found.is_reached[step][mine] = True
            found.durations[step][mine] = times[level.places[chains]] - times[level.starts[chains]]
    read.note_open()
    return found


def _first_matches(read: StreamReader, streams: Array, search: Search, step: int) -> Array:
    """The first match of the sequence up to a step in each stream that has one."""
    ends = search.holding(step)
    entries = search.entries
    read.mark_open(streams[entries.streams[ends.level.places[ends.open]]])
    chains = first_chains(ends.level, ends.holding)
    chains = chains[_firsts(entries.keyed[ends.level.places[chains]])]
    if read.sequence.same:
        chains = in_order(search, step, chains, latest_first=True)
        chains = chains[_firsts(entries.streams[ends.level.places[chains]])]
    return chains


def _firsts(codes: Array) -> Array:
    """Where each run of equal codes begins."""
    return np.flatnonzero(np.append(True, codes[1:] != codes[:-1])) if len(codes) else np.empty(0, np.int64)
