"""History: all events of one simulation in order, wherever they lie, its parents' included.

    1 .................. at | at+1 ......................... last_seq
    the parent's log part   | the fork's own log part: simulation.forked first
    (its parent's before)   |

What always holds: a fork's history is what it would be if the parent's events up to ``at`` had been
copied; a history ends where it ended when it was made, however the log grows; only blocks that may hold
the simulation are read, and a segment that is compacted meanwhile is found again at its new place.

``Histories`` hands out the histories of one log: it looks once where which simulation lies, and keeps the
blocks that were read last, so that reading all simulations of a log, one after the other, stays linear.
Where very many take turns, as they do before a segment is compacted, it reads many blocks at once and clusters
their events by simulation: or each simulation would touch each block for a few rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from matrix.errors import FormatError, StoreError, UsageError
from matrix.event import SIMULATION_ENDS, SIMULATION_FORKED, Event
from matrix.limits import (
    COMPACT_BLOCK_EVENTS_MAX,
    FIELDS_PER_KIND_MAX,
    HISTORY_EVENTS_KEPT_MAX,
    HISTORY_RETRIES_MAX,
)
from matrix.log.block import MISSING, Block, BlockRef
from matrix.log.compact import Clustered
from matrix.log.digest import Streams
from matrix.log.pack import pack
from matrix.log.reader import LogReader, StaleBlock
from matrix.log.references import References, Stored
from matrix.log.repeats import Repeats
from matrix.log.rows import TooLarge

Place: TypeAlias = tuple[BlockRef, ...]  # a block, or several that are read as one
CROWD_MIN: Final = 64  # simulations in one block, from which on it is worth while to cluster several
CLUSTER_EVENTS_MAX: Final = HISTORY_EVENTS_KEPT_MAX // 2
_LOOKED_UP_ONE_BY_ONE: Final = 8  # simulations of a shard; asked for more, all of its blocks are looked through once
_FIXED = ("simulation", "seq", "time", "wall", "agent", "turn", "goal", "state", "cause")


class Piece(NamedTuple):
    """Events of a simulation that lie in one block: ``rows`` are theirs, in order; the other rows are not."""

    block: Block
    rows: np.ndarray
    first_seq: int

    @property
    def last_seq(self) -> int:
        """The ``seq`` of its last event."""
        return int(self.block.seq[self.rows[-1]])

    def events(self, kinds: Collection[str] | None = None) -> list[Event]:
        """Its events in order, or only those of some kinds: nothing else is decoded."""
        return events_of(self.block, self.rows, kinds)


class Part(NamedTuple):
    """Where a stretch of a history lies: events ``first_seq`` to ``last_seq`` of a simulation's own log part."""

    shard: int
    ordinal: int
    first_seq: int
    last_seq: int


class History:
    """The whole history of one simulation, its parents' part included.

    >>> history = History(LogReader(Path("runs/log")), 1, 3)               # doctest: +SKIP
    >>> history.started.data["name"], history.last_seq                     # doctest: +SKIP
    ('negotiation', 7205)
    >>> [event.kind for event in history.events(kinds={"call.failed"})]    # doctest: +SKIP
    ['call.failed']
    """

    def __init__(
        self,
        reader: LogReader,
        shard: int,
        ordinal: int,
        *,
        last_seq: int | None = None,
        histories: Histories | None = None,
    ) -> None:
        """``last_seq`` bounds it; ``histories`` is where other histories of the log look, too."""
        # One history is read once through: there is nothing to keep for others.
        self._source = histories or Histories(reader, events_kept=COMPACT_BLOCK_EVENTS_MAX)
        self.shard, self.ordinal = shard, ordinal
        newest = self._source.newest_seq(shard, ordinal)
        if newest is None:
            raise UsageError(f"the log has no events of simulation {ordinal} of shard {shard}")
        self.last_seq = newest if last_seq is None else min(last_seq, newest)
        self.parts, self.forks = self._find_parts()

    def __repr__(self) -> str:
        return f"<History of {self.ordinal} in shard {self.shard}, events 1..{self.last_seq}>"

    @cached_property
    def started(self) -> Event:
        """Its first event, ``simulation.started``: of a fork, that of the oldest parent."""
        return next(self.events())

    @cached_property
    def end(self) -> Event | None:
        """The event that ended it; None when it goes on behind ``last_seq``, or was cut off."""
        last = self.event(self.last_seq)
        return last if last.kind in SIMULATION_ENDS else None

    def pieces(self, first_seq: int = 1) -> Iterator[Piece]:
        """Its events from ``first_seq`` on as rows of blocks, in order: for whoever compares or counts columns."""
        expected = first_seq
        for part in self.parts:
            if part.last_seq < first_seq:
                continue
            for piece in self._source.pieces(part, max(first_seq, part.first_seq)):
                expected = piece.last_seq + 1
                yield piece
            if expected <= part.last_seq:
                raise StoreError(
                    f"events {expected} to {part.last_seq} of simulation {part.ordinal} of shard {part.shard}"
                    " are not in the log, but a fork of it goes on behind them"
                )

    def events(
        self, first_seq: int = 1, last_seq: int | None = None, kinds: Collection[str] | None = None
    ) -> Iterator[Event]:
        """Its events from ``first_seq`` to ``last_seq``, both included; only those of ``kinds``, if given."""
        bound = self.last_seq if last_seq is None else min(last_seq, self.last_seq)
        for piece in self.pieces(first_seq) if first_seq <= bound else ():
            if piece.last_seq > bound:
                rows = piece.rows[piece.block.seq[piece.rows] <= bound]
                yield from events_of(piece.block, rows, kinds)
                return
            yield from piece.events(kinds)

    def event(self, seq: int) -> Event:
        """The event with this number; ``UsageError`` when there is none."""
        found = next(self.events(seq, seq), None)
        if found is None:
            raise UsageError(f"there is no event {seq}: the history has events 1 to {self.last_seq}")
        return found

    def seq_at(self, time_us: int) -> int:
        """The number of the newest event that is not later than a virtual time; 0 when all are later."""
        found = 0
        for piece in self.pieces():
            early = np.flatnonzero(piece.block.time[piece.rows] <= time_us)
            if not len(early):
                break
            found = int(piece.block.seq[piece.rows[early[-1]]])
            if len(early) < len(piece.rows):
                break
        return found

    def up_to(self, seq: int) -> History:
        """The same history as if it had ended with this event: forks of it that began later are none."""
        return self._source.history(self.shard, self.ordinal, last_seq=seq)

    def digest(self) -> str:
        """What happened, as 32 hexadecimal digits (see ``matrix.log.digest``)."""
        streams = Streams()
        for piece in self.pieces():
            streams.feed(piece.block, piece.rows)
        return streams.digest()

    def shared_with(self, other: History) -> int:
        """Up to which ``seq`` both have their events from the same place: a parent's, or each other's; else 0."""
        shared = 0
        for mine, theirs in zip(self.parts, other.parts, strict=False):
            if mine[:3] != theirs[:3]:
                break
            shared = min(mine.last_seq, theirs.last_seq)
            if mine.last_seq != theirs.last_seq:
                break
        return shared

    def _find_parts(self) -> tuple[tuple[Part, ...], tuple[Event, ...]]:
        """From the newest part back to the simulation that is nobody's fork."""
        parts: list[Part] = []
        forks: list[Event] = []
        shard, ordinal, bound = self.shard, self.ordinal, self.last_seq
        seen = set()
        while True:
            first = self._source.first_event(shard, ordinal)
            if first is None or (shard, ordinal) in seen:
                raise StoreError(f"simulation {ordinal} of shard {shard} has a fork, and its own events are not there")
            seen.add((shard, ordinal))
            if first.seq <= bound:
                parts.append(Part(shard, ordinal, first.seq, bound))
            if first.kind != SIMULATION_FORKED or first.seq == 1:  # which shares nothing, whatever it says
                return tuple(reversed(parts)), tuple(reversed(forks))
            if first.seq <= bound:
                forks.append(first)
                bound = first.seq - 1
            shard, ordinal = _parent_of(first)


def _parent_of(forked: Event) -> tuple[int, int]:
    place = forked.data.get("parent_shard"), forked.data.get("parent_ordinal")
    if not all(isinstance(number, int) and number > 0 for number in place):
        raise StoreError(f"event {forked.seq} of simulation {forked.simulation} does not say whose fork it is")
    return place  # type: ignore[return-value]  # both are numbers, as was just checked


# -- where simulations lie ----------------------------------------------------------------------


class Histories:
    """The histories of all simulations of a log, as it was when a shard of it was first asked about.

    >>> histories = Histories(LogReader(Path("runs/log")))                  # doctest: +SKIP
    >>> [histories.history(1, ordinal).digest() for ordinal in (1, 2)]      # doctest: +SKIP
    ['0c5c9a8c3f0d4be1e7b2b7b1f0c0a6d4', '5b0c...']
    """

    def __init__(self, reader: LogReader, *, events_kept: int = HISTORY_EVENTS_KEPT_MAX) -> None:
        self._reader, self._events_kept = reader, events_kept
        self._shards: dict[int, _Shard] = {}
        self._kept: OrderedDict[Place, _Single | _Cluster] = OrderedDict()
        self._kept_events = 0

    def history(self, shard: int, ordinal: int, *, last_seq: int | None = None) -> History:
        """One simulation's; ``UsageError`` when the log has none of its events."""
        return History(self._reader, shard, ordinal, last_seq=last_seq, histories=self)

    def newest_seq(self, shard: int, ordinal: int) -> int | None:
        """The ``seq`` of the newest event in a simulation's own log part."""
        found = self._outermost(shard, ordinal, newest=True)
        return None if found is None else int(found[0].seq[found[1][-1]])

    def first_event(self, shard: int, ordinal: int) -> Event | None:
        """The first event of a simulation's own log part: its start, or ``simulation.forked``."""
        found = self._outermost(shard, ordinal, newest=False)
        return None if found is None else events_of(found[0], found[1][:1])[0]

    def pieces(self, part: Part, first_seq: int) -> Iterator[Piece]:
        """The events of a part from ``first_seq`` on, block by block."""
        retries = 0
        while first_seq <= part.last_seq:
            try:
                for piece in self._pieces(part, first_seq):
                    yield piece
                    first_seq, retries = piece.last_seq + 1, 0
            except StaleBlock:
                retries = self._look_again(part.shard, retries)
            else:
                return

    def _pieces(self, part: Part, first_seq: int) -> Iterator[Piece]:
        places = self._shard(part.shard).places_of(part.ordinal)
        for block, rows in self._found(places[self._bisect(places, part.ordinal, first_seq) :], part.ordinal):
            seqs = block.seq[rows]
            if seqs[0] > part.last_seq:
                return
            if seqs[0] < first_seq or seqs[-1] > part.last_seq:
                first, last = np.searchsorted(seqs, (first_seq, part.last_seq + 1))
                rows, seqs = rows[first:last], seqs[first:last]
            if len(rows):
                yield Piece(block, rows, int(seqs[0]))

    def _found(self, places: Iterable[Place], ordinal: int) -> Iterator[tuple[Block, np.ndarray]]:
        """Blocks in these places with events of a simulation, and its rows there."""
        for place in places:
            for block in self._read(place).blocks_of(ordinal):
                rows = _rows_of(block, ordinal)
                if len(rows):
                    yield block, rows

    def _bisect(self, places: list[Place], ordinal: int, first_seq: int) -> int:
        """The number of the last place that begins before ``first_seq``: of those before it nothing is wanted."""
        low, high = 0, len(places) if first_seq > 1 else 0
        while high - low > 1:
            middle = (low + high) // 2
            begins = next(self._found(places[middle:high], ordinal), None)
            if begins is not None and begins[0].seq[begins[1][0]] <= first_seq:
                low = middle
            else:
                high = middle
        return low

    def _outermost(self, shard: int, ordinal: int, *, newest: bool) -> tuple[Block, np.ndarray] | None:
        """The first or the last block with events of a simulation, and its rows there."""
        retries = 0
        while True:
            try:
                places = self._shard(shard).places_of(ordinal)
                if not newest:
                    return next(self._found(places, ordinal), None)
                for place in reversed(places):
                    found = list(self._found([place], ordinal))
                    if found:
                        return found[-1]
                return None
            except StaleBlock:
                retries = self._look_again(shard, retries)

    def _look_again(self, shard: int, retries: int) -> int:
        """A segment was compacted since it was looked at: everything is there, but elsewhere."""
        if retries == HISTORY_RETRIES_MAX:
            raise StoreError(f"shard {shard} was compacted {retries} times while it was read; try again")
        self._shards.pop(shard, None)
        return retries + 1

    def _shard(self, shard: int) -> _Shard:
        found = self._shards.get(shard)
        if found is None:
            found = self._shards[shard] = _Shard(self._reader, shard)
        return found

    def _read(self, place: Place) -> _Single | _Cluster:
        found = self._kept.get(place)
        if found is not None:
            self._kept.move_to_end(place)
            return found
        blocks = [self._reader.block(ref) for ref in place]
        found = self._kept[place] = _Single(blocks[0]) if len(blocks) == 1 else _Cluster(blocks)
        self._kept_events += found.count
        while self._kept_events > self._events_kept and len(self._kept) > 1:
            self._kept_events -= self._kept.popitem(last=False)[1].count
        return found


class _Single:
    """One block as it was read."""

    def __init__(self, block: Block) -> None:
        self._block, self.count = block, block.count

    def blocks_of(self, ordinal: int) -> Sequence[Block]:
        """Blocks that have all events of a simulation that are here."""
        return (self._block,)


class _Cluster:
    """Many blocks, their events ordered by simulation."""

    def __init__(self, blocks: list[Block]) -> None:
        self._clustered = Clustered(blocks)
        self.count = self._clustered.count
        self._shard = blocks[0].ref.shard
        self._newest: tuple[int, list[Block]] = (0, [])  # a simulation is asked for several times in a row

    def blocks_of(self, ordinal: int) -> Sequence[Block]:
        """The events of a simulation, as blocks that hold nothing else."""
        if self._newest[0] != ordinal:
            first, stop = self._clustered.span(ordinal)
            starts = range(first, stop, COMPACT_BLOCK_EVENTS_MAX)
            self._newest = (
                ordinal,
                [block for start in starts for block in self._made(start, min(start + COMPACT_BLOCK_EVENTS_MAX, stop))],
            )
        return self._newest[1]

    def _made(self, start: int, stop: int) -> Iterator[Block]:
        rows, positions = self._clustered.rows(start, stop)
        try:
            data, *_, is_referring = pack(rows, positions, repeats=Repeats())
        except TooLarge:
            middle = (start + stop) // 2
            yield from self._made(start, middle)
            yield from self._made(middle, stop)
            return
        ref = BlockRef(self._shard, 0, 0, 0)  # in no segment
        first, last = int(positions[0]), int(positions[-1])
        references = References(_no_block) if is_referring else None
        facts = {"length": len(data), "first": first, "last": last}
        yield Block(data, 0, len(data), path=Path("clustered"), ref=ref, references=references, **facts)


def _no_block(offset: int) -> Callable[[int], Stored]:
    raise FormatError(f"a block that stands alone refers to another, at {offset}")


class _Shard:
    """Which blocks of a shard may hold which simulations."""

    def __init__(self, reader: LogReader, shard: int) -> None:
        self._reader = reader
        refs: list[BlockRef] = []
        bounds: list[tuple[int, int]] = []
        after = 0
        for segment in reader.segments(shard):
            if segment.is_sealed:  # its directory tells without a look at the blocks
                after = segment.last_position
                for entry in segment.blocks:
                    refs.append(BlockRef(shard, segment.number, segment.generation, entry.offset))
                    bounds.append((entry.simulation_first, entry.simulation_last))
        for block in reader.blocks(shard, after=after):
            refs.append(block.ref)
            bounds.append(block.bounds("simulation"))
        self._places: list[Place] = [(ref,) for ref in refs]
        self._bounds = np.array(bounds, np.int64).reshape(-1, 2)
        self._asked = 0
        self._map: tuple[np.ndarray, np.ndarray] | None = None

    def places_of(self, ordinal: int) -> list[Place]:
        """Places in stored order: all that hold the simulation, and for the first few asked about also some others."""
        self._asked += 1
        if self._map is None and self._asked > _LOOKED_UP_ONE_BY_ONE:
            self._map_all()
        if self._map is None:
            low, high = self._bounds.T
            numbers = np.flatnonzero((low <= ordinal) & (ordinal <= high))
        else:
            first, last = np.searchsorted(self._map[0], (ordinal, ordinal + 1))
            numbers = self._map[1][first:last]
        return [self._places[number] for number in numbers.tolist()]

    def _map_all(self) -> None:
        """Every pair of a simulation and a place that holds some of it, in order of the simulations."""
        places: list[Place] = []
        ordinals: list[np.ndarray] = []
        room = 0  # events that may join the newest place
        for (ref,), (low, high) in zip(self._places, self._bounds.tolist(), strict=True):
            block = self._reader.block(ref) if low < high else None
            some = np.array([low]) if block is None else _distinct(block.simulation)
            is_crowded = block is not None and len(some) >= CROWD_MIN and block.ref.generation == 0
            if block is not None and is_crowded and block.count <= room:
                places[-1], room = (*places[-1], ref), room - block.count
                ordinals[-1] = _distinct(np.concatenate((ordinals[-1], some)))
            else:
                places.append((ref,))
                ordinals.append(some)
                room = CLUSTER_EVENTS_MAX - block.count if block is not None and is_crowded else 0
        joined = np.concatenate([np.zeros(0, np.int64), *ordinals])
        order = np.argsort(joined, kind="stable")
        numbers = np.repeat(np.arange(len(places)), [len(some) for some in ordinals])
        self._places, self._map = places, (joined[order], numbers[order])


def _distinct(ordinals: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.unique(ordinals).astype(np.int64)
    return found


def _rows_of(block: Block, ordinal: int) -> np.ndarray:
    low, high = block.bounds("simulation")
    if low == high:
        return np.arange(block.count) if low == ordinal else np.empty(0, np.int64)
    if block.ref.generation:  # clustered
        return np.arange(*np.searchsorted(block.simulation, (ordinal, ordinal + 1)).tolist())
    return np.flatnonzero(block.simulation == ordinal)


# -- events -------------------------------------------------------------------------------------


def events_of(block: Block, rows: np.ndarray, kinds: Collection[str] | None = None) -> list[Event]:
    """The events in ascending rows of a block, or those of some kinds; payloads of no others are decoded."""
    if not len(rows):
        return []
    data: dict[int, dict[str, Any]] = {}
    for kind in block.kinds if kinds is None else [kind for kind in block.kinds if kind in kinds]:
        places = block.places(kind, rows)
        of_kind = block.kind_rows(kind)[places].tolist()
        if of_kind:
            data.update(zip(of_kind, _payloads(block, kind, places, len(of_kind)), strict=True))
    picked = np.array(sorted(data), np.int64)
    fixed = zip(*(getattr(block, name)[picked].tolist() for name in _FIXED), strict=True)
    names, many = block.kinds, block.to_many
    rest = zip(picked.tolist(), fixed, block.kind[picked].tolist(), block.to[picked].tolist(), strict=True)
    return [
        Event(*values, names[code], many.get(row) or ((to,) if to else ()), data[row])  # type: ignore[call-arg]  # nine fixed columns
        for row, values, code, to in rest
    ]


def _payloads(block: Block, kind: str, places: slice | np.ndarray, count: int) -> list[dict[str, Any]]:
    names = block.fields(kind)
    if count == block.kind_counts[kind] or len(names) > FIELDS_PER_KIND_MAX:
        whole = block.payloads(kind)
        return whole[places] if isinstance(places, slice) else [whole[place] for place in places.tolist()]
    found: list[dict[str, Any]] = [{} for _ in range(count)]
    for name in names:
        cells = block.cells(kind, name)
        values = cells.pick(places).to_own_pylist() if cells is not None else ()
        for payload, value in zip(found, values):
            if value is not MISSING:
                payload[name] = value
    return found
