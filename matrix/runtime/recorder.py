"""The recorder: events wait here in plain lists until a commit hands them to the log writer as columns.

One recorder serves all simulations of a runtime, one turn at a time. What is constant within a turn
(agent, turn, cause, goal, wall) is pushed once per turn into ``runs``; what changes more rarely
(simulation, time, state) into ``places``. An event itself costs two appends: a number that holds
its kind and receiver, and its payload.

What always holds: row ``len(codes)`` is the next event, its ``seq`` is ``base + len(codes)``; the
newest run and place describe it. The lists keep their identity for life (loops hold their
``append``). After the writer failed nothing more is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from matrix.errors import LogWriteError, ProgramError
from matrix.event import BUILT_IN_KINDS, MESSAGE_SENT, RESERVED_PREFIXES
from matrix.limits import BLOCK_EVENTS_MAX, COMMIT_INTERVAL_US, KIND_BYTES_MAX, SYNC_INTERVAL_US
from matrix.log.rows import Column, KindRows, Rows, Runs, gaps
from matrix.runtime.inputs import monotonic_ns, wall_ns
from matrix.runtime.values import check_text, snapshot_payload

if TYPE_CHECKING:
    from matrix.runtime.agent import Agent
    from matrix.runtime.scheduling.activity import Activity
    from matrix.runtime.scheduling.life import Life

RUN_FIELDS = 6  # row, agent, turn, cause, goal, wall in ns
PLACE_FIELDS = 5  # row, simulation, time, state, base
COMMIT_INTERVAL_NS = COMMIT_INTERVAL_US * 1000
COMMIT_INTERVAL_NS_MAX = SYNC_INTERVAL_US * 1000
CODE_BITS = 16  # a row's number is kind code | receiver << 16
CODE_MASK = (1 << CODE_BITS) - 1
_FIRST = np.zeros(1, np.int64)
BATCH_ROWS_MIN = 256  # fewer rows of emit_batch join the waiting events instead of making a block of their own


class Sink(Protocol):
    """What a recorder writes to: ``matrix.log.writer.Writer``, or a list in a test."""

    def append(self, rows: Rows, /) -> int: ...


class LogWriter(Sink, Protocol):
    """A sink with a place in a log: ``matrix.log.writer.Writer``, or nothing at all in a replay."""

    shard: int
    last_position: int
    durable_position: int

    @property
    def next_simulation(self) -> int: ...
    @property
    def segment(self) -> int: ...
    def sync(self) -> int: ...
    def close(self) -> None: ...


class Nowhere:
    """Takes what a replay does not write."""

    shard = 0
    last_position = durable_position = 0
    next_simulation = segment = 1

    def append(self, rows: Rows) -> int:
        """Forget it."""
        return 0

    def sync(self) -> int:
        """There is nothing to sync."""
        return 0

    def close(self) -> None:
        """There is nothing to close."""


class Recorder:
    """The events of a runtime that wait for a commit, and the turn they happen in."""

    __slots__ = (
        "_code_of",
        "_kinds",
        "_sink",
        "activity",
        "agent",
        "base",
        "cause",
        "codes",
        "commit_at",
        "cut",
        "emit_codes",
        "error",
        "full_at",
        "is_checking",
        "names",
        "now",
        "owner",
        "payloads",
        "places",
        "position",
        "rest_ns",
        "runs",
        "send_codes",
        "to_many",
        "when_cut",
    )

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.full_at = BLOCK_EVENTS_MAX  # waiting events at which whoever adds one commits
        self.cut: int | None = None  # the seq after which ``when_cut`` is called, before anything else is recorded
        self.when_cut: Callable[[], None] = _nothing
        self.rest_ns = COMMIT_INTERVAL_NS  # how long events may wait for the next commit
        self.is_checking = False  # what is recorded is compared with a history, and not written
        self.agent: Agent | None = None  # whose turn it is
        self.activity: Activity | None = None  # the coroutine that is being stepped
        self.owner: Life | None = None  # whose simulation's slice it is
        self.names: dict[str, Agent] = {}  # the owner's agents by id
        self.now = self.cause = self.base = 0
        self.codes: list[int] = []
        self.payloads: list[dict[str, Any]] = []
        self.runs: list[int] = []
        self.places: list[int] = []
        self.to_many: dict[int, tuple[int, ...]] = {}
        self._kinds: list[str] = list(BUILT_IN_KINDS)
        self._code_of: dict[str, int] = {kind: code for code, kind in enumerate(BUILT_IN_KINDS)}
        self.emit_codes: dict[str, int] = {}  # kinds that were emitted before: they are checked once
        self.send_codes: dict[str, int] = {}
        self.commit_at = 0  # wall ns at which what waits is due; 0 when nobody set it yet
        self.position = 0  # of the newest event that was handed to the log
        self.error: LogWriteError | None = None

    # -- the turn ------------------------------------------------------------------------------

    def enter(self, owner: Life) -> None:
        """From here on events belong to ``owner``'s simulation."""
        if self.owner is not owner:
            self.leave()
            self.owner, self.names, self.now = owner, owner.names, owner.now
            self.base = owner.next_seq - len(self.codes)
            self._measure()
            self.place()

    def leave(self) -> None:
        """No simulation has its slice: the owner takes its next seq along."""
        if self.owner is not None:
            self.owner.next_seq = self.next_seq()
            self.owner = None

    def place(self) -> None:
        """Simulation, time or state changed."""
        owner = self.owner
        assert owner is not None, "a place is somebody's"
        self.places.extend((len(self.codes), owner.ordinal, self.now, owner.state_seq, self.base))

    def context(self) -> None:
        """Agent, cause or goal changed within a turn."""
        agent = self.agent
        if agent is not None:
            runs = self.runs
            wall = runs[-1] if runs else wall_ns()
            runs.extend((len(self.codes), agent._number, agent._turns, self.cause, agent._goal_seq, wall))

    def next_seq(self) -> int:
        """The seq that the next event gets."""
        return self.base + len(self.codes)

    # -- events --------------------------------------------------------------------------------

    def add(self, kind: str, data: dict[str, Any], to: int = 0) -> int:
        """Record an event of the current turn; ``data`` is already a copy. Returns its seq."""
        codes = self.codes
        seq = self.base + len(codes)
        codes.append(self._code_of[kind] | to << CODE_BITS)
        self.payloads.append(data)
        if len(codes) >= self.full_at:
            self.commit()
        return seq

    def add_for(
        self, kind: str, data: dict[str, Any], *, agent: int, turn: int = 0, cause: int = 0, goal: int = 0
    ) -> int:
        """Record an event outside the agent's own turn: its start, its end, an arrival."""
        self.runs.extend((len(self.codes), agent, turn, cause, goal, wall_ns()))
        seq = self.add(kind, data)
        self.context()
        return seq

    def admit_emit(self, kind: str) -> int:
        """The code of a kind that agents may emit; the slow way into ``emit_codes``."""
        check_kind(kind)
        code = self.emit_codes[kind] = self._code(kind)
        return code

    def admit_send(self, kind: str) -> int:
        """Likewise for a message's kind, which may be ``message.sent``."""
        if kind != MESSAGE_SENT:
            check_kind(kind)
        code = self.send_codes[kind] = self._code(kind)
        return code

    def _code(self, kind: str) -> int:
        code = self._code_of.get(kind)
        if code is None:
            code = len(self._kinds)
            if code > CODE_MASK:
                raise ProgramError(f"{kind!r} would be kind number {code}; a kind is a name, put what varies into data")
            self._kinds.append(kind)
            self._code_of[kind] = code
        return code

    def add_batch(self, kind: str, columns: Mapping[str, Any]) -> int:
        """Record as many events of ``kind`` as the columns are long, all in the current turn. Returns that number."""
        check_kind(kind)
        code = self._code(kind)
        count = _length_of(columns, kind)
        if count < BATCH_ROWS_MIN:
            self._add_few(code, columns, count)
            return count
        begin = 0
        while begin < count:  # in one piece, unless a cut lies within
            self.commit()  # what was said before it, also by the cut
            end = count if self.cut is None else min(count, begin + self.cut + 1 - self.base)
            part = columns if end - begin == count else {name: v[begin:end] for name, v in columns.items()}
            self._write_batch(kind, part, end - begin)
            begin = end
        return count

    def _write_batch(self, kind: str, columns: Mapping[str, Any], count: int) -> None:
        assert self.owner is not None and self.agent is not None, "a batch belongs to a turn"
        rows = Rows(
            count=count,
            simulation=self.owner.ordinal,
            seq=np.arange(self.base, self.base + count, dtype=np.int64),
            time=self.now,
            wall=self.runs[-1] // 1000,
            agent=self.agent._number,
            turn=self.agent._turns,
            goal=self.agent._goal_seq,
            state=self.owner.state_seq,
            cause=self.cause,
            kinds=[kind],
            kind=0,
            data={0: KindRows(np.arange(count), columns=columns)} if columns else {},
        )
        self._write(rows)
        self._restart(count)
        self._cut_if_reached()

    def _add_few(self, code: int, columns: Mapping[str, Any], count: int) -> None:
        names = list(columns)
        lists = [
            v.tolist() if hasattr(v, "tolist") else v.to_pylist() if hasattr(v, "to_pylist") else v
            for v in columns.values()
        ]
        kind = self._kinds[code]
        for row in range(count):
            data = {name: values[row] for name, values in zip(names, lists, strict=True)}
            self.add(kind, snapshot_payload({n: v for n, v in data.items() if v is not None}, kind))

    def count_goal(self, status: str) -> None:
        """A goal ended: for the outcome."""
        assert self.owner is not None, "a goal belongs to a turn"
        counts = self.owner.goal_counts
        counts[status] = counts.get(status, 0) + 1

    # -- commit --------------------------------------------------------------------------------

    def commit(self) -> None:
        """Hand everything that waits to the log writer."""
        if self.error is not None:
            raise self.error
        count = len(self.codes)
        if count:
            began = monotonic_ns()
            rows = self._rows(count)
            self._restart(count)
            self._write(rows)
            # On a busy machine ten milliseconds hold few events, and committing them would be most of the work.
            self.rest_ns = min(max(COMMIT_INTERVAL_NS, 4 * (monotonic_ns() - began)), COMMIT_INTERVAL_NS_MAX)
            self._cut_if_reached()
        elif len(self.runs) > RUN_FIELDS * BLOCK_EVENTS_MAX:
            self._restart(0)  # many turns that emitted nothing

    def _restart(self, count: int) -> None:
        self.base += count
        self.commit_at = 0
        self._measure()
        for waiting in (self.codes, self.payloads, self.runs, self.places, self.to_many):
            waiting.clear()
        if self.owner is not None:
            self.place()
        self.context()

    def cut_after(self, seq: int, when_cut: Callable[[], None]) -> None:
        """Call ``when_cut`` when the event ``seq`` has been recorded and committed, in the middle of a turn or not."""
        self.cut, self.when_cut = seq, when_cut
        self._measure()

    def _measure(self) -> None:
        if self.cut is not None:
            self.full_at = min(BLOCK_EVENTS_MAX, max(1, self.cut + 1 - self.base))

    def _cut_if_reached(self) -> None:
        if self.cut is not None and self.base > self.cut:
            self.cut, self.full_at = None, BLOCK_EVENTS_MAX
            self.when_cut()

    def write_to(self, sink: Sink) -> None:
        """From here on events go to another place; what waited was committed."""
        assert not self.codes, "what waits belongs to the other place"
        self._sink = sink

    def _write(self, rows: Rows) -> None:
        try:
            self.position = self._sink.append(rows)
        except LogWriteError as error:
            self.error = error
            raise
        except (
            Exception
        ) as error:  # whatever it was, these events are in no log: going on would leave a hole in history
            self.error = LogWriteError(_why(error, rows))
            raise self.error from error

    def _rows(self, count: int) -> Rows:
        packed = np.fromiter(self.codes, np.int64, count)
        runs, places = _table(self.runs, RUN_FIELDS, count), _table(self.places, PLACE_FIELDS, count)
        runs[:, 5] //= 1000
        agent, turn, cause, goal, wall = _columns(runs)
        simulation, time, state, _ = _columns(places)
        base = places[0, 4] if len(places) == 1 else np.repeat(places[:, 4], gaps(places[:, 0], count))
        kind_of_row = packed & CODE_MASK
        used = np.bincount(kind_of_row).nonzero()[0]
        kind = np.searchsorted(used, kind_of_row) if len(used) > 1 else 0
        return Rows(
            count=count,
            simulation=simulation,
            seq=np.arange(count) + base,
            time=time,
            wall=wall,
            agent=agent,
            turn=turn,
            goal=goal,
            state=state,
            cause=cause,
            kinds=[self._kinds[code] for code in used.tolist()],
            kind=kind,
            to=packed >> CODE_BITS,
            to_many=dict(self.to_many),
            data=self._data(kind, len(used), count),
        )

    def _data(self, kind: Any, used: int, count: int) -> dict[int, KindRows]:
        payloads = self.payloads
        if used == 1:
            return {0: KindRows(range(count), list(payloads))}
        data = {}
        for code in range(used):
            rows = np.flatnonzero(kind == code)
            of_kind = itemgetter(*rows.tolist())(payloads)
            data[code] = KindRows(rows, list(of_kind) if len(rows) > 1 else [of_kind])
        return data


def _nothing() -> None:
    """Nobody waits for a cut."""


def _why(error: Exception, rows: Rows) -> str:
    """What of some events could not be written: the field, where it can be found."""
    for code, of_kind in rows.data.items():
        for payload in of_kind.payloads or ():
            for name, value in payload.items():
                if "\\ud" in repr([name, value]).lower():  # half of a surrogate pair: no UTF-8 has it
                    kind = rows.kinds[code]
                    return (
                        f"the text {value!r} of {kind}.{name} is not valid Unicode; nothing of this commit was written"
                    )
    return f"{rows.count} events could not be written: {type(error).__name__}: {error}"


def check_kind(kind: Any) -> None:
    """Refuse what cannot be the kind of a user's event."""
    if not isinstance(kind, str) or not kind:
        raise ProgramError(f"the kind of an event is a text such as 'offer', not {kind!r}")
    if len(check_text(kind, "the kind of an event").encode()) > KIND_BYTES_MAX:
        raise ProgramError(f"the kind {kind[:40]!r}... is longer than {KIND_BYTES_MAX} bytes")
    for prefix in RESERVED_PREFIXES:
        if kind.startswith(prefix):
            raise ProgramError(f"the kind {kind!r} may not be emitted: {prefix}* are kinds of the runtime's own")


def _length_of(columns: Mapping[str, Any], kind: str) -> int:
    lengths = {name: len(values) for name, values in columns.items()}
    if not lengths:
        raise ProgramError(f"emit_batch({kind!r}) needs at least one column")
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ProgramError(f"the columns of emit_batch({kind!r}) differ in length: {said}")
    for name in columns:
        if not isinstance(name, str):
            raise ProgramError(f"emit_batch({kind!r}) has the column {name!r}; names of fields are text")
    return next(iter(lengths.values()))


def _table(flat: list[int], fields: int, count: int) -> Any:
    """Runs as a table, without the empty ones: of those that begin at one row, the newest holds."""
    table = np.fromiter(flat, np.int64, len(flat)).reshape(-1, fields)  # 18 ns an int; array("q", ...) takes 140
    starts = table[:, 0]
    kept = starts < count
    kept[:-1] &= starts[1:] != starts[:-1]
    return table if kept.all() else table[kept]


def _columns(table: Any) -> list[Column]:
    """The fields of a table of runs behind the first, joining neighbours that are equal."""
    starts, changed = table[:, 0], table[1:] != table[:-1]
    columns: list[Column] = []
    for field in range(1, table.shape[1]):
        places = changed[:, field].nonzero()[0]
        if len(places):
            places = np.concatenate((_FIRST, places + 1))
            columns.append(Runs(starts[places], table[places, field]))
        else:
            columns.append(int(table[0, field]))
    return columns
