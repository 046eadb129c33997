"""`matrix watch`, and `matrix query` of a watch."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from matrix.testing.stores import write_history
from tests.cli.conftest import Shell, shell_in
from tests.stories import deal
from tests.terminal import on_terminal


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a store that a deal is in."""
    write_history(tmp_path / "runs", {1: deal()}, block_events=4)
    return tmp_path


@pytest.fixture
def say(here: Path) -> Shell:
    return shell_in(here)


def test_rows_are_json_lines_with_the_position_to_go_on_from(say: Shell) -> None:
    watched = say("matrix watch runs 'messages | select seq, time, wall | limit 3' --after start")
    rows = [json.loads(line) for line in watched.stdout.splitlines()]
    assert [(row["seq"], row["time"], row["wall"]) for row in rows] == [
        (7, 1_000_000, "1970-01-01T00:00:01.001Z"),
        (10, 2_000_000, "1970-01-01T00:00:02.001Z"),
        (11, 3_000_000, "1970-01-01T00:00:03.001Z"),
    ]
    again = say(f"matrix watch runs 'messages | select seq, time, wall | limit 3' --after {rows[0]['position']}")
    assert again.stdout.splitlines() == watched.stdout.splitlines()[1:]
    assert (again.stderr, again.returncode) == ("", 0)


def test_a_terminal_gets_aligned_lines(here: Path) -> None:
    seen = on_terminal("matrix watch runs 'events | select agent, kind, time | limit 3' --after start", cwd=here)
    assert [line.split() for line in seen.text.splitlines()[2:5]] == [
        ["simulation.started", "0s"],
        ["alice", "agent.started", "0s"],
        ["bob", "agent.started", "0s"],
    ]
    assert seen.text.splitlines()[0].split() == ["agent", "kind", "time"]
    assert seen.code == 0


def test_query_watches_when_the_text_says_so(say: Shell) -> None:
    assert say("matrix query runs 'watch events | limit 0'").returncode == 0
    refused = say("matrix query runs 'watch events' --format csv")
    assert (refused.stdout, refused.returncode) == ("", 2)
    assert "a watch has no end, so its rows go to stdout, as table or jsonl" in refused.stderr


def test_what_is_wrong_is_said_before_any_row(say: Shell) -> None:
    refused = say("matrix watch runs 'events | sort time'")
    assert (refused.stdout, refused.returncode) == ("", 1)
    assert "1:10: a watch cannot be sorted" in refused.stderr
    refused = say("matrix watch runs events --after yesterday")
    assert (refused.stdout, refused.returncode) == ("", 1)
    assert "'yesterday' is not a position of a watch" in refused.stderr
    refused = say("matrix watch runs 'events | select seq as position'")
    assert (refused.stdout, refused.returncode) == ("", 2)


def test_a_kind_that_no_event_has_is_a_notice_and_ctrl_c_the_end(here: Path) -> None:
    command = [sys.executable, "-m", "matrix.cli.main", "watch", "runs", "events offr"]
    process = subprocess.Popen(command, cwd=here, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "notice: no event of kind offr in this store; offer: 1\n"
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert (out, errors, process.returncode) == ("", "stopped\n", 130)


def test_a_watch_ends_when_nobody_reads_it_any_more(say: Shell) -> None:
    done = say("matrix watch runs 'events | select seq' --after start | head -n 2")
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [1, 2]
    assert done.stderr == ""
