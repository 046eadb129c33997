"""What a verb is asked of: a store in a folder, or one that a server answers for.

Both have the same calls. What always holds: the rows of a served store are taken as they are written, so that a large
answer stands in memory nowhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import click

if TYPE_CHECKING:
    import pyarrow as pa

    from matrix.client.blocking import BlockingRemote
    from matrix.query.rows import Rows
    from matrix.store import Store

    Target: TypeAlias = Store | BlockingRemote

token_option = click.option(
    "--token",
    envvar="MATRIX_TOKEN",
    metavar="TOKEN",
    help="For a STORE that is ws://host:port/, when it is not in the link (#token=…). Others see what is typed here; "
    "MATRIX_TOKEN says it in private.",
)


def open_target(store: str, token: str | None) -> Target:
    """The store in a folder, or at an address."""
    import matrix
    from matrix.client.address import is_address

    return matrix.connect(store, token=token).open() if is_address(store) else matrix.open(store)


@contextmanager
def opened(store: str, token: str | None) -> Iterator[Target]:
    """The same, closed in the end."""
    with open_target(store, token) as target:
        yield target


def is_served(target: Target) -> bool:
    """Whether a server answers for it."""
    return not hasattr(target, "path")


def name_of(target: Target) -> str:
    """How whoever asks calls it: a path, or an address without its token."""
    return str(getattr(target, "path", "")) or target.url  # type: ignore[union-attr]  # what has no path has a url


class Answer:
    """The rows of an answer, and what is known of it once they have been taken."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.count = 0
        self.seconds = 0.0
        self.notices: list[str] = []


class _Coming(Answer):
    """An answer that is still coming in."""

    def __init__(self, target: BlockingRemote, text: str, parameters: Mapping[str, Any]) -> None:
        super().__init__(self)
        self._stream = target.stream(text, **parameters)
        self.schema: pa.Schema = self._stream.schema()

    def to_batches(self, max_chunksize: int) -> Iterator[pa.RecordBatch]:
        """The batches, cut where they are longer than that."""
        for batch in self._stream.batches():
            self.count += batch.num_rows
            for begin in range(0, batch.num_rows, max_chunksize):
                yield batch.slice(begin, max_chunksize)
        self.seconds, self.notices = self._stream.seconds, self._stream.notices


def ask(target: Target, text: str, parameters: Mapping[str, Any]) -> Answer:
    """Ask a question whose rows are to be written once."""
    if is_served(target):
        return _Coming(target, text, parameters)  # type: ignore[arg-type]  # it is
    begun = time.perf_counter()
    result = target.query(text, **parameters)
    answer = Answer(result.table)
    answer.seconds, answer.count, answer.notices = time.perf_counter() - begun, len(result), result.notices
    return answer
