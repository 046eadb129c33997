"""Causes as a forest: for every event of some simulations the place of its cause, in one array.

A simulation's events are numbered without gaps, so an event's place is where its simulation begins plus its seq, and
the whole forest is one array of places: 4 bytes an event, filled while the log is read once. A cause comes before its
effect, so there are no circles; a cause that is not in the log ends the chain, as 0 does.

Chains may be as long as a simulation (question and answer, again and again). So nothing here takes a step of numpy
for each link of a long chain: `jumps` doubles its steps, and a walk on which few are left goes on in plain Python.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matrix.limits import QUERY_FOREST_EVENTS_MAX
from matrix.query.engine.bounds import portions
from matrix.query.engine.frame import expand
from matrix.query.engine.scan import Needs, Wanted, each_block, has_plain_blocks, scan
from matrix.query.engine.value import Array, distinct
from matrix.query.syntax import Relation

if TYPE_CHECKING:
    from matrix.log.block import Block
    from matrix.query.engine.events import EventTable
    from matrix.query.engine.world import World

_LEVELS = 64  # steps taken one by one before they are doubled
_FEW = 32  # so few on their way are quicker in plain Python
_BATCH = 65_536  # events that plain Python tells at once
_NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Forest:
    """The causes of all events of ``simulations`` (ascending rows); that of the i-th begins at place ``starts[i]``."""

    simulations: Array
    starts: Array
    cause: Array  # by place, the place of its cause, -1 for none
    is_there: Array  # by place, whether the log has the event

    def places(self, simulations: Array, seqs: Array) -> Array:
        """The place of each (simulation row, seq); -1 where there is no such event."""
        if not len(self.simulations):
            return np.full(len(seqs), -1)
        found = np.minimum(np.searchsorted(self.simulations, simulations), len(self.simulations) - 1)
        places = self.starts[found] + seqs - 1
        is_here = (self.simulations[found] == simulations) & (seqs > 0) & (places < self.starts[found + 1])
        places = np.where(is_here, places, -1)
        return np.where(is_here & self.is_there[places], places, -1)

    def without_causes(self) -> Forest:
        """Where events are, and no more."""
        return Forest(self.simulations, self.starts, _NO_ROWS, self.is_there)

    def events(self, places: Array) -> tuple[Array, Array]:
        """The (simulation row, seq) of each place."""
        found = np.searchsorted(self.starts, places, side="right") - 1
        return self.simulations[found], places - self.starts[found] + 1


def forests(world: World, simulations: Array) -> Iterator[Forest]:
    """The causes in these simulations (any order), so many of them at once as memory is set aside for."""
    simulations = distinct(simulations)
    sizes = _sizes(world)[simulations]
    for some in portions(sizes, QUERY_FOREST_EVENTS_MAX):
        yield _read(world, simulations[some], sizes[some])


def _sizes(world: World) -> Array:
    """The last seq that each simulation has, when its events are numbered without gaps."""
    sizes = world.simulations.array("events").copy()
    forks = world.tables.source("forks")
    missing = f"SELECT gid, sum(last_seq - first_seq + 1) FROM {forks} WHERE source IS NULL GROUP BY gid"
    rows = np.array(world.connection.execute(missing).fetchall(), np.int64).reshape(-1, 2)
    sizes[world.simulations.rows_of(rows[:, 0])] += rows[:, 1]  # a fork whose parent's events are not in the log
    return sizes


def _read(world: World, simulations: Array, sizes: Array) -> Forest:
    starts = np.concatenate(([0], np.cumsum(sizes)))
    count = int(starts[-1])
    cause = np.full(count, -1, np.int32 if count < 2**31 else np.int64)
    is_there = np.zeros(count, bool)
    before, room = np.zeros(world.simulations.count, np.int64), np.zeros(world.simulations.count, np.int64)
    before[simulations], room[simulations] = starts[:-1] - 1, sizes
    is_wanted = np.zeros(world.simulations.count, bool)
    is_wanted[simulations] = True
    beyond: list[tuple[Array, Array]] = []

    def take(rows: Array | int, seqs: Array, causes: Array) -> None:
        if (seqs > room[rows]).any():
            beyond.append((np.broadcast_to(rows, len(seqs)), seqs))
            return
        begin = before[rows]
        places = begin + seqs
        cause[places] = np.where((causes > 0) & (causes < seqs), begin + causes, -1)
        is_there[places] = True

    def take_table(table: EventTable) -> Array:
        take(table.simulation_rows(), table.raw("seq"), table.raw("cause"))
        return _NO_ROWS

    def take_block(block: Block) -> None:
        first, last = block.bounds("simulation")
        writers = world.simulations.rows_in_shard(block.ref.shard, np.arange(first, last + 1))
        if first == last:  # and the block was chosen for it
            take(int(writers[0]), block.seq, block.cause)
            return
        rows = writers[block.simulation - first]
        mine = is_wanted[rows]
        take(rows[mine], block.seq[mine], block.cause[mine])

    wanted = Wanted().with_simulations(simulations)
    if has_plain_blocks(world):
        for _ in each_block(world, wanted, take_block):
            pass
    else:
        scan(world, Relation.EVENTS, wanted, take_table, needs=Needs(identity=False))
    if beyond:  # a log with gaps, in which seqs are higher than there are events
        for rows, seqs in beyond:
            np.maximum.at(room, rows, seqs)
        return _read(world, simulations, room[simulations])
    if not is_there.all():
        cause[~is_there[cause]] = -1  # of -1 any answer is right
    return Forest(simulations, starts, cause, is_there)


# -- the nearest ancestor of some ------------------------------------------------------------------------


def nearest(cause: Array, is_marked: Array, places: Array) -> tuple[Array, Array]:
    """For each place the nearest marked one above it (-1: none), and how many links away that is."""
    found, distance = cause[places], np.ones(len(places), np.int32)
    left = _unfinished(found, is_marked, np.flatnonzero(found >= 0))
    work = 0
    for _ in range(_LEVELS):
        work += len(left)
        if not len(left) or work > len(cause):
            break
        found[left] = cause[found[left]]
        distance[left] += 1
        left = _unfinished(found, is_marked, left)
    if len(left):
        to, length = jumps(cause, is_marked)
        distance[left] += length[found[left]]
        found[left] = to[found[left]]
    return found, distance


def _unfinished(found: Array, is_marked: Array, among: Array) -> Array:
    among = among[found[among] >= 0]
    return among[~is_marked[found[among]]]


def jumps(cause: Array, is_marked: Array) -> tuple[Array, Array]:
    """For every place the nearest marked one above it (-1: none) and its distance, by doubling the steps."""
    to, length = cause.copy(), np.ones(len(cause), np.int32)
    left = np.flatnonzero((cause >= 0) & ~is_marked[cause]).astype(cause.dtype)
    while len(left):
        over = to[left]
        length[left] += length[over]
        to[left] = to[over]
        left = _unfinished(to, is_marked, left)
    return to, length


def below_marked(cause: Array, is_marked: Array, steps: int | None) -> Array:
    """Which of all places are below a marked one, at most so many links."""
    to, length = jumps(cause, is_marked)
    return to >= 0 if steps is None else (to >= 0) & (length <= steps)


def above(cause: Array, places: Array, steps: int | None) -> Array:
    """Which places are above any of these, at most so many links: each is marked once."""
    marks = np.zeros(len(cause), bool)
    done = 0
    while len(places) and done != steps:
        if len(places) <= _FEW:
            _few_above(cause, marks, places, None if steps is None else steps - done)
            break
        places = cause[places]
        places = places[places >= 0]
        places = distinct(places[~marks[places]])
        marks[places] = True
        done += 1
    return marks


def _few_above(cause: Array, marks: Array, places: Array, steps: int | None) -> None:
    up, marked = cause.data, marks.data
    few, done = set(places.tolist()), 0
    while few and done != steps:
        few = {place for place in (up[below] for below in few) if place >= 0 and not marked[place]}
        for place in few:
            marked[place] = True
        done += 1


# -- everything above, everything below ------------------------------------------------------------------


class Walk(NamedTuple):
    """Places come to, each with the number of the one it was reached from, and how many links lie between."""

    owners: Array
    places: Array
    depths: Array

    def at(self, chosen: Array) -> Walk:
        return Walk(self.owners[chosen], self.places[chosen], self.depths[chosen])


def climb(up: Array, places: Array, *, steps: int | None, length: Array | None = None) -> Iterator[Walk]:
    """All places above each of these, some at a time; a link of ``up`` is one step, or as many as ``length`` says."""
    walk = _begun(places)
    while len(walk.places):
        if len(walk.places) <= _FEW:
            yield from _few_climb(up, walk, steps, length)
            return
        more = 1 if length is None else length[walk.places]
        walk = Walk(walk.owners, up[walk.places], walk.depths + more)
        is_on = walk.places >= 0
        walk = walk.at(np.flatnonzero(is_on if steps is None else is_on & (walk.depths <= steps)))
        if len(walk.places):
            yield walk


def _begun(places: Array) -> Walk:
    owners = np.flatnonzero(places >= 0)
    return Walk(owners, places[owners], np.zeros(len(owners), np.int64))


def _few_climb(up: Array, walk: Walk, steps: int | None, length: Array | None) -> Iterator[Walk]:
    parents, lengths = up.data, None if length is None else length.data
    for owner, place, depth in zip(*(column.tolist() for column in walk), strict=True):
        here: list[int] = []
        depths: list[int] = []
        while True:
            depth += 1 if lengths is None else lengths[place]
            place = parents[place]
            is_end = place < 0 or (steps is not None and depth > steps)
            if not is_end:
                here.append(place)
                depths.append(depth)
            if here and (is_end or len(here) == _BATCH):
                yield Walk(np.full(len(here), owner), np.array(here), np.array(depths))
                here, depths = [], []
            if is_end:
                break


@dataclass(frozen=True, slots=True)
class Children:
    """The effects of each place: ``places[ends[i]:ends[i + 1]]``, in order."""

    ends: Array
    places: Array

    @classmethod
    def of(cls, cause: Array) -> Children:
        places = np.argsort(cause, kind="stable").astype(cause.dtype)
        counts = np.bincount(cause + 1, minlength=len(cause) + 1)  # first those of nobody
        return cls(np.cumsum(counts).astype(np.int64), places)

    def descend(self, places: Array, *, steps: int | None) -> Iterator[Walk]:
        """All places below each of these, some at a time."""
        walk, done = _begun(places), 0
        while len(walk.places) and done != steps:
            if len(walk.places) <= _FEW:
                walk = yield from self._few(walk, None if steps is None else steps - done)
                done = int(walk.depths[0]) if len(walk.places) else done
                continue
            begin = self.ends[walk.places]
            owners, found = expand(begin, self.ends[walk.places + 1] - begin)
            walk = Walk(walk.owners[owners], self.places[found], walk.depths[owners] + 1)
            done += 1
            if len(walk.places):
                yield walk

    def _few(self, walk: Walk, steps: int | None) -> Generator[Walk, None, Walk]:
        """Go on level by level in plain Python; gives back those on their way once they are many, or none are left."""
        ends, children = self.ends.data, self.places.data
        here = list(zip(walk.owners.tolist(), walk.places.tolist(), strict=True))
        depth = int(walk.depths[0])
        last = None if steps is None else depth + steps
        told: list[tuple[int, int, int]] = []
        while 0 < len(here) <= _FEW and depth != last:
            depth += 1
            here = [(owner, children[i]) for owner, place in here for i in range(ends[place], ends[place + 1])]
            told.extend((owner, place, depth) for owner, place in here)
            if len(told) >= _BATCH:
                yield _walk(told)
                told = []
        if told:
            yield _walk(told)
        return _walk([(owner, place, depth) for owner, place in here])


def _walk(rows: list[tuple[int, int, int]]) -> Walk:
    owners, places, depths = np.array(rows, np.int64).reshape(-1, 3).T
    return Walk(owners, places, depths)
