"""Words for people: what goes to stderr, and how values look to a reader.

Rows are in `rows.py` and `table.py`; nothing here writes to stdout.
"""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from matrix.query.engine.notation import duration_text

# Where the code of others lies: an error that comes from there is shown at the line of the user's that led to it.
_NOT_THEIRS = (
    str(Path(__file__).parent.parent),
    "<frozen",
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
)


def words(text: str, *, style: str | None = None, bold: bool = False) -> None:
    """A line for people, to stderr, in colour where stderr is a terminal."""
    click.secho(text, err=True, fg=style, bold=bold, color=colour())


def colour() -> bool | None:
    """False for people who set NO_COLOR (no-color.org); else each stream decides by what it is."""
    return False if os.environ.get("NO_COLOR") else None


def notice(text: str) -> None:
    """Something the reader should know about the rows."""
    words(f"notice: {text}", style="yellow")


@contextmanager
def diagnostics() -> Iterator[None]:
    """Warnings of the library are words too: a hung turn, a clock that was read past the agent, ...

    A program that sets up logging by itself gets them there instead.
    """
    import logging

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not logging.getLogger().handlers:
                words(f"{record.levelname.lower()}: {record.getMessage()}", style="yellow")

    logger, handler = logging.getLogger("matrix"), Handler(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def explain(message: str) -> int:
    """Say what is wrong; returns the exit code for an error in the data or the run."""
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True, color=colour())
    return 1


def explain_usage(error: click.ClickException) -> None:
    """A wrong command line, in the same form as every other error, with where to read on."""
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        words(error.format_message())  # the bare command: its help is all there is to say
        return
    explain(error.format_message())
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        words(f"see: {context.command_path} --help")


def explain_unexpected(error: Exception) -> int:
    """One line even for what nobody foresaw; MATRIX_TRACEBACK=1 shows where it came from."""
    if os.environ.get("MATRIX_TRACEBACK"):
        traceback.print_exception(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return explain(f"{where}{error.strerror or error}")
    return explain(f"{one_line(error)} (MATRIX_TRACEBACK=1 shows where)")


def one_line(error: BaseException) -> str:
    """An exception as its type, its text and the place: the user's own line that led to it, else where it was raised.

    >>> one_line(ValueError("no such lamp"))
    'ValueError: no such lamp'
    """
    while isinstance(error, BaseExceptionGroup):  # Trio's nurseries wrap what an agent raised
        error = error.exceptions[0]
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_NOT_THEIRS)] or frames
    place = f" at {short_path(theirs[-1].filename)}:{theirs[-1].lineno}" if theirs else ""
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"


def short_path(path: str | Path) -> str:
    """A path as one would type it from here."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def rough(microseconds: int) -> int:
    """A duration without the digits that say nothing at a glance."""
    for least, step in ((3_600_000_000, 60_000_000), (60_000_000, 1_000_000), (10_000_000, 100_000), (1_000, 1_000)):
        if microseconds >= least:
            return round(microseconds / step) * step
    return microseconds


def rough_duration(microseconds: int) -> str:
    """A duration for people, in words.

    >>> rough_duration(33_247_801_442), rough_duration(606_877), rough_duration(12_345_678)
    ('9h14m', '607ms', '12.3s')
    """
    return duration_text(rough(microseconds))


def count(value: int, thing: str) -> str:
    """A count with its thing.

    >>> count(1, "row"), count(12_000, "row")
    ('1 row', '12,000 rows')
    """
    return f"{value:,} {thing}{'' if value == 1 else 's'}"


def size(bytes_count: int) -> str:
    """A number of bytes for people.

    >>> size(999), size(64 * 1024 * 1024)
    ('999 bytes', '64.0 MiB')
    """
    if bytes_count < 1024:
        return f"{bytes_count} bytes"
    value = float(bytes_count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1024 or unit == "TiB":
            break
    return f"{value:.1f} {unit}"


def is_terminal(stream: TextIO) -> bool:
    """Whether people look at this stream."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
