"""`matrix query` and `matrix check`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.cli.conftest import Shell
from tests.terminal import on_terminal

BY_STATUS = "goals | count by status"


def test_a_pipe_gets_json_lines_and_a_terminal_a_table(shell: Shell, place: Path) -> None:
    piped = shell(f"matrix query runs '{BY_STATUS}'")
    assert piped.stdout == '{"status": "failed", "count": 2}\n{"status": "succeeded", "count": 4}\n'
    assert (piped.stderr, piped.returncode) == ("", 0)
    seen = on_terminal(f"matrix query runs '{BY_STATUS}'", cwd=place)
    assert seen.text.splitlines()[:4] == [
        "status     count",
        "─────────  ─────",
        "failed         2",
        "succeeded      4",
    ]
    assert seen.text.splitlines()[4].startswith("2 rows")


def test_durations_and_times_are_microseconds_and_iso_text_in_json(shell: Shell) -> None:
    row = json.loads(shell("matrix query runs 'events offer | select time, wall | limit 1' --format json").stdout)[0]
    assert row["time"] == 90_000_000
    assert row["wall"].startswith("20")
    assert row["wall"].endswith("Z")


def test_every_format_has_the_languages_names_and_the_same_rows(shell: Shell, place: Path) -> None:
    for form in ("json", "csv", "arrow", "parquet"):
        assert shell(f"matrix query runs '{BY_STATUS}' --format {form} > rows.{form}").returncode == 0
    expected = [{"status": "failed", "count": 2}, {"status": "succeeded", "count": 4}]
    assert json.loads((place / "rows.json").read_text()) == expected
    read = list(csv.DictReader(io.StringIO((place / "rows.csv").read_text())))
    assert read == [{name: str(value) for name, value in row.items()} for row in expected]
    assert pa.ipc.open_stream((place / "rows.arrow").read_bytes()).read_all().to_pylist() == expected
    assert parquet.read_table(place / "rows.parquet").to_pylist() == expected


def test_a_files_name_says_its_format_and_a_wrong_query_leaves_the_file_alone(shell: Shell, place: Path) -> None:
    assert shell(f"matrix query runs '{BY_STATUS}' -o rows.csv").stdout == ""
    assert (place / "rows.csv").read_text() == "status,count\nfailed,2\nsucceeded,4\n"
    assert shell("matrix query runs 'goals where rol = x' -o rows.csv").returncode == 1
    assert (place / "rows.csv").read_text() == "status,count\nfailed,2\nsucceeded,4\n"
    assert not list(place.glob(".*partial"))


def test_parameters_are_values_and_never_query_text(shell: Shell) -> None:
    asked = "goals where name = $name and duration <= $longest | count"
    done = shell(f"matrix query runs '{asked}' --param name=close_deal --param longest=90s")
    assert json.loads(done.stdout) == {"count": 6}
    done = shell(f"matrix query runs '{asked}' --param longest=90s --param 'name=close_deal or succeeded'")
    assert json.loads(done.stdout) == {"count": 0}


def test_a_query_may_come_from_stdin(shell: Shell) -> None:
    assert shell(f"echo '{BY_STATUS} | limit 1' | matrix query runs -").stdout == '{"status": "failed", "count": 2}\n'


def test_a_reader_that_leaves_early_is_no_error(shell: Shell) -> None:
    done = shell("matrix query runs 'events' | head -n 1")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["id"] == "1-1:1"


def test_bytes_are_not_thrown_at_a_terminal(place: Path) -> None:
    seen = on_terminal("matrix query runs agents --format parquet", cwd=place)
    assert seen.code == 2
    assert seen.text.startswith("error: parquet is not for a terminal; add -o FILE, or pipe it on\n")


def test_a_wrong_query_shows_its_place_and_what_to_write(shell: Shell) -> None:
    done = shell("matrix query runs 'agents where rol = buyer'")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        'error: 1:14: agents have no field "rol"\n'
        "  agents where rol = buyer\n"
        "               ^^^\n"
        '  did you mean "role"? Your own data starts with a dot: .rol\n'
        "  try: agents where role = buyer\n"
    )


def test_a_sequence_is_asked_like_anything_else(shell: Shell) -> None:
    done = shell("matrix query runs 'agents where did offer then got accept | select id'")
    assert done.returncode == 0
    assert [json.loads(line)["id"][:5] for line in done.stdout.splitlines()] == ["buyer"] * done.stdout.count("\n")
    assert done.stdout


def test_a_kind_that_is_nowhere_is_a_notice(shell: Shell) -> None:
    done = shell("matrix query runs 'events ofer | count'")
    assert json.loads(done.stdout) == {"count": 0}
    assert done.stderr.startswith("notice: ")


def test_check_needs_no_store(shell: Shell) -> None:
    assert shell("matrix check 'agents where goal succeeded'").stderr == "ok\n"
    assert shell("matrix check --json 'agents where goal succeeded'").stdout == "{}\n"
    assert shell("echo agents | matrix check -").returncode == 0


def test_check_gives_a_mistake_as_data(shell: Shell) -> None:
    done = shell("matrix check --json 'agents where rol = buyer'")
    assert (done.returncode, done.stderr) == (1, "")
    mistake = json.loads(done.stdout)
    assert list(mistake) == ["code", "message", "line", "column", "start", "end", "hint", "fix"]
    assert (mistake["line"], mistake["column"], mistake["start"], mistake["end"]) == (1, 14, 13, 16)
    assert mistake["fix"] == "agents where role = buyer"


@pytest.mark.parametrize("value", ["5m", "@2026-01-31", '["a", "b"]'])
def test_check_takes_parameters_too(value: str, shell: Shell) -> None:
    field = {"5": "duration <=", "@": "start <", "[": "name in"}[value[0]]
    done = shell(f"matrix check 'simulations where {field} $value' --param 'value={value}'")
    assert (done.stderr, done.returncode) == ("ok\n", 0)
