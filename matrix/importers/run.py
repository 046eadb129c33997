"""Import files into a store: each whole or not at all, none twice, whatever else happens meanwhile.

Importers of one store take turns, file by file, under a lock of their own (``import.lock`` in the store's folder), so
that "is it there already" and "now it is" are one step; runs of simulations are not held up by it. A file's simulations
are one transaction of the log, written batch by batch. The writer is opened only when there is something to write:
files that are refused at their beginning leave no trace, not even an empty store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from matrix.errors import ImportRefused, UsageError
from matrix.importers.history import History, rows_of
from matrix.importers.registry import Importer, importer_of
from matrix.importers.source import Progress, Refusal, Source
from matrix.importers.target import Target
from matrix.limits import IMPORT_BATCH_EVENTS, IMPORT_ID_BYTES_MAX

IMPORTED, ALREADY_THERE, REFUSED = "imported", "already there", "refused"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of one file: ``imported``, ``already there`` (nothing added) or ``refused`` (nothing added).

    ``message`` says it in one line that begins with the file; ``error`` is set when it was refused.
    """

    file: Path
    status: str
    message: str
    simulations: int = 0
    events: int = 0
    error: ImportRefused | None = None

    @property
    def is_refused(self) -> bool:
        return self.error is not None


def import_files(
    store: str | Path,
    format: str,
    files: Iterable[str | Path],
    progress: Callable[[Progress], None] | None = None,
    *,
    clock: Callable[[], int] = time.time_ns,
) -> list[ImportReport]:
    """Import each file into the store (made if need be); a refused one does not undo the others.

    ``clock`` tells the moment of the import, which stands in for times a format does not record.
    """
    importer = importer_of(format)
    with Target(Path(store)) as target:
        return [
            _import_file(
                target, importer, Path(file), lambda file: Source(file, wall=clock() // 1000, progress=progress)
            )
            for file in files
        ]


class _AlreadyThere(Exception):
    """This very file was imported before; holds the id of its first simulation."""


def _import_file(target: Target, importer: Importer, path: Path, opened: Callable[[Path], Source]) -> ImportReport:
    try:
        source = opened(path)
        with target.turn():
            simulations, events = _write(target, importer, source)
    except _AlreadyThere as there:
        return ImportReport(path, ALREADY_THERE, f"{path}: imported before (simulation {there}); nothing added")
    except Refusal as refusal:
        error = ImportRefused(f"{path}: {refusal}")
        return ImportReport(path, REFUSED, str(error), error=error)
    counted = "1 simulation" if simulations == 1 else f"{simulations:,} simulations"
    message = f"{path}: {counted}, {events:,} events"
    return ImportReport(path, IMPORTED, message, simulations, events)


def _write(target: Target, importer: Importer, source: Source) -> tuple[int, int]:
    """Every simulation of the file in one transaction; how many they are, and how many events."""
    simulations = events = 0
    with ExitStack() as group:  # the transaction begins with the first batch
        for batch in _batches(_checked(target, importer, source)):
            writer = target.writer()
            if not simulations:
                group.enter_context(writer.transaction())
            rows = rows_of(batch, first_simulation=writer.next_simulation)
            try:
                writer.append(rows)
            except UsageError as error:  # a value that the log cannot hold, such as a text of more bytes than a frame
                raise Refusal(_largest_event(batch), str(error)) from error
            simulations, events = simulations + len(batch), events + rows.count
    return simulations, events


def _largest_event(batch: list[History]) -> str:
    """Where in a batch the log's bounds were most likely exceeded."""
    sized = ((len(repr(event.data)), history.id, event) for history in batch for event in history.events)
    _, id, event = max(sized, key=lambda one: one[0])
    return f"simulation {id!r}, event {event.seq} ({event.kind})"


def _checked(target: Target, importer: Importer, source: Source) -> Iterator[History]:
    """The file's histories, each with an id that is neither in the store nor earlier in the file."""
    seen: set[str] = set()
    for history in importer(source):
        source.phase = "importing"
        history.data.setdefault("file", source.name)
        history.data["file_digest"] = source.digest
        _check_id(history.id, seen)
        _check_new(target, history.id, source, is_first=not seen)
        seen.add(history.id)
        yield history
        source.simulations += 1


def _check_id(id: str, seen: set[str]) -> None:
    if not 0 < len(id.encode()) <= IMPORT_ID_BYTES_MAX:
        raise Refusal(f"simulation {id[:60]!r}", f"its id must have 1 to {IMPORT_ID_BYTES_MAX} bytes")
    if id in seen:
        raise Refusal(f"simulation {id!r}", "the file has this id twice")


def _check_new(target: Target, id: str, source: Source, *, is_first: bool) -> None:
    """An id of this file is in the store: then all of the file is, or it came from elsewhere.

    Files are imported whole, so the first id tells; that spares looking through a large store for the digest.
    """
    if not target.has(id):
        return
    if is_first and target.has(id, file_digest=source.digest):
        raise _AlreadyThere(id)
    raise Refusal(
        f"simulation {id!r}", "the store has a simulation of this id already, from another file or from a run"
    )


def _batches(histories: Iterable[History]) -> Iterator[list[History]]:
    batch: list[History] = []
    events = 0
    for history in histories:
        if batch and events + len(history.events) > IMPORT_BATCH_EVENTS:
            yield batch
            batch, events = [], 0
        batch.append(history)
        events += len(history.events)
    if batch:
        yield batch
