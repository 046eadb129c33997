"""`matrix run`: run simulations of a program; a shell over `matrix.run`."""

from __future__ import annotations

import inspect
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from matrix.cli import output, values
from matrix.cli.endpoints import endpoint_option, endpoints_of

if TYPE_CHECKING:
    import pyarrow as pa

    from matrix.runtime.outcome import Outcome

GOAL_STATUSES = ("succeeded", "failed", "cancelled")
ROWS_SHOWN_MAX = 20  # on a terminal; in a pipe every simulation is written


@click.command(
    "run",
    epilog="\b\nExamples:\n  matrix run examples/negotiation.py --store runs --seed 7\n"
    "  matrix run examples/negotiation.py:negotiation --store runs --simulations 3 --set buyers=80 --set sellers=20",
)
@click.argument("program")
@click.option(
    "--store", default="runs", show_default=True, help="The folder to record into; made when it is not there."
)
@click.option("--seed", default=0, show_default=True, help="Of the first simulation; the next ones count on from it.")
@click.option("--simulations", type=click.IntRange(min=1), default=1, show_default=True, help="How many to run.")
@click.option("--at-once", type=click.IntRange(min=1), default=100, show_default=True, help="How many side by side.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of PROGRAM; may be repeated.")
@click.option(
    "--durability",
    type=click.Choice(["sync", "interval", "os"]),
    default="interval",
    show_default=True,
    help="What a crash may cost: nothing, 100 ms after a power cut, or what the system had not written.",
)
@click.option(
    "--delivery",
    type=click.Choice(["arrival", "ordered"]),
    default="arrival",
    show_default=True,
    help="Answers to calls: as they come, or in the order of the calls, whatever each takes.",
)
@click.option(
    "--guard",
    type=click.Choice(["raise", "warn", "off"]),
    default="raise",
    show_default=True,
    help="What becomes of an agent that reads a clock, chance or the outside past its own self.now, .random, .call().",
)
@click.option(
    "--time",
    "flow",
    type=click.Choice(["virtual", "real"]),
    default="virtual",
    show_default=True,
    help="Virtual time jumps to what happens next; real time follows the wall clock, for demonstrations.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="With --time real: seconds of the simulation in one of the wall clock.",
)
@endpoint_option
@click.option("--shuffle", is_flag=True, help="Let the seed say who goes first among those ready at one time.")
def command(
    program: str,
    store: str,
    seed: int,
    simulations: int,
    at_once: int,
    settings: tuple[str, ...],
    durability: str,
    delivery: str,
    guard: str,
    flow: str,
    speed: float,
    endpoints: tuple[str, ...],
    shuffle: bool,
) -> None:
    """Run PROGRAM (module:function, or file.py[:function]) and record every event in a store.

    Values of --set are numbers, true or false, else text; put a text in "double quotes" to keep it one.
    Ends with the simulations and how they went: a table on a terminal, else JSON Lines. The exit code is 1
    when one failed. Ctrl-C stops all in order and records it; a second one stops at once.
    """
    from matrix.cli.program import check_parameters, load_program

    if speed != 1 and flow != "real":
        raise click.UsageError("--speed is of use with --time real only: virtual time waits for nobody")
    parameters, models = values.pairs(settings, option="--set"), endpoints_of(endpoints)
    function = load_program(program)
    check_parameters(function, parameters)

    from matrix import run  # here its modules are loaded, so that the time below is the run's own
    from matrix.cli.progress import run_progress

    _refuse_options(parameters)

    begun = time.perf_counter()
    with run_progress(simulations) as progress:
        outcomes = run(
            function,
            store=store,
            seed=seed,
            simulations=simulations,
            at_once=at_once,
            durability=durability,
            progress=progress,
            delivery=delivery,
            guard=guard,
            time=flow,
            speed=speed,
            shuffle=shuffle,
            models=models,
            **parameters,
        )
    took = time.perf_counter() - begun
    _write(outcomes)
    _summary(outcomes, took, store)


def _refuse_options(parameters: dict[str, Any]) -> None:
    """A parameter that is called like an option of every simulation could never reach its program."""
    from matrix import Runtime, run

    for name in parameters:
        if name in inspect.signature(run).parameters or name in inspect.signature(Runtime.start).parameters:
            raise click.UsageError(f'"{name}" is an option of every simulation; give the parameter another name')


def _write(outcomes: list[Outcome]) -> None:
    from matrix.cli.table import write_table
    from matrix.query import rows

    if not output.is_terminal(sys.stdout):
        rows.write_jsonl(outcome_table(outcomes), sys.stdout.buffer)
        return
    import shutil

    shown = glance_table(outcomes[:ROWS_SHOWN_MAX])
    write_table(shown, sys.stdout, width=shutil.get_terminal_size().columns)


def outcome_table(outcomes: list[Outcome]) -> pa.Table:
    """Outcomes as rows for machines: everything known about them."""
    import pyarrow as pa

    names = ("id", "status", "reason", "seed", "events", "agents", "turns")
    columns: dict[str, Any] = {name: [getattr(outcome, name) for outcome in outcomes] for name in names}
    columns["duration"] = pa.array([outcome.duration for outcome in outcomes], pa.duration("us"))
    return pa.table(columns | {f"goals_{status}": counts for status, counts in _goals(outcomes).items()})


def glance_table(outcomes: list[Outcome]) -> pa.Table:
    """Outcomes as rows for people: what fits a terminal, goals under their status."""
    import pyarrow as pa

    names = ("id", "status", "seed", "agents", "events")
    columns: dict[str, Any] = {name: [getattr(outcome, name) for outcome in outcomes] for name in names}
    columns["duration"] = pa.array([output.rough(outcome.duration) for outcome in outcomes], pa.duration("us"))
    return pa.table({**columns, **_goals(outcomes)})


def _goals(outcomes: list[Outcome]) -> dict[str, list[int]]:
    statuses = [s for s in GOAL_STATUSES if any(s in outcome.goals for outcome in outcomes)]
    return {status: [outcome.goals.get(status, 0) for outcome in outcomes] for status in statuses}


def _summary(outcomes: list[Outcome], took: float, store: str) -> None:
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    events = sum(outcome.events for outcome in outcomes)
    hidden = len(outcomes) - ROWS_SHOWN_MAX
    if hidden > 0 and output.is_terminal(sys.stdout):
        output.words(f"and {hidden:,} more: matrix query {store} 'simulations'", style="bright_black")
    output.words(
        f"{output.count(len(outcomes), 'simulation')}, {output.count(events, 'event')} in {took:.1f} s "
        f"({events / took:,.0f} events/s), recorded in {store}",
        style="green" if not failed else None,
    )
    for outcome in failed[:ROWS_SHOWN_MAX]:
        cause = f": {output.one_line(outcome.error)}" if outcome.error is not None else f": {outcome.reason}"
        output.explain(f"simulation {outcome.id} (seed {outcome.seed}) failed{cause}")
    if failed:
        raise click.exceptions.Exit(1)
