"""A ready queue in which seeded chance says who goes first: to find out whether order matters.

Among agents that are ready at one virtual time and priority each is as likely to be next. What always
holds: entries of one agent keep their order, so messages from one sender to one receiver arrive as they
were sent; what was put in front stays in front; the same seed gives the same order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from matrix.runtime.scheduling.activity import ACTION, ACTIVITY

if TYPE_CHECKING:
    from matrix.runtime.inputs import Stream

Entry = tuple[Any, Any]


class Chance:
    """Who goes next of several; what was drawn last may be put back, and then says who goes next of others."""

    __slots__ = ("_drawn", "_is_kept", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._drawn = 0.0
        self._is_kept = False

    def seed(self, key: int) -> None:
        """Go on from another seed."""
        self._stream.seed(key)
        self._is_kept = False

    def pick(self, count: int) -> int:
        """A place among ``count``."""
        if not self._is_kept:
            self._drawn = self._stream.random()
        self._is_kept = False
        return int(self._drawn * count)

    def put_back(self) -> None:
        """The newest draw has not been: the next is the same."""
        self._is_kept = True


class ShuffledLane:
    """What the scheduler uses of a deque, in another order.

    >>> lane = ShuffledLane(Chance(stream(7, "", "shuffle")))                # doctest: +SKIP
    >>> lane.append((agent, message))                                       # doctest: +SKIP
    """

    __slots__ = ("_chance", "_count", "_entries", "_front", "_keys", "_newest")

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._newest: tuple[int, bool] | None = None  # the place of the newest pick, and whether it was drawn
        self._front: deque[Entry] = deque()
        self._keys: list[Any] = []  # those that have entries, in an order that only chance and arrivals made
        self._entries: dict[Any, deque[Entry]] = {}
        self._count = 0

    def append(self, entry: Entry) -> None:
        """Put it behind what its agent has there."""
        key = _key(entry[0])
        entries = self._entries.get(key)
        if entries is None:
            entries = self._entries[key] = deque()
            self._keys.append(key)
        entries.append(entry)
        self._count += 1

    def appendleft(self, entry: Entry) -> None:
        """It is next."""
        self._front.appendleft(entry)
        self._count += 1

    def popleft(self) -> Entry:
        """The next one: of any agent, its first."""
        self._count -= 1
        if self._front:
            self._newest = None
            return self._front.popleft()
        keys = self._keys
        is_drawn = len(keys) > 1
        place = self._chance.pick(len(keys)) if is_drawn else 0
        self._newest = place, is_drawn
        key = keys[place]
        entries = self._entries[key]
        entry = entries.popleft()
        if not entries:
            del self._entries[key]
            keys[place] = keys[-1]
            keys.pop()
        return entry

    def remove(self, entry: Entry) -> None:
        """It never came: the others are drawn as if it had not."""
        key = _key(entry[0])
        entries = self._entries[key]
        entries.remove(entry)
        self._count -= 1
        if not entries:
            del self._entries[key]
            self._keys.remove(key)

    def put_back(self, entry: Entry) -> None:
        """An action that was picked just now, and was too early, was not: what comes meanwhile may go before it."""
        if self._newest is None:
            self.appendleft(entry)
            return
        place, is_drawn = self._newest
        keys, key = self._keys, entry[0]
        keys.append(key)
        keys[place], keys[-1] = keys[-1], keys[place]  # the last key had taken its place
        self._entries[key] = deque((entry,))
        self._count += 1
        if is_drawn:
            self._chance.put_back()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        yield from self._front
        for key in self._keys:
            yield from self._entries[key]

    def clear(self) -> None:
        """Drop everything."""
        self._front.clear()
        self._keys.clear()
        self._entries.clear()
        self._count = 0

    def extend(self, entries: Iterable[Entry]) -> None:
        """Append each."""
        for entry in entries:
            self.append(entry)


def _key(target: Any) -> Any:
    """Whose entry it is: of an agent by its number, since its class may say which agents are equal."""
    return target if target._mode == ACTION else (target.agent if target._mode == ACTIVITY else target)._number
