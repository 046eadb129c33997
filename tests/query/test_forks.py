"""A fork answers every question as if what it shares with its parent had been copied into it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from matrix.errors import IndexAhead, LogCorrupt
from matrix.event import SIMULATION_FORKED, Event
from matrix.log.reader import LogReader
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from matrix.query.check import check
from matrix.query.engine import forks as engine_forks
from matrix.query.engine import scan
from matrix.store import Store
from matrix.testing.forks import whole
from matrix.testing.histories import Shards
from matrix.testing.naive import answer
from matrix.testing.strategies import histories, queries
from matrix.testing.telling import Telling
from matrix.testing.world import World
from tests.query.alike import rows_alike
from tests.query.asking import column
from tests.query.forked import both, forked_deals, written
from tests.query.oracle import accepted

EXAMPLES = int(os.environ.get("MATRIX_FUZZ_EXAMPLES", "60"))

#: Questions of every form that the executor answers.
QUESTIONS = (
    "events",
    "events | count",
    "events | count by kind",
    "events | count by simulation | sort count desc",
    'events where simulation.id = "dear"',
    'events where simulation = "cheap" and kind = counter | select id, .price, cause, agent, goal, state, turn, wall',
    'events where simulation.parent = "dear" | count by simulation, role',
    "events offer, counter | select id, agent, role, to, .price, goal, cause.id, cause.agent, state.kind",
    "events where cause.kind = offer and cause.agent = alice | select id, cause.id, cause.cause.id",
    "events where goal = close_deal and goal.status = succeeded | select id, goal.id, goal.steps, goal.turns",
    'events where state.data.phase = "bargaining" | select id, state.id, state.simulation.id',
    "events where time > 2s | select id, time, data",
    "events where seq in 3..9 | select id, simulation.seed, simulation.start, simulation.duration",
    "events | sample 7 seed 3",
    "events | limit 5",
    "events | sort seq desc | limit 9",
    "events | select id, data | limit 30",
    "events | avg(.price), p95(.price), distinct(agent), first(id), last(id) by simulation per 1s",
    "events simulation.* | select id, kind, .at, .parent, data",
    "messages",
    "messages | select id, from, to, peer, conversation, conversation.agents, reply_to, .price, text",
    "messages where reply_to exists and from.role = seller",
    "messages where conversation.id ~ /alice/ | count by simulation, conversation",
    "messages where cause.agent = bob",
    "agents",
    "agents | select id, simulation, role, status, start, end, duration, turns, goal, goal.status, data",
    "agents where goal succeeded",
    "agents where no goal started and simulation.parent exists",
    "agents where count(offer) > 0 | select simulation, id, count(offer) as n, sum(.price of counter) as countered",
    "agents where any message (received and .price > 50) | messages where sent",
    "agents as a where any message (peer.role != a.role) | conversations",
    "agents | count by simulation, status",
    "agents where .budget < 10 | select simulation, id, .budget",
    "agents | sample 4 seed 1",
    "goals",
    "goals | select id, name, simulation, agent, role, status, start, end, turns, steps, reason, parent, data",
    "goals where steps > 1 and parent missing | agents",
    "goals where any event (kind = offer) | select id",
    "goals where agent.turns > 1 | events | count by kind",
    "simulations",
    "simulations | select id, name, status, seed, start, end, duration, took, parent, data",
    "simulations where parent exists | agents | count by simulation",
    "simulations where .buyers = 5 and .parameters.buyers = 5",
    "simulations where any agent (goal succeeded) and count(events) > 12",
    'simulations where id = "early" | messages | conversations',
    "simulations | select id, count(events) as n, count(agents) as a, count(messages) as m, max(time of events) as t",
    "conversations",
    "conversations | select id, simulation, agents, start, end, duration, turns, messages",
    "conversations where messages > 1 | messages | count by conversation",
    "conversations | agents",
    "conversations | goals",
)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    """The story with forks, and the same with copies."""
    shared, copied = both(tmp_path_factory.mktemp("stores"), forked_deals())
    with shared, copied:
        yield shared, copied


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_fork_and_a_copy_give_one_answer(stores: tuple[Store, Store], question: str) -> None:
    shared, copied = stores
    found, expected = shared.query(question), copied.query(question)
    assert found.rows() == expected.rows()
    assert found.table.schema == expected.table.schema
    assert found.notices == expected.notices
    assert rows_alike(found.rows(), answer(check(question), World(forked_deals())).rows)


def test_a_fork_and_a_copy_have_one_catalogue_and_one_summary(stores: tuple[Store, Store]) -> None:
    shared, copied = stores
    assert shared.kinds() == copied.kinds()
    counts = {row["kind"]: row["count"] for row in shared.query("events | count by kind").rows()}
    assert counts == {entry.kind: entry.events for entry in shared.kinds()}
    for id in ("r1", "dear", "cheap", "early"):
        mine, theirs = shared.simulation(id), copied.simulation(id)
        assert (mine.events, mine.agents, mine.goals, mine.data) == (
            theirs.events,
            theirs.agents,
            theirs.goals,
            theirs.data,
        )


def test_what_is_shared_is_counted_once_on_disk_and_whole_in_questions(stores: tuple[Store, Store]) -> None:
    shared, copied = stores
    mine, theirs = shared.info(), copied.info()
    assert (mine.events, mine.agents, mine.simulations) == (theirs.events, theirs.agents, theirs.simulations)
    assert (mine.shared_events, theirs.shared_events) == (10 + 13 + 7, 0)
    assert mine.size_bytes < theirs.size_bytes
    assert [shared.simulation(id).shared_events for id in ("r1", "dear", "cheap", "early")] == [0, 10, 13, 7]


def test_a_fork_has_its_own_name_seed_and_parent_and_its_parents_beginning(stores: tuple[Store, Store]) -> None:
    asked = "simulations | select id, parent, seed, status, start, .buyers as buyers, .program as program"
    rows = stores[0].query(asked).rows()
    assert {row.pop("start") for row in rows} == {1_000}
    assert [tuple(row.values()) for row in rows] == [
        ("r1", None, 7, "finished", 2, None),
        ("cheap", "dear", 9, "stopped", 5, "other.py"),
        ("early", "dear", 8, "running", 2, None),
        ("dear", "r1", 8, "running", 5, "other.py"),
    ]


# -- made-up stores -----------------------------------------------------------------------------------


def rows_of(store: Store, texts: Sequence[str]) -> list[Any]:
    return [store.query(text).rows() for text in texts]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shards=histories(),
    texts=st.lists(queries(), min_size=1, max_size=6),
    random=st.randoms(use_true_random=False),
    block_events=st.sampled_from((1_000, 9)),
    is_compact=st.booleans(),
)
def test_made_up_forks_and_copies_give_one_answer(
    shards: Shards, texts: list[str], random: Random, block_events: int, is_compact: bool
) -> None:
    asked = [query.text for query in accepted(texts)] + random.sample(QUESTIONS, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stores = {}
        for place, told in (("shared", shards), ("copied", whole(shards))):
            stores[place] = written(folder / place, told, block_events=block_events, is_compact=is_compact)
        with stores["shared"] as shared, stores["copied"] as copied:
            for text, mine, theirs in zip(asked, rows_of(shared, asked), rows_of(copied, asked)):
                note(f"{text}\n  shared {mine}\n  copied {theirs}")
                assert rows_alike(mine, theirs)
            assert shared.kinds() == copied.kinds()


@settings(max_examples=max(EXAMPLES // 4, 10), deadline=None, suppress_health_check=list(HealthCheck))
@given(shards=histories(), texts=st.lists(queries(), min_size=1, max_size=4), parts=st.sampled_from((1, 7)))
def test_a_scan_in_small_batches_gives_the_same_answer(shards: Shards, texts: list[str], parts: int) -> None:
    asked = [query.text for query in accepted(texts)] + ["events | select id, data", "messages | select id, to"]
    with tempfile.TemporaryDirectory() as name, written(Path(name), shards, block_events=9) as store:
        expected = rows_of(store, asked)
        with pytest.MonkeyPatch.context() as patched:
            for module in (scan, engine_forks):
                patched.setattr(module, "QUERY_BATCH_EVENTS_MAX", parts)
            for found, wanted in zip(rows_of(store, asked), expected):
                assert rows_alike(found, wanted)


# -- while the log grows -------------------------------------------------------------------------------


def test_a_fork_and_its_parent_go_on_side_by_side(tmp_path: Path) -> None:
    story = forked_deals()
    own = {id: [e for e in story[1] if e.simulation == id] for id in (1, 2, 3)}
    dear = story[2]
    told: Shards = {1: [], 2: []}
    with Writer.open(tmp_path / "log") as first, Writer.open(tmp_path / "log") as second, Store(tmp_path) as store:
        steps = [(1, own[1][:10]), (2, dear[:1]), (1, own[1][10:13]), (1, own[3][:1]), (2, dear[1:3])]
        steps += [(1, own[2][:2]), (1, own[1][13:]), (2, dear[3:]), (1, own[3][1:]), (1, own[2][2:])]
        for shard, events in steps:
            (first if shard == 1 else second).append(rows_from_events(events))
            told[shard] += events
            for question in ("events", "agents", "goals", "simulations", "messages", "events | count by kind"):
                expected = answer(check(question), World(told)).rows
                assert rows_alike(store.query(question).rows(), expected)
    assert {shard: len(events) for shard, events in told.items()} == {1: len(story[1]), 2: len(story[2])}


def test_compaction_between_two_questions_changes_no_answer(tmp_path: Path) -> None:
    write = {"block_events": 5, "is_compact": False}
    with written(tmp_path / "live", forked_deals(), **write) as store:
        expected = rows_of(store, QUESTIONS)
        shutil.copytree(tmp_path / "live", tmp_path / "small")
    with written(tmp_path / "clustered", forked_deals(), is_compact=True, block_events=5) as clustered:
        assert rows_of(clustered, QUESTIONS) == expected
        assert LogReader(tmp_path / "clustered" / "log").segments(1)[0].generation == 1


# -- how much is read ------------------------------------------------------------------------------------


def many_forks(count: int) -> Shards:
    """A parent that makes a hundred offers, and forks of it at different places that each make one more."""
    parent = Telling(simulation=1, wall=0)
    parent.start({"id": "parent", "name": "market"})
    parent.spawn(0, "buyer", "alice")
    for n in range(100):
        parent.time += 1_000
        parent.emit(1, "offer", {"n": n})
    events = list(parent.events)
    for number in range(2, count + 2):
        at = 20 + number % 80
        telling = Telling.forked(parent.events[:at], simulation=number)
        telling.fork({"id": f"f{number}", "parent": "parent", "parent_shard": 1, "parent_ordinal": 1, "seed": number})
        telling.emit(1, "offer", {"n": 1_000 + number})
        events += telling.events[at:]
    return {1: events}


def test_many_forks_are_scanned_in_batches_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = many_forks(300)
    sizes = []
    monkeypatch.setattr(scan, "QUERY_BATCH_EVENTS_MAX", 1_000)
    monkeypatch.setattr(engine_forks, "QUERY_BATCH_EVENTS_MAX", 1_000)
    parts_of = scan._parts_of

    def counted(*arguments: Any) -> Iterator[Any]:
        for batch in parts_of(*arguments):
            sizes.append(sum(part.count for part in batch))
            yield batch

    monkeypatch.setattr(scan, "_parts_of", counted)
    with written(tmp_path, shards, block_events=100) as store:
        assert column(store, "events offer where .n >= 0 | count", "count") == [
            sum(event.kind == "offer" for event in whole(shards)[1])
        ]
    assert max(sizes) <= 1_100
    assert len(sizes) > 10


def blocks_read(store: Store, question: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many rows a question has, and how many blocks it opens for them; the index, asked before, opens none."""
    opened = []
    block = store.reader.block
    with monkeypatch.context() as patched:
        patched.setattr(store.reader, "block", lambda ref: (opened.append(ref), block(ref))[1])
        return len(store.query(question).rows()), len(opened)


def test_a_question_about_one_fork_opens_its_blocks_and_those_it_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with written(tmp_path, many_forks(200), block_events=20) as store:
        store.query("events | count")
        everything, all_blocks = blocks_read(store, "events where .n >= 0", monkeypatch)
        rows, blocks = blocks_read(store, 'events offer where simulation = "f2"', monkeypatch)
        assert (everything, all_blocks) == (sum(20 + n % 80 for n in range(2, 202)) - 2 * 200 + 200 + 100, 26)
        assert (rows, blocks) == (21, 3)


def test_a_store_without_forks_is_asked_about_them_once(tmp_path: Path) -> None:
    statements: list[str] = []
    with written(tmp_path, {1: forked_deals()[1][:15]}) as store:
        store.refresh()
        store.connection.set_trace_callback(statements.append)
        for question in (
            "events where .price > 3",
            "messages",
            "agents where goal succeeded",
            "events | count by .price",
        ):
            store.query(question)
    assert len([text for text in statements if "FROM forks" in text]) <= 2


# -- parents that are not there --------------------------------------------------------------------------


def without_parent(folder: Path) -> Path:
    """A store in which a fork's parent, in a shard of its own, has been deleted."""
    story = forked_deals()
    written(folder, story).close()
    shutil.rmtree(
        folder / "log" / "0002" if (folder / "log" / "0002").exists() else sorted((folder / "log").iterdir())[1]
    )
    return folder


def test_a_fork_whose_parent_is_gone_has_its_own_events_and_answers_say_so(tmp_path: Path) -> None:
    with Store(without_parent(tmp_path)) as store:
        result = store.query("simulations | select id, count(events) as n, parent")
        assert {row["id"]: row["n"] for row in result.rows()} == {"r1": 15, "cheap": 6, "early": 3}
        assert result.notices == [
            "fork cheap has only its own events: 1 to 13 of dear are not in the log",
            "fork early has only its own events: 1 to 7 of dear are not in the log",
        ]
        assert len(store.query('events where simulation = "cheap" | select id, cause.id, agent, goal').rows()) == 6
        for question in QUESTIONS:
            store.query(question)


def test_an_index_that_knew_a_lost_parent_is_an_alarm_until_it_is_made_again(tmp_path: Path) -> None:
    story = forked_deals()
    with written(tmp_path, story) as store:
        assert column(store, "events | count", "count") == [len(whole(story)[1]) + len(whole(story)[2])]
    shutil.rmtree(sorted((tmp_path / "log").iterdir())[1])
    with Store(tmp_path) as store:
        with pytest.raises(IndexAhead, match="shard 2"):
            store.query("events | count")
        store.reindex()
        assert column(store, "events | count", "count") == [len(story[1])]


def test_a_damaged_parent_is_one_clear_error(tmp_path: Path) -> None:
    written(tmp_path, forked_deals(), is_compact=True, block_events=3).close()
    segment = sorted((sorted((tmp_path / "log").iterdir())[0]).glob("*.seg"))[0]
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    with Store(tmp_path) as store, pytest.raises(LogCorrupt, match=segment.name):
        store.query("events | count")


NONSENSE: tuple[dict[str, Any], ...] = (
    {},
    {"parent_shard": 1},
    {"parent_shard": 1, "parent_ordinal": 1},
    {"parent_shard": 1, "parent_ordinal": 2},
    {"parent_shard": 1, "parent_ordinal": 3},
    {"parent_shard": 1, "parent_ordinal": 99},
    {"parent_shard": 99, "parent_ordinal": 1},
    {"parent_shard": -1, "parent_ordinal": 0},
    {"parent_shard": 2**70, "parent_ordinal": 2**70},
    {"parent_shard": "1", "parent_ordinal": [1]},
    {"parent_shard": 1.0, "parent_ordinal": True},
    {"parent_shard": None, "parent_ordinal": None, "id": 7, "set": "all", "seed": "x", "parent": []},
    {"set": {"": {}}, "parameters": 3},
)


@pytest.mark.parametrize("said", NONSENSE)
def test_a_fork_that_says_nonsense_has_its_own_events(tmp_path: Path, said: dict[str, Any]) -> None:
    parent = [Event(1, 1, 0, 0, 0, 0, 0, 0, 0, "simulation.started", data={"id": "p"})]
    forked = Event(2, 7, 5, 5, 0, 0, 3, 2, 6, SIMULATION_FORKED, data=said)
    circle = Event(3, 7, 5, 5, 0, 0, 0, 0, 6, SIMULATION_FORKED, data={"parent_shard": 1, "parent_ordinal": 2})
    with written(tmp_path, {1: [*parent, forked, circle]}) as store:
        assert column(store, "events | sort seq | select seq", "seq") == [1, 7, 7]
        assert len(store.query("simulations").rows()) == 3
        assert any("has only its own events" in text for text in store.query("agents").notices)
        digest = store._index.dump_digest()
        store.reindex()
        assert store._index.dump_digest() == digest
