"""Every query of the specification and of the reference that is executed: both evaluators, two kinds of log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from matrix.errors import QueryError, UsageError
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
EVENTFUL, _ = random_example(Random(0), queries_count=0)
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
        if not is_executed(text):
            with pytest.raises(QueryError, match="not executed yet"):
                execute(query, store)
            continue
        result = execute(query, store)
        expected = answer(query, world, now=NOW_US)
        assert list(result.column_names) == expected.columns
        assert rows_alike(result.rows(), expected.rows)


def test_most_of_the_reference_is_executed() -> None:
    executed = [text for text in written_queries() if is_executed(text)]
    assert len(executed) > 90


def is_executed(text: str) -> bool:
    """Whether the naive evaluator takes the query; it says what it does not do."""
    try:
        answer(check(text, PARAMETERS), World(EVENTFUL), now=NOW_US)
    except UsageError:
        return False
    return True
