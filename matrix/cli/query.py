"""`matrix query`: ask a store; a shell over `Store.query`."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from matrix.cli import output, target, values
from matrix.cli.watch import watch_rows

if TYPE_CHECKING:
    from matrix.query.rows import Rows

FORMATS = ("table", "json", "jsonl", "csv", "arrow", "parquet")
_BY_SUFFIX = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".arrow": "arrow"}
_BY_SUFFIX |= {".parquet": "parquet", ".txt": "table"}


@click.command(
    "query",
    epilog="\b\nExamples:\n  matrix query runs 'goals | count(succeeded) / count as rate by role'\n"
    "  matrix query runs 'agents where role = $role' --param role=buyer --format csv -o buyers.csv\n"
    "  echo 'events offer | avg(.price) by role' | matrix query runs -",
)
@click.argument("store")
@click.argument("query", nargs=-1, metavar="[QUERY]")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A value for $NAME; may be repeated.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: a table on a terminal, else jsonl.")
@click.option("-o", "--output", "file", metavar="FILE", help="Write the rows here; .csv, .parquet… say the format.")
@target.token_option
@click.option("--no-history", is_flag=True, envvar="MATRIX_NO_HISTORY", help="Keep nothing that is typed at a prompt.")
def command(
    store: str,
    query: tuple[str, ...],
    params: tuple[str, ...],
    form: str | None,
    file: str | None,
    token: str | None,
    no_history: bool,
) -> None:
    """Ask STORE, a folder or the address of a server, a question; rows go to stdout.

    QUERY is one argument (quote it), or - to read it from stdin. Without it a prompt opens on a terminal, with
    completion and history (in the user's state folder; --no-history or MATRIX_NO_HISTORY=1 keeps none).

    Values of --param are numbers, true or false, durations (5m), times (@2026-01-31), lists (["a", "b"]), else
    text; put a text in "double quotes" to keep it one.

    A table shows durations as 1m30s and times as ISO text. In json, jsonl and csv a duration is an integer of
    microseconds, a time ISO text, what is missing null (or empty); arrow (an IPC stream) and parquet keep the types.
    """
    if len(query) > 1:
        raise click.UsageError(f"the query is one argument; put it in quotes: matrix query {store} '{' '.join(query)}'")
    form = format_of(form, file)
    if not query and (file is not None or not _is_at_a_terminal()):
        raise click.UsageError(f"what is asked? a QUERY in quotes, or - for stdin: matrix query {store} 'agents'")
    bound = values.pairs(params, option="--param", of_query=True)
    if not query:
        from matrix.cli.prompt.session import open_prompt

        open_prompt(store, bound, form, token=token, keeps_history=not no_history)
        return
    text = sys.stdin.read() if query[0] == "-" else query[0]

    from matrix.query.check import check

    asked = check(text, bound)
    with target.opened(store, token) as opened:
        if asked.is_watch and not asked.is_explain:
            watch_rows(opened, text, bound, form=form, after=None, file=file)
            return
        answer = target.ask(opened, text, bound)
        left_out = write_rows(answer.rows, form, file)
    for line in answer.notices:
        output.notice(line)
    if form == "table":
        _footer(answer.count, answer.seconds, left_out)


def _is_at_a_terminal() -> bool:
    """Whether somebody types, and sees the answer."""
    return output.is_terminal(sys.stdin) and output.is_terminal(sys.stdout)


def format_of(form: str | None, file: str | None) -> str:
    """The format asked for, or the one that the file's name or the terminal suggests."""
    if file is not None:
        folder = Path(file).parent
        if not folder.is_dir():
            raise click.UsageError(f"there is no folder {folder} to write {file} in")
        return form or _BY_SUFFIX.get(Path(file).suffix.lower(), "jsonl")
    is_terminal = output.is_terminal(sys.stdout)
    if form in ("arrow", "parquet") and is_terminal:
        raise click.UsageError(f"{form} is not for a terminal; add -o FILE, or pipe it on")
    return form or ("table" if is_terminal else "jsonl")


def write_rows(table: Rows, form: str, file: str | None) -> list[str]:
    """Write the rows to a file, or to stdout; returns the columns that a table left out."""
    from matrix.query import rows

    with _opened(file) as out:
        if form != "table":
            rows.WRITERS[form](table, out)
            return []
        return _write_table(table, out, to_terminal=file is None and output.is_terminal(sys.stdout))


def _write_table(table: Rows, out: BinaryIO, *, to_terminal: bool) -> list[str]:
    from matrix.cli.table import write_table

    if to_terminal:
        return write_table(table, sys.stdout, width=shutil.get_terminal_size().columns)
    text = io.TextIOWrapper(out, encoding="utf-8")
    try:
        return write_table(table, text)
    finally:
        text.detach()  # flushes, and leaves the bytes below open


@contextlib.contextmanager
def _opened(file: str | None) -> Iterator[BinaryIO]:
    """Where rows go: a file, or stdout."""
    if file is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    from matrix.query.rows import opened_file

    with opened_file(Path(file)) as out:
        yield out


def _footer(count: int, took: float, left_out: list[str]) -> None:
    if output.is_terminal(sys.stderr):
        counted = output.count(count, "row") if count else "no rows"
        output.words(f"{counted} · {took:.2f} s" if took >= 0.005 else counted, style="bright_black")
    tell_left_out(left_out)


def tell_left_out(left_out: list[str], *, all_of_them: str = "--format json") -> None:
    """Which columns a table had no room for, and how all of them are shown."""
    if left_out:
        output.words(
            f"not shown: {', '.join(left_out)} (| select chooses, {all_of_them} has all)", style="bright_black"
        )
