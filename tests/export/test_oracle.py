"""The exporter against the converter of tau2's authors, on all recorded files: the same messages, calls and order."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import matrix
from bench import truth_table
from tests.export.rules import broken
from tests.export.told import exported

TRAINING = truth_table.DATA / "tau2" / "training"
NAMES = ["airline", "retail", "telecom", "telecom_no-user"]
ROWS = {"airline": 10, "retail": 34, "telecom": 18, "telecom_no-user": 20}
RIGHT = "agents where role = assistant and goal succeeded"

if not TRAINING.exists():
    pytest.skip(f"no recorded data in {truth_table.DATA} (set MATRIX_SHARED_DATA)", allow_module_level=True)


@pytest.fixture(scope="module", params=NAMES)
def recorded(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, list[dict[str, Any]]]:
    """A file's name, the store it was imported into, and what the authors made of it."""
    name: str = request.param
    store = tmp_path_factory.mktemp("oracle") / "store"
    matrix.import_files(store, "tau2", [truth_table.DATA / "tau2" / "results" / f"gpt-4.1_{name}.json.gz"])
    lines = gzip.decompress((TRAINING / f"export_gpt-4.1_{name}.jsonl.gz").read_bytes()).splitlines()
    return name, store, [json.loads(line) for line in lines]


def given(name: str, truth: list[dict[str, Any]]) -> dict[str, Any]:
    """What the result file does not say: schemas, and the policy of an agent without a user, with the tickets."""
    prompt = truth[0]["messages"][0]["content"]
    before, _, _ = prompt.partition("<ticket>\n")
    alone = f"{before}<ticket>\n{{.task.ticket}}\n</ticket>" if name == "telecom_no-user" else None
    return {"tools": truth[0]["tools"], "system": alone}


def test_rows_are_those_of_the_authors_converter(recorded):
    name, store, truth = recorded
    rows = exported(store, RIGHT, **given(name, truth))
    assert len(rows) == ROWS[name]
    wanted = ("messages", "tools", "parallel_tool_calls")
    assert [{key: row[key] for key in wanted} for row in rows] == truth


def test_without_options_all_but_schemas_and_the_lone_agents_policy_is_the_same(recorded):
    name, store, truth = recorded
    rows = exported(store, RIGHT)
    start = 1 if name == "telecom_no-user" else 0
    assert [row["messages"][start:] for row in rows] == [row["messages"][start:] for row in truth]
    assert {row["messages"][0]["role"] for row in rows} == {"system"}
    assert not any("tools" in row for row in rows)


def test_every_row_keeps_the_rules_of_the_documents(recorded):
    name, store, truth = recorded
    for row in exported(store, "agents where role = assistant", **given(name, truth)):
        assert broken(row) == []


CASINO = truth_table.DATA / "casino" / "casino_valid.json.gz"


@pytest.mark.skipif(not CASINO.exists(), reason=f"no recorded data in {truth_table.DATA}")
def test_every_casino_dialogue_is_told_from_both_sides(tmp_path):
    recorded = json.loads(gzip.decompress(CASINO.read_bytes()))
    matrix.import_files(tmp_path / "store", "casino", [CASINO])
    rows = exported(tmp_path / "store")
    assert len(rows) == 2 * len(recorded)
    for dialogue, *both in zip(recorded, rows[::2], rows[1::2], strict=True):
        said = [entry["text"] for entry in dialogue["chat_logs"]]
        is_text = [not text.endswith("-Deal") and text != "Walk-Away" for text in said]
        for row in both:
            assert broken(row) == [] and row["simulation"] == f"casino-{dialogue['dialogue_id']}"
            own = [entry["id"] == row["agent"] for entry in dialogue["chat_logs"]]
            last = max(place for place, is_own in enumerate(own) if is_own)
            assert [message["role"] == "assistant" for message in row["messages"]] == own[: last + 1]
            told = [message["content"] for message in row["messages"]]
            assert [text for text, is_told in zip(told, is_text) if is_told] == [
                text for text, is_told in zip(said[: last + 1], is_text) if is_told
            ]
