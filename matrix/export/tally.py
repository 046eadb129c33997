"""Tally: what is in the rows of an export, counted while they pass by.

What always holds: rows are counted as they are written; rows that were dropped are counted apart, with what they
repeat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from matrix.export.contract import Row
from matrix.export.splits import TEST, TRAIN, VALIDATION
from matrix.limits import EXPORT_DUPLICATES_NAMED_MAX

_MESSAGES: Final = ("messages", "prompt", "chosen", "rejected")
_SIMULATIONS: Final = ("simulation", "chosen_simulation", "rejected_simulation")
NONE: Final = "none"  # of outcomes and roles that nobody gave


class Tally:
    """Counts of rows, and of what they are made of."""

    def __init__(self) -> None:
        self.rows = self.messages = self.steps = 0
        self.tokens: int | None = None  # of the models' answers in the simulations, where they told them
        self.by_split: Counter[str] = Counter()
        self.by_outcome: Counter[str] = Counter()
        self.by_role: Counter[str] = Counter()
        self.simulations: dict[str, str] = {}  # with their split, in the order in which they were met
        self.families: dict[str, str] = {}
        self.agents = 0
        self._simulation = ""
        self._agents: set[str] = set()

    def add(self, row: Row, split: str) -> None:
        """Count a row that is written."""
        data = row.data
        self.rows += 1
        self.messages += sum(len(data[name]) for name in _MESSAGES if isinstance(data.get(name), list))
        self.steps += len(data["steps"]) if isinstance(data.get("steps"), list) else 0
        self.by_split[split] += 1
        for name in ("outcome", "chosen_outcome"):
            if name in data:
                self.by_outcome[_name(data[name])] += 1
        self.by_role[_name(data.get("role"))] += 1
        self.families[row.family] = split
        named = [str(data[name]) for name in _SIMULATIONS if data.get(name) is not None]
        self.simulations.update(dict.fromkeys(named, split))
        if data.get("agent") is not None:
            self._count_agent(str(data.get("simulation", row.family)), str(data["agent"]))

    def _count_agent(self, simulation: str, agent: str) -> None:
        if simulation != self._simulation:  # rows of one follow each other, those of pairs by family
            self._simulation, self._agents = simulation, set()
        if agent not in self._agents:
            self._agents.add(agent)
            self.agents += 1

    def as_data(self) -> dict[str, Any]:
        """The counts as JSON holds them."""
        found: dict[str, Any] = {
            "rows": self.rows,
            "simulations": len(self.simulations),
            "families": len(self.families),
            "agents": self.agents,
        }
        found |= {"messages": self.messages} if self.messages else {}
        found |= {"steps": self.steps} if self.steps else {}
        found |= {"tokens": self.tokens} if self.tokens is not None else {}
        families = Counter(self.families.values())
        found["by_split"] = {
            name: {"rows": self.by_split[name], "families": families[name]}
            for name in (TRAIN, VALIDATION, TEST)
            if self.by_split[name]
        }
        found |= {"by_outcome": dict(sorted(self.by_outcome.items()))} if self.by_outcome else {}
        found["by_role"] = dict(sorted(self.by_role.items()))
        return found


def _name(value: Any) -> str:
    return NONE if value is None else str(value)


class Repeats:
    """Drops rows that say again what an earlier one said, to the word or nearly, and remembers which."""

    def __init__(self, threshold: float | None = None) -> None:
        from matrix.report.duplicates import THRESHOLD, Duplicates

        self.threshold = THRESHOLD if threshold is None else threshold
        self._seen = Duplicates(threshold=self.threshold)
        self._rows: list[tuple[Any, ...]] = []  # where each row is from, by its number
        self.exact = self.near = 0
        self.named: list[dict[str, Any]] = []

    def has(self, row: Row) -> bool:
        """Whether an earlier row said so, too."""
        self._rows.append(tuple(row.data.get(name) for name in _PLACE))
        match = self._seen.find(row.text)
        if match is None:
            return False
        self.exact += match.is_exact
        self.near += not match.is_exact
        if len(self.named) < EXPORT_DUPLICATES_NAMED_MAX:
            found = {"row": _place(self._rows[-1]), "of": _place(self._rows[match.first])}
            self.named.append(found | {"similarity": round(match.similarity, 4)})
        return True

    def close(self) -> None:
        """Let go of what is remembered."""
        self._seen.close()

    def as_data(self) -> Mapping[str, Any]:
        """How many were dropped, and which."""
        found = {"threshold": self.threshold, "exact": self.exact, "near": self.near, "dropped": self.named}
        not_named = self.exact + self.near - len(self.named)
        return found | ({"dropped_and_not_named": not_named} if not_named else {})


_PLACE: Final = ("simulation", "agent", "conversation", "first_seq", "chosen_simulation", "rejected_simulation")


def _place(values: tuple[Any, ...]) -> dict[str, Any]:
    return {name: value for name, value in zip(_PLACE, values, strict=True) if value is not None}
