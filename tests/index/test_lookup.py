"""What a store and the command line ask besides queries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.errors import NotAStore
from matrix.index import lookup
from matrix.index.index import Index
from matrix.log.reader import LogReader
from tests.index.logs import trade, write_log


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """The index of two simulations, one of them still running."""
    write_log(tmp_path, trade(1, 3), trade(2, 2, is_over=False))
    with Index.open(tmp_path) as index:
        index.follow(LogReader(tmp_path / "log"))
        yield index


def test_a_simulation_is_found_by_its_id(index: Index) -> None:
    assert lookup.simulation_ids(index.connection) == ["trade 1", "trade 2"]
    assert lookup.simulations_named(index.connection, "trade 2") == [(1 << 32) | 2]
    assert lookup.simulations_named(index.connection, "trade 3") == []


def test_the_summary_of_a_simulation_counts_its_agents_and_goals(index: Index) -> None:
    summary = lookup.simulation_summary(index.connection, (1 << 32) | 1)
    assert summary is not None
    assert (summary.id, summary.name, summary.status, summary.seed) == ("trade 1", "trade", "finished", 1)
    assert (summary.events, summary.agent_count, summary.duration) == (17, 3, 170)
    assert (summary.start, summary.end) == (1_001, 1_017)
    assert summary.data == {"agents": 3, "parameters": {"agents": 3}, "reason": "quiescent"}
    assert summary.agents == {("buyer", "finished"): 2, ("seller", "finished"): 1}
    assert summary.goals == {("close_deal", "failed"): 1, ("close_deal", "succeeded"): 2}
    assert lookup.simulation_summary(index.connection, 7) is None


def test_the_summary_of_a_store_counts_everything(index: Index) -> None:
    summary = lookup.store_summary(index.connection)
    assert (summary.shards, summary.segments, summary.events, summary.agents) == (1, 1, 28, 5)
    assert summary.simulations == {"finished": 1, "running": 1}
    assert summary.goals == {"failed": 2, "succeeded": 3}
    assert summary.size_bytes > 0


def test_the_catalogue_lists_kinds_and_paths_with_their_types(index: Index) -> None:
    entries = {entry.kind: entry for entry in lookup.catalogue(index.connection)}
    assert entries["offer"].events == 5
    assert entries["offer"].paths == {
        "items": {"list": 5},
        "price": {"number": 5},
        "items[*]": {"map": 5},
        "items[*].price": {"number": 5},
        "items[*].sku": {"text": 5},
    }
    assert [entry.kind for entry in lookup.catalogue(index.connection, "goal.failed")] == ["goal.failed"]
    assert lookup.catalogue(index.connection, "ofer") == []


def test_a_folder_that_is_not_there_is_no_store_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotAStore, match="no such folder"):
        Index.open(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []
