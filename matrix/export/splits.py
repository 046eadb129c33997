"""Splits: which rows are to train on, and which to test with.

What always holds: a family, a simulation with all its forks, is in one split, so that no test shares a beginning with
what was trained on. Which one follows from the family's id and the seed alone: it stays where it is when the store
grows, and in whatever order it is read. Each family falls into ``test`` with that probability by itself, so of few
families the shares are rough, and a split may stay empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from matrix.errors import UsageError

TRAIN: Final = "train"
TEST: Final = "test"
VALIDATION: Final = "validation"


@dataclass(frozen=True, slots=True)
class Splits:
    """Shares of the families, from 0 to below 1; what is left is to train on.

    >>> splits = Splits(test=0.25)
    >>> [splits.of(family) for family in ("1-7", "1-8", "1-9", "1-10")]
    ['train', 'test', 'test', 'train']
    """

    test: float = 0.0
    validation: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, share in ((TEST, self.test), (VALIDATION, self.validation)):
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
                raise UsageError(f"the share of {name} is a number from 0 to below 1 (0.1 is a tenth), not {share!r}")
        if self.test + self.validation >= 1:
            raise UsageError(f"test ({self.test}) and validation ({self.validation}) leave nothing to train on")
        if type(self.seed) is not int:
            raise UsageError(f"the seed of the splits is a whole number, not {self.seed!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """The splits that were asked for."""
        return (TRAIN, *([VALIDATION] if self.validation else []), *([TEST] if self.test else []))

    def of(self, family: str) -> str:
        """The split of a family, by the id of the simulation at its root."""
        if len(self.names) == 1:
            return TRAIN
        digest = blake2b(f"{self.seed}\0{family}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        place = int.from_bytes(digest) / 2**64
        if place < self.test:
            return TEST
        return VALIDATION if place < self.test + self.validation else TRAIN
