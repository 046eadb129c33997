"""How alike rows are to each other, on a sample: the mean over all pairs, and over each row's nearest other row.

The question is that of Self-BLEU (Zhu et al., "Texygen", 2018): how much of a text is said by others of the same set.
Self-BLEU compares each text with all others at a cost that grows with their product; here it is the share of word
pairs (2-grams of the agent's own words) that two rows have in common, of those in either (Jaccard). The sample is
those rows whose numbers, well mixed, are lowest: the same for the same rows, and like one drawn by chance.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matrix.report.rows import Seen
from matrix.report.tally import Tally
from matrix.report.words import Hashes, different, mixed

SAMPLE_ROWS = 1_000
WORDS = 2
_COLUMNS = 8_192  # n-grams that are looked at together, in all rows of the sample


def lot(number: int) -> int:
    """A row's place in the draw: the rows with the lowest ones are the sample."""
    return int(mixed(np.array([number + 1], np.uint64))[0])


class Similarity:
    """Takes rows, and has the figures when all were taken."""

    def __init__(self, sample: int = SAMPLE_ROWS) -> None:
        self._sample = sample
        self._drawn: list[tuple[int, int, Hashes]] = []  # the highest lot first: a heap of negated ones

    def take(self, row: Seen) -> None:
        """Look at one row; one without two words in a message is not compared."""
        place = -lot(row.number)
        if len(self._drawn) == self._sample and place < self._drawn[0][0]:
            return
        grams = different(row.grams[WORDS])
        if len(grams):
            heapq.heappush(self._drawn, (place, row.number, grams))
            if len(self._drawn) > self._sample:
                heapq.heappop(self._drawn)

    def figures(self) -> dict[str, Any]:
        """rows, and of ``pairs`` and ``nearest`` mean, quantiles and histogram (of all pairs: mean and quantiles)."""
        drawn = sorted(self._drawn, key=lambda one: one[1])
        if len(drawn) < 2:
            return {"rows": len(drawn), "pairs": None, "nearest": None}
        alike = jaccards([grams for _, _, grams in drawn])
        above = alike[np.triu_indices(len(drawn), 1)]
        np.fill_diagonal(alike, -1)
        nearest = Tally()
        for value in np.round(alike.max(axis=1), 4).tolist():
            nearest.add(value)
        names = {f"p{share}": round(float(np.percentile(above, share)), 4) for share in (50, 95)}
        pairs = {"mean": round(float(above.mean()), 4), **names, "max": round(float(above.max()), 4)}
        return {"rows": len(drawn), "pairs": pairs, "nearest": nearest.figures()}


def jaccards(sets: list[Hashes]) -> NDArray[np.float64]:
    """What each set has in common with each other one; on the diagonal 1."""
    sizes = np.array([len(some) for some in sets], np.float64)
    owners = np.repeat(np.arange(len(sets)), sizes.astype(np.int64))
    _, columns, times = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
    shared = times[columns] > 1  # what only one row says is in common with none
    owners, columns = owners[shared], np.unique(columns[shared], return_inverse=True)[1]
    both = np.zeros((len(sets), len(sets)), np.float64)
    order = np.argsort(columns, kind="stable")
    owners, columns = owners[order], columns[order]
    for begin in range(0, int(columns[-1]) + 1 if len(columns) else 0, _COLUMNS):
        first, last = np.searchsorted(columns, [begin, begin + _COLUMNS])
        part = np.zeros((len(sets), _COLUMNS), np.float32)
        part[owners[first:last], columns[first:last] - begin] = 1
        both += part @ part.T  # counts below 2^24 are exact
    np.fill_diagonal(both, sizes)
    found: NDArray[np.float64] = both / (sizes[:, None] + sizes[None, :] - both)
    return found
