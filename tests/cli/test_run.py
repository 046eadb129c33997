"""`matrix run`: parameters, outcomes, failures, Ctrl-C, and the terminal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.terminal import on_terminal


def rows(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_ends_with_its_simulations_and_their_goals(shell: Shell) -> None:
    done = shell("matrix run market.py --store fresh --seed 7")
    assert done.returncode == 0
    assert rows(done.stdout) == [
        {
            "id": "1-1",
            "status": "finished",
            "reason": "quiescent",
            "seed": 7,
            "events": 21,
            "agents": 4,
            "turns": 13,
            "duration": 90_000_000,
            "goals_succeeded": 2,
            "goals_failed": 1,
        }
    ]
    assert done.stderr.startswith("1 simulation, 21 events in ")
    assert done.stderr.endswith("recorded in fresh\n")


def test_settings_reach_the_program_typed_and_seeds_count_on(shell: Shell) -> None:
    done = shell("matrix run market:market --store fresh --seed 5 --simulations 3 --set buyers=1 --set price=0.5")
    assert [(row["seed"], row["agents"]) for row in rows(done.stdout)] == [(5, 2), (6, 2), (7, 2)]
    asked = shell("matrix query fresh 'events offer | count by .price'")
    assert rows(asked.stdout) == [{"price": 0.5, "count": 3}]


def test_two_runs_of_one_seed_have_one_digest(shell: Shell) -> None:
    done = shell("matrix run market.py --store fresh && matrix run market.py --store fresh --durability sync")
    assert done.returncode == 0
    first, second = (json.loads(shell(f"matrix info fresh 1-{n} --json").stdout)["digest"] for n in (1, 2))
    assert first == second != ""


def test_the_delivery_of_answers_is_chosen_and_recorded(shell: Shell) -> None:
    assert shell("matrix run market.py --store fresh --delivery ordered").returncode == 0
    told = shell("matrix query fresh 'events simulation.started | select .options.delivery'").stdout
    assert list(rows(told)[0].values()) == ["ordered"]
    assert shell("matrix run market.py --store fresh --delivery sorted").returncode == 2


def test_a_failed_simulation_is_said_in_one_line_and_exits_1(shell: Shell) -> None:
    done = shell("matrix run market.py:quarrel --store fresh")
    assert done.returncode == 1
    assert rows(done.stdout)[0]["status"] == "failed"
    assert "error: simulation 1-1 (seed 0) failed: ValueError: they would not talk at market.py:36" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_is_shown_at_the_line_of_the_program_that_led_to_it(shell: Shell) -> None:
    done = shell("matrix run market.py:letters --store fresh")
    assert "there is no agent 'nobody'" in done.stderr
    assert " at market.py:40\n" in done.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("matrix run market.py --set buyer=3", 'error: market takes no parameter "buyer"; did you mean "buyers"?'),
        ("matrix run market.py --simulations 0", "error: Invalid value for '--simulations'"),
        ("matrix run market.py --durability maybe", "error: Invalid value for '--durability'"),
        ("matrix run market.py --seed seven", "error: Invalid value for '--seed'"),
        ("matrix run market.py --time wall", "error: Invalid value for '--time'"),
        ("matrix run market.py --time real --speed 0", "error: Invalid value for '--speed'"),
        ("matrix run market.py --speed 3", "error: --speed is of use with --time real only"),
        ("matrix run market.py:traffic --set speed=3", 'error: "speed" is an option of every simulation'),
    ],
)
def test_a_wrong_run_records_nothing(command: str, message: str, shell: Shell, place: Path) -> None:
    done = shell(f"{command} --store fresh")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert not (place / "fresh").exists()


def test_a_folder_of_something_else_is_not_recorded_into(shell: Shell, place: Path) -> None:
    (place / "photos").mkdir()
    (place / "photos" / "cat.jpg").write_text("meow")
    done = shell("matrix run market.py --store photos")
    assert done.returncode == 1
    assert done.stderr == "error: photos: a folder with other things in it; give a store, or a new folder\n"
    assert [path.name for path in (place / "photos").iterdir()] == ["cat.jpg"]


def test_time_speed_and_shuffle_are_those_of_the_library(shell: Shell) -> None:
    done = shell("matrix run market.py --store fresh --seed 7 --time real --speed 600 --shuffle")
    assert done.returncode == 0, done.stderr
    assert rows(done.stdout)[0]["duration"] == 90_000_000
    asked = shell(
        "matrix query fresh 'events simulation.started | select .options.time, .options.speed, .options.shuffle'"
    )
    assert list(rows(asked.stdout)[0].values()) == ["real", 600, True]


def test_ctrl_c_stops_in_order_records_it_and_exits_130(shell: Shell, place: Path) -> None:
    command = [sys.executable, "-m", "matrix.cli.main", "run", "market.py:endless", "--store", "fresh"]
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while sum(path.stat().st_size for path in place.glob("fresh/log/*/*.seg")) < 9_000:
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.01)  # another process is at work: there is nothing of ours to wait for
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 130
    assert words == "stopped\n"
    asked = shell("matrix query fresh 'simulations | select id, status'")
    assert rows(asked.stdout) == [{"id": "1-1", "status": "stopped"}]


def test_a_terminal_shows_a_table_and_leaves_no_progress_behind(place: Path) -> None:
    seen = on_terminal("matrix run market.py --store fresh --simulations 25", cwd=place)
    lines = seen.text.splitlines()
    assert lines[0].split() == ["id", "status", "seed", "agents", "events", "duration", "succeeded", "failed"]
    assert lines[2].split() == ["1-1", "finished", "0", "4", "21", "1m30s", "2", "1"]
    assert len(lines) == 2 + 20 + 2
    assert lines[-2] == "and 5 more: matrix query fresh 'simulations'"
    assert lines[-1].startswith("25 simulations, 525 events in ")
