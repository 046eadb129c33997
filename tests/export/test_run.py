"""An export as a whole: what is written, what the card says of it, and what a reader makes of the folder."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyarrow import parquet

import matrix
from matrix.errors import StoreError, UsageError
from matrix.event import Event
from matrix.export.columns import COLUMNS, OF_FORM
from matrix.export.run import FORMS
from matrix.log.rows import rows_from_events
from matrix.testing.stores import write_rows
from tests.export.test_files import lines_of, quiet_datasets

SIMULATIONS, FORKS = 12, 4


class Clerk(matrix.Agent):
    role = "clerk"

    def on_start(self) -> None:
        self.note(subject="briefing", system="Sell.")

    def on_message(self, message: matrix.Message) -> None:
        self.reply(message, text=f"{message['text']} costs {len(message['text'])}.")


class Customer(matrix.Agent):
    role = "customer"

    async def run(self) -> None:
        self.note(subject="briefing", system="Buy.")
        async with self.goal("buy") as goal:
            thing = self.random.choice(["Tea", "Salt", "Grüner Käse"])
            await self.ask("clerk", text=thing)
            if thing == "Salt":
                goal.fail("too cheap")


async def shop(simulation: matrix.Simulation) -> None:
    simulation.spawn(Clerk, "clerk")
    simulation.spawn(Customer, "customer")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of twelve simulations, of which one was forked four times."""
    folder = tmp_path_factory.mktemp("recorded") / "runs"
    matrix.run(shop, store=folder, seed=7, simulations=SIMULATIONS)
    with matrix.open(folder) as store:
        (begun,) = store.query("events goal.started where simulation = '1-1' | select seq")
        store.fork("1-1", at=begun["seq"], seed=1, times=FORKS)
    return folder


@pytest.fixture
def store(recorded: Path) -> Iterator[matrix.Store]:
    with matrix.open(recorded) as opened:
        yield opened


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "card.json").read_text())
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# -- files ------------------------------------------------------------------------------------------


def test_a_folder_is_what_datasets_loads_with_its_splits(
    store: matrix.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = quiet_datasets(monkeypatch)
    for format in ("parquet", "jsonl"):
        to = tmp_path / format
        store.export("agents", to, format=format, test=0.3, validation=0.4, shards=2)
        loaded = datasets.load_dataset(str(to), cache_dir=str(tmp_path / f"cache-{format}"))
        by_split = read(to)["counts"]["by_split"]
        assert {name: rows.num_rows for name, rows in loaded.items()} == {n: of["rows"] for n, of in by_split.items()}
        assert set(by_split) == {"train", "validation", "test"}
        row = loaded["train"][0]
        assert row["messages"][-1]["role"] == "assistant"
        assert row["split"] == "train"


def test_a_fork_is_in_the_split_of_its_parent(store: matrix.Store, tmp_path: Path) -> None:
    for seed in range(6):
        store.export("agents", tmp_path / "chats.jsonl", test=0.5, split_seed=seed)
        splits = {row["simulation"]: row["split"] for row in lines_of(tmp_path / "chats.jsonl")}
        assert len({splits[id] for id in ("1-1", "1-13", "1-16")}) == 1
        assert set(splits.values()) == {"train", "test"}


def test_a_split_without_a_family_is_told_and_has_no_file(store: matrix.Store, tmp_path: Path) -> None:
    done = store.export("agents where simulation = '1-2'", tmp_path / "chats", test=0.01)
    assert [file["name"] for file in done.card["files"]] == ["train-00000-of-00001.parquet"]
    assert "  test is empty: none of 1 family fell into it;" in str(done)
    assert not list((tmp_path / "chats").glob("test*"))


def test_the_same_export_is_the_same_bytes(store: matrix.Store, recorded: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(recorded, tmp_path / "elsewhere" / "runs")
    for form in FORMS:
        store.export("agents", tmp_path / f"{form}-1", as_=form, test=0.2, shard_rows=5, drop_duplicates=True)
        with matrix.open(elsewhere) as again:
            again.compact()
            again.export("agents", tmp_path / f"{form}-2", as_=form, test=0.2, shard_rows=5, drop_duplicates=True)
        assert contents(tmp_path / f"{form}-1") == contents(tmp_path / f"{form}-2")


def test_nothing_is_left_where_something_goes_wrong(store: matrix.Store, tmp_path: Path) -> None:
    calls = iter([None, None])

    def stop(_: int) -> None:
        if next(calls, 1):
            raise OSError(28, "No space left on device")

    for to in ("chats", "chats.jsonl"):
        with pytest.raises(StoreError, match="not written, and nothing of it is there: No space left on device"):
            store.export("agents", tmp_path / to, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_lines_go_to_whatever_takes_bytes(store: matrix.Store) -> None:
    out = io.BytesIO()
    done = store.export("agents where role = customer", out, test=0.5)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(rows) == done.rows == SIMULATIONS + FORKS
    assert {row["split"] for row in rows} == {"train", "test"}
    for how in ({"format": "parquet"}, {"shards": 2}):
        with pytest.raises(UsageError, match="folder"):
            store.export("agents", out, **how)


def test_what_cannot_be_is_refused(store: matrix.Store, tmp_path: Path) -> None:
    for how, said in (
        ({"as_": "chats"}, 'there is no form "chats"; there are chat, pairs, episodes, events'),
        ({"test": 1.0}, "the share of test is a number from 0 to below 1"),
        ({"shard_rows": 0}, "shard_rows is a whole number from 1 on, not 0"),
        ({"columns": ["agent", "message"]}, 'rows of chat have no column "message"; did you mean "messages"'),
        ({"columns": ["prompt"]}, 'rows of chat have no column "prompt"'),
        ({"columns": []}, "no columns: give some of messages, tools"),
    ):
        with pytest.raises(UsageError, match=said):
            store.export("agents", tmp_path / "chats", **how)
    with pytest.raises(UsageError, match="chooses nothing to export"):
        store.export("agents | count", tmp_path / "chats")
    assert list(tmp_path.iterdir()) == []


def test_parameters_are_keywords_or_a_map(store: matrix.Store, tmp_path: Path) -> None:
    one = store.export("agents where role = $role", tmp_path / "one.jsonl", role="clerk")
    other = store.export("agents where role = $test", tmp_path / "two.jsonl", parameters={"test": "clerk"})
    assert one.rows == other.rows == SIMULATIONS + FORKS
    assert (one.card["parameters"], other.card["parameters"]) == ({"role": "clerk"}, {"test": "clerk"})


def test_some_columns_are_all_there_is_and_one_that_is_not_there_is_told(store: matrix.Store, tmp_path: Path) -> None:
    done = store.export("agents", tmp_path / "chats.jsonl", columns=["messages", "tools", "agent"], test=0.5)
    assert {tuple(row) for row in lines_of(tmp_path / "chats.jsonl")} == {("messages", "agent")}
    assert '  no row has a column "tools"' in str(done)
    assert [column["name"] for column in done.card["columns"]] == ["messages", "agent"]
    assert set(done.card["counts"]["by_split"]) == {"train", "test"}


# -- the card ---------------------------------------------------------------------------------------


def test_the_card_says_what_is_in_it_and_where_it_is_from(store: matrix.Store, tmp_path: Path) -> None:
    store.export("agents where role = customer", tmp_path / "chats", test=0.3, shards=2)
    card = read(tmp_path / "chats")
    assert (card["form"], card["query"], card["options"]["test"]) == ("chat", "agents where role = customer", 0.3)
    counts = card["counts"]
    assert (counts["rows"], counts["simulations"], counts["families"], counts["agents"]) == (16, 16, 12, 16)
    assert counts["by_role"] == {"customer": 16}
    assert set(counts["by_outcome"]) == {"failed", "succeeded"}
    assert sum(of["families"] for of in counts["by_split"].values()) == 12
    assert sum(file["rows"] for file in card["files"]) == 16
    assert [column["name"] for column in card["columns"]] == parquet.read_schema(
        tmp_path / "chats" / card["files"][0]["name"]
    ).names
    assert (card["store"]["name"], card["store"]["simulations"]) == ("runs", 16)


def test_the_digest_changes_with_what_was_exported_and_with_nothing_else(store: matrix.Store, tmp_path: Path) -> None:
    def digest(query: str, name: str) -> Any:
        return store.export(query, tmp_path / name).card["store"]["digest"]

    assert digest("agents", "all.jsonl") == digest("simulations", "again.parquet")
    assert digest("agents where simulation = '1-1'", "one.jsonl") != digest("agents", "all-again.jsonl")


def test_tokens_that_models_told_of_are_counted_once(tmp_path: Path) -> None:
    def event(simulation: int, seq: int, kind: str, **data: Any) -> Event:
        return Event(simulation, seq, seq, seq, int(not kind.startswith("simulation")), seq, 0, 0, 0, kind, (), data)

    events = [
        event(1, 1, "simulation.started", id="one", seed=7),
        event(1, 2, "agent.started", id="bot"),
        event(1, 3, "model.completed", call_id="bot#1", tokens=12),
        event(1, 4, "message.sent", text="Hi"),
        event(2, 4, "simulation.forked", id="two", parent="one", parent_shard=1, parent_ordinal=1, at=3, seed=8),
        event(2, 5, "model.completed", call_id="bot#2", tokens=30),
        event(2, 6, "model.completed", call_id="bot#3", tokens=30, cached={"simulation": "two", "seq": 5}),
        event(2, 7, "message.sent", text="Hello"),
        event(3, 1, "simulation.started", id="three", seed=9),
        event(3, 2, "agent.started", id="bot"),
        event(3, 3, "message.sent", text="Hm"),
    ]
    write_rows(tmp_path / "runs", [rows_from_events(events)])
    with matrix.open(tmp_path / "runs") as store:
        for query, tokens in (("agents", 42), ("agents where simulation = 'two'", 42), ("agents | limit 1", 12)):
            assert store.export(query, tmp_path / "chats.jsonl").card["counts"]["tokens"] == tokens
        silent = store.export("agents where simulation = 'three'", tmp_path / "chats.jsonl")
        assert "tokens" not in silent.card["counts"]


def test_people_read_the_same_card(store: matrix.Store, tmp_path: Path) -> None:
    store.export("agents", tmp_path / "chats", test=0.3)
    text = (tmp_path / "chats" / "README.md").read_text()
    assert text.startswith('---\npretty_name: "runs: chat"\nsize_categories: ["n<1K"]\n')
    assert '  - split: train\n    path: "train-*.parquet"\n' in text
    assert "\n    agents\n" in text
    assert "| families | 12 |" in text
    assert "| messages | list" in text


@pytest.mark.parametrize(
    ("format", "needs"),
    [("parquet", (False, False)), ("jsonl", (True, False)), ("jsonl.gz", (True, False)), ("jsonl.zst", (True, True))],
)
def test_a_card_says_what_opens_the_folder(
    format: str, needs: tuple[bool, bool], store: matrix.Store, tmp_path: Path
) -> None:
    store.export("agents", tmp_path / "chats", format=format)
    text = (tmp_path / "chats" / "README.md").read_text()
    assert ("`datasets` 4.7 or newer" in text, "the package `zstandard`" in text) == needs


def test_a_file_has_its_card_beside_it_with_all_of_it_for_machines(store: matrix.Store, tmp_path: Path) -> None:
    done = store.export("agents", tmp_path / "chats.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chats.jsonl", "chats.jsonl.card.md"]
    text = (tmp_path / "chats.jsonl.card.md").read_text()
    assert json.loads(text.split("```json\n")[1].split("```")[0]) == done.card


def test_duplicates_are_dropped_and_named(store: matrix.Store, tmp_path: Path) -> None:
    done = store.export("agents where role = customer", tmp_path / "chats.jsonl", drop_duplicates=True)
    repeats = done.card["duplicates"]
    assert done.rows == 3  # Tea, Salt, Grüner Käse
    assert repeats["exact"] + repeats["near"] == SIMULATIONS + FORKS - 3
    assert repeats["dropped"][0]["of"]["agent"] == "customer"
    kept = {(row["simulation"], row["agent"]) for row in lines_of(tmp_path / "chats.jsonl")}
    assert {(named["of"]["simulation"], named["of"]["agent"]) for named in repeats["dropped"]} <= kept


def test_every_column_has_a_meaning(store: matrix.Store, tmp_path: Path) -> None:
    for form in FORMS:
        done = store.export("agents", tmp_path / f"{form}.jsonl", as_=form)
        assert done.rows > 0, form
        assert [column["name"] for column in done.card["columns"] if not column["meaning"]] == []
        for column in done.card["columns"]:
            assert COLUMNS[column["name"]].meaning == column["meaning"]
        without_tools = [name for name in OF_FORM[form] if name not in ("tools", "parallel_tool_calls")]
        assert [column["name"] for column in done.card["columns"]] == without_tools


@pytest.mark.parametrize("form", FORMS)
def test_a_table_without_rows_has_the_columns_that_rows_have(form: str, store: matrix.Store, tmp_path: Path) -> None:
    some, none = tmp_path / "some.parquet", tmp_path / "none.parquet"
    assert store.export("agents", some, as_=form).rows > 0
    done = store.export("agents where role = nobody", none, as_=form)
    assert done.rows == 0
    empty, full = parquet.read_schema(none), parquet.read_schema(some)
    assert {name: full.field(name).type for name in full.names}.items() <= {
        name: empty.field(name).type for name in empty.names
    }.items()
    assert [column["name"] for column in done.card["columns"]] == empty.names
    assert duckdb.sql(f"select * from '{none}'").fetchall() == []


def test_a_table_without_rows_has_no_column_that_was_not_asked_for(store: matrix.Store, tmp_path: Path) -> None:
    columns = ["messages", "tools"]
    store.export("agents where role = nobody", tmp_path / "none.parquet", columns=columns)
    assert parquet.read_schema(tmp_path / "none.parquet").names == columns


def test_names_that_would_break_a_table_are_kept_out_of_it(tmp_path: Path) -> None:
    class Odd(matrix.Agent):
        role = "a|b\n<script>"

        async def run(self) -> None:
            self.send("odd-2", text="|")

    async def odd(simulation: matrix.Simulation) -> None:
        simulation.spawn(Odd, "odd-2")

    matrix.run(odd, store=tmp_path / "runs")
    with matrix.open(tmp_path / "runs") as store:
        done = store.export("agents", tmp_path / "odd")
    assert done.card["counts"]["by_role"] == {"a|b\n<script>": 1}
    assert "| a\\|b &lt;script> | 1 |" in (tmp_path / "odd" / "README.md").read_text()


def test_no_rows_are_told(store: matrix.Store, tmp_path: Path) -> None:
    done = store.export("agents where role = nobody", tmp_path / "none.jsonl")
    assert (done.rows, (tmp_path / "none.jsonl").read_bytes()) == (0, b"")
    assert "no rows: the query found 0 agents" in str(done)
    done = store.export("agents where simulation = '1-2'", tmp_path / "none.jsonl", as_="pairs")
    assert str(done).splitlines()[-1].endswith("part where the agent itself speaks: fork right before it does")
