"""What models were shown and answered: each answered request once, whole, and requests that go on told as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matrix.export.contract import Counts
from tests.export.told import RUN, Talk, exported, stored

TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


SYSTEM = {"role": "system", "content": "Be brief."}


class Asking(Talk):
    """Agents that ask models; each request tells what is new, and behind which event."""

    calls_made = 0

    def asks(self, who: str, *messages: dict[str, Any], **more: Any) -> tuple[int, str]:
        self.calls_made += 1
        id = f"{who}#{self.calls_made}"
        data = {"model": "m", "endpoint": "http://here", "call_id": id, "messages": list(messages), **more}
        return self.emits(who, "model.called", **data), id

    def answer(self, who: str, id: str, message: dict[str, Any], **more: Any) -> int:
        return self.emits(who, "model.completed", model="m", call_id=id, message=message, **more)

    def asked(self, who: str, *messages: dict[str, Any], gets: dict[str, Any], **more: Any) -> int:
        _, id = self.asks(who, *messages, **more)
        return self.answer(who, id, gets)


def chats(folder: Path, talk: Talk, counts: Counts | None = None, query: str = "agents") -> list[list[dict[str, Any]]]:
    return [row["messages"] for row in exported(stored(folder, talk), query, counts=counts)]


def start(**data: Any) -> Asking:
    talk = Asking(**RUN, **data)
    talk.agent("bot", "assistant")
    return talk


def test_requests_that_go_on_from_an_answer_are_one_row_up_to_the_last_answer(tmp_path):
    talk = start()
    first = talk.asked("bot", SYSTEM, user("Hi"), gets=said("Yes?"), tools=TOOLS, options={"temperature": 0.5})
    second = talk.asked("bot", user("Bye"), gets=said("Bye."), after=first, tools_of=first - 1)
    talk.asks("bot", user("Still there?"), after=second)
    counts = Counts()
    (row,) = exported(stored(tmp_path, talk), counts=counts)
    assert row["messages"] == [SYSTEM, user("Hi"), said("Yes?"), user("Bye"), said("Bye.")]
    assert (row["tools"], row["parallel_tool_calls"], row["model"]) == (TOOLS, True, "m")
    assert (row["first_seq"], row["last_seq"], row["conversation"]) == (first - 1, second, "t1/bot")
    assert counts.left_out["requests that no model answered"] == 1


def test_an_answer_with_calls_and_what_the_tools_gave_is_shown_as_it_was(tmp_path):
    talk = start()
    call = {"id": "a1", "type": "function", "function": {"name": "find", "arguments": '{"x":1}'}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"}
    first = talk.asked("bot", user("Find x"), gets=asked)
    shown = {"role": "assistant", "tool_calls": [call]}  # as the agent shows it: without the thoughts
    answer = {"role": "tool", "tool_call_id": "a1", "content": "1"}
    talk.asked("bot", shown, answer, gets=said("It is 1."), after=first - 1)
    assert chats(tmp_path, talk) == [[user("Find x"), shown, answer, said("It is 1.")]]


def test_an_answer_that_was_shown_in_other_words_keeps_its_own_row(tmp_path):
    talk = start()
    first = talk.asked("bot", user("Hi"), gets=said("<think>hm</think>Yes?"))
    talk.asked("bot", said("Yes?"), user("Bye"), gets=said("Bye."), after=first - 1)
    assert chats(tmp_path, talk) == [
        [user("Hi"), said("<think>hm</think>Yes?")],
        [user("Hi"), said("Yes?"), user("Bye"), said("Bye.")],
    ]


def test_the_same_question_asked_again_is_another_row_and_the_chosen_one_goes_on(tmp_path):
    talk = start()
    first = talk.asked("bot", user("Name one"), gets=said("Ann"))
    second = talk.asked("bot", gets=said("Bob"), after=first - 1)
    talk.asked("bot", gets=said("Cid"), after=first - 1)
    talk.asked("bot", user("Why?"), gets=said("Because."), after=second)
    assert chats(tmp_path, talk) == [
        [user("Name one"), said("Ann")],
        [user("Name one"), said("Bob"), user("Why?"), said("Because.")],
        [user("Name one"), said("Cid")],
    ]


def test_a_window_that_slides_on_begins_a_row_of_its_own(tmp_path):
    talk = start()
    first = talk.asked("bot", SYSTEM, user("one"), gets=said("1"))
    talk.asked("bot", user("two"), gets=said("2"), after=first, kept=1)
    assert chats(tmp_path, talk) == [[SYSTEM, user("one"), said("1")], [SYSTEM, user("two"), said("2")]]


def test_a_request_that_failed_is_asked_again_in_its_chain(tmp_path):
    talk, counts = start(), Counts()
    first = talk.asked("bot", user("one"), gets=said("1"))
    failed, id = talk.asks("bot", user("two"), after=first)
    talk.emits("bot", "model.failed", model="m", call_id=id, error="busy", status=429)
    talk.asked("bot", gets=said("2"), after=failed)
    assert chats(tmp_path, talk, counts) == [[user("one"), said("1"), user("two"), said("2")]]
    assert counts.left_out["requests that no model answered"] == 1


def test_requests_side_by_side_each_have_their_row(tmp_path):
    talk = start()
    first = talk.asked("bot", user("Go"), gets=said("Left or right?"))
    _, left = talk.asks("bot", user("left"), after=first)
    _, right = talk.asks("bot", user("right"), after=first)
    talk.answer("bot", right, said("R"))
    talk.answer("bot", left, said("L"), choices=[{"message": said("LL")}])
    counts = Counts()
    begun = [user("Go"), said("Left or right?")]
    assert chats(tmp_path, talk, counts) == [
        [*begun, user("left"), said("L")],
        [user("Go"), said("Left or right?"), user("right"), said("R")],
    ]
    assert counts.left_out["further choices of a model's answers"] == 1


def test_agents_that_share_a_prompt_keep_their_own_chains(tmp_path):
    talk = start()
    talk.agent("eve", "assistant")
    first = talk.asked("bot", SYSTEM, user("Hi"), gets=said("Yes?"))
    other = talk.asked("eve", gets=said("Yes?"), after=first - 1)
    talk.asked("bot", user("a"), gets=said("A"), after=other)  # the same messages, kept by the other's answer
    talk.asked("eve", user("b"), gets=said("B"), after=first)
    begun = [SYSTEM, user("Hi"), said("Yes?")]
    assert chats(tmp_path, talk) == [[*begun, user("a"), said("A")], [*begun, user("b"), said("B")]]


def test_a_chain_belongs_to_the_conversation_of_the_agents_newest_message(tmp_path):
    talk = start()
    talk.agent("ann", "customer")
    talk.asked("bot", user("What now?"), gets=said("Wait."))
    talk.says("ann", "Hi", "bot")
    talk.asked("bot", user("Hi"), gets=said("Yes?"))
    talk.says("bot", "Yes?", "ann")
    store = stored(tmp_path, talk)
    rows = exported(store, "agents where id = bot")
    assert [row["conversation"] for row in rows] == ["t1/bot", "t1/bot+ann"]
    assert [row["messages"] for row in exported(store, "agents where id = bot | conversations")] == [
        [user("Hi"), said("Yes?")]
    ]


def test_a_models_answer_is_a_step_and_what_it_was_shown_anew_the_observation(tmp_path):
    talk = start()
    goal = talk.goal("bot", "answer")
    first = talk.asked("bot", SYSTEM, user("Hi"), gets=said("Yes?"))
    talk.asked("bot", user("Bye"), gets=said("Bye."), after=first)
    talk.ends(goal, reward=0.25)
    (row,) = exported(stored(tmp_path, talk), form="episodes")
    assert [(step["observation"], step["action"], step["reward"]) for step in row["steps"]] == [
        ([SYSTEM, user("Hi")], said("Yes?"), 0.0),
        ([user("Bye")], said("Bye."), 0.25),
    ]


def test_a_long_conversation_is_read_in_time_that_grows_with_it(tmp_path):
    talk = start()
    newest = talk.asked("bot", user("0"), gets=said("0"))
    for turn in range(1, 500):
        newest = talk.asked("bot", user(str(turn)), gets=said(str(turn)), after=newest)
    (messages,) = chats(tmp_path, talk)
    assert len(messages) == 1_000 and messages[-1] == said("499")
