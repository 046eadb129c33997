"""Choices read off bytes: what makes histories and queries from randomness that can be repeated and shrunk.

Each choice takes one byte; when they run out every choice is the first, so whatever is chosen from lists
its simplest option first. Random bytes give a fair spread, and hypothesis shrinks bytes to fewer and lower
ones, which makes simpler things.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """A supply of choices.

    >>> choices = Choices(bytes([4, 0]))
    >>> choices.pick("abc"), choices.pick("abc"), choices.pick("abc")
    ('b', 'a', 'a')
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, count: int) -> int:
        """A number from 0 to ``count - 1``, at most 255."""
        assert 0 < count <= 256, "a choice is one byte"
        self._at += 1
        return self._data[self._at - 1] % count if self._at <= len(self._data) else 0

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def chance(self, out_of: int) -> bool:
        """True once in ``out_of`` times."""
        return self.below(out_of) == out_of - 1

    def some(self, items: Sequence[T], *, least: int, most: int) -> list[T]:
        """Between ``least`` and ``most`` of the items, some perhaps more than once."""
        return [self.pick(items) for _ in range(least + self.below(most - least + 1))]
