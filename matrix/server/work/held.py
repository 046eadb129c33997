"""Batches that are made and not yet sent: how many bytes of them the server holds, in all and of one client."""

from __future__ import annotations

from collections import Counter

import trio


class Held:
    """Counts bytes in hand; who would make more waits while there are too many."""

    def __init__(self, *, most: int, most_per_client: int) -> None:
        self._most, self._most_per_client = most, most_per_client
        self._by_client: Counter[int] = Counter()
        self._less = trio.Event()
        self.size_bytes = 0

    def has_room(self, client: object) -> bool:
        """Whether more may be made for a client."""
        return self.size_bytes < self._most and self._by_client[id(client)] < self._most_per_client

    async def wait_for_room(self, client: object) -> None:
        """Wait until there is."""
        while not self.has_room(client):
            await self._less.wait()

    def take(self, client: object, size: int) -> None:
        """So much more is in hand."""
        self.size_bytes += size
        self._by_client[id(client)] += size

    def give_back(self, client: object, size: int) -> None:
        """So much is sent, or for nobody."""
        self.size_bytes -= size
        self._by_client[id(client)] -= size
        if not self._by_client[id(client)]:
            del self._by_client[id(client)]
        self._less.set()
        self._less = trio.Event()
