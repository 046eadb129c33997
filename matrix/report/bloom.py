"""A set of n-grams in a fixed number of bits, that answers "certainly not" or "very likely".

B. Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors" (1970). What always holds: what was added is
found; of what was not, about as large a share is found as ``false_positives`` says, which is measured, not assumed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matrix.limits import REPORT_FILTER_BITS_MAX, REPORT_FILTER_BITS_MIN
from matrix.report.words import Hashes, mixed

_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1)  # in each byte
_PROBES = 4
_BITS_PER_ITEM = 12  # at four probes 0.6 % of what is not there is found, at most: sizes are powers of two


class Filter:
    """Room for about ``items`` numbers, of 12 to 24 bits each, up to 512 MiB in all."""

    def __init__(self, items: int) -> None:
        bits = REPORT_FILTER_BITS_MIN
        while bits < min(items * _BITS_PER_ITEM, REPORT_FILTER_BITS_MAX):
            bits *= 2
        self.bits = bits
        self._bytes = np.zeros(bits // 8, np.uint8)

    def add(self, hashes: Hashes) -> None:
        """Put numbers in."""
        for places in self._probes(hashes):
            np.bitwise_or.at(self._bytes, places >> np.uint64(3), _bit(places))

    def has(self, hashes: Hashes) -> NDArray[np.bool_]:
        """For each number whether it is in."""
        found = np.ones(len(hashes), np.bool_)
        for places in self._probes(hashes):
            found &= (self._bytes[places >> np.uint64(3)] & _bit(places)) != 0
        return found

    @property
    def false_positives(self) -> float:
        """The share of numbers that are not in, and are found all the same."""
        ones = sum(int(_ONES[part].sum()) for part in np.array_split(self._bytes, 64))
        return float((ones / self.bits) ** _PROBES)

    def _probes(self, hashes: Hashes) -> list[Hashes]:
        # Two halves of one number make as good places as four numbers would (Kirsch and Mitzenmacher, 2006).
        one, other = mixed(hashes), mixed(hashes ^ np.uint64(0xA5A5A5A5A5A5A5A5)) | np.uint64(1)
        mask = np.uint64(self.bits - 1)
        return [(one + np.uint64(k) * other) & mask for k in range(_PROBES)]


def _bit(places: Hashes) -> NDArray[np.uint8]:
    return np.left_shift(np.uint8(1), (places & np.uint64(7)).astype(np.uint8))
