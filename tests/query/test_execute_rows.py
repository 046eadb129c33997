"""Which rows the six relations have, their columns, links and order; how rows reach each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.errors import QueryError
from tests.query.asking import column, deal_store, offers_store, store_of
from tests.stories import deal

RELATIONS = {
    "simulations": ["id", "name", "status", "seed", "start", "end", "duration", "took", "parent", "data"],
    "agents": ["id", "simulation", "role", "status", "goal", "start", "end", "duration", "turns", "data"],
    "conversations": ["id", "simulation", "agents", "start", "end", "duration", "turns", "messages"],
}


@pytest.mark.parametrize("relation", ["simulations", "agents", "goals", "events", "messages", "conversations"])
def test_an_empty_store_has_no_rows_and_the_right_columns(tmp_path: Path, relation: str) -> None:
    (tmp_path / "empty" / "log").mkdir(parents=True)
    full = deal_store(tmp_path / "full").query(relation).table.schema
    empty = store_of(tmp_path / "empty").query(relation).table
    assert empty.num_rows == 0
    assert empty.schema.names == full.names
    known = [f for f in full if f.name not in ("data", "parent", "end", "took", "reason", "seed", "goal")]
    assert [empty.schema.field(f.name).type for f in known] == [f.type for f in known]


@pytest.mark.parametrize(("relation", "columns"), RELATIONS.items())
def test_without_a_select_all_fields_come_in_the_order_of_the_reference(
    tmp_path: Path, relation: str, columns: list[str]
) -> None:
    assert deal_store(tmp_path).query(relation).column_names == columns


def test_agents_know_their_role_goal_and_newest_state(tmp_path: Path) -> None:
    rows = deal_store(tmp_path).query("agents | select id, role, status, goal, turns, .budget").rows()
    assert rows == [
        {"id": "alice", "role": "buyer", "status": "running", "goal": "ask", "turns": 2, "budget": 9},
        {"id": "bob", "role": "seller", "status": "running", "goal": None, "turns": 1, "budget": None},
        {"id": "carol", "role": None, "status": "running", "goal": None, "turns": 0, "budget": None},
    ]


def test_simulations_show_their_configuration(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    (row,) = store.query("simulations | select id, name, seed, .buyers, .parameters.buyers as again, end, took").rows()
    assert row == {"id": "r1", "name": "market", "seed": 7, "buyers": 2, "again": 2, "end": None, "took": None}


def test_links_lead_from_events_to_what_they_belong_to(tmp_path: Path) -> None:
    (row,) = (
        deal_store(tmp_path)
        .query(
            "events counter | select id, agent, agent.role, cause, cause.kind, cause.agent.role as who, goal.name, "
            "simulation.name as run, state, state.data.phase as phase, to, peer.role as peers"
        )
        .rows()
    )
    assert row == {
        "id": "r1:10",
        "agent": "bob",
        "agent_role": "seller",
        "cause": "r1:7",
        "cause_kind": "offer",
        "who": "buyer",
        "goal_name": None,
        "run": "market",
        "state": "r1:9",
        "phase": "bargaining",
        "to": "alice",
        "peers": "buyer",
    }


def test_an_event_to_several_is_to_each_of_them(tmp_path: Path) -> None:
    store = deal_store(tmp_path)
    assert column(store, "messages where to = carol", "id") == ["r1:13"]
    assert column(store, "messages where to != carol", "id") == ["r1:7", "r1:10", "r1:11"]
    assert column(store, "events note.all", "to") == ["alice, carol"]
    assert column(store, "events where to missing and agent = alice | select kind", "kind")[:1] == ["agent.started"]


def test_messages_answer_each_other_and_belong_to_a_conversation(tmp_path: Path) -> None:
    rows = deal_store(tmp_path).query("messages | select id, text, reply_to, conversation").rows()
    assert [row["reply_to"] for row in rows] == [None, "r1:7", "r1:10", "r1:11"]
    assert [row["text"] for row in rows] == [None, None, "fine", None]
    assert [row["conversation"] for row in rows] == ["r1/alice+bob"] * 3 + ["r1/alice+bob+carol"]


def test_conversations_count_messages_and_changes_of_speaker(tmp_path: Path) -> None:
    rows = deal_store(tmp_path).query("conversations | select id, agents, messages, turns, start, end").rows()
    assert rows == [
        {"id": "r1/alice+bob", "agents": "alice, bob", "messages": 3, "turns": 3, "start": 1_000_000, "end": 3_000_000},
        {
            "id": "r1/alice+bob+carol",
            "agents": "alice, bob, carol",
            "messages": 1,
            "turns": 1,
            "start": 3_000_000,
            "end": 3_000_000,
        },
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("agents where goal succeeded", ["alice"]),
        ("agents where every goal succeeded", []),
        ("agents where no goal", ["bob", "carol"]),
        ("agents where any offer", ["alice"]),
        ("agents where exactly 1 counter", ["bob"]),
        ("agents where any message (received)", ["alice", "bob", "carol"]),
        ("agents where at least 2 messages (sent)", ["alice", "bob"]),
        ("agents as a where any message (sent and peer.role != a.role)", ["alice", "bob"]),
        ("agents where count(messages) > 3", ["alice", "bob"]),
        ("agents where sum(.price of events) = 50", ["bob"]),
        ("agents where any event (any agent (role = buyer))", ["alice"]),
        ("agents where any conversation (messages > 1)", ["alice", "bob"]),
        ("agents where no simulation (status = running)", []),
    ],
)
def test_conditions_on_the_rows_reached(tmp_path: Path, query: str, expected: list[str]) -> None:
    assert column(deal_store(tmp_path), query, "id") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("agents where id = bob | messages", ["r1:7", "r1:10", "r1:11", "r1:13"]),
        ("agents where id = bob | messages where sent", ["r1:10", "r1:13"]),
        ("agents where id = bob | events", ["r1:3", "r1:10", "r1:13"]),
        ("goals where name = close_deal | events", ["r1:5", "r1:11", "r1:12"]),
        ("events counter | agents", ["bob"]),
        ("messages where kind = offer | conversations", ["r1/alice+bob"]),
        ("conversations where messages = 1 | agents", ["alice", "bob", "carol"]),
        ("simulations | goals | agents", ["alice"]),
    ],
)
def test_relations_follow_relations(tmp_path: Path, query: str, expected: list[str]) -> None:
    assert column(deal_store(tmp_path), query, "id") == expected


def test_two_shards_are_one_store(tmp_path: Path) -> None:
    store = store_of(tmp_path, deal(), deal())
    assert column(store, "events | count", "count") == [26]
    assert column(store, "agents where goal succeeded | select id, simulation", "id") == ["alice", "alice"]
    assert column(store, "simulations where exactly 3 agents", "id") == ["r1", "r1"]


def test_rows_are_ordered_by_simulation_and_seq_whatever_their_kind(tmp_path: Path) -> None:
    store = store_of(tmp_path, deal(), deal(), block_events=3)
    assert column(store, "events", "seq") == [*range(1, 14)] * 2
    assert column(store, "events offer, counter | select kind", "kind") == ["offer", "counter"] * 2


def test_parameters_stand_for_values(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"price": 40}, {"price": 50})
    assert column(store, "events where .price in $wanted | select .n as n", "n", wanted=[50, 60]) == [1]
    assert column(store, "events where .price in $wanted", "id", wanted=[]) == []


def test_a_watch_is_not_asked_once(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="a watch goes on for ever") as caught:
        deal_store(tmp_path).query("watch events")
    assert (caught.value.start, caught.value.end) == (0, 5)
