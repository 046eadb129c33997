"""`matrix replay`, `resume`, `fork` and `diff`: what they print, where, and their exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import matrix
from tests.cli.conftest import Shell
from tests.terminal import on_terminal


def rows(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def own(shell: Shell) -> Shell:
    """A shell in a folder whose store `own` is of the program beside it, which may be changed."""
    assert shell("matrix run market.py --store own --seed 7 --simulations 2").returncode == 0
    return shell


# -- replay -----------------------------------------------------------------------------------


def test_a_replay_says_identical_with_the_events_and_their_digest(shell: Shell) -> None:
    digest = json.loads(shell("matrix info runs 1-1 --json").stdout)["digest"]
    done = shell("matrix replay runs 1-1")
    assert done.returncode == 0
    assert done.stderr == f"1-1: identical, 21 events, digest {digest}\n"
    (row,) = rows(done.stdout)
    assert row.pop("seconds") > 0  # type: ignore[operator]
    assert row == {
        "id": "1-1",
        "status": "identical",
        "events": 21,
        "digest": digest,
        "notes": [],
        "divergence": None,
    }


def test_on_a_terminal_a_replay_is_one_line(place: Path) -> None:
    seen = on_terminal("matrix replay runs 1-1", cwd=place)
    assert seen.text.startswith("1-1: identical, 21 events, digest ")
    assert "{" not in seen.text


def test_all_simulations_are_replayed_in_the_order_of_the_log(shell: Shell) -> None:
    shell("matrix fork runs 1-1 --at 12 --times 2")
    done = shell("matrix replay runs --all")
    assert done.returncode == 0
    assert [(row["id"], row["status"]) for row in rows(done.stdout)] == [(f"1-{n}", "identical") for n in (1, 2, 3, 4)]
    assert done.stderr.startswith("4 identical; 86 events in ")


def test_a_changed_program_diverges_with_the_place_and_the_difference(place: Path, own: Shell) -> None:
    program = place / "market.py"
    program.write_text(program.read_text().replace("price=self.price", "price=self.price + 1"))
    done = own("matrix replay own 1-1")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "notice: the program's code has changed since"
    assert lines[1] == "1-1 diverges at event 9: an event differs from the recorded one"
    assert lines[2].startswith("  agent buyer-1, turn 2, market.py:") and lines[2].endswith(" in run")
    assert lines[3:7] == ["    offer", "    data.price", "      - 40", "      + 41"]
    assert "the code has changed since the run" in lines[8]
    (row,) = rows(done.stdout)
    assert row["status"] == "diverged"
    divergence = row["divergence"]
    assert isinstance(divergence, dict)
    assert (divergence["seq"], divergence["kind"], divergence["agent"]) == (9, "event", "buyer-1")
    assert divergence["actual"]["data"] == {"price": 41}


def test_a_program_is_taken_from_where_it_is_said(place: Path, own: Shell) -> None:
    (place / "market.py").rename(place / "bazaar.py")
    lost = own("matrix replay own 1-1")
    assert (lost.returncode, lost.stdout) == (1, "")
    assert "say which program to run" in lost.stderr
    done = own("matrix replay own 1-1 --program bazaar.py:market")
    assert done.returncode == 0
    assert "1-1: identical" in done.stderr


def test_another_version_of_the_code_is_noted_and_pin_refuses_it(place: Path, own: Shell) -> None:
    with (place / "market.py").open("a") as program:
        program.write("# seen\n")
    noted = own("matrix replay own --all")
    assert noted.returncode == 0
    assert noted.stderr.count("notice: the program's code has changed since\n") == 1
    pinned = own("matrix replay own 1-1 --pin")
    assert pinned.returncode == 1
    assert pinned.stderr == "error: 1-1 was recorded elsewhere: the program's code has changed since\n"


def test_a_replay_stops_at_an_event_or_a_time(shell: Shell) -> None:
    for until, events in (("5", 5), ("0s", 8), ("1m", 8), ("90s", 21)):
        done = shell(f"matrix replay runs 1-1 --until {until}")
        assert done.returncode == 0
        assert [(row["status"], row["events"]) for row in rows(done.stdout)] == [("stopped", events)]
        assert f"1-1: stopped, identical so far, {events} events, digest " in done.stderr


def test_debug_opens_the_debugger_inside_the_agent(shell: Shell) -> None:
    done = shell("echo 'p self.id, self.price\nc' | matrix replay runs 1-1 --until 10 --debug")
    assert done.returncode == 0, done.stderr
    assert "market.py(24)run()\n-> answer = await self.ask" in done.stdout
    assert "('buyer-2', 40" in done.stdout


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("matrix replay runs", "error: say which simulation to replay, or --all\n"),
        ("matrix replay runs 1-1 --all", "error: say which simulation to replay, or --all, not both\n"),
        ("matrix replay runs --all --until 5", "error: --until and --debug are for one simulation, not for --all\n"),
        ("matrix replay runs 1-1 --debug", "error: --debug needs --until"),
        ("matrix replay runs 1-1 --until soon", "error: --until takes the number of an event (1204) or a virtual time"),
        ("matrix replay runs 1-1 --until 0", "error: --until takes the number of an event"),
        ("matrix replay runs 1-1 --until -5", "error: --until takes the number of an event"),
        ("matrix replay runs 1-1 --program nowhere.py", "error: there is no file nowhere.py"),
        ("matrix fork runs 1-1", "error: Missing option '--at'"),
        ("matrix fork runs 1-1 --at never", "error: --at takes the number of an event"),
        ("matrix fork runs 1-1 --at 5 --set stock", 'error: --set takes name=value, not "stock"'),
        ("matrix fork runs 1-1 --at 5 --times 0", "error: Invalid value for '--times'"),
        ("matrix diff runs 1-1", "error: Missing argument 'OTHER'"),
    ],
)
def test_a_wrong_command_line_is_told_and_exits_2(command: str, message: str, shell: Shell) -> None:
    done = shell(command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)


@pytest.mark.parametrize(
    "verb", ["replay {} 1-1", "replay {} --all", "resume {}", "fork {} 1-1 --at 3", "diff {} 1-1 1-2"]
)
def test_where_no_store_is_none_is_made(verb: str, place: Path, shell: Shell) -> None:
    done = shell("matrix " + verb.format("nowhere"))
    assert done.returncode == 1
    assert "nowhere: there is no such folder" in done.stderr
    assert not (place / "nowhere").exists()


@pytest.mark.parametrize("verb", ["replay runs 1-9", "fork runs 1-9 --at 3", "diff runs 1-1 1-9"])
def test_an_unknown_simulation_is_told_with_those_that_are_there(verb: str, shell: Shell) -> None:
    done = shell(f"matrix {verb}")
    assert done.returncode == 1
    assert "there is no simulation '1-9' among 2, but 1-" in done.stderr


@pytest.mark.parametrize("verb", ["replay runs 1-1 --until 99", "fork runs 1-1 --at 99", "fork runs 1-1 --at 21"])
def test_an_event_that_is_not_there_is_refused_with_those_that_are(verb: str, shell: Shell) -> None:
    done = shell(f"matrix {verb}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "21" in done.stderr and done.stderr.startswith("error: 1-1 ")


def test_a_replay_writes_nothing(place: Path, shell: Shell) -> None:
    before = {path: path.read_bytes() for path in (place / "runs" / "log").rglob("*.seg")}
    shell("matrix replay runs --all")
    assert {path: path.read_bytes() for path in (place / "runs" / "log").rglob("*.seg")} == before


# -- fork and diff ----------------------------------------------------------------------------


def test_branches_are_rows_and_a_hint_says_how_to_compare_them(shell: Shell) -> None:
    done = shell("matrix fork runs 1-1 --at 12 --times 3 --seed 20")
    assert done.returncode == 0
    found = [
        (row["id"], row["seed"], row["status"], row["events"], row["goals_succeeded"]) for row in rows(done.stdout)
    ]
    assert found == [(f"1-{3 + n}", 20 + n, "finished", 22, 2) for n in range(3)]
    assert "3 branches of 1-1 in " in done.stderr
    assert done.stderr.endswith("compare them: matrix diff runs 1-3 1-4\n")
    one = shell("matrix fork runs 1-3 --at 1m")
    assert one.stderr.endswith("compare them: matrix diff runs 1-3 1-6\n")


def test_on_a_terminal_branches_are_a_table(place: Path) -> None:
    seen = on_terminal("matrix fork runs 1-1 --at 12 --times 2", cwd=place)
    header, _, first, second = seen.text.splitlines()[:4]
    assert header.split() == ["id", "status", "seed", "agents", "events", "duration", "succeeded", "failed"]
    assert first.split()[:3] == ["1-3", "finished", "8"] and second.split()[:3] == ["1-4", "finished", "9"]


def test_a_value_set_at_the_fork_makes_another_history(shell: Shell) -> None:
    shell("matrix fork runs 1-1 --at 12 --set seller.stock=5")
    done = shell("matrix diff runs 1-1 1-3")
    assert done.returncode == 0
    assert done.stderr == (
        "1-1 and 1-3 share their first 12 events\n"
        "they part at event 14\n"
        "  - 14 reject by seller to buyer-3 at 1m30s\n"
        "  + 15 accept by seller to buyer-3 at 1m30s\n"
    )
    assert rows(done.stdout) == [
        {"what": "set seller.stock", "1-1": None, "1-3": 5},
        {"what": "events", "1-1": 21, "1-3": 22},
        {"what": "goals buyer close_deal succeeded", "1-1": 2, "1-3": 3},
        {"what": "goals buyer close_deal failed", "1-1": 1, "1-3": 0},
        {"what": "events goal.succeeded", "1-1": 2, "1-3": 3},
        {"what": "events accept", "1-1": 2, "1-3": 3},
        {"what": "events goal.failed", "1-1": 1, "1-3": 0},
        {"what": "events reject", "1-1": 1, "1-3": 0},
    ]


def test_on_a_terminal_a_diff_is_lines_for_people(place: Path) -> None:
    seen = on_terminal("matrix diff runs 1-1 1-2", cwd=place)
    assert seen.text.splitlines() == [
        "the same happens in 1-1 and 1-2, event by event",
        "",
        "        1-1  1-2",
        "  seed  7    8",
    ]


def test_a_diff_as_json_has_both_sides_whole(shell: Shell) -> None:
    shell("matrix run market.py --store runs --set stock=1")
    found = json.loads(shell("matrix diff runs 1-1 1-3 --json").stdout)
    assert found["shared"] == 0
    assert found["one"]["goals"] == [
        {"role": "buyer", "name": "close_deal", "status": "failed", "count": 1},
        {"role": "buyer", "name": "close_deal", "status": "succeeded", "count": 2},
    ]
    assert found["other"]["given"] == {"parameter buyers": 3, "parameter stock": 1, "parameter price": 40}
    assert found["first"]["one"]["kind"] == "agent.started"
    assert [found["first"][side]["data"]["parameters"]["stock"] for side in ("one", "other")] == [2, 1]
    assert found["first_beyond_time"] == found["first"]


def test_a_simulation_is_the_same_as_itself(shell: Shell) -> None:
    done = shell("matrix diff runs 1-1 1-1")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "1-1 and 1-1 share their first 21 events\nthe same happens in 1-1 and 1-1, event by event\n"


def test_a_failed_branch_exits_1(place: Path, shell: Shell) -> None:
    (place / "late.py").write_text(
        "async def late(simulation, limit=9):\n"
        "    for n in range(9):\n"
        "        await simulation.sleep(1)\n"
        "        simulation.emit('tick')\n"
        "        if simulation.state.get('broken'):\n"
        "            raise ValueError('it broke')\n"
    )
    shell("matrix run late.py --store fresh")
    done = shell("matrix fork fresh 1-1 --at 4 --set state.broken=true")
    assert done.returncode == 1
    assert rows(done.stdout)[0]["status"] == "failed"
    assert "error: simulation 1-2 (seed 0) failed: " in done.stderr


# -- resume -----------------------------------------------------------------------------------

TICKING = """
import matrix

async def ask(n):
    import trio
    await trio.sleep(0.01)
    return n * n

class Clerk(matrix.Agent):
    async def run(self):
        for n in range(400):
            await self.call(ask, n, repeatable=True)
            self.emit("answered", n=n)

async def office(simulation):
    simulation.spawn(Clerk, "clerk")
"""


def test_a_killed_run_goes_on_to_its_end_once(place: Path, shell: Shell) -> None:
    (place / "office.py").write_text(TICKING)
    command = [sys.executable, "-m", "matrix.cli.main", "run", "office.py", "--store", "cut"]
    running = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _wait_for_events(place / "cut", 60)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    done = shell("matrix resume cut")
    assert done.returncode == 0, done.stderr
    (row,) = rows(done.stdout)
    assert (row["id"], row["status"]) == ("1-1", "finished")
    assert 0 < row["resumed_at"] < row["events"]  # type: ignore[operator]
    assert done.stderr.startswith("1 simulation went on, ")
    answered = [event.data["n"] for event in matrix.open(place / "cut").events("1-1") if event.kind == "answered"]
    assert answered == list(range(400))
    again = shell("matrix resume cut")
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == "cut: nothing to resume; every simulation has its end, or runs in another process\n"
    assert shell("matrix replay cut 1-1").returncode == 0


def test_a_simulation_whose_program_is_another_now_cannot_go_on(place: Path, shell: Shell) -> None:
    (place / "office.py").write_text(TICKING)
    command = [sys.executable, "-m", "matrix.cli.main", "run", "office.py", "--store", "cut"]
    running = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _wait_for_events(place / "cut", 60)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    (place / "office.py").write_text(TICKING.replace("n=n", "n=-n"))
    done = shell("matrix resume cut")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("0 simulations went on, ")
    assert "error: simulation 1-1 cannot go on: " in done.stderr
    assert "office.py" in done.stderr


def _wait_for_events(store: Path, least: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if store.is_dir() and (store / "log").is_dir():
            with matrix.open(store) as opened:
                if opened.info().events >= least:
                    return
        time.sleep(0.05)
    raise AssertionError(f"{store} has not {least} events after a minute")
