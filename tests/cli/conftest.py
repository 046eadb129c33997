"""A store that verbs are tried on, and a shell to try them in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Shell = Callable[[str], "subprocess.CompletedProcess[str]"]
HERE = Path(__file__).parent


def shell_in(folder: Path) -> Shell:
    """A shell in this folder, in which `matrix` is this environment's; pipes fail when any part of them does."""

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        matrix = f'matrix() {{ {sys.executable} -m matrix.cli.main "$@"; }}'
        line = f"set -o pipefail; {matrix}; {command}"
        return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=120)

    return shell


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, `runs`, of two simulations, and the program they are of; not to be changed."""
    folder = tmp_path_factory.mktemp("recorded")
    shutil.copy(HERE / "market.py", folder)
    done = shell_in(folder)("matrix run market.py --store runs --seed 7 --simulations 2")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def place(recorded: Path, tmp_path: Path) -> Path:
    """A folder of one's own, with a copy of that store and program."""
    return Path(shutil.copytree(recorded, tmp_path / "place"))


@pytest.fixture
def shell(place: Path) -> Shell:
    """A shell in that folder of one's own."""
    return shell_in(place)
