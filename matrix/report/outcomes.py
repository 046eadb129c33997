"""How the rows came out: outcomes and rewards, role by role."""

from __future__ import annotations

from collections import Counter
from typing import Any

from matrix.report.rows import Seen
from matrix.report.tally import Tally

NONE = "none"  # as a row of chat says it


class Outcomes:
    """Takes rows, and has the figures when all were taken."""

    def __init__(self) -> None:
        self._by_role: dict[str, Counter[str]] = {}
        self._rewards = Tally()

    def take(self, row: Seen) -> None:
        """Look at one row."""
        self._by_role.setdefault(row.role, Counter())[row.outcome or NONE] += 1
        if row.reward is not None:
            self._rewards.add(round(row.reward, 6))

    def figures(self) -> dict[str, Any]:
        """``by_role`` the number of rows of each outcome, ``all`` of them, and the distribution of ``reward``."""
        both: Counter[str] = Counter()
        for counts in self._by_role.values():
            both += counts
        return {
            "all": dict(sorted(both.items())),
            "by_role": {role: dict(sorted(counts.items())) for role, counts in sorted(self._by_role.items())},
            "reward": self._rewards.figures() if self._rewards.count else None,
        }
