"""`matrix demo`: run a society of 1,000 agents, ask it three questions, and say what to type next.

With ``--serve`` it runs day after day of the same market while a browser looks on.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from matrix.cli import output
from matrix.limits import SERVE_PORT

if TYPE_CHECKING:
    from matrix.cli.program import Program
    from matrix.runtime.outcome import Outcome
    from matrix.store import Store

SEED = 7
INSIDE = Path(__file__).resolve().parent.parent / "examples"
QUESTIONS = (
    ("How often does each side reach its goals?", "goals | count(succeeded) / count as rate, count by role, name"),
    ("Why do negotiations fail?", "goals where name = haggle and failed | count by reason"),
    ("What does a lamp cost through the day?", "messages where kind = accept | count, median(.price) as price per 1h"),
)
NEXT = (
    ("info {store}", "what is in the store"),
    ("info {store} {id}", "how it went, and its digest: run it again, it is the same"),
    ("query {store} 'simulations where any goal (name ~ /deal/ and succeeded and steps > 1)'", ""),
    ("query {store} 'agents where goal close_deal failed and no reject | limit 5'", ""),
    ("query {store} 'events offer' --format parquet -o offers.parquet", ""),
    ("run {program} --store {store} --simulations 4 --set buyers=200 --set sellers=50", ""),
)


@click.command("demo", epilog="\b\nExamples:\n  matrix demo\n  matrix demo --serve")
@click.option("--store", default="matrix-demo", show_default=True, help="The folder to record into; made if need be.")
@click.option("--serve", "is_served", is_flag=True, help="Print a link to watch it live in a browser; until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65_535), help=f"With --serve: {SERVE_PORT} as it stands; 0: any free.")
def command(store: str, is_served: bool, port: int | None) -> None:
    """Run a market of 1,000 buyers and sellers who haggle over lamps, then ask what happened.

    With --serve the store has a page in the browser: the first day is run at once, the days after it pass in half a
    minute each, and the page shows them as they go on.
    """
    from matrix.cli.program import load_program

    if is_served:
        from matrix.cli.live import serve_days

        serve_days(load_program(str(example())), store, SERVE_PORT if port is None else port)
        return
    if port is not None:
        raise click.UsageError("--port is of use with --serve only")
    place = example()
    outcome, took = _run(load_program(str(place)), store)
    _say(f"A market of {outcome.agents:,} agents: buyers and sellers haggle over lamps", bold=True)
    _say(f"{output.short_path(place)}, seed {SEED}", dim=True)
    _say(
        f"\n{outcome.events:,} events in {took:.1f} s, {output.rough_duration(outcome.duration)} of their time; "
        f"all of them are in the log of {store}"
    )

    import matrix

    with matrix.open(store) as opened:
        for number, (question, query) in enumerate(QUESTIONS, start=1):
            _ask(opened, number, question, query)
    _say("\nWhat to type next", bold=True)
    program = output.short_path(place) if INSIDE not in place.parents else "matrix.examples.negotiation:negotiation"
    shown = [line.format(store=store, id=outcome.id, program=program) for line, _ in NEXT]
    width = max(len(line) for line, (_, why) in zip(shown, NEXT) if why)
    for line, (_, why) in zip(shown, NEXT):
        remark = click.style(f"   # {why}", dim=True) if why else ""
        click.echo(f"  {_matrix()} {line.ljust(width)}{remark}".rstrip(), color=output.colour())


def example() -> Path:
    """The program of the demonstration: inside the package in a wheel, beside it in a source tree."""
    inside = INSIDE / "negotiation.py"
    return inside if inside.exists() else INSIDE.parent.parent / "examples" / "negotiation.py"


def _run(program: Program, store: str) -> tuple[Outcome, float]:
    from matrix import run
    from matrix.cli.progress import run_progress

    begun = time.perf_counter()
    with run_progress(1) as progress:
        outcome = run(program, store=store, seed=SEED, progress=progress)
    return outcome, time.perf_counter() - begun


def _ask(store: Store, number: int, question: str, query: str) -> None:
    from matrix.cli.table import write_table

    _say(f"\n{number}  {question}", bold=True)
    _say(f"   {_matrix()} query {store.path} '{query}'\n", dim=True)
    width = shutil.get_terminal_size().columns if output.is_terminal(sys.stdout) else None
    write_table(store.query(query).table, sys.stdout, width=width, indent="   ")


def _matrix() -> str:
    """How the reader can call this command: by its name, or by its path when the shell would not find it."""
    called = Path(sys.argv[0])
    found = shutil.which("matrix")
    is_found = found is not None and Path(found).resolve() == called.resolve()
    return "matrix" if is_found or called.name != "matrix" else output.short_path(called)


def _say(text: str, *, bold: bool = False, dim: bool = False) -> None:
    click.secho(text, bold=bold or None, dim=dim or None, color=output.colour())
