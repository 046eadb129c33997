"""Which texts say again what an earlier one said, to the word or nearly.

What always holds: an exact duplicate (equal but for case and white space) is always found; a near one is only called
so when the sets of word 5-grams of both were compared and have at least the threshold in common, so that MinHash and
its buckets, which propose what to compare, can make nothing a duplicate that is none. What they miss of pairs right at
the threshold is one in a thousand at most, and less above it. A text without a word in it is only compared exactly, an
empty one not at all. Shingles of five words and a threshold of 0.8 are those of Lee et al., "Deduplicating Training
Data Makes Language Models Better" (2022).

Memory for each text: about 1.2 kB (128 values of 4 bytes, 25 bands of 12, a digest); of the newest 4,096 up to 5 kB
more, since their bands are not yet sorted. On disk 8 bytes for each of its different shingles, in a file without a
name once all together have 64 MiB.
"""

from __future__ import annotations

import math
from array import array
from hashlib import blake2b
from types import TracebackType
from typing import NamedTuple

import numpy as np

from matrix.errors import UsageError
from matrix.limits import REPORT_CANDIDATES_MAX, REPORT_SETS_MEMORY_BYTES
from matrix.report.buckets import Buckets, Numbers
from matrix.report.signature import PERMUTATIONS, Signature, Signer, band_rows, bands
from matrix.report.spool import Spool
from matrix.report.words import Hashes, WordHashes, jaccard, normalised, shingles

THRESHOLD = 0.8
SHINGLE_WORDS = 5


class Match(NamedTuple):
    """The earlier text that one repeats, by its number.

    ``similarity``: how much of both is the same (0 to 1). ``is_exact``: it is equal to that one, or to another text
    that repeats the same one.
    """

    first: int
    similarity: float
    is_exact: bool


class Duplicates:
    """Remembers texts that say something new, and says of the others which one they repeat.

    >>> seen = Duplicates(threshold=0.8)
    >>> [seen.first_of(text) for text in ("Where is my order?", "I want it back.", "where is  my ORDER?")]
    [None, None, 0]

    ``threshold``: share of word n-grams, of those in either text, that are in both (Jaccard), above 0 and up to 1.
    Texts have numbers by the order in which they come, from 0. Lines that begin with ``matrix.report.words.OWN`` are
    the agent's own words, and never the same as those of others. Raises ``UsageError`` without datasketch.
    """

    def __init__(
        self, *, threshold: float = THRESHOLD, words: int = SHINGLE_WORDS, permutations: int = PERMUTATIONS
    ) -> None:
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
            raise UsageError(f"the threshold of near duplicates is a number above 0 and up to 1, not {threshold!r}")
        if type(words) is not int or words < 1:
            raise UsageError(f"a shingle has a whole number of words, 1 or more, not {words!r}")
        self.threshold, self.words = float(threshold), words
        self.count = 0
        self._signer = Signer(permutations)
        self._rows = band_rows(self.threshold, permutations)
        self._least_equal = _least_equal(self.threshold, permutations)
        self._hashes = WordHashes()
        self._exact: dict[bytes, Match] = {}  # what is said of a text when it comes again, by its digest
        self._buckets = Buckets()
        self._kept = _Kept(permutations)

    def first_of(self, text: str) -> int | None:
        """The number of the earlier text that this one repeats; None when it is new, and it is remembered."""
        match = self.find(text)
        return None if match is None else match.first

    def find(self, text: str) -> Match | None:
        """The same, with how alike the two are."""
        number = self.count
        self.count += 1
        plain = normalised(text)
        if not plain:
            return None
        digest = blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = self._exact.get(digest)
        if known is not None:
            return known
        match = self._near(number, text)
        self._exact[digest] = Match(number, 1.0, True) if match is None else match._replace(is_exact=True)
        return match

    def _near(self, number: int, text: str) -> Match | None:
        found = self._hashes.of_lines(text)
        if not len(found):
            return None
        some = shingles(found, self.words)
        signature = self._signer.sign(some)
        keys = bands(signature, self._rows)
        for place in self._likely(self._buckets.alike(keys), signature, len(some)):
            similarity = jaccard(some, self._kept.shingles(place))
            if similarity >= self.threshold:
                return Match(self._kept.numbers[place], similarity, False)
        self._buckets.add(self._kept.add(number, some, signature), keys)
        return None

    def _likely(self, places: Numbers, signature: Signature, size: int) -> list[int]:
        """Those that can reach the threshold, the likeliest first."""
        if not len(places):
            return []
        sizes = self._kept.sizes(places)
        places = places[np.minimum(sizes, size) >= self.threshold * np.maximum(sizes, size) - 1e-9]
        equal = self._kept.equal_values(places, signature)
        places, equal = places[equal >= self._least_equal], equal[equal >= self._least_equal]
        found: list[int] = places[np.argsort(-equal, kind="stable")][:REPORT_CANDIDATES_MAX].tolist()
        return found

    def close(self) -> None:
        """Let go of the file; closing twice is nothing."""
        self._kept.close()

    def __enter__(self) -> Duplicates:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _least_equal(threshold: float, permutations: int) -> float:
    """Equal values below which a pair is not worth comparing: four standard deviations under the expectation."""
    return permutations * threshold - 4 * math.sqrt(permutations * threshold * (1 - threshold))


class _Kept:
    """What is kept of texts that were new, by their place among these: number, signature, shingles."""

    def __init__(self, permutations: int) -> None:
        self.numbers = array("q")
        self._signatures = np.empty((64, permutations), np.uint32)
        self._ends = np.zeros(65, np.int64)  # of each set in the file, counted in shingles
        self._spool = Spool(REPORT_SETS_MEMORY_BYTES)
        self.close = self._spool.close

    def add(self, number: int, shingles: Hashes, signature: Signature) -> int:
        place = len(self.numbers)
        if place == len(self._signatures):
            more = np.empty((place // 2, self._signatures.shape[1]), np.uint32)
            self._signatures = np.concatenate([self._signatures, more])
            self._ends = np.concatenate([self._ends, np.zeros(place // 2, np.int64)])
        self._spool.write(int(self._ends[place]) * 8, shingles.tobytes())
        self._ends[place + 1] = self._ends[place] + len(shingles)
        self._signatures[place] = signature
        self.numbers.append(number)
        return place

    def shingles(self, place: int) -> Hashes:
        begin, end = int(self._ends[place]), int(self._ends[place + 1])
        return np.frombuffer(self._spool.read(begin * 8, (end - begin) * 8), np.uint64)

    def sizes(self, places: Numbers) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return self._ends[places + 1] - self._ends[places]

    def equal_values(self, places: Numbers, signature: Signature) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        found: np.ndarray[tuple[int], np.dtype[np.int64]] = (self._signatures[places] == signature).sum(axis=1)
        return found
