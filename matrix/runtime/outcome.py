"""The outcome of a simulation: what is known when it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from matrix.errors import MatrixError


@dataclass(frozen=True)
class Outcome:
    """How one simulation ended.

    >>> outcome = matrix.run(negotiation, store="runs", seed=7)              # doctest: +SKIP
    >>> outcome.status, outcome.reason, outcome.agents, outcome.goals        # doctest: +SKIP
    ('finished', 'completed', 11, {'failed': 5, 'succeeded': 5})
    """

    id: str
    status: str  #: "finished", "failed" or "stopped"
    reason: str  #: "completed", "quiescent", "until", "turns_max", an error's text, ...
    seed: int
    events: int
    agents: int
    turns: int
    duration: int  #: virtual microseconds
    goals: Mapping[str, int]  #: goals ended, by status
    error: BaseException | None = field(default=None, compare=False, repr=False)
    store: Path | None = field(default=None, compare=False, repr=False)
    shard: int = field(default=0, compare=False, repr=False)
    ordinal: int = field(default=0, compare=False, repr=False)

    @property
    def counts(self) -> dict[str, int | dict[str, int]]:
        """Events, agents, turns and goals by status, as one map."""
        return {"events": self.events, "agents": self.agents, "turns": self.turns, "goals": dict(self.goals)}

    @property
    def digest(self) -> str:
        """Equal for two runs of one program and seed: a hash of all events without wall times, read from the log."""
        if self.store is None:
            raise MatrixError(f"the simulation {self.id} was not written to a store")
        from matrix.log.digest import simulation_digest
        from matrix.log.reader import LogReader

        return simulation_digest(LogReader(self.store / "log"), self.shard, self.ordinal)


class SeveralErrors(ExceptionGroup[Exception]):
    """The errors of several agents that failed before their simulation had ended."""


class SimulationFailed(MatrixError, ExceptionGroup[Exception]):
    """``run`` raises this when the simulation failed: the group of what its agents failed with; see ``outcome``.

    try:
        matrix.run(negotiation)
    except* ValueError as group: ...
    """

    outcome: Outcome

    def __new__(cls, outcome: Outcome, errors: Sequence[Exception] | None = None) -> Self:
        """Of one outcome, with all its errors unless some are given."""
        chosen = list(_members(outcome.error, outcome.reason) if errors is None else errors)
        more = f" (and {len(chosen) - 1} more)" if len(chosen) > 1 else ""
        failed = super().__new__(cls, f"simulation {outcome.id} failed: {outcome.reason}{more}", chosen)
        failed.outcome = outcome
        return failed

    def __init__(self, outcome: Outcome, errors: Sequence[Exception] | None = None) -> None:
        super().__init__(self.message, self.exceptions)

    def derive(self, errors: Sequence[Exception], /) -> SimulationFailed:  # type: ignore[override]
        """Some of its errors: what ``except*`` hands over."""
        return SimulationFailed(self.outcome, errors)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> Any:
        return SimulationFailed, (self.outcome, list(self.exceptions))


def _members(error: BaseException | None, reason: str) -> Sequence[Exception]:
    """The errors of several agents, or the only one; one that only a log tells of has no exception any more."""
    if isinstance(error, SeveralErrors):
        return error.exceptions
    return [error if isinstance(error, Exception) else MatrixError(reason)]
