"""A store, opened for reading: where the rooms meet.

A store is a folder: ``log/<shard>/<number>.seg`` is the truth, ``index.sqlite`` is derived from it.
Every command-line verb is a thin shell over one method here. What always holds: opening and reading
never create a store and never write to its log; each answer covers everything that was committed
before the question was asked, whichever process wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from matrix.errors import NotAStore, UsageError
from matrix.event import Event

if TYPE_CHECKING:
    import sqlite3

    from matrix.differ import Diff
    from matrix.export.run import Exported
    from matrix.importers import ImportReport, Progress
    from matrix.index.index import Followed, Index
    from matrix.index.lookup import KindEntry, SimulationSummary, StoreSummary
    from matrix.log.compact import CompactReport
    from matrix.log.history import Histories, History
    from matrix.log.reader import LogReader
    from matrix.log.verify import VerifyReport
    from matrix.log.writer import Durability
    from matrix.query.complete import Completion
    from matrix.query.result import Result
    from matrix.report.report import Report
    from matrix.requests import Request
    from matrix.runtime.again.blocking import Resumed
    from matrix.runtime.again.replay import Replay
    from matrix.runtime.calls.models import GivenModels
    from matrix.runtime.calls.policy import CallPolicy
    from matrix.runtime.outcome import Outcome
    from matrix.runtime.program import Program
    from matrix.runtime.runtime import Progress as RunProgress
    from matrix.watching import WatchedRows

LOG_FOLDER = "log"
Answer = TypeVar("Answer")
SIMILAR_IDS_MAX = 3  # ids offered in place of one that is not there


def open(path: str | Path) -> Store:
    """Open the store in the folder ``path``; ``NotAStore`` when there is none.

    >>> import matrix
    >>> matrix.open("nowhere")
    Traceback (most recent call last):
    matrix.errors.NotAStore: nowhere: there is no such folder; `matrix run` and `matrix import` make a store
    """
    return Store(path)


def import_files(
    store: str | Path,
    format: str,
    files: Iterable[str | Path],
    progress: Callable[[Progress], None] | None = None,
) -> list[ImportReport]:
    """Import recorded histories into a store, made if need be; each file whole or not at all."""
    from matrix.importers import import_files as run

    return run(store, format, files, progress)


class Store:
    """A store opened for reading, from one thread.

    >>> with matrix.open("runs") as store:                                      # doctest: +SKIP
    ...     store.query("agents where goal succeeded | count by role").rows()
    [{'role': 'buyer', 'count': 5}]
    """

    def __init__(self, path: str | Path) -> None:
        from matrix.log.reader import LogReader

        self.path = Path(path)
        check_is_store(self.path)
        self._reader = LogReader(self.path / LOG_FOLDER)
        self._opened: Index | None = None

    def close(self) -> None:
        """Let go of the files; closing twice is nothing."""
        self._reader.close()
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"matrix.open({str(self.path)!r})"

    @property
    def _index(self) -> Index:
        from matrix.index.index import Index

        if self._opened is None:  # only now: reading and verifying the log need none
            self._opened = Index.open(self.path)
        return self._opened

    # -- what a query reads -----------------------------------------------------------------------

    @property
    def reader(self) -> LogReader:
        """The log, for reading it block by block."""
        return self._reader

    @property
    def connection(self) -> sqlite3.Connection:
        """The index, for reading; ask again after each ``refresh``."""
        return self._index.connection

    def refresh(self) -> Followed:
        """Bring the index up to the newest committed block; says whether it had to be made again, and why."""
        return self._index.follow(self._reader)

    # -- questions --------------------------------------------------------------------------------

    def query(self, text: str, /, **parameters: Any) -> Result:
        """Ask a question; ``$name`` in it stands for the parameter ``name``.

        Raises ``QueryError``, with place, hint and fix, for a query that cannot be read, checked or answered.
        """
        from matrix.query.check import check
        from matrix.query.execute import execute

        checked = check(text, parameters)
        return self._asked(lambda: execute(checked, self))

    def explain(self, text: str, /, **parameters: Any) -> Result:
        """What becomes of the rows of a question, part by part; ``explain`` in front of it may be left out."""
        from dataclasses import replace

        from matrix.query.check import check
        from matrix.query.execute import execute

        checked = replace(check(text, parameters), is_explain=True)
        return self._asked(lambda: execute(checked, self))

    def complete(self, text: str, cursor: int | None = None) -> list[Completion]:
        """What may come next in a query at ``cursor`` (None: at its end), with names that this store has."""
        from matrix.query.complete import complete
        from matrix.query.engine.kept import kept_vocabulary

        self.refresh()
        return self._asked(lambda: complete(text, cursor, kept_vocabulary(self)))

    def watch(self, text: str, /, *, after: str | None = None, **parameters: Any) -> WatchedRows:
        """The rows of a query as they come, for ``async for`` under Trio: ``watch`` in front of it may be left out.

        ``after`` None is from now on, that is from the first row that is waited for, or from ``async with``;
        ``"start"`` is all that was written before, and then what comes; the ``position`` of a row is right behind it.
        Raises ``QueryError`` for a query that cannot be watched, ``UsageError`` for a position that is not one of it.
        The watch has its own reader and index, and goes on when this store is closed.

        >>> async for row in store.watch("events goal.failed"):            # doctest: +SKIP
        ...     print(row["agent"], row.position)
        """
        from matrix.watching import WatchedRows

        return WatchedRows(self.path, text, parameters, after)

    # -- training data ----------------------------------------------------------------------------

    def export(
        self,
        query: str,
        to: str | Path | BinaryIO,
        /,
        *,
        as_: str = "chat",
        format: str | None = None,
        test: float = 0.0,
        validation: float = 0.0,
        split_seed: int = 0,
        shards: int | None = None,
        shard_rows: int | None = None,
        columns: Sequence[str] | None = None,
        drop_duplicates: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        system: str | None = None,
        maps: bool = False,
        pairs_max: int | None = None,
        reply_only: bool = False,
        progress: Callable[[int], None] | None = None,
        parameters: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Exported:
        """What a query finds, as training data: ``as_`` chat, pairs, episodes or events.

        ``to`` is a file (``.jsonl``, ``.jsonl.gz``, ``.jsonl.zst``, ``.parquet``), a new or empty folder, or something
        to write JSON Lines to. A folder is laid out as ``datasets.load_dataset`` finds it, in Parquet unless ``format``
        says otherwise, and in ``shards`` files of each split, or files of ``shard_rows`` rows. ``test`` and
        ``validation`` are shares of the families (a simulation with all its forks) from 0 to below 1; ``split_seed``
        says which. With ``columns`` all others are left out. ``tools`` (schemas in OpenAI's form) and ``system`` stand
        in place of what agents were told, and ``maps`` gives the arguments of calls as maps: see
        ``matrix.export.contract.Options``. ``pairs_max`` and ``reply_only`` are for pairs: see
        ``matrix.export.pairs``. Parameters of the query are further keywords, or
        those in ``parameters``. ``progress`` is called with the number of rows so far.

        Raises ``QueryError`` for the query, ``UsageError`` for what cannot be, ``StoreError`` where the disk is full;
        then nothing is written.

        >>> done = store.export("agents where goal succeeded", "chats", test=0.1)          # doctest: +SKIP
        >>> done.rows, done.card["left_out"]                                               # doctest: +SKIP
        (120, {'agents that said nothing': 3})
        """
        from matrix.export import run, target
        from matrix.export.contract import Options
        from matrix.export.selection import Selection
        from matrix.export.splits import Splits

        wanted = run.Wanted(
            form=as_,
            splits=Splits(test=test, validation=validation, seed=split_seed),
            shards=shards,
            shard_rows=shard_rows,
            columns=None if columns is None else tuple(columns),
            drops_duplicates=drop_duplicates,
            progress=progress,
        )
        place = target.target(to, format) if isinstance(to, str | Path) else None
        if place is None and format not in (None, target.JSONL):
            raise UsageError(f"{format} goes to a file or a folder; to a pipe only jsonl does")
        name, given = self.path.resolve().name, {**(parameters or {}), **more}

        def export() -> Exported:
            options = Options(name, tools, system, maps, pairs_max=pairs_max, is_reply_only=reply_only)
            chosen = Selection(self, query, given)
            if place is not None:
                return run.export(self, chosen, options, wanted, place)
            return run.stream(self, chosen, options, wanted, cast("BinaryIO", to))

        return self._asked(export) if place is not None and not place.is_stream else export()

    def report(
        self,
        query: str,
        /,
        *,
        reference: Sequence[str | Path] = (),
        to: str | Path | None = None,
        threshold: float = 0.8,
        copied: float | None = None,
        far: float | None = None,
        progress: Callable[[str, int, int], None] | None = None,
        parameters: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Report:
        """How diverse the chats are that a query finds, and how close to the real text in ``reference`` (files).

        ``to`` is FILE.html, FILE.json, or a folder for both. ``threshold`` is that of near duplicates; a row is flagged
        as copied from the reference where at least the share ``copied`` (0.5) of its 8-grams is in it, and as far from
        it where less than ``far`` (0.05) of its 3-grams are. Parameters of the query are further keywords, or those in
        ``parameters``. ``progress`` is told what is done, how much of it, and of how much (0 where nobody knows).

        Raises ``QueryError`` for the query, ``UsageError`` for what cannot be, as without datasketch (the extra
        ``report``) or with a reference that is no text.

        >>> report = store.report("agents where role = assistant", to="figures")           # doctest: +SKIP
        >>> report.data["duplicates"]["share"]                                              # doctest: +SKIP
        0.0143
        """
        from matrix.export import chat
        from matrix.export.contract import Options
        from matrix.export.selection import Selection
        from matrix.report.report import About, files_at, report

        values = {**(parameters or {}), **more}
        if to is not None:
            files_at(to)  # what cannot be written is refused before anything is measured
        self.refresh()
        selection = self._asked(lambda: Selection(self, query, values))
        options = Options(store=self.path.resolve().name)
        done = report(
            (row.data for row in chat.rows(self, selection, options)),
            about=About(options.store, query, values, selection.notices, options.counts.as_data),
            ask=self.query,
            reference=reference,
            threshold=threshold,
            copied=copied,
            far=far,
            progress=progress,
        )
        if to is not None:
            done.write(to)
        return done

    def info(self) -> StoreSummary:
        """The store at a glance: shards, segments, bytes, events, simulations and goals by status."""
        from matrix.index import lookup

        self.refresh()
        return self._asked(lambda: lookup.store_summary(self.connection))

    def kinds(self) -> list[KindEntry]:
        """Every kind of event in the store with its payload paths and their types, most frequent first."""
        from matrix.index import lookup

        self.refresh()
        return self._asked(lambda: lookup.catalogue(self.connection))

    def simulation(self, id: str) -> SimulationSummary:
        """One simulation at a glance; ``UsageError`` with similar ids when there is none.

        When an id was given to several simulations this is the newest.
        """
        if not isinstance(id, str):
            raise UsageError(f"the id of a simulation is a text such as '1-1', not {id!r}")
        self.refresh()
        return self._asked(lambda: self._simulation(id))

    def _simulation(self, id: str) -> SimulationSummary:
        from matrix.index import lookup

        found = lookup.simulations_named(self.connection, id)
        if not found:
            raise UsageError(self._no_simulation(id))
        summary = lookup.simulation_summary(self.connection, found[-1])
        assert summary is not None, "an id was found whose row is gone"
        return summary

    def events(self, simulation: str) -> Iterator[Event]:
        """Every event of a simulation, in order of ``seq``."""
        summary = self.simulation(simulation)
        return self._reader.simulation_events(summary.shard, summary.ordinal)

    def requests(self, simulation: str) -> Iterator[Request]:
        """Every request to a model that a simulation made, with all its messages and tools, in order.

        The log has each message once; here they are put together again. Requests that were recorded without messages
        (``self.call(…, kind="model")``) are not among them.
        """
        from matrix.event import MODEL_CALLED, MODEL_COMPLETED
        from matrix.requests import Requests

        history, requests = self._histories().history(*self._place(simulation)), Requests()
        for event in history.events(kinds={MODEL_CALLED, MODEL_COMPLETED}):
            found = requests.feed(event)
            if found is not None:
                yield found

    def request(self, simulation: str, seq: int) -> Request:
        """The request that the event ``seq``, a ``model.called``, holds; ``UsageError`` when it is none.

        >>> [message["role"] for message in store.request("1-1", 40).messages]  # doctest: +SKIP
        ['system', 'user', 'assistant', 'user']
        """
        found = next((request for request in self.requests(simulation) if request.seq >= seq), None)
        if found is None or found.seq != seq:
            raise UsageError(f"event {seq} of {simulation} is no request to a model")
        return found

    def digest(self, simulation: str) -> str:
        """The simulation's deterministic digest: equal for two runs of one program and seed, wherever they ran."""
        from matrix.log.digest import simulation_digest

        summary = self.simulation(simulation)
        return simulation_digest(self._reader, summary.shard, summary.ordinal)

    def diff(self, one: str, other: str, /) -> Diff:
        """Two simulations side by side: where they first differ, and how their outcomes, goals and counts compare.

        What two forks share with each other or with their parent is skipped.
        """
        from matrix.differ import diff

        return diff(self, one, other)

    # -- running again ----------------------------------------------------------------------------

    def replay(
        self,
        simulation: str,
        /,
        *,
        program: Program | None = None,
        until: int | timedelta | None = None,
        debug: bool = False,
        pin: bool = False,
    ) -> Replay:
        """Run a simulation's program again with its recorded inputs, and compare every event; nothing is written.

        ``until`` stops it behind an event (its ``seq``) or at a virtual time, and ``debug`` opens the debugger there,
        inside the agent. ``program`` takes the place of the recorded one; ``pin`` refuses another code or version.
        """
        from matrix.runtime.again.blocking import replay_each

        history = self._histories().history(*self._place(simulation))
        bound = None if until is None else _seq(history, until, "until")
        some = replay_each(self.path, [(simulation, history)], program=program, until=bound, debug=debug, pin=pin)
        return next(iter(some))

    def replay_all(self, *, program: Program | None = None, pin: bool = False) -> Iterator[Replay]:
        """Replay every simulation that a runtime recorded, one after the other, in the order of the log."""
        from matrix.index import lookup
        from matrix.runtime.again.blocking import replay_each

        self.refresh()
        places = self._asked(lambda: lookup.recorded_simulations(self.connection))
        histories = self._histories()
        some = ((id, histories.history(shard, ordinal)) for id, shard, ordinal in places)
        yield from replay_each(self.path, some, program=program, pin=pin, are_many=True)

    def resume(
        self,
        *,
        program: Program | None = None,
        durability: str | Durability = "interval",
        progress: RunProgress | None = None,
        calls: Mapping[str, CallPolicy] | None = None,
        models: GivenModels = None,
    ) -> list[Resumed]:
        """Let every simulation that a crash cut off go on from its last event, live; returns when all have ended.

        A call that was in flight has an unknown outcome, unless it was declared repeatable. Simulations that another
        process is running are left alone. ``calls`` are policies by the name of a call, as of ``open_runtime``: those
        that were given there are in no log. ``models`` are endpoints, likewise.
        """
        from matrix.index import lookup
        from matrix.runtime.again.blocking import resume_shard

        self.refresh()
        places = self._asked(lambda: lookup.recorded_simulations(self.connection, status="running"))
        by_shard: dict[int, list[tuple[str, int]]] = {}
        for id, shard, ordinal in places:
            by_shard.setdefault(shard, []).append((id, ordinal))
        done: list[Resumed] = []
        for shard, cut_off in by_shard.items():
            done += resume_shard(
                self.path,
                shard,
                cut_off,
                self._histories(),
                program=program,
                durability=durability,
                progress=progress,
                calls=calls,
                models=models,
            )
        return done

    def fork(
        self,
        simulation: str,
        /,
        *,
        at: int | timedelta,
        seed: int | None = None,
        set: Mapping[str, Any] | None = None,
        program: Program | None = None,
        times: int = 1,
        durability: str | Durability = "interval",
        progress: RunProgress | None = None,
        calls: Mapping[str, CallPolicy] | None = None,
        models: GivenModels = None,
    ) -> list[Outcome]:
        """New simulations with the history of one up to an event (its ``seq``) or a virtual time, then live.

        Several have the seeds ``seed``, ``seed + 1``, ...; without a seed one keeps its parent's, and several count on
        from it. ``set`` changes values there: a parameter of the program, an attribute of an agent
        (``"seller.limit"``), or a key of the simulation's state. The parent's events are shared, not copied. ``calls``
        are policies by the name of a call, and ``models`` endpoints, as of ``open_runtime``.
        """
        from matrix.runtime.again.blocking import check_times, fork_times
        from matrix.runtime.program import check_seed

        history = self._histories().history(*self._place(simulation))
        place = _seq(history, at, "at")
        seeds: Sequence[int | None] = [seed]
        check_times(times)
        if times != 1:
            first = seed if seed is not None else int(history.started.data["seed"]) + 1
            check_seed(first)
            seeds = range(first, first + times)
        return fork_times(
            self.path,
            history,
            parent=simulation,
            at=place,
            seeds=seeds,
            set=set,
            program=program,
            durability=durability,
            progress=progress,
            calls=calls,
            models=models,
        )

    def _place(self, simulation: str) -> tuple[int, int]:
        """The shard of a simulation, and its number there."""
        summary = self.simulation(simulation)
        return summary.shard, summary.ordinal

    def _histories(self) -> Histories:
        from matrix.log.history import Histories

        return Histories(self._reader)

    def _asked(self, question: Callable[[], Answer]) -> Answer:
        """The answer; a damaged index that only the question meets is made anew, and the question asked once more."""
        import sqlite3

        try:
            return question()
        except sqlite3.DatabaseError as error:
            if self._index.mend(self._reader, error) is None:
                raise
            return question()

    # -- care -------------------------------------------------------------------------------------

    def verify(self) -> VerifyReport:
        """Read every byte of the log and check every checksum, count and link; changes nothing."""
        from matrix.log.verify import verify_log

        return verify_log(self.path / LOG_FOLDER)

    def reindex(self) -> Followed:
        """Make the index again from the log; also the way to accept a log that has lost events."""
        return self._index.rebuild(self._reader)

    def compact(self) -> CompactReport:
        """Rewrite sealed segments clustered by simulation and compressed; safe while others read and write."""
        from matrix.log.compact import compact_log

        report = compact_log(self.path / LOG_FOLDER)
        self.refresh()
        return report

    def _no_simulation(self, id: str) -> str:
        from difflib import get_close_matches

        from matrix.index import lookup

        known = lookup.simulation_ids(self.connection)
        if not known:
            return f"{self.path}: there is no simulation {id!r}; the store is empty"
        like = get_close_matches(id, known, n=SIMILAR_IDS_MAX, cutoff=0.5) or known[:SIMILAR_IDS_MAX]
        return f"{self.path}: there is no simulation {id!r} among {len(known):,}, but {', '.join(like)}"


def _seq(history: History, place: Any, what: str) -> int:
    """The event that is meant: one by its number, or the newest that is not later than a virtual time."""
    if isinstance(place, timedelta):
        return history.seq_at(_microseconds(place))
    if type(place) is not int:
        raise UsageError(f"{what} is the number of an event, or a timedelta of virtual time, not {place!r}")
    return place


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


def check_is_store(path: Path) -> None:
    """A store is a folder with a log; nothing else is opened, and nothing is made."""
    if not path.exists():
        raise NotAStore(f"{path}: there is no such folder; `matrix run` and `matrix import` make a store")
    if not path.is_dir():
        raise NotAStore(f"{path}: a store is a folder, and this is a file")
    if not (path / LOG_FOLDER).is_dir():
        raise NotAStore(f'{path}: this folder is not a store: it has no "{LOG_FOLDER}" in it')
