"""Which rows repeat earlier ones, as a report tells it: how many, in which clusters, with examples.

They are found as ``--drop-duplicates`` of an export finds them, by ``Duplicates``: a cluster is a row that was new and
all that repeat it.
"""

from __future__ import annotations

from typing import Any

from matrix.report.duplicates import SHINGLE_WORDS, THRESHOLD, Duplicates, Match
from matrix.report.rows import Seen, excerpt
from matrix.report.shelf import Shelf
from matrix.report.signature import PERMUTATIONS
from matrix.report.tally import Tally
from matrix.report.texts import compared
from matrix.report.words import OWN

CLUSTERS_LISTED = 50
MEMBERS_LISTED = 20
REPEATS_LISTED = 10_000


class Repeats:
    """Takes rows, and has the figures when all were taken. ``threshold`` is that of ``Duplicates``."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self._duplicates = Duplicates(threshold=threshold)
        self._shelf = Shelf()  # of each row its names and the beginning of its text
        self._matches: list[tuple[int, Match]] = []
        self._sizes: dict[int, int] = {}
        self._nothing = 0

    def take(self, row: Seen) -> None:
        """Look at one row."""
        text = compared(row.messages)
        self._nothing += not text
        shown = excerpt(text.replace(OWN, "> ").replace("\n", " / "))
        self._shelf.add("\n".join((row.simulation.replace("\n", " "), row.agent.replace("\n", " "), shown)))
        match = self._duplicates.find(text)
        if match is not None:
            self._matches.append((row.number, match))
            self._sizes[match.first] = self._sizes.get(match.first, 1) + 1

    def figures(self) -> dict[str, Any]:
        """rows exact near unique and their shares, sizes of clusters, the greatest clusters, and who repeats whom."""
        rows, exact = len(self._shelf), sum(match.is_exact for _, match in self._matches)
        near = len(self._matches) - exact
        sizes = Tally()
        for size in self._sizes.values():
            sizes.add(size)
        found = {
            "rows": rows,
            "exact": exact,
            "near": near,
            "unique": rows - exact - near,
            "share": round((exact + near) / rows, 6) if rows else 0.0,
            "without_text": self._nothing,
            "clusters": len(self._sizes),
            "cluster_sizes": sizes.figures(),
            "threshold": self._duplicates.threshold,
            "shingle_words": SHINGLE_WORDS,
            "permutations": PERMUTATIONS,
            "greatest": self._greatest(),
            "repeats": [self._repeat(number, match) for number, match in self._matches[:REPEATS_LISTED]],
            "repeats_not_listed": max(len(self._matches) - REPEATS_LISTED, 0),
        }
        self._duplicates.close()
        return found

    def _greatest(self) -> list[dict[str, Any]]:
        firsts = sorted(self._sizes, key=lambda first: (-self._sizes[first], first))[:CLUSTERS_LISTED]
        members: dict[int, list[dict[str, Any]]] = {first: [] for first in firsts}
        for number, match in self._matches:
            some = members.get(match.first)
            if some is not None and len(some) < MEMBERS_LISTED:
                how = {"similarity": round(match.similarity, 4), "is_exact": match.is_exact}
                some.append(self._named(number) | how)
        return [
            {"size": self._sizes[first], "first": self._named(first), "repeats": members[first]} for first in firsts
        ]

    def _named(self, number: int) -> dict[str, Any]:
        simulation, agent, shown = self._shelf[number].split("\n", 2)
        return {"row": number, "simulation": simulation, "agent": agent, "text": shown}

    def _repeat(self, number: int, match: Match) -> dict[str, Any]:
        row, first = self._named(number), self._named(match.first)
        names = {"row": number, "simulation": row["simulation"], "agent": row["agent"]}
        of = {"row": match.first, "simulation": first["simulation"], "agent": first["agent"]}
        return {**names, "of": of, "similarity": round(match.similarity, 4), "is_exact": match.is_exact}
