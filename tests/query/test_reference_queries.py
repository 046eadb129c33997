"""Every query of the specification and of the reference: both evaluators, two kinds of log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from matrix.errors import QueryError
from matrix.query.check import check
from matrix.query.execute import execute
from matrix.store import Store
from matrix.testing.naive import answer
from matrix.testing.society import events_of, society
from matrix.testing.stores import write_history, write_rows
from matrix.testing.strategies import random_example
from matrix.testing.world import World
from tests.query.alike import rows_alike

REFERENCE = Path(__file__).parents[2] / "grammar" / "README.md"
RIGHT = Path(__file__).with_name("right.txt")
NOW_US = 1_800_000_000_000_000  # later than anything in these logs, as the real clock is

PARAMETERS: dict[str, Any] = {
    "id": "1-1:3",
    "tool": "search",
    "roles": ["buyer", "seller"],
    "name": "close_deal",
    "kind": "offer",
    "since": datetime(2026, 1, 1, tzinfo=UTC),
    "span": timedelta(seconds=5),
}


def statements(text: str) -> Iterator[str]:
    """Queries one per line; a line that starts with two spaces continues the one above; # is a comment."""
    for line in re.sub(r"\n  +", " ", re.sub(r" *#[^\n]*", "", text)).splitlines():
        if line.strip():
            yield line.strip()


def written_queries() -> list[str]:
    blocks = re.findall(r"^```matrix\n(.*?)^```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    texts = [*statements(RIGHT.read_text(encoding="utf-8")), *(q for block in blocks for q in statements(block))]
    return list(dict.fromkeys(texts))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Store, World]]:
    """A society, and made-up histories with hostile payloads."""
    folder = tmp_path_factory.mktemp("society")
    rows = list(society(agents=24, events=1_600, seed=3, simulations=2))
    write_rows(folder, rows)
    found = [(Store(folder), World({1: [event for some in rows for event in events_of(some)]}))]
    for seed in range(4):
        shards, _ = random_example(Random(seed), queries_count=0)
        folder = tmp_path_factory.mktemp("made-up")
        write_history(folder, shards, block_events=16)
        found.append((Store(folder), World(shards)))
    return found


@pytest.mark.parametrize("text", written_queries())
def test_written_queries_have_the_same_answer_twice(text: str, stores: list[tuple[Store, World]]) -> None:
    query = check(text, PARAMETERS)
    for store, world in stores:
        if query.is_explain:
            assert execute(query, store).column_names[:2] == ["step", "rows_in"]
            continue
        if query.is_watch:
            with pytest.raises(QueryError, match="a watch goes on"):
                execute(query, store)
            continue
        result = execute(query, store)
        expected = answer(query, world, now=NOW_US)
        assert [name for name in result.column_names if name != "bar"] == expected.columns
        assert rows_alike([_without_bar(row) for row in result.rows()], expected.rows)


def _without_bar(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the plain evaluator has it, which draws no bars."""
    return {name: value for name, value in row.items() if name != "bar"}
