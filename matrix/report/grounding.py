"""How close the agents' own words are to real text: what is contained in it, what was copied, what is far from it.

A row's share for n is the share of the n-grams of the agent's own words, message by message, that stand somewhere in
the reference. Two flags, by shares that the caller may set: **copied**, where at least ``COPIED`` of the 8-grams are in
it (eight words in a row are rarely the same by chance: real text of one kind shares a few percent); **far**, where
less than ``FAR`` of the 3-grams are. Rows of fewer than 20 words are not judged, and counted; of messages that all
have fewer than eight words nobody can say that they were copied.
"""

from __future__ import annotations

import heapq
from typing import Any

from matrix.errors import UsageError
from matrix.report.corpus import SIZES, Corpus
from matrix.report.rows import EXCERPT_CHARS, Seen, excerpt
from matrix.report.similarity import lot
from matrix.report.tally import Tally
from matrix.report.texts import own_texts
from matrix.report.words import Hashes

COPIED = 0.5
FAR = 0.05
WORDS_MIN = 20
FLAGS_LISTED = 10_000
SHOWN = 50  # rows of each flag that are listed with their text and the nearest passage
NEAREST_SAMPLE = 200  # rows whose nearest passage is looked for, for the distribution
_WINDOWS_MAX = 20  # pieces of a row that are compared with passages
_COPY_SIZE, _FAR_SIZE = SIZES[-1], SIZES[0]


class Grounding:
    """Takes rows, and has the figures when all were taken. ``copied`` and ``far`` are shares from 0 to 1."""

    def __init__(self, corpus: Corpus, *, copied: float = COPIED, far: float = FAR) -> None:
        check_shares(copied, far)
        self.copied, self.far = copied, far
        self._corpus = corpus
        self._contained = dict.fromkeys(SIZES, 0)
        self._all = dict.fromkeys(SIZES, 0)
        self._shares = {n: Tally() for n in SIZES}
        self._flags: dict[str, list[dict[str, Any]]] = {"copied": [], "far": []}
        self._counts = {"copied": 0, "far": 0, "judged": 0, "too_short": 0}
        self._by_role: dict[str, dict[str, int]] = {}
        self._shown: dict[str, list[tuple[float, int, _Case]]] = {"copied": [], "far": []}
        self._drawn: list[tuple[int, int, Hashes]] = []

    def take(self, row: Seen) -> None:
        """Look at one row."""
        if row.own_words < WORDS_MIN:
            self._counts["too_short"] += 1
            return
        shares = self._measure(row)
        self._counts["judged"] += 1
        counts = self._by_role.setdefault(row.role, {"rows": 0, "copied": 0, "far": 0})
        counts["rows"] += 1
        copied, far = shares[_COPY_SIZE], shares[_FAR_SIZE]
        if copied is not None and copied >= self.copied:
            counts["copied"] += 1
            self._flag("copied", copied, row, shares)
        if far is not None and far < self.far:
            counts["far"] += 1
            self._flag("far", 1 - far, row, shares)
        heapq.heappush(self._drawn, (-lot(row.number), row.number, row.own_hashes()))
        if len(self._drawn) > NEAREST_SAMPLE:
            heapq.heappop(self._drawn)

    def _measure(self, row: Seen) -> dict[int, float | None]:
        """By n the share of the row's n-grams that are in the reference; None where it has no n-gram."""
        shares: dict[int, float | None] = {}
        for n in SIZES:
            inside, total = self._corpus.contained(row.grams[n]), len(row.grams[n])
            self._contained[n] += inside
            self._all[n] += total
            shares[n] = round(inside / total, 6) if total else None
            if total:
                self._shares[n].add(round(inside / total, 3))
        return shares

    def _flag(self, name: str, how_much: float, row: Seen, shares: dict[int, float | None]) -> None:
        self._counts[name] += 1
        share = shares[_COPY_SIZE if name == "copied" else _FAR_SIZE]
        if len(self._flags[name]) < FLAGS_LISTED:
            self._flags[name].append(row.place | {"role": row.role, "share": share})
        case = _Case(row, shares)
        # Of equal ones the earliest stay: the greatest number is the first to go.
        heapq.heappush(self._shown[name], (how_much, -row.number, case))
        if len(self._shown[name]) > SHOWN:
            heapq.heappop(self._shown[name])

    def figures(self) -> dict[str, Any]:
        """The reference, the shares by n (rows', real text's), flags with counts and lists, and nearest passages."""
        return {
            "reference": self._corpus.figures(),
            "contained": [self._by_size(n) for n in SIZES],
            "thresholds": {"copied": self.copied, "far": self.far, "words_min": WORDS_MIN},
            **self._counts,
            "by_role": dict(sorted(self._by_role.items())),
            "nearest": self._nearest_of_sample(),
            **{f"{name}_rows": some for name, some in self._flags.items()},
            **{f"{name}_shown": self._told(name) for name in self._shown},
        }

    def _by_size(self, n: int) -> dict[str, Any]:
        real = self._corpus.real_text
        return {
            "n": n,
            "ngrams": self._all[n],
            "contained": self._contained[n],
            "share": round(self._contained[n] / self._all[n], 6) if self._all[n] else None,
            "real_text": None if real is None or n not in real else round(real[n], 6),
            "rows": self._shares[n].figures(),
        }

    def _nearest_of_sample(self) -> dict[str, Any]:
        tally = Tally()
        for _, _, hashes in self._drawn:
            found = self._nearest(hashes)
            tally.add(0.0 if found is None else round(found["similarity"], 3))
        return tally.figures()

    def _nearest(self, hashes: Hashes) -> dict[str, Any] | None:
        """The passage that is nearest to any piece of a row, pieces being as long as passages."""
        size = self._corpus.passage_words
        begins = range(0, max(len(hashes) - WORDS_MIN, 1), size)[:_WINDOWS_MAX]
        found = [(self._corpus.nearest(hashes[begin : begin + size]), begin) for begin in begins]
        some = [(one, begin) for one, begin in found if one is not None]
        if not some:
            return None
        best, begin = max(some, key=lambda pair: (pair[0].similarity, -pair[1]))
        return {
            "file": best.file,
            "passage": best.passage,
            "similarity": round(best.similarity, 4),
            "text": excerpt(best.text),
            "at_word": begin,
        }

    def _told(self, name: str) -> list[dict[str, Any]]:
        listed = sorted(self._shown[name], key=lambda one: (-one[0], -one[1]))
        return [case.figures(self._nearest(case.row.own_hashes())) for _, _, case in listed]


class _Case:
    """A flagged row that is shown."""

    def __init__(self, row: Seen, shares: dict[int, float | None]) -> None:
        self.row, self._shares = row, shares

    def figures(self, nearest: dict[str, Any] | None) -> dict[str, Any]:
        row = self.row
        shown = excerpt(" / ".join(own_texts(row.messages)), EXCERPT_CHARS)
        shares = {str(n): share for n, share in self._shares.items()}
        return row.place | {"role": row.role, "shares": shares, "text": shown, "nearest": nearest}


def check_shares(copied: float, far: float) -> None:
    """Refuse thresholds that are no shares."""
    for name, value in (("copied", copied), ("far", far)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UsageError(f"{name} is a share from 0 to 1, not {value!r}")
