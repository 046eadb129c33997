"""Shapes: conversations as chats, events as trees, rows with times as timelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from matrix.errors import QueryError
from matrix.event import Event
from matrix.query.check import check
from matrix.query.engine import chat, tree
from matrix.query.syntax import ColumnRef, Type
from matrix.store import Store
from matrix.testing.telling import Telling
from tests.query.asking import column, deal_store, store_of
from tests.query.test_causes import event, opening, story

SECOND = 1_000_000
_MARKED = 'ask {"mark":"\\u0000next\\u0000","list":["\\u0000next\\u0000","\\u0000next\\u0000"]}'


def says(role: str, name: str | None, content: str) -> dict[str, str | None]:
    return {"role": role, "name": name, "content": content}


@pytest.fixture
def deal(tmp_path: Path) -> Store:
    return deal_store(tmp_path)


# -- what the checker says ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("conversations | as chat", "simulation conversation agent messages"),
        ("events | causes | as tree", "tree id parent level agent time data"),
        ("goals | as timeline", "simulation lane what start end status bar"),
        ("events | as table", " ".join(column.name for column in check("events").columns)),
    ],
)
def test_a_shape_has_columns_of_its_own(query: str, columns: str) -> None:
    checked = check(query)
    assert [column.name for column in checked.columns] == columns.split()
    if "table" not in query:
        assert checked.relation is None
        assert all(isinstance(column.expr, ColumnRef) for column in checked.columns)


def test_times_of_simulations_are_on_the_clock() -> None:
    types = {column.name: column.type for column in check("simulations | as timeline").columns}
    assert (types["start"], types["end"]) == (Type.TIME, Type.TIME)
    types = {column.name: column.type for column in check("agents | as timeline").columns}
    assert (types["start"], types["end"]) == (Type.DURATION, Type.DURATION)


# -- chats ----------------------------------------------------------------------------------------------------


def test_a_chat_is_told_from_the_side_of_each_agent(deal: Store) -> None:
    first = [says("assistant", "alice", 'offer {"price":40}'), says("user", "bob", 'counter {"price":50}')]
    second = [says("user", "alice", 'offer {"price":40}'), says("assistant", "bob", 'counter {"price":50}')]
    told = says("user", "bob", "note.all")
    assert deal.query("conversations | as chat").rows() == [
        {
            "simulation": "r1",
            "conversation": "r1/alice+bob",
            "agent": "alice",
            "messages": [*first, says("assistant", "alice", "fine")],
        },
        {
            "simulation": "r1",
            "conversation": "r1/alice+bob",
            "agent": "bob",
            "messages": [*second, says("user", "alice", "fine")],
        },
        {"simulation": "r1", "conversation": "r1/alice+bob+carol", "agent": "alice", "messages": [told]},
        {
            "simulation": "r1",
            "conversation": "r1/alice+bob+carol",
            "agent": "bob",
            "messages": [told | {"role": "assistant"}],
        },
        {"simulation": "r1", "conversation": "r1/alice+bob+carol", "agent": "carol", "messages": [told]},
    ]


@pytest.mark.parametrize(
    ("query", "sides"),
    [
        ("agents where role = buyer | conversations | as chat", ["alice", "alice"]),
        ("agents where id in (alice, carol) | conversations | where messages = 1 | as chat", ["alice", "carol"]),
        ("agents where id = bob | conversations | sort messages | limit 1 | as chat", ["bob"]),
        ("agents where id = bob | conversations | sample 1 | as chat", ["bob"]),
        ("agents where id = bob | messages | conversations | as chat", ["bob", "bob"]),
        ("agents where id = bob | conversations | agents | conversations | as chat", ["alice", "bob"] * 2 + ["carol"]),
        ("simulations | conversations | limit 1 | as chat", ["alice", "bob"]),
        ("conversations where messages > 99 | as chat", []),
        ("agents where id = nobody | conversations | as chat", []),
    ],
)
def test_sides_are_the_agents_that_the_conversations_were_reached_from(
    deal: Store, query: str, sides: list[str]
) -> None:
    found = column(deal, query, "agent")
    assert sorted(found) == sorted(sides)


def test_chats_come_in_the_order_of_the_rows(deal: Store) -> None:
    assert column(deal, "conversations | sort messages | as chat", "conversation") == [
        *["r1/alice+bob+carol"] * 3,
        *["r1/alice+bob"] * 2,
    ]


def test_what_messages_say(tmp_path: Path) -> None:
    contents: list[tuple[dict[str, Any], str]] = [
        ({"mark": "\0next\0", "list": ["\0next\0", "\0next\0"]}, _MARKED),
        ({"plain": "a"}, 'ask {"plain":"a"}'),
        ({"plain": "b"}, 'ask {"plain":"b"}'),
        ({"text": "hello", "tone": "kind"}, "hello"),
        ({"text": ""}, ""),
        ({"text": 5}, 'ask {"text":5}'),
        ({"text": None, "a": [1, {"b": True}]}, 'ask {"text":null,"a":[1,{"b":true}]}'),
        ({}, "ask"),
        ({"say": 'ä "quoted"\n'}, 'ask {"say":"ä \\"quoted\\"\\n"}'),
        ({"raw": b"\x00\xff", "x": float("nan")}, 'ask {"raw":"AP8=","x":null}'),
    ]
    telling = Telling(simulation=1, wall=0)
    telling.start({"id": "r1", "name": "story"})
    telling.spawn(0, None, "alice")
    telling.spawn(0, None, "bob")
    for data, _ in contents:
        telling.send(1, "ask", [1], data)
    store = store_of(tmp_path, telling.events, block_events=3)
    (row,) = store.query("agents where id = bob | conversations | as chat").rows()
    assert [message["content"] for message in row["messages"]] == [content for _, content in contents]


def test_a_message_of_the_simulation_itself_has_no_name(tmp_path: Path) -> None:
    opened = event(4, 0, "message.sent", agent=0, text="the market is open")
    hello = event(5, 0, "message.sent", agent=1, text="to myself")
    events = [*opening(1, "r1"), Event(**{**_fields(opened), "to": (1,)}), Event(**{**_fields(hello), "to": (1,)})]
    (row,) = store_of(tmp_path, events).query("conversations | as chat").rows()
    assert row["agent"] == "alice"
    assert row["messages"] == [says("system", None, "the market is open"), says("assistant", "alice", "to myself")]


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in Event.__dataclass_fields__}


def test_messages_are_a_list_that_arrow_and_others_take(deal: Store, tmp_path: Path) -> None:
    result = deal.query("conversations | as chat")
    assert result.table.schema.field("messages").type == chat.MESSAGES
    pa.parquet.write_table(result.table, tmp_path / "chat.parquet")
    assert pa.parquet.read_table(tmp_path / "chat.parquet").to_pylist() == result.rows()
    pandas = pytest.importorskip("pandas")
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["messages"][2] == [says("user", "bob", "note.all")]
    assert "bob: note.all" in repr(result)


def test_long_texts_come_in_pieces(deal: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = deal.query("conversations | as chat").rows()
    monkeypatch.setattr(chat, "QUERY_CHAT_BYTES_MAX", 10)
    result = deal.query("conversations | as chat")
    assert result.table["messages"].num_chunks > 1
    assert result.rows() == whole


# -- trees ----------------------------------------------------------------------------------------------------


def test_events_stand_under_their_causes(tmp_path: Path) -> None:
    store = store_of(tmp_path, story())
    result = store.query("events where seq > 1 | as tree")
    assert [(row["tree"], row["id"], row["parent"], row["level"]) for row in result.rows()] == [
        ("agent.started", "r1:2", None, 0),
        ("agent.started", "r1:3", None, 0),
        ("ask", "r1:4", None, 0),
        ("├─ look", "r1:5", "r1:4", 1),
        ("│  └─ find", "r1:7", "r1:5", 2),
        ("│     └─ tell", "r1:8", "r1:7", 3),
        ("└─ look", "r1:6", "r1:4", 1),
        ("ask", "r1:9", None, 0),
        ("└─ tell", "r1:10", "r1:9", 1),
    ]
    assert result.rows()[4] == {
        "tree": "│  └─ find",
        "id": "r1:7",
        "parent": "r1:5",
        "level": 2,
        "agent": "bob",
        "time": 7_000,
        "data": {"n": 4},
    }


def test_an_event_stands_under_the_nearest_ancestor_among_the_rows(tmp_path: Path) -> None:
    store = store_of(tmp_path, story())
    assert column(store, "events ask, tell | as tree", "tree") == ["ask", "└─ tell", "ask", "└─ tell"]
    assert column(store, "events look, tell | as tree", "tree") == ["look", "└─ tell", "look", "tell"]
    assert column(store, "events tell | as tree", "tree") == ["tell", "tell"]
    assert column(store, "events where seq > 99 | as tree", "tree") == []


def test_rows_that_repeat_stand_in_a_tree_once_in_any_order_they_come(tmp_path: Path) -> None:
    store = store_of(tmp_path, story())
    expected = ["ask", "├─ look", "│  └─ find", "└─ look"]
    assert column(store, "events where seq < 9 | causes | where seq > 3 | as tree", "id") == ["r1:4", "r1:5", "r1:7"]
    assert column(store, "events where seq in 4..7 | sort seq desc | as tree", "tree") == expected


def test_trees_of_several_simulations_follow_each_other(tmp_path: Path) -> None:
    second = [*opening(2, "r2"), event(4, 2, "ask", simulation=2)]
    store = store_of(tmp_path, [*story(), *second])
    assert column(store, "events ask, agent.started | as tree", "id") == [
        "r1:2", "r1:3", "r1:4", "r1:9", "r2:2", "r2:4", "r2:3",
    ]  # fmt: skip


def test_a_tree_too_large_to_draw_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path, story())
    monkeypatch.setattr(tree, "QUERY_TREE_CHARS_MAX", 20)
    with pytest.raises(QueryError) as error:
        store.query("events | as tree")
    assert error.value.code == "too-much-work"


# -- timelines ------------------------------------------------------------------------------------------------


def bar(first: int, last: int, end: str = "━") -> str:
    return (" " * first + "━" * (last - first) + end).ljust(40)


def test_goals_in_lanes_of_their_agents(deal: Store) -> None:
    assert deal.query("goals | as timeline").rows() == [
        {
            "simulation": "r1",
            "lane": "alice",
            "what": "close_deal",
            "start": SECOND,
            "end": None,
            "status": "running",
            "bar": bar(0, 39, "▶"),
        },
        {
            "simulation": "r1",
            "lane": "alice",
            "what": "ask",
            "start": SECOND,
            "end": SECOND,
            "status": "succeeded",
            "bar": bar(0, 0, "•"),
        },
    ]


def test_lanes_come_in_the_order_in_which_they_begin(deal: Store) -> None:
    rows = deal.query("events counter, offer, message.sent, state.changed | as timeline").rows()
    assert [(row["lane"], row["what"], row["start"], row["end"], row["status"]) for row in rows] == [
        ("alice", "offer", SECOND, SECOND, None),
        ("alice", "message.sent", 3 * SECOND, 3 * SECOND, None),
        ("alice", "state.changed", 3 * SECOND, 3 * SECOND, None),
        (None, "state.changed", 2 * SECOND, 2 * SECOND, None),
        ("bob", "counter", 2 * SECOND, 2 * SECOND, None),
    ]
    assert [row["bar"].index("•") for row in rows] == [0, 39, 39, 20, 20]
    assert {len(row["bar"]) for row in rows} == {40}
    assert column(deal, "events counter, state.changed where time < 3s | sort seq desc | as timeline", "lane") == [
        "bob",
        None,
    ]


def test_every_relation_has_lanes(deal: Store) -> None:
    lanes = {
        "agents": [("alice", "buyer", "running"), ("bob", "seller", "running"), ("carol", None, "running")],
        "conversations": [("alice, bob", "conversation", None), ("alice, bob, carol", "conversation", None)],
        "messages where kind in (offer, counter)": [("alice", "offer", None), ("bob", "counter", None)],
        "simulations": [("r1", "market", "running")],
        "events offer": [("alice", "offer", None)],
    }  # fmt: skip
    for source, expected in lanes.items():
        rows = deal.query(f"{source} | as timeline").rows()
        assert [(row["lane"], row["what"], row["status"]) for row in rows] == expected
        assert {row["simulation"] for row in rows} == {"r1"}
    assert column(deal, "conversations | as timeline", "end") == [3 * SECOND, 3 * SECOND]
    assert column(deal, "conversations | as timeline", "bar") == [bar(0, 39), bar(39, 39, "•")]
    assert column(deal, "agents where id = nobody | as timeline", "bar") == []


def test_bars_of_simulations_share_one_axis_and_others_have_their_own(tmp_path: Path) -> None:
    def run(number: int, wall: int, lasts: int) -> list[Event]:
        telling = Telling(simulation=number, wall=wall)
        telling.start({"id": f"r{number}", "name": "story"})
        telling.spawn(0, None, "alice")
        telling.begin_goal(1, "wait", {})
        telling.time = lasts
        telling.end_goal(1, "succeeded", {})
        telling.finish("finished", {})
        return telling.events

    store = store_of(tmp_path, [*run(1, 0, 10 * SECOND), *run(2, 30 * SECOND, 10 * SECOND)])
    assert column(store, "simulations | as timeline", "bar") == [bar(0, 10), bar(30, 39)]
    assert column(store, "goals | as timeline", "bar") == [bar(0, 39), bar(0, 39)]
    assert column(store, "simulations where id = r2 | as timeline", "bar") == [bar(0, 39)]


def test_a_time_line_of_some_simulations_names_each_of_them(tmp_path: Path) -> None:
    store = store_of(tmp_path, [*opening(1, "first"), *opening(2, "second")])
    assert column(store, 'simulations where id = "second" | as timeline', "simulation") == ["second"]
    assert column(store, 'simulations where id = "second" | as timeline', "lane") == ["second"]
