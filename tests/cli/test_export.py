"""`matrix export`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from pyarrow import parquet

from tests.cli.conftest import Shell
from tests.terminal import on_terminal


def test_a_file_gets_rows_its_card_and_words_on_stderr(shell: Shell, place: Path) -> None:
    done = shell("matrix export runs 'agents where role = buyer' --as chat -o chats.jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    rows = [json.loads(line) for line in (place / "chats.jsonl").read_text().splitlines()]
    assert [(row["simulation"], row["agent"]) for row in rows][:2] == [("1-1", "buyer-1"), ("1-1", "buyer-2")]
    lines = done.stderr.splitlines()
    assert lines[0] == "chats.jsonl: 6 rows of 2 simulations in 1 file"
    assert "  cut: messages behind the agent's last own one: 6" in lines
    assert (place / "chats.jsonl.card.md").read_text().startswith("# runs: chat\n")


def test_a_folder_gets_files_by_split_and_shard(shell: Shell, place: Path) -> None:
    done = shell("matrix export runs agents --as chat -o chats --test 0.4 --split-seed 3 --shards 2")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (place / "chats").iterdir()) == [
        "README.md",
        "card.json",
        "test-00000-of-00002.parquet",
        "test-00001-of-00002.parquet",
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    assert done.stderr.splitlines()[0] == "chats: 12 rows of 2 simulations in 4 files, train 6, test 6"
    again = shell("matrix export runs agents --as chat -o chats")
    assert again.returncode == 1
    assert again.stderr == (
        "error: chats: there is something in this folder already; give a new one, or remove it first\n"
    )


def test_a_pipe_gets_json_lines(shell: Shell) -> None:
    done = shell("matrix export runs simulations --as events | head -2")
    assert done.returncode in (0, 141)
    assert [json.loads(line)["kind"] for line in done.stdout.splitlines()] == ["simulation.started", "agent.started"]
    assert "Traceback" not in done.stderr
    whole = shell("matrix export runs 'events offer' --as events -o -")
    assert [json.loads(line)["kind"] for line in whole.stdout.splitlines()] == ["offer"] * 6
    assert whole.stderr.splitlines()[0] == "6 rows of 2 simulations"


def test_a_terminal_is_asked_where_to(place: Path) -> None:
    seen = on_terminal("matrix export runs agents --as chat", cwd=place)
    assert (seen.code, seen.text.splitlines()[0]) == (
        2,
        "error: where to? -o FILE or -o FOLDER; or -o - for JSON Lines on this terminal",
    )


def test_a_terminal_shows_what_was_written_and_no_progress_stays(place: Path) -> None:
    seen = on_terminal("matrix export runs agents --as episodes -o episodes.parquet", cwd=place)
    assert seen.code == 0
    assert seen.text.splitlines()[0] == "episodes.parquet: 8 rows of 2 simulations in 1 file"
    assert parquet.read_table(place / "episodes.parquet").num_rows == 8


def test_branches_of_forks_become_pairs(shell: Shell, place: Path) -> None:
    assert shell("matrix fork runs 1-1 --at 20s --set seller.stock=0").returncode == 0
    done = shell("matrix export runs agents --as pairs -o pairs.jsonl")
    assert done.returncode == 0
    pairs = [json.loads(line) for line in (place / "pairs.jsonl").read_text().splitlines()]
    assert {(pair["chosen_simulation"], pair["fork_of"]) for pair in pairs} <= {("1-1", "1-1")}
    assert "  left out: simulations without another branch among those chosen: 1" in done.stderr.splitlines()


def test_a_system_prompt_and_tools_come_from_files(shell: Shell, place: Path) -> None:
    tool = {"type": "function", "function": {"name": "weigh", "parameters": {"type": "object", "properties": {}}}}
    (place / "prompt.txt").write_text("You trade.")
    whole, request = json.dumps([tool], indent=2), json.dumps({"tools": [tool]})
    rows = f"{request}\n{json.dumps({'tools': []})}\n"
    files = {"tools.json": whole, "request.json": request, "rows.jsonl": rows, "rows.jsonl.gz": rows}
    for name, content in files.items():
        data = content.encode()
        (place / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        done = shell(f"matrix export runs agents --as chat --system prompt.txt --tools {name} -o -")
        row = json.loads(done.stdout.splitlines()[0])
        assert row["messages"][0] == {"role": "system", "content": "You trade."}
        assert row["tools"] == [tool]


def test_what_cannot_be_is_one_line_and_writes_nothing(shell: Shell, place: Path) -> None:
    (place / "bad.json").write_text("{")
    (place / "other.json").write_text('{"name": "weigh"}')
    (place / "more.json").write_text("[] []")
    (place / "cut.gz").write_bytes(gzip.compress(b"[]")[:-9])
    before = {path.name for path in place.iterdir()}
    for arguments, code, said in (
        ("runs agents --as chat -o rows.csv", 1, "rows.csv: a file is written as JSON Lines (.jsonl, .jsonl.gz,"),
        ("runs agents --as chat -o nowhere/rows.jsonl", 1, "there is no folder nowhere to write rows.jsonl in"),
        ("runs agents --as chat -o chats --test 1", 1, "the share of test is a number from 0 to below 1"),
        ("runs agents --as chat -o chats.jsonl --shards 2", 1, "shards are files in a folder, and this goes to one"),
        ("runs agents --as chat -o chats --shards 2 --shard-rows 2", 1, "rows are divided by shards (how many files)"),
        ("runs agents --as chat -o chats.parquet --format jsonl", 1, "chats.parquet is a name for parquet, and the"),
        ("runs agents --as chat --format parquet -o -", 1, "parquet goes to a file or a folder"),
        ("runs 'agents | count' --as chat -o chats", 1, "this query chooses nothing to export"),
        ("runs 'agents where rol = x' --as chat -o chats", 1, '1:14: agents have no field "rol"'),
        ("runs agents --as pairs --pairs-max 0 -o pairs", 1, "pairs_max is a whole number from 1 on, not 0"),
        ("runs agents --as chat -o chats --tools gone.json", 2, "--tools gone.json: No such file or directory"),
        ("runs agents --as chat -o chats --tools bad.json", 2, "--tools bad.json: not JSON: "),
        ("runs agents --as chat -o chats --tools more.json", 2, "--tools more.json: not JSON: Extra data"),
        ("runs agents --as chat -o chats --tools cut.gz", 2, "--tools cut.gz: the gzip is damaged: "),
        ("runs agents --as chat -o chats --tools other.json", 2, "--tools other.json: schemas in OpenAI's form"),
        ("ws://127.0.0.1:8765 agents --as chat -o chats", 2, "an export reads the log itself: give the store's folder"),
        ("runs agents --as poems -o chats", 2, "Invalid value for '--as': 'poems' is not one of"),
        ("nowhere agents --as chat -o chats", 1, "nowhere: there is no such folder"),
    ):
        done = shell(f"matrix export {arguments}")
        assert (done.returncode, done.stdout) == (code, ""), arguments
        assert done.stderr.startswith(f"error: {said}"), done.stderr
        assert {path.name for path in place.iterdir()} == before, arguments


def test_a_full_disk_is_one_line(shell: Shell, place: Path) -> None:
    done = shell("matrix export runs agents --as chat -o - > /dev/full")
    assert (done.returncode, done.stderr) == (
        1,
        "error: <stdout>: not all rows were written: No space left on device\n",
    )
    done = shell("matrix export runs agents --as chat -o /dev/full")
    assert (done.returncode, done.stderr) == (
        1,
        "error: /dev/full: not all rows were written: No space left on device\n",
    )
