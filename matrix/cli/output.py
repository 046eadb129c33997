"""Words for people: what goes to stderr, and how values look to a reader.

Rows are in `rows.py` and `table.py`; nothing here writes to stdout.
"""

from __future__ import annotations

import os
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import click

_UNITS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000))


def words(text: str, *, style: str | None = None, bold: bool = False) -> None:
    """A line for people, to stderr, in colour where stderr is a terminal."""
    click.secho(text, err=True, fg=style, bold=bold, color=colour())


def colour() -> bool | None:
    """False for people who set NO_COLOR (no-color.org); else each stream decides by what it is."""
    return False if os.environ.get("NO_COLOR") else None


def notice(text: str) -> None:
    """Something the reader should know about the rows."""
    words(f"notice: {text}", style="yellow")


def explain(message: str) -> int:
    """Say what is wrong; returns the exit code for an error in the data or the run."""
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True, color=colour())
    return 1


def explain_usage(error: click.ClickException) -> None:
    """A wrong command line, in the same form as every other error, with where to read on."""
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
    """An exception as its type, its text and the place in the user's or our code that raised it.

    >>> one_line(ValueError("no such lamp"))
    'ValueError: no such lamp'
    """
    while isinstance(error, BaseExceptionGroup):  # Trio's nurseries wrap what an agent raised
        error = error.exceptions[0]
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {short_path(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"


def short_path(path: str | Path) -> str:
    """A path as one would type it from here."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def duration(microseconds: int) -> str:
    """A duration in the language's own notation, exactly.

    >>> duration(90_000_000), duration(1_500), duration(5_400_000_000), duration(-2_500_000), duration(0)
    ('1m30s', '1.5ms', '1h30m', '-2.5s', '0s')
    """
    if microseconds < 0:
        return "-" + duration(-microseconds)
    if 0 < microseconds < 1_000:
        return f"{microseconds}us"
    if 0 < microseconds < 1_000_000:
        return _decimal(microseconds, 1_000) + "ms"
    text, rest = "", microseconds
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text + (_decimal(rest, 1_000_000) + "s" if rest or not text else "")


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
    return duration(rough(microseconds))


def clock_time(microseconds: int) -> str:
    """A moment of the clock as ISO text in UTC.

    >>> clock_time(1_767_225_600_500_000)
    '2026-01-01T00:00:00.5Z'
    """
    seconds, fraction = divmod(microseconds, 1_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{fraction:06d}".rstrip("0") if fraction else "") + "Z"


def number(value: int | float) -> str:
    """A number as a table shows it: four decimals are enough for a glance.

    >>> number(12), number(0.41250), number(2.0), number(0.00001234)
    ('12', '0.4125', '2', '1.23e-05')
    """
    if isinstance(value, int):
        return str(value)
    if value != value or abs(value) >= 1e15 or 0 < abs(value) < 1e-3:
        return f"{value:.3g}"
    return f"{value:.4f}".rstrip("0").rstrip(".")


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


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    digits = len(str(unit)) - 1
    return f"{whole}" + (f".{fraction:0{digits}d}".rstrip("0") if fraction else "")
