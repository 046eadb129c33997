"""Words and n-grams of texts as numbers, on which all figures are worked out.

What always holds: a text has the same words and the same numbers on every machine and in every process (Python's own
``hash`` differs from one to the next and is not used), and numbers have 64 bits: among a hundred million different
n-grams about one pair in 3,700 reports shares a number.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from matrix.limits import REPORT_WORDS_KEPT_MAX

Hashes = NDArray[np.uint64]

#: Begins a line of a compared text that is the agent's own: the same words of another count as other words.
OWN = "\x02"

_OWN_MASK = np.uint64(0x5851F42D4C957F2D)
_STEP = np.uint64(0x9E3779B97F4A7C15)
# Kana and Chinese characters are words by themselves: nothing between them says where a word ends.
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+")


def words(text: str) -> list[str]:
    """The words of a text: runs of letters and digits, case folded, compatible forms made one (NFKC).

    >>> words("The  GATE is shut, isn't it?")
    ['the', 'gate', 'is', 'shut', 'isn', 't', 'it']
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _WORD.findall(text.casefold())


def normalised(text: str) -> str:
    """A text with case folded and each run of white space made one space: equal for exact duplicates.

    >>> normalised("Good  morning,\\n Ada ")
    'good morning, ada'
    """
    return " ".join(text.casefold().split())


class WordHashes(dict[str, int]):
    """64-bit numbers of words, remembered while there are not too many."""

    def __missing__(self, word: str) -> int:
        if len(self) >= REPORT_WORDS_KEPT_MAX:
            self.clear()
        # A lone surrogate, which JSON may hold, is no UTF-8.
        found = self[word] = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        return found

    def of(self, some: list[str]) -> Hashes:
        """The numbers of words, in their order."""
        return np.fromiter(map(self.__getitem__, some), np.uint64, len(some))

    def of_lines(self, text: str) -> Hashes:
        """The numbers of a compared text's words; those in lines that begin with ``OWN`` are told apart."""
        parts = []
        for line in text.split("\n"):
            found = self.of(words(line))
            parts.append(found ^ _OWN_MASK if line.startswith(OWN) else found)
        return np.concatenate(parts)


def mixed(values: Hashes) -> Hashes:
    """Numbers whose bits all depend on all bits (the finalizer of MurmurHash3): different ones stay different."""
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xFF51AFD7ED558CCD)
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


def ngrams(hashes: Hashes, n: int) -> Hashes:
    """The numbers of a text's n-grams in their order, ``len(hashes) - n + 1`` of them; none of fewer than n words."""
    return ngrams_of([hashes], (n,))[n]


def ngrams_of(parts: Sequence[Hashes], sizes: Collection[int]) -> dict[int, Hashes]:
    """By size the n-grams of several parts, of one part after the other; none reaches from one into the next.

    One word more is one step more for all n-grams at once, so many sizes cost little more than the greatest.
    """
    hashes = np.concatenate([np.empty(0, np.uint64), *parts])
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    grams, found = mixed(hashes), {}
    for n in range(1, max(sizes) + 1):
        if n > 1:
            grams = mixed(grams[:-1] * _STEP + hashes[n - 1 :])
        if n in sizes:
            found[n] = grams[owner[: len(grams)] == owner[n - 1 :]]
    return found


def different(hashes: Hashes) -> Hashes:
    """The different numbers among some, sorted. (numpy's ``unique`` hashes these, and takes five times as long.)"""
    ordered = np.sort(hashes)
    is_new = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    return ordered[is_new]


def shingles(hashes: Hashes, n: int) -> Hashes:
    """The set of a text's n-grams, sorted; of a text of fewer words than ``n`` its one n-gram of all of them."""
    return different(ngrams(hashes, min(n, max(len(hashes), 1))))


def jaccard(one: Hashes, other: Hashes) -> float:
    """What two sets share: the size of what is in both through that of what is in either, 0 for two empty ones."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    either = len(one) + len(other) - both
    return both / either if either else 0.0
