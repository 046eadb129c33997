"""`store.diff`: where two simulations part, and how they came out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import matrix
from matrix.errors import UsageError


async def answer(question: str) -> str:
    return question.upper()


class Juror(matrix.Agent):
    role = "juror"
    lean: int = 0

    async def run(self) -> None:
        async with self.goal("decide") as goal:
            said = await self.call(answer, "guilty?")
            self.emit("heard", text=said)
            await self.sleep(10)
            self.emit("vote", yes=self.lean > 0)
            if self.lean < 0:
                goal.fail("undecided")


async def jury(simulation: matrix.Simulation, jurors: int = 3) -> None:
    simulation.state["phase"] = "hearing"
    for n in range(jurors):
        simulation.spawn(Juror, f"juror-{n + 1}", lean=n)
    await simulation.sleep(5)
    simulation.state["phase"] = "voting"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A jury of three, and two juries of one that differ in nothing but what the clock measured."""
    for jurors in (3, 1, 1):
        matrix.run(jury, store=tmp_path / "runs", seed=7, jurors=jurors)
    return tmp_path / "runs"


def test_two_live_runs_part_in_time_and_not_in_what_happens(store: Path) -> None:
    with matrix.open(store) as opened:
        diff = opened.diff("1-2", "1-3")
    assert diff.shared == 0 and not diff.is_same
    assert diff.first is not None and diff.first.one is not None
    assert diff.first.one.kind == "call.completed"
    assert diff.first_beyond_time is None
    assert "they part in time at event " in str(diff)
    assert "nothing else happens in one than in the other" in str(diff)
    assert [what for what, _, _ in diff.rows()] in (["duration"], [])


def test_a_side_tells_how_it_came_out(store: Path) -> None:
    with matrix.open(store) as opened:
        side = opened.diff("1-1", "1-1").one
        rows = opened.query("events where simulation = $id | count by kind", id="1-1").rows()
    counted = {row["kind"]: row["count"] for row in rows}
    assert side.kinds == counted
    assert (side.name, side.seed, side.status, side.reason, side.parent) == ("jury", 7, "finished", "completed", None)
    assert side.agents == 3
    assert side.goals == {("juror", "decide", "succeeded"): 3}
    assert side.given == {"parameter jurors": 3}
    assert side.state == {"phase": "voting"}
    assert side.events == sum(counted.values())


def test_forks_share_their_prefix_and_part_at_what_was_changed(store: Path) -> None:
    with matrix.open(store) as opened:
        voting = next(e.seq for e in opened.events("1-1") if e.kind == "state.changed" and e.data["phase"] == "voting")
        opened.fork("1-1", at=voting, set={"juror-2.lean": -1})
        opened.fork("1-4", at=voting + 1, seed=8)
        diff = opened.diff("1-1", "1-4")
        assert diff.shared == voting
        assert diff.first == diff.first_beyond_time
        assert diff.first is not None and diff.first.one is not None and diff.first.other is not None
        assert (diff.first.one.kind, diff.first.one.data) == ("vote", {"yes": True})
        assert (diff.first.other.kind, diff.first.other.data) == ("vote", {"yes": False})
        assert diff.first.other.seq == diff.first.one.seq + 1  # behind the mark of the fork
        assert {what: (one, other) for what, one, other in diff.rows()} == {
            "set juror-2.lean": (None, -1),
            "events": (diff.one.events, diff.one.events + 1),
            "goals juror decide succeeded": (3, 2),
            "goals juror decide failed": (0, 1),
            "events goal.succeeded": (3, 2),
            "events goal.failed": (0, 1),
        }
        of_fork = opened.diff("1-4", "1-5")
        assert of_fork.shared == voting + 1
        assert of_fork.is_same
        assert [what for what, _, _ in of_fork.rows()] == ["seed", "events"]


def test_a_diff_is_the_same_seen_from_either_side(store: Path) -> None:
    with matrix.open(store) as opened:
        opened.fork("1-1", at=8, set={"juror-1.lean": -1})
        there, back = opened.diff("1-1", "1-4"), opened.diff("1-4", "1-1")
    assert (there.one, there.other, there.shared) == (back.other, back.one, back.shared)
    assert there.first is not None and back.first is not None
    assert (there.first.one, there.first.other) == (back.first.other, back.first.one)
    assert sorted((what, b, a) for what, a, b in there.rows()) == sorted(back.rows())


def test_machines_get_plain_values(store: Path) -> None:
    with matrix.open(store) as opened:
        found: dict[str, Any] = json.loads(json.dumps(opened.diff("1-2", "1-3").as_data()))
    assert found["one"]["goals"] == [{"role": "juror", "name": "decide", "status": "succeeded", "count": 1}]
    assert found["first"]["one"]["kind"] == "call.completed"
    assert found["first_beyond_time"] is None
    assert found["one"]["duration"] >= 10_000_000


def test_an_unknown_simulation_is_refused(store: Path) -> None:
    with matrix.open(store) as opened, pytest.raises(UsageError, match="there is no simulation '1-9'"):
        opened.diff("1-1", "1-9")
