"""A reference corpus as a report asks it: which n-grams are in it, and which of its passages is nearest to a text.

What always holds: memory is bounded, whatever the size: n-grams of 3 to 8 words lie in a Bloom filter of at most
512 MiB, whose share of wrong answers is measured and told; of passages there are at most 200,000, with a signature of
512 bytes each, and their texts lie on disk. A hundred megabytes of text (23 million words) make a filter of 256 MiB, of
whose answers on what is not in it one in 400 is wrong.

``real_text`` is what real text scores: some passages are held back, looked up in the filter while it holds all others,
and only then added. It is what "much" and "little" are to be measured by.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from matrix.errors import UsageError
from matrix.limits import REPORT_PASSAGES_MAX
from matrix.report.bloom import Filter
from matrix.report.reference import Progress, ReferenceFile, opened
from matrix.report.shelf import Shelf
from matrix.report.signature import PERMUTATIONS, Signer
from matrix.report.words import Hashes, WordHashes, jaccard, ngrams_of, shingles, words

SIZES = (3, 4, 5, 6, 7, 8)
PASSAGE_WORDS = 100
SHINGLE_WORDS = 3
_STRETCH_WORDS = 65_536  # of which n-grams are made together
_HELD_BACK_MAX = 1_000
_HELD_BACK_EVERY = 20  # of passages: no more than a twentieth is held back
_TRIED = 8  # of the passages with the most equal values, compared in full


class Nearest(NamedTuple):
    """The passage that shares most with a text, and how much of both it is (Jaccard of 3-grams)."""

    file: str
    passage: int
    similarity: float
    text: str


class Corpus:
    """A reference, read in. Raises ``UsageError`` for a file that cannot be read and for one without a word."""

    def __init__(self, paths: Sequence[str | Path], progress: Progress | None = None) -> None:
        self.files = opened(paths, progress)
        self._hashes = WordHashes()
        self._signer = Signer()
        self.words = sum(self._count(file) for file in self.files)
        self.passage_words = max(PASSAGE_WORDS, -(-self.words // REPORT_PASSAGES_MAX))
        self._filter = Filter(self.words * len(SIZES))
        self._shelf = Shelf()
        self._names: list[tuple[int, str]] = []  # each file's first passage
        self._signatures = np.empty((1_024, PERMUTATIONS), np.uint32)
        self._held: dict[int, list[Hashes]] = {n: [] for n in SIZES}
        self._read()
        self.real_text = self._look_up_held()
        self.false_positives = self._filter.false_positives

    def _count(self, file: ReferenceFile) -> int:
        count = sum(len(words(passage.text)) for passage in file.passages(PASSAGE_WORDS))
        if not count:
            raise UsageError(
                f"{file.path}: there is no word in this reference. of JSON and JSON Lines the texts under "
                '"text", "content" and "utterance" count'
            )
        return count

    def _read(self) -> None:
        total = self.words // self.passage_words + 1
        every = max(_HELD_BACK_EVERY, total // _HELD_BACK_MAX)
        stretch = _Stretch()
        for file in self.files:
            self._names.append((len(self._shelf), self._name(file)))
            for passage in file.passages(self.passage_words):
                hashes = self._hashes.of(words(passage.text))
                place = self._keep(passage.text, hashes)
                stretch.add(hashes, passage.is_first, place % every == every // 2)
                if stretch.words >= _STRETCH_WORDS:
                    self._put_in(stretch)
        self._put_in(stretch)

    def _name(self, file: ReferenceFile) -> str:
        """The file's name; with its folder's where another has the same."""
        is_alone = sum(other.name == file.name for other in self.files) == 1
        return file.name if is_alone else f"{file.path.resolve().parent.name}/{file.name}"

    def _put_in(self, stretch: _Stretch) -> None:
        for n, (grams, is_held) in stretch.grams().items():
            self._filter.add(grams[~is_held])
            self._held[n].append(grams[is_held])

    def _keep(self, text: str, hashes: Hashes) -> int:
        place = self._shelf.add(text)
        if place == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.empty_like(self._signatures)])
        self._signatures[place] = self._signer.sign(shingles(hashes, SHINGLE_WORDS))
        return place

    def _look_up_held(self) -> dict[int, float] | None:
        """By n the share of the held back passages' n-grams that are in the others; None where none was held back."""
        held = {n: np.concatenate(some) for n, some in self._held.items()}
        shares = {n: float(self._filter.has(grams).mean()) for n, grams in held.items() if len(grams)}
        for grams in held.values():
            self._filter.add(grams)
        self._held = {}
        return shares or None

    def contained(self, grams: Hashes) -> int:
        """How many of some n-grams are in the reference."""
        return int(self._filter.has(grams).sum())

    def nearest(self, hashes: Hashes) -> Nearest | None:
        """The nearest passage to a text of about its length; None where none shares a 3-gram with it."""
        some = shingles(hashes, SHINGLE_WORDS)
        signature = self._signer.sign(some)
        equal = np.zeros(len(self._shelf), np.int64)
        for begin in range(0, len(equal), 16_384):
            part = self._signatures[begin : min(begin + 16_384, len(equal))]
            equal[begin : begin + len(part)] = (part == signature).sum(axis=1)
        likely = np.argsort(-equal, kind="stable")[:_TRIED]
        best, place = 0.0, -1
        for candidate in likely[equal[likely] > 0].tolist():
            there = shingles(self._hashes.of(words(self._shelf[candidate])), SHINGLE_WORDS)
            similarity = jaccard(some, there)
            if similarity > best:
                best, place = similarity, candidate
        if place < 0:
            return None
        first, name = next(one for one in reversed(self._names) if one[0] <= place)
        return Nearest(name, place - first, best, self._shelf[place])

    def figures(self) -> dict[str, Any]:
        """What the reference is: files, words, passages, and how far its answers can be trusted."""
        return {
            "files": [{"name": self._name(file), "bytes": file.size, "sha256": file.digest} for file in self.files],
            "words": self.words,
            "passages": len(self._shelf),
            "passage_words": self.passage_words,
            "filter_bits": self._filter.bits,
            "false_positives": round(self.false_positives, 8),
        }


class _Stretch:
    """Passages, of which n-grams are made together: these reach from one to the next, but not over documents."""

    def __init__(self) -> None:
        self.words = 0
        self._done = 0  # words at the beginning whose n-grams were made
        self._document = self._passage = 0
        self._parts: list[tuple[Hashes, int, int, bool]] = []

    def add(self, hashes: Hashes, is_first: bool, is_held: bool) -> None:
        """A passage; what is held back are the n-grams that lie inside of it."""
        self._document += is_first
        self._passage += 1
        self._parts.append((hashes, self._document, self._passage, is_held))
        self.words += len(hashes)

    def grams(self) -> dict[int, tuple[Hashes, NDArray[np.bool_]]]:
        """By size the n-grams that end behind those of the last time, and which are held back."""
        lengths = [len(part[0]) for part in self._parts]
        hashes = np.concatenate([np.empty(0, np.uint64), *(part[0] for part in self._parts)])
        documents, passages, held = (np.repeat([part[k] for part in self._parts], lengths) for k in (1, 2, 3))
        found = {}
        for n, grams in ngrams_of([hashes], SIZES).items():
            first, last = slice(0, len(grams)), slice(n - 1, None)
            is_new = np.arange(n - 1, len(hashes)) >= self._done
            is_one = (documents[first] == documents[last]) & is_new
            is_held = (passages[first] == passages[last]) & (held[last] > 0)
            found[n] = grams[is_one], is_held[is_one]
        self._keep_end(hashes, documents, passages, held)
        return found

    def _keep_end(self, *columns: NDArray[Any]) -> None:
        """Go on with the last words, which n-grams of the next passages begin with."""
        end = [column[-(SIZES[-1] - 1) :] for column in columns]
        hashes, *others = end
        self._parts = [(hashes[k : k + 1], *(column[k].item() for column in others)) for k in range(len(hashes))]
        self.words = self._done = len(hashes)
