"""The outcome of a simulation: what is known when it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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


class SimulationFailed(MatrixError):
    """``run`` raises this when the simulation failed: see ``outcome``; ``__cause__`` is the agent's error."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"simulation {outcome.id} failed: {outcome.reason}")
        self.outcome = outcome
