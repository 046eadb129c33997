"""Stores that the tests of the server ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.testing.society import society
from matrix.testing.stores import write_rows


@pytest.fixture(scope="session")
def big_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough for queries that take long: 600 agents, 300,000 events, three simulations."""
    folder = tmp_path_factory.mktemp("big") / "store"
    write_rows(folder, society(agents=600, events=300_000, seed=1, simulations=3))
    return folder


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten agents, 500 events, one simulation."""
    folder = tmp_path_factory.mktemp("small") / "store"
    write_rows(folder, society(agents=10, events=500, seed=1))
    return folder
