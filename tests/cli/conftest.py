"""A store that verbs are tried on, and a shell to try them in."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from matrix.cli.main import main

Shell = Callable[[str], "subprocess.CompletedProcess[str]"]
HERE = Path(__file__).parent


def shell_in(folder: Path) -> Shell:
    """A shell in this folder, in which `matrix` is this environment's; pipes fail when any part of them does.

    What is one plain call of `matrix` is called in this process, which spares the start of an interpreter.
    """

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        plain = re.sub(r"'[^']*'", "", command)
        if command.startswith("matrix ") and not re.search(r"[|&;<>$`]", plain):
            return called_here(shlex.split(command)[1:], folder)
        matrix = f'matrix() {{ {sys.executable} -m matrix.cli.main "$@"; }}'
        line = f"set -o pipefail; {matrix}; {command}"
        return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=120)

    return shell


def called_here(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The same as a process of its own would do, in this one; programs it loads are forgotten afterwards."""
    before, path = set(sys.modules), list(sys.path)
    with contextlib.chdir(folder):
        done = CliRunner().invoke(main, arguments)
    for name in set(sys.modules) - before:
        if not name.startswith("matrix."):
            module = sys.modules[name]
            if str(getattr(module, "__file__", "")).startswith(str(folder)):
                del sys.modules[name]
    sys.path[:] = path
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


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
