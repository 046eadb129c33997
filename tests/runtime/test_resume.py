"""Resume: a simulation that was cut off anywhere goes on, and nothing is there twice or missing."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
import trio

import matrix
from matrix.errors import ProgramError
from matrix.log.reader import LogReader
from matrix.runtime.program import module_of_file
from matrix.testing.played import history

from .office import office

sent: Counter[str] = Counter()


async def charge(key: str) -> str:
    """Something that must not happen twice."""
    sent[key] += 1
    await trio.sleep(0.001)
    return key


class Payer(matrix.Agent):
    """Pays, one bill after the other."""

    bills: int

    async def run(self) -> None:
        for n in range(self.bills):
            with self.goal("pay", bill=n):
                await self.call(charge, f"{self.id}/{n}", repeatable=self.repeatable)
            await self.sleep(0.001 + 0.01 * self.random.random())


async def paying(simulation: matrix.Simulation, repeatable: bool = False, payers: int = 3) -> None:
    """Some agents that pay their bills."""
    for n in range(payers):
        simulation.spawn(Payer, f"payer-{n}", bills=4, repeatable=repeatable)


def cut_off(whole: Path, place: Path, offset: int) -> Path:
    """A copy of a store as a crash might have left it: the log ends at ``offset``, there is no index."""
    shutil.copytree(whole / "log", place / "log")
    segment = next((place / "log").rglob("*.seg"))
    with segment.open("r+b") as file:
        file.truncate(offset)
    return place


def offsets(store: Path, count: int) -> list[int]:
    """Places to cut, spread over the log, those near the end of frames among them."""
    size = next((store / "log").rglob("*.seg")).stat().st_size
    return sorted({size * n // count - n % 3 for n in range(1, count)})


def test_cut_anywhere_it_comes_to_the_history_it_would_have_had(tmp_path: Path) -> None:
    # Ordered delivery depends on no clock, and repeatable calls are sent again: there is one history only.
    whole = matrix.run(paying, store=tmp_path / "whole", delivery="ordered", repeatable=True, durability="os")
    resumed = 0
    for offset in offsets(tmp_path / "whole", 40):
        place = cut_off(tmp_path / "whole", tmp_path / str(offset), offset)
        with matrix.open(place) as store:
            for done in store.resume():
                resumed += 1
                assert done.outcome is not None, done.refusal
                assert done.outcome.digest == whole.digest
                assert store.replay(done.id).status == "identical"
            assert store.resume() == []
    assert resumed > 20


def cut_behind_first(whole: Path, place: Path, kind: str) -> Path:
    """A copy of a store that ends with the first block that has an event of a kind."""
    reader = LogReader(whole / "log")
    block = next(block for block in reader.blocks(1) if kind in block.kinds)
    reader.close()
    return cut_off(whole, place, block.ref.offset + block.length)


@pytest.mark.parametrize("delivery", ["arrival", "ordered"])
def test_a_call_in_flight_is_not_sent_again_and_its_agent_is_told(tmp_path: Path, delivery: str) -> None:
    matrix.run(paying, store=tmp_path / "whole", delivery=delivery, index=False)
    place = cut_behind_first(tmp_path / "whole", tmp_path / "cut", "call.called")
    sent.clear()
    with matrix.open(place) as store:
        (done,) = store.resume()
        events = list(store.events(done.id))
        assert store.replay(done.id).status == "identical"
    assert done.outcome is not None and done.outcome.status == "failed"  # a payer does not know what to do about it
    lost = [event.data for event in events if event.data.get("unknown")]
    assert lost and all(data["error"].startswith("UnknownOutcome: ") for data in lost)
    assert {event.data["arguments"][0] for event in events[: done.last_seq] if event.kind == "call.called"}.isdisjoint(
        sent
    )


@pytest.mark.parametrize("delivery", ["arrival", "ordered"])
def test_a_repeatable_call_in_flight_is_sent_again(tmp_path: Path, delivery: str) -> None:
    whole = matrix.run(paying, store=tmp_path / "whole", delivery=delivery, index=False, repeatable=True)
    place = cut_behind_first(tmp_path / "whole", tmp_path / "cut", "call.called")
    sent.clear()
    with matrix.open(place) as store:
        (done,) = store.resume()
    assert done.outcome is not None
    assert (done.outcome.status, done.outcome.goals) == ("finished", whole.goals)
    assert sent["payer-0/0"] == 1


def test_office_cut_anywhere_goes_on_and_replays(tmp_path: Path) -> None:
    whole = matrix.run(office, store=tmp_path / "whole", seed=3, index=False)
    before = history(whole)
    for offset in offsets(tmp_path / "whole", 25):
        place = cut_off(tmp_path / "whole", tmp_path / str(offset), offset)
        with matrix.open(place) as store:
            done = store.resume()
            if not done:
                continue
            (one,) = done
            assert one.outcome is not None, one.refusal
            after = list(store.events(one.id))
            assert [(e.kind, e.data) for e in after[: one.last_seq]] == [
                (e.kind, e.data) for e in before[: one.last_seq]
            ]
            assert [event.seq for event in after] == list(range(1, len(after) + 1))
            replay = store.replay(one.id)
            assert (replay.status, replay.digest) == ("identical", one.outcome.digest)
            asked = Counter(e.data["call_id"] for e in after if e.kind == "call.called")
            ended = Counter(e.data["call_id"] for e in after if e.kind in ("call.completed", "call.failed"))
            assert set(asked.values()) == {1} and ended == asked


def test_a_program_that_changed_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix.run(paying, store=tmp_path / "whole", index=False)
    place = cut_off(tmp_path / "whole", tmp_path / "cut", offsets(tmp_path / "whole", 2)[0])

    async def other(self: Payer) -> None:
        self.emit("something else")

    monkeypatch.setattr(Payer, "run", other)
    with matrix.open(place) as store:
        newest = store.query("events | count").rows()
        (done,) = store.resume()
        assert done.outcome is None
        assert "does not go the recorded way" in done.refusal and "something else" in done.refusal
        assert store.query("events | count").rows() == newest


async def test_a_simulation_that_runs_in_another_process_is_left_alone(tmp_path: Path) -> None:
    async with matrix.open_runtime(tmp_path) as runtime:
        simulation = await runtime.start(paying)
        with simulation.hold():
            await runtime.commit()
            assert await trio.to_thread.run_sync(lambda: matrix.open(tmp_path).resume()) == []


_ASKING = """
import trio
import matrix

async def ask() -> None:
    await trio.sleep(0.05)

async def asking_{n}(simulation: matrix.Simulation) -> None:
    await simulation.call(ask, repeatable=True)
"""


@pytest.mark.parametrize(
    "broken", ["raise RuntimeError('no\\nway')", "def (", "import sys; sys.exit(3)", "import not_there"]
)
def test_a_program_that_cannot_be_imported_is_refused_and_others_go_on(
    tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"asking_{n}.py" for n in range(2)]
    monkeypatch.setattr(sys, "path", [*sys.path])
    programs = []
    for n, file in enumerate(files):
        file.write_text(_ASKING.format(n=n))
        programs.append(getattr(module_of_file(file), f"asking_{n}"))

    async def main() -> None:
        async with matrix.open_runtime(tmp_path / "whole", durability="os", index=False) as runtime:
            for program in programs:
                await runtime.start(program)

    trio.run(main)
    second = list(LogReader(tmp_path / "whole" / "log").blocks(1))[1]
    place = cut_off(tmp_path / "whole", tmp_path / "cut", second.ref.offset)
    files[0].write_text(broken)
    for file in files:
        del sys.modules[file.stem]
    with matrix.open(place) as store:
        refused, gone_on = store.resume()
        assert "asking_0.py cannot be imported" in refused.refusal and "\n" not in refused.refusal
        assert gone_on.outcome is not None and gone_on.outcome.status == "finished"
        with pytest.raises(ProgramError, match="cannot be imported"):
            store.replay("1-1")
    sys.modules.pop("asking_1", None)
