"""`matrix report`: how diverse what a query finds is, and how close to real text; a shell over `Store.report`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from matrix.cli import output, values

Show = Callable[[str, int, int], None]

_STYLES = {"good": "green", "look": "yellow", "bad": "red", "note": "blue"}


@click.command(
    "report",
    epilog="\b\nExamples:\n  matrix report runs 'agents where role = buyer' -o figures\n"
    "  matrix report runs 'agents where goal succeeded' --reference books.txt talks.jsonl.gz -o report.html",
)
@click.argument("store")
@click.argument("query")
@click.argument("more", nargs=-1, metavar="[FILE]...")
@click.option(
    "--reference", "files", multiple=True, metavar="FILE...", help="Real text to compare with; several may follow."
)
@click.option(
    "-o", "--output", "to", metavar="FOLDER|FILE", help="report.html and report.json in a FOLDER, or one FILE."
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as one JSON object.")
@click.option("--threshold", type=float, default=0.8, metavar="SHARE", help="From when rows are near duplicates: 0.8.")
@click.option(
    "--copied", type=float, metavar="SHARE", help="Of 8-grams in the reference, from when a row is copied: 0.5."
)
@click.option("--far", type=float, metavar="SHARE", help="Of 3-grams in it, under which a row is far from it: 0.05.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A value for $NAME; may be repeated.")
def command(
    store: str,
    query: str,
    more: tuple[str, ...],
    files: tuple[str, ...],
    to: str | None,
    as_json: bool,
    params: tuple[str, ...],
    **options: Any,
) -> None:
    """Tell whether the chats that a QUERY finds in STORE are good enough to train on.

    Duplicates, diversity, likeness, lengths, outcomes, and which kinds and goals of the store are covered; with
    --reference also how much of what the agents say stands in real text, what was copied from it, and what is far
    from it. The rows are those of `matrix export --as chat`. QUERY may be - for stdin.

    A reference FILE is plain text or Markdown, JSON Lines (.jsonl) or JSON (.json), of which the texts under "text",
    "content" and "utterance" count; any may be gzipped.
    """
    import matrix
    from matrix.report.report import files_at

    if "://" in store:
        raise click.UsageError(f"a report reads the log itself: give the store's folder in place of {store}")
    if more and not files:
        raise click.UsageError(
            f"the query is one argument, in quotes; a file of real text follows --reference: {more[0]}"
        )
    text = sys.stdin.read() if query == "-" else query
    bound = values.pairs(params, option="--param", of_query=True)
    with matrix.open(store) as opened, _progress() as show:
        done = opened.report(text, reference=[*files, *more], to=to, parameters=bound, progress=show, **options)
    if as_json:
        sys.stdout.buffer.write(done.to_json().encode("utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
    else:
        _show(done.data["readings"])
    for notice in done.data["notices"]:
        output.notice(notice)
    if not done.data["rows"]:
        output.notice("the query finds no chat; nothing was measured")
    if to is None and not as_json and output.is_terminal(sys.stdout):
        output.words("what they mean, with plots and the rows that are meant: -o report.html", style="bright_black")
    for file in files_at(to) if to is not None else ():
        output.words(f"written: {output.short_path(file)}")


def _show(readings: Sequence[Mapping[str, Any]]) -> None:
    """A line for each figure that decides; what it means is on the page."""
    names = max(len(one["figure"]) for one in readings)
    for one in readings:
        verdict = click.style(one["verdict"].ljust(4), fg=_STYLES[one["verdict"]], bold=True)
        click.echo(f"{verdict}  {one['figure'].ljust(names)}  {_safe(one['value'])}", color=output.colour())


def _safe(text: str) -> str:
    """Names of outcomes and kinds are of other people's making: they must not move the cursor."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


@contextmanager
def _progress() -> Iterator[Show | None]:
    """What is being done, on a terminal, gone when it is done; nothing anywhere else."""
    if not output.is_terminal(sys.stderr):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=16), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("finding rows", total=None)

        def show(what: str, done: int, of: int) -> None:
            counted = f"{what}: {done:,}" if not of else what
            bar.update(task, description=counted, completed=done, total=of or None)

        yield show
