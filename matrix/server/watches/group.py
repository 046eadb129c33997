"""Those who watch the same at the same place: rows are looked for once, and go to each of them.

What always holds: a member has been given every row up to the group's position; one that is full leaves, so that it
neither holds up the others nor misses anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matrix.server.watches.member import Member
from matrix.server.watches.page import Page
from matrix.server.watches.splice import Spliced
from matrix.server.watches.words import Subscription


class Group:
    """Members of one feed."""

    def __init__(self, subscription: Subscription, members: Sequence[Member], *, after: str | None) -> None:
        self.subscription, self.members = subscription, list(members)
        self.position = after  # None: from now on, and that has not begun
        self.number = 0  # of its feed, in the process that looks
        self.is_slow = False
        self.crashes = 0  # of that process in a look at this feed, one after the other
        self._schema: Spliced | None = None
        self._notices: list[str] = []
        self._goes_on = False  # what was begun before, in another process or another group
        for member in self.members:
            member.group = self

    def begin(self, schema: Spliced, position: str | None) -> None:
        """The feed has begun; it may have before, in a process that is gone."""
        if self.position is None:
            self.position = position
        self._goes_on = any(member.has_begun for member in self.members)
        if self._schema is None:
            self._schema = schema
            for member in self.members:
                member.begin(schema, self.position)

    def take_in(self, others: Group) -> None:
        """The members of another group have come to the same place."""
        assert self._schema is not None, "others join a feed that has begun"
        for member in others.members:
            member.group = self
            member.begin(self._schema, self.position)
            member.add_notices(self._notices)
        self.members += others.members
        others.members.clear()

    def add_page(self, page: Page) -> list[Member]:
        """Rows for all; the members that fell behind with them are returned, and are members no longer."""
        fallen: list[Member] = []
        for member in self.members:
            if member.is_full and len(fallen) < len(self.members) - 1:
                member.group = None
                fallen.append(member)
            else:
                member.add_page(page)
        self.members = [member for member in self.members if member.group is self]
        return fallen

    def add_notices(self, texts: Sequence[str], *, at_first: bool) -> None:
        """Remarks for all, and for those who come later; the first ones only once, although they may have changed."""
        if at_first and self._goes_on:
            return
        self._notices += [text for text in texts if text not in self._notices]
        for member in self.members:
            member.add_notices(texts)

    def add_position(self, position: str) -> None:
        """How far the feed has looked."""
        self.position = position
        for member in self.members:
            member.add_position(position)

    def end(self, error: Mapping[str, Any] | None) -> None:
        """Nothing more comes."""
        for member in self.members:
            member.group = None
            member.end(error)
        self.members.clear()
