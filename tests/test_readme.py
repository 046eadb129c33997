"""The examples of README.md are run, and what it shows is what they print."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from matrix.query.check import check
from tests.terminal import on_terminal

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def blocks() -> list[tuple[str, str]]:
    """Every fenced block with its language, in order."""
    return [(match[1], match[2]) for match in BLOCK.finditer(README)]


def sessions() -> list[tuple[str, str]]:
    """Commands of the console blocks, each with the output shown under it."""
    shown: list[tuple[str, str]] = []
    for language, text in blocks():
        if language == "console":
            for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
                command, _, output = part.partition("\n")
                shown.append((command, output.rstrip("\n")))
    return shown


def pattern_of(shown: str) -> re.Pattern[str]:
    """What is shown, whatever its seconds and rates: those differ from machine to machine."""
    return re.compile(re.sub(r"[\d,]+(\\\.\d+)?(\\ (s\b|events/s))", r"[\\d,.]+\2", re.escape(shown)))


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{cwd}"}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, env=environment)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the README's programs, as a reader would save them, in which the first of them was run."""
    for language, text in blocks():
        name = re.match(r"# (\w+\.py)", text)
        if language == "python" and name:
            (tmp_path / name[1]).write_text(text)
    done = python("market.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "printed").write_text(done.stdout)
    return tmp_path


def test_the_program_of_the_first_screen_prints_what_stands_below_it(folder: Path) -> None:
    printed = (folder / "printed").read_text()
    assert pattern_of(blocks()[1][1].rstrip()).fullmatch(printed.rstrip()), printed


def test_the_shell_sessions_show_what_a_terminal_shows(folder: Path) -> None:
    assert len(sessions()) >= 3
    for command, shown in sessions():
        seen = on_terminal(command, cwd=folder)
        assert pattern_of(shown).fullmatch(seen.text.rstrip("\n")), f"$ {command}\n{seen.text}"


def test_the_first_screen_has_one_sentence_one_program_its_output_and_a_session() -> None:
    first = README.split("\n## ")[0]
    assert [language for language, _ in BLOCK.findall(first)] == ["python", "text", "console"]
    assert len(README.split("\n\n")[1].split(". ")) == 1


def test_every_other_python_block_runs(folder: Path) -> None:
    for language, text in blocks()[2:]:
        if language == "python":
            done = python("-c", text, cwd=folder)
            assert done.returncode == 0, f"{text}\n{done.stderr}"


def test_the_row_of_a_chat_is_what_an_export_writes(folder: Path) -> None:
    (shown,) = (json.loads(text) for language, text in blocks() if language == "json")
    asked = f"agents where id = '{shown['agent']}'"
    done = python("-m", "matrix.cli.main", "export", "runs", asked, "--as", "chat", "--test", "0.4", cwd=folder)
    assert json.loads(done.stdout) == shown, done.stdout


def test_the_format_of_ones_own_is_found_and_imports(folder: Path) -> None:
    announced = folder / "chess_format-1.dist-info"
    announced.mkdir()
    (announced / "METADATA").write_text("Metadata-Version: 2.1\nName: chess_format\nVersion: 1\n")
    points = re.search(r"^ {4}(\[project\.entry-points.*)\n {4}(chess = .*)$", README, re.M)
    assert points is not None
    (announced / "entry_points.txt").write_text("[matrix.importers]\n" + points[2].replace('"', "") + "\n")
    (folder / "games.jsonl").write_text('{"id": "g1", "moves": ["e4", "e5", "Nf3"]}\n{"id": "g2", "moves": ["d4"]}\n')
    (command,) = re.findall(r"`matrix (import chess .*?)`", README)
    done = python("-m", "matrix.cli.main", *command.split(), cwd=folder)
    assert done.returncode == 0, done.stderr
    asked = python("-m", "matrix.cli.main", "query", "games", "events moved | count by simulation, agent", cwd=folder)
    assert asked.stdout.splitlines() == [
        '{"simulation": "g1", "agent": "black", "count": 1}',
        '{"simulation": "g1", "agent": "white", "count": 2}',
        '{"simulation": "g2", "agent": "white", "count": 1}',
    ]


def test_every_query_shown_is_a_right_one() -> None:
    shown = re.findall(r"^ {4}((?:simulations|agents|goals|events|messages|conversations) .*)$", README, re.M)
    assert len(shown) >= 5
    for query in shown:
        check(query)


def test_every_file_the_readme_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
