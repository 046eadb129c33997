"""`matrix info verify reindex compact import demo`, and what every verb says about a store it cannot use."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from matrix.cli.main import VERBS
from tests.cli.conftest import Shell
from tests.terminal import on_terminal

READING = ("query {} agents", "info {}", "info {} 1-1", "verify {}", "reindex {}", "compact {}")
SEGMENT = "runs/log/0001/00000001.seg"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_info_shows_a_store_at_a_glance(shell: Shell) -> None:
    done = shell("matrix info runs")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "runs"
    assert "  simulations  2   2 finished" in lines
    assert "  goals        6   2 failed, 4 succeeded" in lines
    assert "  events       42" in lines
    assert "offer                     6  .price" in lines


def test_info_shows_one_simulation_with_its_digest(shell: Shell) -> None:
    lines = shell("matrix info runs 1-2").stdout.splitlines()
    assert lines[0] == "1-2  market"
    assert "  seed    8" in lines
    assert "  lasted  1m30s of its own time" in lines
    assert "  goals   close_deal: 1 failed, 2 succeeded" in lines
    assert re.fullmatch(r"  digest  [0-9a-f]{32,}", lines[-1])


def test_info_is_also_data(shell: Shell) -> None:
    store = json.loads(shell("matrix info runs --json").stdout)
    assert (store["events"], store["simulations"], store["kinds"][0]["kind"]) == (42, {"finished": 2}, "agent.started")
    simulation = json.loads(shell("matrix info runs 1-1 --json").stdout)
    assert simulation["goals"] == {"close_deal": {"failed": 1, "succeeded": 2}}


def test_info_of_a_simulation_that_is_not_there_offers_those_that_are(shell: Shell) -> None:
    done = shell("matrix info runs 1-9")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: runs: there is no simulation '1-9' among 2, but 1-")


def test_a_sound_store_is_said_to_be_sound(shell: Shell) -> None:
    done = shell("matrix verify runs")
    assert done.returncode == 0
    assert done.stderr.startswith("runs: sound; 1 shard, 1 segment, 42 events, ")


def test_reindex_makes_the_same_answers_from_the_log(shell: Shell, place: Path) -> None:
    before = shell("matrix query runs agents").stdout
    for path in (place / "runs").glob("index.sqlite*"):
        path.unlink()
    done = shell("matrix reindex runs")
    assert (done.returncode, done.stderr.split(" in ")[0]) == (0, "runs: index made again from 42 events")
    assert shell("matrix query runs agents").stdout == before != ""


def test_compact_leaves_what_is_being_written_alone(shell: Shell) -> None:
    done = shell("matrix compact runs")
    assert (done.returncode, done.stderr) == (0, "runs: nothing to compact; only sealed segments are, and each once\n")


@pytest.mark.parametrize("verb", READING)
def test_a_verb_that_reads_never_creates(verb: str, shell: Shell, place: Path) -> None:
    before = files(place)
    done = shell(f"matrix {verb.format('nowhere')}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: nowhere: there is no such folder; `matrix run` and `matrix import` make a store\n"
    assert files(place) == before


@pytest.mark.parametrize("verb", READING)
def test_a_folder_of_something_else_is_refused_and_left_as_it_is(verb: str, shell: Shell, place: Path) -> None:
    (place / "photos").mkdir()
    (place / "photos/cat.jpg").write_text("meow")
    done = shell(f"matrix {verb.format('photos')}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'error: photos: this folder is not a store: it has no "log" in it\n'
    assert files(place / "photos") == {"cat.jpg"}
    done = shell(f"matrix {verb.format('market.py')}")
    assert done.stderr == "error: market.py: a store is a folder, and this is a file\n"


def change(path: Path, offset: int, value: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= value
    path.write_bytes(bytes(data))


def test_damage_is_one_line_with_file_and_place(shell: Shell, place: Path) -> None:
    change(place / SEGMENT, 400, 0xFF)
    for path in (place / "runs").glob("index.sqlite*"):
        path.unlink()
    for verb in ("query runs events", "verify runs"):
        done = shell(f"matrix {verb}")
        assert (done.returncode, done.stdout) == (1, "")
        assert re.match(rf"error: (corrupt: )?\S*{SEGMENT}: at byte \d+: ", done.stderr), done.stderr
        assert "Traceback" not in done.stderr


def test_an_unreadable_segment_is_one_line(shell: Shell, place: Path) -> None:
    (place / SEGMENT).unlink()
    (place / SEGMENT).symlink_to(place / SEGMENT)  # permissions would not stop a test that root runs
    for verb in ("query runs events", "verify runs"):
        done = shell(f"matrix {verb}")
        assert (done.returncode, done.stdout) == (1, "")
        assert re.match(rf"error: .*{SEGMENT}: .*Too many levels of symbolic links.*\n", done.stderr), done.stderr


def test_a_newer_format_is_one_line_that_says_what_to_do(shell: Shell, place: Path) -> None:
    code = "from matrix.log import frame; frame.FORMAT_VERSION = 3; from matrix.cli.main import main; main()"
    assert shell(f"{sys.executable} -c '{code}' run market.py --store newer").returncode == 0
    for verb in ("query newer events", "verify newer", "info newer"):
        done = shell(f"matrix {verb}")
        assert (done.returncode, done.stdout) == (1, "")
        assert "a frame of format version 3; this is version 2. Upgrade matrix-runtime?" in done.stderr
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr


TALK = {
    "dialogue_id": 4,
    "chat_logs": [
        {"text": "Hello! I need water.", "task_data": {}, "id": "mturk_agent_1"},
        {"text": "Take two.", "task_data": {}, "id": "mturk_agent_2"},
        {"text": "Walk-Away", "task_data": {"data": "walk_away"}, "id": "mturk_agent_1"},
    ],
    "participant_info": {
        name: {
            "value2issue": {"Low": "Food", "Medium": "Water", "High": "Firewood"},
            "value2reason": {"Low": "l", "Medium": "m", "High": "h"},
            "outcomes": {"points_scored": 5, "satisfaction": "Slightly satisfied", "opponent_likeness": "Neutral"},
        }
        for name in ("mturk_agent_1", "mturk_agent_2")
    },
    "annotations": [],
}


def test_import_brings_in_a_file_once_and_refuses_what_is_cut_off(shell: Shell, place: Path) -> None:
    text = json.dumps([TALK])
    (place / "talks.json").write_text(text)
    (place / "again.json.gz").write_bytes(gzip.compress(text.encode()))
    (place / "cut.json").write_text(text[:-40])
    done = shell("matrix import casino cut.json talks.json again.json.gz --store talks")
    assert done.returncode == 1
    cut, talks, again = done.stderr.splitlines()
    assert cut.startswith("error: cut.json: ")
    assert talks.startswith("talks.json: 1 simulation")
    assert again.startswith("again.json.gz: imported before")
    assert json.loads(shell("matrix query talks 'simulations | count'").stdout) == {"count": 1}
    assert shell("matrix import casino talks.json --store talks").returncode == 0


def test_import_refuses_a_folder_of_something_else(shell: Shell, place: Path) -> None:
    (place / "talks.json").write_text(json.dumps([TALK]))
    (place / "photos").mkdir()
    (place / "photos/cat.jpg").write_text("meow")
    done = shell("matrix import casino talks.json --store photos")
    assert done.returncode == 1
    assert done.stderr == "error: photos: a folder with other things in it; give a store, or a new folder\n"
    assert files(place / "photos") == {"cat.jpg"}


def test_demo_runs_a_thousand_agents_asks_three_questions_and_says_what_to_type_next(shell: Shell, place: Path) -> None:
    seen = on_terminal("matrix demo", cwd=place)
    assert seen.code == 0
    assert seen.text.startswith("A market of 1,000 agents")
    asked = re.findall(r"^ {2,3}(matrix (?:query|info|run) .*?)(?:  +#.*)?$", seen.text, re.M)
    assert len(asked) == 3 + 6
    for command in asked:
        done = shell(command)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.parametrize("verb", ["", *(verb for verb in VERBS if verb != "serve")])
def test_the_examples_of_every_help_work(verb: str, shell: Shell, place: Path) -> None:
    shutil.copytree(Path(__file__).parents[2] / "examples", place / "examples")
    (place / "talks.json").write_text(json.dumps([TALK]))
    (place / "books.txt").write_text("It was the best of times, it was the worst of times.\n" * 9)
    talk = {"messages": [{"role": "user", "content": "May I have two pounds of apples?"}]}
    (place / "talks.jsonl.gz").write_bytes(gzip.compress(f"{json.dumps(talk)}\n".encode()))
    shown = shell(f"matrix {verb} --help").stdout
    examples = [line.strip() for line in re.split(r"Examples?:\n", shown)[1].splitlines()]
    examples = [example for example in examples if not example.endswith("--serve")]  # tried in test_serve
    assert examples
    for example in examples:
        done = shell(example)
        assert done.returncode == 0, f"{example}\n{done.stderr}"
