"""`matrix fork`: new simulations with the history of one up to an event; a shell over `Store.fork`."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from matrix.cli import output, values
from matrix.cli.endpoints import endpoint_option, endpoints_of

if TYPE_CHECKING:
    from matrix.runtime.outcome import Outcome


@click.command(
    "fork",
    epilog="\b\nExamples:\n  matrix fork runs 1-1 --at 12 --seed 8\n"
    "  matrix fork runs 1-1 --at 30s --times 3 --set seller.stock=5",
)
@click.argument("store")
@click.argument("simulation")
@click.option("--at", required=True, metavar="SEQ|TIME", help="Share the history up to this event, or virtual time.")
@click.option("--seed", type=int, help="Of the first branch; the next ones count on from it. Default: the parent's.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a value there; may be repeated.")
@click.option("--program", metavar="PROGRAM", help="Go on with this one (module:function, file.py[:function]) instead.")
@click.option("--times", type=click.IntRange(min=1), default=1, show_default=True, help="How many branches.")
@click.option(
    "--durability",
    type=click.Choice(["sync", "interval", "os"]),
    default="interval",
    show_default=True,
    help="What a crash may cost: nothing, 100 ms after a power cut, or what the system had not written.",
)
@endpoint_option
def command(
    store: str,
    simulation: str,
    at: str,
    seed: int | None,
    settings: tuple[str, ...],
    program: str | None,
    times: int,
    durability: str,
    endpoints: tuple[str, ...],
) -> None:
    """Make new simulations that share the history of SIMULATION (an id) up to a point, and then go on live.

    The parent's events are shared, not copied, and questions about a branch see all of its history. NAME is
    a parameter of the program, an attribute of an agent (seller.stock) or a key of the simulation's state (phase, or
    state.phase for a new one). Several branches have seeds of their own. SEQ is the number of an event, TIME
    a duration such as 2.5s, 5m or 1h.
    """
    from matrix.cli.program import load_program
    from matrix.cli.progress import run_progress

    place = values.instant(at, option="--at")
    changes, models = values.pairs(settings, option="--set"), endpoints_of(endpoints)
    function = None if program is None else load_program(program)

    import matrix

    begun = time.perf_counter()
    with matrix.open(store) as opened, run_progress(times) as progress:
        outcomes = opened.fork(
            simulation,
            at=place,
            seed=seed,
            set=changes or None,
            program=function,
            times=times,
            durability=durability,
            progress=progress,
            models=models,
        )
    took = time.perf_counter() - begun
    _write(outcomes)
    _summary(outcomes, took, store, simulation)


def _write(outcomes: list[Outcome]) -> None:
    from matrix.cli.run import ROWS_SHOWN_MAX, glance_table, outcome_table
    from matrix.cli.table import write_table
    from matrix.query import rows

    if output.is_terminal(sys.stdout):
        write_table(glance_table(outcomes[:ROWS_SHOWN_MAX]), sys.stdout, width=shutil.get_terminal_size().columns)
    else:
        rows.write_jsonl(outcome_table(outcomes), sys.stdout.buffer)


def _summary(outcomes: list[Outcome], took: float, store: str, parent: str) -> None:
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    branches = "1 branch" if len(outcomes) == 1 else f"{len(outcomes):,} branches"
    output.words(f"{branches} of {parent} in {took:.1f} s, recorded in {store}", style="green" if not failed else None)
    pair = (outcomes[0].id, outcomes[1].id) if len(outcomes) > 1 else (parent, outcomes[0].id)
    output.words(f"compare them: matrix diff {store} {pair[0]} {pair[1]}", style="bright_black")
    for outcome in failed:
        output.explain(f"simulation {outcome.id} (seed {outcome.seed}) failed: {outcome.reason}")
    if failed:
        raise click.exceptions.Exit(1)
