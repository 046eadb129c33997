"""`matrix import`: bring in histories recorded elsewhere; a shell over `import_files`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from matrix.cli import output

if TYPE_CHECKING:
    from matrix.importers import ImportReport, Progress

    Show = Callable[[Progress], None]


@click.command(
    "import",
    epilog="\b\nExample:\n  matrix import casino talks.json --store talks\n"
    "  matrix query talks 'goals | count(succeeded) / count as rate by role'",
)
@click.argument("form", metavar="FORMAT")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--store", required=True, metavar="STORE", help="The folder to import into; made when it is not there.")
def command(form: str, files: tuple[str, ...], store: str) -> None:
    """Import recorded histories: FORMAT is tau2, tau-bench, casino, cicero, llm-deliberation, openai (chat JSON
    Lines), meta-matrix, inspect (with the extra of that name), or one that an installed package adds.

    Files may be compressed with gzip or zstd. Each is imported whole or, when it is not of the format or is cut off,
    not at all; a file that is there already adds nothing. The exit code is 1 when a file was refused.
    """
    from matrix.importers import formats, import_files

    if form not in formats():
        raise click.UsageError(f'there is no format "{form}"; there are: {", ".join(formats())}')
    is_refused = False
    for file in files:
        with _progress() as show:
            (report,) = import_files(store, form, [file], show)
        _say(report)
        is_refused |= report.is_refused
    if is_refused:
        raise click.exceptions.Exit(1)


def _say(report: ImportReport) -> None:
    if report.is_refused:
        output.explain(report.message)
    else:
        output.words(report.message, style="green" if report.simulations else None)


@contextmanager
def _progress() -> Iterator[Show | None]:
    """A bar on a terminal, gone when the file is done; nothing anywhere else."""
    if not output.is_terminal(sys.stderr):
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TextColumn("{task.fields[found]}"),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("checking", total=None, found="")

        def show(now: Progress) -> None:
            found = output.count(now.simulations, "simulation") if now.simulations else ""
            bar.update(task, description=now.phase, completed=now.bytes_read, total=now.bytes_total, found=found)

        yield show
