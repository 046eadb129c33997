"""How many different n-grams there are, in bounded memory.

Exact up to ``REPORT_DISTINCT_KEPT_MAX`` different ones. Of more, only those are kept whose number lies in the lowest
half (quarter, and so on) of all numbers, and the count is scaled up: numbers are spread evenly, so with half a million
kept the standard error is about 0.14 %.
"""

from __future__ import annotations

import numpy as np

from matrix.limits import REPORT_DISTINCT_KEPT_MAX
from matrix.report.words import Hashes, different, mixed

_PENDING_MAX = 131_072


class Distinct:
    """Counts different numbers among those it is given."""

    def __init__(self) -> None:
        self._kept: Hashes = np.empty(0, np.uint64)
        self._pending: list[Hashes] = []
        self._pending_count = 0
        self._level = 0

    def add(self, hashes: Hashes) -> None:
        """Count these."""
        self._pending.append(hashes)
        self._pending_count += len(hashes)
        if self._pending_count > max(_PENDING_MAX, len(self._kept) // 2):
            self._merge()

    @property
    def count(self) -> int:
        """How many different ones there were; an estimate where ``is_estimate`` says so."""
        self._merge()
        return len(self._kept) << self._level

    @property
    def is_estimate(self) -> bool:
        """Whether there were more than are kept."""
        self._merge()
        return self._level > 0

    def _merge(self) -> None:
        if not self._pending:
            return
        new = self._low(mixed(np.concatenate(self._pending)))
        self._pending, self._pending_count = [], 0
        self._kept = different(np.concatenate([self._kept, new]))
        while len(self._kept) > REPORT_DISTINCT_KEPT_MAX:
            self._level += 1
            self._kept = self._low(self._kept)

    def _low(self, hashes: Hashes) -> Hashes:
        return hashes[hashes >> np.uint64(64 - self._level) == 0] if self._level else hashes
