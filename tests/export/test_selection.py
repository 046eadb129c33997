"""What a query chooses to export, and what it says when it chooses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import matrix
from matrix.errors import QueryError, UsageError
from matrix.export.selection import Selected, Selection
from matrix.importers.history import rows_of
from matrix.testing.stores import write_rows
from tests.export.told import Talk, stored


def talk(id: str, *, seed: int = 0, price: int = 40, status: str = "succeeded") -> Talk:
    """Ann asks Sam, Bob asks Sam; Ann's goal ends as told, Bob's fails."""
    one = Talk(id, seed=seed).agent("ann", "buyer").agent("bob", "buyer").agent("sam", "seller")
    ann, bob = one.goal("ann", "buy"), one.goal("bob", "buy")
    one.says("ann", "", "sam", kind="offer", price=price)
    one.says("bob", "How much?", "sam")
    one.says("sam", "Too little.", "ann")
    one.ends(ann, status)
    one.ends(bob, "failed")
    return one


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return stored(tmp_path, talk("t1"), talk("t2", seed=7, price=50, status="failed"))


def chosen(store: Path, query: str, **parameters: Any) -> list[Selected]:
    with matrix.open(store) as opened:
        return list(Selection(opened, query, parameters))


def agents(store: Path, query: str, **parameters: Any) -> list[tuple[str, list[int]]]:
    return [(one.id, sorted(one.agents or [])) for one in chosen(store, query, **parameters)]


def test_agents_are_those_of_the_query(store):
    assert agents(store, "agents where goal succeeded") == [("t1", [1])]
    assert agents(store, "agents where role = seller") == [("t1", [3]), ("t2", [3])]
    assert agents(store, "agents where role = $role and simulation.seed = 7", role="buyer") == [("t2", [1, 2])]


def test_goals_choose_their_agents_and_themselves(store):
    (one, two) = chosen(store, "goals where failed")
    assert (one.agents, one.goals) == ({2}, {6}) and (two.agents, two.goals) == ({1, 2}, {5, 6})


def test_simulations_choose_all_of_their_agents(store):
    (one,) = chosen(store, "simulations where seed = 7")
    assert one.id == "t2" and one.agents is None and one.has_agent(99)


def test_events_choose_those_who_did_them(store):
    (one, two) = chosen(store, "events offer")
    assert (one.agents, one.events.tolist()) == ({1}, [7]) and two.agents == {1}
    assert agents(store, "events simulation.started") == [("t1", []), ("t2", [])]


def test_messages_that_were_reached_from_agents_choose_those_agents(store):
    assert agents(store, 'messages where text contains "little" and simulation = t1') == [("t1", [3])]
    asked = 'agents where id = ann and simulation.id = "t1" | messages where text contains "little"'
    assert agents(store, asked) == [("t1", [1])]


def test_conversations_choose_their_members_in_them_alone(store):
    (one, _) = chosen(store, 'conversations where agents contains "bob"')
    assert one.conversations == {2: {(2, 3)}, 3: {(2, 3)}}
    (one, _) = chosen(store, "agents where role = seller | conversations where messages > 1 | as chat")
    assert one.conversations == {3: {(1, 3)}}


def test_every_stage_that_keeps_rows_counts(store):
    assert agents(store, "agents | sort turns desc | limit 1") == [("t1", [1])]
    assert agents(store, "goals | sort id desc | limit 1") == [("t2", [2])]
    assert agents(store, "agents | select id, turns | where turns = 0") == []
    assert len(chosen(store, "agents | sample 1 seed 3")) == 1
    assert agents(store, "agents where role = buyer | match offer then got event") == [("t1", [1]), ("t2", [1])]
    (one, _) = chosen(store, 'events where .text = "Too little." | causes')
    assert one.events.tolist() == [1, 3, 8]


def test_a_query_that_looks_at_a_moment_ends_histories_there(store):
    (one, _) = chosen(store, "agents as of 1s where role = seller")
    assert (one.agents, one.last_seq, one.turn) == ({3}, 7, None)
    (one, _) = chosen(store, "agents as of turn 0")
    assert one.turn == 0
    (one, _) = chosen(store, "agents as of 1h where role = seller")
    assert one.last_seq is None or one.last_seq >= 12


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("agents | count by role", "leave out everything from their | on"),
        ("agents | select role", "leave out select"),
        ("agents | select role as id", "leave out select"),
        ("events | select goal", "leave out select"),
        ("simulations | funnel offer then accept", "behind where"),
        ("events | as tree", "leave out | as tree"),
        ("agents | as timeline", "leave out | as timeline"),
        ("explain agents", 'leave out "explain"'),
        ("watch agents", 'leave out "watch"'),
    ],
)
def test_a_query_that_chooses_nothing_says_what_to_write_instead(store, query, hint):
    with pytest.raises(UsageError) as failed:
        chosen(store, query)
    assert hint in str(failed.value) and "\n" not in str(failed.value)


def test_a_query_that_cannot_be_read_keeps_its_place(store):
    with pytest.raises(QueryError) as failed:
        chosen(store, "agents where rol = buyer")
    assert (failed.value.line, failed.value.column, failed.value.fix) == (1, 14, "agents where role = buyer")


def test_nothing_chosen_is_nothing_exported(store, tmp_path):
    assert chosen(store, "agents where role = nobody") == []
    (tmp_path / "empty" / "log").mkdir(parents=True)
    assert chosen(tmp_path / "empty", "simulations") == []


def test_simulations_of_one_id_are_told_apart(tmp_path):
    store = tmp_path / "store"
    write_rows(store, [rows_of([talk("t1").over(), talk("t1", status="failed").over()], first_simulation=1)])
    first, second = chosen(store, "agents where role = buyer")
    assert (first.gid & 0xFF, second.gid & 0xFF) == (1, 2)
    assert [one.gid & 0xFF for one in chosen(store, "agents where goal succeeded")] == [1]


def test_a_selection_tells_how_much_it_is(store):
    with matrix.open(store) as opened:
        some = Selection(opened, "events offer, message.sent")
        assert (some.relation, some.rows, len(some)) == ("events", 6, 2)
        assert Selection(opened, "events ofer").notices == ("no event of kind ofer in this store; offer: 2",)
