"""The command itself: help, errors as one line, exit codes, pipes and Ctrl-C."""

from __future__ import annotations

import errno
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from matrix.cli.main import VERBS, main
from matrix.errors import LogCorrupt, QueryError
from tests.terminal import cpu_seconds, on_terminal


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = f"{sys.executable} -m matrix.cli.main"
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; matrix() {{ {program} "$@"; }}; {command}'],
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def that_raises(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `matrix check` raise this."""

    def raising(**_: object) -> None:
        raise error

    module = importlib.import_module("matrix.cli.check")
    monkeypatch.setattr(module, "command", click.Command("check", callback=raising))


def test_the_bare_command_shows_its_help_and_no_error(tmp_path: Path) -> None:
    done = shell("matrix", tmp_path)
    assert done.stdout + done.stderr != "" and "error" not in done.stderr.split("Commands:")[0]


def test_help_lists_every_verb_in_the_order_a_newcomer_meets_them() -> None:
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    listed = shown.stdout.split("Commands:")[1].splitlines()[1:]
    assert [line.split()[0] for line in listed[: len(VERBS)]] == list(VERBS)


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_every_help_ends_with_an_example(verb: str) -> None:
    shown = CliRunner().invoke(main, [*verb.split(), "--help"])
    assert shown.exit_code == 0
    *_, ending = shown.stdout.split("\n\n")
    assert ending.split()[0] in ("Example:", "Examples:")
    assert f"matrix {verb}" in ending


def test_help_comes_quickly() -> None:
    command = [sys.executable, "-m", "matrix.cli.main", "--help"]
    assert min(cpu_seconds(command) for _ in range(5)) < 0.2


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("matrix sing", "error: No such command 'sing'."),
        ("matrix query", "error: Missing argument 'STORE'."),
        ("matrix query s q --format xml", "error: Invalid value for '--format': 'xml' is not one of"),
        ("matrix query s 'agents' --param role", 'error: --param takes name=value, not "role"'),
        ("matrix query s agents where goal succeeded", "error: the query is one argument; put it in quotes: "),
        ("matrix query s agents -o nowhere/rows.csv", "error: there is no folder nowhere to write nowhere/rows.csv in"),
        ("matrix import xml f --store s", 'error: there is no format "xml"; there are: casino, cicero, '),
        ("matrix run nowhere.py", "error: there is no file nowhere.py"),
    ],
)
def test_a_wrong_command_line_says_so_and_exits_2(command: str, message: str, tmp_path: Path) -> None:
    done = shell(command, tmp_path)
    assert done.stderr.startswith(message)
    assert (done.returncode, done.stdout) == (2, "")
    assert not list(tmp_path.iterdir())


SEGMENT = "runs/log/0001/00000001.seg"
ERRORS: list[tuple[Callable[[], BaseException], int, str]] = [
    (lambda: LogCorrupt(SEGMENT, 4096, "expected a frame"), 1, f"error: {SEGMENT}: at byte 4096: expected a frame\n"),
    (lambda: QueryError("no", code="x", text="agents", start=0, end=6), 1, "error: 1:1: no\n  agents\n  ^^^^^^\n"),
    (lambda: PermissionError(errno.EACCES, "Permission denied", "runs/log"), 1, "error: runs/log: Permission denied\n"),
    (lambda: ZeroDivisionError("division by zero"), 1, "error: ZeroDivisionError: division by zero at "),
    (KeyboardInterrupt, 130, "stopped\n"),
    (BrokenPipeError, 0, ""),
]


@pytest.mark.parametrize(("error", "code", "message"), ERRORS)
def test_every_error_becomes_words_and_a_code(
    error: Callable[[], BaseException], code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    that_raises(error(), monkeypatch)
    shown = CliRunner().invoke(main, ["check"])
    assert shown.exit_code == code
    assert shown.stderr.startswith(message)
    assert "Traceback" not in shown.output


def test_a_traceback_is_there_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    that_raises(ZeroDivisionError(), monkeypatch)
    shown = CliRunner().invoke(main, ["check"], env={"MATRIX_TRACEBACK": "1"})
    assert "Traceback" in shown.stderr


def test_errors_are_red_on_a_terminal_and_plain_where_no_colour_is_wanted(tmp_path: Path) -> None:
    assert "\x1b[31m" in on_terminal("matrix sing", cwd=tmp_path).raw
    assert "\x1b[31m" not in on_terminal("NO_COLOR=1 matrix sing", cwd=tmp_path).raw
