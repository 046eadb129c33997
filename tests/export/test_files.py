"""Rows as files: JSON Lines and Parquet, shards, and what others make of them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow as pa
import pytest
from pyarrow import parquet

from matrix.errors import StoreError, UsageError
from matrix.export.columns import schema
from matrix.export.files import File, Files
from matrix.export.shape import Shape
from matrix.export.target import target

Data = dict[str, Any]
CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}


def row(agent: str, **more: Any) -> Data:
    """A row of chat without tools."""
    said = [{"role": "user", "content": f"Hello, {agent}"}, {"role": "assistant", "content": "Grüß Gott ☀"}]
    return {"messages": said, "tools": None, "agent": agent, "seed": 7, "reward": None, "split": "train"} | more


def row_with_tools(agent: str) -> Data:
    """A row of chat in which a message has what no message above has, and columns that are null above."""
    said = [
        {"role": "user", "content": "Where is order 7?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "on its way"},
        {"role": "assistant", "content": "On its way."},
    ]
    return row(agent, messages=said, tools=[TOOL], reward=1.0)


def write(
    rows: Iterable[Mapping[str, Any]], folder: Path, to: str, format: str | None = None, **how: Any
) -> list[File]:
    """Rows as files in a folder, named as if they went to `to`."""
    folder.mkdir(exist_ok=True)
    files = Files(folder, target(folder.parent / to, format), ["train", "validation", "test"], **how)
    for data in rows:
        files.add(data, data["split"])
    return files.finish()


def lines_of(path: Path) -> list[Data]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_a_line_is_the_row_and_nothing_else(place: Path) -> None:
    rows = [row("ada"), row_with_tools("ben")]
    (file,) = write(rows, place, "chats.jsonl")
    assert lines_of(place / "chats.jsonl") == rows
    assert (file.name, file.rows, file.bytes) == ("chats.jsonl", 2, (place / "chats.jsonl").stat().st_size)
    assert file.sha256 == hashlib.sha256((place / "chats.jsonl").read_bytes()).hexdigest()
    assert "Grüß Gott ☀" in (place / "chats.jsonl").read_text()
    assert [path.name for path in place.iterdir()] == ["chats.jsonl"]


def test_parquet_nests_messages_and_has_the_json_of_what_is_open(place: Path) -> None:
    write([row("ada"), row_with_tools("ben")], place, "chats.parquet")
    ada, ben = parquet.read_table(place / "chats.parquet").to_pylist()
    assert ada["messages"][0] == {"role": "user", "content": "Hello, ada", "tool_calls": None, "tool_call_id": None}
    assert ben["messages"][1]["tool_calls"] == [CALL]
    assert ben["messages"][2]["tool_call_id"] == "c1"
    assert json.loads(ben["tools"]) == [TOOL]
    assert (ada["tools"], ada["reward"], ben["reward"], ada["seed"]) == (None, None, 1.0, 7)


def test_rows_of_parquet_are_those_of_json_lines_without_the_nulls_of_absent_keys(place: Path) -> None:
    rows = [row_with_tools("ada"), row("ben", seed=8, data={"a": [1, {"b": 2.5}]}), row("cleo", data={})]
    write(rows, place, "chats.parquet")

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items() if one is not None}
        return [plain(one) for one in value] if isinstance(value, list) else value

    found = parquet.read_table(place / "chats.parquet").to_pylist()
    for one in found:
        one.update({name: json.loads(one[name]) for name in ("tools", "data") if one[name] is not None})
    assert plain(found) == plain(rows)


def test_values_of_mixed_kinds_are_text_and_whole_numbers_among_others_are_numbers(place: Path) -> None:
    values: list[Any] = ["a", 1, [1, 2], {"k": "v"}, None, 2**70, True]
    numbers = [1, 2.5, None, 3, 4, 5, 6]
    rows = [row("ada", seed=number, note=value) for value, number in zip(values, numbers, strict=True)]
    write(rows, place, "mixed.parquet")
    table = parquet.read_table(place / "mixed.parquet")
    assert table["note"].to_pylist() == ["a", "1", "[1, 2]", '{"k": "v"}', None, str(2**70), "true"]
    assert table["seed"].to_pylist() == [1.0, 2.5, None, 3.0, 4.0, 5.0, 6.0]


def test_what_json_has_no_form_for_is_null_or_text(place: Path) -> None:
    write([row("ada", reward=float("inf"), data={"b": b"\x00\xff", "n": [float("nan")]})], place, "odd.jsonl")
    (found,) = lines_of(place / "odd.jsonl")
    assert (found["reward"], found["data"]) == (None, {"b": "00ff", "n": [None]})


def test_parquet_has_what_the_lines_have_of_it(place: Path) -> None:
    rows = [row("ada", key=b"\x00\xff", when=Path("/x"), pair=(1, 2)), row("ben", key="k", when=None, pair=[])]
    write(rows, place, "odd.parquet")
    table = parquet.read_table(place / "odd.parquet")
    assert [table[name].to_pylist() for name in ("key", "when", "pair")] == [["00ff", "k"], ["/x", None], [[1, 2], []]]


def test_a_column_without_a_value_has_the_type_it_would_have(place: Path) -> None:
    write([row("ada", first_seq=None)], place, "nulls.parquet")
    columns = parquet.read_schema(place / "nulls.parquet")
    assert [columns.field(name).type for name in ("reward", "tools", "first_seq")] == [
        pa.float64(),
        pa.string(),
        pa.int64(),
    ]


def test_a_struct_is_not_made_of_keys_without_end() -> None:
    shape = Shape()
    for number in range(400):
        shape.learn_row({"messages": [{"role": "user", f"key-{number}": number}]})
    assert schema(shape).field("messages").type == pa.list_(pa.field("element", pa.string()))


def test_compressed_lines_are_the_same_lines(place: Path) -> None:
    rows = [row("ada"), row_with_tools("ben")]
    for name in ("chats.jsonl", "chats.jsonl.gz", "chats.jsonl.zst"):
        write(rows, place, name)
    plain = (place / "chats.jsonl").read_bytes()
    assert gzip.decompress((place / "chats.jsonl.gz").read_bytes()) == plain
    assert pa.input_stream(place / "chats.jsonl.zst").read() == plain


@pytest.mark.parametrize("name", ["chats.jsonl", "chats.jsonl.gz", "chats.jsonl.zst", "chats.parquet"])
def test_the_same_rows_make_the_same_bytes(name: str, tmp_path: Path) -> None:
    one, other = (
        write([row("ada"), row_with_tools("ben")], tmp_path / folder, name)[0].sha256 for folder in ("one", "other")
    )
    assert one == other


# -- shards -----------------------------------------------------------------------------------------


def test_rows_are_divided_evenly_and_named_as_others_look_for_them(place: Path) -> None:
    rows = [row(f"agent-{n}") for n in range(10)] + [row("other", split="test")]
    files = write(rows, place, "chats", count=4)
    assert [(file.name, file.rows) for file in files] == [
        ("train-00000-of-00004.parquet", 3),
        ("train-00001-of-00004.parquet", 3),
        ("train-00002-of-00004.parquet", 2),
        ("train-00003-of-00004.parquet", 2),
        ("test-00000-of-00001.parquet", 1),
    ]
    found = [agent for file in files for agent in parquet.read_table(place / file.name)["agent"].to_pylist()]
    assert found == [data["agent"] for data in rows]


def test_files_of_so_many_rows_have_no_more(place: Path) -> None:
    files = write([row(f"agent-{n}") for n in range(10)], place, "chats", rows_each=4)
    assert [file.rows for file in files] == [4, 3, 3]


def test_shards_want_a_folder_and_a_number(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"this goes to one file, chats\.jsonl: give a folder"):
        write([], place, "chats.jsonl", count=2)
    for how in ({"count": 0}, {"rows_each": 0}, {"count": True}, {"count": 100_000}, {"count": 2, "rows_each": 2}):
        with pytest.raises(UsageError, match="shard"):
            write([], place, "chats", **how)


def test_a_split_without_rows_has_no_file(place: Path) -> None:
    assert [file.name for file in write([row("ada", split="test")], place, "chats")] == ["test-00000-of-00001.parquet"]


def test_no_rows_are_a_file_without_rows(place: Path) -> None:
    (file,) = write([], place, "none.jsonl")
    assert (file.rows, file.bytes) == (0, 0)
    (file,) = write([], place, "none")
    assert (file.name, file.rows) == ("train-00000-of-00001.parquet", 0)
    assert parquet.read_table(place / file.name).num_rows == 0


# -- others read them -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 rows, of which the very last has what none before had; 16 MB, more than readers look at to guess."""
    folder = tmp_path_factory.mktemp("late")
    rows = [row(f"agent-{n}", padding="x" * 700) for n in range(20_000)]
    rows.append(row_with_tools("late") | {"padding": ""})
    write(rows, folder, "late.jsonl")
    write(rows, folder, "late.parquet")
    return folder


def test_datasets_loads_rows_of_which_the_last_has_more(
    late: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = quiet_datasets(monkeypatch)
    file = str(late / "late.jsonl")
    found = datasets.load_dataset("json", data_files=file, split="train", cache_dir=str(tmp_path))
    assert found.num_rows == 20_001
    assert found[0] == row_with_tools("late") | {"padding": ""}
    assert found[20_000]["messages"] == row("agent-19999")["messages"]
    table = datasets.load_dataset("parquet", data_files=str(late / "late.parquet"), cache_dir=str(tmp_path))["train"]
    assert table[20_000]["messages"][1]["tool_calls"] == [CALL]


def test_polars_pandas_and_duckdb_read_them_as_they_are(late: Path) -> None:
    lines, table = str(late / "late.jsonl"), str(late / "late.parquet")
    for frame in (polars.read_ndjson(lines), polars.read_parquet(table)):
        assert frame.height == 20_001
        (said,) = frame.filter(polars.col("agent") == "late")["messages"]
        assert said[1]["tool_calls"][0]["function"]["name"] == "look_up"
    assert len(pandas.read_json(lines, lines=True)) == len(pandas.read_parquet(table)) == 20_001
    for file in (lines, table):
        asked = f"select messages[2].tool_calls[1].function.arguments from '{file}' where reward = 1"
        assert duckdb.sql(asked).fetchall() == [('{"order": 7}',)]


def test_only_rows_that_show_something_new_change_their_place(late: Path) -> None:
    agents = [json.loads(line)["agent"] for line in (late / "late.jsonl").read_bytes().splitlines()]
    assert agents == ["late", *(f"agent-{n}" for n in range(20_000))]
    table = parquet.read_table(late / "late.parquet", columns=["agent"])
    assert table["agent"].to_pylist() == [*agents[1:], "late"]  # it says its types by itself


@pytest.mark.parametrize("how", [{"count": 2}, {"rows_each": 150}])
def test_each_file_of_each_split_is_read_by_itself(place: Path, how: dict[str, int]) -> None:
    """The only row that has tools comes last in the test split; in training the last half begins without a reward."""
    rows = [row(f"train-{n}", reward=None if n < 290 else 1.0) for n in range(300)]
    rows += [row(f"test-{n}", split="test") for n in range(290)]
    rows += [row_with_tools(f"test-{n}") | {"split": "test"} for n in range(290, 300)]
    files = write(rows, place, "lines", format="jsonl", **how)
    assert [file.name[:-6] for file in files] == [
        f"{split}-0000{n}-of-00002" for split in ("train", "test") for n in (0, 1)
    ]
    assert [polars.read_ndjson(place / file.name).height for file in files] == [150, 150, 150, 150]
    told = sorted(data["agent"] for file in files for data in lines_of(place / file.name))
    assert told == sorted(data["agent"] for data in rows)


def quiet_datasets(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`datasets`, that asks no server and draws nothing."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    datasets.disable_progress_bars()
    return datasets


# -- where they go ----------------------------------------------------------------------------------


def test_a_name_says_what_is_written_there(tmp_path: Path) -> None:
    for name, format, is_folder in (
        ("a.jsonl", "jsonl", False),
        ("a.ndjson", "jsonl", False),
        ("a.JSONL.GZ", "jsonl.gz", False),
        ("a.parquet", "parquet", False),
        ("chats", "parquet", True),
        ("chats.v1", "parquet", True),
        ("chats.jsonl/", "parquet", True),
    ):
        found = target(f"{tmp_path}/{name}")
        assert (found.format, found.is_folder) == (format, is_folder), name
    assert target(tmp_path / "chats", "jsonl.gz").suffix == ".jsonl.gz"


def test_what_cannot_be_written_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "old.txt").write_text("kept")
    (tmp_path / "file").write_text("kept")
    for name, format, said in (
        ("full", None, "there is something in this folder already; give a new one, or remove it first"),
        ("file", None, r"is a file whose name says no format: a file is written as JSON Lines \(\.jsonl"),
        ("file/", None, "is a file, not a folder"),
        ("rows.csv", None, r"a folder of that name is meant by rows\.csv/"),
        ("rows.jsonl", "parquet", r"rows\.jsonl is a name for jsonl, and the format asked for is parquet"),
        ("rows.jsonl", "orc", 'there is no format "orc"; there are jsonl, jsonl.gz, jsonl.zst, parquet'),
        ("nowhere/rows.jsonl", None, r"there is no folder .*nowhere to write rows\.jsonl in"),
    ):
        with pytest.raises(UsageError, match=said):
            target(f"{tmp_path}/{name}", format)
    assert (tmp_path / "full" / "old.txt").read_text() == (tmp_path / "file").read_text() == "kept"


def test_what_stops_half_way_leaves_nothing_and_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_text("old\n")

    def stop_half_way(name: str) -> None:
        with target(tmp_path / name).staged() as staging:
            (staging / "train-00000-of-00001.parquet").write_text("half")
            raise ZeroDivisionError

    for name in ("chats", "chats.jsonl"):
        with pytest.raises(ZeroDivisionError):
            stop_half_way(name)
    assert [path.name for path in tmp_path.iterdir()] == ["chats.jsonl"]
    assert (tmp_path / "chats.jsonl").read_text() == "old\n"


def test_what_a_killed_process_left_behind_stops_nobody_and_others_may_read_what_is_made(tmp_path: Path) -> None:
    (tmp_path / f".chats.{os.getpid()}.partial").mkdir()
    (tmp_path / "usual").mkdir()
    with target(tmp_path / "chats").staged() as staging:
        (staging / "file").write_text("whole")
    assert (tmp_path / "chats" / "file").read_text() == "whole"
    assert (tmp_path / "chats").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_full_disk_is_one_error_that_says_where(tmp_path: Path) -> None:
    def fill() -> None:
        with target(tmp_path / "chats").staged() as staging:
            (staging / "train-00000-of-00001.jsonl").symlink_to("/dev/full")
            (staging / "train-00000-of-00001.jsonl").write_bytes(b"x" * 1_000_000)

    with pytest.raises(StoreError, match="chats: not written, and nothing of it is there: No space left on device"):
        fill()
    assert list(tmp_path.iterdir()) == []
