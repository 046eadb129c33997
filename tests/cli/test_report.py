"""`matrix report` on a recorded market, and what it says when it cannot."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

import matrix
from matrix.errors import QueryError
from tests.cli.conftest import shell_in

Shell = Callable[[str], "CompletedProcess[str]"]

TALK = """
import matrix


class Talker(matrix.Agent):
    async def run(self):
        async with self.goal("talk"):
            for k in range(self.turns):
                self.send(self.other, "said", text=f"{self.id} says number {k} of what there is to say today")
                await self.sleep(1)


async def talk(simulation):
    turns = 2 + 4 * (simulation.seed % 2)
    simulation.spawn(Talker, "ada", role="host", other="bob", turns=turns)
    simulation.spawn(Talker, "bob", role="guest", other="ada", turns=turns)
    simulation.spawn(Talker, "cy", role="silent", other="ada", turns=0)
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell in a folder with a store, `runs`, of four simulations in which two agents talk: two are alike."""
    folder = tmp_path_factory.mktemp("reported")
    (folder / "talk.py").write_text(TALK)
    (folder / "real.txt").write_text("ada says number 0 of what there is to say today\n" * 3)
    run = shell_in(folder)
    done = run("matrix run talk.py --store runs --seed 1 --simulations 4")
    assert done.returncode == 0, done.stderr
    return run


def figures(done: CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_report_is_a_line_for_each_figure(shell: Shell) -> None:
    done = shell("matrix report runs 'agents where role = host'")
    assert done.returncode == 0, done.stderr
    lines = [[line[:4], line[6:].split("  ")[0]] for line in done.stdout.splitlines()]
    assert lines == [
        ["bad ", "duplicate rows"],
        ["look", "distinct-2 per 1,000 words"],
        ["bad ", "likeness to the nearest row"],
        ["good", "own words in a row"],
        ["note", "outcomes"],
        ["look", "coverage of the store"],
    ]


def test_rows_are_those_of_the_chats_of_what_is_selected(shell: Shell) -> None:
    roles = '--param \'roles=["host", "guest"]\''
    found = figures(shell(f"matrix report runs 'agents where role in $roles' {roles} --json"))
    assert (found["rows"], found["agents"], found["store"]) == (8, 8, "runs")
    assert found["parameters"] == {"roles": "['host', 'guest']"}
    # Seeds 1 and 3 have the same talk, and so have 2 and 4; host and guest say other things of it.
    assert [found["duplicates"][name] for name in ("exact", "near", "unique")] == [4, 0, 4]
    assert found["outcomes"]["by_role"] == {"guest": {"succeeded": 4}, "host": {"succeeded": 4}}


def test_coverage_is_of_the_whole_store(shell: Shell) -> None:
    found = figures(shell("matrix report runs 'agents where role = host' --json"))["coverage"]
    assert found["roles"] == [
        {"role": "guest", "store": 4, "selection": 0},
        {"role": "host", "store": 4, "selection": 4},
        {"role": "silent", "store": 4, "selection": 0},
    ]
    said = [row for row in found["kinds"] if row["kind"] == "said"]
    assert said == [
        {"role": "guest", "kind": "said", "store": 16, "selection": 0},
        {"role": "host", "kind": "said", "store": 16, "selection": 16},
    ]
    talks = {row["role"]: (row["status"], row["store"], row["selection"]) for row in found["goals"]}
    assert talks["host"] == ("succeeded", 4, 4) and talks["guest"] == ("succeeded", 4, 0)
    assert found["missing"] == {"roles": ["guest", "silent"], "kinds": [], "goals": []}


def test_agents_that_said_nothing_are_counted(shell: Shell) -> None:
    assert sum(figures(shell("matrix report runs agents --json"))["counts"]["left_out"].values()) == 4


def test_a_page_and_its_figures_are_written_into_a_folder(shell: Shell, tmp_path: Path) -> None:
    done = shell(f"matrix report runs 'agents where role = host' -o {tmp_path}/figures")
    assert done.returncode == 0 and "report.html" in done.stderr and "report.json" in done.stderr
    page = (tmp_path / "figures/report.html").read_text()
    assert page.startswith("<!doctype html>") and "agents where role = host" in page
    assert json.loads((tmp_path / "figures/report.json").read_text())["rows"] == 4


def test_several_files_may_follow_reference(shell: Shell, tmp_path: Path) -> None:
    more = tmp_path / "more.jsonl"
    more.write_text('{"text": "nothing like it"}\n')
    query = "'agents where role = host'"
    for files in (f"--reference real.txt {more}", f"--reference real.txt --reference {more}"):
        found = figures(shell(f"matrix report runs {query} {files} --copied 0.9 --far 0.01 --json"))["grounding"]
        assert [file["name"] for file in found["reference"]["files"]] == ["real.txt", "more.jsonl"]
        assert found["thresholds"] == {"copied": 0.9, "far": 0.01, "words_min": 20}


def test_python_has_the_same_report(shell: Shell, tmp_path: Path) -> None:
    printed = shell("matrix report runs 'agents where role = host' --reference real.txt --json")
    folder = Path(shell("pwd").stdout.strip())
    with matrix.open(folder / "runs") as store:
        done = store.report("agents where role = $role", role="host", reference=[folder / "real.txt"], to=tmp_path)
        again = store.report("agents where role = host", reference=[folder / "real.txt"])
        with pytest.raises(QueryError):
            store.report("agents where rol = host")
    assert again.to_json() == printed.stdout
    assert json.loads((tmp_path / "report.json").read_text()) == done.data
    assert done.data["duplicates"] == again.data["duplicates"]


def test_a_query_that_finds_no_chat_says_so(shell: Shell) -> None:
    done = shell("matrix report runs 'agents where role = nobody'")
    assert done.returncode == 0 and done.stdout.split() == ["bad", "rows", "0"]
    assert "the query finds no chat; nothing was measured" in done.stderr


def test_an_empty_store_is_a_report_of_nothing(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "empty/log").mkdir(parents=True)
    done = shell(f"matrix report {tmp_path}/empty agents --json")
    assert figures(done)["rows"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("nowhere agents", 1, "error: nowhere: there is no such folder"),
        ("runs 'agents where rol = host'", 1, 'agents have no field "rol"'),
        ("runs 'goals | count'", 1, "this query chooses nothing to export"),
        ("runs agents where", 2, "the query is one argument, in quotes"),
        ("ws://127.0.0.1:1 agents", 2, "give the store's folder"),
        ("runs agents --reference no.txt", 1, "no.txt: the file cannot be read: No such file"),
        ("runs agents --threshold 2", 1, "above 0 and up to 1, not 2.0"),
        ("runs agents --reference real.txt --far -1", 1, "far is a share from 0 to 1, not -1.0"),
        ("runs agents -o none/x.html", 1, "there is no folder none to write none/x.html in"),
        ("runs agents -o talk.py", 1, "and this is another file"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: str, code: int, message: str, shell: Shell) -> None:
    done = shell(f"matrix report {arguments}")
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr and "Traceback" not in done.stderr


def test_without_datasketch_the_error_names_the_extra(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    done = shell("matrix report runs agents")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1 and "pip install 'matrix-runtime[report]'" in done.stderr
