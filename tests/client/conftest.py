"""A store that is served for all tests of this room, and asked locally for what is right."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import matrix
from tests.cli.conftest import shell_in
from tests.client.served import Served, serving

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, `runs`, and the programs its simulations are of; not to be changed."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(HERE.parent / "cli" / "market.py", folder)
    shell = shell_in(folder)
    for command in (
        "matrix run market.py --store runs --seed 7 --simulations 2 --set buyers=40 --set stock=25",
        "matrix run market.py:traffic --store runs",
        "matrix fork runs 1-1 --at 60 --set seller.stock=2",
    ):
        done = shell(command)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of that store."""
    with serving(folder, tmp_path_factory.mktemp("runtime")) as served:
        yield served


@pytest.fixture
def local(folder: Path) -> Iterator[matrix.Store]:
    """The same store, asked without a server."""
    with matrix.open(folder / "runs") as store:
        yield store


@pytest.fixture(autouse=True)
def _no_tokens_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests find no token but those they are given."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("MATRIX_TOKEN", raising=False)
