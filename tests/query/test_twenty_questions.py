"""Questions of the specification against their SQL in DuckDB, on a society of twenty thousand events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from matrix.event import Event
from matrix.query.check import check
from matrix.store import Store
from matrix.testing.naive import evaluate
from matrix.testing.society import events_of, society
from matrix.testing.stores import write_rows
from tests.query.alike import alike
from tests.query.duck import questions, tables

QUESTIONS = questions()

#: The columns of our answer that stand in the order of the columns of the SQL.
COLUMNS = {
    1: ("simulation", "id"),
    2: ("id",),
    5: ("tool", "role", "time", "count"),
    9: ("reason", "count"),
    10: ("role", "rate"),
    12: ("role", "model", "sum_tokens", "p95_ms"),
    13: ("id",),
    14: ("id",),
    19: ("id", "tokens"),
}
#: Agents are named anew in every run, and the SQL of 19 groups by name alone: it is asked about one run.
ONE_RUN = {19}


def make(folder: Path, agents: int, simulations: int) -> tuple[Store, dict[str, list[Event]]]:
    """A society of 20,000 events in a store, and the same events by simulation id."""
    rows = list(society(agents, 20_000, seed=5, simulations=simulations))
    write_rows(folder, rows)
    runs: dict[str, list[Event]] = {}
    for some in rows:
        for event in events_of(some):
            runs.setdefault(f"1-{event.simulation}", []).append(event)
    return Store(folder), runs


World = tuple[Store, dict[str, list[Event]], duckdb.DuckDBPyConnection]


@pytest.fixture(scope="module")
def many_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    store, runs = make(tmp_path_factory.mktemp("many"), agents=120, simulations=40)
    with store:
        yield store, runs, tables(runs)


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    store, runs = make(tmp_path_factory.mktemp("one"), agents=60, simulations=1)
    with store:
        yield store, runs, tables(runs)


def in_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: [(value is None, str(value)) for value in row])


@pytest.mark.parametrize("number", COLUMNS)
def test_a_question_and_its_sql_have_the_same_answer(number: int, many_runs: World, one_run: World) -> None:
    store, runs, duck = one_run if number in ONE_RUN else many_runs
    query, sql = QUESTIONS[number]
    by_sql = duck.execute(sql).fetchall()
    by_us = [tuple(row[name] for name in COLUMNS[number]) for row in store.query(query).rows()]
    shards = {1: [event for events in runs.values() for event in events]}
    by_hand = [tuple(row[name] for name in COLUMNS[number]) for row in evaluate(check(query), shards)]
    assert by_sql, "a question that nothing answers tests nothing"
    assert alike([list(row) for row in by_us], [list(row) for row in by_hand])
    if "sort" not in query:
        by_us, by_sql = in_order(by_us), in_order(by_sql)
    assert alike([list(row) for row in by_us], [list(row) for row in by_sql])
