"""An export from its query to its files: rows, splits, shards, card.

What always holds: an export is there whole or not at all; the same store, query and options give the same bytes;
memory is that of one simulation's rows (of pairs: one family's), of a row group, and of what `--drop-duplicates`
remembers, since rows wait on disk until all of them are known.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Final

from matrix.errors import StoreError, UsageError
from matrix.event import MODEL_COMPLETED
from matrix.export import card as cards
from matrix.export import columns, jsonl, shards
from matrix.export.contract import Form, Options, Reading, Row
from matrix.export.files import File, Files, check_shards
from matrix.export.selection import Selection
from matrix.export.shape import Shape
from matrix.export.splits import TRAIN, Splits
from matrix.export.tally import Repeats, Tally
from matrix.export.target import PARQUET, Target
from matrix.log.frame import FORMAT_VERSION
from matrix.log.history import Histories, History

FORMS: Final = ("chat", "pairs", "episodes", "events")
#: Told with the number of rows written so far.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an export is to be: its form, and how rows are divided, kept and told."""

    form: str = "chat"
    splits: Splits = field(default_factory=Splits)
    shards: int | None = None
    shard_rows: int | None = None
    drops_duplicates: bool = False
    threshold: float | None = None
    columns: tuple[str, ...] | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UsageError(f'there is no form "{self.form}"; there are {", ".join(FORMS)}')
        shards.check(self.shards, self.shard_rows)
        if self.columns is not None:
            columns.check(self.columns, self.form)

    @property
    def expected(self) -> Sequence[str]:
        """The columns that rows may have."""
        return columns.OF_FORM[self.form] if self.columns is None else self.columns

    def told(self, row: Row) -> dict[str, Any]:
        """What is written of a row."""
        if self.columns is None:
            return row.data
        return {name: row.data[name] for name in self.columns if name in row.data}

    def rows(self) -> Form:
        """What makes rows of this form."""
        rows: Form = importlib.import_module(f"matrix.export.{self.form}").rows
        return rows


@dataclass(frozen=True)
class Exported:
    """What an export came to: ``card`` as it stands in ``card.json``, ``path`` None for a stream.

    >>> print(store.export("agents", "chats", test=0.1))                        # doctest: +SKIP
    chats: 240 rows of 120 simulations in 2 files, 213 to train on, 27 to test with
    """

    path: Path | None
    card: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """How many rows were written."""
        count: int = self.card["counts"]["rows"]
        return count

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """As a person reads it: what was written, then what was not, and why."""
        counts, files = self.card["counts"], self.card["files"]
        text = f"{_count(counts['rows'], 'row')} of {_count(counts['simulations'], 'simulation')}"
        text += f" in {_count(len(files), 'file')}" if files else ""
        splits = counts["by_split"]
        if len(splits) > 1 or TRAIN not in splits:
            text += "".join(f", {name} {of['rows']:,}" for name, of in splits.items())
        yield f"{self.path}: {text}" if self.path is not None else text
        for part, words in (("taken", "taken"), ("cut", "cut"), ("left_out", "left out"), ("kept", "kept")):
            yield from (f"  {words}: {reason}: {number:,}" for reason, number in self.card[part].items())
        if repeats := self.card.get("duplicates"):
            yield f"  dropped: {repeats['exact']:,} the same as an earlier row, {repeats['near']:,} nearly the same"
        yield from (f"  {notice}" for notice in self.card["notices"])


def export(store: Reading, selection: Selection, options: Options, wanted: Wanted, to: Target) -> Exported:
    """Write what was chosen to a file or a folder, with its card beside it; ``StoreError`` when the disk is full."""
    check_shards(to, wanted.shards, wanted.shard_rows)
    work = _Work(store, selection, options, wanted)
    if to.is_stream:
        if to.format == PARQUET:
            raise UsageError(f"{to.path} is no file, and Parquet is written to a file or a folder")
        with _told(to.path), to.path.open("wb") as out:
            return Exported(to.path, work.stream(out))
    with to.staged() as staging:
        return Exported(to.path, work.write(to, staging))


def stream(store: Reading, selection: Selection, options: Options, wanted: Wanted, out: BinaryIO) -> Exported:
    """Write what was chosen as JSON Lines to a pipe, row by row as they are made."""
    check_shards(None, wanted.shards, wanted.shard_rows)
    with _told(getattr(out, "name", "output")):
        card = _Work(store, selection, options, wanted).stream(out)
        out.flush()  # what is still in a buffer may not fit either
    return Exported(None, card)


@contextlib.contextmanager
def _told(where: object) -> Iterator[None]:
    """Says where it was that rows could not be written; a pipe that nobody reads any more is no error."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoreError(f"{where}: not all rows were written: {error.strerror or error}") from error


class _Work:
    """One export under way."""

    def __init__(self, store: Reading, selection: Selection, options: Options, wanted: Wanted) -> None:
        self.store, self.selection, self.options, self.wanted = store, selection, options, wanted
        self.tally = Tally()
        self.repeats: Mapping[str, Any] | None = None

    def rows(self) -> Iterator[tuple[Row, str]]:
        """The rows that are written, each with its split."""
        with ExitStack() as stack:
            repeats = None
            if self.wanted.drops_duplicates:
                repeats = Repeats(self.wanted.threshold)
                stack.callback(repeats.close)
            for row in self.wanted.rows()(self.store, self.selection, self.options):
                if repeats is not None and repeats.has(row):
                    continue
                split = self.wanted.splits.of(row.family)
                row.data["split"] = split
                self.tally.add(row, split)
                yield row, split
                if self.wanted.progress is not None:
                    self.wanted.progress(self.tally.rows)
            self.repeats = None if repeats is None else repeats.as_data()

    def stream(self, out: BinaryIO) -> dict[str, Any]:
        """Every row as a line, at once; returns the card."""
        shape = Shape()
        for row, _ in self.rows():
            data = self.wanted.told(row)
            shape.learn_row(data)
            out.write(jsonl.line_of(data) + b"\n")
        return self.card(shape, [], digest=None)

    def write(self, to: Target, staging: Path) -> dict[str, Any]:
        """All files, and the card beside them; returns that."""
        wanted, self.options.counts.digests = self.wanted, {}
        files = Files(
            staging,
            to,
            wanted.splits.names,
            count=wanted.shards,
            rows_each=wanted.shard_rows,
            expected=wanted.expected,
        )
        with contextlib.closing(files):
            for row, split in self.rows():
                files.add(wanted.told(row), split)
            written, shape = files.finish(), files.shape
        if files.moved:
            self.options.counts.kept["rows moved to the front, since they show what types columns have"] = files.moved
        card = self.card(shape, written, digest=self.digest())
        if to.is_folder:
            features = None if to.format == PARQUET else columns.features(shape)
            texts = {"card.json": cards.json_text(card), "README.md": cards.folder_text(card, features)}
        else:
            texts = {f"{to.path.name}.card.md": cards.file_text(card)}
        for name, text in texts.items():
            (staging / name).write_text(text, encoding="utf-8")
        return card

    def digest(self) -> str:
        """Which simulations the rows are of: one digest over those of each, in the order of the store.

        Of one that still runs it is that of its events by now, which may be more than were exported. Since these are
        read here, the tokens that models told of are counted, too: each answer once, also one that forks share.
        """
        histories = Histories(self.store.reader)
        digest = blake2b(digest_size=16)
        counted: dict[tuple[int, int], int] = {}  # up to which event of whose
        for one in self.selection:
            if one.id in self.tally.simulations:
                history = histories.history(one.gid >> 32, one.gid & 0xFFFF_FFFF, last_seq=one.last_seq)
                digest.update(f"{one.id} {history.digest()}\n".encode())
                self._count_tokens(history, counted)
        return digest.hexdigest()

    def _count_tokens(self, history: History, counted: dict[tuple[int, int], int]) -> None:
        for part in history.parts:
            owner = (part.shard, part.ordinal)
            first_seq = max(part.first_seq, counted.get(owner, 0) + 1)
            counted[owner] = max(part.last_seq, counted.get(owner, 0))
            for event in history.events(first_seq, part.last_seq, {MODEL_COMPLETED}):
                tokens = event.data.get("tokens")
                if type(tokens) is int and "cached" not in event.data:  # which the log answered, not a model
                    self.tally.tokens = (self.tally.tokens or 0) + tokens

    # -- the card ---------------------------------------------------------------------------------

    def card(self, shape: Shape, files: Sequence[File], *, digest: str | None) -> dict[str, Any]:
        """All there is to say about it."""
        counts = self.options.counts.as_data()
        found: dict[str, Any] = {
            "card": cards.CARD_VERSION,
            "matrix": version("matrix-runtime"),
            "form": self.wanted.form,
            "query": self.selection.query,
            "parameters": {name: _plain(value) for name, value in sorted(self.selection.parameters.items())},
            "options": self._options(),
            "store": self._store(digest),
            "counts": self.tally.as_data(),
            **counts,
        }
        if self.repeats is not None:
            found["duplicates"] = self.repeats
        found["notices"] = [*self.selection.notices, *self._notices(shape)]
        found["columns"] = _columns(shape, self.wanted.expected)
        found["files"] = [file.as_data() for file in files]
        return found

    def _options(self) -> dict[str, Any]:
        wanted, options = self.wanted, self.options
        told = {
            "test": wanted.splits.test or None,
            "validation": wanted.splits.validation or None,
            "split_seed": wanted.splits.seed if len(wanted.splits.names) > 1 else None,
            "shards": wanted.shards,
            "shard_rows": wanted.shard_rows,
            "columns": wanted.columns,
            "drop_duplicates": wanted.drops_duplicates or None,
            "maps": options.has_maps or None,
            "pairs_max": options.pairs_max,
            "reply_only": options.is_reply_only or None,
            "system": options.system,
            "tools": None if options.tools is None else [_tool_name(tool) for tool in options.tools],
        }
        return {name: value for name, value in told.items() if value is not None}

    def _store(self, digest: str | None) -> dict[str, Any]:
        found = {
            "name": self.options.store,
            "format": FORMAT_VERSION,
            "simulations": len(self.tally.simulations),
            "digest": digest,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _notices(self, shape: Shape) -> Iterator[str]:
        splits, tally = self.wanted.splits, self.tally
        if not tally.rows:
            yield f"no rows: the query found {_count(self.selection.rows, self.selection.relation.rstrip('s'))}"
            if self.wanted.form == "pairs":
                yield "a pair needs two branches that part where the agent itself speaks: fork right before it does"
        for name in (self.wanted.columns or ()) if tally.rows else ():
            if name not in shape.fields:
                yield f'no row has a column "{name}"'
        for name in splits.names:
            if tally.rows and not tally.by_split[name]:
                yield (
                    f"{name} is empty: none of {_count(len(tally.families), 'family')} fell into it; more simulations,"
                    " a larger share or another seed of the splits would help"
                )


def _columns(shape: Shape, expected: Sequence[str]) -> list[dict[str, str]]:
    found = []
    for column in columns.schema(shape, expected):
        meaning = columns.COLUMNS[column.name].meaning if column.name in columns.COLUMNS else ""
        found.append({"name": column.name, "type": str(column.type), "meaning": meaning})
    return found


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | None) else str(value)


def _tool_name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    return str(function.get("name") if isinstance(function, Mapping) else tool.get("name"))


def _count(value: int, thing: str) -> str:
    """A count with its thing.

    >>> _count(1, "family"), _count(12_000, "family")
    ('1 family', '12,000 families')
    """
    many = thing[:-1] + "ies" if thing.endswith("y") else f"{thing}s"
    return f"{value:,} {thing if value == 1 else many}"
