"""Files into a store: whole or not at all, none twice, each for itself."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import signal
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import matrix.importers
from matrix.errors import LogWriteError, NotAStore, UsageError
from matrix.importers import Progress, formats, import_files, run
from matrix.importers import source as source_room
from tests.importers.recorded import events_in, ids_in


def many(tau2: dict[str, Any], count: int, prefix: str = "sim") -> dict[str, Any]:
    """The file with ``count`` simulations instead of one."""
    (one,) = tau2["simulations"]
    return tau2 | {"simulations": [copy.deepcopy(one) | {"id": f"{prefix}-{n}"} for n in range(1, count + 1)]}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_what_was_told_is_what_the_log_holds(tau2, write, told, store):
    file = write(many(tau2, 3))
    (report,) = import_files(store, "tau2", [file])
    assert (report.status, report.simulations, report.events) == ("imported", 3, 39)
    assert report.message == f"{file}: 3 simulations, 39 events"
    wanted = [
        replace(event, simulation=n) for n, events in enumerate(told("tau2", many(tau2, 3)), 1) for event in events
    ]
    assert events_in(store) == wanted
    assert ids_in(store) == ["sim-1", "sim-2", "sim-3"]


def test_a_file_is_imported_in_batches_and_still_whole(tau2, write, store, monkeypatch):
    monkeypatch.setattr(run, "IMPORT_BATCH_EVENTS", 20)
    (report,) = import_files(store, "tau2", [write(many(tau2, 7))])
    assert (report.simulations, len(events_in(store))) == (7, 91)
    assert [event.simulation for event in events_in(store) if event.seq == 1] == [1, 2, 3, 4, 5, 6, 7]


def test_the_same_content_adds_nothing_whatever_the_name_or_the_gzip(tau2, write, store):
    first, again = write(tau2, "a.json"), write(tau2, "b.bin", zipped=True)
    import_files(store, "tau2", [first])
    reports = import_files(store, "tau2", [first, again])
    assert [report.status for report in reports] == ["already there", "already there"]
    assert reports[1].message == f"{again}: imported before (simulation sim-1); nothing added"
    assert not any(report.is_refused for report in reports)
    assert len(events_in(store)) == 13


def test_the_same_file_twice_in_one_command_is_imported_once(casino, write, store):
    file = write(casino)
    assert [report.status for report in import_files(store, "casino", [file, file])] == ["imported", "already there"]


def test_an_id_from_elsewhere_is_refused_and_named(tau2, write, store):
    import_files(store, "tau2", [write(many(tau2, 2))])
    other = many(tau2, 3, "new")
    other["simulations"][2]["id"] = "sim-2"
    (report,) = import_files(store, "tau2", [write(other, "other.json")])
    assert (
        report.is_refused and "other.json: simulation 'sim-2': the store has a simulation of this id" in report.message
    )
    assert ids_in(store) == ["sim-1", "sim-2"] and len(events_in(store)) == 26


def test_an_id_twice_in_one_file_is_refused(tau2, write, store):
    tau2["simulations"] *= 2
    (report,) = import_files(store, "tau2", [write(tau2)])
    assert report.message.endswith("simulation 'sim-1': the file has this id twice")
    assert not store.exists()


@pytest.mark.parametrize("id", ["", "x" * 256])
def test_an_id_has_bounds(tau2, write, store, id):
    tau2["simulations"][0]["id"] = id
    (report,) = import_files(store, "tau2", [write(tau2)])
    assert "its id must have 1 to 255 bytes" in report.message


def test_nothing_of_a_refused_file_is_in_the_store_however_far_it_came(tau2, write, store, monkeypatch):
    monkeypatch.setattr(run, "IMPORT_BATCH_EVENTS", 13)
    import_files(store, "tau2", [write(many(tau2, 1, "good"), "good.json")])
    bad = many(tau2, 9)
    bad["simulations"][8]["messages"][2]["tool_calls"][0]["name"] = 5
    (report,) = import_files(store, "tau2", [write(bad, "bad.json")])
    assert str(report.error).endswith(
        "bad.json: simulations[8].messages[2].tool_calls[0].name: expected text, found a number"
    )
    assert ids_in(store) == ["good-1"] and len(events_in(store)) == 13


def test_each_file_stands_for_itself(tau2, write, tmp_path, store):
    files = [write(many(tau2, 1, "a"), "a"), write(b"{", "b"), tmp_path / "c", write(many(tau2, 1, "d"), "d")]
    reports = import_files(store, "tau2", files)
    assert [report.status for report in reports] == ["imported", "refused", "refused", "imported"]
    assert [report.file for report in reports] == files
    assert ids_in(store) == ["a-1", "d-1"]


def test_a_file_may_be_imported_after_it_was_put_right(tau2, write, store):
    content = json.dumps(tau2).encode()
    assert import_files(store, "tau2", [write(content[:-5])])[0].is_refused
    assert import_files(store, "tau2", [write(content)])[0].status == "imported"


def test_a_file_without_simulations_is_imported_and_leaves_no_trace(tau2, write, store):
    (report,) = import_files(store, "tau2", [write(tau2 | {"simulations": []})])
    assert (report.status, report.simulations, store.exists()) == ("imported", 0, False)


def test_the_wrong_format_is_refused_with_a_reason(tau2, casino, write, store):
    (report,) = import_files(store, "tau2", [write(casino)])
    assert report.message.endswith("not a tau2 result file: expected an object with info, tasks and simulations")
    (report,) = import_files(store, "casino", [write(tau2)])
    assert report.message.endswith("not a CaSiNo file: expected a list of dialogues")
    (report,) = import_files(store, "tau2", [write({"info": tau2["info"]})])
    assert report.message.endswith("simulations: not a tau2 result file: it has no list of simulations")


def test_an_unknown_format_names_those_there_are(store):
    assert formats() == sorted(formats()) and {"casino", "tau2"} < set(formats())
    with pytest.raises(UsageError, match=r'no importer for the format "tau3"; there are: casino, .*tau2'):
        import_files(store, "tau3", [])


def test_a_folder_of_other_things_is_not_imported_into(tmp_path: Path, casino, write):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear")
    with pytest.raises(NotAStore, match="a folder with other things in it"):
        import_files(tmp_path / "mine", "casino", [write(casino)])
    with pytest.raises(NotAStore, match="a store is a folder"):
        import_files(tmp_path / "mine" / "letter.txt", "casino", [write(casino)])


def test_a_store_that_cannot_be_made_says_so(tmp_path: Path, casino, write):
    (tmp_path / "file").write_text("")
    with pytest.raises(LogWriteError, match="cannot be written to: Not a directory"):
        import_files(tmp_path / "file" / "store", "casino", [write(casino)])


def test_an_empty_folder_is_left_as_it_was_when_nothing_is_imported(tmp_path: Path, write):
    (tmp_path / "empty").mkdir()
    assert import_files(tmp_path / "empty", "casino", [write(b"{}")])[0].is_refused
    assert list((tmp_path / "empty").iterdir()) == []


def test_progress_moves_with_the_file_and_simulations_stream(tau2, write, store, monkeypatch):
    monkeypatch.setattr(source_room, "IMPORT_CHUNK_BYTES", 4096)
    told: list[Progress] = []
    file = write(many(tau2, 50))
    import_files(store, "tau2", [file], told.append)
    assert {one.file for one in told} == {file} and {one.bytes_total for one in told} == {file.stat().st_size}
    assert told[0].phase == "checking" and told[-1].phase == "importing"
    halfway = [one.simulations for one in told if one.phase == "importing" and one.bytes_read < one.bytes_total / 2]
    assert 10 < max(halfway) < 30, "simulations are told while the file is being read, not at its end"


def test_times_that_are_not_recorded_are_the_moment_of_the_import(casino, write, store):
    import_files(store, "casino", [write(casino)], clock=lambda: 1_700_000_000_000_000_000)
    assert [event.wall - event.time for event in events_in(store)] == [1_700_000_000_000_000] * 12


def test_a_text_beyond_the_bounds_of_the_log_is_refused_with_its_event(tau2, write, store):
    tau2["simulations"][0]["messages"][1]["content"] = "x" * (17 * 1024 * 1024)
    (report,) = import_files(store, "tau2", [write(tau2)])
    assert report.is_refused and "simulation 'sim-1', event 8 (message.sent)" in report.message
    assert ids_in(store) == []


def _import_and_die(store: Path, file: Path) -> None:
    def die(now: Progress) -> None:
        if now.simulations > 20:
            os.kill(os.getpid(), signal.SIGKILL)

    source_room.IMPORT_CHUNK_BYTES = 4096
    run.IMPORT_BATCH_EVENTS = 13
    import_files(store, "tau2", [file], die)


def test_a_process_killed_while_it_imports_leaves_nothing_of_the_file(tau2, write, store):
    import_files(store, "tau2", [write(many(tau2, 2, "good"), "good.json")])
    file = write(many(tau2, 50))
    process = multiprocessing.get_context("spawn").Process(target=_import_and_die, args=(store, file))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert ids_in(store) == ["good-1", "good-2"]
    (report,) = import_files(store, "tau2", [file])
    assert (report.status, len(ids_in(store)), len(events_in(store))) == ("imported", 52, 676)


def _import(store: Path, file: Path) -> str:
    return import_files(store, "tau2", [file])[0].status


def test_processes_that_import_one_file_at_the_same_time_import_it_once(tau2, write, store):
    file = write(many(tau2, 40))
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        statuses = pool.starmap(_import, [(store, file)] * 3)
    assert sorted(statuses) == ["already there", "already there", "imported"]
    assert len(ids_in(store)) == 40


def test_a_format_of_ones_own_is_found_by_its_entry_point(
    tmp_path: Path, write: Callable[..., Path], store, monkeypatch
):
    """The worked example of the room's docstring, installed and used."""
    doc = matrix.importers.__doc__ or ""
    code = textwrap.dedent(doc[doc.index("    import json\n") : doc.index("\n``file_digest`` in")])
    info = tmp_path / "site" / "my_package-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[matrix.importers]\nchat = my_package.chat:read\n")
    (tmp_path / "site" / "my_package").mkdir()
    (tmp_path / "site" / "my_package" / "chat.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    lines = [
        {"chat": "c1", "who": "ada", "text": "Hello", "mood": "fine"},
        {"chat": "c1", "who": "bob", "text": "Hi"},
        {"chat": "c2", "who": "ada", "text": "Anyone?"},
    ]
    file = write("\n".join(map(json.dumps, lines)).encode(), "talk.jsonl")
    assert "chat" in formats()
    (report,) = import_files(store, "chat", [file])
    assert (report.status, ids_in(store)) == ("imported", ["chat-c1", "chat-c2"])
    said = [event for event in events_in(store) if event.kind == "message.sent"]
    assert [(event.agent, event.time, event.data["text"]) for event in said] == [
        (1, 1_000_000, "Hello"),
        (2, 2_000_000, "Hi"),
        (1, 1_000_000, "Anyone?"),
    ]
    assert said[0].data["mood"] == "fine"

    (report,) = import_files(store, "chat", [write(b'{"chat": "c9", "who": 7, "text": ""}', "bad.jsonl")])
    assert report.message.endswith("bad.jsonl: line 1.who: expected text, found a number")
