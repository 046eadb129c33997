"""How varied the agents' own words are: distinct-n, vocabulary, most frequent words; overall and role by role.

Distinct-n is that of Li et al., "A Diversity-Promoting Objective Function for Neural Conversation Models" (2016): the
number of different n-grams through the number of all words. It falls as texts grow, in good data too; so there is
also its mean over stretches of 1,000 words, which can be compared between sets of any size. n-grams do not reach from
one message into the next.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from matrix.limits import REPORT_VOCABULARY_KEPT_MAX
from matrix.report.distinct import Distinct
from matrix.report.rows import Seen
from matrix.report.words import Hashes, different, ngrams_of

SIZES = (1, 2, 3)
STRETCH_WORDS = 1_000
ROLES_MAX = 24  # roles that have figures of their own; more are counted together
OTHERS = "(other roles)"
_TOP_WORDS = 40


class Diversity:
    """Takes rows, and has the figures when all were taken."""

    def __init__(self) -> None:
        self._all = _Voice()
        self._roles: dict[str, _Voice] = {}
        self._words: Counter[str] = Counter()
        self._is_pruned = False

    def take(self, row: Seen) -> None:
        """Look at one row."""
        role = row.role if row.role in self._roles or len(self._roles) < ROLES_MAX else OTHERS
        for voice in (self._all, self._roles.setdefault(role, _Voice())):
            voice.take(row)
        for some in row.own:
            self._words.update(some)
        if len(self._words) > REPORT_VOCABULARY_KEPT_MAX:
            self._is_pruned = True
            self._words = Counter({word: times for word, times in self._words.items() if times > 1})

    def figures(self) -> dict[str, Any]:
        """rows words distinct_1 ... of all, the same ``by_role``, and the ``frequent`` words."""
        total = max(self._words.total(), 1)
        frequent = sorted(self._words.items(), key=lambda item: (-item[1], item[0]))
        return {
            **self._all.figures(),
            "by_role": {role: voice.figures() for role, voice in sorted(self._roles.items())},
            "frequent": [{"word": word, "count": times} for word, times in frequent[:_TOP_WORDS]],
            "said_once": None if self._is_pruned else sum(times == 1 for times in self._words.values()),
            "share_of_100_most_frequent": round(sum(times for _, times in frequent[:100]) / total, 6),
        }


class _Voice:
    """The words of all rows, or of those of one role."""

    def __init__(self) -> None:
        self.rows = self.words = 0
        self._distinct = {n: Distinct() for n in SIZES}
        self._stretch: list[Hashes] = []
        self._stretch_words = 0
        self._stretches = 0
        self._shares = dict.fromkeys(SIZES, 0.0)

    def take(self, row: Seen) -> None:
        self.rows += 1
        self.words += row.own_words
        for n, distinct in self._distinct.items():
            distinct.add(row.grams[n])
        for hashes in row.hashes:
            self._walk(hashes)

    def _walk(self, hashes: Hashes) -> None:
        """Go on with the current stretch; at its thousandth word the next one begins."""
        while len(hashes):
            room = STRETCH_WORDS - self._stretch_words
            self._stretch.append(hashes[:room])
            self._stretch_words += len(self._stretch[-1])
            hashes = hashes[room:]
            if self._stretch_words == STRETCH_WORDS:
                for n, grams in ngrams_of(self._stretch, SIZES).items():
                    self._shares[n] += len(different(grams)) / STRETCH_WORDS
                self._stretches += 1
                self._stretch, self._stretch_words = [], 0

    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = {"rows": self.rows, "words": self.words, "vocabulary": self._distinct[1].count}
        for n in SIZES:
            found[f"distinct_{n}"] = round(self._distinct[n].count / self.words, 6) if self.words else None
        for n in SIZES:
            mean = round(self._shares[n] / self._stretches, 6) if self._stretches else None
            found[f"distinct_{n}_per_1000_words"] = mean
        return found | {"is_estimate": any(distinct.is_estimate for distinct in self._distinct.values())}
