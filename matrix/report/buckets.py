"""Which earlier sets agree with one in a band of their signatures: the buckets of locality-sensitive hashing.

datasketch's own index keeps a Python set for each bucket, some 300 bytes for each band of each text. Here most buckets
lie in two sorted arrays, 12 bytes for each, and only the newest are a dict.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matrix.limits import REPORT_RECENT_TEXTS
from matrix.report.words import Hashes

Numbers = NDArray[np.int32]


class Buckets:
    """Sets by the bands of their signatures."""

    def __init__(self) -> None:
        self._keys: Hashes = np.empty(0, np.uint64)
        self._numbers: Numbers = np.empty(0, np.int32)
        self._recent: dict[int, list[int]] = {}
        self._recent_texts = 0
        self._texts = 0

    def add(self, number: int, keys: Hashes) -> None:
        """Remember a set by its number and its bands."""
        for key in keys.tolist():
            self._recent.setdefault(key, []).append(number)
        self._texts += 1
        self._recent_texts += 1
        if self._recent_texts > max(REPORT_RECENT_TEXTS, self._texts // 8):
            self._sort()

    def alike(self, keys: Hashes) -> Numbers:
        """The numbers of the sets that agree in some band, in rising order."""
        recent = [number for key in keys.tolist() for number in self._recent.get(key, ())]
        found = [np.asarray(recent, np.int32)]
        if len(self._keys):
            begins = np.searchsorted(self._keys, keys, "left")
            ends = np.searchsorted(self._keys, keys, "right")
            found += [self._numbers[begin:end] for begin, end in zip(begins, ends) if begin < end]
        return np.unique(np.concatenate(found))

    def _sort(self) -> None:
        count = sum(map(len, self._recent.values()))
        keys = np.fromiter((key for key, some in self._recent.items() for _ in some), np.uint64, count)
        numbers = np.fromiter((number for some in self._recent.values() for number in some), np.int32, count)
        self._recent, self._recent_texts = {}, 0
        keys, numbers = np.concatenate([self._keys, keys]), np.concatenate([self._numbers, numbers])
        order = np.argsort(keys, kind="stable")
        self._keys, self._numbers = keys[order], numbers[order]
