"""As of: a query that looks at a moment sees the log cut there, as if that were the whole log.

The oracle is the store itself: the log is cut in plain Python and written anew, and the same query is asked there
without its moment.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from matrix.errors import QueryError
from matrix.event import Event
from matrix.log.compact import compact_log
from matrix.query.check import check
from matrix.query.execute import execute
from matrix.store import Store
from matrix.testing.forks import shared_events
from matrix.testing.histories import Shards
from matrix.testing.society import events_of, society
from matrix.testing.stores import write_history
from matrix.testing.strategies import histories, queries
from matrix.testing.telling import Telling
from tests.query.alike import rows_alike
from tests.query.asking import column, deal_store, store_of
from tests.query.forked import forked_deals, written
from tests.query.moments import Moment, asked_at, is_a_log, left_at, moments
from tests.query.test_execute_scan import Watched
from tests.stories import SECOND, deal

EXAMPLES = int(os.environ.get("MATRIX_FUZZ_EXAMPLES", "40"))
SMALL_SEGMENT_BYTES = 4_096

#: Everything that there is to see of each relation.
EVERYTHING = (
    "simulations | select *, (any agent) as peopled, count(events) as happened",
    "agents | select *, goal.id, goal.status, simulation.status, count(events) as acts, count(messages) as letters",
    "goals | select *, agent.status, parent.status, simulation.end, count(events) as acts",
    "events | select *, state.data, cause.kind, cause.cause.id, agent.turns, goal.steps, simulation.duration",
    "messages | select *, conversation.messages, conversation.duration, peer.role, to.role, from.status",
    "conversations | select *, (any agent (role = buyer)) as bought",
    "agents as a where any message (received and peer.role != a.role) | goals | messages",
    "events | count by kind",
    "events | count",
    "events | limit 7",
    "goals where status = running and turns > 0 | count, sum(steps) by agent.role",
    "agents where turns > 1 and .budget exists | select id, .budget, duration",
    "simulations where status = running | agents where goal.status = running | events",
    "agents where goal started | conversations | select id, messages",
)


def present(texts: list[str]) -> list[str]:
    """The queries that pass the checker and look at no moment yet."""
    found = []
    for text in texts:
        with contextlib.suppress(QueryError):
            if check(text).source.as_of is None:
                found.append(text)
    return found


def compare(store: Store, cut: Store, texts: list[str], moment: Moment, where: str) -> None:
    """Ask the same of the store at a moment, and of the store that ends there."""
    for text in texts:
        found, expected = store.query(asked_at(text, moment)), cut.query(text)
        assert found.column_names == expected.column_names
        differs = f"{where}: {asked_at(text, moment)}\n  expected {expected.rows()}\n  found    {found.rows()}"
        assert rows_alike(found.rows(), expected.rows()), differs


def compare_all(shards: Shards, texts: list[str], some: list[Moment], *, block_events: int) -> None:
    """Several moments of one history, live and compacted."""
    some = [moment for moment in some if is_a_log(shards, moment)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_history(folder / "all", shards, block_events=block_events, segment_bytes_max=SMALL_SEGMENT_BYTES)
        for place, moment in enumerate(some):
            write_history(folder / str(place), left_at(shards, moment), block_events=1_000)
        for where in ("live", "compacted"):
            with Store(folder / "all") as store:
                for place, moment in enumerate(some):
                    with Store(folder / str(place)) as cut:
                        compare(store, cut, texts, moment, where)
            compact_log(folder / "all" / "log")


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shards=histories(),
    texts=st.lists(queries(), min_size=1, max_size=6),
    places=st.lists(st.integers(0, 10_000), min_size=1, max_size=3),
    block_events=st.sampled_from((1_000, 9, 3)),
)
def test_a_moment_is_the_log_that_ends_there(
    shards: Shards, texts: list[str], places: list[int], block_events: int
) -> None:
    all_moments = list(moments(shards))
    some = [all_moments[place % len(all_moments)] for place in places]
    compare_all(shards, present(texts), some, block_events=block_events)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(shards=histories(), place=st.integers(0, 10_000), block_events=st.sampled_from((1_000, 9, 3)))
def test_every_field_of_every_relation_is_as_it_was(shards: Shards, place: int, block_events: int) -> None:
    all_moments = list(moments(shards))
    compare_all(shards, list(EVERYTHING), [all_moments[place % len(all_moments)]], block_events=block_events)


# -- other histories ------------------------------------------------------------------------------------


def odd() -> list[Event]:
    """What no program of ours writes: two starts, actors that never started, clocks that go back, ends of nothing."""
    told = Telling(simulation=1, wall=50 * SECOND)
    told.spawn(0, "buyer", "alice")
    told.start({"id": "1-1", "name": "bazaar", "parameters": {"lot": None, "size": 3}})
    told.spawn(0, "seller", "bob")
    alice, bob = told.agents[1], told.agents[2]
    told.time, told.wall, alice.turn, bob.turn = 4 * SECOND, 40 * SECOND, 1, 2
    told.begin_goal(1, "close_deal", {"reason": "why not"})
    told.record(7, "offer", {"price": 1})  # an agent that is never started
    told.record(8, "offer", {"price": 2}, to=[1, 7])  # ... and one that is started later
    told.begin_goal(1, "ask", {"parent": 99})
    told.time = 2 * SECOND
    told.emit(1, "search", {})
    told.end_agent(2, "failed")
    told.record(2, "agent.restarted", {"attempt": 1})
    bob.turn = 1
    told.change_state(2, {"budget": 1, "lot": None})
    told.time, alice.turn = 6 * SECOND, 3
    told.record(1, "goal.failed", {"reason": ["list"], "steps": -1, "turns": "many", "points": 2}, goal=4)
    told.record(1, "goal.succeeded", {"reason": "twice"}, goal=4)
    told.record(1, "goal.succeeded", {"reason": "of nothing"}, goal=2)
    told.record(0, "goal.started", {"name": "end well"}, goal=0)
    told.record(8, "agent.started", {"id": "", "role": "judge"})
    told.record(2, "agent.started", {"id": "bobby"}, cause=3)
    told.change_state(2, {"budget": 2})
    told.begin_goal(2, "rest", {})
    told.wall -= 90 * SECOND
    told.change_phase(0, {"phase": "late"})
    told.finish("stopped", {"reason": None, "size": 4})
    told.record(2, "agent.cancelled", {})
    told.record(0, "simulation.finished", {"reason": "again"})
    return told.events


@pytest.mark.parametrize("block_events", [1_000, 2])
def test_an_odd_log_is_cut_as_any_other(tmp_path: Path, block_events: int) -> None:
    events = [*odd(), *(replace(event, simulation=2) for event in deal())]
    some = [moment for place, moment in enumerate(moments({1: events})) if place % 8 == block_events % 8]
    compare_all({1: events}, list(EVERYTHING), some, block_events=block_events)


def test_forks_of_forks_are_cut_where_they_share_and_where_they_do_not() -> None:
    shards = forked_deals()
    some = [moment for place, moment in enumerate(moments(shards)) if place % 8 == 0]
    compare_all(shards, list(EVERYTHING), some, block_events=5)


def test_a_society_is_cut_like_a_small_log() -> None:
    events = [event for rows in society(agents=60, events=2_400, seed=4, simulations=3) for event in events_of(rows)]
    some = [
        Moment("time", 120 * SECOND),
        Moment("turn", 6),
        Moment("event", "1-2:500"),
        Moment("wall", events[0].wall + 3_600 * SECOND + 90 * SECOND),
    ]
    compare_all({1: events}, list(EVERYTHING), some, block_events=100)


# -- positions ------------------------------------------------------------------------------------------


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(shards=histories(), parts=st.tuples(*[st.floats(0, 1)] * 2), block_events=st.sampled_from((1_000, 7)))
def test_positions_are_the_log_as_it_was_written_so_far(
    shards: Shards, parts: tuple[float, float], block_events: int
) -> None:
    positions = {shard: round(part * len(shards[shard])) for shard, part in zip(sorted(shards), parts)}
    so_far = {shard: events[: positions[shard]] for shard, events in shards.items()}
    assume(_has_all_parents(so_far))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_history(folder / "all", shards, block_events=block_events, segment_bytes_max=SMALL_SEGMENT_BYTES)
        write_history(folder / "cut", so_far)
        for _ in range(2):
            with Store(folder / "all") as store, Store(folder / "cut") as cut:
                for text in EVERYTHING:
                    found = execute(check(text), store, positions=positions)
                    assert rows_alike(found.rows(), cut.query(text).rows()), text
            compact_log(folder / "all" / "log")


def _has_all_parents(shards: Shards) -> bool:
    own: dict[tuple[int, int], list[Event]] = {}
    for shard, events in shards.items():
        for event in events:
            own.setdefault((shard, event.simulation), []).append(event)
    return all(shared_events(own, place) is not None for place in own)


# -- small stories --------------------------------------------------------------------------------------


def test_a_duration_cuts_after_its_last_event(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    assert column(store, "events as of 2s | select seq", "seq") == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert column(store, "events as of 1999999us | select seq", "seq") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert column(store, "agents as of 2s where .budget exists", "id") == []
    assert column(store, "agents as of 3s where .budget < 10", "id") == ["alice"]
    assert column(store, "agents as of $t where goal started", "id", t=timedelta(seconds=1)) == ["alice"]
    assert column(store, "events as of $t | count", "count", t=timedelta(seconds=-1)) == [0]


def test_a_clock_time_cuts_before_the_first_event_behind_it(tmp_path: Path) -> None:
    events = [replace(event, wall=wall) for event, wall in zip(deal(), [10, 20, 60, 30, *range(70, 90)])]
    store = store_of(tmp_path, events)
    assert column(store, "events as of $t | select seq", "seq", t=datetime(1970, 1, 1, 0, 0, 0, 45, UTC)) == [1, 2]
    assert column(store, "simulations as of @1970-01-02", "id") == ["r1"]
    assert column(store, "simulations as of @1969-12-31", "id") == []


def test_a_turn_cuts_each_agent_at_its_own(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    assert column(store, "events as of turn 1 | select seq", "seq") == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13]
    assert store.query('messages as of turn 1 where id = "r1:13" | select cause').rows() == [{"cause": None}]
    rows = store.query("agents as of turn 1 | select id, turns, duration").rows()
    assert rows == [
        {"id": "alice", "turns": 1, "duration": 3 * SECOND},
        {"id": "bob", "turns": 1, "duration": 3 * SECOND},
        {"id": "carol", "turns": 0, "duration": 3 * SECOND},
    ]


def test_an_event_leaves_its_own_run_alone(tmp_path: Path) -> None:
    store = store_of(tmp_path, deal(), [replace(event, simulation=1) for event in odd()])
    assert column(store, 'simulations as of event "r1:8"', "id") == ["r1"]
    assert store.query("goals as of event $id | select name, status, end", id="r1:8").rows() == [
        {"name": "close_deal", "status": "running", "end": None},
        {"name": "ask", "status": "succeeded", "end": SECOND},
    ]


def test_an_id_that_several_runs_share_cuts_all_of_them(tmp_path: Path) -> None:
    store = store_of(tmp_path, deal(), deal())
    assert store.query('events as of event "r1:4" | count').rows() == [{"count": 8}]


@pytest.mark.parametrize(
    "id", ["r1:14", "r1:0", "r2:1", "r1:08", "r1", "r1:-1", "r1:99999999999999999999", ":", "r1:١"]
)
def test_an_event_that_is_not_there_leaves_nothing_and_is_noticed(tmp_path: Path, id: str) -> None:
    result = deal_store(tmp_path).query("events as of event $id | count", id=id)
    assert result.rows() == [{"count": 0}]
    assert result.notices == [f'no event "{id}" in this store: nothing is left of it']


def test_a_fork_cut_before_it_began_is_its_parent_again_under_its_own_id(tmp_path: Path) -> None:
    with written(tmp_path, forked_deals()) as store:
        rows = store.query('simulations as of event "dear:9" | select id, duration, parent').rows()
        assert rows == [{"id": "dear", "duration": 2 * SECOND, "parent": None}]
        rows = store.query('events as of event "dear:11" | select id, kind | sort id desc | limit 1').rows()
        assert rows == [{"id": "dear:9", "kind": "state.changed"}]


def test_notices_about_names_are_those_of_the_whole_store(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    assert store.query("events ofer as of 1s | count").notices == ["no event of kind ofer in this store; offer: 1"]
    assert store.query("events counter as of 1s where .price = 1 | count").notices == []


def test_an_explanation_says_that_the_log_is_read(tmp_path: Path) -> None:
    rows = deal_store(tmp_path).query("explain agents as of 1s where role = buyer | count").rows()
    assert [(row["step"].strip(), row["rows"], row["by"]) for row in rows[:2]] == [
        ("agents as of 1s", 3, "log"),
        ("where role = buyer", 1, "memory"),
    ]


# -- what is read ---------------------------------------------------------------------------------------


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Store]:
    """Four simulations of 3,000 events, in blocks of 500."""
    events = [event for rows in society(agents=80, events=12_000, seed=3, simulations=4) for event in events_of(rows)]
    with store_of(tmp_path, events, block_events=500) as store:
        store.refresh()
        yield store


@pytest.mark.parametrize(
    ("query", "blocks"),
    [
        (
            "agents as of 2m where .budget < 10 | select id, .budget",
            4 + 4 + 8,
        ),  # borders, starts, states
        ("agents as of 2m | count by role", 4 + 4),
        ("events as of 2m | count", 4 + 4 * 2),
        ('events as of event "1-2:700" | count', 2),
        ('goals as of event "1-2:700" | count by status', 4),
        ("simulations as of 11m | select id", 0),
    ],
)
def test_only_what_lies_before_the_moment_is_read(market: Store, query: str, blocks: int) -> None:
    assert Watched(market).read(query) <= blocks
