"""Every figure of truth.json that the executed language can say comes out of a query, exactly.

The queries stand in ``bench/truth_table.py``, which prints them beside the truth. The recorded data lies beside the
repository (``../shared/data``) or where MATRIX_SHARED_DATA says; without it these tests are skipped.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import matrix
from bench import truth_table
from matrix.event import Event
from matrix.importers import result_text

if not (truth_table.DATA / "truth.json").exists():
    pytest.skip(f"no recorded data in {truth_table.DATA} (set MATRIX_SHARED_DATA)", allow_module_level=True)

FILES = [(format, path.name) for format in truth_table.FORMATS for path in truth_table.recorded_files(format)]
ASKED = [
    pytest.param(format, file, name, id=f"{file}-{name}")
    for format, file in FILES
    for name in truth_table.told_truth(format)[file]
    if name not in truth_table.NOT_EXPRESSIBLE
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[matrix.Store]:
    folder = tmp_path_factory.mktemp("truth") / "store"
    reports = truth_table.import_all(folder)
    assert [report.status for report in reports] == ["imported"] * len(FILES)
    with matrix.open(folder) as opened:
        yield opened


@pytest.mark.parametrize(("format", "file", "name"), ASKED)
def test_a_query_gives_the_figure(store, format, file, name):
    figure = truth_table.FIGURES[format][name]
    assert truth_table.answer(store, figure, file) == truth_table.told_truth(format)[file][name]


def test_only_two_figures_cannot_be_asked_for_yet():
    """Both kinds of reason are in ``NOT_EXPRESSIBLE``; when the language can say more, this list gets shorter."""
    assert set(truth_table.NOT_EXPRESSIBLE) == {"transitions_top", "task_disagrees_with_reward_info"}


@pytest.mark.parametrize(("format", "file"), FILES)
def test_importing_it_again_adds_nothing(store, format, file):
    path = next(path for path in truth_table.recorded_files(format) if path.name == file)
    before = store.query("simulations | count").rows()
    (report,) = matrix.import_files(store.path, format, [path])
    assert report.status == "already there" and store.query("simulations | count").rows() == before


@pytest.mark.parametrize("file", [file for format, file in FILES if format == "tau2"])
def test_nothing_that_was_recorded_is_lost(store, file):
    path = next(path for path in truth_table.recorded_files("tau2") if path.name == file)
    for simulation in json.loads(gzip.decompress(path.read_bytes()))["simulations"]:
        told = [event for event in store.events(simulation["id"]) if "turn_idx" in event.data]
        for message in simulation["messages"]:
            events = [event for event in told if event.data["turn_idx"] == message["turn_idx"]]
            assert as_recorded(events, message["role"]) == {
                key: value for key, value in message.items() if value is not None
            }


def as_recorded(events: list[Event], role: str) -> dict[str, Any]:
    """The recorded message from the events that were made of it."""
    first = dict(events[0].data)
    said = {key: first[key] for key in ("role", "turn_idx", "cost", "usage", "raw_data", "errors") if key in first}
    said["timestamp"] = recorded_time(events[0].wall)
    names = {1: "assistant", 2: "user"}
    if role == "tool":
        is_error = events[0].kind == "tool.failed"
        answer = {"id": first["call_id"], "requestor": names[events[0].agent], "error": is_error}
        return said | answer | {"content": result_text(first)}
    texts = [event.data["text"] for event in events if event.kind == "message.sent"]
    calls = [
        {"id": event.data["call_id"], "name": event.data["tool"], "arguments": event.data["arguments"]}
        | {"requestor": names[event.agent]}
        for event in events
        if event.kind == "tool.called"
    ]
    return said | ({"content": texts[0]} if texts else {}) | ({"tool_calls": calls} if calls else {})


def recorded_time(wall: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=wall)).replace(tzinfo=None).isoformat()
