"""What an agent that speaks by messages and tools said and was told, message by message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import matrix
from matrix.export.contract import Counts
from tests.export.rules import broken
from tests.export.told import RUN, Talk, exported, stored

Messages = list[dict[str, Any]]


def desk(id: str = "t1", **data: Any) -> Talk:
    return Talk(id, **data).agent("ann", "customer").agent("bot", "assistant")


def of_bot(folder: Path, talk: Talk, counts: Counts | None = None) -> Messages:
    (row,) = exported(stored(folder, talk), "agents where id = bot", counts=counts)
    assert broken(row) == []
    messages: Messages = row["messages"]
    return messages


def asked(name: str, id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_what_it_says_is_the_assistants_and_what_reaches_it_the_users(tmp_path):
    talk = desk()
    talk.says("ann", "My lamp is broken.", "bot")
    talk.says("bot", "Which one?", "ann")
    store = stored(tmp_path, talk)
    (ann, bot) = exported(store)
    assert bot["messages"] == [
        {"role": "user", "content": "My lamp is broken."},
        {"role": "assistant", "content": "Which one?"},
    ]
    assert ann["messages"] == [{"role": "assistant", "content": "My lamp is broken."}]


def test_a_call_and_its_answer_belong_to_the_conversation_and_are_nobody_elses(tmp_path):
    talk = desk()
    talk.says("ann", "Where is order 7?", "bot")
    talk.calls("bot", "find", "c1", order=7)
    talk.answers("bot", "find", "c1", {"state": "lost"})
    talk.says("bot", "It is lost.", "ann")
    talk.says("ann", "Oh.", "bot")
    (ann, bot) = exported(stored(tmp_path, talk))
    assert bot["messages"] == [
        {"role": "user", "content": "Where is order 7?"},
        {"role": "assistant", "tool_calls": [asked("find", "c1", '{"order": 7}')]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"state": "lost"}'},
        {"role": "assistant", "content": "It is lost."},
    ]
    assert [message["role"] for message in ann["messages"]] == ["assistant", "user", "assistant"]


def test_text_and_calls_of_one_turn_are_one_message_and_answers_keep_their_order(tmp_path):
    talk = desk()
    talk.says("ann", "Help", "bot")
    talk.says("bot", "One moment.", "ann")
    talk.calls("bot", "find", "c1", same_turn=True)
    talk.calls("bot", "user", "c2", same_turn=True)
    talk.answers("bot", "user", "c2", "Ann")
    talk.answers("bot", "find", "c1", "nothing", "tool.failed")
    talk.says("bot", "Sorry.", "ann")
    assert of_bot(tmp_path, talk)[1:] == [
        {"role": "assistant", "content": "One moment.", "tool_calls": [asked("find", "c1"), asked("user", "c2")]},
        {"role": "tool", "tool_call_id": "c2", "content": "Ann"},
        {"role": "tool", "tool_call_id": "c1", "content": "nothing"},
        {"role": "assistant", "content": "Sorry."},
    ]


def test_two_texts_of_one_turn_are_two_messages(tmp_path):
    talk = desk()
    talk.says("ann", "Help", "bot")
    talk.says("bot", "One.", "ann")
    talk.emits("bot", "message.sent", "ann", same_turn=True, text="Two.")
    assert [message["content"] for message in of_bot(tmp_path, talk)] == ["Help", "One.", "Two."]


def test_what_comes_while_a_call_is_open_stands_behind_its_answer(tmp_path):
    talk, counts = desk(), Counts()
    talk.says("ann", "Help", "bot")
    talk.calls("bot", "find", "c1")
    talk.says("ann", "Hello?", "bot")
    talk.calls("bot", "user", "c2")
    talk.answers("bot", "find", "c1", "a")
    talk.answers("bot", "user", "c2", "b")
    talk.says("bot", "Done.", "ann")
    messages = of_bot(tmp_path, talk, counts)
    assert messages[1] == {"role": "assistant", "tool_calls": [asked("find", "c1"), asked("user", "c2")]}
    assert [message.get("content") for message in messages[2:]] == ["a", "b", "Hello?", "Done."]
    assert counts.as_data()["kept"] == {
        "calls of tools told as one message with others that were open": 1,
        "messages told behind the answers they came before": 1,
    }


def test_a_call_that_nobody_answered_is_kept_and_holds_nothing_up(tmp_path):
    talk, counts = desk(), Counts()
    talk.says("ann", "Help", "bot")
    talk.calls("bot", "find", "c1")
    talk.says("ann", "Hello?", "bot")
    talk.says("bot", "Sorry.", "ann")
    (row,) = exported(stored(tmp_path, talk), "agents where id = bot", counts=counts)
    assert [message["role"] for message in row["messages"]] == ["user", "assistant", "user", "assistant"]
    assert counts.kept["calls of tools that were never answered"] == 1


def test_an_answer_belongs_to_the_first_unanswered_call_with_its_id(tmp_path):
    talk = desk()
    talk.says("ann", "Help", "bot")
    for text in ("one", "two"):
        talk.calls("bot", "find", "same", text=text)
        talk.answers("bot", "find", "same", text)
    talk.says("bot", "Done.", "ann")
    assert [message.get("content") for message in of_bot(tmp_path, talk)] == ["Help", None, "one", None, "two", "Done."]


def test_other_messages_than_texts_are_their_kind_and_data(tmp_path):
    talk = desk()
    talk.says("ann", "", "bot", kind="offer", price=40, text="für dich")
    talk.says("bot", "", "ann", kind="accept")
    assert [message["content"] for message in of_bot(tmp_path, talk)] == [
        '{"kind": "offer", "data": {"price": 40, "text": "für dich"}}',
        '{"kind": "accept", "data": {}}',
    ]


def test_each_set_of_agents_is_a_conversation_and_calls_belong_to_the_newest_message(tmp_path):
    talk = desk().agent("Dr. Who", "customer").agent("Dr? Who", "customer")
    talk.calls("bot", "open", "c0")
    talk.answers("bot", "open", "c0", "ok")
    talk.says("ann", "Help", "bot")
    talk.says("bot", "Yes?", "ann")
    talk.numbers["who"], talk.numbers["who2"] = talk.numbers["Dr. Who"], talk.numbers["Dr? Who"]
    talk.says("who", "Me first!", "bot ann who2")
    talk.calls("bot", "queue", "c1")
    talk.answers("bot", "queue", "c1", "2")
    talk.says("who2", "No, me!", "bot ann who")
    talk.says("bot", "Wait, both.", "ann who who2")
    (first, second) = exported(stored(tmp_path, talk), "agents where id = bot")
    assert first["conversation"] == "t1/ann+bot" and second["conversation"] == "t1/ann+bot+Dr. Who+Dr? Who"
    assert [message["role"] for message in first["messages"]] == ["assistant", "tool", "user", "assistant"]
    assert [message.get("name") for message in second["messages"]] == ["Dr__Who", None, None, "Dr__Who_2", None]
    assert not any("name" in message for message in first["messages"])
    assert broken(first) == broken(second) == []


def test_an_agent_that_speaks_to_nobody_has_a_conversation_with_nobody(tmp_path):
    talk = Talk().agent("bot")
    talk.calls("bot", "find", "c1")
    talk.answers("bot", "find", "c1", "ok")
    talk.says("bot", "###STOP###")
    (row,) = exported(stored(tmp_path, talk))
    assert row["conversation"] == "t1/bot"
    assert [message.get("content") for message in row["messages"]] == [None, "ok", "###STOP###"]


def test_what_a_runs_tools_gave_is_written_as_a_model_is_shown_it(tmp_path):
    talk = desk(**RUN)
    talk.says("ann", "Hi", "bot")
    talk.emits("bot", "tool.called", tool="find", call_id="bot#1", tool_call_id="m1", arguments={"wer": "Jürgen"})
    talk.emits("bot", "tool.completed", tool="find", call_id="bot#1", tool_call_id="m1", result={"ort": "Köln"})
    talk.emits("bot", "tool.called", tool="find", call_id="bot#2", arguments={})
    talk.emits("bot", "tool.failed", tool="find", call_id="bot#2", error="KeyError: 'wer'")
    talk.says("bot", "Köln.", "ann")
    messages = of_bot(tmp_path, talk)
    assert messages[1]["tool_calls"] == [asked("find", "m1", '{"wer": "Jürgen"}')]
    assert messages[2] == {"role": "tool", "tool_call_id": "m1", "content": '{"ort": "Köln"}'}
    assert messages[4] == {"role": "tool", "tool_call_id": "bot#2", "content": "KeyError: 'wer'"}


def test_imported_texts_are_as_they_were_written(tmp_path):
    talk = desk()
    talk.says("ann", "Hi", "bot")
    talk.emits("bot", "tool.called", tool="f", call_id="c", arguments={"a": 1}, arguments_style="compact")
    talk.emits("bot", "tool.completed", tool="f", call_id="c", result={"é": 1}, result_text='{ "é" : 1 }')
    talk.says("bot", "Done.", "ann")
    messages = of_bot(tmp_path, talk)
    assert messages[1]["tool_calls"] == [asked("f", "c", '{"a":1}')]
    assert messages[2]["content"] == '{ "é" : 1 }'


def test_what_an_imported_message_says_beside_is_laid_over_it(tmp_path):
    talk = desk()
    parts = [{"type": "text", "text": "Look"}]
    talk.says("ann", "Look", "bot", message={"content": parts, "name": "ann", "role": "developer"})
    talk.says("bot", "No.", "ann", message={"weight": 0, "refusal": "I may not."})
    talk.emits("bot", "note", subject="message", message={"role": "assistant", "content": ""})
    (ann, bot) = exported(stored(tmp_path, talk))
    assert bot["messages"] == [
        {"role": "user", "content": parts, "name": "ann"},
        {"role": "assistant", "content": "No.", "weight": 0, "refusal": "I may not."},
        {"role": "assistant", "content": ""},
    ]
    assert ann["messages"] == [{"role": "developer", "content": parts, "name": "ann"}]


def test_a_programs_own_data_is_never_laid_over(tmp_path):
    talk = desk(**RUN)
    talk.says("ann", "", "bot", kind="post", message={"role": "spam"})
    talk.says("bot", "No.", "ann", message={"role": "user"})
    assert of_bot(tmp_path, talk) == [
        {"role": "user", "content": '{"kind": "post", "data": {"message": {"role": "spam"}}}'},
        {"role": "assistant", "content": "No."},
    ]


def test_what_follows_the_agents_last_message_is_cut_and_who_said_nothing_left_out(tmp_path):
    talk, counts = desk(), Counts()
    talk.agent("ghost")
    talk.says("bot", "Hello?", "ann")
    talk.says("ann", "Yes?", "bot")
    talk.says("ann", "Hi?", "bot")
    talk.says("ann", "Boo", "ghost")
    rows = exported(stored(tmp_path, talk), "agents where id != ann", counts=counts)
    assert [row["messages"] for row in rows] == [[{"role": "assistant", "content": "Hello?"}]]
    assert counts.as_data() == {
        "taken": {"chats": 1, "messages": 1},
        "cut": {"messages behind the agent's last own one": 2},
        "left_out": {"agents that said nothing": 1, "conversations in which the agent said nothing": 1},
        "kept": {},
    }


def test_what_an_agent_did_without_words_is_in_no_chat_and_counted(tmp_path):
    talk, counts = desk(), Counts()
    talk.says("bot", "Watch this.", "ann")
    talk.emits("bot", "vote", whom="ann")
    (row,) = exported(stored(tmp_path, talk), "agents where id = bot", counts=counts)
    assert [message["content"] for message in row["messages"]] == ["Watch this."]
    did = "events of agents' own kinds that were sent to nobody, and are in no conversation"
    assert counts.as_data()["left_out"] == {did: 1}


@pytest.mark.parametrize("query", ['conversations where id = "t1/ann+bot"', "messages where to = bot | conversations"])
def test_of_chosen_conversations_nothing_else_is_told(tmp_path, query):
    talk = desk().agent("eve")
    talk.says("ann", "Help", "bot")
    talk.says("bot", "Yes?", "ann")
    talk.says("eve", "Psst.", "ann")
    talk.says("ann", "What?", "eve")
    rows = exported(stored(tmp_path, talk), query)
    assert [(row["agent"], row["conversation"]) for row in rows] == [("ann", "t1/ann+bot"), ("bot", "t1/ann+bot")]


class Asker(matrix.Agent):
    async def run(self):
        for number in (1, 2, 3):
            self.send(["clerk", "dealer"], text=f"question {number}")
        self.send("dealer", text="no more")


class Clerk(matrix.Agent):
    def on_message(self, message):
        self.reply(message, text=f"{message['text']}: yes")


class SlowClerk(matrix.Agent):
    async def run(self):
        async for message in self.messages():
            await self.sleep(5)
            self.reply(message, text=f"{message['text']}: yes")


class Dealer(matrix.Agent):
    async def run(self):
        asked = [await self.receive() for _ in range(3)]
        self.send("asker", text=f"{len(asked)} questions")


@pytest.mark.parametrize("clerk", [Clerk, SlowClerk])
def test_a_message_that_waits_in_the_mailbox_is_told_where_it_was_taken(tmp_path, clerk):
    async def office(simulation):
        simulation.spawn(clerk, "clerk")
        simulation.spawn(Dealer, "dealer")
        simulation.spawn(Asker, "asker")

    matrix.run(office, store=tmp_path / "store")
    (episode,) = exported(tmp_path / "store", "agents where id = clerk", form="episodes")
    assert [[message["content"] for message in step["observation"]] for step in episode["steps"]] == [
        ["question 1"],
        ["question 2"],
        ["question 3"],
    ]
    (step,) = exported(tmp_path / "store", "agents where id = dealer", form="episodes")[0]["steps"]
    assert [message["content"] for message in step["observation"]] == [
        *("question 1", "question 2", "question 3"),
        "no more",  # nothing came of it, so nobody knows that it was not taken
    ]


def test_an_answer_that_was_waited_for_is_known_though_the_mailbox_is_full(tmp_path):
    class Hub(matrix.Agent):
        async def run(self):
            first = await self.receive()
            answer = await self.ask("oracle", text="Which?")
            self.reply(first, text=f"It is {answer.text}.")
            second = await self.receive()
            self.reply(second, text="It is the other.")

    class Oracle(matrix.Agent):
        def on_message(self, message):
            self.reply(message, text="this")

    class Guest(matrix.Agent):
        async def run(self):
            self.send("hub", text="one")
            self.send("hub", text="two")

    async def office(simulation):
        simulation.spawn(Oracle, "oracle")
        simulation.spawn(Hub, "hub")
        simulation.spawn(Guest, "guest")

    matrix.run(office, store=tmp_path / "store")
    (episode,) = exported(tmp_path / "store", "agents where id = hub", form="episodes")
    assert [[message["content"] for message in step["observation"]] for step in episode["steps"]] == [
        ["one"],
        ["this"],
        ["two"],
    ]


def test_a_chat_has_each_question_before_its_answer(tmp_path):
    class Hurry(matrix.Agent):
        async def run(self):
            for number in (1, 2):
                self.send("clerk", text=f"question {number}")

    async def office(simulation):
        simulation.spawn(Clerk, "clerk")
        simulation.spawn(Hurry, "hurry")

    matrix.run(office, store=tmp_path / "store")
    (row,) = exported(tmp_path / "store", "agents where id = clerk")
    assert [message["content"] for message in row["messages"]] == [
        *("question 1", "question 1: yes"),
        *("question 2", "question 2: yes"),
    ]
    (row,) = exported(tmp_path / "store", "agents where id = hurry")
    assert [message["content"] for message in row["messages"]] == ["question 1", "question 2"]


def test_what_came_too_late_is_said_without_a_word_of_that_and_heard_by_nobody(tmp_path):
    class Boss(matrix.Agent):
        def on_message(self, message):
            if message.sender == "clerk":
                self.send("clerk", "late", hours=2)
                self.send(["clerk", "porter"], "rest", where="home")

    class Clerk(matrix.Agent):
        async def run(self):
            self.send("boss", text="I am off.")

    class Porter(matrix.Agent):
        def on_message(self, message):
            self.reply(message, text="Thank you.")

    async def office(simulation):
        simulation.spawn(Boss, "boss")
        simulation.spawn(Porter, "porter")
        simulation.spawn(Clerk, "clerk")

    matrix.run(office, store=tmp_path / "store")
    rows = exported(tmp_path / "store", "agents where id = boss")
    assert [row["messages"][-1]["content"] for row in rows] == [
        '{"kind": "late", "data": {"hours": 2}}',
        '{"kind": "rest", "data": {"where": "home"}}',
    ]
    (episode,) = exported(tmp_path / "store", "agents where id = clerk", form="episodes")
    assert episode["final_observation"] == []
    (heard,) = exported(tmp_path / "store", "agents where id = porter", form="episodes")
    assert [message["content"] for message in heard["steps"][0]["observation"]] == [
        '{"kind": "rest", "data": {"where": "home"}}'
    ]
