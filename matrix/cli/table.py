"""Rows for people: a table that fits the terminal.

No borders: bold names over a thin rule, numbers and durations to the right, what is missing left blank.
Widths come from the first rows, then rows are written as they come, so a long result starts at once.
On a terminal long cells are cut with an ellipsis (ids in the middle, as they differ at the end), and columns that do
not fit are left out, the least telling first, and named below; anywhere else nothing is cut. A chat has a line for
each message, long messages are wrapped, and half of the width is kept for them; what is drawn (a tree, the bars of a
timeline) stays whole as long as there is room for it alone.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import click
import pyarrow as pa
from rich.cells import cell_len, set_cell_size

from matrix.cli import output
from matrix.query import rows
from matrix.query.engine.notation import duration_text, message_text, number_text

SAMPLE_ROWS = 1_000  # widths are taken from so many
TEXT_WIDTH_MIN = 16  # a column of text is cut to no less before whole columns are left out
TAIL_WIDTH = 6  # what stays of the end of an id that is cut: of an event's, its place in its simulation
GAP = "  "

#: Built-in columns that a narrow terminal can spare, the most dispensable first: most repeat what others say.
SPARE: tuple[str, ...] = (
    "level",
    "wall",
    "seq",
    "simulation",
    "conversation",
    "state",
    "peer",
    "parent",
    "reply_to",
    "cause",
    "turn",
    "end",
)
SPARE += ("turns", "start", "goal", "role", "seed")

OPEN = ("data", "text")  # long by nature, and no less telling when cut
IDS = frozenset(("id", "simulation", "goal", "state", "cause", "parent", "reply_to", "conversation", "origin"))
DRAWN = {"tree": "level", "bar": "lane"}  # drawings, and the column by whose presence they are known

# Text of other people's making must not move the cursor or colour the terminal.
_BLANKS = dict.fromkeys(map(ord, "\n\r\t\v\f\u2028\u2029"), " ")
_CONTROLS = dict.fromkeys([*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
_SAFE = {**_CONTROLS, **_BLANKS}


@dataclass(slots=True)
class Column:
    """One column as shown: how a value becomes text, on which side it stands, how wide it is."""

    name: str
    index: int
    show: Callable[[Any], str]
    is_right: bool = False
    is_whole: bool = False  # never cut: half a number, or half a time, misleads
    is_drawn: bool = False
    is_chat: bool = False
    width: int = 0
    least: int = TEXT_WIDTH_MIN
    is_empty: bool = False

    def fit(self, text: str) -> str:
        """The text in exactly this column's width."""
        length = cell_len(text)
        if length > self.width:
            tail = text[-TAIL_WIDTH:] if self.name in IDS else ""
            head = self.width - 1 - cell_len(tail)
            return set_cell_size(text, head) + "…" + tail if head > 0 else set_cell_size(text, self.width - 1) + "…"
        pad = " " * (self.width - length)
        return pad + text if self.is_right else text + pad


def write_table(table: rows.Rows, out: TextIO, *, width: int | None = None, indent: str = "") -> list[str]:
    """Write the table, at most `width` cells wide; returns the names of columns that were left out."""
    width = None if width is None else width - len(indent)
    columns = [_column(field, i) for i, field in enumerate(table.schema)]
    for column in columns:
        column.is_drawn = DRAWN.get(column.name) in table.schema.names
        column.is_whole |= column.is_drawn
    lines = _cells(table, columns)
    sample = list(itertools.islice(lines, SAMPLE_ROWS))
    for column in columns:
        column.width = max(map(_width, (column.name, *(row[column.index] for row in sample))))
        column.is_empty = bool(sample) and not any(row[column.index] for row in sample)
    shown = columns if width is None else fitted(columns, width)
    if len(table.schema):
        click.secho(indent + line([c.fit(c.name) for c in shown]), file=out, bold=True, color=output.colour())
        click.secho(indent + GAP.join("─" * c.width for c in shown), file=out, dim=True, color=output.colour())
    for row in itertools.chain(sample, lines):
        for texts in _lines([row[c.index] for c in shown], shown, is_cut=width is not None):
            cells = [_padded(c, text) if width is None else c.fit(text) for c, text in zip(shown, texts)]
            out.write((indent + line(cells)).rstrip() + "\n")
    return [c.name for c in columns if c not in shown]


def _column(field: pa.Field, index: int) -> Column:
    if pa.types.is_duration(field.type):
        return Column(field.name, index, duration_text, is_right=True, is_whole=True)
    if pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
        return Column(field.name, index, number_text, is_right=True, is_whole=True)
    if pa.types.is_boolean(field.type):
        return Column(field.name, index, lambda value: "true" if value else "false", is_whole=True)
    if pa.types.is_list(field.type):
        return Column(field.name, index, _chat_text, is_chat=True)
    return Column(field.name, index, safe, is_whole=pa.types.is_timestamp(field.type))


def _chat_text(messages: list[Mapping[str, Any]]) -> str:
    """The messages of a chat, a line each."""
    return "\n".join(safe(message_text(message)) for message in messages)


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _lines(texts: list[str], shown: list[Column], *, is_cut: bool) -> Iterator[list[str]]:
    """The lines of one row: one, unless it has a chat."""
    if not any("\n" in text or (column.is_chat and is_cut) for column, text in zip(shown, texts)):
        yield texts
        return
    parts = [text.split("\n") for text in texts]
    if is_cut:
        parts = [_wrapped(each, c.width) if c.is_chat else each for c, each in zip(shown, parts)]
    yield from map(list, itertools.zip_longest(*parts, fillvalue=""))


def _wrapped(lines: list[str], width: int) -> list[str]:
    return [piece for line in lines for piece in textwrap.wrap(line, max(width, 8), subsequent_indent="  ") or [line]]


def safe(value: object) -> str:
    """A value as text that stays in its cell."""
    return str(value).translate(_SAFE)


def _cells(table: rows.Rows, columns: list[Column]) -> Iterator[list[str]]:
    for batch in rows.batches(table):
        texts = [["" if v is None else c.show(v) for v in rows.values(batch, c.index)] for c in columns]
        yield from map(list, zip(*texts))


def fitted(columns: list[Column], width: int) -> list[Column]:
    """The columns that fit, each with its final width: the least telling go first, then text is cut."""
    shown, gone = list(columns), []
    for column in shown:
        if column.is_chat:
            column.least = max(TEXT_WIDTH_MIN, width // 2)
    while _total(map(_floor, shown)) > width and len(shown) > 1:
        gone.append(_least_telling(shown))
        shown.remove(gone[-1])
    for column in reversed(gone):  # what went last may leave room for a narrower one that went before
        if not column.is_empty and _total(map(_floor, [*shown, column])) <= width:
            shown.append(column)
    shown.sort(key=lambda column: column.index)
    _shrink(shown, width)
    return shown


def _shrink(shown: list[Column], width: int) -> None:
    """Take from the widest texts until the line fits; from open data first, so that ids stay whole."""
    while (excess := _total(column.width for column in shown) - width) > 0:
        spare = [column for column in shown if column.width > _floor(column)]
        if not spare:  # one column is left, and the terminal is narrower still
            shown[0].width = max(2, width)
            return
        spare = [column for column in spare if column.name in OPEN or column.is_chat] or spare
        widest = max(spare, key=lambda column: column.width)
        next_widest = max([_floor(widest), *(c.width for c in spare if c.width < widest.width)])
        widest.width -= max(1, min(excess, widest.width - next_widest))


def _floor(column: Column) -> int:
    return column.width if column.is_whole else min(column.width, column.least)


def _least_telling(shown: list[Column]) -> Column:
    for column in shown:
        if column.is_empty:
            return column
    for name in SPARE:
        for column in shown[1:]:
            if column.name == name:
                return column
    if shown[-1].is_drawn and len(shown) > 1:
        return shown[-2]
    is_told = any(column.name == "text" for column in shown)  # then data, which has the text too, says little more
    return shown[-2] if shown[-1].name == "data" and len(shown) > 2 and not is_told else shown[-1]


def _total(widths: Iterable[int]) -> int:
    each = list(widths)
    return sum(each) + len(GAP) * (len(each) - 1)


def _padded(column: Column, text: str) -> str:
    # Off the terminal nothing is cut: a cell wider than the sample's pushes its line to the right.
    return text if cell_len(text) > column.width else column.fit(text)


def line(cells: list[str]) -> str:
    """Cells side by side."""
    return GAP.join(cells).rstrip()
