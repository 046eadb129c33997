"""The examples of README.md are run, and what it shows is what they print."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the README's programs, as a reader would save them, and the source tree's examples."""
    place = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples", place / "examples")
    for language, text in blocks():
        name = re.match(r"# (\w+\.py)", text)
        if language == "python" and name:
            (place / name[1]).write_text(text)
    return place


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, env=environment)


def test_the_program_of_the_first_screen_prints_what_stands_below_it(folder: Path) -> None:
    (_, program), (_, shown) = blocks()[:2]
    done = python(program.split()[1], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert pattern_of(shown.rstrip()).fullmatch(done.stdout.rstrip()), done.stdout


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
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(
                [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, env=environment
            )
            assert done.returncode == 0, f"{text}\n{done.stderr}"


def test_every_file_the_readme_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
