"""Run a program into a store and have all its events in hand: what tests of the runtime look at."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matrix.event import Event
from matrix.log.reader import LogReader
from matrix.runtime.blocking import run
from matrix.runtime.outcome import Outcome, SimulationFailed


@dataclass(frozen=True)
class Played:
    """A simulation that has ended, and its history."""

    outcome: Outcome
    events: list[Event]

    def kinds(self, *, without: str = "") -> list[str]:
        """The kinds of all events in order; those that begin with ``without`` left out."""
        return [e.kind for e in self.events if not without or not e.kind.startswith(without)]

    def of(self, kind: str) -> list[Event]:
        """The events of one kind."""
        return [event for event in self.events if event.kind == kind]

    def one(self, kind: str) -> Event:
        """The only event of a kind."""
        (event,) = self.of(kind)
        return event

    def data(self, kind: str) -> list[dict[str, Any]]:
        """The payloads of the events of one kind."""
        return [dict(event.data) for event in self.of(kind)]

    def names(self) -> dict[int, str]:
        """Agents' ids by number."""
        return {event.agent: event.data["id"] for event in self.of("agent.started")}


def play(program: Callable[..., Any], *, store: Path | None = None, **options: Any) -> Played:
    """Run ``program`` (in a folder that is gone afterwards, unless ``store`` says otherwise); a failure is an outcome.

    >>> async def empty(simulation): ...
    >>> play(empty).kinds()
    ['simulation.started', 'simulation.finished']
    """
    with tempfile.TemporaryDirectory() as folder:
        place = store or Path(folder) / "runs"
        try:
            outcome = run(program, store=place, index=False, **options)
        except SimulationFailed as failed:
            outcome = failed.outcome
        return Played(outcome, history(outcome))


def history(outcome: Outcome) -> list[Event]:
    """All events of a simulation that has ended, from the log."""
    assert outcome.store is not None, "it was written to a store"
    return list(LogReader(outcome.store / "log").simulation_events(outcome.shard, outcome.ordinal))
