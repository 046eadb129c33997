"""What is read for an answer: only the blocks and columns that the question needs; and what SQLite decides alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from matrix.errors import StoreError
from matrix.log.block import Block, BlockRef
from matrix.log.compact import compact_log
from matrix.log.reader import StaleBlock
from matrix.log.writer import Writer
from matrix.query import execute as execute_module
from matrix.query.check import check
from matrix.query.engine import pushdown
from matrix.query.engine.events import EventTable
from matrix.query.engine.scan import Source
from matrix.query.execute import execute
from matrix.store import Store
from matrix.testing.society import society
from tests.query.alike import rows_alike
from tests.query.asking import column, deal_store, store_of
from tests.stories import deal, offers


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Store]:
    """Four simulations of 3,000 events, in blocks of up to 8,192 events that hold one simulation each."""
    with Writer.open(tmp_path / "log", segment_bytes_max=100_000) as writer:
        for rows in society(agents=80, events=12_000, seed=3, simulations=4):
            writer.append(rows)
    with Store(tmp_path) as store:
        store.refresh()
        yield store


class Watched:
    """A store whose reads of blocks are noted; each of them is ``stale`` when it is said so."""

    def __init__(self, store: Store, *, is_stale: bool = False) -> None:
        self.connection, self.reader, self.is_stale = store.connection, self, is_stale
        self._reader, self.refs = store.reader, list[BlockRef]()

    def refresh(self) -> None:
        self.refs.clear()

    def block(self, ref: BlockRef) -> Block:
        self.refs.append(ref)
        if self.is_stale:
            raise StaleBlock("compacted again")
        return self._reader.block(ref)

    def read(self, query: str) -> int:
        """How many blocks an answer takes."""
        execute(check(query), cast(Source, self))
        return len(self.refs)


@pytest.mark.parametrize(
    "query",
    [
        "agents where goal succeeded | count by role",
        "simulations where any agent (goal succeeded) and took > 1s",
        "goals where failed within 5m | count by reason, agent.role",
        "agents | goals where failed",
        "events | count by kind",
        "events tool.*, offer | count",
    ],
)
def test_entities_are_asked_of_the_index_alone(market: Store, query: str) -> None:
    assert Watched(market).read(query) == 0


@pytest.mark.parametrize(
    ("condition", "blocks"),
    [
        ('simulation = "1-2"', 3),
        ('simulation.name = "no such"', 0),
        ("seq < 5", 4),
        ("time > 11m", 0),
        ("wall > @2026-03-01", 0),
        ("kind = no.such", 0),
        ("kind = simulation.finished", 4),
    ],
)
def test_zone_maps_leave_only_blocks_that_can_hold_an_answer(market: Store, condition: str, blocks: int) -> None:
    assert Watched(market).read(f"events where {condition} | count") == blocks


def test_related_events_are_read_only_of_the_simulations_asked_about(market: Store) -> None:
    assert Watched(market).read('agents where simulation = "1-3" and any offer') <= 3


@pytest.mark.parametrize("is_compacted", [False, True])
def test_payload_columns_that_are_not_named_are_never_decoded(
    market: Store, monkeypatch: pytest.MonkeyPatch, is_compacted: bool
) -> None:
    if is_compacted:
        assert compact_log(market.path / "log").segments
    decoded: dict[tuple[str, str], int] = {}
    cells = Block.cells

    def noted(self: Block, kind: str, name: str, *, is_coded: bool = False) -> Any:
        found = cells(self, kind, name, is_coded=is_coded)
        decoded[kind, name] = decoded.get((kind, name), 0) + (found.count if found else 0)
        return found

    completed = column(market, "events model.completed | count", "count")[0]
    monkeypatch.setattr(Block, "cells", noted)
    monkeypatch.setattr(Block, "payloads", lambda self, kind: pytest.fail("a whole payload was decoded"))
    market.query("events model.completed where .tokens > 100 | sum(.ms) by agent.role")
    assert decoded == {("model.completed", "tokens"): completed, ("model.completed", "ms"): completed}


@pytest.mark.parametrize(
    "query",
    [
        "agents where goal succeeded and role = buyer",
        "agents where not goal failed within 2m",
        "agents where at least 2 goals or role in (auditor, buyer)",
        "agents where exactly 1 goal (turns in 2..40) | select id, simulation, goal, goal.status, data",
        "agents where role != buyer and goal.status = cancelled",
        "agents where end missing or duration > 5m",
        "simulations where any agent (role = buyer and no goal (succeeded)) | select id, took, seed, data",
        "simulations where at most 15 agents (any goal (succeeded and steps > 3))",
        "simulations as s where any goal (agent.role = seller and duration = s.duration)",
        "goals where failed and agent.role = buyer and simulation.name = market",
        "goals where reason missing and start <= 0s | select id, name, agent, parent, role, data",
        "goals where any agent (role = seller) and steps < turns",
    ],
)
def test_sqlite_decides_as_the_executor_does(market: Store, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    by_sqlite = market.query(query).table
    monkeypatch.setattr(execute_module, "restriction", lambda relation, condition: None)
    assert by_sqlite.equals(market.query(query).table)
    assert by_sqlite.num_rows > 0


def test_what_sql_would_decide_otherwise_is_not_asked_of_it() -> None:
    for condition in ("id ~ /a/", ".x = 1", "any event", "turns = $huge", "role = $zero"):
        query = check(f"agents where {condition}", {"huge": 2**70, "zero": "a\0b"})
        assert query.source.where is not None
        assert pushdown.restriction(query.source.relation, query.source.where) is None


def test_an_answer_is_the_same_after_compaction(market: Store) -> None:
    queries = ["events", "messages | count by conversation", "events where cause.kind = offer | select id, cause"]
    before = [market.query(query).rows() for query in queries]
    compact_log(market.path / "log")
    assert [market.query(query).rows() for query in queries] == before


def test_zone_maps_are_read_once_until_the_index_follows_or_a_segment_is_compacted(market: Store) -> None:
    statements: list[str] = []
    market.query("events offer | count by agent")
    market.connection.set_trace_callback(statements.append)

    def reads() -> int:
        statements.clear()
        assert market.query("events offer | count by agent").rows()
        return sum("FROM blocks ORDER BY" in statement for statement in statements)

    assert [reads(), reads()] == [0, 0]
    compact_log(market.path / "log")
    assert [reads(), reads()] == [1, 0]
    with Writer.open(market.path / "log") as writer:
        for rows in society(agents=20, events=500, seed=4, simulations=1):
            writer.append(rows)
    assert [reads(), reads()] == [1, 0]


def test_a_segment_compacted_between_index_and_log_is_planned_again(
    market: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = check("events | count by agent")
    before = execute(query, market).rows()
    refresh, asked = Store.refresh, []

    def then_compact(self: Store) -> object:
        found = refresh(self)
        if not asked:
            compact_log(self.path / "log")
            self.reader.close()  # a file that is still open could be read to its end
        asked.append(found)
        return found

    monkeypatch.setattr(Store, "refresh", then_compact)
    assert execute(query, market).rows() == before
    assert len(asked) == 2


def test_a_log_that_never_rests_is_given_up_loudly(market: Store) -> None:
    with pytest.raises(StoreError, match="ask again"):
        Watched(market, is_stale=True).read("events | count by agent")


def test_a_store_that_is_asked_again_sees_what_was_written_meanwhile(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    assert column(store, "agents | count", "count") == [3]
    with Writer.open(tmp_path / "log") as writer:
        from matrix.log.rows import rows_from_events
        from matrix.testing.telling import Telling

        telling = Telling(simulation=writer.next_simulation, wall=0)
        telling.start({"id": "later"})
        telling.spawn(0, "buyer", "dora")
        writer.append(rows_from_events(telling.events))
    assert column(store, "agents | count", "count") == [4]
    assert column(store, "agents where role = buyer", "id") == ["alice", "dora"]


def test_many_batches_give_what_one_batch_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path, deal(), offers([{"price": n} for n in range(50)]), block_events=4)
    queries = [
        "events",
        "messages",
        "events | sum(.price) by kind",
        "agents | messages | select id, sent",
        "conversations",
    ]
    whole = [store.query(query).rows() for query in queries]
    monkeypatch.setattr("matrix.query.engine.scan.QUERY_BATCH_EVENTS_MAX", 1)
    monkeypatch.setattr("matrix.query.engine.quantify.QUERY_PAIRS_MAX", 2)
    assert [store.query(query).rows() for query in queries] == whole
    pairs = "agents as a where any message (sent and peer.role != a.role)"
    assert column(store, pairs, "id") == ["alice", "bob"]


@pytest.mark.parametrize(
    "query",
    ["events | count", "events | count by kind | where count > 9", "events tool.*, offer | count as n by kind as k"],
)
def test_counts_by_kind_are_the_same_from_the_catalogue(
    market: Store, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    by_catalogue = market.query(query).table
    monkeypatch.setattr(execute_module, "kind_counts", lambda query, connection: None)
    assert by_catalogue.equals(market.query(query).table)


@pytest.mark.parametrize(
    ("query", "blocks"),
    [
        ("events | limit 10", 3),  # the first block, once more for the columns of those ten, and for their causes
        ("events | select id, data | limit 3_001", 10),  # two simulations of three blocks, four blocks once more
        ("events offer | limit 5", 14),  # twelve blocks, one once more, and one for the causes
        ("messages | limit 5", 14),
    ],
)
def test_a_limit_is_applied_before_columns_are_read(
    market: Store, monkeypatch: pytest.MonkeyPatch, query: str, blocks: int
) -> None:
    decoded: list[Any] = []
    payloads = Block.payloads

    def noted(self: Block, kind: str) -> Any:
        decoded.append(self.ref)
        return payloads(self, kind)

    monkeypatch.setattr(Block, "payloads", noted)
    assert Watched(market).read(query) <= blocks
    assert len(set(decoded)) <= 4


@pytest.mark.parametrize("query", ["events offer | limit 5", "messages where .price > 10 | limit 3"])
def test_a_limit_ends_the_reading_where_enough_rows_are_found(
    market: Store, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    whole, blocks = market.query(query), Watched(market).read(query)
    monkeypatch.setattr("matrix.query.execute.QUERY_BATCH_EVENTS_MAX", 1)  # one simulation, and then all
    assert market.query(query).rows() == whole.rows()
    assert Watched(market).read(query) < blocks


def test_a_limit_that_the_first_simulations_cannot_fill_takes_all(
    market: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = market.query("events goal.failed | limit 1000").rows()
    monkeypatch.setattr("matrix.query.execute.QUERY_BATCH_EVENTS_MAX", 1)
    assert market.query("events goal.failed | limit 1000").rows() == whole
    assert {row["simulation"] for row in whole} == {"1-1", "1-2", "1-3", "1-4"}


def test_a_limit_takes_the_same_rows_wherever_it_stands(market: Store) -> None:
    whole = market.query("events | select id, kind, .price").rows()
    assert market.query("events | select id, kind, .price | limit 40").rows() == whole[:40]
    assert market.query("events | limit 40 | select id, kind, .price").rows() == whole[:40]
    assert market.query("events | limit 4000 | select id, kind, .price").rows() == whole[:4000]
    top = market.query("messages | sort .price desc, id | limit 7 | select .price, to, conversation").rows()
    assert top == market.query("messages | sort .price desc, id | select .price, to, conversation").rows()[:7]


@pytest.mark.parametrize(
    "query",
    [
        "events | count by kind per 1m",
        "events where .ms > 100 | count, sum(.tokens), avg(.ms), stddev(.ms), min(.ms), max(.tokens) by role, .tool",
        "events model.*, tool.* | median(.ms), p95(.ms), distinct(.tool), count(.ms > 500) by agent.goal.status per 3m",
        "messages where text contains 'refund' and from.role = buyer | count by to.id",
        "agents where any offer (.price > 90) | select id, count(messages), goal.status",
        "agents as of 5m where any tool.failed | select id, simulation, turns, goal.status",
        "events offer where .item > 3 | count",
    ],
)
def test_an_answer_does_not_depend_on_batches_and_threads(
    market: Store, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    whole = market.query(query)
    monkeypatch.setattr("matrix.query.engine.scan.QUERY_BATCH_EVENTS_MAX", 1)
    for threads in (1, 4):
        monkeypatch.setattr("matrix.query.engine.scan.threads_for", lambda _, threads=threads: threads)
        parted = market.query(query)
        assert parted.table.schema == whole.table.schema
        assert rows_alike(parted.rows(), whole.rows())
        assert parted.notices == whole.notices


def test_an_aggregate_behind_a_scan_keeps_no_rows(market: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EventTable, "joined", lambda *_: pytest.fail("rows of several batches were put together"))
    monkeypatch.setattr("matrix.query.engine.scan.QUERY_BATCH_EVENTS_MAX", 1)
    assert market.query("events model.completed | where .tokens > 100 | sum(.tokens), count by role").rows()


def test_sums_in_pieces_are_exact_and_infinities_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = [2**62, 2**62, 1, float("inf"), float("-inf"), None, "dear", float("nan")]
    payloads = [{"price": price, "group": min(n // 2, 2)} for n, price in enumerate(prices)]
    store = store_of(tmp_path, offers(payloads), block_events=1)
    monkeypatch.setattr("matrix.query.engine.scan.QUERY_BATCH_EVENTS_MAX", 1)
    rows = store.query("events offer where .group < 2 | sum(.price), avg(.price), count by .group").rows()
    assert rows == [
        {"group": 0, "sum_price": 2**63, "avg_price": 2.0**62, "count": 2},
        {"group": 1, "sum_price": float("inf"), "avg_price": float("inf"), "count": 2},
    ]
    found = store.query("events offer | sum(.price), avg(.price), stddev(.price), min(.price), max(.price)")
    assert [str(value) for value in found.rows()[0].values()] == ["nan", "nan", "nan", "-inf", "inf"]
    assert found.notices == ["1 events had text in .price"]  # one, told once, though five aggregates leave it out
