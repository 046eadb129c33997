"""Answers of models that a log has, found by the hash of their request: what ``cache=True`` looks in.

One walk over the log reads a few columns of ``model.called`` and ``model.completed``, and of no other kind; a block
without them costs its checksum. What always holds: an answer is found at the simulation that asked for it, not where
it was taken from the log again, and never under the hash of a request that was sent to another endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from matrix.errors import UsageError
from matrix.event import MODEL_CALLED, MODEL_COMPLETED
from matrix.limits import COMPACT_BLOCK_EVENTS_MAX
from matrix.log.block import Block
from matrix.log.history import Histories, History
from matrix.log.reader import LogReader


class AnswerPlace(NamedTuple):
    """Where a ``model.completed`` is: a simulation, by its shard and its number there, and a ``seq``."""

    shard: int
    ordinal: int
    seq: int


class AnswerFound(NamedTuple):
    """An answer of the log: the id of its simulation, its ``seq``, and what it says."""

    simulation: str
    seq: int
    data: dict[str, Any]


class LoggedAnswers:
    """The answers that a log has. Used by one thread at a time.

    >>> answers = LoggedAnswers(LogReader(Path("runs/log")))                  # doctest: +SKIP
    >>> places = answers.places()                                             # doctest: +SKIP
    >>> answers.read(places["2c7e4f0b6f0f4c0e9d4a3b1f5e6d7c8b"]).data["message"]    # doctest: +SKIP
    {'role': 'assistant', 'content': 'Hello!'}
    """

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._histories = self._looked()

    def places(self) -> dict[str, AnswerPlace]:
        """Request hash -> the first answer to it, of all that is committed."""
        found: dict[str, AnswerPlace] = {}
        elsewhere: list[tuple[AnswerPlace, int]] = []  # answers of forks to requests that their parents made
        for shard in self._reader.shards():
            asked: dict[tuple[int, int], str] = {}
            for block in self._reader.blocks(shard):
                asked.update(_requests(block))
                for ordinal, seq, called in _answers(block):
                    place, request = AnswerPlace(shard, ordinal, seq), asked.pop((ordinal, called), None)
                    if request is None:
                        elsewhere.append((place, called))
                    else:
                        found.setdefault(request, place)
        for place, called in elsewhere:
            data = self._history(place).event(called).data
            if isinstance(data.get("request_hash"), str):
                found.setdefault(data["request_hash"], place)
        return found

    def read(self, place: AnswerPlace) -> AnswerFound:
        """The answer at a place."""
        try:
            history = self._history(place)
            event = history.event(place.seq)
        except UsageError:  # it was written since this log was looked at last
            self._histories = self._looked()
            history = self._history(place)
            event = history.event(place.seq)
        named = history.forks[-1] if history.forks else history.started
        return AnswerFound(str(named.data["id"]), place.seq, dict(event.data))

    def _history(self, place: AnswerPlace) -> History:
        return self._histories.history(place.shard, place.ordinal)

    def _looked(self) -> Histories:
        return Histories(self._reader, events_kept=COMPACT_BLOCK_EVENTS_MAX)


def _requests(block: Block) -> Iterator[tuple[tuple[int, int], str]]:
    """The requests in a block that have a hash, by simulation and seq."""
    hashes = block.cells(MODEL_CALLED, "request_hash")
    if hashes is None:
        return
    rows = block.kind_rows(MODEL_CALLED)
    places = zip(block.simulation[rows].tolist(), block.seq[rows].tolist(), strict=True)
    for place, value in zip(places, hashes.to_pylist(), strict=True):
        if isinstance(value, str):
            yield place, value


def _answers(block: Block) -> Iterable[tuple[int, int, int]]:
    """The answers in a block that came from the request's own endpoint: simulation, seq, and seq of the request."""
    rows = block.kind_rows(MODEL_COMPLETED)
    if not len(rows) or block.cells(MODEL_COMPLETED, "message") is None:
        return ()
    is_own = np.ones(len(rows), np.bool_)
    for name in ("cached", "endpoint"):
        cells = block.cells(MODEL_COMPLETED, name)
        if cells is not None:
            is_own &= np.array([not _is_other(value) for value in cells.to_pylist()])
    rows = rows[is_own]
    columns = (block.simulation[rows], block.seq[rows], block.cause[rows])
    return zip(*(column.tolist() for column in columns), strict=True)


def _is_other(value: Any) -> bool:
    """Whether a ``cached`` or ``endpoint`` says that the answer is another's."""
    if isinstance(value, dict):  # of one whose own event was never written this is the only place
        return "seq" in value
    return isinstance(value, str)
