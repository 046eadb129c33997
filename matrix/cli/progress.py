"""Progress of a run, as a line on a terminal: simulations done, events, events a second, agents alive."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from matrix.cli import output

if TYPE_CHECKING:
    from matrix.runtime.runtime import Progress, Statistics


@contextmanager
def run_progress(simulations: int) -> Iterator[Progress | None]:
    """The hook to give to a run; None where nobody looks. The line is gone when the run is over."""
    if not output.is_terminal(sys.stderr):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
    if simulations > 1:
        columns.insert(1, BarColumn(bar_width=16))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=simulations)
        begun = time.perf_counter()

        def show(now: Statistics) -> None:
            seconds = time.perf_counter() - begun
            bar.update(task, completed=now.simulations_done, description=line(now, simulations, seconds))

        yield show


def line(now: Statistics, simulations: int, seconds: float) -> str:
    """The state of a run in one line."""
    done = f"{now.simulations_done:,} of {simulations:,} done · " if simulations > 1 else ""
    rate = now.events / seconds if seconds > 0 else 0.0
    alive = output.count(now.agents_alive, "agent")
    return f"{done}{output.count(now.events, 'event')} · {rate:,.0f}/s · {alive} alive"
