"""The market of `matrix demo --serve`: one day at once, so that there is something to ask, then days to watch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from matrix.cli import output
from matrix.cli.serve import tell

if TYPE_CHECKING:
    from matrix.cli.program import Program
    from matrix.runtime.outcome import Outcome
    from matrix.runtime.runtime import Runtime
    from matrix.server.serving import Serving

SEED = 7  # of the first day, as in `matrix demo`; the next ones count on
SPEED = 1_200.0  # the nine hours of a market day pass in 27 seconds
DAYS_MAX = 100  # then it is quiet, so that a forgotten demonstration does not fill the disk


def serve_days(program: Program, store: str, port: int) -> None:
    """Serve a store, and run days of the market into it, until Ctrl-C."""
    from matrix.server.blocking import serve_until_stopped

    def begun(serving: Serving) -> None:
        tell(serving, store, view="live")
        _say("\nOpen the page. Buyers and sellers haggle over lamps meanwhile, day after day:", bold=True)

    async def live(runtime: Runtime) -> None:
        outcome = await (await runtime.start(program, seed=SEED)).wait()
        _report(1, outcome)
        for day in range(2, DAYS_MAX + 1):
            simulation = await runtime.start(program, seed=SEED + day - 1, time="real", speed=SPEED)
            _say(f"  day {day}   simulation {simulation.id} begins: watch it for half a minute", dim=True)
            outcome = await simulation.wait()
            if outcome.status != "finished":
                return
            _report(day, outcome)
        _say("That was the last day; all of them stay here until Ctrl-C.")

    serve_until_stopped(store, begun=begun, live=live, port=port)


def _report(day: int, outcome: Outcome) -> None:
    reached = outcome.goals.get("succeeded", 0)
    goals = f"{reached:,} of {output.count(sum(outcome.goals.values()), 'goal')} reached"
    _say(f"  day {day}   simulation {outcome.id}: {output.count(outcome.events, 'event')}, {goals}")


def _say(text: str, *, bold: bool = False, dim: bool = False) -> None:
    click.secho(text, bold=bold or None, dim=dim or None, color=output.colour())
    sys.stdout.flush()
