"""MinHash signatures: a set as 128 numbers, of which as large a share is equal in two sets as these have in common.

The idea is A. Broder's ("On the resemblance and containment of documents", 1997); the numbers are datasketch's. A
signature is cut into bands, and sets that agree in a whole band are looked at (Leskovec, Rajaraman and Ullman, "Mining
of Massive Datasets", chapter 3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from matrix.errors import UsageError
from matrix.limits import REPORT_SIGNED_AT_ONCE
from matrix.report.words import Hashes, mixed

Signature = NDArray[np.uint64] | NDArray[np.uint32]

PERMUTATIONS = 128
_SEED = 1
MISSED_MAX = 0.001  # of pairs that are just as alike as the threshold says


class Signer:
    """Makes signatures of sets of hashed shingles.

    Raises ``UsageError`` where datasketch is not installed.
    """

    def __init__(self, permutations: int = PERMUTATIONS) -> None:
        try:
            from datasketch import MinHash
        except ImportError as error:
            raise UsageError(
                "near duplicates and nearest passages need datasketch: pip install 'matrix-runtime[report]'"
            ) from error
        if type(permutations) is not int or not 16 <= permutations <= 1_024:
            raise UsageError(f"permutations is a whole number from 16 to 1024, not {permutations!r}")
        self.permutations = permutations
        self._minhash: Any = MinHash(num_perm=permutations, seed=_SEED, hashfunc=int)

    def sign(self, shingles: Hashes) -> Signature:
        """The signature of a set."""
        self._minhash.clear()
        narrow = shingles >> np.uint64(32)  # what datasketch permutes has 32 bits
        for begin in range(0, len(narrow), REPORT_SIGNED_AT_ONCE):
            self._minhash.update_batch(narrow[begin : begin + REPORT_SIGNED_AT_ONCE].tolist())
        found: Signature = self._minhash.hashvalues.copy()
        return found


def band_rows(threshold: float, permutations: int) -> int:
    """How many values a band has: as many as leave a pair right at the threshold missed once in a thousand at most.

    >>> band_rows(0.8, 128)  # 25 bands of 5: one in 20,000
    5
    """
    for rows in range(permutations // 2, 1, -1):
        if (1 - threshold**rows) ** (permutations // rows) <= MISSED_MAX:
            return rows
    return 1


def bands(signature: Signature, rows: int) -> Hashes:
    """One number for each band of ``rows`` values: the values in their order, and which band it is."""
    count = len(signature) // rows
    values = signature[: count * rows].reshape(count, rows).astype(np.uint64)
    found = np.arange(1, count + 1, dtype=np.uint64)
    for k in range(rows):
        found = mixed(found * np.uint64(0x9E3779B97F4A7C15) + values[:, k])
    return found
