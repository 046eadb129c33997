"""`matrix run --guard`, and how warnings of the runtime reach a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

PROGRAM = """
import random
import time

import matrix


class Miller(matrix.Agent):
    async def run(self):
        for _ in range(3):
            await self.sleep(1)
            self.emit("drew", luck=random.random())


async def mill(simulation):
    simulation.spawn(Miller, "miller")


class Sleeper(matrix.Agent):
    async def run(self):
        time.sleep(2.6)


async def inn(simulation):
    simulation.spawn(Sleeper, "guest")


async def logs(simulation):
    import logging

    logging.basicConfig(format="my own: %(message)s")
    simulation.spawn(Miller, "miller")
"""


@pytest.fixture(autouse=True)
def _program(place: Path) -> None:
    (place / "mill.py").write_text(PROGRAM)


def test_by_default_a_use_of_chance_past_the_agent_fails_the_run(shell: Shell) -> None:
    done = shell("matrix run mill.py:mill --store fresh")
    assert done.returncode == 1
    assert "UnrecordedInput: random.random at mill.py:12 in a turn of miller" in done.stderr
    assert "use self.random" in done.stderr


def test_warn_tells_once_for_each_place_and_goes_on(shell: Shell) -> None:
    done = shell("true; matrix run mill.py:mill --store fresh --guard warn")  # pytest sets up logging in this process
    assert done.returncode == 0
    assert done.stderr.count("warning: random.random at mill.py:12 in a turn of miller") == 1
    assert json.loads(done.stdout)["status"] == "finished"


def test_off_says_nothing(shell: Shell) -> None:
    done = shell("matrix run mill.py:mill --store fresh --guard off")
    assert done.returncode == 0
    assert "random" not in done.stderr


def test_the_mode_is_recorded_where_it_is_not_the_default(shell: Shell) -> None:
    shell("matrix run mill.py:mill --store fresh --guard off; matrix run mill.py:mill --store fresh --guard raise")
    asked = shell("matrix query fresh 'events simulation.started | select .options'")
    told = [json.loads(line) for line in asked.stdout.splitlines()]
    assert [row.get("options") for row in told] == [{"guard": "off"}, None]


def test_a_hung_turn_is_one_block_on_stderr(shell: Shell) -> None:
    done = shell("true; matrix run mill.py:inn --store fresh --guard off")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert lines[0].startswith("warning: simulation 1-1: turn 1 of agent guest, at 0 s, has run for 2.")
    assert lines[1].endswith('mill.py", line 21, in run')
    assert lines[2].strip() == "time.sleep(2.6)"
    assert lines[3].strip().startswith("slow work belongs into a function: await self.call(")


def test_a_program_that_logs_by_itself_gets_the_warnings_its_own_way(shell: Shell) -> None:
    done = shell("true; matrix run mill.py:logs --store fresh --guard warn")
    assert done.stderr.count("my own: random.random at mill.py:12") == 1
    assert "warning:" not in done.stderr
