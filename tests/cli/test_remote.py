"""Verbs that are given the address of a server do what they do with its folder."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.cli.conftest import shell_in
from tests.client.served import Served, environment, serving
from tests.terminal import in_conversation, on_terminal

Ask = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def served(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(recorded, tmp_path_factory.mktemp("runtime")) as served:
        yield served


@pytest.fixture
def ask(served: Served, monkeypatch: pytest.MonkeyPatch, recorded: Path) -> Ask:
    """A shell in the folder of the store, of a user who finds the server's tokens; URL stands for the address."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(served.runtime))
    monkeypatch.delenv("MATRIX_TOKEN", raising=False)
    shell = shell_in(recorded)
    return lambda command: shell(command.replace("URL", served.url))


@pytest.fixture
def stranger(ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """The same of another user."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return ask


COMMANDS = [
    "matrix query STORE 'goals | count by status'",
    "matrix query STORE 'events | select id, time, wall, data' --format csv",
    "matrix query STORE 'events | limit 20' --format json",
    "matrix query STORE 'events | limit 20' --format table",
    "matrix query STORE 'goals where name = $name and duration <= $most' --param name=close_deal --param most=90s",
    "matrix query STORE 'events nothing'",
    "matrix query STORE 'watch events | select seq, kind | limit 0'",
    "matrix query STORE 'agents where rol = x'",
    "matrix query STORE 'agents | select role | select' ",
    "matrix query STORE",
    "matrix query STORE a b",
    "matrix watch STORE 'events | select seq, time, wall, kind, data | limit 20' --after start",
    "matrix watch STORE 'events' --after nonsense",
    "matrix watch STORE 'events | sort by time'",
    "matrix info STORE 1-1",
    "matrix info STORE 1-1 --json",
    "matrix diff STORE 1-1 1-2",
    "matrix diff STORE 1-1 1-2 --json",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_output_is_that_of_the_folder(ask: Ask, served: Served, command: str) -> None:
    found, right = ask(command.replace("STORE", "URL")), ask(command.replace("STORE", "runs"))
    assert found.stdout == right.stdout
    assert found.stderr.replace(served.url, "runs") == right.stderr
    assert found.returncode == right.returncode


def test_a_store_at_a_glance_goes_by_its_address(ask: Ask, served: Served) -> None:
    found, right = ask("matrix info URL"), ask("matrix info runs")
    assert found.stdout.splitlines()[0] == served.url
    assert found.stdout.splitlines()[1:] == right.stdout.splitlines()[1:]
    assert json.loads(ask("matrix info URL --json").stdout)["path"] == served.url


def test_files_are_written_and_a_wrong_query_leaves_them_alone(ask: Ask, recorded: Path, tmp_path: Path) -> None:
    for form in ("csv", "arrow", "parquet", "jsonl"):
        assert ask(f"matrix query URL events -o {tmp_path}/remote.{form}").returncode == 0
        assert ask(f"matrix query runs events -o {tmp_path}/local.{form}").returncode == 0
    for form in ("csv", "jsonl"):
        assert (tmp_path / f"remote.{form}").read_bytes() == (tmp_path / f"local.{form}").read_bytes()
    table = pa.ipc.open_stream((tmp_path / "local.arrow").read_bytes()).read_all()
    assert pa.ipc.open_stream((tmp_path / "remote.arrow").read_bytes()).read_all().equals(table)
    assert parquet.read_table(tmp_path / "remote.parquet").equals(table)
    assert ask(f"matrix query URL 'agents where rol = x' -o {tmp_path}/remote.csv").returncode == 1
    assert (tmp_path / "remote.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()


def test_a_replay_uses_the_token_that_allows_it(ask: Ask, served: Served) -> None:
    found = ask("matrix replay URL 1-1")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["status"] == "identical"
    every = ask(f"matrix replay URL --all --token {served.control_token}")
    assert [json.loads(line)["id"] for line in every.stdout.splitlines()] == ["1-1", "1-2"]
    refused = ask("matrix replay URL 1-1 --until 2.5s")
    assert refused.returncode == 2
    assert "--until is for a store in a folder; a server replays what was recorded as it was" in refused.stderr


def test_a_token_may_be_given_in_three_ways(stranger: Ask, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stranger("matrix query URL 'agents | count'").returncode == 1
    for command in (f"matrix query {served.link}", f"matrix query URL --token {served.token}"):
        assert stranger(f"{command} 'agents | count'").stdout == '{"count": 8}\n'
    monkeypatch.setenv("MATRIX_TOKEN", served.token)
    assert stranger("matrix query URL 'agents | count'").stdout == '{"count": 8}\n'
    refused = stranger("matrix replay URL 1-1")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert 'needs a token with the scope "control"; this one has read' in refused.stderr


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("matrix query ws://127.0.0.1:1/ agents", 1, "nobody answers there (connection refused); is matrix serve"),
        ("matrix watch ws://127.0.0.1:1/ events", 1, "nobody answers there (connection refused); is matrix serve"),
        ("matrix info ws://nowhere.invalid/", 1, "ws://nowhere.invalid:80/: nobody answers there ("),
        ("matrix query ftp://here/ agents", 1, '"ftp://here/" is no address of a server: a server is ws://host:port/'),
        ("matrix query ws://h:99999/ agents", 1, '"ws://h:99999/" is no address (Port out of range 0-65535)'),
        ("matrix query URL agents --token wrong", 1, "give the token of the link that matrix serve printed"),
        ("matrix query URL agents", 1, "give the token of the link that matrix serve printed"),
    ],
)
def test_what_cannot_be_reached_is_one_clear_line(stranger: Ask, command: str, code: int, words: str) -> None:
    done = stranger(command)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_query_may_come_from_stdin_and_a_reader_that_leaves_early_is_no_error(served: Served, recorded: Path) -> None:
    matrix = f"{shlex.quote(sys.executable)} -m matrix.cli.main"
    for command, count in (
        (f"echo 'events | limit 3' | {matrix} query {served.url} -", 3),
        (f"{matrix} query {served.url} events | head -n 1", 1),
    ):
        done = subprocess.run(
            ["bash", "-c", command], cwd=recorded, env=served.environment, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", count)


def test_a_terminal_gets_a_table_and_its_footer(
    served: Served, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(served.runtime))
    seen = on_terminal(f"matrix query {served.url} 'goals | count by status'", cwd=recorded)
    assert [line.split() for line in seen.text.splitlines()[:4:3]] == [["status", "count"], ["succeeded", "4"]]
    assert seen.text.splitlines()[4].startswith("2 rows")


def test_ctrl_c_ends_a_watch(served: Served, recorded: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "matrix.cli.main", "watch", served.url, "events | limit 1000", "--after", "start"],
        cwd=recorded,
        env=served.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["seq"] == 1
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "stopped\n")


def test_the_prompt_asks_completes_and_watches(served: Served, recorded: Path) -> None:
    seen = in_conversation(
        f"{shlex.quote(sys.executable)} -m matrix.cli.main query {served.url} --no-history",
        [
            ("runs>", "agents whe\t id exists | count\r"),
            ("1 row", ""),
            ("runs>", "watch events never\r"),
            ("Ctrl-C stops it", "\x03"),
            ("stopped", ""),
            ("runs>", ":info\r"),
            ("1 segment", ""),
            ("runs>", "agents where rol = x\r"),
            ("Ctrl-F", "\x06\r"),
            ("no rows", ""),
            ("runs>", "goals | count\r"),
            ("1 row", ""),
            ("runs>", "\x04"),
        ],
        cwd=recorded,
        environment=environment(served.runtime),
    )
    assert seen.code == 0
    assert f"{served.url}: 2 simulations" in seen.text
    assert "stopped" in seen.text
