"""Prefixes: which messages, and which tools, the model calls of a simulation have said already.

A request is recorded without what an earlier event has: it goes on from the event that begins with the longest part
of it. What that is follows from the events recorded so far and from nothing else, so a replay, a resume and a fork
(whose rehearsal tells all of its parent's events again) find the same.

What always holds: where a conversation is known, so is each of its beginnings; so the longest known one is found from
the end. A conversation is known by a rolling hash: that of what comes before a message, and of the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

DIGEST_BYTES: Final = 16
EMPTY: Final = b""  # the hash of no messages


class Known(NamedTuple):
    """Where a beginning is recorded: ``seq`` of the event, and how many messages the whole of that event has."""

    seq: int
    length: int


class Prefixes:
    """What is known in one simulation.

    >>> prefixes, hashes = Prefixes(), rolling(["system", "hello"])
    >>> prefixes.add(7, hashes)
    >>> prefixes.references(rolling(["system", "good bye"]))
    (1, {'after': 7, 'kept': 1})
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}
        self._tools: dict[bytes, int] = {}  # hash of a list of tools -> the first call that had it

    def references(self, hashes: Sequence[bytes]) -> tuple[int, dict[str, Any]]:
        """How many messages of a conversation are known, and the fields that say where."""
        for length in range(len(hashes), 0, -1):
            known = self._known.get(hashes[length - 1])
            if known is not None:
                return length, {"after": known.seq} | ({} if known.length == length else {"kept": length})
        return 0, {}

    def add(self, seq: int, hashes: Sequence[bytes]) -> None:
        """The event ``seq`` has this conversation."""
        for found in reversed(hashes):
            if found in self._known:
                break
            self._known[found] = Known(seq, len(hashes))

    def add_answer(self, seq: int, hashes: Sequence[bytes], answer: str) -> None:
        """The event ``seq`` has the answer to this conversation, whose JSON is ``answer``."""
        end = hashes[-1] if hashes else EMPTY
        self._known.setdefault(next_hash(end, answer), Known(seq, len(hashes) + 1))

    def tools(self, seq: int, text: str, schemas: list[Any]) -> dict[str, Any]:
        """The field that says which tools the call ``seq`` has; ``text`` is their JSON, in their own order."""
        if not schemas:
            return {}
        first = self._tools.setdefault(next_hash(EMPTY, text), seq)
        return {"tools": schemas} if first == seq else {"tools_of": first}


def rolling(texts: Sequence[str]) -> list[bytes]:
    """The hash of each beginning of a conversation, given as the JSON of its messages."""
    hashes, end = [], EMPTY
    for text in texts:
        end = next_hash(end, text)
        hashes.append(end)
    return hashes


def next_hash(end: bytes, text: str) -> bytes:
    """The hash of a conversation with one more message."""
    return blake2b(end + text.encode(), digest_size=DIGEST_BYTES).digest()
