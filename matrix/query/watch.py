"""A watch: a query that is asked again and again as a log grows, and tells what is new each time.

``Watch`` is told when to look, and waits for nothing; who waits is above (``matrix.watching``). What always holds:

- A look tells what is new between the moment of the look before and its own. It reads the index in one
  transaction, so a moment is what that shows: for each shard a position up to which everything counts.
- What is told depends on those two moments alone (see ``engine.fresh``), so a position that names them and a number
  of rows is enough to go on from: the look is taken again, on the log as it was then.
- Runs do not see each other. So only simulations that have written something are asked, and what is remembered of
  them (which rows were there, how far they had come) may be forgotten at any time: it is found again in the log.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from matrix.errors import QueryError, StoreError, UsageError
from matrix.limits import QUERY_RETRIES_MAX, WATCH_ROWS_AT_ONCE, WATCH_ROWS_KEPT_MAX, WATCH_RUNS_KEPT_MAX
from matrix.log.reader import StaleBlock
from matrix.query import syntax as q
from matrix.query.check import check
from matrix.query.engine.fixed import is_fixed
from matrix.query.engine.fresh import Identity, Plan
from matrix.query.engine.look import Asked, Look, Moments, There
from matrix.query.engine.needs import entity_columns, needs_of
from matrix.query.engine.unknown import unknown_names
from matrix.query.engine.written import is_near, is_own
from matrix.query.position import Position, fingerprint
from matrix.query.result import Result
from matrix.query.round import Round

if TYPE_CHECKING:
    from matrix.query.engine.buckets import Progress
    from matrix.query.engine.changes import Vector
    from matrix.query.engine.scan import Source


class WatchedRow(dict[str, Any]):
    """A row as ``Result.rows()`` has it, and where the watch stood right behind it.

    >>> row = WatchedRow({"role": "buyer"}, position="w1.eJw.1")
    >>> row, row.position
    ({'role': 'buyer'}, 'w1.eJw.1')
    """

    __slots__ = ("position",)

    def __init__(self, row: Mapping[str, Any], *, position: str) -> None:
        super().__init__(row)
        self.position = position


class Told:
    """What one look tells: rows with their positions, made when they are taken."""

    def __init__(self, result: Result, look: Position, *, first: int, then: Position | None) -> None:
        """``first`` rows were told before; behind the last one the watch stands at ``then``."""
        self._look, self._skipped = look, first
        self._then = then
        self.result = result.part(first, len(result)) if first else result  #: the rows to be told, as a table

    def __len__(self) -> int:
        return len(self.result)

    @property
    def stem(self) -> str:
        """What the positions of all rows but the last begin with: behind row k stands ``stem.(first + k)``."""
        return self._look.stem

    @property
    def first(self) -> int:
        """The number of the first row to be told, counted from 1."""
        return self._skipped + 1

    @property
    def position(self) -> str:
        """Where the watch stands behind all rows."""
        return str(self._then or self._look)

    def __iter__(self) -> Iterator[WatchedRow]:
        count = len(self)
        for begin in range(0, count, WATCH_ROWS_AT_ONCE):
            part = self.result.part(begin, WATCH_ROWS_AT_ONCE)
            texts = self._look.texts(self.first + begin, self._skipped + begin + len(part))
            if begin + len(part) == count and self._then is not None:
                texts[-1] = str(self._then)
            for row, text in zip(part, texts, strict=True):
                yield WatchedRow(row, position=text)


class Watch:
    """A watched query on one store, told when to look.

    >>> watch = Watch("events goal.failed", {}, after="start")              # doctest: +SKIP
    >>> for row in watch.look(source):                                      # doctest: +SKIP
    ...     print(row["id"], row.position)
    r7:1042 w1.eJyLNtQxMjI...
    """

    def __init__(self, text: str, parameters: Mapping[str, Any], *, after: str | None = None) -> None:
        """``after`` is None (from the first look on), ``"start"`` or the position of a row.

        Raises ``QueryError`` for a query that cannot be watched, ``UsageError`` for a position that is not one of it.
        """
        query = check(text, parameters, is_watch=True)
        nodes = list(q.walk(query))
        if query.is_explain:
            raise QueryError(
                "explain is answered once, and a watch goes on",
                code="not-in-watch",
                text=text,
                start=query.text.index("explain"),
                end=query.text.index("explain") + len("explain"),
                hint="ask store.query(…) to explain it",
            )
        self.query, self._nodes = query, nodes
        plan, near = Plan.of(query), is_near(nodes)
        self._asked = Asked(
            plan, needs_of(query, nodes), entity_columns(nodes), is_fixed(nodes), near, near and is_own(plan)
        )
        self._name = fingerprint(text[query.source.span[0] :], parameters)
        self._limits = [stage.count for stage in self._asked.plan.rest if isinstance(stage, q.Limit)]
        self._taken = (0,) * len(self._limits)
        self._has_clock = any(isinstance(node, (q.Now, q.Ago)) for node in nodes)
        self._clock = 0
        self._before: dict[int, int] | None = None
        self._resumed: Position | None = None
        if after == "start":
            self._before = {}
        elif after is not None:
            self._resumed = Position.read(after, query=self._name)
        self._there: OrderedDict[int, set[Identity]] = OrderedDict()
        self._there_count = 0
        self._progress: OrderedDict[int, Progress] = OrderedDict()
        self._has_looked = self._is_behind = False
        self.notices: list[str] = []

    @property
    def is_done(self) -> bool:
        """Whether a ``limit`` has been reached: nothing more will be told."""
        return self._resumed is None and any(taken >= most for taken, most in zip(self._taken, self._limits))

    @property
    def is_quick(self) -> bool:
        """Whether a look costs what the new events cost, however long the runs are that they belong to."""
        relation = self.query.source.relation
        return self._asked.is_own or (
            self._asked.is_near and (self._asked.plan.tells_events or relation is q.Relation.SIMULATIONS)
        )

    @property
    def is_behind(self) -> bool:
        """Whether the look before stopped on the way to the newest moment: then it is time for another."""
        return self._is_behind

    @property
    def position(self) -> str | None:
        """Where the watch stands behind all that its looks have told; None before the first look."""
        if self._resumed is not None:
            return str(self._resumed)
        return None if self._before is None else str(self._position(self._before, self._before))

    def _position(self, before: Vector, after: Vector, clocks: tuple[int, int] = (0, 0)) -> Position:
        clocks = clocks if before != after else (self._clock, self._clock)
        return Position(self._name, before, after, 0, self._taken, clocks if self._has_clock else (0, 0))

    # -- looking ----------------------------------------------------------------------------------

    def look(self, source: Source) -> Told:
        """What is new since the look before; nothing at the first look, unless it has a place to go on from."""
        if isinstance(source, Round):
            return self._look_in(source)
        with Round(source) as round:
            return self._look_in(round)

    def _look_in(self, round: Round) -> Told:
        for _ in range(QUERY_RETRIES_MAX):
            try:
                return self._look(Look(self._asked, round))
            except StaleBlock:
                round.refresh()  # compacted under our feet: the index has the new blocks then
        raise StoreError(f"the log was rewritten {QUERY_RETRIES_MAX} times while the watch read it; look again")

    def _look(self, look: Look) -> Told:
        if not self._has_looked:
            self._note(unknown_names(look.connection, self._nodes))
            self._has_looked = True
        if self._resumed is not None:
            return self._look_again(look, self._resumed)
        if self._before is None:
            self._begin(look)
            return self._nothing(look)
        if self._before == look.newest or self.is_done:
            return self._nothing(look)
        after = look.next_moment(self._before)
        return self._told(look, Moments(self._before, after, (self._clock, look.now_us)))

    def _begin(self, look: Look) -> None:
        """From now on: what runs at this moment is looked at once, which is quicker than run by run later."""
        if self._asked.plan.per is None and not self._asked.plan.tells_events:
            running = look.connection.execute("SELECT gid FROM simulations WHERE status = 'running'").fetchall()
            self._remember(look.rows_there([gid for (gid,) in running]))
        self._before, self._clock = look.newest, look.now_us

    def _look_again(self, look: Look, place: Position) -> Told:
        """The look that a position names, on the log as it was then, without the rows that were told."""
        for shard, position in place.after.items():
            if position > look.newest.get(shard, 0):
                raise UsageError(
                    f"the position is behind the log's end (shard {shard}: {position} of {look.newest.get(shard, 0)}): "
                    "it is of another store, or events were lost"
                )
        if len(place.taken) != len(self._limits):
            raise UsageError("the position is not one of this query: start the watch anew")
        self._taken, self._clock = place.taken, place.clocks[1] or look.now_us
        if place.before == place.after:
            self._before, self._resumed = dict(place.after), None
            return self._look(look)
        clocks = (place.clocks[0] or look.now_us, place.clocks[1] or look.now_us)
        return self._told(look, Moments(place.before, place.after, clocks), first=place.told)

    def _nothing(self, look: Look) -> Told:
        assert self._before is not None, "a watch that has looked stands somewhere"
        self._before = look.newest if not self.is_done else self._before
        self._is_behind = False
        return Told(Result.empty(), self._position(self._before, self._before), first=0, then=None)

    def _told(self, look: Look, moments: Moments, *, first: int = 0) -> Told:
        """The rows between two moments. What the watch knows changes only when all has gone well."""
        place = self._position(*moments)
        found = look.rows_between(moments, taken=self._taken, there=self._there, progress=self._progress)
        self._taken, self._before, self._clock, self._resumed = (
            found.taken,
            dict(moments.after),
            moments.clocks[1],
            None,
        )
        self._is_behind = not self.is_done and self._before != look.newest
        if found.asked_again is None:
            self._remember(found.there)
        else:
            self._remember_again(found.asked_again, found.there)
        self._keep_progress(found.progress)
        self._note(found.result.notices)
        return Told(found.result, place, first=first, then=self._position(moments.after, moments.after))

    # -- what is remembered, and may be forgotten ---------------------------------------------------

    def _remember(self, there: There) -> None:
        for gid, rows in there.items():
            if gid in self._there:
                self._there_count -= len(self._there.pop(gid)) + 1
            self._there[gid] = set(rows)
            self._there_count += len(rows) + 1
        self._forget_some()

    def _remember_again(self, asked: There, there: There) -> None:
        """Of some runs only some rows were asked for again."""
        for gid, rows in asked.items():
            if gid not in self._there:
                self._there[gid] = set()
                self._there_count += 1
            self._there.move_to_end(gid)
            known = self._there[gid]
            before = len(known)
            known -= rows
            known |= there[gid]
            self._there_count += len(known) - before
        self._forget_some()

    def _forget_some(self) -> None:
        while self._there and self._there_count > WATCH_ROWS_KEPT_MAX:
            self._there_count -= len(self._there.popitem(last=False)[1]) + 1

    def _keep_progress(self, progress: Mapping[int, Progress]) -> None:
        for gid, run in progress.items():
            self._progress.pop(gid, None)
            self._progress[gid] = run
        while len(self._progress) > WATCH_RUNS_KEPT_MAX:
            self._progress.popitem(last=False)

    def _note(self, texts: Iterable[str]) -> None:
        self.notices.extend(text for text in texts if text not in self.notices)
