"""Chats in OpenAI's form go into a store and come out again as they were: messages, tools and order, row for row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import matrix
from bench import truth_table
from tests.export.told import exported
from tests.importers.recorded import openai_call

KEYS = ("messages", "tools", "parallel_tool_calls")
FILES = sorted((truth_table.DATA / "tau2" / "training").glob("*.jsonl.gz"))


def exported_again(tmp_path: Path, file: Path, query: str = "agents where role = assistant") -> list[dict[str, Any]]:
    (report,) = matrix.import_files(tmp_path / "store", "openai", [file])
    assert report.status == "imported"
    return [{key: row[key] for key in KEYS if key in row} for row in exported(tmp_path / "store", query)]


@pytest.mark.skipif(not FILES, reason=f"no recorded data in {truth_table.DATA} (set MATRIX_SHARED_DATA)")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.partition(".")[0])
def test_real_training_files_come_out_as_they_went_in(tmp_path: Path, file: Path) -> None:
    lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert exported_again(tmp_path, file) == lines


def test_whatever_stands_in_a_chat_comes_out_in_its_place(tmp_path: Path) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "What is this?"}, picture]},
        {"role": "user", "name": "bob", "content": "Yes, what?"},
        {"role": "assistant", "tool_calls": [openai_call("c1", '{"deep":true}'), openai_call("c2", "")], "weight": 0},
        {"role": "tool", "tool_call_id": "c2", "content": '{"found":  "é"}'},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "dots"}]},
        {"role": "system", "content": "Now in verse."},
        {"role": "assistant", "content": "", "refusal": "No."},
        {"role": "tool", "tool_call_id": "c9", "content": "nobody asked"},
        {"role": "assistant", "content": "Wait.", "function_call": {"name": "find", "arguments": "{}"}},
        {"role": "function", "name": "find", "content": "1"},
        {"role": "assistant", "name": "eve", "content": "Dots.", "reasoning_content": "Look."},
    ]
    line = {"messages": messages, "tools": [{"type": "function", "function": {"name": "find"}}]}
    (tmp_path / "odd.jsonl").write_text(json.dumps(line | {"parallel_tool_calls": False}))
    assert exported_again(tmp_path, tmp_path / "odd.jsonl") == [line | {"parallel_tool_calls": False}]


def test_what_follows_the_assistants_last_message_is_cut(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    line = {"messages": [*messages, {"role": "user", "content": "Bye"}]}
    (tmp_path / "open.jsonl").write_text(json.dumps(line))
    assert exported_again(tmp_path, tmp_path / "open.jsonl") == [{"messages": messages}]


def test_the_better_outputs_of_preferences_can_be_chosen(tmp_path: Path) -> None:
    prompt = {"messages": [{"role": "user", "content": "Hi"}]}
    outputs = {"preferred_output": [{"role": "assistant", "content": "Hello!"}],
               "non_preferred_output": [{"role": "assistant", "content": "What?"}]}  # fmt: skip
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"input": prompt, **outputs}))
    rows = exported_again(tmp_path, tmp_path / "pairs.jsonl", "agents where goal succeeded")
    assert rows == [{"messages": [*prompt["messages"], *outputs["preferred_output"]]}]
