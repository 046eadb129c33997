"""`matrix serve`, and `matrix demo --serve`."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import matrix
from tests.cli.conftest import Shell


class Command:
    """A command that runs, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()

    def wait_for(self, pattern: str, seconds: float = 30) -> re.Match[str]:
        """The first line that this is found in."""
        deadline = time.monotonic() + seconds
        with self._more:
            while True:
                for line in self.lines:
                    if found := re.search(pattern, line):
                        return found
                assert self._more.wait(deadline - time.monotonic()), (pattern, self.lines)

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; the exit code, and what stood on stderr."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        self._reader.join()
        assert self.process.stderr is not None
        return code, self.process.stderr.read()


@contextmanager
def running(*arguments: str, cwd: Path) -> Iterator[Command]:
    """A `matrix` command in a process of its own, with the three streams of a pipe."""
    process = subprocess.Popen(
        [sys.executable, "-m", "matrix.cli.main", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C at the terminal of the tests is not for it
    )
    command = Command(process)
    try:
        yield command
    finally:
        process.kill()
        process.wait()
        command._reader.join()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.delenv("MATRIX_TOKEN", raising=False)
    return folder


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_the_link_is_printed_and_ctrl_c_ends_all(recorded: Path, own: Path) -> None:
    with running("serve", "runs", "--port", "0", cwd=recorded) as command:
        port = command.wait_for(r"page +http://127\.0\.0\.1:(\d+)/#token=[\w-]{43}$")[1]
        command.wait_for(rf"control +http://127\.0\.0\.1:{port}/#token=[\w-]{{43}}   # this one may run programs too$")
        command.wait_for(rf"ask +matrix query ws://127\.0\.0\.1:{port} 'simulations'$")
        assert command.lines[0] == "runs is served until Ctrl-C"
        assert fetched(f"http://127.0.0.1:{port}/health") == '{"status":"ok"}\n'
        assert [file.name for file in (own / "matrix").iterdir()] == [f"serve-{port}.json"]
        code, words = command.end()
    assert (code, words) == (130, "stopped\n")
    assert list((own / "matrix").iterdir()) == []


def test_the_examples_of_help_work(place: Path, shell: Shell) -> None:
    shown = [line.strip() for verb in ("serve", "demo") for line in shell(f"matrix {verb} --help").stdout.splitlines()]
    *served, demo = [line for line in shown if re.match(r"matrix serve|matrix demo.* --serve$", line)]
    (question,) = [line.partition("#")[0] for line in shown if line.startswith("matrix query")]
    assert len(served) == 3 and demo == "matrix demo --serve"
    for example in [*served, demo]:
        words = shlex.split(example.replace("192.168.1.20", "127.0.0.1"))[1:]
        with running(*words, *([] if "--port" in words else ["--port", "0"]), cwd=place) as command:
            port = command.wait_for(r"page +http://127\.0\.0\.1:(\d+)/#")[1]
            if example == served[0]:
                asked = shell(question.replace("8765", port))
                assert (asked.returncode, asked.stderr) == (0, "")
            assert command.end()[0] == 130


def test_a_request_to_end_is_not_an_error(recorded: Path, own: Path) -> None:
    with running("serve", "runs", "--port", "0", cwd=recorded) as command:
        command.wait_for("ask ")
        assert command.end(signal.SIGTERM) == (0, "")
    assert list((own / "matrix").iterdir()) == []


def test_another_verb_of_the_same_user_finds_the_token(recorded: Path) -> None:
    with running("serve", "runs", "--port", "0", cwd=recorded) as command:
        url = command.wait_for(r"(ws://\S+)")[1]
        with running("query", url, "simulations | count", cwd=recorded) as query:
            assert query.wait_for("count")[0] == "count"
            assert query.lines == ['{"count": 2}']


def test_a_token_is_given_by_option_or_by_the_environment(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATRIX_CONTROL_TOKEN", "control-0123456789")
    options = ("--token", "reading-0123456789")
    with running("serve", "runs", "--port", "0", *options, cwd=recorded) as command:
        command.wait_for(r"page .*#token=reading-0123456789$")
        command.wait_for(r"control .*#token=control-0123456789 ")


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (
            "matrix serve nowhere",
            1,
            "error: nowhere: there is no such folder; `matrix run` and `matrix import` make a store",
        ),
        ("matrix serve runs --token short", 1, "error: token has 5 characters; it is 16 to 512"),
        ("matrix serve runs --origin everywhere", 1, 'error: "everywhere" is no origin'),
        ("matrix serve runs --port 99999", 2, "99999 is not in the range 0<=x<=65535"),
        ("matrix serve runs --timeout 0", 2, "0.0 is not in the range x>0"),
        ("matrix serve", 2, "Missing argument 'STORE'"),
        ("matrix demo --port 0", 2, "error: --port is of use with --serve only"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(shell: Shell, command: str, code: int, words: str) -> None:
    done = shell(command)
    assert (done.stdout, done.returncode) == ("", code)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said_in_a_line(recorded: Path, shell: Shell) -> None:
    with running("serve", "runs", "--port", "0", cwd=recorded) as command:
        port = command.wait_for(r"ws://127\.0\.0\.1:(\d+)")[1]
        done = shell(f"matrix serve runs --port {port}")
    words = "another server runs there; another port, or 0 for any that is free, will do"
    assert done.stderr == f"error: port {port} is in use: {words}\n"
    assert done.returncode == 1


def test_help_shows_how_it_is_begun_and_asked(shell: Shell) -> None:
    help = shell("matrix serve --help").stdout
    assert "matrix serve runs\n" in help
    assert "matrix query ws://127.0.0.1:8765 'agents | count by role'" in help
    assert "matrix demo --serve\n" in shell("matrix demo --help").stdout


def test_the_demonstration_prints_its_link_first_and_runs_days_into_the_store(tmp_path: Path) -> None:
    with running("demo", "--serve", "--port", "0", cwd=tmp_path) as command:
        page = command.wait_for(r"page +(http://127\.0\.0\.1:\d+/)#token=[\w-]{43}&view=live$")[1]
        assert len(command.lines) <= 6, "no day is over yet"
        assert fetched(f"{page}health") == '{"status":"ok"}\n'
        command.wait_for(r"day 1   simulation 1-1: 17,210 events, 895 of 2,767 goals reached$")
        command.wait_for(r"day 2   simulation 1-2 begins: watch it for half a minute$")
        time.sleep(0.5)
        code, words = command.end()
    assert (code, words) == (130, "stopped\n")
    with matrix.open(tmp_path / "matrix-demo") as store:
        ended = store.query("simulations | select id, status").rows()
        again = store.query("events simulation.stopped | select .reason as reason").rows()
    assert ended == [{"id": "1-1", "status": "finished"}, {"id": "1-2", "status": "stopped"}]
    assert again[-1] == {"reason": "interrupted"}
