"""Results as people and other programs see them."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from matrix.errors import UsageError
from matrix.log.rows import KindRows, Rows
from matrix.query.result import Result
from matrix.store import Store
from matrix.testing.stores import write_rows
from tests.query.asking import deal_store, offers_store


def test_a_result_reads_as_an_aligned_table(tmp_path: Path) -> None:
    assert repr(deal_store(tmp_path).query("agents | select id, role, turns, start, duration")).splitlines() == [
        "id     role    turns  start  duration",
        "alice  buyer       2     0s        3s",
        "bob    seller      1     0s        3s",
        "carol              0     0s        3s",
        "3 rows",
    ]


def test_long_wide_and_strange_cells_are_cut(tmp_path: Path) -> None:
    store = offers_store(tmp_path, *({"word": "x" * 500, "line": "a\nb\x1b[2J"} for _ in range(60)))
    text = repr(store.query("events offer"))
    assert "… 60 rows, the first 40 shown" in text
    assert max(map(len, text.splitlines()[:-1])) <= 170
    assert "a·b·[2J" in repr(store.query("events offer | select .line"))


def test_columns_that_do_not_fit_are_named() -> None:
    table = pa.table({f"column_{n}": ["x" * 30] for n in range(10)})
    text = repr(Result(table))
    assert text.splitlines()[-1] == "1 row; columns not shown: column_5, column_6, column_7, column_8, column_9"


def test_html_is_escaped_and_carries_the_notices(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"price": "<b>"}, {"price": 3})
    html = store.query("events offer where .price > 1 or .price = '<b>' | select .price")._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "1 events had text in .price" in html


def test_rows_are_plain_python_values(tmp_path: Path) -> None:
    result = deal_store(tmp_path).query("events offer | select id, time, wall, data")
    assert len(result) == 1
    assert list(result) == result.rows()
    assert result.rows() == [{"id": "r1:7", "time": 1_000_000, "wall": 1_001_000, "data": {"price": 40}}]


def test_bytes_in_data_come_back_as_they_were(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"blob": b"\x00\xff"})
    result = store.query("events offer | select .blob as blob, data")
    assert result.rows() == [{"blob": b"\x00\xff", "data": {"n": 0, "blob": b"\x00\xff"}}]
    assert result.table.column("blob").to_pylist() == ['"AP8="']


def test_duckdb_reads_a_result_where_it_lies(tmp_path: Path) -> None:
    result = deal_store(tmp_path).query("agents | select id, role, duration, turns")
    connection = duckdb.connect()
    connection.register("answer", result)
    found = connection.sql("select role, sum(turns), max(duration) from answer group by role order by role nulls last")
    assert [row[:2] for row in found.fetchall()] == [("buyer", 2), ("seller", 1), (None, 0)]


def test_polars_shares_the_memory_of_a_result(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    result = offers_store(tmp_path, *({"price": n} for n in range(1_000))).query("events offer | select .price as p")
    frame = polars.DataFrame(result)
    assert frame["p"].sum() == 499_500
    ours = result.table.column("p").chunk(0).buffers()[1].address
    assert frame["p"].to_arrow().buffers()[1].address == ours


def test_the_c_stream_gives_the_same_buffers(tmp_path: Path) -> None:
    result = offers_store(tmp_path, {"price": 1}, {"price": 2}).query("events offer | select .price as p, id")
    again = pa.table(result)
    assert again.equals(result.table)
    assert again.column("p").chunk(0).buffers()[1].address == result.table.column("p").chunk(0).buffers()[1].address


def test_pandas_gets_data_as_dicts(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    frame = deal_store(tmp_path).query("events offer").to_pandas()
    assert frame["data"][0] == {"price": 40}
    assert frame["time"][0].total_seconds() == 1


def test_without_pandas_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        Result(pa.table({"a": [1]})).to_pandas()


def test_a_million_rows(tmp_path: Path) -> None:
    import numpy as np

    count = 1_000_000
    first = Rows(1, 1, 1, 0, 0, 0, 0, 0, 0, 0, kinds=["simulation.started"], kind=0)
    body = Rows(
        count,
        1,
        np.arange(2, count + 2),
        np.arange(count),
        0,
        0,
        0,
        0,
        0,
        0,
        kinds=["offer"],
        kind=0,
        data={0: KindRows(np.arange(count), columns={"price": np.arange(count)})},
    )
    write_rows(tmp_path, [first, body])
    with Store(tmp_path) as store:
        result = store.query("events offer | select id, time, .price")
        assert len(result) == count
        assert result.table.column("id")[count - 1].as_py() == f"1-1:{count + 1}"
        assert store.query("events where .price >= 500_000 | count, sum(.price) as total").rows() == [
            {"count": 500_000, "total": sum(range(500_000, count))}
        ]
