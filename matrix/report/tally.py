"""How often each value of a measure occurs, and its distribution in figures: mean, quantiles, histogram.

What always holds: memory is that of the different values, not of the rows; quantiles are values that occur (nearest
rank), so that they can be checked by counting.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS_MAX = 24


class Tally:
    """Counts values.

    >>> tally = Tally()
    >>> for value in (3, 1, 2, 2): tally.add(value)
    >>> tally.quantile(0.5), tally.mean
    (2, 2.0)
    """

    def __init__(self) -> None:
        self._times: Counter[float] = Counter()

    def add(self, value: float, times: int = 1) -> None:
        """Count a value."""
        self._times[value] += times

    @property
    def count(self) -> int:
        """How many values were counted."""
        return self._times.total()

    @property
    def mean(self) -> float:
        """Their mean; 0 of none."""
        return math.fsum(value * times for value, times in sorted(self._times.items())) / max(self.count, 1)

    def quantile(self, share: float) -> float | None:
        """The least value that is not exceeded by this share of all; None of none."""
        wanted, seen = math.ceil(share * self.count), 0
        for value in sorted(self._times):
            seen += self._times[value]
            if seen >= wanted:
                return value
        return None

    def figures(self) -> dict[str, Any]:
        """count mean min p5 p25 p50 p75 p95 max histogram; the bins of that are ``[from, to)``, with their counts."""
        names = {f"p{round(share * 100)}": self.quantile(share) for share in QUANTILES}
        values = sorted(self._times)
        ends = {"min": values[0], "max": values[-1]} if values else {"min": None, "max": None}
        mean = round(self.mean, 4) if values else None
        return {"count": self.count, "mean": mean, "min": ends["min"], **names, "max": ends["max"]} | {
            "histogram": self.histogram()
        }

    def histogram(self) -> list[dict[str, float]]:
        """At most 24 bins of one width, a round number, from the least value on; the last one holds what is above.

        Values beyond the 99th percentile would leave most of the picture empty, so the last bin ends at the maximum.
        """
        if not self._times:
            return []
        low, top, high = min(self._times), self.quantile(0.99), max(self._times)
        assert top is not None, "there are values"
        is_whole = all(value == int(value) for value in self._times)
        step = round_step((top - low) / (BINS_MAX - 1), is_whole=is_whole)
        begin = math.floor(low / step + 1e-9)
        last = max(math.floor(top / step + 1e-9), begin)
        counts = [0] * (last - begin + 1)
        for value, times in self._times.items():
            counts[min(math.floor(value / step + 1e-9), last) - begin] += times
        edges = [round((begin + k) * step, 6) for k in range(len(counts) + 1)]
        edges[-1] = max(edges[-1], high + step if high >= edges[-1] and is_whole else high)
        return [{"from": edges[k], "to": edges[k + 1], "count": count} for k, count in enumerate(counts)]


def round_step(least: float, *, is_whole: bool) -> float:
    """The least of 1, 2, 5, 10, 20, ... (and of their tenths and so on, unless values are whole) that is not less.

    >>> round_step(3.2, is_whole=True), round_step(0.013, is_whole=False)
    (5, 0.02)
    """
    if is_whole and least <= 1:
        return 1
    if least <= 0:
        return 0.05
    if not is_whole:
        least = max(least, 1e-6)  # edges have six digits
    power = 10.0 ** math.floor(math.log10(least))
    found = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
    return round(found) if is_whole else round(found, 9)
