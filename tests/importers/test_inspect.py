"""Inspect's logs as histories, from logs that Inspect made; and files that are none."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import UsageError
from matrix.event import Event
from matrix.importers import Progress, Refusal, Source, import_files, importer_of
from matrix.requests import Requests
from tests.importers.recorded import events_in, ids_in

pytest.importorskip("inspect_ai", reason="inspect-ai is not installed")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the logs of ``inspect_logs.py``."""
    folder = tmp_path_factory.mktemp("inspect")
    script = Path(__file__).with_name("inspect_logs.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, cwd=folder, capture_output=True, timeout=120)
    return folder


@pytest.fixture
def tell(logs: Path) -> Callable[[str], list[list[Event]]]:
    """The events of each simulation of a log, by its name."""
    return lambda name: [history.events for history in importer_of("inspect")(Source(logs / name))]


def of(events: list[Event], kind: str) -> list[dict[str, Any]]:
    return [dict(event.data) for event in events if event.kind == kind]


def test_each_sample_of_each_epoch_is_a_simulation(tell, logs):
    digest = Source(logs / "sums.eval").digest[:12]
    told = tell("sums.eval")
    assert [events[0].data["id"] for events in told] == [
        f"inspect-{digest}-a-1", f"inspect-{digest}-2-1", f"inspect-{digest}-a-2", f"inspect-{digest}-2-2"
    ]  # fmt: skip
    data = told[0][0].data
    assert (data["name"], data["task"], data["model"]) == ("sums", "sums", "mockllm/model")
    assert (data["sample_id"], data["epoch"], data["input"], data["target"]) == ("a", 1, "1+2?", "3")
    assert data["metadata"] == {"level": 1}
    assert data["log"]["eval"]["config"]["epochs"] == 2 and "location" not in data["log"]


def test_models_tools_and_messages_come_in_the_order_of_the_transcript(tell):
    events = tell("sums.eval")[0]
    assert [event.kind for event in events] == [
        "simulation.started", "agent.started", "agent.started", "goal.started", "goal.started", "note",
        "message.sent", "model.called", "model.completed", "message.sent", "tool.called", "tool.completed",
        "model.called", "model.completed", "message.sent", "goal.succeeded", "goal.succeeded", "simulation.finished",
    ]  # fmt: skip
    assert [event.agent for event in events[6:15]] == [2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert [event.cause for event in events[6:15]] == [3, 7, 8, 9, 9, 11, 12, 13, 14]
    assert [event.data["text"] for event in events if event.kind == "message.sent"] == [
        "1+2?", "Let me add.", "The answer is 3",
    ]  # fmt: skip
    assert [event.time for event in events] == sorted(event.time for event in events) and events[0].wall > 1.7e15


def test_system_prompt_and_tools_are_the_briefing(tell):
    (briefing,) = of(tell("sums.eval")[0], "note")
    assert (briefing["subject"], briefing["system"]) == ("briefing", "You add.")
    (tool,) = briefing["tools"]
    assert (tool["type"], tool["function"]["name"], tool["function"]["description"]) == (
        "function",
        "add",
        "Add two numbers.",
    )
    assert tool["function"]["parameters"]["required"] == ["x", "y"]


def test_requests_hold_each_message_once_and_are_whole_again(tell):
    events = tell("sums.eval")[0]
    first, second = of(events, "model.called")
    assert first["options"] == {"temperature": 0.5, "tool_choice": "auto"} and len(first["messages"]) == 2
    assert second["after"] == 9 and second["tools_of"] == 8 and len(second["messages"]) == 1
    requests = Requests()
    whole = [request for event in events if (request := requests.feed(event)) is not None]
    assert [message["role"] for message in whole[1].messages] == ["system", "user", "assistant", "tool"]
    assert whole[1].tools == whole[0].tools == first["tools"]


def test_answers_of_models_say_how_they_ended_and_what_they_took(tell):
    asked, answered = of(tell("sums.eval")[0], "model.completed")
    (call,) = asked["message"]["tool_calls"]
    assert call["function"] == {"name": "add", "arguments": '{"x": 1, "y": 2}'}
    assert (asked["finish_reason"], asked["call_id"]) == ("tool_calls", "assistant#1")
    assert answered["message"] == {"role": "assistant", "content": "The answer is 3"}
    tokens = [answered[name] for name in ("tokens", "prompt_tokens", "completion_tokens", "usage")]
    assert (tokens, answered["finish_reason"]) == ([12, 10, 2, {"reasoning_tokens": 1}], "stop")
    assert answered["ms"] >= 0


def test_calls_of_tools_succeed_or_fail(tell):
    good, bad = tell("sums.eval")[:2]
    (called,), (completed,), (failed,) = of(good, "tool.called"), of(good, "tool.completed"), of(bad, "tool.failed")
    assert called["arguments"] == {"x": 1, "y": 2} and called["tool_call_id"] == completed["tool_call_id"]
    assert (completed["tool"], completed["result"]) == ("add", 3)
    assert (failed["error"], "result" in failed) == ("x is too large", False)
    answer = of(bad, "model.called")[1]["messages"][0]
    assert answer == {"role": "tool", "tool_call_id": failed["tool_call_id"], "content": "Error: x is too large"}


def test_scores_are_goals_under_the_names_of_their_scorers(tell):
    good, bad = tell("sums.eval")[:2]
    assert [data["name"] for data in of(good, "goal.started")] == ["includes", "match"]
    assert [(data["reward"], data["value"]) for data in of(good, "goal.succeeded")] == [(1.0, "C"), (1.0, "C")]
    assert [(data["reward"], data["answer"]) for data in of(bad, "goal.failed")] == [(0.0, "?"), (0.0, "?")]


def test_an_image_is_in_the_request_and_in_the_message(tell):
    events = tell("sums.eval")[1]
    image = of(events, "model.called")[0]["messages"][1]["content"][1]
    assert image["type"] == "image_url" and image["image_url"]["url"] == "data:image/png;base64," + "A" * 200
    said = of(events, "message.sent")[0]
    assert said["text"] == "92+2?" and said["message"]["content"][1] == image


def test_an_error_fails_the_simulation_and_a_limit_is_its_reason(tell):
    broken, limited = tell("trouble.eval")
    assert broken[-1].kind == "simulation.failed" and "out of luck" in broken[-1].data["reason"]
    assert "Traceback" in broken[-1].data["error"]["traceback"] and broken[-2].kind == "goal.failed"
    assert {"info", "error"} < {data["subject"] for data in of(broken, "note")}
    assert limited[-1].kind == "simulation.finished" and limited[-2].kind == "goal.cancelled"
    assert (limited[-1].data["reason"], limited[-1].data["limit"]) == ("message limit", {"type": "message", "limit": 4})
    assert [data["text"] for data in of(limited, "message.sent")] == ["Ho", "b", "Go on.", "c"]


def test_agents_of_agents_and_judges_act_under_their_names(tell):
    (events,) = tell("team.eval")
    agents = [(data["id"], data["role"]) for data in of(events, "agent.started")]
    assert agents == [
        ("boss", "assistant"), ("helper", "assistant"), ("model_graded_qa", "scorer"), ("user", "user"),
    ]  # fmt: skip
    assert [data["call_id"] for data in of(events, "model.called")] == [
        "boss#1", "helper#1", "helper#2", "boss#2", "model_graded_qa#1",
    ]  # fmt: skip
    tools = [(event.agent, event.kind, event.data["tool"]) for event in events if event.kind.startswith("tool.")]
    assert tools == [
        (1, "tool.called", "helper"), (2, "tool.called", "add"), (2, "tool.completed", "add"),
        (2, "tool.called", "submit"), (2, "tool.completed", "submit"), (1, "tool.completed", "helper"),
        (1, "tool.called", "submit"), (1, "tool.completed", "submit"),
    ]  # fmt: skip
    (goal,) = of(events, "goal.failed")
    assert (goal["reward"], goal["value"], goal["answer"]) == (0.5, "P", "It is 3")


def comparable(told: list[list[Event]]) -> list[Any]:
    """All of the events but which file they are of."""
    about = ("id", "file", "file_digest", "log")

    def said(event: Event) -> dict[str, Any]:
        return {key: value for key, value in event.data.items() if key not in about}

    return [[(event.kind, event.agent, event.time, said(event)) for event in events] for events in told]


def test_a_log_in_json_tells_the_same(tell):
    in_archive, in_json = comparable(tell("sums.eval")), comparable(tell("sums.json"))
    assert sorted(map(repr, in_archive)) == sorted(map(repr, in_json)) and len(in_json) == 4


def test_a_log_without_a_transcript_is_told_from_its_messages(logs, write, told):
    log = json.loads((logs / "sums.json").read_text())
    for sample in log["samples"]:
        sample["events"] = []
    events = next(events for events in told("inspect", log) if events[0].data["sample_id"] == "a")
    assert [event.kind for event in events if event.kind.startswith(("message.", "tool."))] == [
        "message.sent", "message.sent", "tool.called", "tool.completed", "message.sent"
    ]  # fmt: skip
    assert [event.time for event in events[-5:]] == [3_000_000, 4_000_000, *[4_000_000] * 3]
    assert {event.kind for event in events[-3:-1]} == {"goal.succeeded"}


def test_a_log_is_imported_once_whatever_it_is_wrapped_in(logs, tmp_path: Path):
    zipped = tmp_path / "log.gz"
    zipped.write_bytes(gzip.compress((logs / "sums.eval").read_bytes()))
    odd = tmp_path / "a::b #1?.txt"
    shutil.copy(logs / "sums.eval", odd)
    reports = import_files(tmp_path / "store", "inspect", [zipped, logs / "sums.eval", odd])
    assert [report.status for report in reports] == ["imported", "already there", "already there"]
    assert (reports[0].simulations, len(ids_in(tmp_path / "store"))) == (4, 4)
    assert len(events_in(tmp_path / "store")) == reports[0].events == 70


def test_progress_goes_with_the_samples(logs):
    told: list[Progress] = []
    source = Source(logs / "sums.eval", progress=told.append)
    size, before = source.bytes_total, len(told)
    histories = importer_of("inspect")(source)
    seen = []
    for _ in histories:
        seen.append(told[-1].bytes_read / size)
    assert before and seen == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=0.001)


def rewritten(path: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The archive with its parts changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


def refused(path: Path) -> str:
    with pytest.raises(Refusal) as refusal:
        for _ in importer_of("inspect")(Source(path)):
            pass
    return str(refusal.value)


def test_a_file_that_is_no_log_is_refused(write):
    assert refused(write(b"", "a.eval")) == "byte 0: not a log of Inspect: neither an .eval archive nor a JSON object"
    assert refused(write(b"[]", "b.eval")).startswith("byte 0: not a log of Inspect")
    assert refused(write({"version": 2}, "c.json")).startswith("the header: inspect_ai cannot read it: ")
    assert refused(write(b"{", "d.json")).startswith("the header: inspect_ai cannot read it: ")


@pytest.mark.parametrize("name", ["sums.eval", "sums.json"])
def test_a_log_cut_at_any_place_is_refused(logs, tmp_path: Path, name):
    content = (logs / name).read_bytes()
    for kept in (1, 5, 100, len(content) // 3, len(content) // 2, len(content) - 30, len(content) - 2):
        (tmp_path / "cut").write_bytes(content[:kept])
        assert ": " in refused(tmp_path / "cut")


def test_a_sample_that_cannot_be_read_is_refused_with_its_name_and_nothing_is_imported(logs, tmp_path: Path):
    def cut(name: str, part: bytes) -> bytes:
        return part[:-200] if name == "samples/2_epoch_2.json" else part

    path = rewritten(logs / "sums.eval", tmp_path / "bad.eval", cut)
    (report,) = import_files(tmp_path / "store", "inspect", [path])
    assert report.is_refused and "bad.eval: sample 2, epoch 2: inspect_ai cannot read it: " in report.message
    assert ids_in(tmp_path / "store") == []


WRONG: list[Any] = [None, True, -1, 1e308, float("nan"), "x", "\ud800", [], [None], {}, {"id": 1}, [[[0] * 2] * 2] * 60]


def test_values_of_wrong_types_are_taken_or_refused(logs, tmp_path: Path):
    with zipfile.ZipFile(logs / "sums.eval") as archive:
        sample = json.loads(archive.read("samples/a_epoch_1.json"))
    places = [(sample, key) for key in sample] + [(event, key) for event in sample["events"] for key in event]
    refusals, taken = [], 0
    chance = random.Random(1)
    for inner, key in places[::4]:
        kept, inner[key] = inner[key], chance.choice(WRONG)
        bent = {"samples/a_epoch_1.json": json.dumps(sample).encode()}
        inner[key] = kept
        path = rewritten(logs / "sums.eval", tmp_path / "bent", lambda name, part, bent=bent: bent.get(name, part))
        try:
            events = next(importer_of("inspect")(Source(path))).events
        except Refusal as refusal:
            refusals.append(refusal.place)
            continue
        taken += 1
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [event.time for event in events] == sorted(event.time for event in events) and events[0].time == 0
    assert taken > 3 and len(refusals) > 20
    assert all(place.startswith("sample 'a', epoch 1") for place in refusals)


def test_an_archive_that_would_not_fit_in_memory_is_refused_before_it_is_unpacked(logs, monkeypatch):
    monkeypatch.setattr("matrix.importers.inspect_library.IMPORT_ELEMENT_CHARS_MAX", 10_000)
    assert refused(logs / "sums.eval").startswith("samples/")


def test_a_log_that_is_changed_while_it_is_read_is_refused(logs, tmp_path: Path):
    path = tmp_path / "log.eval"
    shutil.copy(logs / "sums.eval", path)
    histories = importer_of("inspect")(Source(path))
    next(histories)
    shutil.copy(logs / "team.eval", path)
    with pytest.raises(Refusal):
        for _ in histories:
            pass


def test_a_compressed_log_that_finds_no_room_to_be_unpacked_is_refused(logs, tmp_path: Path, monkeypatch):
    zipped = tmp_path / "log.gz"
    zipped.write_bytes(gzip.compress((logs / "sums.eval").read_bytes()))
    source = Source(zipped)

    def full(self: Path, mode: str = "r", **more: Any) -> Any:
        if mode == "wb":
            raise OSError(28, "No space left on device")
        return opened(self, mode, **more)

    opened = Path.open
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(Refusal, match=r"^the file: cannot be unpacked into .*: No space left on device$"):
        next(importer_of("inspect")(source))


def test_without_the_library_one_error_names_the_extra(logs, monkeypatch):
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(UsageError, match=r"^this needs inspect-ai: pip install 'matrix-runtime\[inspect\]'$"):
        list(importer_of("inspect")(Source(logs / "sums.eval")))
