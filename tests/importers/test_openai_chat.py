"""OpenAI's chat JSON Lines as histories, and the same messages out of the histories again."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import truth_table
from matrix.importers import History, Refusal, Source, importer_of
from matrix.importers.chat import Chat
from matrix.importers.fields import Record
from tests.importers.recorded import openai_call, openai_messages

ASSISTANT = 1  # the first agent of every chat


def again(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages, told as a history and written out again."""
    history = History("chat", name="chat")
    Chat(history, [Record(message, f"messages[{index}]") for index, message in enumerate(messages)]).tell()
    return openai_messages(history.events, ASSISTANT)


def test_a_line_becomes_a_simulation_of_an_assistant_and_a_user(openai, told):
    (events,) = told("openai", openai)
    assert [event.kind for event in events] == [
        "simulation.started", "agent.started", "agent.started", "note", "message.sent",
        "tool.called", "tool.called", "tool.completed", "tool.completed", "message.sent", "simulation.finished",
    ]  # fmt: skip
    assert [event.agent for event in events] == [0, 1, 2, 1, 2, 1, 1, 1, 1, 1, 0]
    assert [event.turn for event in events[4:10]] == [1, 1, 1, 2, 3, 4]
    assert [event.time for event in events[4:]] == [
        1_000_000,
        2_000_000,
        2_000_000,
        3_000_000,
        4_000_000,
        5_000_000,
        5_000_000,
    ]
    assert [event.cause for event in events[5:10]] == [5, 5, 7, 6, 9]
    assert [(event.data["id"], event.data["role"]) for event in events[1:3]] == [
        ("assistant", "assistant"),
        ("user", "user"),
    ]


def test_what_a_line_says_besides_messages_and_tools_is_the_simulations_data(openai, told, write):
    (events,) = told("openai", openai)
    data = events[0].data
    digest = Source(write(openai)).digest
    assert data["id"] == f"openai-{digest[:12]}-1"
    assert (data["parallel_tool_calls"], data["source"], data["line"]) == (True, {"case": 3}, 1)
    assert (data["format"], data["file"], data["file_digest"]) == ("openai", "recorded.json", digest)
    assert "tools" not in data and "messages" not in data


def test_system_prompt_and_tools_are_the_assistants_briefing(openai, told):
    (events,) = told("openai", openai)
    assert events[3].data == {"subject": "briefing", "system": "Be brief.", "tools": openai["tools"]}


def test_calls_and_answers_are_data_and_keep_their_text(openai, told):
    (events,) = told("openai", openai)
    assert events[5].data == {"tool": "find", "call_id": "c7", "arguments": {"id": 7}}
    assert events[6].data == {"tool": "find", "call_id": "c8", "arguments": {"id": 8}, "arguments_style": "compact"}
    assert events[7].data == {"tool": "find", "call_id": "c8", "result": {"city": "Oslo"}}
    assert events[8].data == {"tool": "find", "call_id": "c7", "result": "lost"}
    assert events[9].data == {"text": "8 is in Oslo, 7 is lost.", "message": {"weight": 1}}


def test_the_messages_come_out_as_they_went_in(openai, told):
    (events,) = told("openai", openai)
    assert openai_messages(events, ASSISTANT) == openai["messages"]


ODD: dict[str, list[dict[str, Any]]] = {
    "names": [
        {"role": "user", "name": "ann", "content": "Hi"}, {"role": "user", "name": "bob", "content": "Hey"},
        {"role": "user", "content": "?"}, {"role": "assistant", "name": "eve", "content": "Hello both"},
    ],
    "a user called assistant": [{"role": "user", "name": "assistant", "content": "Hi"}],
    "parts": [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"},
                                     {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "dot."}]},
        {"role": "user", "content": []},
    ],
    "a refusal": [{"role": "user", "content": "Do harm."}, {"role": "assistant", "refusal": "I will not."}],
    "a refusal beside an empty text": [{"role": "assistant", "content": "", "refusal": "I will not."}],
    "a refusal in parts": [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
    "a developer": [{"role": "developer", "content": "Be kind.", "name": "ops"}, {"role": "user", "content": "Hi"}],
    "system messages anywhere": [
        {"role": "system", "content": ""}, {"role": "system", "content": "More."}, {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Now in verse."}, {"role": "assistant", "content": "Hi"},
        {"role": "developer", "content": "Stop."},
    ],
    "a function call of old": [
        {"role": "assistant", "content": "Wait.", "function_call": {"name": "find", "arguments": '{"id":1}'}},
        {"role": "function", "name": "find", "content": "1"},
        {"role": "assistant", "function_call": {"name": "find", "arguments": "{}"}},
        {"role": "function", "name": "other", "content": "?"},
    ],
    "answers without a call": [
        {"role": "tool", "tool_call_id": "c1", "content": "nobody asked"},
        {"role": "assistant", "tool_calls": [openai_call("c1", "{}")]},
        {"role": "tool", "tool_call_id": "c1", "content": "once"},
        {"role": "tool", "tool_call_id": "c1", "content": "twice"},
        {"role": "tool", "content": "to whom?"},
    ],
    "calls without an id": [
        {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "a", "arguments": "{}"}},
                                             {"function": {"name": "b", "arguments": "{}"}}]},
        {"role": "tool", "name": "b", "content": "B"},
        {"role": "tool", "content": "A"},
    ],
    "one id twice": [
        {"role": "assistant", "tool_calls": [openai_call("c", "{}", "a"), openai_call("c", "{}", "b")]},
        {"role": "tool", "tool_call_id": "c", "content": "A"}, {"role": "tool", "tool_call_id": "c", "content": "B"},
    ],
    "arguments of all kinds": [
        {"role": "assistant", "content": "", "tool_calls": [
            openai_call("1", ""), openai_call("2", "[1]"), openai_call("3", '{"a":'), openai_call("4", '{"é": 1}'),
            openai_call("5", '{"a": 1, "a": 2}'), openai_call("6", '{\n  "a": 1\n}'), openai_call("7", '"text"'),
            {"id": "8", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}},
            {"id": "9", "type": "function", "function": {"name": "f"}},
        ]},
    ],
    "a custom tool": [
        {"role": "assistant", "tool_calls": [{"id": "x", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]},
        {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": "a b"}]},
    ],
    "calls of a message after calls": [
        {"role": "assistant", "tool_calls": [openai_call("1", "{}")]},
        {"role": "assistant", "tool_calls": [openai_call("2", "{}")]},
        {"role": "assistant", "content": "Well.", "tool_calls": [openai_call("3", "{}"), openai_call("4", "{}")]},
    ],
    "nothing said": [
        {"role": "user", "content": ""}, {"role": "assistant"}, {"role": "assistant", "audio": {"id": "a"}},
    ],
    "fields nobody knows": [
        {"role": "user", "content": "Hi", "mood": "fine", "tool_calls": [1]},
        {"role": "assistant", "content": "Hi", "reasoning_content": "Greet.", "annotations": [], "weight": 0},
    ],
}  # fmt: skip


@pytest.mark.parametrize("messages", ODD.values(), ids=ODD.keys())
def test_odd_messages_come_out_as_they_went_in(messages):
    assert again(messages) == messages


TEXTS = st.sampled_from(["", "Hi", "é\n\u0000", '{"a": 1}', '{"a":1}', "[]", '"x"'])
CALLS = st.lists(st.builds(openai_call, st.sampled_from("abc"), TEXTS), min_size=1, max_size=3)
MESSAGES = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "developer"]), "content": TEXTS}),
    st.fixed_dictionaries(
        {"role": st.just("user"), "content": TEXTS}, optional={"name": st.sampled_from(["a", "user"])}
    ),
    st.fixed_dictionaries(
        {"role": st.just("assistant")},
        optional={"content": TEXTS, "tool_calls": CALLS, "refusal": TEXTS, "weight": st.integers(0, 1)},
    ),
    st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": st.sampled_from("abc"), "content": TEXTS}),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=8))
def test_any_messages_come_out_as_they_went_in(messages):
    assert again(messages) == messages


def test_fields_that_are_null_say_nothing(told):
    line = {
        "messages": [{"role": "assistant", "content": None, "tool_calls": [openai_call("c", "{}")], "refusal": None}]
    }
    (events,) = told("openai", line)
    assert events[2].data == {"tool": "find", "call_id": "c", "arguments": {}}


def test_what_is_said_among_several_is_said_to_all(told):
    messages = [{"role": "user", "name": name, "content": "Hi"} for name in ("ann", "bob")]
    (events,) = told("openai", {"messages": [*messages, {"role": "assistant", "content": "Hello"}]})
    assert [event.data["id"] for event in events[1:4]] == ["assistant", "ann", "bob"]
    assert [(event.agent, event.to) for event in events[4:7]] == [(2, (1, 3)), (3, (1, 2)), (1, (2, 3))]


def test_functions_of_old_are_tools_of_the_briefing(told):
    function = {"name": "find", "parameters": {"type": "object"}}
    (events,) = told("openai", {"messages": [{"role": "user", "content": "Hi"}], "functions": [function]})
    assert events[3].data["tools"] == [{"type": "function", "function": function}]
    assert events[0].data["functions"] == [function]


def test_a_preference_is_two_simulations_with_the_better_one_succeeding(told, openai):
    prompt = {"messages": openai["messages"][:2], "tools": openai["tools"]}
    line = {"input": prompt, "preferred_output": [{"role": "assistant", "content": "In Oslo."}],
            "non_preferred_output": [{"role": "assistant", "content": "Who knows."}], "rater": 5}  # fmt: skip
    good, bad = told("openai", line)
    assert [events[0].data["id"].rpartition("-")[2] for events in (good, bad)] == ["preferred", "rejected"]
    assert {events[0].data["id"].rpartition("-")[0] for events in (good, bad)} == {
        good[0].data["pair"],
        bad[0].data["pair"],
    }
    assert [events[-2].kind for events in (good, bad)] == ["goal.succeeded", "goal.failed"]
    assert [events[-2].data["reward"] for events in (good, bad)] == [1.0, 0.0]
    assert openai_messages(good, ASSISTANT) == [*prompt["messages"], *line["preferred_output"]]
    assert openai_messages(bad, ASSISTANT) == [*prompt["messages"], *line["non_preferred_output"]]
    assert good[0].data["rater"] == bad[0].data["rater"] == 5


def of(message: str, **more: str) -> str:
    """A line with one message."""
    others = "".join(f', "{key}": {value}' for key, value in more.items())
    return f'{{"messages": [{message}]{others}}}'


REFUSED = {
    of('{"role": "user"}') + "\n" + of('{"role": "critic"}'):
        r"^line 2\.messages\[0\]\.role: expected system, developer, user, assistant, tool or function, found 'critic'$",
    of(""): r"^line 1\.messages: expected a list of messages, found none$",
    '\n\n{"prompt": "Hi"}': r"^line 3: not an OpenAI chat: it has no messages",
    of('{"role": "user", "content": 7}'): r"0\]\.content: expected text or a list of parts, found a number$",
    of('{"role": "user", "content": ["Hi"]}'): r"0\]\.content\[0\]: expected an object, found text$",
    of('{"role": "assistant", "tool_calls": {}}'): r"0\]\.tool_calls: expected a list, found an object$",
    of('{"role": "assistant", "tool_calls": [{"type": "magic"}]}'):
        r"\.tool_calls\[0\]\.type: expected function or custom, found 'magic'$",
    of('{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 1}}]}'):
        r"\.tool_calls\[0\]\.function\.arguments: expected text, found a number$",
    of('{"role": "user"}', tools='["find"]'): r"^line 1\.tools\[0\]: expected an object, found text$",
    '{"input": {"messages": [{"role": "user"}]}, "preferred_output": [{"role": "assistant"}]}':
        r"^line 1\.non_preferred_output: expected a list of the assistant's messages, found none$",
    '{"input": {"messages": [{"role": "user"}]}, "preferred_output": [{"role": "user"}]}':
        r"^line 1\.preferred_output\[0\]\.role: expected assistant, found 'user'$",
    of('{"role": "user", "content": "\\ud83d"}'): r"^line 1\.messages\[0\]\.content: holds half a surrogate pair",
    '{"messages": [], "messages": []}': r'^line 1: the key "messages" stands twice in one object$',
    of('{"role": "user"}') + " {}": r"^line 1, byte 33: unexpected '\{' after the end of the value$",
    of('{"role": "user"}') + '\n{"mess': r"^line 2, byte 1: not JSON: Unterminated string",
    "": "^the whole file: it has no line with an OpenAI chat$",
    "\n \n": "^the whole file: it has no line with an OpenAI chat$",
    "[]": r"^line 1: expected an object, found a list$",
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_no_chat_is_refused_with_its_place(told, content, message):
    with pytest.raises(Refusal, match=message):
        told("openai", content.encode())


def test_calls_in_both_forms_at_once_contradict_each_other(told):
    call = {"name": "f", "arguments": "{}"}
    message = {"role": "assistant", "function_call": call, "tool_calls": [openai_call("c", "{}")]}
    with pytest.raises(Refusal, match=r"function_call: a message has either tool_calls or a function_call"):
        told("openai", {"messages": [message]})


def test_a_byte_order_mark_blank_lines_and_windows_ends_are_no_fault(told):
    line = json.dumps({"messages": [{"role": "user", "content": "Hi"}]})
    told_chats = told("openai", f"\ufeff{line}\r\n\r\n  {line}  \r\n".encode())
    assert [events[0].data["line"] for events in told_chats] == [1, 3]


def training_files() -> list[Path]:
    return sorted((truth_table.DATA / "tau2" / "training").glob("*.jsonl.gz"))


@pytest.mark.skipif(not training_files(), reason=f"no recorded data in {truth_table.DATA} (set MATRIX_SHARED_DATA)")
def test_real_training_files_come_out_as_they_went_in():
    lines = 0
    read: Callable[[Source], Any] = importer_of("openai")
    for path in training_files():
        recorded = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        for line, history in zip(recorded, read(Source(path)), strict=True):
            assert openai_messages(history.events, ASSISTANT) == line["messages"]
            briefing = next(event.data for event in history.events if event.data.get("subject") == "briefing")
            assert (briefing["tools"], history.data["parallel_tool_calls"]) == (
                line["tools"],
                line["parallel_tool_calls"],
            )
            lines += 1
    assert lines == 143
