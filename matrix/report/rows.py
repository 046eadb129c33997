"""One row of chat as the meters of a report look at it: its names, its outcome, its own words as numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from matrix.report.texts import own_texts
from matrix.report.words import Hashes, WordHashes, ngrams_of, words

EXCERPT_CHARS = 280
NOBODY = "(none)"


@dataclass(frozen=True, slots=True)
class Seen:
    """A row: ``number`` counts from 0; ``own`` are the words of each message of the agent's, ``hashes`` their numbers.

    ``grams`` are the n-grams of these by n, which do not reach from one message into the next.
    """

    number: int
    simulation: str
    agent: str
    role: str
    outcome: str | None
    reward: float | None
    messages: Sequence[Mapping[str, Any]]
    own: Sequence[list[str]]
    hashes: Sequence[Hashes]
    grams: Mapping[int, Hashes]

    @property
    def place(self) -> dict[str, Any]:
        """By which the row is found again."""
        return {"row": self.number, "simulation": self.simulation, "agent": self.agent}

    @property
    def own_words(self) -> int:
        """How many words the agent said."""
        return sum(map(len, self.hashes))

    def own_hashes(self) -> Hashes:
        """All of the agent's words as numbers, one message after the other."""
        return np.concatenate([np.empty(0, np.uint64), *self.hashes])


def seen(number: int, data: Mapping[str, Any], hashes: WordHashes, sizes: Collection[int]) -> Seen:
    """A row of chat, looked at; ``sizes`` are those of its n-grams."""
    messages = data.get("messages") or ()
    own = [words(text) for text in own_texts(messages)]
    numbers = [hashes.of(some) for some in own]
    reward = data.get("reward")
    return Seen(
        number,
        simulation=str(data.get("simulation") or ""),
        agent=str(data.get("agent") or ""),
        role=str(data.get("role") or NOBODY),
        outcome=None if data.get("outcome") is None else str(data["outcome"]),
        reward=float(reward) if isinstance(reward, int | float) and not isinstance(reward, bool) else None,
        messages=messages,
        own=own,
        hashes=numbers,
        grams=ngrams_of(numbers, sizes),
    )


def excerpt(text: str, chars: int = EXCERPT_CHARS) -> str:
    """The beginning of a text on one line.

    >>> excerpt("One\\n two three", 8)
    'One two…'
    """
    text = " ".join(text[: 4 * chars].split())
    return text if len(text) <= chars else text[: chars - 1].rstrip() + "…"
