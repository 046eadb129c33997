"""A row of chat: prompt, tools, where it is from, and how the agent did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import matrix
from examples.negotiation import negotiation
from examples.werewolf import werewolf
from matrix.export.contract import Counts
from tests.export.rules import broken
from tests.export.told import RUN, Talk, exported, stored

TOOLS = [{"type": "function", "function": {"name": "find"}}]


def hello(id: str = "t1", **data: Any) -> Talk:
    talk = Talk(id, **data).agent("ann", "customer").agent("bot", "assistant", llm="gpt-4.1")
    talk.says("ann", "Hi", "bot")
    return talk


def briefed(system: str | None = "Be kind.", **more: Any) -> Talk:
    """The agent is briefed before it begins."""
    talk = Talk().agent("ann", "customer").agent("bot", "assistant")
    said = {"subject": "briefing", **({} if system is None else {"system": system}), **more}
    talk.history.emit(talk.numbers["bot"], "note", said)
    talk.says("ann", "Hi", "bot")
    talk.says("bot", "Hello", "ann")
    return talk


def row_of_bot(folder: Path, talk: Talk, **options: Any) -> dict[str, Any]:
    (row,) = exported(stored(folder, talk), "agents where id = bot", **options)
    return row


def test_a_briefing_is_the_system_message_and_the_tools(tmp_path):
    row = row_of_bot(tmp_path, briefed(tools=TOOLS))
    assert row["messages"][0] == {"role": "system", "content": "Be kind."}
    assert (row["tools"], row["parallel_tool_calls"], broken(row)) == (TOOLS, True, [])


def test_a_briefing_may_say_its_message_as_it_was(tmp_path):
    row = row_of_bot(tmp_path, briefed(message={"role": "developer"}))
    assert row["messages"][0] == {"role": "developer", "content": "Be kind."} and "tools" not in row


def test_without_a_briefing_there_is_no_prompt_and_without_tools_no_word_about_them(tmp_path):
    talk = hello()
    talk.says("bot", "Hello", "ann")
    row = row_of_bot(tmp_path, talk)
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
    assert "tools" not in row and "parallel_tool_calls" not in row


def test_given_tools_and_prompt_stand_in_place_of_the_historys_and_are_counted(tmp_path):
    other = [{"type": "function", "function": {"name": "look"}}]
    counts = Counts()
    row = row_of_bot(tmp_path, briefed(tools=TOOLS), tools=other, system="Be brief.", counts=counts)
    assert row["messages"][0] == {"role": "system", "content": "Be brief."} and row["tools"] == other
    assert counts.as_data()["kept"] == {
        "rows whose own system prompt was replaced": 1,
        "rows whose own tools were replaced": 1,
    }


def test_a_given_prompt_has_room_for_what_the_simulation_is_about(tmp_path):
    talk, counts = hello(task={"ticket": "No signal.", "steps": [1, 2]}), Counts()
    talk.says("bot", "Hello", "ann")
    given = 'Ticket: {.task.ticket} {.task.steps} {.task.mood} {"json": {"a": 1}} {x}'
    row = row_of_bot(tmp_path, talk, system=given, counts=counts)
    assert row["messages"][0]["content"] == 'Ticket: No signal. [1, 2] {.task.mood} {"json": {"a": 1}} {x}'
    assert counts.kept["rows without {.task.mood} for their system prompt"] == 1
    assert row["first_seq"] == 4


def test_arguments_are_text_for_openai_and_maps_for_trl(tmp_path):
    talk = hello()
    talk.calls("bot", "find", "c1", order=7)
    store = stored(tmp_path, talk)
    (text,) = exported(store, "agents where id = bot")
    (given,) = exported(store, "agents where id = bot", has_maps=True)
    assert text["messages"][-1]["tool_calls"][0]["function"]["arguments"] == '{"order": 7}'
    assert given["messages"][-1]["tool_calls"][0]["function"]["arguments"] == {"order": 7}


def test_a_row_says_where_it_is_from(tmp_path):
    talk = hello(seed=7, **RUN)
    first = len(talk.history.events)
    goal = talk.goal("bot", "help")
    last = talk.says("bot", "Hello", "ann")
    talk.says("ann", "Bye", "bot")
    talk.ends(goal, reward=0.5, reason="done")
    row = row_of_bot(tmp_path, talk)
    del row["messages"]
    told = {"seq": goal, "name": "help", "parent": None, "status": "succeeded", "reason": "done", "reward": 0.5}
    assert row == {
        "store": "runs", "simulation": "t1", "agent": "bot", "role": "assistant", "program": "shop:shop",
        "code": "c0de", "source": None, "seed": 7, "parent": None, "family": "t1", "conversation": "t1/ann+bot",
        "first_seq": first, "last_seq": last, "model": "gpt-4.1", "outcome": "succeeded", "reward": 0.5,
        "goals": [told],
    }  # fmt: skip


def test_a_row_of_an_imported_conversation_names_its_file(tmp_path):
    talk = hello(file="chat.jsonl", format="chat", parallel_tool_calls=False)
    talk.says("bot", "Hello", "ann")
    row = row_of_bot(tmp_path, talk, tools=TOOLS)
    assert (row["program"], row["source"]) == (None, "chat.jsonl")


@pytest.mark.parametrize(
    ("endings", "outcome", "reward"),
    [
        ([], "none", None),
        (["succeeded"], "succeeded", 1.0),
        (["succeeded", "failed"], "failed", 1.0),
        (["succeeded", "cancelled"], "cancelled", 1.0),
        (["cancelled"], "cancelled", None),
        (["succeeded", "running"], "running", 1.0),
        (["succeeded", "succeeded"], "succeeded", 2.0),
    ],
)
def test_the_outcome_is_the_worst_of_the_outermost_goals_and_the_reward_their_sum(tmp_path, endings, outcome, reward):
    talk = hello()
    for number, status in enumerate(endings):
        goal = talk.goal("bot", f"goal {number}")
        inner = talk.goal("bot", "inside")
        talk.ends(inner, "failed")
        if status != "running":
            talk.ends(goal, status)
    talk.says("bot", "Hello", "ann")
    row = row_of_bot(tmp_path, talk)
    assert (row["outcome"], row["reward"]) == (outcome, reward)


def test_names_of_tools_that_openai_does_not_take_are_kept_and_counted(tmp_path):
    talk, counts = hello(), Counts()
    talk.calls("bot", "web.search", "c1")
    row = row_of_bot(tmp_path, talk, counts=counts)
    assert row["messages"][-1]["tool_calls"][0]["function"]["name"] == "web.search"
    assert counts.kept["names of tools in rows that OpenAI's fine-tuning does not take"] == 1


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market and a game, and of the market three forks, one of them a fork of a fork."""
    store = tmp_path_factory.mktemp("forked") / "runs"
    matrix.run(negotiation, store=store, seed=3, buyers=6, sellers=2)
    matrix.run(werewolf, store=store, seed=3)
    with matrix.open(store) as opened:
        opened.fork("1-1", at=60, times=2)
        opened.fork("1-3", at=70)
    return store


def test_rows_of_a_fork_begin_with_what_it_shares_and_are_of_one_family(forked):
    rows = {row["simulation"] + row["conversation"]: row for row in exported(forked, "agents where role = seller")}
    for row in rows.values():
        assert broken(row) == []
    forks = [row for row in rows.values() if row["parent"] is not None]
    assert {(row["simulation"], row["parent"], row["family"]) for row in forks} == {
        ("1-3", "1-1", "1-1"), ("1-4", "1-1", "1-1"), ("1-5", "1-3", "1-1"),
    }  # fmt: skip
    assert {(row["simulation"], row["seed"]) for row in forks} == {("1-3", 4), ("1-4", 5), ("1-5", 4)}
    shared = [row for row in forks if row["first_seq"] <= 60]
    assert shared
    for row in shared:
        who = row["conversation"].partition("/")[2]
        parent = rows[f"{row['parent']}{row['parent']}/{who}"]
        assert row["messages"][0] == parent["messages"][0] and row["first_seq"] == parent["first_seq"]


def test_a_game_of_many_is_told_by_each_with_names_and_keeps_the_rules(forked):
    rows = exported(forked, 'simulations where name = "werewolf"')
    assert len(rows) > 10 and {row["family"] for row in rows} == {"1-2"}
    for row in rows:
        assert broken(row) == []
        talk = row["conversation"].count("+") > 1
        assert all(("name" in message) == talk for message in row["messages"] if message["role"] == "user")
