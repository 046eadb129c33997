"""Causes: ``caused by`` and ``led to`` in every place of a query, and the stages ``causes`` and ``effects``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from matrix.errors import QueryError
from matrix.event import Event
from matrix.query.engine import caused, forest, rows, walks
from matrix.store import Store
from matrix.testing.telling import Telling
from tests.query.asking import column, store_of
from tests.query.forked import both, forked_deals, written

FORESTS = 5 * int(os.environ.get("MATRIX_FUZZ_EXAMPLES", "60"))  # 600: the full three thousand


def event(seq: int, cause: int, kind: str = "note", *, simulation: int = 1, agent: int = 1, **data: Any) -> Event:
    return Event(simulation, seq, seq * 1_000, seq * 1_000, agent, seq, 0, 0, cause, kind, (), data)


def opening(simulation: int, id: str) -> list[Event]:
    """A simulation and its agents, alice and bob: events 1 to 3."""
    return [
        event(1, 0, "simulation.started", simulation=simulation, agent=0, id=id, name="story"),
        event(2, 1, "agent.started", simulation=simulation, agent=1, id="alice", role="buyer"),
        event(3, 1, "agent.started", simulation=simulation, agent=2, id="bob", role="seller"),
    ]


def story() -> list[Event]:
    """Two trees: 4 led to 5 and 6, 5 to 7, 7 to 8; 9 led to 10."""
    return [
        *opening(1, "r1"),
        event(4, 0, "ask", n=1),
        event(5, 4, "look", agent=2, n=2),
        event(6, 4, "look", n=3),
        event(7, 5, "find", agent=2, n=4),
        event(8, 7, "tell", agent=2, n=5),
        event(9, 0, "ask", n=6),
        event(10, 9, "tell", n=7),
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_of(tmp_path, story())


def seqs(store: Store, query: str, **parameters: Any) -> list[int]:
    return column(store, query, "seq", **parameters)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("caused by ask", [5, 6, 7, 8, 10]),
        ("directly caused by ask", [5, 6, 10]),
        ("caused by ask within 1 steps", [5, 6, 10]),
        ("caused by ask within 2 steps", [5, 6, 7, 10]),
        ("caused by ask within 0 steps", []),
        ("directly caused by ask within 0 steps", []),
        ("caused by look", [7, 8]),
        ("caused by (look(.n = 3) or find)", [8]),
        ("caused by ask(.n > 1)", [10]),
        ("caused by event", [2, 3, 5, 6, 7, 8, 10]),
        ('caused by event "r1:5"', [7, 8]),
        ('caused by (event "r1:5" or event "r1:9")', [7, 8, 10]),
        ('caused by event "r2:5"', []),
        ('caused by event "r1:99"', []),
        ('caused by event "nonsense"', []),
        ("caused by ask(led to find)", [5, 6, 7, 8]),
        ("caused by event (agent = bob and caused by ask)", [7, 8]),
        ("led to tell", [4, 5, 7, 9]),
        ("directly led to tell", [7, 9]),
        ("led to tell within 2 steps", [5, 7, 9]),
        ("led to look(.n = 3)", [4]),
        ('led to event "r1:8"', [4, 5, 7]),
        ('led to (event "r1:7" or event "r1:10")', [4, 5, 9]),
        ("led to event", [1, 4, 5, 7, 9]),
        ("led to ask", []),
        ("kind = look and not led to find", [6]),
        ("caused by ask and led to tell", [5, 7]),
        ("caused by simulation.started or led to find", [2, 3, 4, 5]),
    ],
)
def test_conditions_on_events(store: Store, condition: str, expected: list[int]) -> None:
    assert seqs(store, f"events where {condition}") == expected
    assert seqs(store, f"events where not ({condition})") == [n for n in range(1, 11) if n not in expected]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("caused by event (agent = e.agent)", [6, 7, 8, 10]),
        ("caused by event (agent = e.agent) within 1 steps", [6, 7, 8, 10]),
        ("caused by event (agent != e.agent and .n + 2 = e.data.n)", [2, 3]),
        ("caused by event (.n + 3 = e.data.n)", [2, 3, 7, 8]),  # missing is missing
        ("caused by event (.n + 3 = e.data.n) within 1 steps", [2, 3]),
        ("caused by event (.n + 3 = e.data.n) within 2 steps", [2, 3, 7, 8]),
        ("caused by (ask(.n + 3 = e.data.n) or ask(.n = 6))", [7, 10]),
        ("led to event (agent = e.agent)", [4, 5, 7, 9]),
        ("led to tell(.n = e.data.n + 3)", [5]),
        ("led to tell(.n = e.data.n + 3) within 2 steps", [5]),
        ("led to tell(.n = e.data.n + 3) within 1 steps", []),
        ("led to tell(.n = e.data.n + 4)", [4]),
    ],
)
def test_a_pattern_may_compare_with_the_row(store: Store, condition: str, expected: list[int]) -> None:
    assert seqs(store, f"events as e where {condition}") == expected


@pytest.mark.parametrize("is_decided_while_read", [False, True])
def test_conditions_inside_of_others(
    store: Store, is_decided_while_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_decided_while_read:
        monkeypatch.setattr(rows, "QUERY_CAUSED_ROWS_MAX", 0)
    assert seqs(store, "events where caused by ask(led to find) and (led to tell or not caused by look)") == [5, 6, 7]
    assert seqs(store, "events where caused by ask and (any agent (id = bob) or led to find)") == [5, 7, 8]
    assert column(store, "agents | select sum(.n of look(caused by ask)) as n", "n") == [3, 2]
    assert column(store, "agents where any event (caused by look)", "id") == ["bob"]
    assert column(store, "agents where no tell(caused by look)", "id") == ["alice"]
    assert column(store, "simulations where at least 4 event (caused by ask)", "id") == ["r1"]
    assert column(store, "agents as a where any event (caused by ask(agent = a.id))", "id") == ["alice"]
    assert column(store, "agents as a where any event (led to tell(agent != a.id))", "id") == ["alice"]
    assert column(store, "agents | select count(events (caused by ask)) as n", "n") == [2, 3]
    assert column(store, "events | count(caused by ask) as n, count", "n") == [5]
    assert store.query("events | count by if(caused by ask, 1, 0) as below").rows() == [
        {"below": 0, "count": 5},
        {"below": 1, "count": 5},
    ]
    assert column(store, "events | select id, if(caused by find, 1, 0) as x | where x = 1", "id") == ["r1:8"]
    assert column(store, "events | sort seq desc | limit 3 | where caused by ask", "seq") == [10, 8]
    assert column(store, "agents | events where caused by look", "seq") == [7, 8]


def test_goals_are_caused_through_the_event_that_ended_or_began_them(tmp_path: Path) -> None:
    events = [
        *opening(1, "r1"),
        event(4, 0, "ask"),
        replace(event(5, 4, "goal.started", name="ended"), goal=5),
        event(6, 0, "look"),
        replace(event(7, 6, "goal.failed"), goal=5),
        replace(event(8, 6, "goal.started", name="running"), goal=8),
        event(9, 7, "tell"),
        event(10, 8, "find"),
    ]
    store = store_of(tmp_path, events)
    assert column(store, "goals where caused by ask", "name") == []
    assert column(store, "goals where caused by look", "name") == ["ended", "running"]
    assert column(store, "goals where led to tell", "name") == ["ended"]
    assert column(store, "goals where status = running and directly led to find", "name") == ["running"]
    assert column(store, "goals | where failed and caused by look", "name") == ["ended"]
    assert column(store, "goals as g where caused by look(g.status = running)", "name") == ["running"]
    assert column(store, "agents where any goal (caused by look)", "id") == ["alice"]


@pytest.mark.parametrize("steps", [None, 1, 2])
def test_stages_give_a_row_for_each_event_on_the_way(store: Store, steps: int | None) -> None:
    bound = "" if steps is None else f" within {steps} steps"
    up = store.query(f"events tell | causes{bound} | select seq, depth, origin").rows()
    rows = [
        (4, 3, "r1:8"), (5, 2, "r1:8"), (7, 1, "r1:8"), (9, 1, "r1:10"),
    ]  # fmt: skip
    assert [tuple(row.values()) for row in up] == [row for row in rows if steps is None or row[1] <= steps]
    down = store.query(f"events ask, look | effects{bound} | select seq, depth, origin").rows()
    rows = [
        (5, 1, "r1:4"), (6, 1, "r1:4"), (7, 2, "r1:4"), (7, 1, "r1:5"), (8, 3, "r1:4"), (8, 2, "r1:5"), (10, 1, "r1:9"),
    ]  # fmt: skip
    assert [tuple(row.values()) for row in down] == [row for row in rows if steps is None or row[1] <= steps]


def test_no_steps_lead_nowhere(store: Store) -> None:
    assert len(store.query("events | causes within 0 steps")) == 0
    assert len(store.query("events | effects within 0 steps")) == 0


def test_the_rows_after_causes_are_events_with_all_their_fields(store: Store) -> None:
    result = store.query("events where seq = 8 | causes")
    assert result.column_names[0] == "id"
    assert result.column_names[-2:] == ["depth", "origin"]
    assert [row["data"] for row in result.rows()] == [{"n": 1}, {"n": 2}, {"n": 4}]
    assert store.query("events tell | causes | where agent.role = buyer | count by kind, depth").rows() == [
        {"kind": "ask", "depth": 1, "count": 1},
        {"kind": "ask", "depth": 3, "count": 1},
    ]


def test_causes_of_causes_have_their_own_origins_and_rows_repeat(store: Store) -> None:
    rows = store.query("events where seq = 8 | causes | causes | select seq, depth, origin").rows()
    assert [tuple(row.values()) for row in rows] == [(4, 1, "r1:5"), (4, 2, "r1:7"), (5, 1, "r1:7")]
    again = store.query("events where seq in 7..8 | causes | causes | select seq, origin").rows()
    assert [tuple(row.values()) for row in again] == [
        (4, "r1:5"), (4, "r1:5"), (4, "r1:7"), (5, "r1:7"),
    ]  # fmt: skip


def test_messages_have_causes_and_their_stage_gives_events(tmp_path: Path) -> None:
    telling = Telling(simulation=1, wall=0)
    telling.start({"id": "r1", "name": "story"})
    telling.spawn(0, "buyer", "alice")
    telling.spawn(0, "seller", "bob")
    telling.send(1, "offer", [1], {"price": 1})
    telling.reply(2, 0, "counter", {"price": 2})
    store = store_of(tmp_path, telling.events)
    assert column(store, "messages where caused by offer", "kind") == ["counter"]
    assert column(store, "agents | messages where led to counter", "kind") == ["offer"]
    assert column(store, "messages where kind = counter | causes", "kind") == ["offer"]


def test_simulations_do_not_mix_also_when_they_share_an_id(tmp_path: Path) -> None:
    first = [*opening(1, "same"), event(4, 0, "ask"), event(5, 4, "tell")]
    second = [*opening(1, "same"), event(4, 0, "look"), event(5, 4, "tell"), event(6, 5, "tell")]
    store = store_of(tmp_path, first, second)
    assert column(store, "events where caused by ask", "id") == ["same:5"]
    assert column(store, "events where caused by look", "id") == ["same:5", "same:6"]
    assert column(store, 'events where caused by event "same:4"', "seq") == [5, 5, 6]
    assert column(store, 'events where id = "same:4"', "kind") == ["ask", "look"]
    assert column(store, "events tell | causes | select kind, origin", "kind") == ["ask", "look", "look", "tell"]


def test_a_cause_that_is_not_earlier_or_not_there_ends_the_chain(tmp_path: Path) -> None:
    events = [*opening(1, "r1"), event(4, 0, "ask"), event(5, 5, "loop"), event(6, 9, "ahead"), event(7, 6, "tell")]
    store = store_of(tmp_path, events)
    assert column(store, "events loop, ahead, tell | causes | select id, depth, origin", "id") == ["r1:6"]
    assert column(store, "events where caused by event and seq > 4", "seq") == [7]


def test_ids_are_looked_up(store: Store) -> None:
    assert seqs(store, "events where id = $id", id="r1:7") == [7]
    assert seqs(store, "events where $id = id", id="r1:7") == [7]
    assert seqs(store, 'events where id in ("r1:7", "r1:5", "nobody:5", "r1:x")') == [5, 7]
    assert seqs(store, "events where id in $ids", ids=["r1:9", "r1:4"]) == [4, 9]
    assert seqs(store, "events where id in $ids", ids=[]) == []
    for wrong in ("r1", "r1:", ":7", "r1:007", "r1:7 ", "r1:" + "9" * 30, "", "r1:-7"):
        assert seqs(store, "events where id = $id", id=wrong) == []
    assert seqs(store, 'events where not id = "r1:7" and seq > 6') == [8, 9, 10]
    assert seqs(store, "events look where id = $id | causes", id="r1:5") == [4]


def test_too_many_rows_are_refused_by_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walks, "QUERY_CAUSE_ROWS_MAX", 5)
    assert len(store.query("events tell | causes")) == 4
    for stage in ("causes", "effects"):
        with pytest.raises(QueryError) as caught:
            store.query(f"events | {stage}")
        assert caught.value.code == "too-much-work"
        assert caught.value.text[caught.value.start : caught.value.end] == stage


def test_too_many_pairs_are_refused_by_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caused, "QUERY_CAUSE_PAIRS_MAX", 3)
    with pytest.raises(QueryError) as error:
        store.query("events as e where caused by event (.n + 99 = e.data.n)")
    assert error.value.code == "too-much-work"
    assert error.value.text[error.value.start : error.value.end].startswith("caused by event")
    assert seqs(store, "events as e where kind = tell and caused by ask(.n < e.data.n)") == [8, 10]


def test_forks_have_their_parents_events_as_their_own(tmp_path: Path) -> None:
    shared, copied = both(tmp_path, forked_deals())
    with shared, copied:
        for query in (
            "events where caused by offer",
            "events where led to accept",
            "events as e where caused by event (agent = e.agent) | select id",
            "events | causes | select id, depth, origin",
            "events | effects within 2 steps | select id, depth, origin",
            "goals where caused by event | select id",
            'events where caused by event "cheap:7"',
            'events where led to event "cheap:14" | select id',
            "events | as tree",
        ):
            assert shared.query(query).rows() == copied.query(query).rows()


# -- against plain walking ---------------------------------------------------------------------------------


class Walked(NamedTuple):
    """An event, and what is above or below it with how far away each is."""

    event: Event
    above: list[tuple[Event, int]]
    below: list[tuple[Event, int]]


def made_up(random: Random, simulation: int) -> list[Event]:
    """A random forest: a long chain, a bush, or anything between."""
    events = opening(simulation, f"s{simulation}")
    shape = random.choice(["chain", "bush", "any", "any"])
    for seq in range(4, 4 + random.randint(1, 40)):
        cause = {"chain": seq - random.choice([1, 1, 1, 2]), "bush": random.choice([0, 4, 4, 5])}.get(shape)
        cause = random.randint(0, seq - 1) if cause is None else min(cause, seq - 1)
        kind = random.choice(["alpha", "beta", "gamma", "gamma"])
        agent = random.choice([1, 2])
        events.append(event(seq, cause, kind, simulation=simulation, agent=agent, n=random.randint(0, 5)))
    return events


def walked(events: list[Event]) -> list[Walked]:
    by_seq = {event.seq: event for event in events}
    above: dict[int, list[tuple[Event, int]]] = {}
    below: dict[int, list[tuple[Event, int]]] = {event.seq: [] for event in events}
    for event in events:
        way, at = [], event
        while at.cause:
            at = by_seq[at.cause]
            way.append((at, len(way) + 1))
            below[at.seq].append((event, len(way)))
        above[event.seq] = way
    return [Walked(event, above[event.seq], below[event.seq]) for event in events]


@pytest.fixture(scope="module")
def histories() -> list[list[Event]]:
    random = Random(20_260_131)
    return [made_up(random, number) for number in range(1, FORESTS + 1)]


@pytest.fixture(scope="module")
def walks_of(histories: list[list[Event]]) -> list[Walked]:
    return [row for events in histories for row in walked(events)]


@pytest.fixture(scope="module")
def live(histories: list[list[Event]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Simulations take turns: blocks hold pieces of many."""
    random = Random(7)
    waiting = [list(reversed(events)) for events in histories]
    mixed: list[Event] = []
    while waiting:
        one = random.choice(waiting[:20])
        mixed.append(one.pop())
        waiting = waiting if one else [events for events in waiting if events]
    with store_of(tmp_path_factory.mktemp("live"), mixed, block_events=500) as store:
        yield store


@pytest.fixture(scope="module")
def compacted(histories: list[list[Event]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Clustered by simulation, in many segments."""
    shards = {1: [event for events in histories for event in events]}
    with written(tmp_path_factory.mktemp("compacted"), shards, is_compact=True, block_events=500) as store:
        yield store


def id_of(event: Event) -> str:
    return f"s{event.simulation}:{event.seq}"


PATTERNS: list[tuple[str, Callable[[Event, Event], bool]]] = [
    ("alpha", lambda other, row: other.kind == "alpha"),
    ("event", lambda other, row: True),
    (
        "(alpha or beta(.n > 3))",
        lambda other, row: other.kind == "alpha" or (other.kind == "beta" and other.data["n"] > 3),
    ),
    ("gamma(agent = alice)", lambda other, row: other.kind == "gamma" and other.agent == 1),
    ('event "s2:5"', lambda other, row: id_of(other) == "s2:5"),
    ("event (agent != e.agent)", lambda other, row: other.agent != row.agent),
    ("alpha(.n = e.data.n)", lambda other, row: other.kind == "alpha" and other.data["n"] == row.data.get("n", -1)),
    (
        "(beta(.n > e.data.n) or alpha(.n = 0))",
        lambda other, row: (
            (other.kind == "beta" and other.data["n"] > row.data.get("n", 99))
            or (other.kind == "alpha" and other.data["n"] == 0)
        ),
    ),
]
#: How the same is walked when few are on their way, when many are, and when memory is short.
WAYS: dict[str, dict[str, int]] = {
    "as it comes": {},
    "never few": {"_FEW": 0},
    "doubling at once": {"_FEW": 0, "_LEVELS": 0},
    "always few": {"_FEW": 10**9, "_BATCH": 5},
    "compacted": {},
    "decided while read": {"QUERY_FOREST_EVENTS_MAX": 5_000},
    "little memory": {"QUERY_FOREST_EVENTS_MAX": 2_000},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("direction", ["caused by", "led to"])
def test_conditions_agree_with_plain_walking(
    live: Store, compacted: Store, walks_of: list[Walked], direction: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in WAYS[way].items():
        monkeypatch.setattr(forest, name, value)
    if way == "decided while read":
        monkeypatch.setattr(rows, "QUERY_CAUSED_ROWS_MAX", 0)
    for pattern, meets in PATTERNS:
        for steps in (None, 2):
            bound = "" if steps is None else f" within {steps} steps"
            found = column(
                compacted if way == "compacted" else live,
                f"events as e where {direction} {pattern}{bound} | select id",
                "id",
            )
            expected = [
                id_of(row.event)
                for row in walks_of
                if any(
                    (steps is None or depth <= steps) and meets(other, row.event)
                    for other, depth in (row.above if direction == "caused by" else row.below)
                )
            ]
            assert found == expected, f"{direction} {pattern}{bound}"


@pytest.mark.parametrize("way", [*WAYS, "look-ups"])
@pytest.mark.parametrize("stage", ["causes", "effects"])
def test_stages_agree_with_plain_walking(
    live: Store, compacted: Store, walks_of: list[Walked], stage: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in WAYS.get(way, {}).items():
        monkeypatch.setattr(forest, name, value)
    if way == "look-ups":
        monkeypatch.setattr(walks, "_MANY_EVENTS", 0)
        monkeypatch.setattr(walks, "_FEW_ROWS", 10**9)
        monkeypatch.setattr(walks, "QUERY_CAUSE_LOOKUPS_MAX", 3)
    for source, is_source in (
        ("events", lambda event: True),
        ("events alpha where .n > 2", lambda event: event.kind == "alpha" and event.data["n"] > 2),
        ('events where id = "s3:6"', lambda event: id_of(event) == "s3:6"),
    ):
        for steps in (None, 1, 4):
            bound = "" if steps is None else f" within {steps} steps"
            told = (
                (compacted if way == "compacted" else live)
                .query(f"{source} | {stage}{bound} | select id, depth, origin")
                .rows()
            )
            expected = sorted(
                (other.simulation, other.seq, row.event.seq, depth)
                for row in walks_of
                if is_source(row.event)
                for other, depth in (row.above if stage == "causes" else row.below)
                if steps is None or depth <= steps
            )
            assert [(row["id"], row["depth"], row["origin"]) for row in told] == [
                (f"s{simulation}:{seq}", depth, f"s{simulation}:{origin}")
                for simulation, seq, origin, depth in expected
            ]


def test_a_chain_as_long_as_its_simulation(tmp_path: Path) -> None:
    count = 30_000
    chain = [event(seq, seq - 1, "ask" if seq == 10 else "tell") for seq in range(4, count)]
    store = store_of(tmp_path, [*opening(1, "long"), *chain], block_events=8_192)
    assert column(store, "events where caused by ask | count", "count") == [count - 11]
    assert column(store, "events where caused by ask within 100 steps | count", "count") == [100]
    assert column(store, f'events where led to event "long:{count - 1}" | count', "count") == [count - 3]
    assert column(store, f"events where seq = {count - 1} | causes | count, max(depth) as d", "d") == [count - 3]
    assert column(store, "events ask | effects | count", "count") == [count - 11]


def test_causes_are_followed_in_a_log_with_gaps(tmp_path: Path) -> None:
    events = [*opening(1, "r1"), event(40, 2, "offer"), event(90, 40), event(91, 60), event(95, 91, "accept")]
    store = store_of(tmp_path, events, block_events=3)
    assert column(store, "events where caused by offer", "id") == ["r1:90"]
    assert column(store, "events where led to accept", "id") == ["r1:91"]
    assert column(store, "events accept | causes", "id") == ["r1:91"]
