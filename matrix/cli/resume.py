"""`matrix resume`: let simulations go on that a crash cut off; a shell over `Store.resume`."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from matrix.cli import output
from matrix.cli.endpoints import endpoint_option, endpoints_of

if TYPE_CHECKING:
    from matrix.runtime.again.blocking import Resumed


@click.command(
    "resume",
    epilog="\b\nExamples:\n  matrix resume runs\n  matrix resume runs --program market.py:market",
)
@click.argument("store")
@click.option("--program", metavar="PROGRAM", help="Go on with this one (module:function, file.py[:function]) instead.")
@click.option(
    "--durability",
    type=click.Choice(["sync", "interval", "os"]),
    default="interval",
    show_default=True,
    help="What a crash may cost: nothing, 100 ms after a power cut, or what the system had not written.",
)
@endpoint_option
def command(store: str, program: str | None, durability: str, endpoints: tuple[str, ...]) -> None:
    """Let every simulation of STORE go on that was cut off, live, from its last event.

    Up to there each is replayed and compared. A call that was under way then has an unknown outcome: it is not made
    again unless the program declared it repeatable, and the agent is told so. Simulations that another process is
    running are left alone. Ends with how they went; the exit code is 1 when one failed or could not go on.
    """
    from matrix.cli.program import load_program
    from matrix.cli.progress import run_progress

    models = endpoints_of(endpoints)
    function = None if program is None else load_program(program)

    import matrix

    begun = time.perf_counter()
    with matrix.open(store) as opened, run_progress(1) as progress:
        done = opened.resume(program=function, durability=durability, progress=progress, models=models)
    took = time.perf_counter() - begun
    if not done:
        output.words(f"{store}: nothing to resume; every simulation has its end, or runs in another process")
        return
    _write(done)
    _summary(done, took, store)


def _write(done: list[Resumed]) -> None:
    import pyarrow as pa

    from matrix.cli.run import ROWS_SHOWN_MAX, glance_table, outcome_table
    from matrix.cli.table import write_table
    from matrix.query import rows

    ended = [one for one in done if one.outcome is not None]
    outcomes = [one.outcome for one in ended if one.outcome is not None]
    is_terminal = output.is_terminal(sys.stdout)
    if not outcomes:
        return
    table = glance_table(outcomes[:ROWS_SHOWN_MAX]) if is_terminal else outcome_table(outcomes)
    resumed_at = [one.last_seq for one in ended][: table.num_rows]
    table = table.add_column(1, "resumed_at", pa.array(resumed_at))
    if is_terminal:
        write_table(table, sys.stdout, width=shutil.get_terminal_size().columns)
    else:
        rows.write_jsonl(table, sys.stdout.buffer)


def _summary(done: list[Resumed], took: float, store: str) -> None:
    refused = [one for one in done if one.outcome is None]
    failed = [one.outcome for one in done if one.outcome is not None and one.outcome.status == "failed"]
    new = sum(one.outcome.events - one.last_seq for one in done if one.outcome is not None)
    went_on = output.count(len(done) - len(refused), "simulation")
    output.words(
        f"{went_on} went on, {output.count(new, 'event')} more in {took:.1f} s, recorded in {store}",
        style="green" if not refused and not failed else None,
    )
    for outcome in failed:
        output.explain(f"simulation {outcome.id} (seed {outcome.seed}) failed: {outcome.reason}")
    for one in refused:
        output.explain(f"simulation {one.id} cannot go on: {one.refusal}")
    if refused or failed:
        raise click.exceptions.Exit(1)
