"""`matrix replay`: run recorded simulations again and compare every event; a shell over `Store.replay`."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from matrix.cli import output, target, values

if TYPE_CHECKING:
    from matrix.cli.target import Target
    from matrix.runtime.again.replay import Replay


@click.command(
    "replay",
    epilog="\b\nExamples:\n  matrix replay runs 1-1\n  matrix replay runs --all\n"
    "  matrix replay runs 1-1 --until 2.5s\n  matrix replay runs 1-1 --program market.py:market --pin",
)
@click.argument("store")
@click.argument("simulation", required=False)
@click.option("--all", "everything", is_flag=True, help="Replay every simulation of the store that has a program.")
@click.option("--program", metavar="PROGRAM", help="Run this one (module:function, file.py[:function]) instead.")
@click.option("--until", metavar="SEQ|TIME", help="Stop behind this event, or at this virtual time.")
@click.option("--debug", is_flag=True, help="There, open the Python debugger inside the agent.")
@click.option("--pin", is_flag=True, help="Refuse another version of the code, of Python or of its packages.")
@target.token_option
def command(
    store: str,
    simulation: str | None,
    everything: bool,
    program: str | None,
    until: str | None,
    debug: bool,
    pin: bool,
    token: str | None,
) -> None:
    """Run SIMULATION (an id) of STORE again with its recorded inputs, and compare every event.

    No call is made and nothing is written. Says "identical" with the number of events and their digest, or where
    the first event differs, how, and what is likely to have led to it; then the exit code is 1. SEQ is the number of
    an event, TIME a duration such as 2.5s, 5m or 1h. In a pipe: one JSON object for each simulation.
    """
    if (simulation is None) != everything:
        raise click.UsageError("say which simulation to replay, or --all" + (", not both" if everything else ""))
    if everything and (until or debug):
        raise click.UsageError("--until and --debug are for one simulation, not for --all")
    if debug and until is None:
        raise click.UsageError("--debug needs --until: where shall the debugger open?")
    options: dict[str, Any] = {"pin": pin}
    if until is not None:
        options |= {"until": values.instant(until, option="--until"), "debug": debug}
    if program is not None:
        from matrix.cli.program import load_program

        options["program"] = load_program(program)

    begun = time.perf_counter()
    with target.opened(store, token) as opened:
        told = _tell(_replays(opened, simulation, options), is_one=not everything)
    if everything:
        _summary(told, time.perf_counter() - begun, store)
    if told["diverged"] or told["refused"]:
        raise click.exceptions.Exit(1)


def _replays(store: Target, simulation: str | None, options: dict[str, Any]) -> Iterator[Replay]:
    if target.is_served(store):
        options = _none_of(options)
    if simulation is None:
        yield from store.replay_all(**options)
    else:
        yield store.replay(simulation, **options)


def _none_of(options: dict[str, Any]) -> dict[str, Any]:
    given = [name for name, value in options.items() if value]
    if given:
        raise click.UsageError(f"--{given[0]} is for a store in a folder; a server replays what was recorded as it was")
    return {}


def _tell(replays: Iterator[Replay], *, is_one: bool) -> Counter[str]:
    """Write each result as it comes; counts them by status, and all their events."""
    from matrix.query.rows import json_default

    told: Counter[str] = Counter()
    noted: set[str] = set()
    for replay in replays:
        told[replay.status] += 1
        told["events"] += replay.events
        for note in replay.notes:
            if note not in noted:
                output.notice(note)
                noted.add(note)
        if not output.is_terminal(sys.stdout):
            click.echo(json.dumps(replay.as_data(), ensure_ascii=False, default=json_default))
        if replay.divergence is not None:
            output.words(str(replay), style="red")
        elif is_one:
            output.words(str(replay), style="green")
    return told


def _summary(told: Counter[str], took: float, store: str) -> None:
    events = told.pop("events", 0)
    if not told:
        output.words(f"{store}: there is no simulation that a program made")
        return
    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(told.items(), reverse=True))
    output.words(
        f"{counts}; {output.count(events, 'event')} in {took:.1f} s ({events / took:,.0f} events/s)",
        style="red" if told["diverged"] or told["refused"] else "green",
    )
