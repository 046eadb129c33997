"""Positions: where a watch stands, as a text that another process can go on from.

A position names the look that told a row by the two moments it lies between, and how many rows of that look were
told. It is opaque to whoever keeps it. It belongs to one query with its parameters, and to one store.

>>> place = Position("q", {1: 0}, {1: 812}, told=3)
>>> Position.read(str(place), query="q") == place
True
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

from matrix.errors import UsageError
from matrix.limits import WATCH_POSITION_CHARS_MAX, WATCH_SHARDS_MAX

_PREFIX = "w1."
_HINT = 'a position is what a row of a watch carries as its "position", or "start"'


@dataclass(frozen=True)
class Position:
    """Behind ``told`` rows of the look between two moments.

    ``taken`` says how many rows each ``limit`` had let through before that look; ``clocks`` are what ``now`` meant at
    the two moments.
    """

    query: str
    before: Mapping[int, int]
    after: Mapping[int, int]
    told: int = 0
    taken: tuple[int, ...] = ()
    clocks: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        return f"{self.stem}.{self.told}"

    @cached_property
    def stem(self) -> str:
        """What all positions of one look begin with."""
        since = {shard: position for shard, position in self.after.items() if self.before.get(shard) != position}
        said = [self.query, list(self.before.items()), list(since.items()), self.taken, self.clocks]
        packed = zlib.compress(json.dumps(said, separators=(",", ":")).encode())
        return _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")

    def texts(self, first: int, last: int) -> list[str]:
        """The positions behind row ``first`` to ``last`` of this look."""
        return [f"{self.stem}.{told}" for told in range(first, last + 1)]

    @classmethod
    def read(cls, text: str, *, query: str) -> Position:
        """A position from its text; ``UsageError`` when it is none, or of another query."""
        if not isinstance(text, str):
            raise UsageError(f"after is a position, not {text!r}: {_HINT}")
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        look, _, told = text.removeprefix(_PREFIX).partition(".")
        found = _unpacked(look) if text.startswith(_PREFIX) and len(text) <= WATCH_POSITION_CHARS_MAX else None
        if found is None or not (told.isdecimal() and told.isascii() and len(told) < 19):
            raise UsageError(f"{shown!r} is not a position of a watch: {_HINT}")
        known, before, since, taken, clocks = found
        if known != query:
            raise UsageError(f"{shown!r} is a position of another query, or of other parameters: start this one anew")
        return cls(known, before, {**before, **since}, int(told), taken, clocks)


def fingerprint(text: str, parameters: Mapping[str, Any]) -> str:
    """What tells a query with its parameters from others."""
    said = repr((text.split(), sorted((name, repr(value)) for name, value in parameters.items())))
    return blake2b(said.encode(), digest_size=6).hexdigest()


def _unpacked(
    look: str,
) -> tuple[str, dict[int, int], dict[int, int], tuple[int, ...], tuple[int, int]] | None:
    """What a look is made of; None for anything else, however it was made."""
    try:
        packed = base64.urlsafe_b64decode(look + "=" * (-len(look) % 4))
        said = json.loads(zlib.decompressobj().decompress(packed, WATCH_SHARDS_MAX * 64))
        query, before, since, taken, clocks = said
        pairs = [(shard, position) for listed in (before, since) for shard, position in listed]
        numbers = [number for pair in pairs for number in pair] + [*taken, *clocks]
        if not isinstance(query, str) or not all(type(number) is int and number >= 0 for number in numbers):
            return None
        first, second = clocks
        return query, dict(before), dict(since), tuple(taken), (first, second)
    except (ValueError, TypeError, binascii.Error, zlib.error, RecursionError):
        return None
