"""`Store.watch` under Trio: rows as another task or process writes them, cancelled, closed, and gone on from."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from matrix import Agent, Simulation, open_runtime
from matrix.errors import QueryError, UsageError
from matrix.event import Event
from matrix.index.index import Index
from matrix.log.compact import compact_log
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from matrix.query.check import check
from matrix.query.watch import WatchedRow
from matrix.store import Store
from matrix.watching import WatchedRows
from tests.query.asking import deal_store, store_of
from tests.stories import deal, offers

DEAL = deal()


def write(store: Path, events: list[Event], *, segment_bytes_max: int = 1 << 26) -> None:
    """Add events to shard 1, in a block."""
    with Writer.open(store / "log", shard=1, segment_bytes_max=segment_bytes_max) as writer:
        writer.append(rows_from_events(events))


def part_of_the_deal(folder: Path, count: int) -> Store:
    return store_of(folder, DEAL[:count])


async def take(rows: WatchedRows, count: int) -> list[WatchedRow]:
    """So many rows, and not one more is waited for."""
    with trio.fail_after(30):
        return [await anext(rows) for _ in range(count)]


def open_files() -> set[str]:
    return {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)}


def _is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


async def test_rows_come_as_another_task_writes_them(tmp_path: Path) -> None:
    store = part_of_the_deal(tmp_path, 6)
    text = "events offer, counter | select kind, agent, .price as price"
    async with store.watch(text) as rows, trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, write, tmp_path, DEAL[6:9])
        first = await take(rows, 1)
        nursery.start_soon(trio.to_thread.run_sync, write, tmp_path, DEAL[9:])
        second = await take(rows, 1)
    assert first == [{"kind": "offer", "agent": "alice", "price": 40}]
    assert second == [{"kind": "counter", "agent": "bob", "price": 50}]


async def test_from_now_on_leaves_out_what_is_written_and_what_holds_already(tmp_path: Path) -> None:
    store = part_of_the_deal(tmp_path, 8)  # one goal has succeeded by now
    async with store.watch("goals where started | select name, status") as rows:
        with trio.move_on_after(0.3):
            pytest.fail(f"told {await anext(rows)}")
    async with store.watch("goals where succeeded | select name, status", after="start") as rows:
        assert await take(rows, 1) == [{"name": "ask", "status": "succeeded"}]


async def test_watch_in_front_of_the_text_changes_nothing_not_even_positions(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    [row] = await take(store.watch("watch events counter", after="start"), 1)
    [again] = await take(store.watch("events counter", after="start"), 1)
    assert (row, row.position) == (again, again.position)
    assert json.loads(json.dumps(row)) == row


async def test_a_watch_goes_on_right_behind_any_row(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    rows = await take(store.watch("events", after="start"), 13)
    write(tmp_path, [])
    for place, row in enumerate(rows[:-1]):
        assert await take(store.watch("events", after=row.position), 12 - place) == rows[place + 1 :]


async def test_a_limit_ends_the_watch_and_counts_on_across_a_resume(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    with trio.fail_after(30):
        rows = [row async for row in store.watch("events | limit 5 | select seq", after="start")]
        rest = [row async for row in store.watch("events | limit 5 | select seq", after=rows[1].position)]
        none = [row async for row in store.watch("events | limit 5 | select seq", after=rows[4].position)]
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["seq"] for row in rest] == [3, 4, 5]
    assert none == []


async def test_a_bucket_is_told_once_its_run_is_past_it(tmp_path: Path) -> None:
    store = part_of_the_deal(tmp_path, 8)
    rows = store.watch("events | count by role per 1s", after="start")
    assert [(row["role"], row["time"], row["count"]) for row in await take(rows, 2)] == [
        ("buyer", 0, 1),
        ("seller", 0, 1),
    ]
    write(tmp_path, DEAL[8:])
    told = await take(rows, 4)
    assert list(told[0]) == ["simulation", "role", "time", "count"]
    await rows.aclose()


async def test_cancelled_while_it_waits_a_watch_loses_nothing_and_leaves_nothing_open(tmp_path: Path) -> None:
    store = part_of_the_deal(tmp_path, 6)
    gc.collect()
    before, threads = open_files(), threading.active_count()
    rows = store.watch("events | select seq")
    with trio.move_on_after(0.2) as scope:
        await anext(rows)
    assert scope.cancelled_caught
    assert open_files() <= before
    write(tmp_path, DEAL[6:8])
    assert await take(rows, 2) == [{"seq": 7}, {"seq": 8}]
    await rows.aclose()
    await rows.aclose()
    assert open_files() <= before
    assert threading.active_count() <= threads + 2  # Trio keeps idle workers for a while
    with pytest.raises(StopAsyncIteration):
        await anext(rows)


async def test_a_watch_that_is_dropped_closes_its_files(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    gc.collect()  # what other tests have left open
    before = open_files()
    async for _ in store.watch("events", after="start"):
        break
    gc.collect()
    assert open_files() <= before


async def test_a_damaged_index_that_only_a_look_meets_is_made_anew(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    with Index.open(tmp_path) as index:
        store.query("goals")
        (root,) = index.connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'goals'").fetchone()
    store.close()
    damaged = bytearray((tmp_path / "index.sqlite").read_bytes())
    damaged[(root - 1) * 4_096 : root * 4_096] = bytes(4_096)
    (tmp_path / "index.sqlite").write_bytes(damaged)
    rows = Store(tmp_path).watch("goals where succeeded | select name", after="start")
    assert await take(rows, 1) == [{"name": "ask"}]
    rows.close()


async def test_closing_ends_the_wait_of_another_task(tmp_path: Path) -> None:
    rows = deal_store(tmp_path).watch("events")
    told: list[WatchedRow] = []

    async def listen() -> None:
        async for row in rows:
            told.append(row)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError, match="another task"):
                await anext(rows)
            rows.close()
    assert told == []


async def test_new_shards_rolled_segments_and_compaction_are_no_gap_and_no_repeat(tmp_path: Path) -> None:
    store = part_of_the_deal(tmp_path, 2)
    rows = store.watch("events | select simulation, seq", after="start")
    told = await take(rows, 2)
    for event in DEAL[2:8]:
        write(tmp_path, [event], segment_bytes_max=700)  # a segment for every few
        told += await take(rows, 1)
    compact_log(tmp_path / "log")
    with Writer.open(tmp_path / "log", shard=1), Writer.open(tmp_path / "log") as other:
        assert other.shard == 2
        other.append(rows_from_events(offers([{}, {}])))
    told += await take(rows, 4)
    write(tmp_path, DEAL[8:])
    told += await take(rows, 5)
    compact_log(tmp_path / "log")
    again = await take(store.watch("events | select simulation, seq", after=told[3].position), 13)
    assert [(row["simulation"], row["seq"]) for row in told] == [
        *(("r1", seq) for seq in range(1, 9)),
        *(("r2", seq) for seq in range(1, 5)),
        *(("r1", seq) for seq in range(9, 14)),
    ]
    assert sorted(map(str, again)) == sorted(map(str, told[4:]))
    await rows.aclose()


async def test_an_index_made_anew_by_another_changes_nothing(tmp_path: Path) -> None:
    store = part_of_the_deal(tmp_path, 6)
    rows = store.watch("agents where any offer | select id", after="start")
    write(tmp_path, DEAL[6:7])
    assert await take(rows, 1) == [{"id": "alice"}]
    store.reindex()
    write(tmp_path, DEAL[7:])
    with trio.move_on_after(0.3):
        pytest.fail(f"told {await anext(rows)}")
    await rows.aclose()


# -- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("events | sort time", "a watch cannot be sorted"),
        ("events | sample 3", "a watch cannot be sampled"),
        ("events | count by kind", "1:10: a watch adds up in buckets"),
        ("events | limit 3 | count per 1s", "a bucket is of all its rows"),
        ("events | count per 1s | count per 1m", "a watch tells each bucket once"),
        ("agents | match offer then got accept | count per 1s", "agents go on changing"),
        ("goals | select start, status | count per 1s", "goals go on changing"),
        ("messages | conversations | count per 1s", "conversations go on changing"),
        ("agents as of 5s", "a watch looks at what comes"),
        ("agents | funnel offer then got accept", "a watch has no funnel"),
        ("events offer | effects", "a watch has no effects"),
        ("events offer | causes | as tree", "a watch is no tree"),
        ("agents | goals | agents | match offer then got accept", "a watch tells each match once"),
        ("explain events", "explain is answered once"),
        ("events where knd = offer", 'events have no field "knd"'),
    ],
)
def test_what_a_watch_cannot_tell_is_refused_at_the_call(tmp_path: Path, text: str, message: str) -> None:
    store = deal_store(tmp_path)
    with pytest.raises(QueryError, match=message) as caught:
        store.watch(text)
    assert caught.value.hint or caught.value.fix


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("goals where failed | count per 1m", "events goal.failed | count per 1m"),
        ("agents where status = finished | count by role", "events agent.finished | count by role per 10s"),
        ("simulations | count", "events simulation.started | count per 1h of wall"),
        ("goals where failed and name = ask | count per 1m", None),
        ("goals where failed | count by name per 1m", None),  # events have no name
        ("goals where agent.status = failed | count per 1m", None),
        ("conversations | count per 1m", None),
    ],
)
def test_buckets_of_what_goes_on_changing_are_refused_with_the_events_to_count(text: str, fix: str | None) -> None:
    with pytest.raises(QueryError, match="a watch tells each bucket once") as caught:
        check(text, is_watch=True)
    assert (caught.value.code, caught.value.fix or None) == ("not-in-watch", fix)
    assert caught.value.hint.startswith("count events instead: watch ")
    if fix is not None:
        check(fix, is_watch=True)


def test_buckets_of_events_that_things_lead_to_are_told() -> None:
    assert check("watch agents where role = buyer | events goal.failed | count per 1m").is_watch


def test_a_watch_is_no_query_with_an_answer(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="1:1: a watch goes on for ever"):
        deal_store(tmp_path).query("watch events")


async def test_a_position_of_another_query_or_store_or_none_is_refused(tmp_path: Path) -> None:
    store = deal_store(tmp_path / "one")
    rows = await take(store.watch("events", after="start"), 13)
    for text in ("", "yesterday", "w1.", "w1.AAAA.1", rows[3].position[:-4], rows[3].position + "0" * 30):
        with pytest.raises(UsageError, match="is not a position of a watch"):
            store.watch("events", after=text)
    with pytest.raises(UsageError, match="position of another query"):
        store.watch("events offer", after=rows[3].position)
    with pytest.raises(UsageError, match="position of another query"):
        store.watch("events where role = $role", role="buyer", after=rows[3].position)
    for row in (rows[3], rows[-1]):
        with pytest.raises(UsageError, match="behind the log's end"):
            await take(part_of_the_deal(tmp_path / f"other{row['seq']}", 5).watch("events", after=row.position), 1)


# -- another process ------------------------------------------------------------------------------

WRITER = """
import sys
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from pathlib import Path
from tests.stories import offers
first = int(sys.argv[2])
events = offers([{}] * 400)
with Writer.open(Path(sys.argv[1]) / "log", segment_bytes_max=20_000) as writer:
    for event in events[first:]:
        writer.append(rows_from_events([event]))
        print(event.seq, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writers() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that write; none outlives the test."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start_writer(folder: Path, first: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(first)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())


async def test_a_writer_in_another_process_is_killed_and_gone_on_from(
    tmp_path: Path, writers: list[subprocess.Popen[str]]
) -> None:
    (tmp_path / "log").mkdir()
    writers.append(start_writer(tmp_path, 0))
    store = Store(tmp_path)
    rows = store.watch("events | select seq", after="start")
    told = await take(rows, 150)
    writers[0].send_signal(signal.SIGKILL)
    said, _ = await trio.to_thread.run_sync(writers[0].communicate)
    written = int(said.split()[-1])
    told += await take(rows, written - 150)
    position = told[99].position
    with (tmp_path / "log/0001").joinpath(sorted(os.listdir(tmp_path / "log/0001"))[-2]).open("ab") as segment:
        segment.write(b"MX torn" * 5)  # what a crash leaves of a frame; the next writer cuts it off
    with Writer.open(tmp_path / "log") as writer:
        assert writer.shard == 1
    writers.append(start_writer(tmp_path, written))
    told += await take(rows, 402 - len(told))
    await rows.aclose()
    assert [row["seq"] for row in told] == list(range(1, 403))
    assert await take(store.watch("events | select seq", after=position), 302) == told[100:]


# -- a runtime in the same process ------------------------------------------------------------------


class Bidder(Agent):
    async def run(self) -> None:
        for price in range(5):
            await self.sleep(1.0)
            self.emit("bid", price=price)


async def bidding(simulation: Simulation) -> None:
    simulation.spawn(Bidder, "ann")
    simulation.spawn(Bidder, "ben")


async def test_what_a_runtime_beside_it_emits_is_told_while_it_runs_and_after(tmp_path: Path) -> None:
    async with open_runtime(store=tmp_path) as runtime:
        store = Store(tmp_path)
        async with (
            store.watch("events bid | select agent, .price as price") as bids,
            store.watch("simulations where status = finished | select name") as ends,
            store.watch("events bid | count, sum(.price) as sum per 2s") as buckets,
        ):
            await runtime.run(bidding, seed=1)
            told = await take(bids, 10)
            assert sorted((row["agent"], row["price"]) for row in told) == [
                (name, price) for name in ("ann", "ben") for price in range(5)
            ]
            assert len(await take(ends, 1)) == 1
            found = await take(buckets, 3)
            assert [(row["time"], row["count"], row["sum"]) for row in found] == [
                (0, 2, 0),
                (2_000_000, 4, 6),
                (4_000_000, 4, 14),
            ]
