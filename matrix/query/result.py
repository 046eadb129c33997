"""The rows a query returned: an Arrow table that shows itself, and that others take without a copy."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from matrix.errors import UsageError
from matrix.limits import RESULT_CELL_CHARS_MAX, RESULT_ROWS_SHOWN, RESULT_WIDTH_MAX
from matrix.query.engine.jsons import python_values
from matrix.query.engine.show import cell_text, is_right_aligned
from matrix.query.rows import is_json

if TYPE_CHECKING:
    import pandas

_ROWS_AT_ONCE = 8_192  # made into Python's values together


class Result:
    """A table with the language's column names, and notices about what was left out.

    >>> result = Result(pa.table({"role": ["buyer", "seller"], "count": [812, 340]}))
    >>> result
    role    count
    buyer     812
    seller    340
    2 rows
    >>> result.rows()[0]
    {'role': 'buyer', 'count': 812}

    ``duckdb.sql("from result")`` and ``polars.from_arrow(result)`` read the Arrow memory as it lies.
    """

    def __init__(
        self, table: pa.Table, notices: list[str] | None = None, exact: Mapping[str, pa.Array] | None = None
    ) -> None:
        """``exact`` has, for columns of JSON text, the CBOR of those values that the text does not hold."""
        self.table = table
        self.notices = notices or []
        self._exact = dict(exact or {})

    @classmethod
    def empty(cls, notices: list[str] | None = None) -> Result:
        """No rows, of no columns."""
        return cls(pa.table({}), notices)

    @classmethod
    def of_batches(cls, batches: list[pa.RecordBatch], schema: pa.Schema, notices: list[str]) -> Result:
        """Rows that come from a file or from a server."""
        return cls(pa.Table.from_batches(batches, schema), notices)

    def part(self, start: int, count: int) -> Result:
        """At most ``count`` rows from place ``start`` on."""
        exact = {name: values.slice(start, count) for name, values in self._exact.items()}
        return Result(self.table.slice(start, count), self.notices, exact)

    @property
    def column_names(self) -> list[str]:
        names: list[str] = self.table.column_names
        return names

    def rows(self) -> list[dict[str, Any]]:
        """Plain Python rows: durations and times are ints of microseconds, data is dicts and lists, missing is None."""
        return list(self)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        names = self.column_names
        for start in range(0, len(self), _ROWS_AT_ONCE):
            part = self.part(start, _ROWS_AT_ONCE)
            columns = [part._plain(i, name) for i, name in enumerate(names)]
            yield from (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))

    def _plain(self, place: int, name: str) -> list[Any]:
        column = self.table.column(place)
        if is_json(self.table.schema.field(place)):
            return python_values(column, self._exact.get(name))
        if pa.types.is_duration(column.type) or pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        values: list[Any] = column.to_pylist()
        return values

    def __len__(self) -> int:
        count: int = self.table.num_rows
        return count

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas DataFrame; data is dicts and lists. Needs pandas: ``pip install matrix-runtime[pandas]``."""
        try:
            import pandas
        except ImportError:
            raise UsageError(
                "pandas is not installed; pip install pandas, or use .table (Arrow) or .rows() (Python)"
            ) from None
        frame = self.table.to_pandas()
        lists = [field.name for field in self.table.schema if pa.types.is_list(field.type)]  # else arrays of numpy's
        nested = [name for name in self.column_names if is_json(self.table.schema.field(name))]
        data = {name: self._plain(self.table.schema.get_field_index(name), name) for name in nested}
        for name, values in (data | {name: self.table[name].to_pylist() for name in lists}).items():
            frame[name] = pandas.Series(values, index=frame.index, dtype=object)
        return frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The Arrow C stream: DuckDB, Polars and others read the columns without a copy."""
        return self.table.__arrow_c_stream__(requested_schema)

    # -- for people ---------------------------------------------------------------------------

    def __repr__(self) -> str:
        shown = self.table.slice(0, RESULT_ROWS_SHOWN)
        columns = [[name, *self._texts(shown, i)] for i, name in enumerate(self.column_names)]
        widths = [max(map(len, column)) for column in columns]
        fits = _columns_that_fit(widths)
        right = [is_right_aligned(field.type) for field in self.table.schema]
        lines = [
            "  ".join(
                text.rjust(width) if is_right else text.ljust(width)
                for text, width, is_right in zip(line[:fits], widths, right, strict=False)
            ).rstrip()
            for line in zip(*columns, strict=True)
        ]
        return "\n".join([*lines, self._count_text(len(self.column_names) - fits), *self.notices])

    def _texts(self, shown: pa.Table, place: int) -> list[str]:
        return [cell_text(value, RESULT_CELL_CHARS_MAX) for value in shown.column(place)]

    def _count_text(self, hidden_columns: int) -> str:
        count = len(self)
        text = f"{count:,} row{'' if count == 1 else 's'}"
        if count > RESULT_ROWS_SHOWN:
            text = f"… {text}, the first {RESULT_ROWS_SHOWN} shown"
        if hidden_columns:
            names = ", ".join(self.column_names[-hidden_columns:])
            text += f"; columns not shown: {names}"
        return text

    def _repr_html_(self) -> str:
        shown = self.table.slice(0, RESULT_ROWS_SHOWN)
        columns = [self._texts(shown, i) for i in range(shown.num_columns)]
        right = [is_right_aligned(field.type) for field in self.table.schema]
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.column_names)
        body = "".join(f"<tr>{_html_cells(cells, right)}</tr>" for cells in zip(*columns, strict=True))
        words = "<br>".join(html.escape(text) for text in [self._count_text(0), *self.notices])
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{words}</p>"


def _html_cells(cells: tuple[str, ...], right: list[bool]) -> str:
    style = ' style="text-align: right"'
    return "".join(
        f"<td{style if is_right else ''}>{html.escape(text)}</td>" for text, is_right in zip(cells, right, strict=True)
    )


def _columns_that_fit(widths: list[int]) -> int:
    """How many columns a line has room for; the first always."""
    total = 0
    for place, width in enumerate(widths):
        total += width + (2 if place else 0)
        if total > RESULT_WIDTH_MAX and place:
            return place
    return len(widths)
