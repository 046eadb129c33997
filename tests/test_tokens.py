"""The files by which programs of one user find a server's tokens."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.tokens import Tokens, read_tokens, remove_tokens, tokens_file, write_tokens

TOKENS = Tokens("ws://127.0.0.1:8765/", "r" * 43, "c" * 43, os.getpid(), "runs")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "matrix"


def test_what_a_server_leaves_is_found_by_its_port() -> None:
    write_tokens(8765, TOKENS)
    assert read_tokens(8765) == TOKENS
    assert read_tokens(8766) is None


def test_only_the_user_can_read_the_file_whatever_the_mask(folder: Path) -> None:
    before = os.umask(0)
    try:
        path = write_tokens(8765, TOKENS)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [entry.name for entry in folder.iterdir()] == ["serve-8765.json"]


def test_a_folder_that_others_may_enter_is_closed_to_them(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    write_tokens(8765, TOKENS)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nothing_is_written_through_a_link(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(mode=0o700)
    target = tmp_path / "target"
    target.write_text("untouched")
    (folder / f".serve-8765.json.{os.getpid()}.partial").symlink_to(target)
    tokens_file(8765).symlink_to(target)
    write_tokens(8765, TOKENS)
    assert target.read_text() == "untouched"
    assert read_tokens(8765) == TOKENS


def test_a_link_is_not_read(folder: Path, tmp_path: Path) -> None:
    real = write_tokens(8765, TOKENS).rename(tmp_path / "elsewhere.json")
    tokens_file(8765).symlink_to(real)
    assert read_tokens(8765) is None


def test_a_file_that_others_can_read_is_not_believed() -> None:
    write_tokens(8765, TOKENS).chmod(0o644)
    assert read_tokens(8765) is None


def test_the_file_of_a_server_that_was_killed_is_not_read() -> None:
    gone = 2**22 + 1  # above the greatest number that a process has
    write_tokens(8765, replace(TOKENS, pid=gone))
    assert read_tokens(8765) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"url": 1}', '{"url":"","token":"","control_token":"","pid":"1","store":""}']
)
def test_a_file_of_another_kind_is_not_read(text: str) -> None:
    write_tokens(8765, TOKENS).write_text(text)
    assert read_tokens(8765) is None


def test_a_server_takes_away_its_own_file_and_no_other(folder: Path) -> None:
    write_tokens(8765, TOKENS)
    later = replace(TOKENS, token="l" * 43)
    remove_tokens(8765, later)
    assert read_tokens(8765) == TOKENS
    remove_tokens(8765, TOKENS)
    assert list(folder.iterdir()) == []
    remove_tokens(8765, TOKENS)  # twice is nothing


def test_without_a_runtime_folder_the_state_folder_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "not-there"))
    assert tokens_file(8765) == tmp_path / "state/matrix/serve-8765.json"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert tokens_file(8765) == tmp_path / "state/matrix/serve-8765.json"
