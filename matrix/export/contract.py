"""What the parts of the export agree on: rows, how they are asked for, and what is counted on the way.

    query  -->  Selection  -->  a Form (chat, pairs, episodes, events)  -->  Rows  -->  splits, shards, files, card

What always holds: a form reads one simulation after the other, in the order of the store, and keeps no more than
one; it writes nothing; whatever it cuts, leaves out or keeps although it is odd it counts, with the reason in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import sqlite3

    from matrix.export.selection import Selection
    from matrix.index.index import Followed
    from matrix.log.reader import LogReader


class Row(NamedTuple):
    """One row of an export.

    ``data`` is what is written. ``family`` is the id of the simulation at the root of its forks: rows of one family
    belong to one split. ``text`` is what is compared to find duplicates (``matrix.report.texts.compared``).
    """

    data: dict[str, Any]
    family: str
    text: str


@dataclass(slots=True)
class Counts:
    """What became of what was chosen, each by the reason in words: ``{"agents that said nothing": 3}``.

    ``taken`` is what the rows are made of, ``cut`` what rows were shortened by, ``left_out`` what made no row, and
    ``kept`` what is odd and in the rows all the same. All of it goes into the card. ``digests``, where it is not None,
    gets the digest of each simulation that is read, by its number in the index.
    """

    taken: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    digests: dict[int, str] | None = None

    def as_data(self) -> dict[str, dict[str, int]]:
        """The counts as JSON holds them, in order of their words; without those that are zero."""
        parts = {"taken": self.taken, "cut": self.cut, "left_out": self.left_out, "kept": self.kept}
        return {
            name: {words: counter[words] for words in sorted(counter) if counter[words]}
            for name, counter in parts.items()
        }


@dataclass(frozen=True, slots=True)
class Options:
    """How rows are made; ``counts`` is written to while they are.

    ``store`` is what the column of that name says. ``tools`` (a list of schemas in OpenAI's form) and ``system`` stand
    in every row of a chat in place of what the history says, and ``counts`` tells how often that was something else;
    ``{.task.ticket}`` in ``system`` stands for the simulation's own ``.task.ticket``. ``has_maps`` gives the arguments
    of calls as maps, as TRL shows them, instead of as JSON text, as OpenAI has them. ``pairs_max`` and
    ``is_reply_only`` are for pairs alone: see ``matrix.export.pairs``.
    """

    store: str = ""
    tools: Sequence[Mapping[str, Any]] | None = None
    system: str | None = None
    has_maps: bool = False
    counts: Counts = field(default_factory=Counts)
    pairs_max: int | None = None
    is_reply_only: bool = False


class Reading(Protocol):
    """What an export asks of a store; ``matrix.store.Store`` is one."""

    path: Path

    @property
    def reader(self) -> LogReader:
        """The log."""
        ...

    @property
    def connection(self) -> sqlite3.Connection:
        """The index, for reading; asked for again after each ``refresh``."""
        ...

    def refresh(self) -> Followed:
        """Bring the index up to the newest committed block."""
        ...


class Form(Protocol):
    """One form of export, for example ``matrix.export.chat.rows``."""

    def __call__(self, store: Reading, selection: Selection, options: Options) -> Iterator[Row]:
        """The rows of what was chosen, one simulation after the other."""
        ...
