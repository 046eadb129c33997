"""`matrix watch`: the rows of a query as they come; a shell over `Store.watch`."""

from __future__ import annotations

import json
import math
import select
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from matrix.cli import output, target, values

if TYPE_CHECKING:
    from matrix.cli.table import Column
    from matrix.cli.target import Target
    from matrix.query.syntax import Type
    from matrix.query.watch import WatchedRow

FORMATS = ("table", "jsonl")


@click.command(
    "watch",
    epilog="Without a limit a watch goes on until Ctrl-C.\n\n"
    "\b\nExamples:\n  matrix watch runs 'events offer | limit 3' --after start\n"
    "  matrix watch runs 'agents where role = $role and goal succeeded | limit 1' --after start --param role=buyer",
)
@click.argument("store")
@click.argument("query", nargs=-1, required=True, metavar="QUERY")
@click.option("--after", metavar="POSITION", help='"start": all that was written before, first; or a row\'s position.')
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A value for $NAME; may be repeated.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: a table on a terminal, else jsonl.")
@target.token_option
def command(
    store: str,
    query: tuple[str, ...],
    after: str | None,
    params: tuple[str, ...],
    form: str | None,
    token: str | None,
) -> None:
    """Tell the rows of QUERY in STORE, a folder or the address of a server, as they come, until Ctrl-C.

    Without --after, from now on. In jsonl each row has its "position": with --after POSITION a watch goes on right
    behind that row, without a gap and without telling a row twice.
    """
    if len(query) > 1:
        raise click.UsageError(f"the query is one argument; put it in quotes: matrix watch {store} '{' '.join(query)}'")
    bound = values.pairs(params, option="--param", of_query=True)
    text = sys.stdin.read() if query[0] == "-" else query[0]
    with target.opened(store, token) as opened:
        watch_rows(opened, text, bound, form=form, after=after)


def watch_rows(
    store: Target,
    text: str,
    parameters: Mapping[str, Any],
    *,
    form: str | None,
    after: str | None,
    file: str | None = None,
) -> None:
    """Write rows to stdout as they come."""
    if file is not None or form not in (None, *FORMATS):
        raise click.UsageError(f"a watch has no end, so its rows go to stdout, as {' or '.join(FORMATS)}")
    watched = store.watch(text, after=after, **parameters)
    is_terminal = output.is_terminal(sys.stdout)
    form = form or ("table" if is_terminal else "jsonl")
    write = _JsonLines(watched.columns).write if form == "jsonl" else _Lines(watched.columns, is_terminal).write
    said = 0
    reader = _Reader()
    for rows in watched.looks():
        for line in watched.notices[said:]:
            output.notice(line)
        said = len(watched.notices)
        if rows:
            write(rows)
            sys.stdout.flush()
        reader.check()


class _Reader:
    """Whoever reads our stdout through a pipe: that it has gone is to be noticed also while there is nothing to say."""

    def __init__(self) -> None:
        self._poll = select.poll()
        try:
            self._poll.register(sys.stdout.fileno(), 0)  # errors and hang-ups are always told
        except (OSError, ValueError):  # not a file: a test's buffer
            return

    def check(self) -> None:
        """Raise ``BrokenPipeError`` when nobody reads any more."""
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in self._poll.poll(0)):
            raise BrokenPipeError


class _JsonLines:
    """One JSON object a line, with the row's position; values as `matrix query` writes them."""

    def __init__(self, columns: list[tuple[str, Type]]) -> None:
        if any(name == "position" for name, _ in columns):
            raise click.UsageError('a row of a watch has its "position" besides; name that column otherwise')
        self._columns = columns
        self._encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

    def write(self, rows: list[WatchedRow]) -> None:
        for row in rows:
            plain = {name: _plain(row[name], type) for name, type in self._columns}
            sys.stdout.write(self._encode({**plain, "position": row.position}) + "\n")


def _plain(value: Any, type: Type) -> Any:
    from matrix.query.engine.notation import time_text

    if isinstance(value, float) and not math.isfinite(value):
        return None
    return time_text(value) if type == "time" and value is not None else value


class _Lines:
    """Aligned lines: widths come from the first rows, and a terminal's width is kept to."""

    def __init__(self, columns: list[tuple[str, Type]], is_terminal: bool) -> None:
        self._types = columns
        self._is_terminal = is_terminal
        self._columns: list[Column] = []

    def write(self, rows: list[WatchedRow]) -> None:
        from matrix.cli.table import GAP, line

        cells = [[_text(row[name], type) for name, type in self._types] for row in rows]
        if not self._columns:
            self._columns = self._laid_out(cells)
            names = line([column.fit(column.name) for column in self._columns])
            click.secho(names, bold=True, color=output.colour())
            click.secho(GAP.join("─" * column.width for column in self._columns), dim=True, color=output.colour())
        for row in cells:
            sys.stdout.write(line([column.fit(row[column.index]) for column in self._columns]) + "\n")

    def _laid_out(self, cells: list[list[str]]) -> list[Column]:
        from matrix.cli.table import Column, fitted

        columns = []
        for index, (name, type) in enumerate(self._types):
            is_number = type in ("number", "duration")
            width = max(_WIDTHS.get(type, 0), len(name), *(len(row[index]) for row in cells))
            column = Column(name, index, str, is_right=is_number, is_whole=is_number or type == "time", width=width)
            columns.append(column)
        return fitted(columns, shutil.get_terminal_size().columns) if self._is_terminal else columns


_WIDTHS = {"number": 6, "duration": 9, "time": 27, "text": 12}  # of rows that are still to come


def _text(value: Any, type: Type) -> str:
    from matrix.cli.table import safe
    from matrix.query.engine.notation import duration_text, number_text, time_text

    if value is None:
        return ""
    if type in ("duration", "time"):
        show: Callable[[int], str] = duration_text if type == "duration" else time_text
        return show(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    return safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
