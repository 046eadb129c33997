"""Questions of the specification against their SQL in DuckDB, on a society of twenty thousand events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from matrix.event import Event
from matrix.query.check import check
from matrix.store import Store
from matrix.testing.naive import answer
from matrix.testing.society import events_of, society
from matrix.testing.stores import write_rows
from matrix.testing.world import World
from tests.query.alike import alike
from tests.query.duck import questions, tables

QUESTIONS = questions()

#: The columns of our answer that stand in the order of the columns of the SQL.
COLUMNS = {
    1: ("simulation", "id"),
    2: ("id",),
    3: ("id",),
    4: ("id",),
    5: ("tool", "role", "time", "count"),
    6: ("id",),
    9: ("reason", "count"),
    10: ("role", "rate"),
    11: ("id",),
    12: ("role", "model", "sum_tokens", "p95_ms"),
    13: ("id",),
    14: ("id",),
    15: ("id", "budget"),
    16: ("role", "wait", "count"),
    17: ("step", "reached"),
    18: ("id",),
    19: ("id", "tokens"),
    20: ("id",),
}
#: Agents are named anew in every run, and the SQL of these joins or groups by name alone: they are asked about one run.
ONE_RUN = {3, 4, 8, 11, 16, 17, 19, 20}


def make(folder: Path, agents: int, simulations: int) -> tuple[Store, dict[str, list[Event]]]:
    """A society of 20,000 events in a store, and the same events by simulation id."""
    rows = list(society(agents, 20_000, seed=5, simulations=simulations))
    write_rows(folder, rows)
    runs: dict[str, list[Event]] = {}
    for some in rows:
        for event in events_of(some):
            runs.setdefault(f"1-{event.simulation}", []).append(event)
    return Store(folder), runs


@dataclass(frozen=True)
class Society:
    """A store, the same events in DuckDB and in plain Python, and the failure that question 6 is about."""

    store: Store
    world: World
    duck: duckdb.DuckDBPyConnection

    @property
    def failure(self) -> str:
        """The id of a failed goal's last event that something led to."""
        failures = answer(check("events goal.failed where cause exists | limit 1"), self.world)
        return str(failures.rows[0]["id"])

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """The rows of a SQL."""
        return self.duck.execute(text, {"id": self.failure} if "$id" in text else None).fetchall()

    def ask(self, text: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows of a query, by the executor and by the naive evaluator."""
        parameters = {"id": self.failure} if "$id" in text else {}
        by_hand = answer(check(text, parameters), self.world).rows
        return self.store.query(text, **parameters).rows(), by_hand


def society_of(store: Store, runs: dict[str, list[Event]], *, with_stream: bool = False) -> Society:
    """The same events three times."""
    world = World({1: [event for events in runs.values() for event in events]})
    return Society(store, world, tables(runs, with_stream=with_stream))


@pytest.fixture(scope="module")
def many_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    store, runs = make(tmp_path_factory.mktemp("many"), agents=120, simulations=40)
    with store:
        yield society_of(store, runs)


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    store, runs = make(tmp_path_factory.mktemp("one"), agents=600, simulations=1)
    with store:
        yield society_of(store, runs, with_stream=True)


def in_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: [(value is None, str(value)) for value in row])


@pytest.mark.parametrize("number", COLUMNS)
def test_a_question_and_its_sql_have_the_same_answer(number: int, many_runs: Society, one_run: Society) -> None:
    society = one_run if number in ONE_RUN else many_runs
    query, sql = QUESTIONS[number]
    by_sql = society.sql(sql)
    by_us, by_hand = ([tuple(row[name] for name in COLUMNS[number]) for row in rows] for rows in society.ask(query))
    assert by_sql, "a question that nothing answers tests nothing"
    assert alike([list(row) for row in by_us], [list(row) for row in by_hand])
    if number == 16:  # the language has whole microseconds
        by_sql = [(role, round(wait), count) for role, wait, count in by_sql]
    if "sort" not in query:
        by_us, by_sql = in_order(by_us), in_order(by_sql)
    assert alike([list(row) for row in by_us], [list(row) for row in by_sql])


def test_the_chats_of_successful_agents_say_what_the_sql_says(one_run: Society) -> None:
    query, sql = QUESTIONS[8]
    by_us, by_hand = one_run.ask(query)
    assert by_us == by_hand
    role_of = dict(one_run.sql("select id, role from agents"))
    chats = dict(one_run.sql(sql))
    assert chats
    for row in by_us:
        assert all((message["role"] == "assistant") == (message["name"] == row["agent"]) for message in row["messages"])
        said = [{"role": role_of[message["name"]], "content": message["content"]} for message in row["messages"]]
        assert said == chats[row["conversation"]]
    assert {row["conversation"] for row in by_us} == chats.keys()
